"""softmax, log_softmax and their gradients.

Where the dimension is in one chunk, block by block.  Else each block gives its maximum and its sum of exponentials, in
float64; they are joined in the order of the blocks, and a second pass makes the result.
"""

from math import prod
from typing import Any

import numpy as np

from .. import cpu
from .._backend import Array
from .._shapes import Channels, around
from . import arrays


def softmax(out: Array, input: Array, view: Channels) -> None:
    _forward("softmax", out, input, view)


def log_softmax(out: Array, input: Array, view: Channels) -> None:
    _forward("log_softmax", out, input, view)


def softmax_backward(out: Array, grad_output: Array, output: Array, view: Channels) -> None:
    _backward("softmax_backward", out, grad_output, output, view)


def log_softmax_backward(out: Array, grad_output: Array, output: Array, view: Channels) -> None:
    _backward("log_softmax_backward", out, grad_output, output, view)


def dimension(shape: tuple[int, ...], view: Channels) -> int:
    """The dimension that ``view`` is around; of several of one element it does not matter which."""
    fits = (d for d in range(len(shape)) if (prod(shape[:d]), shape[d]) == (view.outer, view.size))
    return next(d for d in fits if prod(shape[d + 1 :]) == view.inner)


def _forward(entry: str, out: Array, input: Array, view: Channels) -> None:
    x = arrays.lazy(input)
    if not x.ndim or x.numblocks[dim := dimension(x.shape, view)] == 1:
        arrays.fill(out, arrays.blocks(_call, x, dtype=x.dtype, name=entry, entry=entry, dim=dim if x.ndim else 0))
        return
    index = tuple(range(x.ndim))
    others = tuple(i for i in index if i != dim)
    parts = arrays.blockwise(
        _sums, (*index, "z"), x, index, dtype=np.dtype(np.float64), name="exponentials", adjust_chunks={dim: 1},
        new_axes={"z": 2}, dim=dim,
    )  # fmt: skip
    joined = arrays.blockwise(
        _joined, (*others, "z"), parts, (*index, "z"), dtype=parts.dtype, name="joined-exponentials", concatenate=True,
        dim=dim,
    )  # fmt: skip
    made = arrays.blockwise(
        _normalized, index, x, index, joined, (*others, "z"), dtype=x.dtype, name=entry, dim=dim,
        log=entry == "log_softmax",
    )  # fmt: skip
    arrays.fill(out, made)


def _backward(entry: str, out: Array, grad_output: Array, output: Array, view: Channels) -> None:
    go, y = arrays.lazy(grad_output), arrays.lazy(output)
    go = go.rechunk(y.chunks)
    if not y.ndim or y.numblocks[dim := dimension(y.shape, view)] == 1:
        dim = dim if y.ndim else 0
        arrays.fill(out, arrays.blocks(_call, go, y, dtype=y.dtype, name=entry, entry=entry, dim=dim))
        return
    index, log = tuple(range(y.ndim)), entry == "log_softmax_backward"
    parts = arrays.blockwise(
        _products, index, go, index, y, index, dtype=np.dtype(np.float64), name="products", adjust_chunks={dim: 1},
        dim=dim, log=log,
    )  # fmt: skip
    total = parts.sum(axis=dim)
    others = tuple(i for i in index if i != dim)
    made = arrays.blockwise(
        _gradient, index, go, index, y, index, total, others, dtype=y.dtype, name=entry, dim=dim, log=log
    )
    arrays.fill(out, made)


# ----------------------------------------------------------------------------------------------------- what tasks call


def _call(*given: Any, entry: str, dim: int) -> Any:
    given = arrays.entered(*given)
    out = cpu.empty(given[0].shape, given[0].dtype)
    if out.size:
        getattr(cpu.softmax, entry)(out, *given, around(out.shape, dim))
    return out


def _sums(x: Any, *, dim: int) -> Any:
    """The maximum, and the sum of exp(x - maximum), which is 0 where there is nothing but -inf."""
    with np.errstate(all="ignore"):
        most = x.max(axis=dim, keepdims=True).astype(np.float64)
        shift = np.where(np.isfinite(most), most, 0.0)
        sums = np.exp(x - shift).sum(axis=dim, keepdims=True)
    return np.stack([most, sums], axis=-1)


def _joined(parts: Any, *, dim: int) -> Any:
    """The maximum and the sum of all blocks; NaN where the maximum is infinite, as exp(inf - inf)."""
    most, sums = parts[..., 0], parts[..., 1]
    with np.errstate(all="ignore"):
        top = most.max(axis=dim)
        weights = np.where(sums == 0, 0.0, np.exp(most - np.expand_dims(top, dim)))
        total = (sums * weights).sum(axis=dim)
        return np.stack([top, np.where(np.isfinite(top), total, np.nan)], axis=-1)


def _normalized(x: Any, joined: Any, *, dim: int, log: bool) -> Any:
    joined = arrays.only(joined)
    top, total = (np.expand_dims(joined[..., i], dim) for i in range(2))
    with np.errstate(all="ignore"):
        if log:
            return ((x - top) - np.log(total)).astype(x.dtype)
        return (np.exp(x - top) / total).astype(x.dtype)


def _products(gradient: Any, y: Any, *, dim: int, log: bool) -> Any:
    with np.errstate(all="ignore"):
        if log:
            return gradient.sum(axis=dim, keepdims=True, dtype=np.float64)
        return np.multiply(gradient, y, dtype=np.float64).sum(axis=dim, keepdims=True)


def _gradient(gradient: Any, y: Any, total: Any, *, dim: int, log: bool) -> Any:
    total = np.expand_dims(total, dim)
    with np.errstate(all="ignore"):
        return (gradient - np.exp(y) * total if log else y * (gradient - total)).astype(y.dtype)
