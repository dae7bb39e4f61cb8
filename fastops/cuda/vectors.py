"""Loads and stores of 128 bits, which a thread needs to reach the memory's speed.

``load4(x, i)`` gives x[i] to x[i + 3], ``store4(x, i, a, b, c, d)`` puts them there: one access for float32, two for
float64.  x[i] must lie on 16 bytes, of which ``wide`` tells.
"""

from typing import Any

from llvmlite import ir

from ._launch import SIMULATED, Operand, compiler


def quads(array: Operand) -> int:
    """How many fours of elements cover an array."""
    return -(-array.size // 4)


def wide(place: Any, *arrays: Any) -> list[Any]:
    """The arrays for a kernel, and whether all of them begin on 16 bytes."""
    operands = [a if type(a) is Operand else place.lend(a) for a in arrays]
    return [*operands, all(a.pointer % 16 == 0 for a in operands)]


if SIMULATED:

    def load4(x, i):
        """x[i] to x[i + 3]."""
        return x[i], x[i + 1], x[i + 2], x[i + 3]

    def store4(x, i, a, b, c, d):
        """x[i] = a, and so on to x[i + 3] = d."""
        x[i], x[i + 1], x[i + 2], x[i + 3] = a, b, c, d

else:
    intrinsic, make_array, types = compiler

    def _vectors(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> tuple[Any, list[Any]]:
        """(type, addresses) of the one or two vectors of 128 bits."""
        lanes = 128 // kind.dtype.bitwidth
        vector = ir.VectorType(context.get_value_type(kind.dtype), lanes)
        data = make_array(kind)(context, builder, array).data
        first = builder.bitcast(builder.gep(data, [index]), vector.as_pointer(data.type.addrspace))
        return vector, [builder.gep(first, [ir.Constant(ir.IntType(32), k)]) for k in range(4 // lanes)]

    @intrinsic
    def load4(typingctx, x, i):
        """x[i] to x[i + 3]."""

        def codegen(context, builder, signature, args):
            vector, addresses = _vectors(context, builder, signature.args[0], *args)
            values = []
            for address in addresses:
                loaded = builder.load(address, align=16)
                values += [builder.extract_element(loaded, ir.Constant(ir.IntType(32), k)) for k in range(vector.count)]
            return context.make_tuple(builder, signature.return_type, values)

        return types.UniTuple(x.dtype, 4)(x, i), codegen

    @intrinsic
    def store4(typingctx, x, i, a, b, c, d):
        """x[i] = a, and so on to x[i + 3] = d."""

        def codegen(context, builder, signature, args):
            vector, addresses = _vectors(context, builder, signature.args[0], *args[:2])
            for number, address in enumerate(addresses):
                value = ir.Constant(vector, ir.Undefined)
                for k in range(vector.count):
                    element = args[2 + number * vector.count + k]
                    value = builder.insert_element(value, element, ir.Constant(ir.IntType(32), k))
                builder.store(value, address, align=16)
            return context.get_dummy_value()

        return types.void(x, i, x.dtype, x.dtype, x.dtype, x.dtype), codegen
