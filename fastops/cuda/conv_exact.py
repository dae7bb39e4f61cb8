"""Convolutions an output at a time, from the products of its own window alone: for values that are not finite.

The tiles multiply the zeros around an image, too, and 0 * inf is NaN.  Only what came out infinite or NaN is made
again, as on the CPU; nobody waits to hear whether there is any.
"""

import numpy as np
from numba import float64

from ._launch import SIMULATED, THREADS, cuda, kernel
from .conv_window import axes, layout, window_sum
from .sums import block_sum

BLOCKS = 2 if SIMULATED else 1024

# ------------------------------------------------------------------------------------------------- kernels


@kernel(float64=True)
def _convolve_exact(out, x, w, bias, biased, flags, groups, vertical, horizontal, weights):
    # Nothing to do where every part of the weights was finite; else a thread owns every so many-th output.
    clean = 1
    for i in range(cuda.threadIdx.x, flags.size, THREADS):
        if flags[i] == 0:
            clean = 0
    if cuda.syncthreads_and(np.int32(clean)):
        return
    channels, out_channels, _, out_step = weights
    plane, width = vertical[1] * horizontal[1], horizontal[1]
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        if out[i] * out.dtype.type(0) != 0:  # true of NaN
            rest, pixel = i // plane, i % plane
            image, channel = rest // (groups * out_channels), rest % (groups * out_channels)
            group = channel // out_channels
            x_at = (image * groups + group) * channels * vertical[0] * horizontal[0]
            w_at = group * channels * out_channels * vertical[2] * horizontal[2] + channel % out_channels * out_step
            y = pixel // width
            s = window_sum(0.0, x, w, x_at, w_at, y, pixel - y * width, vertical, horizontal, weights)
            out[i] = s + bias[channel] if biased else s


@kernel(float64=True)
def _grad_weight_exact(grad, map, image, batch, groups, maps, channels, map_size, image_size, kernels, strides, pads,
                       dilations):  # fmt: skip
    # A block owns every so many-th weight, and a thread every so many-th pixel of the map.
    partial = cuda.shared.array(THREADS, float64)
    map_height, map_width = map_size
    height, width = image_size
    size = kernels[0] * kernels[1]
    for weight in range(cuda.blockIdx.x, grad.size, cuda.gridDim.x):
        if grad[weight] * grad.dtype.type(0) != 0:
            m, rest = weight // (channels * size), weight % (channels * size)
            c, ky, kx = rest // size, rest % size // kernels[1], rest % kernels[1]
            channel = m // maps * channels + c
            s = 0.0
            for pixel in range(cuda.threadIdx.x, batch * map_height * map_width, THREADS):
                n, y, x = pixel // (map_height * map_width), pixel // map_width % map_height, pixel % map_width
                iy = y * strides[0] - pads[0] + ky * dilations[0]
                ix = x * strides[1] - pads[1] + kx * dilations[1]
                if 0 <= iy and iy < height and 0 <= ix and ix < width:
                    value = map[((n * groups * maps + m) * map_height + y) * map_width + x]
                    s += float64(value) * float64(image[((n * groups * channels + channel) * height + iy) * width + ix])
            s = block_sum(partial, s)
            if cuda.threadIdx.x == 0:
                grad[weight] = s
            cuda.syncthreads()


# ------------------------------------------------------------------------------------------------- entries


def convolve(out, input, weight, bias, flags, g, transposed):
    """Make the outputs again that are not finite, if a flag says that a weight is not."""
    biased = bias is not None
    out = input.place.lend(out)
    blocks = min(BLOCKS, -(-out.size // THREADS))
    vertical, horizontal = axes(g, transposed)
    _convolve_exact.blocks(input.place, blocks, THREADS, out, input, weight, bias if biased else weight, biased, flags,
                           g.groups, tuple(vertical), tuple(horizontal), tuple(layout(g, transposed)))  # fmt: skip


def grad_weight(out, map, image, g):
    """Make the gradients of weights again that are not finite."""
    out = map.place.lend(out)
    steps = (g.stride_h, g.stride_w), (g.pad_top, g.pad_left), (g.dilation_h, g.dilation_w)
    sizes = (g.map_height, g.map_width), (g.image_height, g.image_width), (g.kernel_height, g.kernel_width)
    maps, channels = g.map_channels // g.groups, g.image_channels // g.groups
    _grad_weight_exact.blocks(map.place, min(BLOCKS, out.size), THREADS, out, map, image, g.batch, g.groups, maps,
                              channels, *sizes, *steps)  # fmt: skip
