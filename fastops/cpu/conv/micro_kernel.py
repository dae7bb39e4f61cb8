"""The inner loops of convolutions in explicit vector code: tiles of sums that stay in registers.

LLVM will not keep such a tile in registers by itself, and prefers 256-bit vectors where the CPU has 512: written as
plain loops the same sums reached a quarter of this speed.  An intrinsic is a Python function that emits LLVM code, here
a loop whose phi nodes are the accumulators.

Products, for the convolution itself, over kernel elements k; its pixels i are vectors, ROWS by VECTORS of them:

    sums[r, i] (+)= sum over k in [k0, k1) of weights[r, k] * x[start + offsets[k] + i]

Pixels, where pixels are few or far apart: the weights are vectors, of output channels c, and pixels q are broadcast:

    sums[q, c] (+)= sum over k in [k0, k1) of x[starts[q] + offsets[k]] * weights[k, c]

Dots, for the gradient of the weights, over pixels i; DOT_ROWS by DOT_ELEMENTS vectors that are added up at the end:

    totals[r, k] += sum over i of maps[r, i] * x[start + offsets[k] + i]

Each sum is made apart and then added, so that rounding does not grow with the whole length of the sum.
"""

from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..._jit import VECTOR_REGISTERS, routine
from ..simd.emit import (
    array_data,
    fence,
    itemsize,
    load,
    multiply_add,
    prefetch,
    repeated,
    store,
    sum_loop,
    switch,
    vector_of,
)
from .finish import bent, bounds, fetch_rows, joined, kept_within

# ROWS * VECTORS accumulators, VECTORS inputs and a weight have to fit the registers.  Measured on one AVX-512 core of
# 255 GFLOP/s: 8 x 3 253, 4 x 6 252, 6 x 4 248, 7 x 4 206 (it spills).
ROWS = 8 if VECTOR_REGISTERS >= 32 else 4
VECTORS = 3
HEIGHTS = (8, 4, 3, 2, 1) if ROWS == 8 else (4, 2, 1)  # of the tiles that what is left is made of

# Pixels by vectors of output channels; a pointer for each pixel has to fit the general registers, too.  Measured as
# above: 6 x 4 235, 8 x 3 238, 10 x 2 230 (12 x 2 spills: 147), 10 x 1 161.
PIXELS = {1: 10, 2: 10, 3: 8, 4: 6} if VECTOR_REGISTERS >= 32 else {1: 10, 2: 6, 3: 4}
PIXEL_VECTORS = max(PIXELS)
PIXEL_HEIGHTS = {v: (most, *(rows for rows in (8, 4, 2, 1) if rows < most)) for v, most in PIXELS.items()}

DOT_ROWS, DOT_ELEMENTS = (4, 6) if VECTOR_REGISTERS >= 32 else (2, 4)


def _emit_sums(builder: Any, vector: Any, zero: Any, rows: int, vectors: int, ends: Any, operands: Any,
               together: int = 0) -> list[list[Any]]:  # fmt: skip
    """Emit the sums over k of number * vector, of ``rows`` numbers by ``vectors`` vectors: rows of sums.

    ``ends`` are (k0, k1); operands(k) gives the pointers to the number of each row and to the vectors; no more than
    ``together`` numbers are to be loaded before they are used, or as many as LLVM likes.
    """
    i64 = ir.IntType(64)

    def body(k, accumulators):
        numbers, source = operands(k)
        inputs = [load(builder, vector, builder.gep(source, [i64(v * vector.count)])) for v in range(vectors)]
        updated = []
        for r in range(rows):
            if together and r % together == 0:
                fence(builder)
            number = repeated(builder, vector, builder.load(numbers[r]))
            for v in range(vectors):
                updated.append(multiply_add(builder, number, inputs[v], accumulators[r * vectors + v]))
        return updated

    k0, k1 = ends
    totals = sum_loop(builder, k0, k1, 1, zero, rows * vectors, body)
    return [totals[r * vectors : (r + 1) * vectors] for r in range(rows)]


def _emit_writes(builder: Any, sums: list[list[Any]], to: Any, pitch: Any, end: Any) -> None:
    """Emit the writes of rows of sums, ``pitch`` apart from the pointer ``to``: end(row, vector, sum, its place)."""
    i64 = ir.IntType(64)
    for r, row in enumerate(sums):
        for v, value in enumerate(row):
            place = builder.gep(to, [builder.add(builder.mul(pitch, i64(r)), i64(v * value.type.count))])
            store(builder, end(r, v, value, place), place)


def _joined(builder: Any, adds: Any) -> Any:
    """The end, for _emit_writes, of sums that join those that are there, if ``adds``."""

    def end(r, v, value, place):
        return builder.select(adds, builder.fadd(load(builder, value.type, place), value), value)

    return end


def _ladder(builder: Any, rows: Any, vectors: Any, tiles: Iterable[tuple[int, int]], emit: Any) -> None:
    """Emit ``tiles``, pairs of rows and vectors, by emit(rows, vectors), and the choice among them."""
    which = builder.add(builder.shl(rows, ir.IntType(64)(8)), vectors)
    switch(builder, which, [(height << 8) + count for height, count in tiles], lambda n: emit(n >> 8, n & 255))


@intrinsic
def _product_tile(typing_context, rows, vectors, sums, at, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1,
                  adds):  # fmt: skip
    """The products of ``rows`` rows of weights, one of HEIGHTS, with up to VECTORS vectors of pixels."""
    arguments = (rows, vectors, sums, at, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds)

    def generate(context, builder, signature, arguments):
        rows, vectors, sums, at, sums_pitch, *_, k0, k1, adds = arguments
        sums = builder.gep(array_data(context, builder, signature.args[2], sums), [at])
        products = _products_of(context, builder, signature, arguments)

        def emit(height, count):
            _emit_writes(builder, products(height, count, (k0, k1)), sums, sums_pitch, _joined(builder, adds))

        _ladder(builder, rows, vectors, product(HEIGHTS, range(1, VECTORS + 1)), emit)
        return context.get_dummy_value()

    return types.void(*arguments), generate


@intrinsic
def _ended_tile(typing_context, rows, vectors, out, at, plane, weights, row, pitch, x, start, offsets, taps, bias,
                first, add, adds, low, high, bend, slope):  # fmt: skip
    """The same of all products with VECTORS vectors of pixels, plus bias[first + r] and the end in finish.py."""
    arguments = (rows, vectors, out, at, plane, weights, row, pitch, x, start, offsets, taps, bias, first, add, adds,
                 low, high, bend, slope)  # fmt: skip

    def generate(context, builder, signature, arguments):
        rows, vectors, out, at, plane, *_, taps, bias, first, add, adds, low, high, bend, slope = arguments
        out, bias, add = (array_data(context, builder, signature.args[i], arguments[i]) for i in (2, 12, 14))
        vector, _, _ = vector_of(context, builder, signature.args[8].dtype)
        low, high = bounds(context, builder, vector, signature.args[16:18], (low, high))
        bend = context.cast(builder, bend, signature.args[18], types.int64)
        slope = repeated(builder, vector, context.cast(builder, slope, signature.args[19], signature.args[8].dtype))
        products, i64 = _products_of(context, builder, signature, arguments), ir.IntType(64)
        out, add, bias = builder.gep(out, [at]), builder.gep(add, [at]), builder.gep(bias, [first])

        more = builder.or_(adds, builder.icmp_signed("!=", bend, i64(0)))

        def with_bias(sums):
            numbers = [builder.load(builder.gep(bias, [i64(r)])) for r in range(len(sums))]
            return [
                [builder.fadd(value, repeated(builder, vector, number)) for value in row]
                for row, number in zip(sums, numbers, strict=True)
            ]

        def changed(sums):
            """With what is added, and the activation."""
            count, values = len(sums[0]), [value for row in with_bias(sums) for value in row]
            added, before = [], builder.block
            with builder.if_then(adds):
                for i, value in enumerate(values):
                    place = builder.add(builder.mul(plane, i64(i // count)), i64(i % count * vector.count))
                    added.append(builder.fadd(value, load(builder, vector, builder.gep(add, [place]))))
                after = builder.block
            values = bent(builder, joined(builder, vector, [(values, before), (added, after)]), bend, slope)
            return [values[i : i + count] for i in range(0, len(values), count)]

        def write(sums):
            _emit_writes(builder, sums, out, plane, lambda r, v, value, place: kept_within(builder, value, low, high))

        def emit(height, count):
            with builder.if_then(adds):
                fetch_rows(builder, vector, add, plane, height, count)
            sums = products(height, count, (i64(0), taps))
            with builder.if_else(more) as (with_more, alone):
                with with_more:
                    write(changed(sums))
                with alone:
                    write(with_bias(sums))

        _ladder(builder, rows, vectors, product(HEIGHTS, (VECTORS,)), emit)
        return context.get_dummy_value()

    return types.void(*arguments), generate


def _products_of(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """products(height, count, (k0, k1)) emits the sums of a tile, of the arguments that both kinds of it have."""
    weights, row, pitch, x, start, offsets = arguments[5:11]
    weights, x, offsets = (array_data(context, builder, signature.args[i], arguments[i]) for i in (5, 8, 10))
    vector, zero, _ = vector_of(context, builder, signature.args[8].dtype)
    x, weights, i64 = builder.gep(x, [start]), builder.gep(weights, [row]), ir.IntType(64)

    def products(height, count, ends):
        of_rows = [builder.gep(weights, [builder.mul(pitch, i64(r))]) for r in range(height)]

        def operands(k):
            pixels = builder.gep(x, [builder.load(builder.gep(offsets, [k]))])
            return [builder.gep(row, [k]) for row in of_rows], pixels

        return _emit_sums(builder, vector, zero, height, count, ends, operands)

    return products


@intrinsic
def add_pixels(typing_context, rows, vectors, sums, at, weights, row, ahead, x, starts, offsets, k0, k1, adds):
    """The products of ``rows`` pixels, one of PIXEL_HEIGHTS[vectors], with up to PIXEL_VECTORS vectors of weights.

    Sums and weights are rows of so many vectors, one after the other.  Meanwhile a line of weights for each k is
    fetched from ``ahead`` on, and the line of pixels after the last one's: planes that are large lie in the cache as
    far apart as if nobody could foresee the next line (1x1 from 256 channels of 56x56, 8 images: 0.65 of the time).
    """
    arguments = (rows, vectors, sums, at, weights, row, ahead, x, starts, offsets, k0, k1, adds)

    def generate(context, builder, signature, arguments):
        rows, vectors, sums, at, weights, row, ahead, x, starts, offsets, k0, k1, adds = arguments
        sums, weights, x, starts, offsets = (
            array_data(context, builder, signature.args[i], arguments[i]) for i in (2, 4, 7, 8, 9)
        )  # fmt: skip
        vector, zero, _ = vector_of(context, builder, signature.args[7].dtype)
        i64, line = ir.IntType(64), 64 // itemsize(vector)
        ahead = builder.gep(weights, [builder.sub(ahead, builder.mul(k0, i64(line)))])
        sums, weights = builder.gep(sums, [at]), builder.gep(weights, [row])

        def emit(height, count):
            pixels = [builder.gep(x, [builder.load(builder.gep(starts, [i64(q)]))]) for q in range(height)]
            pitch = i64(count * vector.count)

            def operands(k):
                offset = builder.load(builder.gep(offsets, [k]))
                prefetch(builder, builder.gep(ahead, [builder.mul(k, i64(line))]))
                prefetch(builder, builder.gep(pixels[-1], [builder.add(offset, i64(line))]))
                return [builder.gep(pixel, [offset]) for pixel in pixels], builder.gep(weights, [builder.mul(k, pitch)])

            # LLVM unrolls the loop and would load all pixels of two rounds first: then accumulators are spilled.
            together = min(4, max(1, VECTOR_REGISTERS - height * count - count))
            found = _emit_sums(builder, vector, zero, height, count, (k0, k1), operands, together)
            _emit_writes(builder, found, sums, pitch, _joined(builder, adds))

        tiles = [(height, count) for count, heights in PIXEL_HEIGHTS.items() for height in heights]
        _ladder(builder, rows, vectors, tiles, emit)
        return context.get_dummy_value()

    return types.void(*arguments), generate


def _dot_tile(rows: int, elements: int) -> Any:
    """The intrinsic for the dots of ``rows`` maps with the inputs of ``elements`` kernel elements."""

    @intrinsic
    def tile(typing_context, totals, at, pitch, maps, map_start, map_pitch, x, start, offsets, k0, first, last):
        arguments = (totals, at, pitch, maps, map_start, map_pitch, x, start, offsets, k0, first, last)
        return types.void(*arguments), generate

    def generate(context, builder, signature, arguments):
        totals, at, pitch, maps, map_start, map_pitch, x, start, offsets, k0, first, last = arguments
        totals, maps, x, offsets = (
            array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 6, 8)
        )  # fmt: skip
        dtype, i64 = signature.args[6].dtype, ir.IntType(64)
        vector, zero, load_one = vector_of(context, builder, dtype)
        total_type = ir.DoubleType()
        reduce = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector.element, [vector.element, vector]),
            f"llvm.vector.reduce.fadd.v{vector.count}f{dtype.bitwidth}",
        )
        map_rows = [
            builder.gep(maps, [builder.add(map_start, builder.mul(map_pitch, i64(r)))]) for r in range(rows)
        ]  # fmt: skip
        x = builder.gep(x, [start])
        places = [builder.load(builder.gep(offsets, [builder.add(k0, i64(e))])) for e in range(elements)]
        x_rows = [builder.gep(x, [place]) for place in places]

        def body(i, accumulators):
            inputs = [load_one(builder.gep(x_row, [i])) for x_row in x_rows]
            updated = []
            for r in range(rows):
                value = load_one(builder.gep(map_rows[r], [i]))
                for e in range(elements):
                    updated.append(multiply_add(builder, value, inputs[e], accumulators[r * elements + e]))
            return updated

        dots = sum_loop(builder, first, last, vector.count, zero, rows * elements, body)
        totals = builder.gep(totals, [at])
        for r in range(rows):
            for e in range(elements):
                dot = builder.call(
                    reduce, [ir.Constant(vector.element, 0.0), dots[r * elements + e]], fastmath=["reassoc"]
                )
                dot = dot if dot.type == total_type else builder.fpext(dot, total_type)
                to = builder.gep(totals, [builder.add(builder.mul(pitch, i64(r)), i64(e))])
                builder.store(builder.fadd(builder.load(to), dot), to)
        return context.get_dummy_value()

    return tile


# Of so many rows that are left, how many to take.  2 x 3 and 1 x 3 sums wait for one another, 4 x 3 and 3 x 3 hardly.
_TALLEST = np.array([0, 1, 2, 3, 4, 3, 3, 4, 8] if ROWS == 8 else [0, 1, 2, 2, 4])


@routine
def add_products(count, vectors, sums, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds):
    """Add (or, without ``adds``, write) the products of ``count`` rows of weights to as many rows of sums."""
    r = 0
    while r < count:
        rows = _TALLEST[min(count - r, ROWS)]
        _product_tile(rows, vectors, sums, r * sums_pitch, sums_pitch, weights, row + r * pitch, pitch, x, start,
                      offsets, k0, k1, adds)  # fmt: skip
        r += rows


@routine
def end_products(count, out, at, plane, weights, row, x, start, offsets, bias, first, add, adds, low, high, bend,
                 slope):  # fmt: skip
    """All products of ``count`` rows of weights with VECTORS vectors of pixels, with what comes after the sum.

    out[at + r * plane + i] = bias[first + r] + sum over k of weights[row + r * offsets.size + k] * x[start + offsets[k]
    + i], plus what add has at the same place, if ``adds``, bent and kept within [low, high].
    """
    r = 0
    while r < count:
        rows = _TALLEST[min(count - r, ROWS)]
        _ended_tile(rows, VECTORS, out, at + r * plane, plane, weights, row + r * offsets.size, offsets.size, x, start,
                    offsets, offsets.size, bias, first + r, add, adds, low, high, bend, slope)  # fmt: skip
        r += rows


_dots_full, _dots_row = _dot_tile(DOT_ROWS, DOT_ELEMENTS), _dot_tile(1, DOT_ELEMENTS)
_dots_column, _dots_one = _dot_tile(DOT_ROWS, 1), _dot_tile(1, 1)


@routine
def add_dots(totals, at, pitch, rows, maps, map_start, map_pitch, x, start, offsets, k0, k1, first, last):
    """totals[at + r * pitch + k - k0] += the dot of map row r and the inputs of element k, over pixels first..last.

    ``totals`` is float64; ``last - first`` is a multiple of the vector length, or the maps are 0 up to the next.
    """
    k = k0
    while k < k1:
        many = k1 - k >= DOT_ELEMENTS
        r = 0
        while r < rows:
            to, m = at + r * pitch + k - k0, map_start + r * map_pitch
            if rows - r >= DOT_ROWS:
                if many:
                    _dots_full(totals, to, pitch, maps, m, map_pitch, x, start, offsets, k, first, last)
                else:
                    _dots_column(totals, to, pitch, maps, m, map_pitch, x, start, offsets, k, first, last)
                r += DOT_ROWS
            else:
                if many:
                    _dots_row(totals, to, pitch, maps, m, map_pitch, x, start, offsets, k, first, last)
                else:
                    _dots_one(totals, to, pitch, maps, m, map_pitch, x, start, offsets, k, first, last)
                r += 1
        k += DOT_ELEMENTS if many else 1
