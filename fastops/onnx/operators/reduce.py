"""Reductions along dimensions."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import _shapes
from .table import Call, Filling, Step, operator

_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceSum": lambda xp, x, axes, keep: xp.sum(x, axes, dtype=x.dtype, keepdims=keep),
    "ReduceMean": lambda xp, x, axes, keep: xp.mean(x, axes, keepdims=keep).astype(x.dtype, copy=False),
    "ReduceMax": lambda xp, x, axes, keep: xp.max(x, axes, keepdims=keep),
    "ReduceMin": lambda xp, x, axes, keep: xp.min(x, axes, keepdims=keep),
    "ReduceProd": lambda xp, x, axes, keep: xp.prod(x, axes, dtype=x.dtype, keepdims=keep),
    "ReduceL1": lambda xp, x, axes, keep: xp.sum(xp.abs(x), axes, dtype=x.dtype, keepdims=keep),
    "ReduceL2": lambda xp, x, axes, keep: xp.sqrt(xp.sum(x * x, axes, keepdims=keep)).astype(x.dtype, copy=False),
    "ReduceSumSquare": lambda xp, x, axes, keep: xp.sum(x * x, axes, dtype=x.dtype, keepdims=keep),
    "ReduceLogSum": lambda xp, x, axes, keep: xp.log(xp.sum(x, axes, keepdims=keep)).astype(x.dtype, copy=False),
    "ReduceLogSumExp": lambda xp, x, axes, keep: _log_sum_exp(xp, x, axes, keep),
}


def _log_sum_exp(xp: Any, x: Any, axes: Any, keep: bool) -> Any:
    most = xp.max(x, axes, keepdims=True) if x.size else x.dtype.type(0)
    most = xp.where(xp.isfinite(most), most, x.dtype.type(0))
    total = xp.log(xp.sum(xp.exp(x - most), axes, keepdims=True)) + most
    return total if keep else total.reshape(xp.sum(x, axes).shape)


@operator(*_REDUCTIONS)
def make_reduction(call: Call) -> Step:
    """Along the axes of input 1; without any along all, or along none with noop_with_empty_axes."""
    xp, rank, name = call.xp, len(call.shape()), call.node.op_type
    keep = bool(call.attribute("keepdims", 1))
    axes: tuple[int, ...] | None = tuple(call.ints(1)) if call.has(1) else ()
    if not axes:
        if call.attribute("noop_with_empty_axes", 0):
            return lambda x, *more: x if name != "ReduceL1" and name != "ReduceL2" else xp.abs(x)
        axes = None
    shape = call.shape()
    of_planes = rank == 4 and axes is not None and sorted(axis % rank for axis in axes) == [2, 3]
    if name == "ReduceMean" and call.is_float() and of_planes and 0 not in shape:
        out = (*shape[:2], 1, 1) if keep else shape[:2]
        g, on = _shapes.adaptive_avg_pool2d("ReduceMean", shape, 1), call.on
        return Filling(on, out, call.dtype(), lambda out, x, *more: on.resize.adaptive_avg_pool2d(out, x, g))
    if name in ("ReduceMax", "ReduceMin") and 0 in shape:
        return _of_nothing(call, axes, keep)
    reduction = _REDUCTIONS[name]
    return lambda x, *more: reduction(xp, x, axes, keep)


def _of_nothing(call: Call, axes: Any, keep: bool) -> Step:
    """The greatest of no elements is the least that the dtype has."""
    dtype, most = call.dtype(), call.node.op_type == "ReduceMin"
    if dtype.kind == "f":
        value: Any = np.inf if most else -np.inf
    elif dtype.kind == "b":
        value = most
    else:
        value = np.iinfo(dtype).max if most else np.iinfo(dtype).min
    function = call.xp.min if most else call.xp.max
    return lambda x, *more: function(x, axes, keepdims=keep, initial=value)


@operator("ArgMax", "ArgMin")
def make_arg(call: Call) -> Step:
    """The place of the greatest along one dimension: the first of equals, or the last."""
    xp, axis, size = call.xp, int(call.attribute("axis", 0)), call.shape()[int(call.attribute("axis", 0))]
    keep, last = bool(call.attribute("keepdims", 1)), bool(call.attribute("select_last_index", 0))
    function = xp.argmax if call.node.op_type == "ArgMax" else xp.argmin

    def run(x: Any) -> Any:
        places = function(xp.flip(x, axis) if last else x, axis)
        places = size - 1 - places if last else places
        return (xp.expand_dims(places, axis) if keep else places).astype("int64")

    return run
