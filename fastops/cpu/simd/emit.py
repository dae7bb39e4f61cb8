"""LLVM code with explicit vectors, for intrinsics: types, loads and stores, masks, shuffles.

Every function takes the builder that emits the code first; a ``Value`` is what an LLVM instruction gives.
"""

from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from ..._jit import VECTOR_BYTES

Value = Any  # of LLVM


@register_jitable  # type: ignore[untyped-decorator, unused-ignore]
def lanes(itemsize: int) -> int:
    """Elements of a vector."""
    return VECTOR_BYTES // itemsize


def array_data(context: Any, builder: Any, array_type: Any, array: Value) -> Value:
    """The pointer to an array's first element."""
    return context.make_array(array_type)(context, builder, array).data


def vector_of(context: Any, builder: Any, dtype: Any) -> tuple[Any, Value, Callable[[Value], Value]]:
    """(vector type, zero, load) for a CPU vector of the floats ``dtype``."""
    vector = ir.VectorType(context.get_data_type(dtype), lanes(dtype.bitwidth // 8))

    def load_one(pointer: Value) -> Value:
        return load(builder, vector, pointer)

    return vector, ir.Constant(vector, [0.0] * vector.count), load_one


def itemsize(vector: Any) -> int:
    """Bytes of an element of a vector type."""
    if isinstance(vector.element, ir.IntType):
        return int(vector.element.width // 8)
    return 8 if isinstance(vector.element, ir.DoubleType) else 4


# ------------------------------------------------------------------------------------------- loads and stores


def load(builder: Any, vector: Any, pointer: Value) -> Value:
    """A whole vector of a type; it may begin at any element."""
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = itemsize(vector)
    return value


def store(builder: Any, value: Value, pointer: Value) -> None:
    """Write a whole vector."""
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = itemsize(value.type)


def masked_load(builder: Any, pointer: Value, mask: Value, other: Value) -> Value:
    """The lanes of the mask, in the others those of ``other``; the memory of these is not touched."""
    vector = other.type
    arguments = [builder.bitcast(pointer, vector.as_pointer()), ir.IntType(32)(itemsize(vector)), mask, other]
    return _call(builder, f"masked.load.{_name(vector)}.p0", vector, arguments)


def masked_store(builder: Any, value: Value, pointer: Value, mask: Value) -> None:
    """Write the lanes of the mask; the memory of the others is not touched."""
    vector = value.type
    arguments = [value, builder.bitcast(pointer, vector.as_pointer()), ir.IntType(32)(itemsize(vector)), mask]
    _call(builder, f"masked.store.{_name(vector)}.p0", ir.VoidType(), arguments)


def prefetch(builder: Any, pointer: Value) -> None:
    """Ask for a line of the cache that will be read; any address may be asked for."""
    numbers = [ir.IntType(32)(each) for each in (0, 3, 1)]  # to read, into all levels, data
    _call(builder, "prefetch.p0", ir.VoidType(), [pointer, *numbers])


def _call(builder: Any, name: str, returns: Any, arguments: list[Value]) -> Value:
    kind = ir.FunctionType(returns, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}"), arguments)


def _name(vector: Any) -> str:
    letter = "i" if isinstance(vector.element, ir.IntType) else "f"
    return f"v{vector.count}{letter}{8 * itemsize(vector)}"


def stack_memory(size: int) -> Any:
    """An intrinsic without arguments: a pointer to ``size`` bytes that live as long as the calling function.

    An allocation inside a kernel takes 60 ns, as much as the smallest tile of a convolution.
    """

    @intrinsic
    def memory(typing_context):
        def generate(context, builder, signature, arguments):
            # not cgutils.alloca_once: that fills with zeros by one store of all bytes, over which LLVM sat for 5 s
            with builder.goto_entry_block():
                block = builder.alloca(ir.ArrayType(ir.IntType(8), size))
            block.align = 64
            return builder.bitcast(block, cgutils.voidptr_t)

        return types.voidptr(), generate

    return memory


@intrinsic
def never_inlined(typing_context):
    """Stands in a routine that is to stay a function: inlined into a kernel's loop, LLVM loads its constants anew."""

    def generate(context, builder, signature, arguments):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate


def fence(builder: Any) -> None:
    """Nothing at all for the CPU; but LLVM moves no load or store from one side to the other."""
    builder.asm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", [], True)


# --------------------------------------------------------------------------------------- arithmetic and masks


def multiply_add(builder: Any, a: Value, b: Value, c: Value) -> Value:
    """a * b + c of vectors: one instruction where the CPU has it, else two; llvm.fma would call the math library."""
    return _call(builder, f"fmuladd.{_name(a.type)}", a.type, [a, b, c])


def masks_between(builder: Any, lane_count: int, count: int, first: Value, last: Value) -> list[Value]:
    """Masks for ``count`` vectors of so many lanes, numbered through: true where first <= lane < last."""
    i32, i64 = ir.IntType(32), ir.IntType(64)

    def in_every_lane(number: Value) -> Value:
        least, most = i64(0), i64(count * lane_count)
        number = builder.select(builder.icmp_signed("<", number, least), least, number)
        number = builder.select(builder.icmp_signed(">", number, most), most, number)
        return repeated(builder, ir.VectorType(i32, lane_count), builder.trunc(number, i32))

    first, last = in_every_lane(first), in_every_lane(last)
    masks = []
    for part in range(count):
        lane = numbers(range(part * lane_count, (part + 1) * lane_count))
        masks.append(builder.and_(builder.icmp_signed(">=", lane, first), builder.icmp_signed("<", lane, last)))
    return masks


# ------------------------------------------------------------------------------------------------- shuffles


def numbers(values: Iterable[int], bits: int = 32) -> Value:
    """A vector of constant integers."""
    values = list(values)
    return ir.Constant(ir.VectorType(ir.IntType(bits), len(values)), values)


def shuffled(builder: Any, a: Value, b: Value, order: Iterable[int]) -> Value:
    """The vector of the lanes that ``order`` lists, those of b numbered on from a's."""
    return builder.shuffle_vector(a, b, numbers(order))


def repeated(builder: Any, vector: Any, value: Value) -> Value:
    """The vector that has ``value`` in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    return shuffled(builder, builder.insert_element(undefined, value, ir.IntType(32)(0)), undefined, [0] * vector.count)


def every_second(builder: Any, low: Value, high: Value, first: int = 0) -> Value:
    """The even lanes of two vectors, or the odd ones."""
    return shuffled(builder, low, high, range(first, 2 * low.type.count, 2))


def following(builder: Any, vector: Value, more: Value, count: int) -> Value:
    """The lanes of a vector from ``count`` on, then as many of ``more``, a vector that may be shorter."""
    lane_count, few = vector.type.count, more.type.count
    if count == 0:
        return vector
    wide = shuffled(builder, more, ir.Constant(more.type, ir.Undefined), [min(i, few) for i in range(lane_count)])
    return shuffled(builder, vector, wide, range(count, count + lane_count))


def interleaved(builder: Any, vectors: list[Value]) -> list[Value]:
    """The elements of 2 or 4 vectors in turn, as as many vectors."""
    if len(vectors) == 4:
        first, second = interleaved(builder, vectors[::2]), interleaved(builder, vectors[1::2])
        return [part for pair in zip(first, second, strict=True) for part in interleaved(builder, list(pair))]
    low, high = vectors
    count = low.type.count
    order = [lane for pair in zip(range(count), range(count, 2 * count), strict=True) for lane in pair]
    return [shuffled(builder, low, high, half) for half in (order[:count], order[count:])]


# -------------------------------------------------------------------------------------------- loops and choices


def sum_loop(builder: Any, first: Any, last: Any, step: int, zero: Any, count: int, body: Any) -> Any:
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


def folded(builder: Any, count: Value, initial: list[Value], body: Callable[[Value, list[Value]], list[Value]]) -> Any:
    """Emit ``for k in range(count): values = body(k, values)`` and give the values after it."""
    i64 = ir.IntType(64)
    entry, loop, turn, done = (
        builder.block,
        *(builder.append_basic_block(f"fold.{name}") for name in ("", "turn", "done")),
    )
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(i64)
    values = [builder.phi(value.type) for value in initial]
    builder.cbranch(builder.icmp_signed("<", k, count), turn, done)
    builder.position_at_end(turn)
    updated = body(k, list(values))
    for phi, first, later in zip([k, *values], [i64(0), *initial], [builder.add(k, i64(1)), *updated], strict=True):
        phi.add_incoming(first, entry)
        phi.add_incoming(later, builder.block)
    builder.branch(loop)
    builder.position_at_end(done)
    return values


def switch(builder: Any, which: Any, numbers: Iterable[int], emit: Any) -> None:
    """Emit emit(n) for each of the numbers, and the choice of that which ``which`` is."""
    done = builder.append_basic_block("done")
    choice = builder.switch(which, done)
    for n in numbers:
        block = builder.append_basic_block(f"case.{n}")
        choice.add_case(ir.IntType(64)(n), block)
        builder.position_at_end(block)
        emit(n)
        builder.branch(done)
    builder.position_at_end(done)
