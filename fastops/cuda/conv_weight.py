"""The gradients of a convolution's weight and bias on CUDA.

    grad_weight[m, e] = sum over pixels p of all maps of map[m, p] * image[the pixel that p sees through e]

for conv2d (the map is grad_output) and conv_transpose2d (the map is the input) alike; e stands for (channel, ky, kx).
The pixels are split over blocks.  Sums of up to 4096 products are made in the arrays' dtype and joined in float64, all
in an order that depends on the sizes alone.
"""

import numpy as np
from numba import float64

from ._launch import SIMULATED, THREADS, cuda, device, kernel
from .conv_exact import BLOCKS
from .conv_tiles import FAR, WANTED, multiply_add, no_sums
from .conv_window import axes, divide, int32, int64, routine, within
from .conv_window import pads as reaches_beyond
from .vectors import load4

ACROSS = 2 if SIMULATED else 8  # threads across a tile's maps, 8 each; the others lie along its elements, 4 each
BLOCK = 4 * ACROSS * ACROSS
STEP = ACROSS  # pixels that a block reads at once
UNROLLED = 2 if SIMULATED else 4
CHUNK = 8 if SIMULATED else 1024  # pixels of a sum in a tile
MOST = 4096  # pixels of a thread's sum
FEW = 8  # maps that share their images, up to which a tile is not worth its loads

TILE_MAPS, TILE_ELEMENTS = 8 * ACROSS, 16 * ACROSS
PITCH_MAPS, PITCH_ELEMENTS = TILE_MAPS + 4, TILE_ELEMENTS + 4  # the threads of a warp write to different banks
ROWS = BLOCK // STEP
SUMS_ROOM = 4 * THREADS
_MAPS_ROOM, _ELEMENTS_ROOM = 2 * STEP * PITCH_MAPS, 2 * STEP * PITCH_ELEMENTS

# ------------------------------------------------------------------------------------------------- routines


@routine
def pixel_after(at, count, height, width):
    """The pixel (image, y, x) that comes so many after another."""
    n, y, x = at
    x = int32(x + count)
    while x >= width:
        x = int32(x - width)
        y = int32(y + 1)
        if y == height:
            y = int32(0)
            n = int32(n + 1)
    return n, y, x


@routine
def element_of(e, elements, kernels, pads, dilations, image_size):
    """(where element e lies from a window's first pixel on, rows to it, columns to it), far away beyond the last."""
    height, width = image_size
    channel, tap = divide(e, kernels[0] * kernels[1])
    ky, kx = divide(tap, kernels[1])
    dy, dx = int32(ky * dilations[0] - pads[0]), int32(kx * dilations[1] - pads[1])
    return (int64(channel) * height + dy) * width + dx, dy if e < elements else int32(-FAR), dx


@routine
def seen(image, known, place, y, x, element, height, width):
    """The value that the pixel whose window begins at (y, x), at a place, sees through an element; 0 outside."""
    more, dy, dx = element
    inside = known & within(y + dy, height) & within(x + dx, width)
    return image[np.uint64(place + more)] if inside else image.dtype.type(0)


@routine
def join_row(totals, begins, row, known, e, elements, a, b, c, d):
    """Add four neighbouring sums to the totals, or put them there."""
    if known:
        at = row * elements + e
        if e < elements:
            totals[np.uint64(at)] = a if begins else totals[np.uint64(at)] + a
        if e + 1 < elements:
            totals[np.uint64(at + 1)] = b if begins else totals[np.uint64(at + 1)] + b
        if e + 2 < elements:
            totals[np.uint64(at + 2)] = c if begins else totals[np.uint64(at + 2)] + c
        if e + 3 < elements:
            totals[np.uint64(at + 3)] = d if begins else totals[np.uint64(at + 3)] + d


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
def _grad_weight(totals, map, image, groups, maps, channels, map_size, image_size, kernels, strides, pads, dilations,
                 pixels, per_split):  # fmt: skip
    # A block owns a tile of maps times elements of a group, and a split of the pixels.  A thread reads two maps and
    # four elements at one pixel for the next step while it multiplies those of this one.
    map_tile = cuda.shared.array(_MAPS_ROOM, map.dtype)
    element_tile = cuda.shared.array(_ELEMENTS_ROOM, map.dtype)
    later = cuda.shared.array(3, int64)  # for the end of a chunk, rather than in every thread's registers
    zero = map.dtype.type(0)
    t = int32(cuda.threadIdx.x)
    map_height, map_width = map_size
    height, width = image_size
    plane, image_plane = map_height * map_width, height * width
    elements = int32(channels * kernels[0] * kernels[1])
    rest, e0 = divide(cuda.blockIdx.x, (elements + TILE_ELEMENTS - 1) // TILE_ELEMENTS)
    rest, m0 = divide(rest, (maps + TILE_MAPS - 1) // TILE_MAPS)
    split, group = divide(rest, groups)
    begin = int64(split) * per_split
    count = int32(per_split if begin + per_split <= pixels else pixels - begin)
    steps = int32((count + STEP - 1) // STEP)

    column, row = t % STEP, t // STEP
    pixel = begin + column
    n = pixel // plane
    y, x = divide(pixel - n * plane, map_width)
    n = int32(n)
    m, e = m0 * TILE_MAPS + row, e0 * TILE_ELEMENTS + row
    map_row = (int64(group) * maps + m) * plane
    element0 = element_of(e, elements, kernels, pads, dilations, image_size)
    element1 = element_of(e + ROWS, elements, kernels, pads, dilations, image_size)
    element2 = element_of(e + 2 * ROWS, elements, kernels, pads, dilations, image_size)
    element3 = element_of(e + 3 * ROWS, elements, kernels, pads, dilations, image_size)
    image_group = int64(group) * channels * image_plane
    down, right, second = int32(strides[0]), int32(STEP * strides[1]), ROWS * plane
    map_at = int64(n) * groups * maps * plane + map_row + y * map_width + x
    top, left = int32(y * down), int32(x * strides[1])
    image_at = int64(n) * groups * channels * image_plane + image_group + top * width + left
    map_to, element_to = column * PITCH_MAPS + row, column * PITCH_ELEMENTS + row

    across_at, along_at = int32(t // (4 * ACROSS) * 4), int32(t % (4 * ACROSS) * 4)
    if t == 0:
        later[0], later[1] = (int64(split) * groups + group) * maps, int64(m0 * TILE_MAPS)
        later[2] = int64(e0 * TILE_ELEMENTS)
    none = no_sums(zero)
    s = none
    begins = True
    u0 = u1 = v0 = v1 = v2 = v3 = zero
    for step in range(int32(0), int32(steps + 1)):
        if step < steps:
            known = step * STEP + column < count
            u0 = map[np.uint64(map_at)] if known & (m < maps) else zero
            u1 = map[np.uint64(map_at + second)] if known & (m + ROWS < maps) else zero
            v0 = seen(image, known, image_at, top, left, element0, height, width)
            v1 = seen(image, known, image_at, top, left, element1, height, width)
            v2 = seen(image, known, image_at, top, left, element2, height, width)
            v3 = seen(image, known, image_at, top, left, element3, height, width)
            x = int32(x + STEP)
            map_at += STEP
            left = int32(left + right)
            image_at += right
            if x >= map_width:
                n, y, x = pixel_after((n, y, x), 0, map_height, map_width)
                map_at = int64(n) * groups * maps * plane + map_row + y * map_width + x
                top, left = int32(y * down), int32(x * strides[1])
                image_at = int64(n) * groups * channels * image_plane + image_group + top * width + left
        if step > 0:
            half = ~step & 1
            map_from = int32(half * (STEP * PITCH_MAPS) + across_at)
            element_from = int32(half * (STEP * PITCH_ELEMENTS) + along_at)
            for _ in range(STEP // UNROLLED):
                for k in range(UNROLLED):
                    low = load4(map_tile, map_from + k * PITCH_MAPS)
                    high = load4(map_tile, map_from + k * PITCH_MAPS + 4 * ACROSS)
                    s = multiply_add(s, low + high, load4(element_tile, element_from + k * PITCH_ELEMENTS))
                map_from = int32(map_from + UNROLLED * PITCH_MAPS)
                element_from = int32(element_from + UNROLLED * PITCH_ELEMENTS)
            if step & (CHUNK // STEP - 1) == 0 or step == steps:
                first_row, e_sum = later[0], later[2] + t % (4 * ACROSS) * 4
                for half in range(2):
                    r = later[1] + t // (4 * ACROSS) * 4 + 4 * ACROSS * half
                    if half:
                        s = s[16:32] + s[0:16]
                    join_row(totals, begins, first_row + r, r < maps, e_sum, elements, s[0], s[1], s[2], s[3])
                    r += 1
                    join_row(totals, begins, first_row + r, r < maps, e_sum, elements, s[4], s[5], s[6], s[7])
                    r += 1
                    join_row(totals, begins, first_row + r, r < maps, e_sum, elements, s[8], s[9], s[10], s[11])
                    r += 1
                    join_row(totals, begins, first_row + r, r < maps, e_sum, elements, s[12], s[13], s[14], s[15])
                s = none
                begins = False
        if step < steps:
            to = int32((step & 1) * (STEP * PITCH_MAPS) + map_to)
            map_tile[np.uint64(to)] = u0
            map_tile[np.uint64(to + ROWS)] = u1
            to = int32((step & 1) * (STEP * PITCH_ELEMENTS) + element_to)
            element_tile[np.uint64(to)] = v0
            element_tile[np.uint64(to + ROWS)] = v1
            element_tile[np.uint64(to + 2 * ROWS)] = v2
            element_tile[np.uint64(to + 3 * ROWS)] = v3
        cuda.syncthreads()


@kernel(float64=True)
def _grad_weight_few_maps(totals, map, image, groups, maps, channels, map_size, image_size, kernels, strides, pads,
                          dilations, pixels, per_split):  # fmt: skip
    # A block owns up to four weights of a kernel's row, and a split of the pixels; a thread every so many-th of these.
    partial = cuda.shared.array(SUMS_ROOM, float64)
    map_height, map_width = map_size
    height, width = image_size
    plane, image_plane = map_height * map_width, height * width
    fours = (kernels[1] + 3) // 4
    rest, four = divide(cuda.blockIdx.x, fours)
    rest, ky = divide(rest, kernels[0])
    rest, c = divide(rest, channels)
    split, m = divide(rest, groups * maps)
    group = divide(m, maps)[0]
    first = ((int64(split) * groups * maps + m) * channels + c) * kernels[0] * kernels[1] + ky * kernels[1] + four * 4
    kx = four * 4
    begin = int64(split) * per_split
    end = begin + per_split if begin + per_split <= pixels else pixels
    dilation = int32(dilations[1])
    dy, dx = int32(ky * dilations[0] - pads[0]), int32(kx * dilations[1] - pads[1])
    zero = map.dtype.type(0)
    s0 = s1 = s2 = s3 = zero
    pixel = begin + cuda.threadIdx.x
    n = pixel // plane
    y, x = divide(pixel - n * plane, map_width)
    at = int32(n), y, x
    while pixel < end:
        n, y, x = at
        iy, ix = int32(y * strides[0] + dy), int32(x * strides[1] + dx)
        if within(iy, height):
            value = map[np.uint64((int64(n) * groups * maps + m) * plane + y * map_width + x)]
            image_at = (int64(n) * groups * channels + group * channels + c) * image_plane + iy * width + ix
            if within(ix, width):
                s0 += value * image[np.uint64(image_at)]
            ix = int32(ix + dilation)
            if within(ix, width) and kx + 1 < kernels[1]:
                s1 += value * image[np.uint64(image_at + dilation)]
            ix = int32(ix + dilation)
            if within(ix, width) and kx + 2 < kernels[1]:
                s2 += value * image[np.uint64(image_at + 2 * dilation)]
            ix = int32(ix + dilation)
            if within(ix, width) and kx + 3 < kernels[1]:
                s3 += value * image[np.uint64(image_at + 3 * dilation)]
        at = pixel_after(at, THREADS, map_height, map_width)
        pixel += THREADS
    t0, t1, t2, t3 = four_sums(partial, float64(s0), float64(s1), float64(s2), float64(s3))
    if cuda.threadIdx.x == 0:
        totals[first] = t0
        if kx + 1 < kernels[1]:
            totals[first + 1] = t1
        if kx + 2 < kernels[1]:
            totals[first + 2] = t2
        if kx + 3 < kernels[1]:
            totals[first + 3] = t3


@kernel(float64=True)
def _grad_weight_exact(grad, map, image, batch, groups, maps, channels, map_size, image_size, kernels, strides, pads,
                       dilations):  # fmt: skip
    # A block owns every so many-th weight, and a thread every so many-th pixel of the map.
    partial = cuda.shared.array(SUMS_ROOM, float64)
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
            s = four_sums(partial, s, 0.0, 0.0, 0.0)[0]
            if cuda.threadIdx.x == 0:
                grad[weight] = s


@kernel(float64=True)
def _grad_bias(totals, x, channels, plane, pixels, per_split):
    # A block owns a split of a channel's pixels.
    partial = cuda.shared.array(SUMS_ROOM, float64)
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
        run, threads, step = _grad_weight, BLOCK, STEP
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
