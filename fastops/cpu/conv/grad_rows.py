"""The gradient of a convolution's weight as dots of rows of pixels: for every geometry.

In the coordinates of direct.py, with the map laid out in rows as wide as the buffer's and 0 beyond its own width,

    grad_weight[m, k] = sum over pixels i of all images of map[m, i] * buffer[i + offset[k]]

for conv2d (the map is grad_output) and conv_transpose2d (the map is the input) alike.  Dots of up to PIXELS pixels are
added to float64 totals in a fixed order.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from ..._jit import kernel
from ..simd.emit import lanes
from .copy import padded_copy
from .micro_kernel import VECTORS, add_dots
from .plan import Axis, Integers, conv2d_plan

MAPS, ELEMENTS = 16, 48  # weights of a task: a multiple of the tile of the dots
BUFFER_BYTES = 4 * 2**20  # copies of so many images at a time
PIXELS = 2048  # pixels of a dot: 16 maps of them are 128 KiB and stay in L2, an input channel in L1

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _grad_weight(totals, maps, buffer, offsets, groups, map_channels, map_step, group_step, length):
    # totals is (map channels, kernel elements), float64; an iteration owns MAPS x ELEMENTS of it within a group.
    per_group, elements = map_channels // groups, offsets.size
    map_blocks, element_blocks = -(-per_group // MAPS), -(-elements // ELEMENTS)
    for task in prange(groups * map_blocks * element_blocks):
        k0 = task % element_blocks * ELEMENTS
        group = task // element_blocks // map_blocks
        m0 = group * per_group + task // element_blocks % map_blocks * MAPS
        rows, k1 = min(MAPS, (group + 1) * per_group - m0), min(k0 + ELEMENTS, elements)
        for first in range(0, length, PIXELS):
            last = min(first + PIXELS, length)
            add_dots(totals, m0 * elements + k0, elements, rows, maps, m0 * map_step, map_step, buffer,
                     group * group_step, offsets, k0, k1, first, last)  # fmt: skip


# ------------------------------------------------------------------------------------------------- entries


class Layout(NamedTuple):
    """Where the buffers hold the images of a batch: those of one channel side by side, so that dots are long."""

    offsets: Integers  # of each kernel element
    image_step: int
    phase_step: int
    channel_step: int  # of (channels, phases, images, rows, columns)
    map_step: int  # of (channels, images, rows, columns) and zeros for the last vector
    length: int  # pixels from the first map's first to the last map's last


@lru_cache(maxsize=64)
def layout_of_batch(g: Any, images: int, itemsize: int) -> Layout:
    """The layout for so many images of a geometry."""
    plan, channels = conv2d_plan(g, itemsize), g.image_channels // g.groups
    image_step = plan.y.size * plan.x.size
    phase_step = images * image_step
    channel_step = plan.y.shifts.size * plan.x.shifts.size * phase_step
    phases = plan.y.plane[:, None] * plan.x.shifts.size + plan.x.plane
    places = phases * phase_step + plan.y.row[:, None] * plan.x.size + plan.x.row
    offsets = np.arange(channels)[:, None] * channel_step + places.reshape(-1)
    length = (images - 1) * image_step + (g.map_height - 1) * plan.x.size + g.map_width
    return Layout(offsets.reshape(-1), image_step, phase_step, channel_step, phase_step + lanes(itemsize), length)


def grad_weight(out, map, image, g):
    """Fill ``out``; whether it is finite."""
    plan = conv2d_plan(g, out.itemsize)
    map = map.reshape(g.batch, g.map_channels, g.map_height, g.map_width)
    image = image.reshape(g.batch, g.image_channels, g.image_height, g.image_width)
    whole = layout_of_batch(g, 1, out.itemsize)
    size = (g.map_channels * whole.map_step + g.image_channels * whole.channel_step) * out.itemsize
    together = max(1, min(g.batch, BUFFER_BYTES // size))
    totals = np.zeros(g.map_channels * plan.offsets.size)
    none = np.zeros(1, np.int64)
    map_axes = Axis(plan.y.size, 0, 1, none, none, none), Axis(plan.x.size, 0, 1, none, none, none)
    for n in range(0, g.batch, together):
        count = min(together, g.batch - n)
        at = layout_of_batch(g, count, out.itemsize)
        maps = buffer = None  # the last images' copies, before there are new ones
        maps = np.empty((g.map_channels, at.map_step), out.dtype)
        maps[:, at.phase_step :] = 0
        maps, end = maps.reshape(-1), g.image_channels * at.channel_step
        buffer = np.empty(end + VECTORS * lanes(out.itemsize), out.dtype)
        buffer[end:] = 0
        padded_copy(maps, map[n : n + count], *map_axes, at.image_step, at.map_step, at.phase_step)
        padded_copy(buffer, image[n : n + count], plan.y, plan.x, at.image_step, at.channel_step, at.phase_step)
        _grad_weight(at.length * totals.size // 8)(totals, maps, buffer, at.offsets, g.groups, g.map_channels,
                                                   at.map_step, end // g.groups, at.length)  # fmt: skip
    with np.errstate(all="ignore"):
        out[...] = totals.reshape(out.shape)
    return bool(np.isfinite(totals).all())  # else an infinity may have met a zero beyond the map's width
