"""The inner loops of convolutions in explicit vector code: tiles of sums that stay in registers.

LLVM will not keep such a tile in registers by itself, and prefers 256-bit vectors where the CPU has 512: written as
plain loops the same sums reached a quarter of this speed.  An intrinsic is a Python function that emits LLVM code, here
a loop whose phi nodes are the accumulators.

Products, for the convolution itself, over kernel elements k; its pixels i are vectors, ROWS by VECTORS of them:

    sums[r, i] (+)= sum over k in [k0, k1) of weights[r, k] * x[start + offsets[k] + i]

Dots, for the gradient of the weights, over pixels i; DOT_ROWS by DOT_ELEMENTS vectors that are added up at the end:

    totals[r, k] += sum over i of maps[r, i] * x[start + offsets[k] + i]

Either sum is made apart and then added, so that rounding does not grow with the whole length of the sum.
"""

from itertools import product
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..._jit import VECTOR_REGISTERS, routine
from ..simd.emit import array_data, multiply_add, repeated, store, vector_of

# ROWS * VECTORS accumulators, VECTORS inputs and a weight have to fit the registers.  Measured on one AVX-512 core of
# 255 GFLOP/s: 8 x 3 253, 4 x 6 252, 6 x 4 248, 7 x 4 206 (it spills).
ROWS = 8 if VECTOR_REGISTERS >= 32 else 4
VECTORS = 3
HEIGHTS = (ROWS, *(rows for rows in (6, 4, 2, 1) if rows < ROWS))  # of the tiles that what is left is made of
DOT_ROWS, DOT_ELEMENTS = (4, 6) if VECTOR_REGISTERS >= 32 else (2, 4)


def _loop(builder: Any, first: Any, last: Any, step: int, zero: Any, count: int, body: Any) -> Any:
    """Emit ``for k in range(first, last, step)`` with ``count`` accumulators: body(k, accumulators) -> accumulators."""
    i64 = ir.IntType(64)
    entry, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed("<", first, last), loop, done)
    builder.position_at_end(loop)
    k = builder.phi(i64)
    k.add_incoming(first, entry)
    accumulators = [builder.phi(zero.type) for _ in range(count)]
    updated = body(k, accumulators)
    following = builder.add(k, i64(step))
    k.add_incoming(following, loop)
    for phi, value in zip(accumulators, updated, strict=True):
        phi.add_incoming(zero, entry)
        phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, last), loop, done)
    builder.position_at_end(done)
    totals = [builder.phi(zero.type) for _ in range(count)]
    for phi, value in zip(totals, updated, strict=True):
        phi.add_incoming(zero, entry)
        phi.add_incoming(value, loop)
    return totals


def _emit_products(context: Any, builder: Any, signature: Any, arguments: Any, rows: int, vectors: int) -> None:
    """Emit the products of ``rows`` rows by ``vectors`` vectors."""
    sums, sums_start, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds = arguments
    dtype, i64 = signature.dtype, ir.IntType(64)
    vector, zero, load = vector_of(context, builder, dtype)
    weight_rows = [builder.gep(weights, [builder.add(row, builder.mul(pitch, i64(r)))]) for r in range(rows)]
    x = builder.gep(x, [start])

    def body(k, accumulators):
        pixels = builder.gep(x, [builder.load(builder.gep(offsets, [k]))])
        inputs = [load(builder.gep(pixels, [i64(v * vector.count)])) for v in range(vectors)]
        updated = []
        for r in range(rows):
            weight = repeated(builder, vector, builder.load(builder.gep(weight_rows[r], [k])))
            for v in range(vectors):
                updated.append(multiply_add(builder, weight, inputs[v], accumulators[r * vectors + v]))
        return updated

    totals = _loop(builder, k0, k1, 1, zero, rows * vectors, body)
    sums = builder.gep(sums, [sums_start])
    for r in range(rows):
        for v in range(vectors):
            to = builder.gep(sums, [builder.add(builder.mul(sums_pitch, i64(r)), i64(v * vector.count))])
            value = totals[r * vectors + v]
            store(builder, builder.select(adds, builder.fadd(load(to), value), value), to)


@intrinsic
def _product_tile(typing_context, rows, vectors, sums, at, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1,
                  adds):  # fmt: skip
    """The products of ``rows`` rows, one of HEIGHTS, by up to VECTORS vectors: a tile of the ladder for each pair."""
    arguments = (rows, vectors, sums, at, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds)

    def generate(context, builder, signature, arguments):
        rows, vectors, *rest = arguments
        for array in (0, 3, 6, 8):
            rest[array] = array_data(context, builder, signature.args[2 + array], rest[array])
        i64, done = ir.IntType(64), builder.append_basic_block("done")
        which = builder.add(builder.mul(rows, i64(VECTORS + 1)), vectors)
        ladder = builder.switch(which, done)
        for height, count in product(HEIGHTS, range(1, VECTORS + 1)):
            tile = builder.append_basic_block(f"tile.{height}x{count}")
            ladder.add_case(i64(height * (VECTORS + 1) + count), tile)
            builder.position_at_end(tile)
            _emit_products(context, builder, signature.args[8], rest, height, count)
            builder.branch(done)
        builder.position_at_end(done)
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
        vector, zero, load = vector_of(context, builder, dtype)
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
            inputs = [load(builder.gep(x_row, [i])) for x_row in x_rows]
            updated = []
            for r in range(rows):
                value = load(builder.gep(map_rows[r], [i]))
                for e in range(elements):
                    updated.append(multiply_add(builder, value, inputs[e], accumulators[r * elements + e]))
            return updated

        dots = _loop(builder, first, last, vector.count, zero, rows * elements, body)
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


_TALLEST = np.array([max((height for height in HEIGHTS if height <= rest), default=0) for rest in range(ROWS + 1)])


@routine
def add_products(count, vectors, sums, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds):
    """Add (or, without ``adds``, write) the products of ``count`` rows of weights to as many rows of sums."""
    r = 0
    while r < count:
        rows = _TALLEST[min(count - r, ROWS)]
        _product_tile(rows, vectors, sums, r * sums_pitch, sums_pitch, weights, row + r * pitch, pitch, x, start,
                      offsets, k0, k1, adds)  # fmt: skip
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
