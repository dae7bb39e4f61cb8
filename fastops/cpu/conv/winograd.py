"""3x3 convolutions of stride 1 by Winograd's minimal filtering: F(2x2, 3x3), and F(4x4, 3x3) for precision='fast'.

An m x m tile of outputs, seen through Y = A' [(G g G') * (B' d B)] A, takes (m + 2)^2 products for each pair of
channels where the definition takes 9 m^2: 2.25 (m = 2) and 4 (m = 4) times fewer.  For each of the (m + 2)^2 elements
the sums over channels are a matrix product, which the micro-kernel does.  The images are copied into one plane for each
of the m x m phases of a tile, so that element (r, c) of neighbouring tiles is one vector; the planes of all images of a
channel stand side by side, and vectors run on from one image to the next.

Largest error beside torch's own float32 (32 to 512 channels, normal values): 0.7 to 2.5 times (m = 2).
"""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from ..._jit import VECTOR_BYTES, kernel, routine, thread_count
from ..simd.emit import lanes
from ..simd.values import fields
from ..tasks import LINE, next_task
from .copy import copy_channel, padded_copy
from .costs import WINOGRAD
from .finish import fetch, part_of
from .micro_kernel import VECTORS, add_products
from .outcome import Outcome
from .plan import LONGEST_SUM, Integers, Layout, Plan, Two, layout_of, sides, windows_plan
from .winograd_tiles import F2, F4, Transform, input_tile, output_tile, weight_tile

BUFFER_BYTES = 2**20  # copies of so many images at a time: they stay in L2
L2_BYTES = 2**21  # transformed weights beyond this have left L2 when the next block of tiles reads them
AGAIN = 2  # times that blocks may copy a row for themselves; else it is copied once, for all
FAR = 64  # elements: threads' own copies do not share a line, nor the next one
CHANNELS = 32  # output channels whose products are kept before they are transformed: 16 x 32 x 48 are 96 KiB

# ------------------------------------------------------------------------------------------------ routines

_run, _layout = fields(4), fields(len(Layout._fields))


@routine
def _fetch_runs(x, to, width, runs, s0, s1):
    """Ask for what lies in runs s0 to s1 of a plane at x[to], rows of ``width`` pixels."""
    line = 64 // x.itemsize
    for s in range(s0, s1):
        base, first, last, height = _run(runs, s)
        for row in range(height):
            start, end = to + base + row * width + first, to + base + row * width + last
            for i in range(start, end, line):
                fetch(x, i)
            fetch(x, end - 1)


def _block_of(transform: Transform, name: str) -> Any:
    """The routine that makes one block of up to VECTORS vectors of tiles, for some output channels."""
    transform_inputs, transform_outputs = input_tile(transform), output_tile(transform)
    elements, beyond = len(transform.input) ** 2, (len(transform.input) - 1) // len(transform.output)

    def convolve_block(out, plane, out_width, image, height, width, x, base, own, layout, shifts, channel_step, u, bias,
                       places, offsets, first, count, oc_first, oc_last, runs, starts, add, adds, low, high, bend,
                       slope):  # fmt: skip
        channels, lane_count = offsets.size, lanes(x.itemsize)
        rows, pitch, _, _, _, _ = _layout(layout, 0)
        row0 = first * lane_count // pitch
        row1 = min(rows, ((first + count) * lane_count - 1) // pitch + beyond + 1)
        wide = VECTORS * lane_count
        # powers of two would share cache sets
        v_pitch, m_pitch = channels * wide + lane_count, CHANNELS * wide + lane_count
        bad = False
        v, m = np.empty(elements * v_pitch, x.dtype), np.empty(elements * m_pitch, x.dtype)
        for ic in range(channels):
            if own:
                copy_channel(x, base, rows * pitch, image, ic * height * width, height, width, layout, shifts, shifts,
                             row0, row1)  # fmt: skip
            for i in range(count):
                at = base + ic * channel_step + (first + i) * lane_count
                transform_inputs(v, ic * wide + i * lane_count, v_pitch, x, at, places)
        for oc0 in range(oc_first, oc_last, CHANNELS):
            some = min(CHANNELS, oc_last - oc0)
            for e in range(elements):
                if adds:  # meanwhile fetch the residual of some channels
                    for r in range(e * some // elements, (e + 1) * some // elements):
                        _fetch_runs(add, (oc0 + r) * plane, out_width, runs, starts[first], starts[first + count])
                products, inputs = m[e * m_pitch :], v[e * v_pitch :]
                row = e * (u.size // elements) + oc0 * channels
                for k0 in range(0, channels, LONGEST_SUM):
                    k1 = min(k0 + LONGEST_SUM, channels)
                    add_products(some, count, products, wide, u, row, channels, inputs, 0, offsets, k0, k1, k0 > 0)
            for i in range(count):
                s0, s1 = starts[first + i], starts[first + i + 1]
                for r in range(some):
                    place = (oc0 + r) * plane
                    bad |= transform_outputs(
                        out,
                        place,
                        out_width,
                        m,
                        r * wide + i * lane_count,
                        m_pitch,
                        bias[oc0 + r],
                        runs,
                        s0,
                        s1,
                        add,
                        adds,
                        low,
                        high,
                        bend,
                        slope,
                    )
        return bad

    convolve_block.__qualname__ += name
    return routine(convolve_block)


def _weights_of(transform: Transform, name: str) -> Any:
    """The routine that transforms the kernels of one output channel."""
    transform_kernels = weight_tile(transform)

    def transform_weights(u, to, pitch, w, at, ic_step, taps, channels):
        ic, lane_count = 0, lanes(w.itemsize)
        while ic < channels:
            i = min(ic, channels - lane_count)  # the last vector moves back to be a whole one
            transform_kernels(u, to + i, pitch, w, at + i * ic_step, ic_step, taps)
            ic += lane_count

    transform_weights.__qualname__ += name
    return routine(transform_weights)


# ------------------------------------------------------------------------------------------------- kernels


def _kernels_of(transform: Transform) -> tuple[Any, Any]:
    """The kernel that transforms weights, and the one that convolves."""
    name = "{0}x{0}".format(len(transform.output))
    weights_of_channel, convolve_block = _weights_of(transform, name), _block_of(transform, name)

    def transform_weights(u, pitch, w, out_channels, channels, oc_step, ic_step, taps):
        # u is (elements, out_channels, channels), its elements ``pitch`` apart; an iteration owns an output channel.
        for oc in prange(out_channels):
            weights_of_channel(u, oc * channels, pitch, w, oc * oc_step, ic_step, taps, channels)

    def convolve(bad, out, image, height, width, x, own, layout, shifts, channel_step, u, bias, places, offsets, plane,
                 out_width, blocks, shares, workers, runs, starts, add, adds, low, high, bend, slope):  # fmt: skip
        # A task is a share of the output channels of one block of tiles; it notes whether there is an infinity or NaN.
        # x is the padded copy, or has ``own`` elements for each worker, which copies what a task needs by channels.
        chunks = -(-bias.size // CHANNELS)
        tasks, taken = blocks.shape[0] * shares, np.zeros(workers * LINE, np.int64)
        for worker in prange(workers):
            i = next_task(taken, np.int64(worker), workers, tasks)
            while i < tasks:
                first, count = _block(blocks, i // shares)
                share = i % shares
                oc_first, oc_last = share * chunks // shares * CHANNELS, (share + 1) * chunks // shares * CHANNELS
                bad[i] = convolve_block(out, plane, out_width, image, height, width, x, np.int64(worker) * own, own,
                                        layout, shifts, channel_step, u, bias, places, offsets, first, count, oc_first,
                                        min(oc_last, bias.size), runs, starts, add, adds, low, high, bend,
                                        slope)  # fmt: skip
                i = next_task(taken, np.int64(worker), workers, tasks)

    transform_weights.__name__ = transform_weights.__qualname__ = f"_winograd_weights_{name}"
    convolve.__name__ = convolve.__qualname__ = f"_convolve_winograd_{name}"
    return kernel(transform_weights), kernel(convolve)


_block = fields(2)
_KERNELS = {2: _kernels_of(F2), 4: _kernels_of(F4)}

# ------------------------------------------------------------------------------------------------- entries


class Tiles(NamedTuple):
    """Where the tiles of some images are found and written."""

    plan: Plan  # of the buffer: a convolution of the tiles' size and stride
    places: Integers  # in the buffer, of the elements of a tile
    channel_step: int  # of the buffer: (channels, phases, images, rows, columns)
    phase_step: int
    blocks: Integers  # first vector of tiles, how many
    runs: Integers  # rows of tiles within a vector: place of its first pixel, pixels [first, last), rows of pixels
    starts: Integers  # the first run of each vector
    again: float  # how often each row of an image is read by blocks


@lru_cache(maxsize=64)
def tiles_of(
    m: int, images: int, size: Two, output: Two, pad: Two, out_channels: int, lane_count: int, itemsize: int, share: int
) -> Tiles:
    """The tiles of m x m outputs in vectors of ``lane_count``; the number of blocks is a multiple of ``share``."""
    high, across = (-(-o // m) for o in output)
    plan = windows_plan(1, 0, size, (high, across), (m + 2, m + 2), (m, m), pad, (1, 1), itemsize)
    pitch, image_step = plan.x.size, plan.y.size * plan.x.size
    vectors = -(-((images - 1) * image_step + (high - 1) * pitch + across) // lane_count)
    runs: list[list[tuple[int, int, int, int]]] = [[] for _ in range(vectors)]
    for n in range(images):
        for ty in range(high):
            start = n * image_step + ty * pitch  # the row's first tile
            place = (n * out_channels * output[0] + ty * m) * output[1]
            for v in range(start // lane_count, (start + across - 1) // lane_count + 1):
                shift = start - v * lane_count  # its lane
                first, last = max(0, shift), min(lane_count, shift + across)
                pixels = first * m, min(last * m, output[1] + shift * m)
                runs[v].append((place - shift * m, *pixels, min(m, output[0] - ty * m)))
    count = -(-vectors // VECTORS)
    count = min(vectors, -(-count // share) * share)
    edges = np.arange(count + 1) * vectors // count
    phases = (plan.y.plane[:, None] * m + plan.x.plane) * images * image_step
    places = phases + plan.y.row[:, None] * pitch + plan.x.row
    blocks = np.stack([edges[:-1], np.diff(edges)], axis=1)
    of_blocks = [
        min(plan.y.size, ((first + some) * lane_count - 1) // pitch + (m + 1) // m + 1) - first * lane_count // pitch
        for first, some in blocks.tolist()
    ]
    every_run = np.array([run for some in runs for run in some], np.int64).reshape(-1, 4)
    return Tiles(plan, places.reshape(-1), m * m * images * image_step, images * image_step, blocks, every_run,
                 np.cumsum([0, *map(len, runs)]), sum(of_blocks) / plan.y.size)  # fmt: skip


@lru_cache(maxsize=256)
def _shares(m, blocks, out_channels, threads):
    """Into how many shares of the output channels the blocks' work goes: each transforms the block's inputs again."""
    costs = WINOGRAD[m]
    again = costs["tile"] / ((m + 2) ** 2 * costs["product"] * out_channels)  # in the time of all the block's products

    def longest(shares):
        return -(-blocks * shares // threads) * (1 / shares + again)

    return min(range(1, -(-out_channels // CHANNELS) + 1), key=longest)


def suits(g, transposed, itemsize):
    """Whether it can make this convolution: 3 x 3, stride 1, channels that fill a vector, masks in the CPU."""
    steps = (g.kernel_height, g.kernel_width, g.stride_h, g.stride_w, g.dilation_h, g.dilation_w, g.groups)
    able = steps == (3, 3, 1, 1, 1, 1, 1) and VECTOR_BYTES > 16 and not (transposed and max(g.pad_top, g.pad_left) > 2)
    return able and sides(g, transposed).channels >= lanes(itemsize)


def parts(m, g, transposed, itemsize, kept):
    """Of what a convolution in tiles of m x m consists; what each part costs stands in costs.py."""
    s, lane_count = sides(g, transposed), lanes(itemsize)
    tiles = -(-g.batch * (-(-s.out_height // m) + 1) * (-(-s.out_width // m) + 1) // lane_count)  # vectors of them
    weights, rounds = s.channels * s.out_channels, -(-g.batch // _together(g.batch, s, itemsize))
    again = 0 if (m + 2) ** 2 * weights * itemsize <= L2_BYTES else rounds * -(-tiles // (rounds * VECTORS)) - 1
    read = {"kept": weights * (1 + again)} if kept else {"weight": weights, "kept": weights * again}
    return read | {
        "product": (m + 2) ** 2 * tiles * s.channels * s.out_channels,
        "tile": tiles * (s.channels + s.out_channels),
        "plane": m * m * g.batch * s.channels,
        "call": 1,
    }


def _together(batch, side, itemsize):
    """How many images are copied at a time."""
    image_bytes = (side.height + 4) * (side.width + 4) * side.channels * itemsize
    return max(1, min(batch, BUFFER_BYTES // max(1, image_bytes)))


def _convolve(m, out, input, weight, bias, g, transposed, kept, finish):
    """As __init__.py says, in tiles of m x m."""
    side, dtype, lane_count = sides(g, transposed), out.dtype, lanes(out.itemsize)
    channels, out_channels, size = side.channels, side.out_channels, (side.out_height, side.out_width)
    pad = (2 - g.pad_top, 2 - g.pad_left) if transposed else (g.pad_top, g.pad_left)
    out = out.reshape(g.batch, out_channels, *size)
    input = input.reshape(g.batch, channels, side.height, side.width)
    convolve = _KERNELS[m][1]
    u = kept.get(m) if kept else None
    if u is None:
        u = _transformed_weights(m, weight, channels, out_channels, transposed)
        if kept is not None:
            kept[m] = u
    together = _together(g.batch, side, dtype.itemsize)
    offsets, buffer, threads = np.arange(channels) * (VECTORS * lane_count), None, thread_count()
    for n in range(0, g.batch, together):
        some, images = out[n : n + together], input[n : n + together]
        tiles = tiles_of(
            m, len(some), (side.height, side.width), size, pad, out_channels, lane_count, dtype.itemsize, threads
        )
        shares, y, x = _shares(m, len(tiles.blocks), out_channels, threads), tiles.plan.y, tiles.plan.x
        beyond = (VECTORS + 1) * lane_count  # the last tiles reach there
        channel_step, own = tiles.channel_step, 0
        if len(some) == 1 and tiles.again * shares <= AGAIN:
            own, channel_step = -(-(channel_step + beyond) // FAR) * FAR, 0
            buffer = np.zeros(own * threads, dtype)
        else:
            end = channels * channel_step
            if buffer is None or buffer.size < end + beyond:
                buffer = np.empty(end + beyond, dtype)
            buffer[end : end + beyond] = 0
            padded_copy(buffer, images, y, x, y.size * x.size, channel_step, tiles.phase_step,
                        -(-threads // len(some)))  # fmt: skip
        bad = np.empty(len(tiles.blocks) * shares, np.bool_)
        convolve(some.size * channels)(
            bad, some.reshape(-1), images.reshape(-1), side.height, side.width, buffer, own, np.array(layout_of(y, x)),
            y.shifts, channel_step, u, bias, tiles.places, offsets, size[0] * size[1], size[1], tiles.blocks, shares,
            threads, tiles.runs, tiles.starts, *part_of(finish, n * out[0].size, some.size),
        )  # fmt: skip
        if bad.any():
            return Outcome(spread=True)
    return Outcome(finite=True, ended=True)


CONVOLVE = {m: partial(_convolve, m) for m in _KERNELS}
"""By the size of the tiles."""


def _transformed_weights(m, weight, channels, out_channels, transposed):
    """The weights of all elements; those of a transposed convolution are (C, O, 3, 3) and turned half around."""
    pitch = out_channels * channels + lanes(weight.itemsize)  # a power of two would have all share a cache set
    u, taps, steps = np.empty((m + 2) ** 2 * pitch, weight.dtype), np.arange(9), (channels * 9, 9)
    if transposed:
        steps, taps = (9, out_channels * 9), taps[::-1].copy()
    _KERNELS[m][0](u.size)(u, pitch, weight.reshape(-1), out_channels, channels, *steps, taps)
    return u
