"""The gradient of a convolution's weight in tiles: maps times elements of windows, with the sums in registers.

A block reads some pixels of its maps, and of what they see through its elements, after the other into shared memory.
"""

import numpy as np

from .._launch import SIMULATED, cuda, kernel
from ..vectors import load4
from .tiles import FAR, multiply_add, no_sums
from .window import divide, int32, int64, pixel_after, routine, within

ACROSS = 2 if SIMULATED else 8  # threads across a tile's maps, 8 each; the others lie along its elements, 4 each
WEIGHT_THREADS = 4 * ACROSS * ACROSS  # of a block
STEP = ACROSS  # pixels that a block reads at once
UNROLLED = 2 if SIMULATED else 4
CHUNK = 8 if SIMULATED else 1024  # pixels of a sum in a tile
TILE_MAPS, TILE_ELEMENTS = 8 * ACROSS, 16 * ACROSS
PITCH_MAPS, PITCH_ELEMENTS = TILE_MAPS + 4, TILE_ELEMENTS + 4  # the threads of a warp write to different banks
ROWS = WEIGHT_THREADS // STEP
_MAPS_ROOM, _ELEMENTS_ROOM = 2 * STEP * PITCH_MAPS, 2 * STEP * PITCH_ELEMENTS

# ------------------------------------------------------------------------------------------------- routines


@routine
def element_of(e, elements, kernels, pads, dilations, image_size):
    """(where element e lies from a window's first pixel on, rows to it, columns to it), far away beyond the last."""
    height, width = image_size
    kernel_height, kernel_width = kernels
    top, left = pads
    dilation_y, dilation_x = dilations
    channel, tap = divide(e, kernel_height * kernel_width)
    ky, kx = divide(tap, kernel_width)
    dy, dx = int32(ky * dilation_y - top), int32(kx * dilation_x - left)
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


# ------------------------------------------------------------------------------------------------- kernels


@kernel(float64=True)
def _grad_weight_tiles(totals, map, image, groups, maps, channels, map_size, image_size, kernels, strides, pads,
                       dilations, pixels, per_split):  # fmt: skip
    # A block owns a tile of maps times elements of a group, and a split of the pixels.  A thread reads two maps and
    # four elements at one pixel for the next step while it multiplies those of this one.
    map_tile = cuda.shared.array(_MAPS_ROOM, map.dtype)
    element_tile = cuda.shared.array(_ELEMENTS_ROOM, map.dtype)
    later = cuda.shared.array(3, int64)  # for the end of a chunk, rather than in every thread's registers
    zero = map.dtype.type(0)
    t = int32(cuda.threadIdx.x)
    map_height, map_width = map_size
    height, width = image_size
    kernel_height, kernel_width = kernels
    stride_y, stride_x = strides
    plane, image_plane = map_height * map_width, height * width
    elements = int32(channels * kernel_height * kernel_width)
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
    down, right, second = int32(stride_y), int32(STEP * stride_x), ROWS * plane
    map_at = int64(n) * groups * maps * plane + map_row + y * map_width + x
    top, left = int32(y * down), int32(x * stride_x)
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
                top, left = int32(y * down), int32(x * stride_x)
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
