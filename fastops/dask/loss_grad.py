"""The gradients of the losses: block by block, scaled by sums over all blocks where the loss is a mean."""

from typing import Any

import dask.array as da
import numpy as np

from .. import cpu
from .._backend import Array
from .._shapes import Channels, around
from . import arrays
from .loss import block_of, cases, class_dimension, refuse


def label_weight(target: Array, weight: Array, classes: int, exempts: bool, ignore_index: int) -> tuple[Any, int]:
    """The sum of the weights; the block that meets a bad label refuses it."""
    t, index = arrays.lazy(target), tuple(range(target.ndim))
    parts = arrays.blockwise(
        _label_weight, index, t, index, arrays.whole(weight), ("w",), dtype=np.dtype(np.float64), name="label-weight",
        adjust_chunks=dict.fromkeys(index, 1), classes=classes, exempts=exempts, ignored=ignore_index,
    )  # fmt: skip
    return parts.sum(), 0


def cross_entropy_backward(
    out: Array, scales: Array, logits: Array, target: Array, weight: Array, view: Channels, ignore_index: int,
    smoothing: float,
) -> None:  # fmt: skip
    _gradient(_cross_entropy, out, scales, cases(logits, target, weight, view, True), True, ignored=ignore_index,
              smoothing=smoothing)  # fmt: skip


def cross_entropy_probabilities_backward(
    out: Array, scales: Array, logits: Array, target: Array, weight: Array, view: Channels, smoothing: float
) -> None:
    _gradient(_probabilities, out, scales, cases(logits, target, weight, view, False), False, smoothing=smoothing)


def mse_loss_backward(
    grad_input: Array, grad_target: Array, input: Array, target: Array, factor: Array | None, scale: Any
) -> None:
    given = [input, target] if factor is None else [input, target, factor]
    index = tuple(range(input.ndim))
    args = [each for array in given for each in (arrays.lazy(array), index)]
    args += [scale, () if isinstance(scale, da.Array) else None]
    function = _mse_loss if factor is None else _mse_loss_weighted
    made = arrays.blockwise(function, index, *args, dtype=input.dtype, name="mse_loss_backward", align_arrays=True)
    arrays.fill(grad_input, made)
    arrays.fill(grad_target, arrays.blocks(_negative, made, dtype=input.dtype))


def _gradient(function: Any, out: Array, scales: Array, case: tuple[Any, ...], numbers: bool, **options: Any) -> None:
    x, t, w, of_all, of_places = case
    dim = class_dimension(x)
    places = x.shape[:dim] + x.shape[dim + 1 :]
    if scales.shape == places:
        chunks = x.chunks[:dim] + x.chunks[dim + 1 :]
        scales, of_scales = arrays.lazy(scales), of_places
        scales = scales.rechunk(chunks) if places else scales
    else:
        scales, of_scales = arrays.lazy(scales), ("s",)
    made = arrays.blockwise(
        function, of_all, scales, of_scales, x, of_all, t, of_places if numbers else of_all, w, ("w",), dtype=x.dtype,
        name="cross_entropy_backward", dim=dim, **options,
    )  # fmt: skip
    arrays.fill(out, made)


# ----------------------------------------------------------------------------------------------------- what tasks call


def _label_weight(target: Any, weight: Any, *, classes: int, exempts: bool, ignored: int) -> Any:
    target, (weight,) = cpu.integers(np.asarray(target)), arrays.entered(arrays.only(weight))
    total, bad = cpu.loss_grad.label_weight(target, weight, classes, exempts, ignored)
    if bad:
        refuse(target, classes, ignored if exempts else None, backward=True)
    return np.full((1,) * target.ndim, total)


def _cross_entropy(scales: Any, x: Any, t: Any, w: Any, *, dim: int, ignored: int, smoothing: float) -> Any:
    (x, t, w), (scales,) = block_of(x, t, w), arrays.entered(arrays.only(scales))
    out, view = cpu.empty(x.shape, x.dtype), around(x.shape, dim)
    if out.size:
        # what is no label of any class is refused where the labels are checked; a kernel shall not meet it here
        safe = np.where((t >= 0) & (t < view.size) | (t == ignored), t, 0)
        cpu.loss_grad.cross_entropy_backward(out, scales, x, safe, w, view, ignored, smoothing)
    return out


def _probabilities(scales: Any, x: Any, t: Any, w: Any, *, dim: int, smoothing: float) -> Any:
    (x, t, w), (scales,) = block_of(x, t, w), arrays.entered(arrays.only(scales))
    out = cpu.empty(x.shape, x.dtype)
    if out.size:
        cpu.loss_grad.cross_entropy_probabilities_backward(out, scales, x, t, w, around(x.shape, dim), smoothing)
    return out


def _mse_loss_weighted(x: Any, t: Any, factor: Any, scale: Any) -> Any:
    x, t, factor = arrays.entered(x, t, factor)
    grad_input, grad_target = np.empty_like(x), np.empty_like(x)
    cpu.loss_grad.mse_loss_backward(grad_input, grad_target, x, t, factor, float(scale))
    return grad_input


def _mse_loss(x: Any, t: Any, scale: Any) -> Any:
    return _mse_loss_weighted(x, t, None, scale)


def _negative(x: Any) -> Any:
    return np.negative(x)
