"""The gradient of batch_norm: one pass for the sums of each channel, one for the result."""

from typing import Any

import numpy as np

from .. import cpu
from .._backend import Array
from .._shapes import Channels, around
from . import arrays
from .norm import as_part, channels_of, join, moments_of_block

_FLOAT64 = np.dtype(np.float64)


def batch_norm_backward(
    grad_input: Array, grad_weight: Array | None, grad_bias: Array | None, grad_output: Array, input: Array,
    mean: Array | None, var: Array | None, weight: Array | None, training: bool, eps: float, g: Channels,
) -> None:  # fmt: skip
    x = arrays.lazy(input)
    go, index = arrays.lazy(grad_output).rechunk(x.chunks), tuple(range(x.ndim))
    statistics = [each for array in (mean, var) for each in channels_of(x, None if training else array)]
    if training or grad_weight is not None or grad_bias is not None:
        parts = arrays.blockwise(
            _parts, (*index, "z"), go, index, x, index, *statistics[:2], dtype=_FLOAT64, name="gradient-sums",
            new_axes={"z": 6}, adjust_chunks={axis: 1 for axis in index if axis != 1},
        )  # fmt: skip
        found = arrays.blockwise(
            join, ("z", 1), parts, (*index, "z"), dtype=_FLOAT64, name="joined-gradient-sums", concatenate=True
        )
        of_batch = [found, ("z", 1)]
        for array, row in ((grad_weight, 3), (grad_bias, 2)):
            if array is not None:
                sums = arrays.blockwise(
                    _parameter, (1,), *of_batch, *([None, None] if training or row == 2 else channels_of(x, var)),
                    dtype=array.dtype, row=row, eps=eps if row == 3 else None, wanted=array.dtype,
                )  # fmt: skip
                arrays.fill(array, sums)
    made = arrays.blockwise(
        _grad_input, index, go, index, x, index, *statistics, *(of_batch if training else [None, None]),
        *channels_of(x, weight), dtype=x.dtype, name="batch_norm_backward", eps=eps,
    )  # fmt: skip
    arrays.fill(grad_input, made)


# ----------------------------------------------------------------------------------------------------- what tasks call


def _parts(gradient: Any, x: Any, centre: Any) -> Any:
    """What `join` takes of a gradient; the centre is the block's mean, or the given one."""
    gradient, x, centre = arrays.entered(gradient, x, centre)
    if not x.size:
        return as_part(np.zeros((6, x.shape[1])), x.ndim)
    moments = moments_of_block(x) if centre is None else np.stack([np.zeros(x.shape[1])] * 3)
    centre = moments[1].astype(x.dtype) if centre is None else centre
    with np.errstate(all="ignore"):
        centre = np.where(np.isfinite(centre), centre, 0).astype(x.dtype)
    one, unused = np.ones(x.shape[1], x.dtype), np.empty_like(x)
    product, total = np.empty_like(one), np.empty_like(one)
    cpu.norm_grad.batch_norm_backward(
        unused, product, total, gradient, x, centre, one, None, False, 0.0, around(x.shape, 1)
    )
    return as_part(np.concatenate([moments, [total, product, centre]]), x.ndim)


def _parameter(found: Any, var: Any, *, row: int, eps: float | None, wanted: Any) -> Any:
    """The sum of the gradient (row 2), or of it times the normalised input (row 3)."""
    found = arrays.only(found)
    with np.errstate(all="ignore"):
        scale = 1.0 if eps is None else (np.float64(found[1] if var is None else var) + eps) ** -0.5
        return (found[row] * scale).astype(wanted)


def _grad_input(gradient: Any, x: Any, mean: Any, var: Any, found: Any, weight: Any, *, eps: float) -> Any:
    gradient, x, mean, var, weight = arrays.entered(gradient, x, mean, var, weight)
    out = np.empty_like(x)
    if not out.size:
        return out
    if found is None:
        cpu.norm_grad.batch_norm_backward(
            out, None, None, gradient, x, mean, var, weight, False, eps, around(x.shape, 1)
        )
        return out
    centre, variance, total, product, count = arrays.only(found)[:5]
    shape = (1, -1, *(1,) * (x.ndim - 2))
    with np.errstate(all="ignore"):
        inverse = (variance + eps) ** -0.5
        scale = inverse if weight is None else inverse * weight
        high = centre.astype(x.dtype)
        low = np.where(np.isfinite(high), centre - high, 0)
        slope, shift = -scale * inverse**2 * product / count, -scale * total / count
        high, low, scale, slope, shift = (
            np.asarray(each, x.dtype).reshape(shape) for each in (high, low, scale, slope, shift)
        )
        np.subtract(x, high, out=out)
        out -= low
        out *= slope
        out += gradient * scale
        out += shift
    return out
