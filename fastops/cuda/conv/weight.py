"""The gradients of a convolution's weight and bias on CUDA.

    grad_weight[m, e] = sum over pixels p of all maps of map[m, p] * image[the pixel that p sees through e]

for conv2d (the map is grad_output) and conv_transpose2d (the map is the input) alike; e stands for (channel, ky, kx).
The pixels are split over blocks.  Sums of up to 4096 products are made in the arrays' dtype and joined in float64, all
in an order that depends on the sizes alone.
"""

import numpy as np
from numba import float64

from .._launch import THREADS, cuda, device, kernel
from .exact import BLOCKS
from .tiles import WANTED
from .weight_tiles import STEP, TILE_ELEMENTS, TILE_MAPS, WEIGHT_THREADS, _grad_weight_tiles
from .window import axes, divide, int32, int64, pixel_after, reaches_beyond, within

MOST = 4096  # pixels of a thread's sum
FEW = 8  # maps that share their images, up to which a tile is not worth its loads
_SUMS_ROOM = 4 * THREADS

# ------------------------------------------------------------------------------------------------- routines


@device
def four_sums(partial, a, b, c, d):
    """The sums of every thread's four values, for all threads of a block; ``partial`` is shared."""
    t = cuda.threadIdx.x
    partial[t], partial[THREADS + t], partial[2 * THREADS + t], partial[3 * THREADS + t] = a, b, c, d
    cuda.syncthreads()
    step = THREADS // 2
    while step > 0:
        if t < step:
            for at in range(t, 4 * THREADS, THREADS):
                partial[at] += partial[at + step]
        cuda.syncthreads()
        step //= 2
    a, b, c, d = partial[0], partial[THREADS], partial[2 * THREADS], partial[3 * THREADS]
    cuda.syncthreads()
    return a, b, c, d


# ------------------------------------------------------------------------------------------------- kernels


@kernel(float64=True)
def _grad_weight_few_maps(totals, map, image, groups, maps, channels, map_size, image_size, kernels, strides, pads,
                          dilations, pixels, per_split):  # fmt: skip
    # A block owns up to four weights of a kernel's row, and a split of the pixels; a thread every so many-th of these.
    partial = cuda.shared.array(_SUMS_ROOM, float64)
    map_height, map_width = map_size
    height, width = image_size
    kernel_height, kernel_width = kernels
    stride_y, stride_x = strides
    top, left = pads
    dilation_y, dilation_x = dilations
    plane, image_plane = map_height * map_width, height * width
    fours = (kernel_width + 3) // 4
    rest, four = divide(cuda.blockIdx.x, fours)
    rest, ky = divide(rest, kernel_height)
    rest, c = divide(rest, channels)
    split, m = divide(rest, groups * maps)
    group = divide(m, maps)[0]
    first = ((int64(split) * groups * maps + m) * channels + c) * kernel_height * kernel_width
    first = first + ky * kernel_width + four * 4
    kx = four * 4
    begin = int64(split) * per_split
    end = begin + per_split if begin + per_split <= pixels else pixels
    dilation = int32(dilation_x)
    dy, dx = int32(ky * dilation_y - top), int32(kx * dilation_x - left)
    zero = map.dtype.type(0)
    s0 = s1 = s2 = s3 = zero
    pixel = begin + cuda.threadIdx.x
    n = pixel // plane
    y, x = divide(pixel - n * plane, map_width)
    at = int32(n), y, x
    while pixel < end:
        n, y, x = at
        iy, ix = int32(y * stride_y + dy), int32(x * stride_x + dx)
        if within(iy, height):
            value = map[np.uint64((int64(n) * groups * maps + m) * plane + y * map_width + x)]
            image_at = (int64(n) * groups * channels + group * channels + c) * image_plane + iy * width + ix
            if within(ix, width):
                s0 += value * image[np.uint64(image_at)]
            ix = int32(ix + dilation)
            if within(ix, width) and kx + 1 < kernel_width:
                s1 += value * image[np.uint64(image_at + dilation)]
            ix = int32(ix + dilation)
            if within(ix, width) and kx + 2 < kernel_width:
                s2 += value * image[np.uint64(image_at + 2 * dilation)]
            ix = int32(ix + dilation)
            if within(ix, width) and kx + 3 < kernel_width:
                s3 += value * image[np.uint64(image_at + 3 * dilation)]
        at = pixel_after(at, THREADS, map_height, map_width)
        pixel += THREADS
    t0, t1, t2, t3 = four_sums(partial, float64(s0), float64(s1), float64(s2), float64(s3))
    if cuda.threadIdx.x == 0:
        totals[first] = t0
        if kx + 1 < kernel_width:
            totals[first + 1] = t1
        if kx + 2 < kernel_width:
            totals[first + 2] = t2
        if kx + 3 < kernel_width:
            totals[first + 3] = t3


@kernel(float64=True)
def _grad_weight_exact(grad, map, image, batch, groups, maps, channels, map_size, image_size, kernels, strides, pads,
                       dilations):  # fmt: skip
    # A block owns every so many-th weight, and a thread every so many-th pixel of the map.
    partial = cuda.shared.array(_SUMS_ROOM, float64)
    map_height, map_width = map_size
    height, width = image_size
    kernel_height, kernel_width = kernels
    stride_y, stride_x = strides
    top, left = pads
    dilation_y, dilation_x = dilations
    size = kernel_height * kernel_width
    for weight in range(cuda.blockIdx.x, grad.size, cuda.gridDim.x):
        if grad[weight] * grad.dtype.type(0) != 0:
            m, rest = weight // (channels * size), weight % (channels * size)
            c, ky, kx = rest // size, rest % size // kernel_width, rest % kernel_width
            channel = m // maps * channels + c
            s = 0.0
            for pixel in range(cuda.threadIdx.x, batch * map_height * map_width, THREADS):
                n, y, x = pixel // (map_height * map_width), pixel // map_width % map_height, pixel % map_width
                iy = y * stride_y - top + ky * dilation_y
                ix = x * stride_x - left + kx * dilation_x
                if 0 <= iy and iy < height and 0 <= ix and ix < width:
                    value = map[((n * groups * maps + m) * map_height + y) * map_width + x]
                    s += float64(value) * float64(image[((n * groups * channels + channel) * height + iy) * width + ix])
            s = four_sums(partial, s, 0.0, 0.0, 0.0)[0]
            if cuda.threadIdx.x == 0:
                grad[weight] = s


@kernel(float64=True)
def _grad_bias(totals, x, channels, plane, pixels, per_split):
    # A block owns a split of a channel's pixels.
    partial = cuda.shared.array(_SUMS_ROOM, float64)
    split, channel = divide(cuda.blockIdx.x, channels)
    pixel = int64(split) * per_split + cuda.threadIdx.x
    end = (int64(split) + 1) * per_split
    end = end if end < pixels else pixels
    n = pixel // plane
    rest = pixel - n * plane
    s = 0.0
    while pixel < end:
        s += float64(x[np.uint64((n * channels + channel) * plane + rest)])
        pixel += THREADS
        rest += THREADS
        while rest >= plane:
            rest -= plane
            n += 1
    s = four_sums(partial, s, 0.0, 0.0, 0.0)[0]
    if cuda.threadIdx.x == 0:
        totals[cuda.blockIdx.x] = s


@kernel(float64=True)
def _join(out, totals, splits):
    # A thread owns a gradient: the splits join in their order.
    i = cuda.grid(1)
    if i < out.size:
        s = 0.0
        for split in range(splits):
            s += totals[split * out.size + i]
        out[i] = s


# ------------------------------------------------------------------------------------------------- entries


def grad_weight(out, map, image, g):
    """The gradient of a weight of shape (map channels, image channels / groups, height, width)."""
    place = map.place
    maps, channels = g.map_channels // g.groups, g.image_channels // g.groups
    pixels = g.batch * g.map_height * g.map_width
    size = g.map_channels * channels * g.kernel_height * g.kernel_width
    if maps <= FEW:
        run, threads, step = _grad_weight_few_maps, THREADS, THREADS
        blocks = g.map_channels * channels * g.kernel_height * -(-g.kernel_width // 4)
        longest = MOST * THREADS
    else:
        run, threads, step = _grad_weight_tiles, WEIGHT_THREADS, STEP
        blocks = g.groups * -(-maps // TILE_MAPS) * -(-channels * g.kernel_height * g.kernel_width // TILE_ELEMENTS)
        longest = 2**30
    per_split = _split(pixels, blocks, step, 16 * step, longest)
    splits = -(-pixels // per_split)  # none without images
    totals = place.empty(max(splits, 1) * size, np.dtype(np.float64))
    sizes = (g.map_height, g.map_width), (g.image_height, g.image_width), (g.kernel_height, g.kernel_width)
    steps = (g.stride_h, g.stride_w), (g.pad_top, g.pad_left), (g.dilation_h, g.dilation_w)
    run.blocks(place, blocks * splits, threads, totals, map, image, g.groups, maps, channels, *sizes, *steps, pixels,
               per_split)  # fmt: skip
    _join.threads(place, size, out, totals, splits)
    if maps > FEW and any(reaches_beyond(axis) for axis in axes(g, False)):  # a zero outside may have met an infinity
        _grad_weight_exact.blocks(place, min(BLOCKS, size), THREADS, out, map, image, g.batch, g.groups, maps, channels,
                                  *sizes, *steps)  # fmt: skip


def grad_bias(out, grad_output, batch):
    """The sum over images and pixels."""
    place = grad_output.place
    channels = place.lend(out).size
    plane = grad_output.size // max(1, batch * channels)
    pixels = batch * plane
    per_split = _split(pixels, channels, THREADS, 16 * THREADS, 2**40)
    splits = -(-pixels // per_split)
    totals = place.empty(max(splits, 1) * channels, np.dtype(np.float64))
    _grad_bias.blocks(
        place, splits * channels, THREADS, totals, grad_output, channels, max(plane, 1), pixels, per_split
    )
    _join.threads(place, channels, out, totals, splits)


def _split(pixels, blocks, step, least, most):
    """How many pixels, in whole steps, a block has, so that there are enough blocks."""
    splits = max(1, min(2 * WANTED // max(blocks, 1), pixels // least), -(-pixels // most))
    return max(1, -(-pixels // (splits * step))) * step
