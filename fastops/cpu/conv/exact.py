"""Convolutions an output at a time, from the products of its own window alone: for values that are not finite.

The fast kernels multiply the zeros around an image, too, and 0 * inf is NaN.  Here an element of the kernel that lies
beyond the image is left out.  Slow: 20 to 60 times; only outputs that came out infinite or NaN are made again.
"""

import numpy as np
from numba import prange

from ..._jit import kernel, reduction
from .plan import sides

SEEN = 8192  # values looked at before the next decision

# ----------------------------------------------------------------------------------------------- reductions


@reduction
def not_finite(x):
    """0 if every value is finite, else NaN."""
    s = x.dtype.type(0)
    for i in range(x.size):
        s += x[i] * x.dtype.type(0)
    return s


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _blocks_not_finite(blocks, x):
    # An iteration owns a block.
    for block in prange(blocks.size):
        blocks[block] = not_finite(x[block * SEEN : (block + 1) * SEEN])


@kernel
def _convolve_exact(out, x, w, bias, groups, oc_step, ic_step, kh, kw, step_y, step_x, first_y, first_x, tap_y, tap_x,
                    divide_y, divide_x):  # fmt: skip
    # An iteration owns a row of outputs.  Output y sees, through element ky of the kernel, the input at
    # (first_y + y * step_y + ky * tap_y) / divide_y where that is whole and inside.
    channels, height, width = x.shape[1], x.shape[2], x.shape[3]
    out_channels, out_height = out.shape[1], out.shape[2]
    per_group, out_per_group = channels // groups, out_channels // groups
    for row in prange(out.shape[0] * out_channels * out_height):
        oy, oc, n = row % out_height, row // out_height % out_channels, row // out_height // out_channels
        group = oc // out_per_group
        w0 = group * per_group * out_per_group * kh * kw + oc % out_per_group * oc_step
        for ox in range(out.shape[3]):
            if not np.isfinite(out[n, oc, oy, ox]):
                s = np.float64(bias[oc])
                for ic in range(per_group):
                    for ky in range(kh):
                        y = first_y + oy * step_y + ky * tap_y
                        if y >= 0 and y % divide_y == 0 and y // divide_y < height:
                            for kx in range(kw):
                                ix = first_x + ox * step_x + kx * tap_x
                                if ix >= 0 and ix % divide_x == 0 and ix // divide_x < width:
                                    value = x[n, group * per_group + ic, y // divide_y, ix // divide_x]
                                    s += np.float64(value) * np.float64(w[w0 + ic * ic_step + ky * kw + kx])
                out[n, oc, oy, ox] = s


@kernel
def _grad_weight_exact(grad, map, image, groups, height, width, pad_top, pad_left, stride_h, stride_w, dilation_h,
                       dilation_w):  # fmt: skip
    # An iteration owns a weight.
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


# ------------------------------------------------------------------------------------------------- entries


def finite(x):
    """Whether every value of a flat array is finite."""
    blocks = np.empty(-(-x.size // SEEN), x.dtype)
    _blocks_not_finite(x.size // 4)(blocks, x)
    return not blocks.any()


def weight_met_padding(out, weight):
    """Whether an infinite or NaN weight may have met the zeros around an image; the smaller array is asked first."""
    out, weight = out.reshape(-1), weight.reshape(-1)
    return not finite(min(out, weight, key=len)) and not (finite(weight) or finite(out))


def convolve(out, input, weight, bias, g, transposed):
    """Make the outputs again that are not finite; arguments as in __init__.py."""
    side, size, per_group = sides(g, transposed), g.kernel_height * g.kernel_width, g.image_channels // g.groups
    out = out.reshape(g.batch, side.out_channels, side.out_height, side.out_width)
    input = input.reshape(g.batch, side.channels, side.height, side.width)
    steps = per_group * size, size  # in the weight, from one map channel to the next and from one of the image
    if transposed:
        step, first, tap = (1, 1), (g.pad_top, g.pad_left), (-g.dilation_h, -g.dilation_w)
        steps, divide = steps[::-1], (g.stride_h, g.stride_w)
    else:
        step, first, tap = (g.stride_h, g.stride_w), (-g.pad_top, -g.pad_left), (g.dilation_h, g.dilation_w)
        divide = 1, 1
    _convolve_exact(out.size * size)(out, input, weight.reshape(-1), bias, g.groups, *steps, g.kernel_height,
                                     g.kernel_width, *step, *first, *tap, *divide)  # fmt: skip


def grad_weight(out, map, image, g):
    """The gradient of the weight, all of it."""
    map = map.reshape(g.batch, g.map_channels, g.map_height, g.map_width)
    image = image.reshape(g.batch, g.image_channels, g.image_height, g.image_width)
    _grad_weight_exact(map.size)(out, map, image, g.groups, g.image_height, g.image_width, g.pad_top, g.pad_left,
                                 g.stride_h, g.stride_w, g.dilation_h, g.dilation_w)  # fmt: skip
