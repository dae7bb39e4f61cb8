"""Arithmetic, comparisons and logic of arrays that broadcast: NumPy's."""

from functools import reduce
from typing import Any

import numpy as np

from .table import Call, Step, operator

_UFUNCS = {
    "Add": "add", "Sub": "subtract", "Mul": "multiply", "Equal": "equal", "Greater": "greater", "Less": "less",
    "GreaterOrEqual": "greater_equal", "LessOrEqual": "less_equal", "And": "logical_and", "Or": "logical_or",
    "Xor": "logical_xor", "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor",
}  # fmt: skip


@operator(*_UFUNCS)
def make_ufunc(call: Call) -> Step:
    function: Step = getattr(call.xp, _UFUNCS[call.node.op_type])
    return function


@operator("Div")
def make_div(call: Call) -> Step:
    """Integers are rounded to 0, as C does it."""
    xp = call.xp
    kind = call.dtype().kind
    if kind == "f":
        return xp.divide  # type: ignore[no-any-return]
    if kind == "u":
        return xp.floor_divide  # type: ignore[no-any-return]

    def run(a: Any, b: Any) -> Any:
        quotient = a // b
        return quotient + ((quotient < 0) & (quotient * b != a))

    return run


@operator("Mod")
def make_mod(call: Call) -> Step:
    """The divisor's sign, or the dividend's with fmod."""
    return call.xp.fmod if call.attribute("fmod", 0) else call.xp.mod  # type: ignore[no-any-return]


@operator("Pow")
def make_pow(call: Call) -> Step:
    """The base's dtype; squares and roots, which networks have, without powers."""
    xp, dtype = call.xp, call.dtype()
    if call.is_constant(1) and call.arrays[1].size == 1 and call.is_float():  # type: ignore[union-attr]
        exponent = float(call.host(1).reshape(()))
        fits = len(call.shape(1)) <= len(call.shape(0))
        if exponent == 2 and fits:
            return lambda x, y: x * x
        if exponent == 0.5 and fits:
            return lambda x, y: xp.sqrt(x)
    return lambda x, y: xp.power(x, y).astype(dtype, copy=False)


_MANY = {"Max": "maximum", "Min": "minimum", "Sum": "add", "Mean": "add"}


@operator(*_MANY)
def make_many(call: Call) -> Step:
    """One function over any number of arrays, from the left."""
    function, count = getattr(call.xp, _MANY[call.node.op_type]), len(call.arrays)
    if call.node.op_type == "Mean":
        return lambda *arrays: reduce(function, arrays) / arrays[0].dtype.type(count)
    return lambda *arrays: reduce(function, arrays)


@operator("Where")
def make_where(call: Call) -> Step:
    return call.xp.where  # type: ignore[no-any-return]


@operator("BitShift")
def make_shift(call: Call) -> Step:
    left = call.attribute("direction", "LEFT") == "LEFT"
    return call.xp.left_shift if left else call.xp.right_shift  # type: ignore[no-any-return]


@operator("CumSum")
def make_cumsum(call: Call) -> Step:
    """Sums so far, with ``exclusive`` without the element itself."""
    xp, axis = call.xp, int(call.host(1).reshape(()))
    exclusive, backward = bool(call.attribute("exclusive", 0)), bool(call.attribute("reverse", 0))

    def run(x: Any, axis_: Any) -> Any:
        x = xp.flip(x, axis) if backward else x
        y = xp.cumsum(x, axis, dtype=x.dtype)
        if exclusive:
            y = xp.roll(y, 1, axis)
            y[tuple(slice(0, 1) if i == axis % x.ndim else slice(None) for i in range(x.ndim))] = np.int8(0)
        return xp.flip(y, axis) if backward else y

    return run
