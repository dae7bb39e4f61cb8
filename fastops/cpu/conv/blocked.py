"""The blocked convolution: output channels in vectors, pixels one by one.  For every geometry.

    out[oc, q] = sum over k = (ic, ky, kx) of weight[oc, k] * input[start[q] + offset[k]]

as the direct convolution has it, but with a vector of output channels where that has a vector of pixels: a tile is
any few pixels, from the end of one row and the start of the next or from two images, so that no lane is empty on
maps of 7 x 7, a stride costs nothing, and a first layer of 3 channels is like any other.  The input stays as it is,
(N, C, H, W), zero-padded where the kernel reaches beyond it; the weights are packed in the order in which they are
read, which layers in evaluation do once; the sums of a task are turned into (channels, pixels) when they are complete.
Source of the tile: Georganas et al., arXiv 1808.05567, whose activations are in blocks of channels, too.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import carray, prange

from ..._jit import VECTOR_BYTES, index, kernel, routine, thread_count
from ..simd.emit import lanes, stack_memory
from ..simd.values import fields
from ..tasks import LINE, bands_of, in_bands, next_task
from .blocked_plan import SUMS_BYTES, BlockedPlan, Phase, blocked_plan, chunks_of
from .copy import copied_bands, copy_channel
from .direct import fill
from .direct_plan import images_together
from .exact import not_finite
from .finish import Finish, bend_rows, part_of
from .micro_kernel import PIXEL_HEIGHTS, PIXEL_VECTORS, PIXELS, add_pixels
from .outcome import Outcome
from .plan import LONGEST_SUM, Layout, Sides, copy_parts, sides
from .turned import read_turned, write_turned

PACKED = 64  # weights of each channel that are packed at a time
CHANNELS = 16  # input channels that are, of a transposed convolution
# Tasks that share a block of weights pack them each for itself, if they are so few, in L1 and L2.  9 MB of new memory
# cost more than the products of 7x7 pixels: 2 ms of page faults and writes beside 1.1 ms.
FEW_CHUNKS = 4
BUFFER_BYTES = 4 * 2**20  # padded copies of so many images at a time: each time all weights are read

# ------------------------------------------------------------------------------------------------ routines

_MOST = SUMS_BYTES // (PIXEL_VECTORS * VECTOR_BYTES)  # pixels of a task
_sums_of_a_task = stack_memory(SUMS_BYTES + VECTOR_BYTES // 4 * PIXEL_VECTORS * VECTOR_BYTES)
_packed_of_a_task = stack_memory(LONGEST_SUM * PIXEL_VECTORS * VECTOR_BYTES)
_starts_of_a_task = stack_memory((_MOST + max(PIXELS.values())) * 8)
_layout, _phase, _chunk, _pair = fields(len(Layout._fields)), fields(len(Phase._fields)), fields(3), fields(2)

# For so many vectors of channels, the tile of least height that so many pixels fit into.
_HEIGHT = np.array(
    [
        [min([height for height in PIXEL_HEIGHTS.get(count, (1,)) if height >= rest], default=PIXELS.get(count, 1))
         for rest in range(max(PIXELS.values()) + 1)]
        for count in range(PIXEL_VECTORS + 1)
    ]
)  # fmt: skip


@routine
def _pack_products(packed, to, wide, w, at, places, step, k0, k1, channels):
    """packed[to + (k - k0) * wide + c] = w[at + c * step + places[k]] for k0 <= k < k1, 0 from ``channels`` on."""
    if channels < wide:
        for i in range((k1 - k0) * wide):
            packed[index(to + i)] = 0
    if k1 > k0 and step > places[k1 - 1] and places[k1 - 1] - places[k0] == k1 - k0 - 1:  # side by side
        read_turned(packed, to, wide, w, at + places[k0], step, channels, k1 - k0)
    elif step == 1:  # channels are
        for k in range(k0, k1):
            for c in range(channels):
                packed[index(to + (k - k0) * wide + c)] = w[index(at + places[k] + c)]
    else:
        for k in range(k0, k1):
            for c in range(channels):
                packed[index(to + (k - k0) * wide + c)] = w[index(at + c * step + places[k])]


@routine
def _add_tiles(sums, w, row, source, starts, offsets, pixels, count, wide, k0, k1, adds):
    """The products k0 to k1 of some pixels with ``count`` vectors of output channels, tile by tile."""
    most, q, ahead = _HEIGHT[count, _HEIGHT.shape[1] - 1], 0, row + k1 * wide
    while q < pixels:
        tall = _HEIGHT[count, min(pixels - q, most)]
        add_pixels(tall, count, sums, q * wide, w, row, ahead, source, starts[q:], offsets, k0, k1, adds)
        q += tall
        ahead += (k1 - k0) * (64 // w.itemsize)


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _pack(packed, w, places, step, edges, groups, filters):
    # The weights of a group become blocks of vectors of output channels, (product, channel); an iteration owns PACKED
    # products of a block.
    lane_count, count, blocks = lanes(w.itemsize), places.size, edges.size - 1
    inputs, parts = w.size // groups, -(-count // PACKED)
    for task in prange(groups * blocks * parts):
        group, block, k0 = task // parts // blocks, task // parts % blocks, task % parts * PACKED
        v0, v1 = edges[block], edges[block + 1]
        wide, to = (v1 - v0) * lane_count, (group * edges[blocks] + v0) * lane_count * count
        channels, at = min(wide, filters - v0 * lane_count), group * inputs + v0 * lane_count * step
        _pack_products(packed, to + k0 * wide, wide, w, at, places, step, k0, min(k0 + PACKED, count), channels)


@kernel
def _pack_transposed(packed, w, firsts, steps, edges, groups, filters):
    # The same of weights (input channel, output channel, element), each row of which is a line of the cache or two:
    # element e of input channel i is product firsts[e] + i * steps[e].  An iteration owns some channels of a block.
    lane_count, elements, blocks = lanes(w.itemsize), firsts.size, edges.size - 1
    inputs = w.size // (groups * filters * elements)
    parts = -(-inputs // CHANNELS)
    for task in prange(groups * blocks * parts):
        group, block, i0 = task // parts // blocks, task // parts % blocks, task % parts * CHANNELS
        v0, v1 = edges[block], edges[block + 1]
        wide, to = (v1 - v0) * lane_count, (group * edges[blocks] + v0) * lane_count * inputs * elements
        channels, rows = min(wide, filters - v0 * lane_count), np.zeros(elements * wide, w.dtype)
        for i in range(i0, min(i0 + CHANNELS, inputs)):
            at = ((group * inputs + i) * filters + v0 * lane_count) * elements
            read_turned(rows, 0, wide, w, at, elements, channels, elements)
            for e in range(elements):
                row = to + (firsts[e] + i * steps[e]) * wide
                for c in range(wide):
                    packed[index(row + c)] = rows[index(e * wide + c)]


@kernel
def _convolve_blocked(out, x, source, w, packs, places, step, bias, offsets, phases, chunks, edges, layout, shifts,
                      workers, bands, copies, together, images, groups, height, width, add, adds, low, high, bend,
                      slope):  # fmt: skip
    # A task is the pixels of a chunk for a block of output channels of a group.
    # Returns how many came out infinite or NaN.  The source is the padded copy, to be made, or x once more: as one
    # variable that is either, numba took it in the parallel build for an array of x's size (seen here).
    rows, pitch, _, _, _, _ = _layout(layout, 0)
    channels, out_channels = x.size // (images * height * width), bias.size
    plane, channel_size = out.size // (images * out_channels), rows * pitch
    if copies:
        copied = copied_bands(-(-bands // images), channel_size, x.itemsize)
        for i in prange(images * copied * channels):
            nc, band = i // (copied * channels) * channels + i % channels, i // channels % copied
            copy_channel(source, nc * channel_size, channel_size, x, nc * height * width, height, width, layout,
                         shifts, shifts, band * rows // copied, (band + 1) * rows // copied)  # fmt: skip
    image_size, bad = channels * channel_size, 0
    blocks, filters = edges.size - 1, out_channels // groups
    tasks, taken = groups * blocks * chunks.shape[0], np.zeros(workers * LINE, np.int64)
    for worker in prange(workers):
        task = next_task(taken, np.int64(worker), workers, tasks)
        while task < tasks:
            other, chunk = in_bands(task, chunks.shape[0], groups * blocks, bands)
            group, block = other // blocks, other % blocks
            which, p0, p1 = _chunk(chunks, chunk)
            first, last, out_rows, columns, start, step_y, step_x, to, out_y, out_x = _phase(phases, which)
            v0, v1 = edges[block], edges[block + 1]
            count, wide, area = v1 - v0, (v1 - v0) * lanes(out.itemsize), out_rows * columns
            c0 = v0 * lanes(out.itemsize)
            oc, kept = group * filters + c0, min(wide, filters - c0)
            row = (group * edges[blocks] * lanes(out.itemsize) + c0) * offsets.size
            most = _HEIGHT[count, _HEIGHT.shape[1] - 1]
            starts = carray(_starts_of_a_task(), (p1 - p0 + most,), np.int64)
            sums = carray(_sums_of_a_task(), ((p1 - p0 + most) * wide,), out.dtype)
            n, oy, ox = p0 // area, p0 % area // columns, p0 % columns
            origin = group * (image_size // groups) + start
            for q in range(p1 - p0):
                starts[index(q)] = n * image_size + origin + oy * step_y + ox * step_x
                ox += 1
                if ox == columns:
                    ox, oy = 0, oy + 1
                    if oy == out_rows:
                        oy, n = 0, n + 1
            for q in range(p1 - p0, p1 - p0 + most):  # what fills the last tile up
                starts[index(q)] = starts[index(p1 - p0 - 1)]
            k0 = first
            while k0 < last or k0 == first:
                k1 = min(k0 + together, last)
                if packs:
                    some = carray(_packed_of_a_task(), (together * wide,), w.dtype)
                    at = group * (w.size // groups) + c0 * step
                    _pack_products(some, 0, wide, w, at, places, step, k0, k1, kept)
                    _add_tiles(sums, some, -k0 * wide, source, starts, offsets, p1 - p0, count, wide, k0, k1,
                               k0 > first)  # fmt: skip
                else:
                    _add_tiles(sums, w, row, source, starts, offsets, p1 - p0, count, wide, k0, k1, k0 > first)
                k0 += together
            bad += not_finite(sums[: (p1 - p0) * wide]) != 0
            p, whole = p0, out_x == 1 and out_y == columns
            while p < p1:  # an image, or a row of it, at a time
                n, i = p // area, p % area
                oy, ox = i // columns, i % columns
                run = min(p1 - p, area - i if whole else columns - ox)
                place = (n * out_channels + oc) * plane + to + oy * out_y + ox * out_x
                write_turned(out, place, plane, sums, (p - p0) * wide, wide, bias, oc, kept, run, out_x, add, adds, low,
                             high)  # fmt: skip
                if bend:
                    bend_rows(out, place, plane, kept, run, bend, slope)
                p += run
            task = next_task(taken, np.int64(worker), workers, tasks)
    return bad


# ------------------------------------------------------------------------------------------------- entries


def parts(g, transposed, itemsize, kept):
    """Of what a convolution consists; what each part costs stands in costs.py."""
    plan, side, lane_count = blocked_plan(g, transposed, itemsize), sides(g, transposed), lanes(itemsize)
    vectors = g.groups * int(plan.edges[-1])
    pixels = plan.products // max(1, plan.offsets.size)
    rounds = -(-plan.offsets.size // plan.together)
    squares = sum(
        -(-rows * columns // lane_count) if step_x == 1 and step_y == columns else rows * -(-columns // lane_count)
        for _, _, rows, columns, _, _, _, _, step_y, step_x in plan.phases.tolist()
    )  # of channels by pixels, which are written whole or in part
    found = {
        "product": plan.products * vectors,
        "tile": pixels / PIXELS[int(np.diff(plan.edges).max())] * g.groups * (plan.edges.size - 1) * rounds,
        "scatter" if transposed and g.stride_w > 1 else "write": squares * vectors * lane_count,
    }
    if plan.copies:
        found |= copy_parts(plan.y, plan.x, side.channels, itemsize)
    found = {part: g.batch * count for part, count in found.items()} | {"call": 1}
    return found if kept else found | {"pack": vectors * lane_count * plan.offsets.size}


class Parts(NamedTuple):
    """How a convolution is shared out: into images and, of each part, pixels."""

    plan: BlockedPlan
    side: Sides
    image_size: int  # of the padded copy of one
    together: int  # images at a time: as many copies as BUFFER_BYTES hold
    chunks: Any  # of so many
    bands: int  # of so many images' chunks
    few: bool  # whether tasks had better pack the weights
    work: int  # of an image


@lru_cache(maxsize=256)
def _parts_of(g: Any, transposed: bool, itemsize: int, threads: int) -> Parts:
    plan, side, image_size, together = blocked_plan(g, transposed, itemsize), sides(g, transposed), 0, g.batch
    if plan.copies:
        image_size = side.channels * plan.y.size * plan.x.size
        together = images_together(g.batch, image_size * itemsize, BUFFER_BYTES)
    chunks = chunks_of(g, transposed, itemsize, together, threads)
    work = plan.products * int(plan.edges[-1]) * g.groups * lanes(itemsize) // 8
    weights, inputs = side.out_channels * plan.offsets.size, together * side.channels * side.height * side.width
    bands = bands_of(threads, len(chunks), weights, inputs) if len(plan.phases) == 1 else 1
    few = plan.turned is None and len(chunks) <= FEW_CHUNKS * len(plan.phases)
    return Parts(plan, side, image_size, together, chunks, bands, few, work)


def convolve(out, input, weight, bias, g, transposed, kept, finish):
    """As __init__.py says."""
    threads = thread_count()
    plan, side, image_size, together, chunks, bands, few, work = _parts_of(g, transposed, out.itemsize, threads)
    weight, out, input = weight.reshape(-1), out.reshape(-1), input.reshape(-1)
    if not plan.covered:
        fill(out, bias, side.out_height * side.out_width)
    buffer = np.empty(together * image_size, out.dtype) if plan.copies else None
    packs = kept is None and few
    if not packs:
        packed = kept.get("blocked") if kept else None
        if packed is None:
            packed = _packed_weights(weight, plan, g.groups, side.out_channels // g.groups)
        if kept is not None:
            kept["blocked"] = packed
        weight = packed
    ends = plan.covered and not ((finish.adds or finish.bend) and transposed and g.stride_w > 1)
    finish = finish if ends else Finish(bias)
    bad, per_input, per_output, x, y, end = 0, input.size // g.batch, out.size // g.batch, input, out, finish
    for n in range(0, g.batch, together):
        count = min(together, g.batch - n)
        if count < g.batch:
            x, y = input[n * per_input : (n + count) * per_input], out[n * per_output : (n + count) * per_output]
            end = part_of(finish, n * per_output, count * per_output)
            chunks = chunks_of(g, transposed, out.itemsize, count, threads)
            bands = min(bands, max(1, len(chunks)))
        source = buffer if plan.copies else x
        bad += _convolve_blocked(count * work)(
            *_arguments(y, x, source, weight, packs, bias, plan, chunks, threads, bands, count, g.groups, side, end)
        )
    return Outcome(plan.pads, bad == 0, ended=ends)


def bind(out, input, weight, bias, g, kept, finish):
    """As bound.py says."""
    threads = thread_count()
    plan, side, _, _, chunks, bands, _, work = _parts_of(g, False, out.itemsize, threads)
    packed = kept.get("blocked")
    if packed is None or plan.copies or not plan.covered:
        return None
    out, input = out.reshape(-1), input.reshape(-1)
    arguments = _arguments(out, input, input, packed, False, bias, plan, chunks, threads, bands, g.batch, g.groups,
                           side, finish)  # fmt: skip
    return _convolve_blocked, g.batch * work, arguments


def _arguments(out, input, source, weight, packs, bias, plan, chunks, threads, bands, images, groups, side, finish):
    return (out, input, source, weight, packs, plan.places, plan.step, bias, plan.offsets, plan.phases, chunks,
            plan.edges, plan.layout, plan.y.shifts, threads, bands, plan.copies, plan.together, images, groups,
            side.height, side.width, *finish)  # fmt: skip


def _packed_weights(weight, plan, groups, filters):
    packed = np.empty(groups * int(plan.edges[-1]) * lanes(weight.itemsize) * plan.offsets.size, weight.dtype)
    if plan.turned is None:
        _pack(packed.size)(packed, weight, plan.places, plan.step, plan.edges, groups, filters)
    else:
        _pack_transposed(packed.size)(packed, weight, *plan.turned, plan.edges, groups, filters)
    return packed
