"""Convolutions between one pixel and a whole image: a kernel of the image's size makes them matrix products.

The classifier of a network that is all convolutions, the first layer of a generator and the last of a discriminator
are such.  The kernels for many pixels would fill one lane of a vector: 8 pixels of 100 channels to 4 x 4 of 512 took
15 times as long.
"""

import numpy as np
from numba import prange

from ..._jit import kernel
from ..simd.emit import lanes
from . import direct
from .micro_kernel import add_dots
from .outcome import Outcome
from .plan import window

ROWS, COLUMNS = 16, 48  # dots of a task: a multiple of their tile
RUN = 2048  # elements of a dot before it joins a float64 total: 16 rows of them are 128 KiB and stay in L2

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _dots(totals, a, b, offsets, length):
    # totals[r, c], float64, is the dot of row r of a and row c of b, which starts at offsets[c]; an iteration owns
    # ROWS x COLUMNS of them.
    rows, columns = totals.shape
    whole = length // lanes(a.itemsize) * lanes(a.itemsize)
    flat, blocks = totals.reshape(-1), -(-columns // COLUMNS)
    for task in prange(-(-rows // ROWS) * blocks):
        r0, c0 = task // blocks * ROWS, task % blocks * COLUMNS
        r1, c1 = min(r0 + ROWS, rows), min(c0 + COLUMNS, columns)
        for r in range(r0, r1):
            for c in range(c0, c1):
                s = 0.0
                for i in range(whole, length):  # what does not fill a vector
                    s += np.float64(a[r * length + i]) * np.float64(b[c * length + i])
                totals[r, c] = s
        for first in range(0, whole, RUN):
            last = min(first + RUN, whole)
            add_dots(
                flat, r0 * columns + c0, columns, r1 - r0, a, r0 * length, length, b, 0, offsets, c0, c1, first, last
            )


# ------------------------------------------------------------------------------------------------- entries


def suits(g):
    """Whether one pixel of the map meets the whole image."""
    size, stride, pad, dilation = window(g)
    one = (g.map_height, g.map_width, g.groups) == (1, 1, 1) and pad == (0, 0)
    return one and size == (g.image_height, g.image_width) and (dilation == (1, 1) or size == (1, 1)) and g.batch > 0


def convolve(out, input, weight, bias, g, transposed, kept, finish):
    """As __init__.py says; no zeros are multiplied."""
    if transposed:
        _image_from_map(out, input, weight, bias, g)
    else:
        _map_from_image(out, input, weight, bias, g)
    return Outcome(pads=False)


def _map_from_image(out, input, weight, bias, g):
    """A dot for each image and filter."""
    totals, length = np.empty((g.batch, g.map_channels)), input.size // g.batch
    offsets = np.arange(g.map_channels) * length
    _dots(totals.size * length // 8)(totals, input.reshape(-1), weight.reshape(-1), offsets, length)
    with np.errstate(all="ignore"):
        np.add(totals, bias, out=out.reshape(totals.shape), casting="same_kind")


def _image_from_map(out, input, weight, bias, g):
    """(images, channels) times (channels, image channels * pixels)."""
    _multiply(out, input.reshape(-1), weight, g.batch, g)
    each = out.reshape(g.batch, g.image_channels, -1)
    with np.errstate(all="ignore"):
        np.add(each, bias[:, None], out=each)


def grad_weight(out, map, image, g):
    """The gradient of the weight: (channels, images) times (images, image channels * pixels)."""
    _multiply(out, map.reshape(g.batch, -1).T.reshape(-1), image, g.map_channels, g)
    return True


def _multiply(out, a, b, rows, g):
    """out = a times b, as a direct convolution: b's columns are the pixels of an image, a's rows 1 x 1 filters."""
    inner, pixels = a.size // rows, out.size // rows
    product = g._replace(batch=1, image_channels=inner, image_height=1, image_width=pixels, map_channels=rows,
                         map_height=1, map_width=pixels, kernel_height=1, kernel_width=1, stride_h=1, stride_w=1,
                         dilation_h=1, dilation_w=1)  # fmt: skip
    direct.run(out.reshape(-1), b.reshape(-1), a, np.zeros(rows, out.dtype), product)
