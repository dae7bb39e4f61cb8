"""Vectors of the CPU's own width as values in compiled code: ``wins(a, b)`` of two vectors is a vector of answers.

LLVM makes vectors of plain loops, but not for rows of 7 or 56 elements: what is left of a row after whole vectors it
does one element at a time, and half a row is left (seen here: 6 ns an output of a 2 x 2 pool, 15 times the time of the
loads).  Here the last vector of a row is masked.  Lanes outside a mask are never read nor written.
"""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, overload, register_model

from . import emit


class Vector(types.Type):
    """The type of a vector of ``lanes`` numbers or, of booleans, a mask."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc, unused-ignore]
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _code_type(vector))


def _code_type(vector: Vector) -> Any:
    if vector.dtype == types.boolean:
        return ir.VectorType(ir.IntType(1), vector.lanes)
    if isinstance(vector.dtype, types.Float):
        return ir.VectorType(ir.FloatType() if vector.dtype.bitwidth == 32 else ir.DoubleType(), vector.lanes)
    return ir.VectorType(ir.IntType(vector.dtype.bitwidth), vector.lanes)


def _mask(vector: Vector) -> Vector:
    return Vector(types.boolean, vector.lanes)


# ------------------------------------------------------------------------------------------------ operators


def _operator(function: Any, for_floats: str, for_integers: str, symbol: str = "") -> None:
    """Define an operator of two vectors, or of a vector and a number, by what the builder calls its instructions."""

    @infer_global(function)
    class Template(AbstractTemplate):  # type: ignore[misc, unused-ignore]
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) != 2 or not isinstance(args[0], Vector):
                return None
            vector, other = args
            if not (other == vector or isinstance(other, types.Number)):
                return None
            return signature(_mask(vector) if symbol else vector, vector, other if other == vector else vector.dtype)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        a, b = args
        dtype = sig.args[0].dtype
        if not isinstance(sig.args[1], Vector):
            b = emit.repeated(builder, a.type, b)
        name = for_floats if isinstance(dtype, types.Float) else for_integers
        if name == "icmp_signed" and not getattr(dtype, "signed", True):
            name = "icmp_unsigned"
        return getattr(builder, name)(*([symbol] if symbol else []), a, b)

    for other in (Vector, types.Number):
        lower_builtin(function, Vector, other)(lower)


_operator(operator.gt, "fcmp_ordered", "icmp_signed", ">")
_operator(operator.ge, "fcmp_ordered", "icmp_signed", ">=")
_operator(operator.lt, "fcmp_ordered", "icmp_signed", "<")
_operator(operator.ne, "fcmp_unordered", "icmp_signed", "!=")
_operator(operator.or_, "", "or_")
_operator(operator.and_, "", "and_")
_operator(operator.xor, "", "xor")
_operator(operator.rshift, "", "lshr")  # of unsigned numbers
_operator(operator.add, "fadd", "add")
_operator(operator.sub, "fsub", "sub")
_operator(operator.mul, "fmul", "mul")
_operator(operator.truediv, "fdiv", "")


@intrinsic
def _chosen(typing_context, mask, a, b):
    vector = a if isinstance(a, Vector) else b

    def generate(context, builder, sig, args):
        values = [
            value if isinstance(kind, Vector) else _filled(context, builder, vector, kind, value)
            for kind, value in zip(sig.args[1:], args[1:], strict=True)
        ]
        return builder.select(args[0], *values)

    return vector(mask, a, b), generate


def _filled(context: Any, builder: Any, vector: Vector, kind: Any, value: Any) -> Any:
    """A number of a type in every lane."""
    return emit.repeated(builder, _code_type(vector), context.cast(builder, value, kind, vector.dtype))


def chosen(mask, a, b):
    """a where the mask holds, else b: of vectors lane by lane (one of the two may be a number), or of numbers."""
    return a if mask else b


@overload(chosen)
def _overload_chosen(mask, a, b):
    if isinstance(mask, Vector):
        return lambda mask, a, b: _chosen(mask, a, b)
    return lambda mask, a, b: a if mask else b


# ------------------------------------------------------------------------------------------ making and moving


def lanes_of(array: Any) -> int:
    """`emit.lanes` of an array's elements, or of a pointer's."""
    return emit.lanes(array.dtype.itemsize)


@overload(lanes_of)
def _overload_lanes_of(array):
    count = _of(array).lanes
    return lambda array: count


def _of(array: Any) -> Vector:
    return Vector(array.dtype, emit.lanes(array.dtype.bitwidth // 8))


@intrinsic
def repeated(typing_context, array, value):
    """A vector of ``value``, of the type of the array's elements."""
    vector = _of(array)

    def generate(context, builder, sig, args):
        return emit.repeated(builder, _code_type(vector), context.cast(builder, args[1], sig.args[1], vector.dtype))

    return vector(array, value), generate


@intrinsic
def places(typing_context, array, like, first, step):
    """first, first + step, ...: integers of the array's type, as many as the vector ``like`` has."""
    vector = Vector(array.dtype, like.lanes)

    def generate(context, builder, sig, args):
        code = _code_type(vector)
        first, step = (
            emit.repeated(builder, code, context.cast(builder, args[i], sig.args[i], vector.dtype)) for i in (2, 3)
        )
        return builder.add(first, builder.mul(step, emit.numbers(range(vector.lanes), vector.dtype.bitwidth)))

    return vector(array, like, first, step), generate


@intrinsic
def counters(typing_context, first):
    """first, first + 1, ...: 64-bit unsigned numbers that fill a vector."""
    vector = Vector(types.uint64, emit.lanes(8))

    def generate(context, builder, sig, args):
        first = context.cast(builder, args[0], sig.args[0], types.uint64)
        return builder.add(emit.repeated(builder, _code_type(vector), first), emit.numbers(range(vector.lanes), 64))

    return vector(first), generate


@intrinsic
def words(typing_context, a, b):
    """Vectors of 64-bit numbers below 2^32 as one of 32-bit numbers: a[0], b[0], a[1], b[1], ..."""
    vector = Vector(types.uint32, 2 * a.lanes)

    def generate(context, builder, sig, args):
        high = builder.shl(args[1], emit.repeated(builder, args[1].type, ir.IntType(64)(32)))
        return builder.bitcast(builder.or_(args[0], high), _code_type(vector))  # of a little-endian CPU

    return vector(a, b), generate


@intrinsic
def half(typing_context, mask, array, second):
    """The mask itself if a vector of the array's elements has as many lanes, else its first or second half."""
    lanes = _of(array).lanes

    def generate(context, builder, sig, args):
        if mask.lanes == lanes:
            return args[0]
        low, high = (emit.shuffled(builder, args[0], args[0], range(first, first + lanes)) for first in (0, lanes))
        return builder.select(context.cast(builder, args[2], sig.args[2], types.boolean), high, low)

    return Vector(types.boolean, lanes)(mask, array, second), generate


@intrinsic
def first_lanes(typing_context, array, count):
    """The mask of the first ``count`` lanes (all, if there are no more) of a vector of the array's elements."""
    vector = _of(array)
    bits = vector.dtype.bitwidth  # compared in numbers of that size

    def generate(context, builder, sig, args):
        count = context.cast(builder, args[1], sig.args[1], types.int64)
        most = ir.IntType(64)(vector.lanes)
        count = builder.select(builder.icmp_signed(">", count, most), most, count)
        count = builder.trunc(count, ir.IntType(bits)) if bits < 64 else count
        ends = emit.repeated(builder, ir.VectorType(ir.IntType(bits), vector.lanes), count)
        return builder.icmp_signed("<", emit.numbers(range(vector.lanes), bits), ends)

    return _mask(vector)(array, count), generate


@intrinsic
def pointer(typing_context, array):
    """The address of a contiguous array's elements, which the functions here take in place of the array.

    To pass an array to a function, inlined or not, counts its references, in atomic operations that took two thirds
    of the time of a pool (seen here).
    """

    def generate(context, builder, sig, args):
        return context.make_array(array)(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def keep(typing_context, array):
    """Keep an array until here that is used by its pointer."""
    return types.void(array), lambda context, builder, sig, args: context.get_dummy_value()


def fields(count: int) -> Any:
    """An intrinsic (array, i): the ``count`` numbers from array[i * count] on as a tuple, to be unpacked under names.

    So the rows of an array of records reach a kernel.  A NamedTuple of as many integers costs 0.55 us a call.
    """

    @intrinsic
    def take(typing_context, array, i):
        def generate(context, builder, sig, args):
            data = context.make_array(array)(context, builder, args[0]).data
            first = builder.mul(context.cast(builder, args[1], sig.args[1], types.int64), ir.IntType(64)(count))
            places = [builder.add(first, ir.IntType(64)(k)) for k in range(count)]
            values = [builder.load(builder.gep(data, [place])) for place in places]
            return context.make_tuple(builder, sig.return_type, values)

        return types.UniTuple(array.dtype, count)(array, i), generate

    return take


def _pointer(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """The address of the element whose array (or pointer) and place are the first two arguments."""
    array = sig.args[0]
    data = args[0] if isinstance(array, types.CPointer) else context.make_array(array)(context, builder, args[0]).data
    return builder.gep(data, [context.cast(builder, args[1], sig.args[1], types.int64)])


def _load(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return emit.load(builder, _code_type(sig.return_type), _pointer(context, builder, sig, args))


@intrinsic
def load(typing_context, array, i):
    """The vector array[i], array[i + 1], ..., all of it inside the array."""
    return _of(array)(array, i), _load


WIDE = Vector(types.float64, emit.lanes(8))


@intrinsic
def wide(typing_context, value):
    """A vector of the float64 ``value``."""

    def generate(context, builder, sig, args):
        return emit.repeated(builder, _code_type(WIDE), context.cast(builder, args[0], sig.args[0], types.float64))

    return WIDE(value), generate


@intrinsic
def load_wide(typing_context, array, i):
    """array[i], array[i + 1], ... as a vector of float64."""
    narrow = Vector(array.dtype, WIDE.lanes)

    def generate(context, builder, sig, args):
        value = emit.load(builder, _code_type(narrow), _pointer(context, builder, sig, args))
        return value if narrow == WIDE else builder.fpext(value, _code_type(WIDE))

    return WIDE(array, i), generate


@intrinsic
def lane_sum(typing_context, vector):
    """The sum of a vector's lanes: of its halves, of their halves, ..."""

    def generate(context, builder, sig, args):
        value, count = args[0], vector.lanes
        while count > 1:
            count //= 2
            halves = [emit.shuffled(builder, value, value, range(at, at + count)) for at in (0, count)]
            value = builder.fadd(*halves)
        return builder.extract_element(value, ir.IntType(32)(0))

    return vector.dtype(vector), generate


@intrinsic
def lane_max(typing_context, vector):
    """The largest of a vector's lanes; a NaN among them may be passed over."""

    def generate(context, builder, sig, args):
        value, count = args[0], vector.lanes
        while count > 1:
            count //= 2
            low, high = (emit.shuffled(builder, value, value, range(at, at + count)) for at in (0, count))
            value = builder.select(builder.fcmp_ordered(">", low, high), low, high)
        return builder.extract_element(value, ir.IntType(32)(0))

    return vector.dtype(vector), generate


@intrinsic
def bits_shifted(typing_context, vector, count):
    """The floats whose bits are those of the vector's, shifted to the left."""
    integers = Vector(types.int32 if vector.dtype == types.float32 else types.int64, vector.lanes)

    def generate(context, builder, sig, args):
        bits = builder.bitcast(args[0], _code_type(integers))
        count = _filled(context, builder, integers, sig.args[1], args[1])
        return builder.bitcast(builder.shl(bits, count), _code_type(vector))

    return vector(vector, count), generate


@intrinsic
def masked_load(typing_context, array, i, mask, other):
    """array[i + lane] in the lanes of the mask, ``other`` elsewhere; nothing else is read."""

    def generate(context, builder, sig, args):
        return emit.masked_load(builder, _pointer(context, builder, sig, args), args[2], args[3])

    return other(array, i, mask, other), generate


@intrinsic
def store(typing_context, array, i, value):
    """array[i + lane] = value, all of it inside the array."""

    def generate(context, builder, sig, args):
        emit.store(builder, args[2], _pointer(context, builder, sig, args))
        return context.get_dummy_value()

    return types.void(array, i, value), generate


@intrinsic
def masked_store(typing_context, array, i, value, mask):
    """array[i + lane] = value in the lanes of the mask; integers widen to the array's."""

    def generate(context, builder, sig, args):
        target, given = Vector(array.dtype, value.lanes), args[2]
        given = given if target == value else builder.sext(given, _code_type(target))
        emit.masked_store(builder, given, _pointer(context, builder, sig, args), args[3])
        return context.get_dummy_value()

    return types.void(array, i, value, mask), generate


@intrinsic
def store_strided(typing_context, array, i, step, value):
    """array[i + lane * step] = value, all of it inside the array."""

    def generate(context, builder, sig, args):
        first = _pointer(context, builder, sig, args)
        step = context.cast(builder, args[2], sig.args[2], types.int64)
        for lane in range(value.lanes):
            element = builder.extract_element(args[3], ir.IntType(32)(lane))
            builder.store(element, builder.gep(first, [builder.mul(ir.IntType(64)(lane), step)]))
        return context.get_dummy_value()

    return types.void(array, i, step, value), generate


def _shuffle(order: Any) -> Any:
    """An intrinsic that picks lanes of two vectors in a row; order(lanes) lists them."""

    @intrinsic
    def shuffle(typing_context, a, b):
        def generate(context, builder, sig, args):
            return emit.shuffled(builder, args[0], args[1], order(a.lanes))

        return a(a, b), generate

    return shuffle


interleaved_low = _shuffle(lambda n: [i // 2 + i % 2 * n for i in range(n)])
interleaved_high = _shuffle(lambda n: [i // 2 + i % 2 * n for i in range(n, 2 * n)])
pairs_low = _shuffle(lambda n: [i // 4 * 2 + i % 2 + i // 2 % 2 * n for i in range(n)])
pairs_high = _shuffle(lambda n: [i // 4 * 2 + i % 2 + i // 2 % 2 * n for i in range(n, 2 * n)])
