"""linear: products of blocks, added in order where the features are in several chunks."""

from typing import Any

import numpy as np

from .. import cpu
from .._backend import Array
from . import arrays


def linear(out: Array, input: Array, weight: Array, bias: Array | None) -> None:
    x, w = arrays.lazy(input), arrays.lazy(weight)
    w = w.rechunk({1: x.chunks[-1]})
    rows = tuple(range(x.ndim - 1))
    args = [None, None] if bias is None else [arrays.lazy(bias).rechunk((w.chunks[0],)), ("o",)]
    made = arrays.blockwise(_linear, (*rows, "o"), x, (*rows, "i"), w, ("o", "i"), *args, dtype=x.dtype, name="linear")
    arrays.fill(out, made)


def linear_backward(
    grad_input: Array, grad_weight: Array, grad_bias: Array | None, grad_output: Array, input: Array, weight: Array
) -> None:
    x, w = arrays.lazy(input), arrays.lazy(weight)
    go = arrays.lazy(grad_output).rechunk((*x.chunks[:-1], w.chunks[0]))
    rows = tuple(range(x.ndim - 1))
    transposed = w.rechunk({1: x.chunks[-1]}).T
    made = arrays.blockwise(
        _linear, (*rows, "i"), go, (*rows, "o"), transposed, ("i", "o"), None, None, dtype=x.dtype,
        name="linear_backward",
    )  # fmt: skip
    arrays.fill(grad_input, made)
    parts = arrays.blockwise(
        _grad_weight, (*rows, "o", "i"), go, (*rows, "o"), x, (*rows, "i"), dtype=x.dtype, name="grad-weight",
        adjust_chunks=dict.fromkeys(rows, 1),
    )  # fmt: skip
    arrays.fill(grad_weight, parts.sum(axis=rows, dtype=np.float64).astype(x.dtype))
    if grad_bias is not None:
        arrays.fill(grad_bias, go.sum(axis=rows, dtype=np.float64).astype(x.dtype))


# ----------------------------------------------------------------------------------------------------- what tasks call


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    """The product, or the sum of those of several chunks of the features."""
    xs, weights = (each if isinstance(each, list) else [each] for each in (x, weight))
    (bias,) = arrays.entered(bias)
    total: Any = None
    for block, taps in zip(xs, weights, strict=True):
        block, taps = arrays.entered(block, taps)
        out = cpu.empty((*block.shape[:-1], len(taps)), block.dtype)
        cpu.linear.linear(out, block, taps, bias if total is None else None)
        with np.errstate(all="ignore"):
            total = out if total is None else np.add(total, out)
    return total


def _grad_weight(gradient: Any, x: Any) -> Any:
    rows = gradient.reshape(-1, gradient.shape[-1])
    with np.errstate(all="ignore"):
        made = np.matmul(rows.T, x.reshape(-1, x.shape[-1]))
    return made.reshape(*(1,) * (x.ndim - 1), *made.shape)
