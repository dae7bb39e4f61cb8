"""The CPU backend: kernels on NumPy arrays."""

from typing import Any

import numpy as np

from . import conv, conv_weight, elementwise, loss, norm, pool, softmax

__all__ = ["canonical", "conv", "conv_weight", "elementwise", "empty", "loss", "norm", "ones", "pool", "softmax"]

empty, ones = np.empty, np.ones


def canonical(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array as kernels know it: C-contiguous, aligned, and writable in type, so that one compilation serves all.

    A read-only array is lent to the kernels under a writable view of the same memory; they never write to an input.
    """
    array = np.require(array, requirements=["C", "A"])
    if array.flags.writeable:
        return array
    view = dict(array.__array_interface__)
    view["data"] = (view["data"][0], False)
    return np.asarray(_Memory(view, array))


def broadcast(array: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A contiguous array of ``shape`` with the elements of ``array`` repeated."""
    return array if array.shape == shape else canonical(np.broadcast_to(array, shape))


def is_finite_positive(number: float, dtype: np.dtype[Any]) -> bool:
    """Whether the number, rounded to dtype, is finite and greater than 0."""
    with np.errstate(all="ignore"):
        return bool(0 < dtype.type(number) < np.inf)


def writeable(array: np.ndarray[Any, Any]) -> bool:
    """Whether the array may be written to."""
    return bool(array.flags.writeable)


class _Memory:
    """What NumPy needs to make a view of memory; keeps the memory's owner alive."""

    def __init__(self, interface: dict[str, Any], owner: np.ndarray[Any, Any]) -> None:
        self.__array_interface__ = interface
        self.owner = owner
