"""The losses: each block gives its sums in float64, which join in a fixed order.  The classes come into one chunk."""

from typing import Any

import numpy as np

from .. import cpu
from .._backend import Array
from .._shapes import Channels, around
from . import arrays

_FLOAT64 = np.dtype(np.float64)


def cross_entropy(
    out: Array, logits: Array, target: Array, weight: Array, view: Channels, exempts: bool, ignore_index: int,
    smoothing: float,
) -> tuple[Any, Any, bool]:  # fmt: skip
    """No label is bad, as far as can be seen: the block that meets one refuses it."""
    x, t, w, of_all, of_places = cases(logits, target, weight, view, True)
    options = {"dim": class_dimension(x), "exempts": exempts, "ignored": ignore_index, "smoothing": smoothing}
    return *_loss(_cross_entropy, out, [*x_of(x, of_all), t, of_places, w, ("w",)], of_places, options), False


def cross_entropy_probabilities(
    out: Array, logits: Array, target: Array, weight: Array, view: Channels, smoothing: float
) -> tuple[Any, Any]:
    x, t, w, of_all, of_places = cases(logits, target, weight, view, False)
    options = {"dim": class_dimension(x), "smoothing": smoothing}
    return _loss(_probabilities, out, [*x_of(x, of_all), t, of_all, w, ("w",)], of_places, options)


def mse_loss(out: Array, input: Array, target: Array, weight: Array | None) -> None:
    arrays.fill(out, arrays.blocks(_mse_loss, input, target, *_given(weight), dtype=out.dtype, name="mse_loss"))


def mse_loss_sums(input: Array, target: Array, weight: Array | None) -> tuple[Any, Any]:
    errors = [input, target, *_given(weight)]
    x = next(array for array in errors if not isinstance(array, np.ndarray))
    index = tuple(range(x.ndim))
    args = [each for array in errors for each in (arrays.lazy(array).rechunk(x.chunks), index)]
    return _sums(_mse_loss_sums, "mse_loss", args, index, {})


def scalar_loss(total: Any, divisor: Any, dtype: Any) -> Array:
    return arrays.blocks(_scalar_loss, total, divisor, dtype=dtype, name="loss", wanted=dtype)


# ---------------------------------------------------------------------------------------------------------- the graph


def class_dimension(x: Any) -> int:
    """The dimension of the classes, as in `_shapes.classes`."""
    return 0 if x.ndim == 1 else 1


def cases(logits: Array, target: Array, weight: Array, view: Channels, numbers: bool) -> tuple[Any, ...]:
    """(logits, target, class weights, the dimensions of all elements, those of places): dask arrays of like chunks."""
    x = arrays.lazy(logits)
    dim = 0 if x.ndim == 1 else 1
    x = arrays.whole(x, dim)
    of_all = tuple(range(x.ndim))
    of_places = of_all[:dim] + of_all[dim + 1 :]
    chunks = x.chunks[:dim] + x.chunks[dim + 1 :] if numbers else x.chunks
    target = arrays.lazy(target)
    return x, target.rechunk(chunks) if target.ndim else target, arrays.whole(weight), of_all, of_places


def x_of(x: Any, index: tuple[int, ...]) -> list[Any]:
    return [x, index]


def _given(weight: Array | None) -> tuple[Array, ...]:
    return () if weight is None else (weight,)


def _loss(function: Any, out: Array, args: list[Any], of_places: tuple[int, ...], options: dict[str, Any]) -> Any:
    """Fill ``out`` with the losses, if it has room for any; (their sum, the sum of weights or their number)."""
    if out.size:
        made = arrays.blockwise(
            function, of_places, *args, dtype=out.dtype, name="cross_entropy", sums=False, **options
        )
        arrays.fill(out, made)
        return 0.0, 1.0
    return _sums(function, "cross_entropy", args, of_places, {**options, "sums": True})


def _sums(function: Any, name: str, args: list[Any], index: tuple[int, ...], options: dict[str, Any]) -> Any:
    """The sums, in float64, of the two numbers that ``function`` gives of each block."""
    parts = arrays.blockwise(
        function, (*index, "z"), *args, dtype=_FLOAT64, name=name, new_axes={"z": 2},
        adjust_chunks=dict.fromkeys(index, 1), **options,
    )  # fmt: skip
    both = parts.sum(axis=tuple(range(len(index))))
    return both[0], both[1]


# ----------------------------------------------------------------------------------------------------- what tasks call


def block_of(x: Any, t: Any, w: Any) -> tuple[Any, Any, Any]:
    """A block of all classes, its targets (class numbers in int64, or floats) and the class weights."""
    x, w = arrays.entered(arrays.only(x), arrays.only(w))
    t = np.asarray(arrays.only(t))
    return x, cpu.integers(t) if t.dtype.kind in "iu" else cpu.enter(t), w


def refuse(target: Any, classes: int, exempt: int | None, backward: bool = False) -> None:
    """Refuse the first label that is neither a class nor exempt, as the operator does it."""
    bad = cpu.check.first_outside(target, classes, exempt)
    if bad >= 0:
        plain = exempt is not None
        op = ("cross_entropy" if plain else "softmax_cross_entropy_with_logits") + ("_backward" if backward else "")
        got = cpu.check.value_at(target, bad)
        raise ValueError(
            f"{op}: {'target' if plain else 'labels'} expects class numbers from 0 to {classes - 1}, got {got}"
        )


def _places(x: Any, dim: int, sums: bool) -> Any:
    return cpu.empty(0 if sums else x.shape[:dim] + x.shape[dim + 1 :], x.dtype)


def _as_part(total: float, divisor: float, ndim: int) -> Any:
    return np.array([total, divisor]).reshape((*(1,) * ndim, 2))


def _cross_entropy(
    x: Any, t: Any, w: Any, *, dim: int, exempts: bool, ignored: int, smoothing: float, sums: bool
) -> Any:
    x, t, w = block_of(x, t, w)
    out, view = _places(x, dim, sums), around(x.shape, dim)
    total, divisor, bad = cpu.loss.cross_entropy(out, x, t, w, view, exempts, ignored, smoothing)
    if bad:
        refuse(t, view.size, ignored if exempts else None)
    return _as_part(total, divisor, x.ndim - 1) if sums else out


def _probabilities(x: Any, t: Any, w: Any, *, dim: int, smoothing: float, sums: bool) -> Any:
    x, t, w = block_of(x, t, w)
    out = _places(x, dim, sums)
    total, divisor = cpu.loss.cross_entropy_probabilities(out, x, t, w, around(x.shape, dim), smoothing)
    return _as_part(total, divisor, x.ndim - 1) if sums else out


def _mse_loss(x: Any, t: Any, w: Any = None) -> Any:
    x, t, w = arrays.entered(x, t, w)
    out = cpu.empty(x.shape, x.dtype)
    cpu.loss.mse_loss(out, x, t, w)
    return out


def _mse_loss_sums(x: Any, t: Any, w: Any = None) -> Any:
    x, t, w = arrays.entered(x, t, w)
    total, divisor = cpu.loss.mse_loss_sums(x, t, w)
    return _as_part(total, divisor, x.ndim)


def _scalar_loss(total: Any, divisor: Any, *, wanted: Any) -> Any:
    return np.asarray(cpu.loss.scalar_loss(float(total), float(divisor), wanted))
