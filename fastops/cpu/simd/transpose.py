"""Tiles of a matrix transposed in registers: element by element a transposition takes eight times as long."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..._jit import VECTOR_BYTES, index, routine
from . import emit
from .values import keep, lanes_of, pointer


@intrinsic
def _transpose_tile(typing_context, to, to_at, to_step, source, at, step, rows, columns):
    """to[to_at + c * to_step + r] = source[at + r * step + c] for r < rows, c < columns, up to a vector of both.

    Pointers to elements of one type.  log2(lanes) times the first half of the vectors is interleaved with the second.
    """

    def generate(context, builder, sig, args):
        to, to_at, to_step, source, at, step, rows, columns = args
        dtype, i64 = sig.args[0].dtype, ir.IntType(64)
        vector, zero, _ = emit.vector_of(context, builder, dtype)

        def place(base, first, stride, i):
            return builder.gep(base, [builder.add(first, builder.mul(stride, i64(i)))])

        (of_columns,) = emit.masks_between(builder, vector.count, 1, i64(0), columns)
        (of_rows,) = emit.masks_between(builder, vector.count, 1, i64(0), rows)
        none = ir.Constant(of_rows.type, None)

        def within(count, i, mask):
            return builder.select(builder.icmp_signed("<", i64(i), count), mask, none)

        lanes = range(vector.count)
        tile = [emit.masked_load(builder, place(source, at, step, r), within(rows, r, of_columns), zero) for r in lanes]
        for _ in range(vector.count.bit_length() - 1):
            halves = zip(tile[: vector.count // 2], tile[vector.count // 2 :], strict=True)
            tile = [part for pair in halves for part in emit.interleaved(builder, list(pair))]
        for c, value in enumerate(tile):
            emit.masked_store(builder, value, place(to, to_at, to_step, c), within(columns, c, of_rows))
        return context.get_dummy_value()

    if not all(isinstance(each, types.CPointer) and each.dtype == to.dtype for each in (to, source)):
        return None
    arguments: list[Any] = [to, *[types.int64] * 2, source, *[types.int64] * 4]
    return types.void(*arguments), generate


@routine
def transpose(to, to_at, to_step, source, at, step, rows, columns):
    """to[to_at + c * to_step + r] = source[at + r * step + c] for r < rows, c < columns."""
    if VECTOR_BYTES > 16:  # masks of shorter vectors are branches
        lane_count, out, values = lanes_of(source), pointer(to), pointer(source)
        for r in range(0, rows, lane_count):
            for c in range(0, columns, lane_count):
                _transpose_tile(out, to_at + c * to_step + r, to_step, values, at + r * step + c, step, rows - r,
                                columns - c)  # fmt: skip
        keep(to)
        keep(source)
    else:
        for c in range(columns):
            for r in range(rows):
                to[index(to_at + c * to_step + r)] = source[index(at + r * step + c)]
