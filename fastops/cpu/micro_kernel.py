"""The inner loop of convolutions in explicit vector code: a tile of sums that stays in registers.

    sums[r, i] (+)= sum over k in [k0, k1) of weights[r, k] * x[start + offsets[k] + i]

for ROWS rows r and VECTORS vectors of pixels i.  LLVM will not keep such a tile in registers by itself, and prefers
256-bit vectors where the CPU has 512: written as plain loops the same sum reached a quarter of this speed.  An
intrinsic is a Python function that emits LLVM code, here ROWS * VECTORS accumulators as phi nodes of one loop.  The
sum of [k0, k1) is made apart and then added, so that rounding does not grow with the whole length of k.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from .._jit import VECTOR_BYTES, VECTOR_REGISTERS, routine

# ROWS * VECTORS accumulators, VECTORS inputs and a weight have to fit the registers.  Measured on one AVX-512 core of
# 255 GFLOP/s: 8 x 3 253, 4 x 6 252, 6 x 4 248, 7 x 4 206 (it spills).
ROWS = 8 if VECTOR_REGISTERS >= 32 else 4
VECTORS = 3


@register_jitable  # type: ignore[untyped-decorator, unused-ignore]
def lanes(itemsize: int) -> int:
    """Elements of a vector."""
    return VECTOR_BYTES // itemsize


def _tile(rows: int, vectors: int) -> Any:
    """The intrinsic for a tile of ``rows`` by ``vectors`` vectors."""

    @intrinsic
    def tile(typing_context, sums, sums_start, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds):
        arguments = (sums, sums_start, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds)
        return types.void(*arguments), generate

    def generate(context, builder, signature, arguments):
        sums, sums_start, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds = arguments
        sums_type, weights_type, x_type, offsets_type = (signature.args[i] for i in (0, 3, 6, 8))

        def data(array_type, array):
            return context.make_array(array_type)(context, builder, array).data

        scalar = context.get_data_type(x_type.dtype)
        width = lanes(x_type.dtype.bitwidth // 8)
        vector, i64 = ir.VectorType(scalar, width), ir.IntType(64)
        # multiply-add in one instruction where the CPU has it, else in two: llvm.fma would call the math library
        multiply_add = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [vector] * 3),
            f"llvm.fmuladd.v{width}f{x_type.dtype.bitwidth}",
        )

        def load(pointer):
            value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
            value.align = x_type.dtype.bitwidth // 8
            return value

        def add(pointer, value):
            """Store the sum, added to what is there where ``adds``."""
            total = builder.select(adds, builder.fadd(load(pointer), value), value)
            stored = builder.store(total, builder.bitcast(pointer, vector.as_pointer()))
            stored.align = x_type.dtype.bitwidth // 8

        weights, offsets = data(weights_type, weights), data(offsets_type, offsets)
        weight_rows = [builder.gep(weights, [builder.add(row, builder.mul(pitch, i64(r)))]) for r in range(rows)]
        x = builder.gep(data(x_type, x), [start])
        entry = builder.block
        loop, done = builder.append_basic_block("k"), builder.append_basic_block("done")
        zero = ir.Constant(vector, [0.0] * width)
        builder.cbranch(builder.icmp_signed("<", k0, k1), loop, done)

        builder.position_at_end(loop)
        k = builder.phi(i64)
        k.add_incoming(k0, entry)
        tile = [builder.phi(vector) for _ in range(rows * vectors)]
        pixels = builder.gep(x, [builder.load(builder.gep(offsets, [k]))])
        inputs = [load(builder.gep(pixels, [i64(v * width)])) for v in range(vectors)]
        undefined, first_lane = (
            ir.Constant(vector, ir.Undefined),
            ir.Constant(ir.VectorType(ir.IntType(32), width), None),
        )
        updated = []
        for r in range(rows):
            weight = builder.insert_element(
                undefined, builder.load(builder.gep(weight_rows[r], [k])), ir.IntType(32)(0)
            )
            weight = builder.shuffle_vector(weight, undefined, first_lane)
            for v in range(vectors):
                updated.append(builder.call(multiply_add, [weight, inputs[v], tile[r * vectors + v]]))
        following = builder.add(k, i64(1))
        k.add_incoming(following, loop)
        for phi, value in zip(tile, updated, strict=True):
            phi.add_incoming(zero, entry)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, k1), loop, done)

        builder.position_at_end(done)
        totals = [builder.phi(vector) for _ in updated]
        for phi, value in zip(totals, updated, strict=True):
            phi.add_incoming(zero, entry)
            phi.add_incoming(value, loop)
        sums = builder.gep(data(sums_type, sums), [sums_start])
        for r in range(rows):
            for v in range(vectors):
                place = builder.add(builder.mul(sums_pitch, i64(r)), i64(v * width))
                add(builder.gep(sums, [place]), totals[r * vectors + v])
        return context.get_dummy_value()

    return tile


def _rows_of(rows: int) -> Any:
    """The routine for ``rows`` rows and any number of vectors up to VECTORS."""
    one, two, three = (_tile(rows, vectors) for vectors in (1, 2, 3))

    def add_rows(vectors, sums, at, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds):
        if vectors == 3:
            three(sums, at, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds)
        elif vectors == 2:
            two(sums, at, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds)
        else:
            one(sums, at, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds)

    add_rows.__qualname__ += str(rows)
    return routine(add_rows)


_half, _pair, _single = _rows_of(4), _rows_of(2), _rows_of(1)
_full = _rows_of(ROWS) if ROWS != 4 else _half


@routine
def add_products(count, vectors, sums, sums_pitch, weights, row, pitch, x, start, offsets, k0, k1, adds):
    """Add (or, without ``adds``, write) the products of ``count`` rows of weights to as many rows of sums."""
    r = 0
    while r < count:
        at, w = r * sums_pitch, row + r * pitch
        if count - r >= ROWS:
            _full(vectors, sums, at, sums_pitch, weights, w, pitch, x, start, offsets, k0, k1, adds)
            r += ROWS
        elif count - r >= 4:
            _half(vectors, sums, at, sums_pitch, weights, w, pitch, x, start, offsets, k0, k1, adds)
            r += 4
        elif count - r >= 2:
            _pair(vectors, sums, at, sums_pitch, weights, w, pitch, x, start, offsets, k0, k1, adds)
            r += 2
        else:
            _single(vectors, sums, at, sums_pitch, weights, w, pitch, x, start, offsets, k0, k1, adds)
            r += 1
