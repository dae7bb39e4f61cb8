"""The gradients of a convolution's weight and bias on the CPU.

In the coordinates of conv.py, with the map laid out in rows as wide as the buffer's and 0 beyond its own width,

    grad_weight[m, k] = sum over images and pixels i of map[m, i] * buffer[i + offset[k]]

for conv2d (the map is grad_output) and conv_transpose2d (the map is the input) alike.  Dots of up to PIXELS pixels are
added to float64 totals in a fixed order.
"""

import numpy as np
from numba import prange

from .._jit import kernel
from .conv import BUFFER_BYTES, padded_copy
from .conv_plan import conv2d_plan, window
from .micro_kernel import VECTORS, add_dots, lanes
from .sums import total

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
def _grad_weight_exact(grad, map, image, groups, height, width, pad_top, pad_left, stride_h, stride_w, dilation_h,
                       dilation_w):  # fmt: skip
    # One weight after the other, from its own products alone; an iteration owns a weight.
    maps, per_group, kernel_height, kernel_width = grad.shape
    for task in prange(grad.size):
        kx = task % kernel_width
        ky = task // kernel_width % kernel_height
        c = task // kernel_width // kernel_height % per_group
        m = task // kernel_width // kernel_height // per_group
        channel = m // (maps // groups) * per_group + c
        s = 0.0
        for n in range(map.shape[0]):
            for y in range(map.shape[2]):
                iy = y * stride_h - pad_top + ky * dilation_h
                if 0 <= iy < height:
                    for x in range(map.shape[3]):
                        ix = x * stride_w - pad_left + kx * dilation_w
                        if 0 <= ix < width:
                            s += np.float64(map[n, m, y, x]) * np.float64(image[n, channel, iy, ix])
        grad[m, c, ky, kx] = s


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
    plan = conv2d_plan(g.image_channels // g.groups, (g.image_height, g.image_width), (g.map_height, g.map_width),
                       *window(g), lanes(out.itemsize), out.itemsize)  # fmt: skip
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
    for n in range(0, g.batch, together):
        count = min(together, g.batch - n)
        padded_copy(maps, map[n : n + count], rows, pitch, 0, 0, 1, 1, none, none)
        padded_copy(buffer, image[n : n + count], plan.y.size, pitch, plan.y.first, plan.x.first, plan.y.step,
                    plan.x.step, plan.y.shifts, plan.x.shifts)  # fmt: skip
        work = count * length * totals.size // 8
        _grad_weight(work)(totals, maps, buffer, plan.offsets, count, g.groups, g.map_channels, map_size, length,
                           image_size)  # fmt: skip
    with np.errstate(all="ignore"):
        out[...] = totals.reshape(out.shape)
    if not np.isfinite(totals).all():  # an infinity may have met a zero beyond the map's width
        _grad_weight_exact(work)(out, map, image, g.groups, g.image_height, g.image_width,
                                 g.pad_top, g.pad_left, g.stride_h, g.stride_w, g.dilation_h, g.dilation_w)  # fmt: skip


def grad_bias(out, grad_output, batch):
    """The sum over images and pixels."""
    _grad_bias(grad_output.size)(out, grad_output.reshape(-1), batch, grad_output.size // max(1, batch * out.size))
