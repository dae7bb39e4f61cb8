"""What intrinsics share that emit LLVM code with explicit vectors: types, loads, masks."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from .._jit import VECTOR_BYTES

Value = Any  # of LLVM


@register_jitable  # type: ignore[untyped-decorator, unused-ignore]
def lanes(itemsize: int) -> int:
    """Elements of a vector."""
    return VECTOR_BYTES // itemsize


def array_data(context: Any, builder: Any, array_type: Any, array: Value) -> Value:
    """The pointer to an array's first element."""
    return context.make_array(array_type)(context, builder, array).data


def vector_of(context: Any, builder: Any, dtype: Any) -> tuple[Any, Value, Callable[[Value], Value]]:
    """(vector type, zero, load) for a CPU vector of ``dtype``."""
    bits = dtype.bitwidth
    width = lanes(bits // 8)
    vector = ir.VectorType(context.get_data_type(dtype), width)

    def load(pointer: Value) -> Value:
        value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
        value.align = bits // 8
        return value

    return vector, ir.Constant(vector, [0.0] * width), load


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


def multiply_add(builder: Any, a: Value, b: Value, c: Value) -> Value:
    """a * b + c of vectors."""
    vector = a.type  # one instruction where the CPU has it, else two; llvm.fma would call the math library
    name, kind = f"llvm.fmuladd.v{vector.count}{_letter(vector)}", ir.FunctionType(vector, [vector] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


def masks_between(builder: Any, width: int, count: int, first: Value, last: Value) -> list[Value]:
    """Masks for ``count`` vectors of ``width`` lanes, numbered through: true where first <= lane < last."""
    i32, i64 = ir.IntType(32), ir.IntType(64)
    numbers = ir.VectorType(i32, width)

    def in_every_lane(number: Value) -> Value:
        least, most = i64(0), i64(count * width)
        number = builder.select(builder.icmp_signed("<", number, least), least, number)
        number = builder.select(builder.icmp_signed(">", number, most), most, number)
        return repeated(builder, numbers, builder.trunc(number, i32))

    first, last = in_every_lane(first), in_every_lane(last)
    masks = []
    for part in range(count):
        lane = ir.Constant(numbers, list(range(part * width, (part + 1) * width)))
        masks.append(builder.and_(builder.icmp_signed(">=", lane, first), builder.icmp_signed("<", lane, last)))
    return masks


def repeated(builder: Any, vector: Any, value: Value) -> Value:
    """The vector that has ``value`` in every lane."""
    undefined, i32 = ir.Constant(vector, ir.Undefined), ir.IntType(32)
    first = ir.Constant(ir.VectorType(i32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(undefined, value, i32(0)), undefined, first)


def every_second(builder: Any, low: Value, high: Value) -> Value:
    """The even lanes of two vectors."""
    count = low.type.count
    return builder.shuffle_vector(
        low, high, ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(0, 2 * count, 2)))
    )


def interleaved(builder: Any, vectors: list[Value]) -> list[Value]:
    """The elements of 2 or 4 vectors in turn, as as many vectors."""
    if len(vectors) == 4:
        first, second = interleaved(builder, vectors[::2]), interleaved(builder, vectors[1::2])
        return [part for pair in zip(first, second, strict=True) for part in interleaved(builder, list(pair))]
    low, high = vectors
    count = low.type.count
    order = [lane for pair in zip(range(count), range(count, 2 * count), strict=True) for lane in pair]
    halves = (ir.Constant(ir.VectorType(ir.IntType(32), count), part) for part in (order[:count], order[count:]))
    return [builder.shuffle_vector(low, high, half) for half in halves]


def masked_load(builder: Any, pointer: Value, mask: Value, zero: Value) -> Value:
    """The lanes of the mask; the others are 0 and their memory is not touched."""
    i32, vector = ir.IntType(32), zero.type
    name = f"llvm.masked.load.v{vector.count}{_letter(vector)}.p0"
    kind = ir.FunctionType(vector, [vector.as_pointer(), i32, mask.type, vector])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    pointer = builder.bitcast(pointer, vector.as_pointer())
    return builder.call(function, [pointer, i32(_itemsize(vector)), mask, zero])


def masked_store(builder: Any, value: Value, pointer: Value, mask: Value) -> None:
    """Write the lanes of the mask."""
    i32, vector = ir.IntType(32), value.type
    name = f"llvm.masked.store.v{vector.count}{_letter(vector)}.p0"
    kind = ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), i32, mask.type])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(function, [value, builder.bitcast(pointer, vector.as_pointer()), i32(_itemsize(vector)), mask])


def store(builder: Any, value: Value, pointer: Value) -> None:
    """Write a whole vector."""
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = _itemsize(value.type)


def _itemsize(vector: Any) -> int:
    return 8 if isinstance(vector.element, ir.DoubleType) else 4


def _letter(vector: Any) -> str:
    return f"f{8 * _itemsize(vector)}"
