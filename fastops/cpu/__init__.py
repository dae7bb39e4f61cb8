"""The CPU backend: kernels on NumPy arrays."""

from typing import Any

import numpy as np

from . import (
    check,
    conv,
    conv_weight,
    elementwise,
    loss,
    loss_grad,
    norm,
    norm_grad,
    pool,
    pool_grad,
    roi_pool,
    softmax,
)
from .check import is_finite_positive
from .contiguous import Memory, contiguous

__all__ = [
    "canonical",
    "check",
    "conv",
    "conv_weight",
    "copyto",
    "elementwise",
    "empty",
    "full",
    "is_finite_positive",
    "loss",
    "loss_grad",
    "norm",
    "norm_grad",
    "pool",
    "pool_grad",
    "roi_pool",
    "softmax",
    "zeros",
]

empty, zeros, copyto = np.empty, np.zeros, np.copyto


def canonical(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array as kernels know it: C-contiguous, aligned, and writable in type, so that one compilation serves all.

    A read-only array is lent to the kernels under a writable view of the same memory; they never write to an input.
    """
    array = np.require(contiguous(array), requirements=["C", "A"])
    if array.flags.writeable:
        return array
    view = dict(array.__array_interface__)
    view["data"] = (view["data"][0], False)
    return np.asarray(Memory(view, array))


def reshaped(array: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A view of another shape where the strides allow it, else a copy."""
    if array.flags.c_contiguous:
        return array.reshape(shape)
    try:
        return array.reshape(shape, copy=False)
    except (ValueError, TypeError):  # it needs a copy, or this NumPy does not know the argument
        return contiguous(array).reshape(shape)


def broadcast(array: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A contiguous array of ``shape`` with the elements of ``array`` repeated."""
    return array if array.shape == shape else canonical(np.broadcast_to(array, shape))


def full(shape: int, value: float, dtype: Any) -> np.ndarray[Any, Any]:
    """An array of one value, which may become infinite in dtype."""
    with np.errstate(all="ignore"):
        return np.full(shape, value, dtype)


def float64(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array in float64."""
    return array.astype(np.float64)


def number(array: np.ndarray[Any, Any]) -> float:
    """The one element of an array of shape ()."""
    return float(array)


def sum(array: np.ndarray[Any, Any]) -> float:
    """The sum of all elements, in float64."""
    with np.errstate(all="ignore"):
        return float(array.sum(dtype=np.float64))


def product(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """a * b, in floating-point rules without warnings."""
    with np.errstate(all="ignore"):
        return np.asarray(a * b)


def sum_to(array: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """The array summed, in float64, over the dimensions that ``shape`` was broadcast along."""
    if array.shape == shape:
        return array
    extra = array.ndim - len(shape)
    axes = tuple(i for i in range(array.ndim) if i < extra or (shape[i - extra] == 1 != array.shape[i]))
    with np.errstate(all="ignore"):
        return np.asarray(array.sum(axis=axes, dtype=np.float64).astype(array.dtype)).reshape(shape)


def quotient(a: float, b: float) -> float:
    """a / b in floating-point rules: x / 0 is infinite, 0 / 0 NaN."""
    with np.errstate(all="ignore"):
        return float(np.float64(a) / np.float64(b))


def writeable(array: np.ndarray[Any, Any]) -> bool:
    """Whether the array may be written to."""
    return bool(array.flags.writeable)
