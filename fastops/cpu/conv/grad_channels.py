"""The gradient of a convolution's weight where there are channels enough to fill vectors.

    grad_weight[m, c, tap] = sum over images and map pixels i of map[m, i] * image[c, pixel that i sees through the tap]

is, for each tap, a product of (maps, pixels) and (pixels, channels): with the images' channels last, a row of channels
is contiguous, and the micro-kernel of the convolution does the rest.  No pixel is computed that is not there, which for
maps of 7 x 7 made dots over padded rows 1.7 times as long, and no vector has to be summed up at the end.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import prange

from ..._jit import index, kernel
from ..simd.emit import lanes
from .exact import finite
from .micro_kernel import VECTORS, add_products
from .plan import Integers
from .turned import read_turned

MAPS = 16  # of a task
PIXELS = 128  # whose channels stay in L1 while all taps pass: 128 x 48 are 24 KiB
LONGEST_PIXEL_SUM = 4096  # pixels summed in the arrays' own type, in parts of PIXELS, before they join float64 totals
BUFFER_BYTES = 4 * 2**20  # copies of so many images at a time
SQUARE = 16  # pixels of a task that turns them

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _channels_last(out, x, channels, plane):
    # (images, channels, plane) becomes (images, plane + 1, channels), the last pixel 0; an iteration owns an image's
    # SQUARE pixels.
    blocks, step = plane // SQUARE + 1, (plane + 1) * channels
    for task in prange(x.size // (channels * plane) * blocks):
        n, first = task // blocks, task % blocks * SQUARE
        last = min(first + SQUARE, plane)
        at = n * channels * plane + first
        read_turned(out, n * step + first * channels, channels, x, at, plane, channels, last - first)
        if last == plane:
            for c in range(channels):
                out[index(n * step + plane * channels + c)] = 0


@kernel
def _grad_weight_channels(grad, totals, maps, x, image_size, pixels, images, map_channels, channels, groups):
    # maps is (images, map_channels, plane), x has channels last, pixels is (taps, plane): places in an image of x.
    # An iteration owns MAPS maps and up to VECTORS vectors of channels, for all taps.  It adds to the float64 totals,
    # or writes the gradient where there are none because the pixels are few.
    taps, plane = pixels.shape
    per_group, per_map, lane_count = map_channels // groups, channels // groups, lanes(x.itemsize)
    map_blocks, vectors = -(-per_group // MAPS), -(-per_map // lane_count)
    parts = -(-vectors // VECTORS)
    for task in prange(groups * map_blocks * parts):
        part, group = task % parts, task // parts // map_blocks
        m0 = group * per_group + task // parts % map_blocks * MAPS
        rows = min(MAPS, (group + 1) * per_group - m0)
        v0, v1 = part * vectors // parts, (part + 1) * vectors // parts
        count, wide = v1 - v0, (v1 - v0) * lane_count
        c0, kept = (
            v0 * lane_count,
            min(wide, per_map - v0 * lane_count),
        )  # lanes beyond see other channels and are dropped
        sums, done = np.empty(taps * rows * wide, x.dtype), 0
        for n in range(images):
            start = n * image_size + group * per_map + c0
            row = (n * map_channels + m0) * plane
            for k0 in range(0, plane, PIXELS):
                k1 = min(k0 + PIXELS, plane)
                for tap in range(taps):
                    to = sums[tap * rows * wide : (tap + 1) * rows * wide]
                    add_products(rows, count, to, wide, maps, row, plane, x, start, pixels[tap], k0, k1, done > 0)
                done += k1 - k0
                if totals.size > 0 and (done >= LONGEST_PIXEL_SUM or (n == images - 1 and k1 == plane)):
                    for r in range(rows):
                        to_r = ((m0 + r) * per_map + c0) * taps
                        for tap in range(taps):
                            for c in range(kept):
                                totals[index(to_r + c * taps + tap)] += sums[index((tap * rows + r) * wide + c)]
                    done = 0
        if totals.size == 0:
            for r in range(rows):
                to_r = ((m0 + r) * per_map + c0) * taps
                for tap in range(taps):
                    for c in range(kept):
                        grad[index(to_r + c * taps + tap)] = sums[index((tap * rows + r) * wide + c)]


# ------------------------------------------------------------------------------------------------- entries


@lru_cache(maxsize=64)
def pixels_of(g: Any) -> Integers:
    """(taps, map pixels): the place of the pixel that a map pixel sees, channels last; outside the image it is 0's."""
    sides = []
    for count, size, elements, stride, pad, dilation in (
        (g.map_height, g.image_height, g.kernel_height, g.stride_h, g.pad_top, g.dilation_h),
        (g.map_width, g.image_width, g.kernel_width, g.stride_w, g.pad_left, g.dilation_w),
    ):
        place = np.arange(elements)[:, None] * dilation + np.arange(count) * stride - pad
        sides.append(np.where((place >= 0) & (place < size), place, -1))
    y, x = sides[0][:, None, :, None], sides[1][None, :, None, :]
    place = np.where((y < 0) | (x < 0), g.image_height * g.image_width, y * g.image_width + x) * g.image_channels
    return np.ascontiguousarray(place.reshape(g.kernel_height * g.kernel_width, -1))


def grad_weight(out, map, image, g):
    """Fill ``out``; whether it is finite (else an infinity may have met a zero outside an image)."""
    plane, pixels = g.image_height * g.image_width, g.map_height * g.map_width
    image_size, slack = (plane + 1) * g.image_channels, VECTORS * lanes(out.itemsize)
    together = max(1, min(g.batch, BUFFER_BYTES // (image_size * out.itemsize)))
    x = np.empty(together * image_size + slack, out.dtype)
    x[-slack:] = 0  # the last vectors reach beyond
    short = together == g.batch and g.batch * pixels <= LONGEST_PIXEL_SUM
    totals = np.zeros(0 if short else out.size)
    grad, map, image = out.reshape(-1), map.reshape(g.batch, -1), image.reshape(g.batch, -1)
    for n in range(0, g.batch, together):
        maps, images = map[n : n + together], image[n : n + together]
        _channels_last(images.size)(x, images.reshape(-1), g.image_channels, plane)
        _grad_weight_channels(out.size * len(maps) * pixels // 8)(
            grad, totals, maps.reshape(-1), x, image_size, pixels_of(g), len(maps), g.map_channels, g.image_channels,
            g.groups,
        )  # fmt: skip
    if not short:
        with np.errstate(all="ignore"):
            grad[...] = totals
    return finite(grad)
