"""The activations, clamp, dropout and their gradients: block by block."""

from typing import Any

import numpy as np

from .. import cpu
from .._backend import Array
from . import arrays
from .windows import bounds, per_block

# The CPU's entries by name: out, the arrays, the numbers.  A task calls the one of its name.


def relu(out: Array, input: Array) -> None:
    _each("relu", out, input)


def sigmoid(out: Array, input: Array) -> None:
    _each("sigmoid", out, input)


def silu(out: Array, input: Array) -> None:
    _each("silu", out, input)


def hardsigmoid(out: Array, input: Array) -> None:
    _each("hardsigmoid", out, input)


def hardswish(out: Array, input: Array) -> None:
    _each("hardswish", out, input)


def gelu(out: Array, input: Array, tanh: bool) -> None:
    _each("gelu", out, input, numbers=(tanh,))


def clamp(out: Array, input: Array, low: float, high: float) -> None:
    _each("clamp", out, input, numbers=(low, high))


def leaky_relu(out: Array, input: Array, negative_slope: float) -> None:
    _each("leaky_relu", out, input, numbers=(negative_slope,))


def relu_backward(out: Array, grad_output: Array, input: Array) -> None:
    _each("relu_backward", out, grad_output, input)


def relu6_backward(out: Array, grad_output: Array, input: Array) -> None:
    _each("relu6_backward", out, grad_output, input)


def sigmoid_backward(out: Array, grad_output: Array, output: Array) -> None:
    _each("sigmoid_backward", out, grad_output, output)


def silu_backward(out: Array, grad_output: Array, input: Array) -> None:
    _each("silu_backward", out, grad_output, input)


def hardsigmoid_backward(out: Array, grad_output: Array, input: Array) -> None:
    _each("hardsigmoid_backward", out, grad_output, input)


def hardswish_backward(out: Array, grad_output: Array, input: Array) -> None:
    _each("hardswish_backward", out, grad_output, input)


def gelu_backward(out: Array, grad_output: Array, input: Array, tanh: bool) -> None:
    _each("gelu_backward", out, grad_output, input, numbers=(tanh,))


def clamp_backward(out: Array, grad_output: Array, input: Array, low: float, high: float) -> None:
    _each("clamp_backward", out, grad_output, input, numbers=(low, high))


def leaky_relu_backward(out: Array, grad_output: Array, input: Array, negative_slope: float) -> None:
    _each("leaky_relu_backward", out, grad_output, input, numbers=(negative_slope,))


def dropout(out: Array, input: Array, p: float, key: int) -> None:
    """The mask of the whole array: a block knows where its elements are in it."""
    x = arrays.lazy(input)
    index, args = tuple(range(x.ndim)), []
    for axis, chunks in enumerate(x.chunks):
        args += [per_block(bounds(chunks)[:-1]), (axis,)]
    made = arrays.blockwise(
        _dropout, index, x, index, *args, dtype=x.dtype, name="dropout", whole=x.shape, p=p, key=key
    )
    arrays.fill(out, made)


def _each(entry: str, out: Array, *given: Array, numbers: tuple[Any, ...] = ()) -> None:
    arrays.fill(out, arrays.blocks(_call, *given, dtype=out.dtype, name=entry, entry=entry, numbers=numbers))


# ----------------------------------------------------------------------------------------------------- what tasks call


def _call(*given: Any, entry: str, numbers: tuple[Any, ...]) -> Any:
    given = arrays.entered(*given)
    out = cpu.empty(given[0].shape, given[0].dtype)
    getattr(cpu.elementwise, entry)(out, *given, *numbers)
    return out


def _dropout(x: Any, *starts: int, whole: tuple[int, ...], p: float, key: int) -> Any:
    (x,) = arrays.entered(x)
    out = cpu.empty(x.shape, x.dtype)
    rows, width, step = np.zeros(1, np.int64), 1, 1
    joined = True  # whether the dimensions so far lie in the whole array as they lie in the block
    for axis in reversed(range(x.ndim)):
        if joined:
            width, rows = width * x.shape[axis], rows + starts[axis] * step
            joined = x.shape[axis] == whole[axis]
        else:
            rows = (np.arange(starts[axis], starts[axis] + x.shape[axis])[:, None] * step + rows).reshape(-1)
        step *= whole[axis]
    if len(rows) == 1 and rows[0] == 0:
        cpu.elementwise.dropout(out, x, p, key)
    else:
        cpu.elementwise.dropout_rows(out, x, p, key, rows)
    return out
