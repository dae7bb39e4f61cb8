"""3x3 convolutions of stride 1 by Winograd's minimal filtering: F(2x2, 3x3), and F(4x4, 3x3) on request.

An m x m tile of outputs, seen through Y = A' [(G w G') * (B' d B)] A, takes (m + 2)^2 products for each pair of channels
where the definition takes 9 m^2: 2.25 (m = 2) and 4 (m = 4) times fewer.  For each of the (m + 2)^2 elements the sums
over channels are a matrix product, which the micro-kernel does.  Tiles are counted along rows as in conv.py, in a
buffer split into m x m phases, so that element (r, c) of 16 neighbouring tiles is one vector.

Sources: Lavin and Gray, arXiv 1509.09308; the points 0, 1, -1, 1/2, -2: Barabasz et al., arXiv 1803.10986.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from .._jit import VECTOR_BYTES, kernel, routine, threads
from .conv_copy import padded_copy
from .conv_plan import LONGEST_SUM, Integers, Plan, Two, conv2d_plan
from .micro_kernel import VECTORS, add_products
from .vector_code import array_data, interleaved, lanes, masked_store, masks_between, repeated, store, vector_of

BUFFER_BYTES = 2**20  # padded copies of so many images at a time
CHANNELS = 32  # output channels whose products are kept before they are transformed: 16 x 32 x 48 are 96 KiB

# ---------------------------------------------------------------------------------------------- transformations


class Transform(NamedTuple):
    """The matrices of F(m x m, 3 x 3)."""

    input: tuple[tuple[float, ...], ...]  # B', m + 2 by m + 2
    weight: tuple[tuple[float, ...], ...]  # G, m + 2 by 3
    output: tuple[tuple[float, ...], ...]  # A', m by m + 2


F2 = Transform(
    ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
    ((1, 1, 1, 0), (0, 1, -1, -1)),
)


def _multiplied(builder: Any, matrix: tuple[tuple[float, ...], ...], vectors: list[Any]) -> list[Any]:
    """The matrix times a column of vectors, in as many additions as it has entries."""
    results = []
    for row in matrix:
        total = None
        for factor, vector in zip(row, vectors, strict=True):
            if factor == 0:
                continue
            if abs(factor) != 1:
                vector = builder.fmul(vector, ir.Constant(vector.type, [abs(float(factor))] * vector.type.count))
            if total is None:
                total = vector if factor > 0 else builder.fneg(vector)
            else:
                total = builder.fadd(total, vector) if factor > 0 else builder.fsub(total, vector)
        results.append(total)
    return results


def _both_sides(builder: Any, matrix: tuple[tuple[float, ...], ...], square: list[list[Any]]) -> list[list[Any]]:
    """The matrix times the square of vectors times the matrix transposed."""
    columns = [_multiplied(builder, matrix, list(column)) for column in zip(*square, strict=True)]
    return [_multiplied(builder, matrix, list(row)) for row in zip(*columns, strict=True)]


def _input_tile(transform: Transform) -> Any:
    """The intrinsic for one vector of tiles: v[to + e * pitch] = element e of B' d B, d[k] = x[at + places[k]]."""
    size = len(transform.input)

    @intrinsic
    def tile(typing_context, v, to, pitch, x, at, places):
        return types.void(v, to, pitch, x, at, places), generate

    def generate(context, builder, signature, arguments):
        v, to, pitch, x, at, places = arguments
        v, x, places = (array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 5))
        i64, (_, _, _, load) = ir.IntType(64), vector_of(context, builder, signature.args[3].dtype)
        x = builder.gep(x, [at])
        square = [
            [load(builder.gep(x, [builder.load(builder.gep(places, [i64(r * size + c)]))])) for c in range(size)]
            for r in range(size)
        ]
        elements = [value for row in _both_sides(builder, transform.input, square) for value in row]
        for e, value in enumerate(elements):
            store(builder, value, builder.gep(v, [builder.add(to, builder.mul(pitch, i64(e)))]))
        return context.get_dummy_value()

    return tile


def _output_tile(transform: Transform) -> Any:
    """The intrinsic for one vector of tiles: A' M A + bias, M[e] = m[at + e * pitch], written in runs of pixels.

    Run i in [s0, s1) is a row of tiles: (place in the plane of the vector's first pixel, first and last pixel of the
    vector to write, how many rows of pixels).  Returns whether a pixel, written or not, is infinite or NaN.
    """
    size, rows = len(transform.input), len(transform.output)

    @intrinsic
    def tile(typing_context, out, to, line, m, at, pitch, bias, runs, s0, s1):
        return types.boolean(out, to, line, m, at, pitch, bias, runs, s0, s1), generate

    def generate(context, builder, signature, arguments):
        out, to, line, m, at, pitch, bias, runs, s0, s1 = arguments
        out, m, runs = (array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 7))
        i64, (vector, zero, _, load) = ir.IntType(64), vector_of(context, builder, signature.args[3].dtype)
        square = [
            [load(builder.gep(m, [builder.add(at, builder.mul(pitch, i64(r * size + c)))])) for c in range(size)]
            for r in range(size)
        ]
        bias = repeated(builder, vector, bias)
        results = _both_sides(builder, transform.output, square)
        pixels = [interleaved(builder, [builder.fadd(value, bias) for value in row]) for row in results]
        nothing = zero  # 0 where all is finite, else NaN
        for value in (value for row in pixels for value in row):
            nothing = builder.fadd(nothing, builder.fmul(value, zero))
        bad = builder.fcmp_unordered("uno", nothing, nothing)
        bad = builder.icmp_unsigned("!=", builder.bitcast(bad, ir.IntType(vector.count)), ir.IntType(vector.count)(0))
        with cgutils.for_range(builder, builder.sub(s1, s0)) as loop:
            run = builder.gep(runs, [builder.mul(builder.add(s0, loop.index), i64(4))])
            base, first, last, height = (builder.load(builder.gep(run, [i64(i)])) for i in range(4))
            masks = masks_between(builder, vector.count, rows, first, last)
            for row in range(rows):
                with builder.if_then(builder.icmp_signed(">", height, i64(row))):
                    start = builder.add(builder.add(to, base), builder.mul(line, i64(row)))
                    target = builder.gep(out, [start])
                    for part, mask in enumerate(masks):
                        masked_store(
                            builder, pixels[row][part], builder.gep(target, [i64(part * vector.count)]), mask
                        )  # fmt: skip
        return bad

    return tile


def _weight_tile(transform: Transform) -> Any:
    """The intrinsic for one vector of kernels g[k] = w[at + i * step + taps[k]]: u[to + e * pitch] = element e of G g G'."""

    @intrinsic
    def tile(typing_context, u, to, pitch, w, at, step, taps):
        return types.void(u, to, pitch, w, at, step, taps), generate

    def generate(context, builder, signature, arguments):
        u, to, pitch, w, at, step, taps = arguments
        u, w, taps = (array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 6))
        i64, i32 = ir.IntType(64), ir.IntType(32)
        vector, _, _, _ = vector_of(context, builder, signature.args[3].dtype)

        def gathered(tap):
            start = builder.add(at, builder.load(builder.gep(taps, [i64(tap)])))
            value = ir.Constant(vector, ir.Undefined)
            for lane in range(vector.count):
                one = builder.load(builder.gep(w, [builder.add(start, builder.mul(step, i64(lane)))]))
                value = builder.insert_element(value, one, i32(lane))
            return value

        square = [[gathered(3 * r + c) for c in range(3)] for r in range(3)]
        elements = [value for row in _both_sides(builder, transform.weight, square) for value in row]
        for e, value in enumerate(elements):
            store(builder, value, builder.gep(u, [builder.add(to, builder.mul(pitch, i64(e)))]))
        return context.get_dummy_value()

    return tile


# ------------------------------------------------------------------------------------------------ routines


def _block_of(transform: Transform, name: str) -> Any:
    """The routine that makes one block of up to VECTORS vectors of tiles, for all output channels."""
    input_tile, output_tile = _input_tile(transform), _output_tile(transform)
    elements = len(transform.input) ** 2

    def convolve_block(out, plane, line, x, channel_step, u, bias, places, offsets, first, count, runs, starts):
        channels, out_channels, width = offsets.size, bias.size, lanes(x.itemsize)
        wide = VECTORS * width
        v_pitch, m_pitch = channels * wide + width, CHANNELS * wide + width  # powers of two would share cache sets
        bad = False
        v, m = np.empty(elements * v_pitch, x.dtype), np.empty(elements * m_pitch, x.dtype)
        for ic in range(channels):
            for i in range(count):
                input_tile(v, ic * wide + i * width, v_pitch, x, ic * channel_step + (first + i) * width, places)
        for oc0 in range(0, out_channels, CHANNELS):
            some = min(CHANNELS, out_channels - oc0)
            for e in range(elements):
                products, inputs = m[e * m_pitch :], v[e * v_pitch :]
                row = (e * out_channels + oc0) * channels
                for k0 in range(0, channels, LONGEST_SUM):
                    k1 = min(k0 + LONGEST_SUM, channels)
                    add_products(some, count, products, wide, u, row, channels, inputs, 0, offsets, k0, k1, k0 > 0)
            for i in range(count):
                s0, s1 = starts[first + i], starts[first + i + 1]
                for r in range(some):
                    place = (oc0 + r) * plane
                    bad |= output_tile(out, place, line, m, r * wide + i * width, m_pitch, bias[oc0 + r], runs, s0, s1)

        return bad

    convolve_block.__qualname__ += name
    return routine(convolve_block)


_block_2x2 = _block_of(F2, "2x2")
_weight_tile_2x2 = _weight_tile(F2)

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _winograd_weights_2x2(u, w, out_channels, channels, oc_step, ic_step, taps):
    # u is (elements, out_channels, channels); an iteration owns an output channel.
    for oc in prange(out_channels):
        ic = 0
        while ic < channels:
            i = min(ic, channels - lanes(w.itemsize))  # the last vector moves back to be a whole one
            to, at = oc * channels + i, oc * oc_step + i * ic_step
            _weight_tile_2x2(u, to, out_channels * channels, w, at, ic_step, taps)
            ic += lanes(w.itemsize)


@kernel
def _convolve_winograd_2x2(bad, out, x, u, bias, places, offsets, channel_step, plane, line, blocks, runs, starts):
    # An iteration owns one block of tiles and notes whether it has an infinity or NaN.
    for block in prange(blocks.shape[0]):
        bad[block] = _block_2x2(out, plane, line, x, channel_step, u, bias, places, offsets, blocks[block, 0], blocks[block, 1], runs,
                   starts)  # fmt: skip


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


@lru_cache(maxsize=64)
def tiles_of(
    m: int, images: int, size: Two, output: Two, pad: Two, out_channels: int, width: int, itemsize: int, share: int
) -> Tiles:
    """The tiles of m x m outputs in vectors of ``width``; the number of blocks is a multiple of ``share``."""
    high, across = (-(-o // m) for o in output)
    plan = conv2d_plan(1, size, (high, across), (m + 2, m + 2), (m, m), pad, (1, 1), width, itemsize)
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
    return Tiles(plan, places.reshape(-1), m * m * images * image_step, images * image_step, np.stack([edges[:-1], np.diff(edges)], axis=1),
                 np.array([run for some in runs for run in some], np.int64).reshape(-1, 4),
                 np.cumsum([0, *map(len, runs)]))  # fmt: skip


@lru_cache(maxsize=256)
def suits(g: Any, itemsize: int, transposed: bool = False) -> bool:
    """Whether this is faster than the direct convolution, which it is where channels and pixels are many.

    In units of one product of a pixel and a pair of channels, measured on one AVX-512 core (255 GFLOP/s): the weights
    cost 460 a pair (3.6 ns), a tile 16 products and 115 for each input and output channel to be transformed.
    """
    window = (g.kernel_height, g.kernel_width, g.stride_h, g.stride_w, g.dilation_h, g.dilation_w, g.groups)
    if window != (3, 3, 1, 1, 1, 1, 1) or VECTOR_BYTES == 16:  # without AVX masks are branches
        return False
    channels, out_channels, height, across = g.image_channels, g.map_channels, g.map_height, g.map_width
    if transposed:
        channels, out_channels, height, across = out_channels, channels, g.image_height, g.image_width
        if max(g.pad_top, g.pad_left) > 2:
            return False
    width = lanes(itemsize)
    if channels < width:
        return False
    tiles = g.batch * (-(-height // 2) + 1) * (-(-across // 2) + 1)
    pixels = g.batch * -(-height * (across + 2) // width) * width
    return 460 + tiles * (16 + 115 / channels + 115 / out_channels) < 9 * pixels


def conv2d(out, input, weight, bias, pad, flipped=False):
    """(N, O, oH, oW) outputs from (N, C, H, W) images; whether all of them are finite (if not, they are of no use).

    A ``flipped`` weight is (C, O, 3, 3) and turned half around.
    """
    (images, out_channels, *size), (_, channels, *image_size), dtype = out.shape, input.shape, out.dtype
    width, taps, count = lanes(dtype.itemsize), np.arange(9), out_channels * channels
    u = np.empty(16 * count, dtype)
    steps = (9, out_channels * 9) if flipped else (channels * 9, 9)
    _winograd_weights_2x2(u.size)(u, weight.reshape(-1), out_channels, channels, *steps, taps[::-1].copy() if flipped
                                  else taps)  # fmt: skip
    image_bytes = (image_size[0] + 4) * (image_size[1] + 4) * channels * dtype.itemsize
    together = max(1, min(images, BUFFER_BYTES // image_bytes))
    offsets, buffer = np.arange(channels) * (VECTORS * width), None
    for n in range(0, images, together):
        some, x = out[n : n + together], input[n : n + together]
        tiles = tiles_of(
            2, len(some), tuple(image_size), tuple(size), pad, out_channels, width, dtype.itemsize, threads()
        )
        y_axis, x_axis, end = tiles.plan.y, tiles.plan.x, channels * tiles.channel_step
        if buffer is None:
            buffer = np.empty(end + (VECTORS + 1) * width, dtype)
        buffer[end : end + (VECTORS + 1) * width] = 0  # the last tiles reach beyond
        padded_copy(buffer, x, y_axis, x_axis, y_axis.size * x_axis.size, tiles.channel_step, tiles.phase_step)
        bad = np.empty(len(tiles.blocks), np.bool_)
        _convolve_winograd_2x2(some.size * channels)(
            bad, some.reshape(-1), buffer, u, bias, tiles.places, offsets, tiles.channel_step, size[0] * size[1], size[1],
            tiles.blocks, tiles.runs, tiles.starts,
        )  # fmt: skip
        if bad.any():
            return False
    return True
