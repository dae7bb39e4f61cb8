"""batch_norm: each block gives count, mean and squared deviations of its channels, which are joined in order."""

from typing import Any

import numpy as np

from .. import cpu
from .._backend import Array
from .._shapes import Channels, around
from . import arrays

_FLOAT64 = np.dtype(np.float64)


def moments(
    input: Array,
    g: Channels,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    momentum: float = 0.0,
) -> Array:
    """(2, C): mean and biased variance of each channel."""
    if running_mean is not None:
        raise ValueError(
            "batch_norm: running_mean and running_var expect None in training on dask arrays, which are lazy and "
            "change nothing in place, got arrays"
        )
    x = arrays.lazy(input)
    return _joined_parts(_moments, x, 3, [x])[:2]


def batch_norm(
    out: Array, input: Array, mean: Array | None, var: Array | None, found: Array | None, weight: Array | None,
    bias: Array | None, eps: float, g: Channels,
) -> None:  # fmt: skip
    x = arrays.lazy(input)
    index = tuple(range(x.ndim))
    args = [x, index, *(each for array in (mean, var) for each in channels_of(x, array if found is None else None))]
    args += [None, None] if found is None else [found, ("w", 1)]
    args += [each for array in (weight, bias) for each in channels_of(x, array)]
    arrays.fill(out, arrays.blockwise(_batch_norm, index, *args, dtype=x.dtype, name="batch_norm", eps=eps))


def channels_of(x: Any, array: Array | None) -> list[Any]:
    """A (C,) array as an argument of blockwise: the part of a block's channels."""
    return [None, None] if array is None else [arrays.lazy(array).rechunk((x.chunks[1],)), (1,)]


def _joined_parts(function: Any, x: Any, rows: int, given: list[Any], *more: Any, **options: Any) -> Any:
    """(rows, C): what ``function`` gives of each block, joined by `join`."""
    index = tuple(range(x.ndim))
    args = [each for array in given for each in (array, index)]
    parts = arrays.blockwise(
        function, (*index, "z"), *args, *more, dtype=_FLOAT64, name="moments", new_axes={"z": rows},
        adjust_chunks={axis: 1 for axis in index if axis != 1}, **options,
    )  # fmt: skip
    return arrays.blockwise(
        join, ("z", 1), parts, (*index, "z"), dtype=_FLOAT64, name="joined-moments", concatenate=True
    )


# ----------------------------------------------------------------------------------------------------- what tasks call


def moments_of_block(x: Any) -> Any:
    """(3, C): count, mean, squared deviations."""
    view = around(x.shape, 1)
    mean, var = cpu.norm.moments(x, view)
    count = float(view.outer * view.inner)
    return np.stack([np.full(view.size, count), mean, var * count])


def as_part(rows: Any, ndim: int) -> Any:
    """(rows, C) as a block (1, C, 1, ..., rows)."""
    return np.moveaxis(rows, 0, -1).reshape(1, rows.shape[1], *(1,) * (ndim - 2), len(rows))


def _moments(x: Any) -> Any:
    (x,) = arrays.entered(x)
    return as_part(moments_of_block(x) if x.size else np.zeros((3, x.shape[1])), x.ndim)


def join(parts: Any) -> Any:
    """Mean and variance of all blocks and, where parts have them, the sums of a gradient and of it times (x - mean).

    A part is count, mean, squared deviations, and perhaps the sums of the gradient g and of g (x - centre), and centre.
    Without a count the centre is the mean that was given, the same for all.
    """
    parts = np.moveaxis(parts, 1, 0)
    channels, rows = len(parts), parts.shape[-1]
    parts = parts.reshape(channels, -1, rows)
    joined = getattr(cpu.norm.joined, "py_func", cpu.norm.joined)
    out = np.zeros((rows, channels))
    with np.errstate(all="ignore"):
        for channel in range(channels):
            count = mean = m2 = np.float64(0)
            for part in parts[channel]:
                if part[0]:
                    count, mean, m2 = joined(count, mean, m2, *part[:3])
            out[0, channel], out[1, channel] = mean, m2 / count
            if rows > 3:
                gradient, product, centre = parts[channel, :, 3], parts[channel, :, 4], parts[channel, :, 5]
                out[2, channel] = gradient.sum()
                out[3, channel] = (product + (centre - mean) * gradient if count else product).sum()
                out[4, channel] = count
    return out


def _batch_norm(x: Any, mean: Any, var: Any, found: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    x, mean, var, weight, bias = arrays.entered(x, mean, var, weight, bias)
    found = None if found is None else cpu.enter(arrays.only(found))
    out = cpu.empty(x.shape, x.dtype)
    if out.size:
        cpu.norm.batch_norm(out, x, mean, var, found, weight, bias, eps, around(x.shape, 1))
    return out
