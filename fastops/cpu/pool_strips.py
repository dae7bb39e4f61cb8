"""LLVM code of the pools: rows of the input reduced along their windows, then lines of the results.

A strip of windows, one to a lane, reads its columns straight from the input, under masks that two instructions make, so
that no row is copied between margins; with stride 2 one pair of loads gives two columns.  Written in LLVM's words,
since numba's types for the same loops took two thirds of the time of the first call.
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

from .simd import emit
from .simd.emit import Value

I64 = ir.IntType(64)

# How a strip reads: it lies inside the row; or inside the array, and lanes beside the row are replaced; or only lanes
# of the row may be touched.  Masked loads alone took twice the time on large arrays, for which the CPU seems to fetch
# nothing ahead.
WHOLE, REPLACED, MASKED = range(3)


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


def _inside(builder: Any, lane_count: int, ix: Value, w: Value) -> Callable[[int], Value]:
    """mask(i): which lanes of the vector i columns after column ix the input has, by one comparison."""
    many, kind = (
        I64(2**30),
        ir.VectorType(ir.IntType(32), lane_count),
    )  # columns are counted from ix on, if that is in

    def least(a: Value, b: Value) -> Value:
        return builder.select(builder.icmp_signed("<", a, b), a, b)

    def most(a: Value, b: Value) -> Value:
        return builder.select(builder.icmp_signed(">", a, b), a, b)

    before = least(ix, I64(0))
    left = most(least(builder.sub(w, builder.sub(ix, before)), many), I64(0))
    first, end = (
        emit.repeated(builder, kind, builder.trunc(value, kind.element))
        for value in (most(before, builder.neg(many)), left)
    )
    return lambda i: builder.icmp_unsigned("<", builder.add(first, emit.numbers(range(i, i + lane_count))), end)


def _neighbours(builder: Any, fill: Value, count: int, step: int, ix: Value, w: Value, how: int) -> Any:
    """columns(pointer to column ix of a row, place): ``count`` columns of windows ``step`` <= 2 apart."""
    lane_count, vector = fill.type.count, fill.type
    mask = None if how == WHOLE else _inside(builder, lane_count, ix, w)

    def columns(row: Value, place: Callable[[int], Value]) -> Iterator[Column]:
        for at in range(0, count, step):
            parts, inside = [], []
            for i in range(at, at + step * lane_count, lane_count):
                pointer = builder.gep(row, [I64(i)])
                inside += [mask(i)] if mask else []
                if how == MASKED:
                    parts.append(emit.masked_load(builder, pointer, inside[-1], fill))
                else:
                    given = emit.load(builder, vector, pointer)
                    parts.append(builder.select(inside[-1], given, fill) if mask else given)
            for phase in range(min(step, count - at)):
                values, lanes = (
                    (of[0] if step == 1 else emit.every_second(builder, of[0], of[1], phase)) if of else None
                    for of in (parts, inside)
                )
                yield Column(values, lanes, partial(place, at + phase))

    return columns


def _gathered(builder: Any, fill: Value, step: Value, ix: Value, w: Value, how: int) -> Any:
    """The same of one column of windows further apart: each lane is read by itself."""

    def columns(row: Value, place: Callable[[int], Value]) -> Iterator[Column]:
        bits = ir.VectorType(ir.IntType(1), fill.type.count)
        values, mask = (ir.Constant(fill.type, ir.Undefined), ir.Constant(bits, ir.Undefined))
        for lane in range(fill.type.count):
            at, number = builder.mul(I64(lane), step), ir.IntType(32)(lane)
            if how != WHOLE:
                inside = builder.icmp_unsigned("<", builder.add(ix, at), w)
                mask = builder.insert_element(mask, inside, number)
                at = builder.select(inside, at, builder.neg(ix))  # column 0
            values = builder.insert_element(values, builder.load(builder.gep(row, [at])), number)
        if how != WHOLE:
            values = builder.select(mask, values, fill)
        yield Column(values, None if how == WHOLE else mask, partial(place, 0))

    return columns


# --------------------------------------------------------------------------------------------------- loops


class _Lines(NamedTuple):
    """Vectors of some buffers: what windows have come to."""

    builder: Any
    pointers: Any
    vectors: list[Any]

    def load(self, at: Value) -> list[Value]:
        pairs = zip(self.vectors, self.pointers, strict=True)
        return [emit.load(self.builder, vector, self.builder.gep(pointer, [at])) for vector, pointer in pairs]

    def store(self, at: Value, values: list[Value]) -> None:
        for value, pointer in zip(values, self.pointers, strict=True):
            emit.store(self.builder, value, self.builder.gep(pointer, [at]))


def _lines(context: Any, builder: Any, kinds: Any, pointers: Any) -> _Lines:
    lane_count = emit.lanes(kinds[0].dtype.bitwidth // 8)
    return _Lines(builder, pointers, [ir.VectorType(context.get_data_type(kind.dtype), lane_count) for kind in kinds])


def _numbers(context: Any, builder: Any, sig: Any, args: Any, count: int) -> list[Value]:
    """The last ``count`` arguments."""
    pairs = zip(sig.args[-count:], args[-count:], strict=True)
    return [context.cast(builder, value, kind, types.int64) for kind, value in pairs]


@contextlib.contextmanager
def _strips(builder: Any, rows: Value, ow: Value, lane_count: int) -> Iterator[tuple[Value, Value]]:
    """Emit the loops over (row, first window of a strip)."""
    with (
        cgutils.for_range(builder, rows, intp=I64) as row,
        cgutils.for_range_slice(builder, I64(0), ow, I64(lane_count), intp=I64) as (ox, _),
    ):
        yield row.index, ox


def _either(builder: Any, which: Value, first: Callable[[], None], second: Callable[[], None]) -> None:
    with builder.if_else(which) as (then, otherwise):
        with then:
            first()
        with otherwise:
            second()


def _reduce_columns(context: Any, builder: Any, sig: Any, args: Any, buffers: int, fill: float, combine: Any) -> Any:
    size, pitch, to, source, rows, plane, iy, w, ow, column, step, count = _numbers(context, builder, sig, args, 12)
    lines, x = (_lines(context, builder, sig.args[:buffers], args[:buffers]), args[buffers])
    vector, kind = lines.vectors[0], lines.vectors[-1]
    filled, stays = (ir.Constant(vector, [fill] * vector.count), builder.icmp_signed("==", source, to))

    def reduce(row: Value, ox: Value, ix: Value, apart: Value, columns: Any) -> None:
        line, first = (builder.add(to, row), builder.add(builder.mul(builder.add(iy, row), w), ix))

        def place(at: int) -> Value:
            both = [builder.add(first, I64(at)), apart]
            one, step = (
                emit.repeated(builder, kind, value if kind.element == I64 else builder.trunc(value, kind.element))
                for value in both
            )
            return builder.add(one, builder.mul(step, emit.numbers(range(kind.count), kind.element.width)))

        values = lines.load(builder.add(builder.mul(builder.select(stays, line, source), pitch), ox))
        for each in columns(builder.gep(x, [builder.add(builder.mul(plane, w), first)]), place):
            values = combine(builder, values, each)
        lines.store(builder.add(builder.mul(line, pitch), ox), values)

    def case(number: int) -> None:
        far, n = number == 6, number % 3 + 1
        apart = step if far else I64(number // 3 + 1)
        with _strips(builder, rows, ow, vector.count) as (row, ox):
            ix = builder.add(builder.mul(ox, apart), column)
            reach = builder.mul(apart, I64(vector.count))
            reach = builder.add(builder.add(ix, reach), I64(0 if far else n - 1))
            whole = builder.and_(builder.icmp_signed(">=", ix, I64(0)), builder.icmp_signed("<=", reach, w))

            def strip(how: int) -> None:
                if far:
                    columns = _gathered(builder, filled, step, ix, w, how)
                else:
                    columns = _neighbours(builder, filled, n, number // 3 + 1, ix, w, how)
                reduce(row, ox, ix, apart, columns)

            def border() -> None:
                if far:
                    strip(MASKED)
                    return
                line = builder.mul(builder.add(builder.add(plane, iy), row), w)
                begins = builder.icmp_signed(">=", builder.add(line, ix), I64(0))
                ends = builder.icmp_signed("<=", builder.add(line, reach), size)
                _either(builder, builder.and_(begins, ends), partial(strip, REPLACED), partial(strip, MASKED))

            _either(builder, whole, partial(strip, WHOLE), border)

    near = builder.add(builder.mul(builder.sub(step, I64(1)), I64(3)), builder.sub(count, I64(1)))
    emit.switch(builder, builder.select(builder.icmp_signed(">", step, I64(2)), I64(6), near), range(7), case)
    return context.get_dummy_value()


def _reduce_rows(
    context: Any, builder: Any, sig: Any, args: Any, buffers: int, fill: float, combine: Any, mean: Any = None
) -> Any:
    pitch, to, rows, ow, step, count, apart = _numbers(context, builder, sig, args, 7)
    lines = _lines(context, builder, sig.args[:buffers], args[:buffers])
    outs, lane_count = args[buffers : 2 * buffers], lines.vectors[0].count
    wide = [ir.VectorType(context.get_data_type(kind.dtype), lane_count) for kind in sig.args[buffers : 2 * buffers]]
    initial = [
        ir.Constant(vector, [number] * lane_count) for vector, number in zip(lines.vectors, (fill, -1), strict=False)
    ]

    def case(constant: int) -> None:
        with _strips(builder, rows, ow, lane_count) as (row, ox):

            def with_line(k: Value, values: list[Value]) -> list[Value]:
                line = builder.add(builder.mul(row, step), builder.mul(k, apart))
                given = lines.load(builder.add(builder.mul(line, pitch), ox))
                return combine(builder, values, Column(given[0], None, lambda: given[-1]))  # type: ignore[no-any-return]

            values = initial
            if constant:
                for k in range(constant):
                    values = with_line(I64(k), values)
            else:
                values = emit.folded(builder, count, values, with_line)
            if mean:
                values = [mean(builder, values[0], row, ox)]
            at = builder.add(builder.add(to, builder.mul(row, ow)), ox)

            end = builder.add(to, builder.mul(rows, ow))

            def store(masked: bool) -> None:
                mask = _inside(builder, lane_count, I64(0), builder.sub(end, at))(0) if masked else None
                for value, target, out in zip(values, wide, outs, strict=True):
                    given = value if value.type == target else builder.sext(value, target)
                    if mask is None:
                        emit.store(builder, given, builder.gep(out, [at]))
                    else:
                        emit.masked_store(builder, given, builder.gep(out, [at]), mask)

            # what is written beyond the end of a row the next row writes again
            fits = builder.icmp_signed("<=", builder.add(at, I64(lane_count)), end)
            _either(builder, fits, partial(store, False), partial(store, True))

    usual = builder.or_(*(builder.icmp_signed("==", count, I64(k)) for k in (2, 3)))
    emit.switch(builder, builder.select(usual, count, I64(0)), (0, 2, 3), case)
    return context.get_dummy_value()


# ---------------------------------------------------------------------------------------------- intrinsics


def _columns(fill: float, combine: Any) -> Any:
    @intrinsic
    def columns(typing_context, buffer, x, size, pitch, to, source, rows, plane, iy, w, ow, column, step, count):
        """Lines ``to``, ... of the buffer: line ``source`` and ``count`` columns of ``rows`` rows of x, reduced.

        If ``source`` is not ``to`` it is the same for all; lines are ``pitch`` apart.  The rows begin with row iy of
        the plane whose first is row ``plane`` of x, ``column`` is that of the first of ow windows, which are ``step``
        apart.  ``count`` is 1, or at most 3 if step <= 2.
        """

        def generate(context, builder, sig, args):
            return _reduce_columns(context, builder, sig, args, 1, fill, combine)

        return types.void(buffer, x, size, pitch, to, source, rows, plane, iy, w, ow, column, step, count), generate

    return columns


max_columns, add_columns = _columns(-math.inf, _best), _columns(0.0, _sum)


@intrinsic
def place_columns(
    typing_context, buffer, places, x, size, pitch, to, source, rows, plane, iy, w, ow, column, step, count
):
    """As max_columns, with the places of the maxima."""

    def generate(context, builder, sig, args):
        return _reduce_columns(context, builder, sig, args, 2, -math.inf, _best_place)

    return types.void(buffer, places, x, size, pitch, to, source, rows, plane, iy, w, ow, column, step, count), generate


@intrinsic
def max_rows(typing_context, buffer, out, pitch, to, rows, ow, step, count, apart):
    """out[to], ...: ``rows`` rows of ow outputs, of lines i * step, ... of the buffer, ``count`` of them ``apart``."""

    def generate(context, builder, sig, args):
        return _reduce_rows(context, builder, sig, args, 1, -math.inf, _best)

    return types.void(buffer, out, pitch, to, rows, ow, step, count, apart), generate


@intrinsic
def place_rows(typing_context, buffer, places, out, indices, pitch, to, rows, ow, step, count, apart):
    """As max_rows, with the places."""

    def generate(context, builder, sig, args):
        return _reduce_rows(context, builder, sig, args, 2, -math.inf, _best_place)

    return types.void(buffer, places, out, indices, pitch, to, rows, ow, step, count, apart), generate


@intrinsic
def mean_rows(typing_context, buffer, out, columns, parts, oy, pitch, to, rows, ow, step, count, apart):
    """The same of sums, divided by columns[ox] * parts[oy + i]."""

    def generate(context, builder, sig, args):
        (vector,) = _lines(context, builder, sig.args[:1], args[:1]).vectors

        def mean(builder, total, row, ox):
            counted = emit.load(builder, vector, builder.gep(args[2], [ox]))
            part = emit.repeated(builder, vector, builder.load(builder.gep(args[3], [builder.add(args[4], row)])))
            return builder.fdiv(total, builder.fmul(counted, part))

        return _reduce_rows(context, builder, sig, args, 1, 0.0, _sum, mean)

    return types.void(buffer, out, columns, parts, oy, pitch, to, rows, ow, step, count, apart), generate
