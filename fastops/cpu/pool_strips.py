"""LLVM code of the pools: a strip of windows, one to a lane, reduced along its columns, then along its rows.

Columns of the windows are read straight from the input, under masks that are made once for all rows of a strip, so that
no row is copied between margins; with stride 2 one pair of loads gives two columns.  Written in LLVM's words because
numba's types for the same loops took two thirds of the time of the first call.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .._jit import VECTOR_BYTES
from .simd import emit
from .simd.emit import Value

I64 = ir.IntType(64)

# A mask is free with AVX-512.  Elsewhere strips that need none have loops of their own.
_MASKED = (True,) if VECTOR_BYTES == 64 else (False, True)


class Column(NamedTuple):
    """A column of the windows: its elements, the lanes that lie inside the input, their places."""

    values: Value
    inside: Value
    places: Callable[[], Value]


def _best(builder: Any, state: list[Value], column: Column) -> list[Value]:
    """The greater, of equals the first, or NaN (the last one, as in torch): as `windows.winner`."""
    (best,), value = state, column.values
    greater = builder.select(builder.fcmp_ordered(">", value, best), value, best)  # one instruction, of x86
    return [builder.select(builder.fcmp_unordered("uno", value, value), value, greater)]


def _sum(builder: Any, state: list[Value], column: Column) -> list[Value]:
    return [builder.fadd(state[0], column.values)]


def _best_place(builder: Any, state: list[Value], column: Column) -> list[Value]:
    """The same with the place, which is negative before the window's first element."""
    (best, place), value = state, column.values
    first = builder.icmp_signed("<", place, ir.Constant(place.type, None))
    first = builder.and_(first, column.inside) if column.inside is not None else first
    wins = builder.or_(builder.fcmp_ordered(">", value, best), builder.fcmp_unordered("uno", value, value))
    take = builder.or_(wins, first)
    return [builder.select(take, value, best), builder.select(take, column.places(), place)]


# ------------------------------------------------------------------------------------------------- columns


def _inside(builder: Any, lane_count: int, count: int, ix: Value, w: Value) -> list[Value]:
    """The masks of ``count`` vectors from column ix on: which of it the input has."""
    return emit.masks_between(builder, lane_count, count, builder.neg(ix), builder.sub(w, ix))


def _neighbours(builder: Any, fill: Value, count: int, step: int, ix: Value, w: Value, masked: bool) -> Any:
    """columns(pointer to column ix of a row, its place): ``count`` columns of windows ``step`` <= 2 apart."""
    lane_count, vector = fill.type.count, fill.type
    starts = range(0, count, step)
    masks = [
        _inside(builder, lane_count, step, builder.add(ix, I64(at)), w) if masked else [None] * step for at in starts
    ]

    def columns(row: Value, place: Callable[[int, Any], Value]) -> Iterator[Column]:
        for at, inside in zip(starts, masks, strict=True):
            parts = []
            for part, mask in enumerate(inside):
                pointer = builder.gep(row, [I64(at + part * lane_count)])
                if masked:
                    parts.append(emit.masked_load(builder, pointer, mask, fill))
                else:
                    parts.append(emit.load(builder, vector, pointer))
            for phase in range(min(step, count - at)):
                values, lanes = (
                    of[0] if step == 1 or of[0] is None else emit.every_second(builder, of[0], of[1], phase)
                    for of in (parts, inside)
                )
                yield Column(values, lanes, partial(place, at + phase, I64(step)))

    return columns


def _gathered(builder: Any, fill: Value, step: Value, ix: Value, w: Value) -> Any:
    """The same of one column of windows further apart: each lane is read by itself."""
    lanes = range(fill.type.count)
    last, mask = builder.sub(w, I64(1)), ir.Constant(ir.VectorType(ir.IntType(1), fill.type.count), ir.Undefined)
    offsets = []
    for lane in lanes:
        at = builder.add(ix, builder.mul(I64(lane), step))
        inside = builder.icmp_unsigned("<", at, w)
        mask = builder.insert_element(mask, inside, ir.IntType(32)(lane))
        offsets.append(builder.sub(builder.select(inside, at, last), ix))

    def columns(row: Value, place: Callable[[int, Any], Value]) -> Iterator[Column]:
        values = ir.Constant(fill.type, ir.Undefined)
        for lane in lanes:
            values = builder.insert_element(
                values, builder.load(builder.gep(row, [offsets[lane]])), ir.IntType(32)(lane)
            )
        yield Column(builder.select(mask, values, fill), mask, partial(place, 0, step))

    return columns


# --------------------------------------------------------------------------------------------------- loops


class _Lines(NamedTuple):
    """Lines of one vector in each of some buffers: what the windows of a strip have come to."""

    builder: Any
    pointers: Any
    vectors: list[Any]

    def _at(self, line: Value) -> list[Value]:
        element = self.builder.mul(line, I64(self.vectors[0].count))
        return [self.builder.gep(pointer, [element]) for pointer in self.pointers]

    def load(self, line: Value) -> list[Value]:
        pairs = zip(self.vectors, self._at(line), strict=True)
        return [emit.load(self.builder, vector, pointer) for vector, pointer in pairs]

    def store(self, line: Value, values: list[Value]) -> None:
        for value, pointer in zip(values, self._at(line), strict=True):
            emit.store(self.builder, value, pointer)


def _lines(context: Any, builder: Any, kinds: Any, pointers: Any) -> _Lines:
    lane_count = emit.lanes(kinds[0].dtype.bitwidth // 8)
    return _Lines(builder, pointers, [ir.VectorType(context.get_data_type(kind.dtype), lane_count) for kind in kinds])


def _numbers(context: Any, builder: Any, sig: Any, args: Any, count: int) -> list[Value]:
    """The last ``count`` arguments."""
    pairs = zip(sig.args[-count:], args[-count:], strict=True)
    return [context.cast(builder, value, kind, types.int64) for kind, value in pairs]


def _either(builder: Any, whole: Value, loop: Callable[[bool], None]) -> None:
    """loop(masked): the one that suits."""
    for masked in _MASKED:
        chosen = builder.if_then(builder.not_(whole) if masked else whole)
        with chosen if len(_MASKED) > 1 else contextlib.nullcontext():
            loop(masked)


def _reduce_columns(context: Any, builder: Any, sig: Any, args: Any, buffers: int, fill: float, combine: Any) -> Any:
    to, source, rows, plane, iy, w, ix, step, count = _numbers(context, builder, sig, args, 9)
    lines, x = _lines(context, builder, sig.args[:buffers], args[:buffers]), args[buffers]
    vector, kind = lines.vectors[0], lines.vectors[-1]
    filled, stays = ir.Constant(vector, [fill] * vector.count), builder.icmp_signed("==", source, to)

    def loop(columns: Any) -> None:
        with cgutils.for_range(builder, rows, intp=I64) as each:
            line = builder.add(to, each.index)
            row = builder.add(builder.mul(builder.add(iy, each.index), w), ix)

            def place(at: int, apart: Any) -> Value:
                first = builder.add(row, I64(at))
                both = [
                    builder.trunc(value, kind.element) if kind.element != I64 else value for value in (first, apart)
                ]
                first, apart = (emit.repeated(builder, kind, value) for value in both)
                return builder.add(first, builder.mul(apart, emit.numbers(range(kind.count), kind.element.width)))

            values = lines.load(builder.select(stays, line, source))
            for column in columns(builder.gep(x, [builder.add(builder.mul(plane, w), row)]), place):
                values = combine(builder, values, column)
            lines.store(line, values)

    def case(number: int) -> None:
        if number == 6:
            loop(_gathered(builder, filled, step, ix, w))
            return
        n, apart = number % 3 + 1, number // 3 + 1
        reach = builder.add(ix, I64((n - 1) // apart * apart + apart * vector.count))
        whole = builder.and_(builder.icmp_signed(">=", ix, I64(0)), builder.icmp_signed("<=", reach, w))
        _either(builder, whole, lambda masked: loop(_neighbours(builder, filled, n, apart, ix, w, masked)))

    near = builder.add(builder.mul(builder.sub(step, I64(1)), I64(3)), builder.sub(count, I64(1)))
    emit.switch(builder, builder.select(builder.icmp_signed(">", step, I64(2)), I64(6), near), range(7), case)
    return context.get_dummy_value()


def _reduce_rows(
    context: Any, builder: Any, sig: Any, args: Any, buffers: int, fill: float, combine: Any, mean: Any = None
) -> Any:
    to, pitch, left, rows, step, count, apart = _numbers(context, builder, sig, args, 7)
    lines = _lines(context, builder, sig.args[:buffers], args[:buffers])
    outs, lane_count = args[buffers : 2 * buffers], lines.vectors[0].count
    wide = [ir.VectorType(context.get_data_type(kind.dtype), lane_count) for kind in sig.args[buffers : 2 * buffers]]
    initial = [
        ir.Constant(vector, [number] * lane_count) for vector, number in zip(lines.vectors, (fill, -1), strict=False)
    ]
    (mask,) = emit.masks_between(builder, lane_count, 1, I64(0), left)

    def loop(constant: int, masked: bool) -> None:
        with cgutils.for_range(builder, rows, intp=I64) as each:
            first = builder.mul(each.index, step)

            def with_row(k: Value, values: list[Value]) -> list[Value]:
                row = lines.load(builder.add(first, builder.mul(k, apart)))
                return combine(builder, values, Column(row[0], None, lambda: row[-1]))  # type: ignore[no-any-return]

            values = initial
            if constant:
                for k in range(constant):
                    values = with_row(I64(k), values)
            else:
                values = emit.folded(builder, count, values, with_row)
            if mean:
                values = [mean(builder, values[0], each.index)]
            at = builder.add(to, builder.mul(each.index, pitch))
            for value, target, out in zip(values, wide, outs, strict=True):
                given, pointer = value if value.type == target else builder.sext(value, target), builder.gep(out, [at])
                if masked:
                    emit.masked_store(builder, given, pointer, mask)
                else:
                    emit.store(builder, given, pointer)

    def case(number: int) -> None:
        _either(builder, builder.icmp_signed(">=", left, I64(lane_count)), lambda masked: loop(number, masked))

    usual = builder.or_(*(builder.icmp_signed("==", count, I64(k)) for k in (2, 3)))
    emit.switch(builder, builder.select(usual, count, I64(0)), (0, 2, 3), case)
    return context.get_dummy_value()


# ---------------------------------------------------------------------------------------------- intrinsics


def _columns(fill: float, combine: Any) -> Any:
    @intrinsic
    def columns(typing_context, buffer, x, to, source, rows, plane, iy, w, ix, step, count):
        """Lines ``to``, ... of the buffer: line ``source`` and ``count`` columns of ``rows`` rows of x, reduced.

        If ``source`` is not ``to`` it is the same for all.  The rows begin with row iy of the plane whose first is row
        ``plane`` of x, ``ix`` is the column in the strip's first window, ``step`` how far windows are apart; count is
        1, or at most 3 if step <= 2.
        """

        def generate(context, builder, sig, args):
            return _reduce_columns(context, builder, sig, args, 1, fill, combine)

        return types.void(buffer, x, to, source, rows, plane, iy, w, ix, step, count), generate

    return columns


max_columns, add_columns = _columns(-math.inf, _best), _columns(0.0, _sum)


@intrinsic
def place_columns(typing_context, buffer, places, x, to, source, rows, plane, iy, w, ix, step, count):
    """As max_columns, with the places of the maxima."""

    def generate(context, builder, sig, args):
        return _reduce_columns(context, builder, sig, args, 2, -math.inf, _best_place)

    return types.void(buffer, places, x, to, source, rows, plane, iy, w, ix, step, count), generate


@intrinsic
def max_rows(typing_context, buffer, out, to, pitch, left, rows, step, count, apart):
    """out[to + i * pitch], ...: lines i * step, ... of the buffer, ``count`` of them ``apart``, reduced.

    The first ``left`` lanes are stored.
    """

    def generate(context, builder, sig, args):
        return _reduce_rows(context, builder, sig, args, 1, -math.inf, _best)

    return types.void(buffer, out, to, pitch, left, rows, step, count, apart), generate


@intrinsic
def place_rows(typing_context, buffer, places, out, indices, to, pitch, left, rows, step, count, apart):
    """As max_rows, with the places."""

    def generate(context, builder, sig, args):
        return _reduce_rows(context, builder, sig, args, 2, -math.inf, _best_place)

    return types.void(buffer, places, out, indices, to, pitch, left, rows, step, count, apart), generate


@intrinsic
def mean_rows(typing_context, buffer, out, columns, ox, parts, oy, to, pitch, left, rows, step, count, apart):
    """The same of sums, divided by columns[ox + lane] * parts[oy + i]."""

    def generate(context, builder, sig, args):
        (vector,) = _lines(context, builder, sig.args[:1], args[:1]).vectors
        counted = emit.load(builder, vector, builder.gep(args[2], [args[3]]))

        def mean(builder, total, i):
            part = emit.repeated(builder, vector, builder.load(builder.gep(args[4], [builder.add(args[5], i)])))
            return builder.fdiv(total, builder.fmul(counted, part))

        return _reduce_rows(context, builder, sig, args, 1, 0.0, _sum, mean)

    return types.void(buffer, out, columns, ox, parts, oy, to, pitch, left, rows, step, count, apart), generate
