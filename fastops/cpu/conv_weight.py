"""The gradients of a convolution's weight and bias on the CPU.

In the coordinates of conv.py, with the map laid out in rows as wide as the buffer's and 0 beyond its own width,

    grad_weight[m, k] = sum over images and pixels i of map[m, i] * buffer[i + offset[k]]

for conv2d (the map is grad_output) and conv_transpose2d (the map is the input) alike.  Dots of up to PIXELS pixels are
added to float64 totals in a fixed order.
"""

import numpy as np
from numba import prange

from .._jit import kernel
from . import conv_exact
from .conv_copy import padded_copy
from .conv_direct import BUFFER_BYTES
from .conv_plan import Axis, conv2d_plan
from .micro_kernel import VECTORS, add_dots
from .sums import total
from .vector_code import lanes

MAPS, ELEMENTS = 16, 48  # weights of a task: a multiple of the tile of the dots
PIXELS = 2048  # pixels of a dot: 16 maps of them are 128 KiB and stay in L2, an input channel in L1

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _grad_weight(totals, maps, buffer, offsets, images, groups, map_channels, map_size, length, image_size):
    # totals is (map channels, kernel elements), float64; an iteration owns MAPS x ELEMENTS of it within a group.
    per_group, elements = map_channels // groups, offsets.size
    map_blocks, element_blocks = -(-per_group // MAPS), -(-elements // ELEMENTS)
    for task in prange(groups * map_blocks * element_blocks):
        k0 = task % element_blocks * ELEMENTS
        group = task // element_blocks // map_blocks
        m0 = group * per_group + task // element_blocks % map_blocks * MAPS
        rows, k1 = min(MAPS, (group + 1) * per_group - m0), min(k0 + ELEMENTS, elements)
        for image in range(images):
            map_start = (image * map_channels + m0) * map_size
            start = image * image_size + group * (image_size // groups)
            for first in range(0, length, PIXELS):
                last = min(first + PIXELS, length)
                add_dots(totals, m0 * elements + k0, elements, rows, maps, map_start, map_size, buffer, start, offsets,
                         k0, k1, first, last)  # fmt: skip


@kernel
def _grad_bias(grad, x, images, plane):
    # An iteration owns a channel.
    channels = grad.size
    for c in prange(channels):
        s = 0.0
        for n in range(images):
            start = (n * channels + c) * plane
            s += total(x[start : start + plane])
        grad[c] = s


# ------------------------------------------------------------------------------------------------- entries


def grad_weight(out, map, image, g):
    """The gradient of a weight of shape (map channels, image channels / groups, height, width)."""
    plan = conv2d_plan(g, out.itemsize)
    map = map.reshape(g.batch, g.map_channels, g.map_height, g.map_width)
    image = image.reshape(g.batch, g.image_channels, g.image_height, g.image_width)
    pitch, width = plan.x.size, lanes(out.itemsize)
    rows = g.map_height + -(-width // pitch)  # the last vector of a map reads zeros
    map_size, image_size = rows * pitch, plan.image_size(g.image_channels)
    length = (g.map_height - 1) * pitch + g.map_width
    size = g.map_channels * map_size + image_size
    together = max(1, min(g.batch, BUFFER_BYTES // (size * out.itemsize)))
    maps = np.empty(together * g.map_channels * map_size, out.dtype)
    buffer = np.zeros(together * image_size + VECTORS * width, out.dtype)
    totals = np.zeros(g.map_channels * plan.offsets.size)
    none = np.zeros(1, np.int64)
    map_axes = Axis(rows, 0, 1, none, none, none), Axis(pitch, 0, 1, none, none, none)
    for n in range(0, g.batch, together):
        count = min(together, g.batch - n)
        padded_copy(maps, map[n : n + count], *map_axes, g.map_channels * map_size, map_size, map_size)
        padded_copy(buffer, image[n : n + count], plan.y, plan.x, image_size, image_size // max(1, g.image_channels),
                    plan.y.size * plan.x.size)  # fmt: skip
        work = count * length * totals.size // 8
        _grad_weight(work)(totals, maps, buffer, plan.offsets, count, g.groups, g.map_channels, map_size, length,
                           image_size)  # fmt: skip
    with np.errstate(all="ignore"):
        out[...] = totals.reshape(out.shape)
    if not np.isfinite(totals).all():  # an infinity may have met a zero beyond the map's width
        conv_exact.grad_weight(out, map, image, g)


def grad_bias(out, grad_output, batch):
    """The sum over images and pixels."""
    _grad_bias(grad_output.size)(out, grad_output.reshape(-1), batch, grad_output.size // max(1, batch * out.size))
