"""3x3 convolutions of stride 1 by Winograd's minimal filtering: F(2x2, 3x3), and F(4x4, 3x3) for precision='fast'.

An m x m tile of outputs, seen through Y = A' [(G g G') * (B' d B)] A, takes (m + 2)^2 products for each pair of
channels where the definition takes 9 m^2: 2.25 (m = 2) and 4 (m = 4) times fewer.  For each of the (m + 2)^2 elements
the sums over channels are a matrix product, which the micro-kernel does.  The images are copied into one plane for each
of the m x m phases of a tile, so that element (r, c) of neighbouring tiles is one vector; the planes of all images of a
channel stand side by side, and vectors run on from one image to the next.

Largest error beside torch's own float32 (32 to 512 channels, normal values): 0.7 to 2.5 times (m = 2).
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from .._jit import VECTOR_BYTES, kernel, routine, thread_count
from .conv_copy import padded_copy
from .conv_plan import LONGEST_SUM, Integers, Plan, Two, windows_plan
from .micro_kernel import VECTORS, add_products
from .vector_code import lanes
from .winograd_tiles import F2, F4, Transform, input_tile, output_tile, weight_tile

BUFFER_BYTES = 2**20  # copies of so many images at a time: they stay in L2
CHANNELS = 32  # output channels whose products are kept before they are transformed: 16 x 32 x 48 are 96 KiB

# ------------------------------------------------------------------------------------------------ routines


def _block_of(transform: Transform, name: str) -> Any:
    """The routine that makes one block of up to VECTORS vectors of tiles, for all output channels."""
    transform_inputs, transform_outputs = input_tile(transform), output_tile(transform)
    elements = len(transform.input) ** 2

    def convolve_block(out, plane, line, x, channel_step, u, bias, places, offsets, first, count, runs, starts):
        channels, out_channels, width = offsets.size, bias.size, lanes(x.itemsize)
        wide = VECTORS * width
        v_pitch, m_pitch = channels * wide + width, CHANNELS * wide + width  # powers of two would share cache sets
        bad = False
        v, m = np.empty(elements * v_pitch, x.dtype), np.empty(elements * m_pitch, x.dtype)
        for ic in range(channels):
            for i in range(count):
                transform_inputs(v, ic * wide + i * width, v_pitch, x, ic * channel_step + (first + i) * width, places)
        for oc0 in range(0, out_channels, CHANNELS):
            some = min(CHANNELS, out_channels - oc0)
            for e in range(elements):
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
                        out, place, line, m, r * wide + i * width, m_pitch, bias[oc0 + r], runs, s0, s1
                    )

        return bad

    convolve_block.__qualname__ += name
    return routine(convolve_block)


def _weights_of(transform: Transform, name: str) -> Any:
    """The routine that transforms the kernels of one output channel."""
    transform_kernels = weight_tile(transform)

    def transform_weights(u, to, pitch, w, at, ic_step, taps, channels):
        ic, width = 0, lanes(w.itemsize)
        while ic < channels:
            i = min(ic, channels - width)  # the last vector moves back to be a whole one
            transform_kernels(u, to + i, pitch, w, at + i * ic_step, ic_step, taps)
            ic += width

    transform_weights.__qualname__ += name
    return routine(transform_weights)


_weights_2x2, _weights_4x4 = _weights_of(F2, "2x2"), _weights_of(F4, "4x4")
_block_2x2, _block_4x4 = _block_of(F2, "2x2"), _block_of(F4, "4x4")

# ------------------------------------------------------------------------------------------------- kernels


# u is (elements, out_channels, channels), its elements ``pitch`` apart.


@kernel
def _winograd_weights_2x2(u, pitch, w, out_channels, channels, oc_step, ic_step, taps):
    # An iteration owns an output channel.
    for oc in prange(out_channels):
        _weights_2x2(u, oc * channels, pitch, w, oc * oc_step, ic_step, taps, channels)


@kernel
def _winograd_weights_4x4(u, pitch, w, out_channels, channels, oc_step, ic_step, taps):
    # An iteration owns an output channel.
    for oc in prange(out_channels):
        _weights_4x4(u, oc * channels, pitch, w, oc * oc_step, ic_step, taps, channels)


@kernel
def _convolve_winograd_2x2(bad, out, x, u, bias, places, offsets, channel_step, plane, line, blocks, runs, starts):
    # An iteration owns one block of tiles and notes whether it has an infinity or NaN.
    for i in prange(blocks.shape[0]):
        first, count = blocks[i, 0], blocks[i, 1]
        bad[i] = _block_2x2(out, plane, line, x, channel_step, u, bias, places, offsets, first, count, runs, starts)


@kernel
def _convolve_winograd_4x4(bad, out, x, u, bias, places, offsets, channel_step, plane, line, blocks, runs, starts):
    # An iteration owns one block of tiles and notes whether it has an infinity or NaN.
    for i in prange(blocks.shape[0]):
        first, count = blocks[i, 0], blocks[i, 1]
        bad[i] = _block_4x4(out, plane, line, x, channel_step, u, bias, places, offsets, first, count, runs, starts)


# ------------------------------------------------------------------------------------------------- entries


_KERNELS = {
    2: (_winograd_weights_2x2, _convolve_winograd_2x2),
    4: (_winograd_weights_4x4, _convolve_winograd_4x4),
}


class Tiles(NamedTuple):
    """Where the tiles of some images are found and written."""

    plan: Plan  # of the buffer: a convolution of the tiles' size and stride
    places: Integers  # in the buffer, of the elements of a tile
    channel_step: int  # of the buffer: (channels, phases, images, rows, columns)
    phase_step: int
    blocks: Integers  # first vector of tiles, how many
    runs: Integers  # rows of tiles within a vector: place of its first pixel, pixels [first, last), rows of pixels
    starts: Integers  # the first run of each vector


@lru_cache(maxsize=64)
def tiles_of(
    m: int, images: int, size: Two, output: Two, pad: Two, out_channels: int, width: int, itemsize: int, share: int
) -> Tiles:
    """The tiles of m x m outputs in vectors of ``width``; the number of blocks is a multiple of ``share``."""
    high, across = (-(-o // m) for o in output)
    plan = windows_plan(1, 0, size, (high, across), (m + 2, m + 2), (m, m), pad, (1, 1), itemsize)
    pitch, image_step = plan.x.size, plan.y.size * plan.x.size
    vectors = -(-((images - 1) * image_step + (high - 1) * pitch + across) // width)
    runs: list[list[tuple[int, int, int, int]]] = [[] for _ in range(vectors)]
    for n in range(images):
        for ty in range(high):
            start = n * image_step + ty * pitch  # the row's first tile
            place = (n * out_channels * output[0] + ty * m) * output[1]
            for v in range(start // width, (start + across - 1) // width + 1):
                shift = start - v * width  # its lane
                first, last = max(0, shift), min(width, shift + across)
                pixels = first * m, min(last * m, output[1] + shift * m)
                runs[v].append((place - shift * m, *pixels, min(m, output[0] - ty * m)))
    count = -(-vectors // VECTORS)
    count = min(vectors, -(-count // share) * share)
    edges = np.arange(count + 1) * vectors // count
    phases = (plan.y.plane[:, None] * m + plan.x.plane) * images * image_step
    places = phases + plan.y.row[:, None] * pitch + plan.x.row
    blocks = np.stack([edges[:-1], np.diff(edges)], axis=1)
    every_run = np.array([run for some in runs for run in some], np.int64).reshape(-1, 4)
    return Tiles(plan, places.reshape(-1), m * m * images * image_step, images * image_step, blocks, every_run,
                 np.cumsum([0, *map(len, runs)]))  # fmt: skip


@lru_cache(maxsize=256)
def tile_size(g: Any, itemsize: int, fast: bool, transposed: bool = False, kept: bool = False) -> int:
    """The m whose m x m tiles are fastest for this geometry, 0 for the direct convolution.

    The unit is the time of one product for every pair of channels, 7.8 ps on one AVX-512 core (255 GFLOP/s), where the
    rest was measured: a weight costs 3.6 and 10 ns (m = 2, 4), an input or output of a vector of tiles 15 and 33 ns,
    starting one of the m * m planes of a channel 20 ns.  Weights that are ``kept`` are still read, 16 / 9 or 4
    times as many bytes as the direct convolution reads: 512 channels at 7 x 7 took 1.36 times as long with them.
    """
    window = (g.kernel_height, g.kernel_width, g.stride_h, g.stride_w, g.dilation_h, g.dilation_w, g.groups)
    if window != (3, 3, 1, 1, 1, 1, 1) or VECTOR_BYTES == 16:  # without AVX masks are branches
        return 0
    channels, out_channels, height, across = g.image_channels, g.map_channels, g.map_height, g.map_width
    if transposed:
        channels, out_channels, height, across = out_channels, channels, g.image_height, g.image_width
    width = lanes(itemsize)
    if channels < width or (transposed and max(g.pad_top, g.pad_left) > 2):
        return 0
    costs = {0: 9 * g.batch * -(-height * (across + 2) // width) * width}
    for m, weight, transform in ((2, 460, 115), (4, 1270, 260)) if fast else ((2, 460, 115),):
        tiles = -(-g.batch * (-(-height // m) + 1) * (-(-across // m) + 1) // width) * width
        each = (m + 2) ** 2 + transform / channels + transform / out_channels
        costs[m] = (0.65 if kept else 1) * weight + tiles * each + 2540 * m * m * g.batch / out_channels
    return min(costs, key=costs.__getitem__)


def conv2d(out, input, weight, bias, pad, m, kept, flipped=False):
    """(N, O, oH, oW) outputs from (N, C, H, W) images; whether all of them are finite (if not, they are of no use).

    Tiles are m x m.  A ``flipped`` weight is (C, O, 3, 3) and turned half around.  ``kept`` may hold the transformed
    weights, or gets them.
    """
    (images, out_channels, *size), (_, channels, *image_size), dtype = out.shape, input.shape, out.dtype
    transform, convolve = _KERNELS[m]
    width, taps = lanes(dtype.itemsize), np.arange(9)
    pitch = out_channels * channels + width  # a power of two would have all elements share a cache set
    u = kept.get(m) if kept else None
    if u is None:
        u = np.empty((m + 2) ** 2 * pitch, dtype)
        steps, taps = ((9, out_channels * 9), taps[::-1].copy()) if flipped else ((channels * 9, 9), taps)
        transform(u.size)(u, pitch, weight.reshape(-1), out_channels, channels, *steps, taps)
        if kept is not None:
            kept[m] = u
    image_bytes = (image_size[0] + 4) * (image_size[1] + 4) * channels * dtype.itemsize
    together = max(1, min(images, BUFFER_BYTES // image_bytes))
    offsets, buffer = np.arange(channels) * (VECTORS * width), None
    for n in range(0, images, together):
        some, x = out[n : n + together], input[n : n + together]
        tiles = tiles_of(
            m, len(some), tuple(image_size), tuple(size), pad, out_channels, width, dtype.itemsize, thread_count()
        )
        end = channels * tiles.channel_step
        if buffer is None:
            buffer = np.empty(end + (VECTORS + 1) * width, dtype)
        buffer[end : end + (VECTORS + 1) * width] = 0  # the last tiles reach beyond
        image_step = tiles.plan.y.size * tiles.plan.x.size
        padded_copy(buffer, x, tiles.plan.y, tiles.plan.x, image_step, tiles.channel_step, tiles.phase_step)
        bad = np.empty(len(tiles.blocks), np.bool_)
        convolve(some.size * channels)(
            bad, some.reshape(-1), buffer, u, bias, tiles.places, offsets, tiles.channel_step, size[0] * size[1],
            size[1], tiles.blocks, tiles.runs, tiles.starts,
        )  # fmt: skip
        if bad.any():
            return False
    return True
