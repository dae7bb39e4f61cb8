"""Depthwise convolutions with channels in vectors: for every geometry, either direction, and the weight's gradient.

Rows of 7 or 14 pixels leave lanes of a vector empty, strides and dilations cost shuffles, and every kernel size would
want tiles of its own.  Here a task turns a few rows of a vector's channels into (pixels, channels), which stays in L1
or L2, and every tap of every output is one multiplication of vectors, the pixel looked up in a table.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, prange, types
from numba.extending import intrinsic

from ..._jit import VECTOR_BYTES, index, kernel, routine
from ..simd.emit import array_data, lanes, load, multiply_add, stack_memory, store, sum_loop, switch, vector_of
from .exact import finite, not_finite
from .finish import bend_rows
from .outcome import Outcome
from .plan import sides, window
from .turned import read_turned, write_turned

PIXELS = 8  # of a tile, which share the weights that they load
TAPS = 9  # of a tile of the gradient
BAND = 1024  # pixels that a task reads or makes, at most: 64 KiB of each
MOST_TAPS = 256
IMAGES = 4  # whose gradients one task adds up
LONGEST_PIXEL_SUM = 4096  # pixels summed in the arrays' own type, in parts of PART, before they join float64 totals
PART = 256

# ------------------------------------------------------------------------------------------------ routines

_pixels_of_a_task = stack_memory((BAND + 1) * VECTOR_BYTES)
_sums_of_a_task = stack_memory((BAND + PIXELS) * VECTOR_BYTES)
_weights_of_a_task = stack_memory(MOST_TAPS * VECTOR_BYTES)


@intrinsic
def _sum_taps(typing_context, sums, at, weights, w_at, pixels, table, first, width, taps):
    """sums[at + q] = sum over taps of weights[t] * pixels[table[t * width + first + q]], q < PIXELS, in vectors."""
    arguments = (sums, at, weights, w_at, pixels, table, first, width, taps)

    def generate(context, builder, signature, arguments):
        sums, at, weights, w_at, pixels, table, first, width, taps = arguments
        sums, weights, pixels, table = (
            array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 2, 4, 5)
        )  # fmt: skip
        vector, zero, _ = vector_of(context, builder, signature.args[4].dtype)
        weights = builder.gep(weights, [w_at])
        i64 = ir.IntType(64)

        def body(tap, accumulators):
            weight = load(builder, vector, builder.gep(weights, [builder.mul(tap, i64(vector.count))]))
            places = builder.gep(table, [builder.add(builder.mul(tap, width), first)])
            updated = []
            for q in range(PIXELS):
                place = builder.sext(builder.load(builder.gep(places, [i64(q)])), i64)
                pixel = load(builder, vector, builder.gep(pixels, [place]))
                updated.append(multiply_add(builder, weight, pixel, accumulators[q]))
            return updated

        totals = sum_loop(builder, i64(0), taps, 1, zero, PIXELS, body)
        for q, total in enumerate(totals):
            store(builder, total, builder.gep(sums, [builder.add(at, i64(q * vector.count))]))
        return context.get_dummy_value()

    return types.void(*arguments), generate


@intrinsic
def _add_taps(typing_context, count, sums, first, maps, pixels, table, width, q0, q1, adds):
    """sums[first + t] (+)= sum over q in [q0, q1) of maps[q] * pixels[table[(first + t) * width + q]], in vectors."""
    arguments = (count, sums, first, maps, pixels, table, width, q0, q1, adds)

    def generate(context, builder, signature, arguments):
        count, sums, first, maps, pixels, table, width, q0, q1, adds = arguments
        sums, maps, pixels, table = (
            array_data(context, builder, signature.args[i], arguments[i]) for i in (1, 3, 4, 5)
        )  # fmt: skip
        vector, zero, _ = vector_of(context, builder, signature.args[4].dtype)
        i64 = ir.IntType(64)

        def emit(taps):
            rows = [builder.mul(builder.add(first, i64(tap)), width) for tap in range(taps)]
            tables = [builder.gep(table, [row]) for row in rows]

            def body(q, accumulators):
                map = load(builder, vector, builder.gep(maps, [builder.mul(q, i64(vector.count))]))
                updated = []
                for tap in range(taps):
                    place = builder.sext(builder.load(builder.gep(tables[tap], [q])), i64)
                    pixel = load(builder, vector, builder.gep(pixels, [place]))
                    updated.append(multiply_add(builder, map, pixel, accumulators[tap]))
                return updated

            totals = sum_loop(builder, q0, q1, 1, zero, taps, body)
            for tap, total in enumerate(totals):
                to = builder.gep(sums, [builder.mul(builder.add(first, i64(tap)), i64(vector.count))])
                total = builder.select(adds, builder.fadd(load(builder, vector, to), total), total)
                store(builder, total, to)

        switch(builder, count, range(1, TAPS + 1), emit)
        return context.get_dummy_value()

    return types.void(*arguments), generate


@routine
def _read_rows(pixels, x, at, plane, height, width, first, rows, count):
    """Fill ``pixels`` with rows of ``count`` channels at x[at], from row ``first`` on; 0 outside, and a pixel of 0."""
    lane_count = lanes(x.itemsize)
    above = min(max(-first, 0), rows)  # rows of zeros, and where the zeros below begin
    below = min(max(height - first, above), rows)
    start, end = above * width * lane_count, below * width * lane_count
    for i in range(start):
        pixels[index(i)] = 0
    read_turned(pixels, start, lane_count, x, at + (first + above) * width, plane, count, (below - above) * width)
    for i in range(end, (rows * width + 1) * lane_count):
        pixels[index(i)] = 0


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _turn_weights(turned, w, channels, taps):
    # (channels, taps) becomes (blocks of channels, taps, lanes); an iteration owns a block.
    lane_count = lanes(w.itemsize)
    for block in prange(-(-channels // lane_count)):
        c0 = block * lane_count
        read_turned(turned, c0 * taps, lane_count, w, c0 * taps, taps, min(lane_count, channels - c0), taps)


@kernel
def _convolve_channels(out, x, w, bias, table, images, height, width, out_height, out_width, band, rows, step, divide,
                       first, taps, add, adds, low, high, bend, slope):  # fmt: skip
    # An iteration owns ``band`` rows of outputs of a vector's channels of an image, which see ``rows`` rows of it.
    # Returns how many have outputs that are infinite or NaN.
    lane_count, channels, bad = lanes(x.itemsize), bias.size, 0
    plane, out_plane, tile = height * width, out_height * out_width, table.size // taps
    blocks, bands = -(-channels // lane_count), -(-out_height // band)
    for task in prange(images * blocks * bands):
        y0, c0, n = task % bands * band, task // bands % blocks * lane_count, task // bands // blocks
        count, place = min(lane_count, channels - c0), n * channels + c0
        outputs = (min(y0 + band, out_height) - y0) * out_width
        pixels = carray(_pixels_of_a_task(), ((rows * width + 1) * lane_count,), x.dtype)
        sums = carray(_sums_of_a_task(), ((outputs + PIXELS) * lane_count,), x.dtype)
        _read_rows(pixels, x, place * plane, plane, height, width, y0 * step // divide + first, rows, count)
        for q in range(0, outputs, PIXELS):
            _sum_taps(sums, q * lane_count, w, c0 * taps, pixels, table, q, tile, taps)
        bad += not_finite(sums[: outputs * lane_count]) != 0
        to = place * out_plane + y0 * out_width
        write_turned(out, to, out_plane, sums, 0, lane_count, bias, c0, count, outputs, 1, add, adds, low, high)
        if bend:
            bend_rows(out, to, out_plane, count, outputs, bend, slope)
    return bad


@kernel
def _grad_weight_depthwise(totals, map, x, table, images, channels, height, width, map_height, map_width, band, rows,
                           step, first, taps):  # fmt: skip
    # totals is (parts of IMAGES images, channels, taps), float64; an iteration owns a vector's channels of a part.
    lane_count, plane, map_plane = lanes(x.itemsize), height * width, map_height * map_width
    blocks, tile = -(-channels // lane_count), table.size // taps
    for task in prange(-(-images // IMAGES) * blocks):
        part, c0 = task // blocks, task % blocks * lane_count
        count, done, last = min(lane_count, channels - c0), 0, min((part + 1) * IMAGES, images)
        pixels = carray(_pixels_of_a_task(), ((rows * width + 1) * lane_count,), x.dtype)
        maps = carray(_sums_of_a_task(), (band * map_width * lane_count,), x.dtype)
        sums = carray(_weights_of_a_task(), (taps * lane_count,), x.dtype)
        for n in range(part * IMAGES, last):
            place = n * channels + c0
            for y0 in range(0, map_height, band):
                outputs = (min(y0 + band, map_height) - y0) * map_width
                at = place * map_plane + y0 * map_width
                _read_rows(pixels, x, place * plane, plane, height, width, y0 * step + first, rows, count)
                read_turned(maps, 0, lane_count, map, at, map_plane, count, outputs)
                for q0 in range(0, outputs, PART):
                    q1 = min(q0 + PART, outputs)
                    for tap in range(0, taps, TAPS):
                        _add_taps(min(TAPS, taps - tap), sums, tap, maps, pixels, table, tile, q0, q1, done > 0)
                    done += q1 - q0
                    if done >= LONGEST_PIXEL_SUM or (n == last - 1 and y0 + band >= map_height and q1 == outputs):
                        for c in range(count):
                            to = (part * channels + c0 + c) * taps
                            for tap in range(taps):
                                totals[index(to + tap)] += sums[index(tap * lane_count + c)]
                        done = 0


# ------------------------------------------------------------------------------------------------- entries


class Bands(NamedTuple):
    """The rows of outputs that a task makes, and what they see: the same for each, but for where they begin."""

    table: Any  # int32: for each tap and output of a band, the first lane of the pixel it sees
    band: int  # rows of outputs,
    rows: int  # and of the source
    step: int  # output row y, the first of its band, sees rows from y * step // divide + first on
    divide: int
    first: int
    pads: bool  # whether an output may see zeros outside the source


@lru_cache(maxsize=64)
def _bands(g: Any, transposed: bool, lane_count: int) -> Bands | None:
    """Bands of as many rows as BAND allows; None if not even one row is so short."""
    side, (kernel, stride, pad, dilation) = sides(g, transposed), window(g)
    y, x = ((np.arange(count) * dilation[i])[:, None] for i, count in enumerate(kernel))
    made, divide = stride[0] if transposed else 1, stride[0] if transposed else 1
    band = min(-(-side.out_height // made) * made, max(made, BAND // max(1, side.out_width) // made * made))
    while True:
        oy, ox = np.arange(band), np.arange(side.out_width)
        if transposed:
            row, column = oy + pad[0] - y, ox + pad[1] - x
            row_is, column = row % stride[0] == 0, np.where(column % stride[1] == 0, column // stride[1], -1)
            row = row // stride[0]
        else:
            row, column = oy * stride[0] - pad[0] + y, ox * stride[1] - pad[1] + x
            row_is = np.ones(row.shape, bool)
        first, last = (int(row[row_is].min()), int(row[row_is].max())) if row_is.any() else (0, 0)
        rows = last - first + 1
        if max(rows * side.width, band * side.out_width) <= BAND:
            break
        if band == made:
            return None
        band = max(made, band // 2 // made * made)
    inside = (column >= 0) & (column < side.width)
    there = row_is[:, None, :, None] & inside[None, :, None, :]
    place = (row - first)[:, None, :, None] * side.width + column[None, :, None, :]
    taps, outputs = kernel[0] * kernel[1], band * side.out_width
    table = np.full((taps, -(-outputs // PIXELS) * PIXELS), rows * side.width, np.int32)
    table[:, :outputs] = np.where(there, place, rows * side.width).reshape(taps, outputs)
    step = 1 if transposed else stride[0]
    ends = (side.out_height - 1) // band * band * step // divide + first + rows
    pads = not there.all() or first < 0 or ends > side.height
    return Bands((table * lane_count).reshape(-1), band, rows, step, divide, first, pads)


def suits(g, transposed, itemsize):
    """Whether these loops can make a convolution."""
    return (
        g.groups == g.image_channels == g.map_channels
        and g.kernel_height * g.kernel_width <= MOST_TAPS
        and VECTOR_BYTES > 16
        and _bands(g, transposed, lanes(itemsize)) is not None
    )


def convolve(out, input, weight, bias, g, transposed, kept, finish):
    """As __init__.py says."""
    side, lane_count, taps = sides(g, transposed), lanes(out.itemsize), g.kernel_height * g.kernel_width
    bands: Any = _bands(g, transposed, lane_count)
    turned = kept.get("depthwise") if kept else None
    if turned is None:
        turned = np.empty(-(-side.channels // lane_count) * lane_count * taps, out.dtype)
        _turn_weights(turned.size)(turned, weight.reshape(-1), side.channels, taps)
        if kept is not None:
            kept["depthwise"] = turned
    bad = _convolve_channels(out.size * taps)(*_arguments(out, input, turned, bias, g.batch, side, bands, taps, finish))
    return Outcome(bands.pads, bad == 0, ended=True)


def bind(out, input, weight, bias, g, kept, finish):
    """As bound.py says."""
    taps, turned = g.kernel_height * g.kernel_width, kept.get("depthwise")
    if turned is None:
        return None
    bands: Any = _bands(g, False, lanes(out.itemsize))
    arguments = _arguments(out, input, turned, bias, g.batch, sides(g, False), bands, taps, finish)
    return _convolve_channels, out.size * taps, arguments


def _arguments(out, input, turned, bias, images, side, bands, taps, finish):
    return (out.reshape(-1), input.reshape(-1), turned, bias, bands.table, images, side.height, side.width,
            side.out_height, side.out_width, bands.band, bands.rows, bands.step, bands.divide, bands.first, taps,
            *finish)  # fmt: skip


def grad_weight(out, map, image, g):
    """Fill ``out``; whether it is finite (else an infinity may have met a zero outside an image)."""
    taps = g.kernel_height * g.kernel_width
    bands: Any = _bands(g, False, lanes(out.itemsize))
    totals = np.zeros((-(-g.batch // IMAGES), out.size))
    _grad_weight_depthwise(map.size * taps // 4)(
        totals.reshape(-1), map.reshape(-1), image.reshape(-1), bands.table, g.batch, g.image_channels,
        g.image_height, g.image_width, g.map_height, g.map_width, bands.band, bands.rows, bands.step, bands.first, taps,
    )  # fmt: skip
    with np.errstate(all="ignore"):
        out[...] = totals.sum(axis=0).reshape(out.shape)
    return finite(out.reshape(-1))
