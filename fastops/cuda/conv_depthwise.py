"""Convolutions that read few channels for an output: depthwise ones and those of small groups.

There is nothing to reuse but the pixels themselves, which neighbouring threads find in the cache.  Products with the
zeros around an image are left out, so infinite weights need no second look.
"""

from typing import Any

import numpy as np

from ._launch import cuda, kernel
from .conv_window import axes, divide, layout, window_sum, within

PRODUCTS = 256  # of a sum that needs no second one to be exact enough
ROWS = {3: 8, 5: 4}  # output rows of a thread, for each size of the kernel: as many as stay in registers
FEW = 8  # outputs that share their inputs, up to which a tile is not worth its loads

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _convolve_few_channels(out, x, w, bias, biased, groups, vertical, horizontal, weights):
    # A thread owns an output.
    i = cuda.grid(1)
    if i < out.size:
        channels, out_channels, _, out_step = weights
        height, out_height, kernel_height, width, out_width, kernel_width = (
            vertical[0], vertical[1], vertical[2], horizontal[0], horizontal[1], horizontal[2])  # fmt: skip
        plane = i // (out_height * out_width)
        y, x_ = divide(i - plane * out_height * out_width, out_width)
        image, channel = divide(plane, groups * out_channels)
        group, o = divide(channel, out_channels)
        x_at = (image * groups + group) * channels * height * width
        w_at = group * channels * out_channels * kernel_height * kernel_width + o * out_step
        s = window_sum(x.dtype.type(0), x, w, x_at, w_at, y, x_, vertical, horizontal, weights)
        out[i] = s + bias[channel] if biased else s


def _depthwise(size: int, stride: int) -> Any:
    """The kernel for filters of size x size."""
    rows, area = ROWS[size], size * size
    rows_in = (rows - 1) * stride + size

    def depthwise(out, x, w, bias, biased, groups, filters, vertical, horizontal, weights):
        # A thread owns some rows of one column, and reads each input that they see once.
        height, out_height, top, tap = vertical[0], vertical[1], vertical[4], vertical[5]
        width, out_width, left = horizontal[0], horizontal[1], horizontal[4]
        blocks_y = (out_height + rows - 1) // rows
        i = cuda.grid(1)
        plane = i // (blocks_y * out_width)
        if plane * out_height * out_width >= out.size:
            return
        y, x_ = divide(i - plane * blocks_y * out_width, out_width)
        image, channel = divide(plane, groups * filters)
        y *= rows
        x_at = (image * groups + divide(channel, filters)[0]) * height * width
        to = (plane * out_height + y) * out_width + x_
        more = bias[channel] if biased else x.dtype.type(0)
        clean = zero = x.dtype.type(0)
        taps = cuda.local.array(area, x.dtype)
        for k in range(area):
            tap_k = w[np.uint64(channel * area + (k if tap > 0 else area - 1 - k))]
            clean += tap_k * zero
            taps[k] = tap_k
        if clean == zero:
            iy0, ix0 = y * stride + top, x_ * stride + left
            if tap < 0:
                iy0, ix0 = iy0 - size + 1, ix0 - size + 1
            s = cuda.local.array(rows, x.dtype)
            for o in range(rows):
                s[o] = zero
            for kx in range(size):
                ix = ix0 + kx
                across = within(ix, width)
                for r in range(rows_in):
                    iy = iy0 + r
                    value = zero
                    if across and within(iy, height):
                        value = x[np.uint64(x_at + iy * width + ix)]
                    for o in range(rows):
                        if 0 <= r - o * stride and r - o * stride < size:
                            s[o] += value * taps[(r - o * stride) * size + kx]
            for o in range(rows):
                if y + o < out_height:
                    out[np.uint64(to + o * out_width)] = s[o] + more
        else:  # a zero of the padding must not meet an infinity
            for o in range(rows):
                if y + o < out_height:
                    exact = window_sum(zero, x, w, x_at, channel * area, y + o, x_, vertical, horizontal, weights)
                    out[np.uint64(to + o * out_width)] = exact + more

    depthwise.__name__ = depthwise.__qualname__ = f"_depthwise_{size}x{size}_stride_{stride}"
    return kernel(depthwise)


_kernels = {(size, stride): _depthwise(size, stride) for size in (3, 5) for stride in (1, 2)}

# ------------------------------------------------------------------------------------------------- entries


def suits(g, transposed):
    """Whether so few outputs share their inputs that tiles are not worth while."""
    weights = layout(g, transposed)
    elements = weights.channels * g.kernel_height * g.kernel_width
    return g.groups > 1 and weights.out_channels <= FEW and elements <= PRODUCTS


def convolve(out, input, weight, bias, g, transposed):
    """The convolution or its transpose."""
    place, biased = input.place, bias is not None
    vertical, horizontal = axes(g, transposed)
    weights = layout(g, transposed)
    kernels, strides = {vertical.kernel, horizontal.kernel}, {vertical.step, horizontal.step}
    near = {vertical.divide, horizontal.divide, abs(vertical.tap), abs(horizontal.tap), weights.channels} == {1}
    depthwise = _kernels.get((max(kernels), max(strides))) if near and len(kernels) == len(strides) == 1 else None
    arguments = out, input, weight, bias if biased else weight, biased, g.groups
    geometry = tuple(vertical), tuple(horizontal), tuple(weights)
    if depthwise is None:
        _convolve_few_channels.threads(place, place.lend(out).size, *arguments, *geometry)
    else:
        rows = -(-vertical.out // ROWS[vertical.kernel])
        count = g.batch * g.groups * weights.out_channels * rows * horizontal.out
        depthwise.threads(place, count, *arguments, weights.out_channels, *geometry)
