"""Convolutions that read few channels for an output: depthwise ones and those of small groups.

There is nothing to reuse but the pixels themselves, which neighbouring threads find in the cache.  Products with the
zeros around an image are left out, so infinite weights need no second look.
"""

from typing import Any

import numpy as np

from .._launch import cuda, kernel
from .window import divide, output_at, window_sum, within

ROWS = {3: 8, 5: 4}  # output rows of a thread, for each size of the kernel: as many as stay in registers

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _convolve_few_channels(out, x, w, bias, biased, groups, vertical, horizontal, weights):
    # A thread owns an output.
    i = cuda.grid(1)
    if i < out.size:
        channel, x_at, w_at, y, x_ = output_at(i, groups, vertical, horizontal, weights)
        s = window_sum(x.dtype.type(0), x, w, x_at, w_at, y, x_, vertical, horizontal, weights)
        out[i] = s + bias[channel] if biased else s


def _depthwise(size: int, stride: int) -> Any:
    """The kernel for filters of size x size."""
    rows, area = ROWS[size], size * size
    rows_in = (rows - 1) * stride + size

    def depthwise(out, x, w, bias, biased, groups, filters, vertical, horizontal, weights):
        # A thread owns some rows of one column, and reads each input that they see once.
        height, out_height, _, _, top, tap, _, _, _, _, _ = vertical
        width, out_width, _, _, left, _, _, _, _, _, _ = horizontal
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


def convolve(out, input, weight, bias, c):
    """Fill ``out``, by a kernel for the filters' size and stride where there is one."""
    place, biased = input.place, bias is not None
    _, _, vertical, horizontal, weights = c
    kernels, strides = {vertical.kernel, horizontal.kernel}, {vertical.step, horizontal.step}
    near = {vertical.divide, horizontal.divide, abs(vertical.tap), abs(horizontal.tap), weights.channels} == {1}
    depthwise = _kernels.get((max(kernels), max(strides))) if near and len(kernels) == len(strides) == 1 else None
    arguments = out, input, weight, bias if biased else weight, biased, c.groups
    geometry = tuple(vertical), tuple(horizontal), tuple(weights)
    if depthwise is None:
        _convolve_few_channels.threads(place, place.lend(out).size, *arguments, *geometry)
    else:
        rows = -(-vertical.out // ROWS[vertical.kernel])
        count = c.batch * c.groups * weights.out_channels * rows * horizontal.out
        depthwise.threads(place, count, *arguments, weights.out_channels, *geometry)
