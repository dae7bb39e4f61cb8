"""A dilated 3 x 3 convolution as ordinary ones of smaller images, which Winograd's tiles make.

With a dilation of d each output sees pixels d apart alone: those of one remainder of y and x by d.  So the image falls
into d * d images, one for each pair of remainders, that a 3 x 3 convolution of dilation 1 turns into as many parts of
the output.  They are images of one batch.  On two cores, beside the best of the other algorithms: 64 channels of 56 x 56,
dilation 2, 1.25 to 1.35 times as fast, 256 of 28 x 28 1.25 times; with a dilation of 4 the parts of 28 x 28 are so small
that they fill half of the tiles, and blocked.py is faster.
"""

from functools import lru_cache, partial
from typing import Any

import numpy as np
from numba import prange

from ..._jit import index, kernel
from . import winograd
from .copy import padded_copy
from .direct import images_together
from .finish import Finish
from .outcome import Outcome
from .plan import Axis, sides

BUFFER_BYTES = 2**20  # of the parts of some images, input and output: they stay in L2

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _join(out, parts, planes, channels, height, width, dilation_h, dilation_w, rows, columns):
    # parts is (images, dilation_h, dilation_w, channels, rows, columns); an iteration owns a plane of the output.
    part_size = channels * rows * columns
    for plane in prange(planes):
        n, c = plane // channels, plane % channels
        for y in range(height):
            first = (n * dilation_h + y % dilation_h) * dilation_w * part_size + (c * rows + y // dilation_h) * columns
            to = (plane * height + y) * width
            for x in range(dilation_w):
                for j in range((width - x + dilation_w - 1) // dilation_w):
                    out[index(to + x + j * dilation_w)] = parts[index(first + x * part_size + j)]


# ------------------------------------------------------------------------------------------------- entries


@lru_cache(maxsize=256)
def parted(g: Any) -> Any:
    """The geometry of the convolution of an image's parts, as images of a batch."""
    d, e = g.dilation_h, g.dilation_w
    found = g._replace(
        batch=g.batch * d * e, pad_top=g.pad_top // d, pad_left=g.pad_left // e, dilation_h=1, dilation_w=1,
        image_height=-(-g.image_height // d), image_width=-(-g.image_width // e),
        map_height=-(-g.map_height // d), map_width=-(-g.map_width // e),
    )  # fmt: skip
    return found._replace(output=(found.batch, *g.output[-3:]))


def suits(g, transposed, itemsize):
    """Whether it can make this convolution: one that Winograd's tiles could, but for the dilation."""
    d, e = g.dilation_h, g.dilation_w
    whole = (g.stride_h, g.stride_w, g.pad_top % d, g.pad_left % e) == (1, 1, 0, 0)
    return (d, e) != (1, 1) and whole and winograd.suits(parted(g), transposed, itemsize)


def parts(m, g, transposed, itemsize, kept):
    """Of what a convolution consists, beside that of its parts: numbers that are picked and put."""
    side = sides(g, transposed)
    return winograd.parts(m, parted(g), transposed, itemsize, kept) | {
        "split": g.batch * side.channels * side.height * side.width,
        "join": g.batch * side.out_channels * side.out_height * side.out_width,
    }


def _convolve(m, out, input, weight, bias, g, transposed, kept, finish):
    """As __init__.py says, in tiles of m x m; what finish.py says is left."""
    side, whole = sides(g, transposed), parted(g)
    part, count = sides(whole, transposed), g.dilation_h * g.dilation_w
    y, x = (
        Axis(size, 0, step, np.arange(step), np.zeros(0, np.int64), np.zeros(0, np.int64))
        for size, step in ((part.height, g.dilation_h), (part.width, g.dilation_w))
    )
    per_input = count * part.channels * part.height * part.width  # of all parts of an image
    per_output = count * part.out_channels * part.out_height * part.out_width
    together = images_together(g.batch, (per_input + per_output) * out.itemsize, BUFFER_BYTES)
    images = input.reshape(g.batch, side.channels, side.height, side.width)
    made = out.reshape(g.batch, side.out_channels, side.out_height, side.out_width)
    split, parts_out = np.empty(together * per_input, out.dtype), np.empty(together * per_output, out.dtype)
    for n in range(0, g.batch, together):
        some = images[n : n + together]
        padded_copy(split, some, y, x, per_input, part.height * part.width, per_input // count)
        outcome = winograd.CONVOLVE[m](
            parts_out[: len(some) * per_output], split[: len(some) * per_input], weight, bias,
            whole._replace(batch=len(some) * count), transposed, kept, Finish(bias),
        )  # fmt: skip
        if outcome.spread:
            return outcome
        _join(len(some) * per_output)(
            made[n : n + len(some)].reshape(-1), parts_out, len(some) * side.out_channels, side.out_channels,
            side.out_height, side.out_width, g.dilation_h, g.dilation_w, part.out_height, part.out_width,
        )  # fmt: skip
    return Outcome(finite=True, ended=False)


CONVOLVE = {m: partial(_convolve, m) for m in winograd.CONVOLVE}
"""By the size of the tiles."""
