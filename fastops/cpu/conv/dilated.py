"""A dilated 3 x 3 convolution as ordinary ones of smaller images, which Winograd's tiles make.

With a dilation of d each output sees pixels d apart alone: those of one remainder of y and x by d.  So the image falls
into d * d images, one for each pair of remainders, that a 3 x 3 convolution of dilation 1 turns into as many parts of
the output.  They are images of one batch; where they are large, one after the other.  On two cores, beside the best of
the other algorithms: 64 channels of 56 x 56, dilation 2, 1.25 to 1.35 times as fast, 256 of 28 x 28 1.25 times; with a
dilation of 4 the parts of 28 x 28 are so small that they fill half of the tiles, and blocked.py is faster.
"""

from functools import lru_cache, partial
from typing import Any

import numpy as np
from numba import prange

from ..._jit import index, kernel
from . import winograd
from .copy import padded_copy
from .direct_plan import images_together
from .finish import Finish
from .outcome import Outcome
from .plan import Axis, sides

BUFFER_BYTES = 4 * 2**20  # of the parts of some images, input and output; of one image, if they are more,
LARGE_BYTES = 4 * BUFFER_BYTES  # up to so many: then they are made one by one

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _join(out, parts, planes, channels, height, width, step_y, step_x, first_y, first_x, count_y, count_x, rows,
          columns):  # fmt: skip
    # parts is (images, count_y, count_x, channels, rows, columns), of the remainders from first_y and first_x on; an
    # iteration owns a plane of the output.
    part_size = channels * rows * columns
    for plane in prange(planes):
        n, c = plane // channels, plane % channels
        for i in range(count_y):
            for y in range(first_y + i, height, step_y):
                at = (n * count_y + i) * count_x * part_size + (c * rows + y // step_y) * columns
                to = (plane * height + y) * width
                for j in range(count_x):
                    x = first_x + j
                    for k in range((width - x + step_x - 1) // step_x):
                        out[index(to + x + k * step_x)] = parts[index(at + j * part_size + k)]


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
    side, whole, (d, e) = sides(g, transposed), parted(g), (g.dilation_h, g.dilation_w)
    part = sides(whole, transposed)
    in_part = part.channels * part.height * part.width
    out_part = part.out_channels * part.out_height * part.out_width
    image_bytes = d * e * (in_part + out_part) * out.itemsize
    together, (count_y, count_x) = images_together(g.batch, image_bytes, BUFFER_BYTES), (d, e)
    if image_bytes > LARGE_BYTES:
        count_y, count_x = 1, 1
    count = count_y * count_x  # parts of an image at a time
    kept = {} if kept is None else kept  # transformed weights: once for all parts
    split, made = (np.empty(together * count * size, out.dtype) for size in (in_part, out_part))
    for n in range(0, g.batch, together):
        images = input.reshape(g.batch, side.channels, side.height, side.width)[n : n + together]
        some = len(images)
        for y in range(0, d, count_y):
            for x in range(0, e, count_x):
                padded_copy(split, images, _picked(part.height, y, d, count_y), _picked(part.width, x, e, count_x),
                            count * in_part, part.height * part.width, in_part)  # fmt: skip
                outcome = winograd.CONVOLVE[m](
                    made[: some * count * out_part], split[: some * count * in_part], weight, bias,
                    whole._replace(batch=some * count), transposed, kept, Finish(bias),
                )  # fmt: skip
                if outcome.spread:
                    return outcome
                _join(some * count * out_part)(
                    out.reshape(g.batch, -1)[n : n + some].reshape(-1), made, some * side.out_channels,
                    side.out_channels, side.out_height, side.out_width, d, e, y, x, count_y, count_x, part.out_height,
                    part.out_width,
                )  # fmt: skip
    return Outcome(finite=True, ended=False)


def _picked(size, first, step, count):
    """An axis of ``size`` pixels, every ``step``-th, from each of ``count`` remainders from ``first`` on."""
    none = np.zeros(0, np.int64)
    return Axis(size, first, step, np.arange(count), none, none)


CONVOLVE = {m: partial(_convolve, m) for m in winograd.CONVOLVE}
"""By the size of the tiles."""
