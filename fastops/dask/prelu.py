"""prelu and its gradient: block by block; the sums of the slope's gradient join in float64."""

from math import prod
from typing import Any

import numpy as np

from .. import cpu
from .._backend import Array
from . import arrays


def prelu(out: Array, input: Array, weight: Array, inner: int) -> None:
    x = arrays.lazy(input)
    index = tuple(range(x.ndim))
    args = [x, index, *_slopes(x, weight)]
    arrays.fill(
        out, arrays.blockwise(_prelu, index, *args, dtype=x.dtype, name="prelu", channels=_of_channels(x, weight))
    )


def prelu_backward(out: Array, grad_weight: Array, grad_output: Array, input: Array, weight: Array, inner: int) -> None:
    x = arrays.lazy(input)
    index = tuple(range(x.ndim))
    go = arrays.lazy(grad_output).rechunk(x.chunks)
    both = arrays.blockwise(
        _prelu_backward,
        index,
        go,
        index,
        x,
        index,
        *_slopes(x, weight),
        dtype=x.dtype,
        name="prelu_backward",
        channels=_of_channels(x, weight),
    )
    arrays.fill(out, arrays.blocks(_part, both, dtype=x.dtype))
    channels = _of_channels(x, weight)
    ones = {axis: 1 for axis in index if not (channels and axis == 1)}
    parts = arrays.blockwise(_sums, index, both, index, dtype=x.dtype, adjust_chunks=ones, channels=channels)
    axes = tuple(axis for axis in index if axis in ones)
    arrays.fill(grad_weight, parts.sum(axis=axes, dtype=np.float64).astype(x.dtype).reshape(weight.shape))


def _of_channels(x: Any, weight: Array) -> bool:
    """Whether each channel has a slope of its own."""
    return bool(weight.size > 1 and x.ndim > 1)


def _slopes(x: Any, weight: Array) -> list[Any]:
    """The weight as an argument of blockwise: the channels of a block, or one for all of them."""
    if _of_channels(x, weight):
        return [arrays.lazy(weight).reshape(-1).rechunk((x.chunks[1],)), (1,)]
    return [arrays.literal(weight.reshape(-1)), None]


# ----------------------------------------------------------------------------------------------------- what tasks call


def _inner(x: Any, channels: bool) -> int:
    return prod(x.shape[2:]) if channels else max(1, x.size)


def _prelu(x: Any, slopes: Any, *, channels: bool) -> Any:
    inner = _inner(x, channels)
    x, weight = arrays.entered(x, slopes)
    out = cpu.empty(x.shape, x.dtype)
    cpu.prelu.prelu(out, x, weight, inner)
    return out


def _prelu_backward(gradient: Any, x: Any, slopes: Any, *, channels: bool) -> Any:
    inner = _inner(x, channels)
    gradient, x, weight = arrays.entered(gradient, x, slopes)
    out, grad_weight = cpu.empty(x.shape, x.dtype), cpu.empty(weight.shape, x.dtype)
    cpu.prelu.prelu_backward(out, grad_weight, gradient, x, weight, inner)
    return out, grad_weight


def _part(both: Any) -> Any:
    return both[0]


def _sums(both: Any, *, channels: bool) -> Any:
    out, grad_weight = both
    return grad_weight.reshape([-1 if channels and axis == 1 else 1 for axis in range(out.ndim)])
