"""NumPy arrays as the operators handle them: what they say of themselves, what kernels take, a little arithmetic."""

from typing import Any

import numpy as np

from .contiguous import ArrayInterface, contiguous

Array = np.ndarray[Any, Any]

kind = "a NumPy array"
"""What an error says that it expected, or got."""

empty, zeros, copyto = np.empty, np.zeros, np.copyto

_INT64 = np.dtype(np.int64)

# ------------------------------------------------------------------------------------- what an array says of itself


class Facts:
    """What an array says of itself."""

    __slots__ = ("aligned", "array", "dtype", "shape", "writeable")

    def __init__(self, array: Array) -> None:
        self.array, self.dtype, self.shape = array, array.dtype, array.shape
        self.aligned, self.writeable = array.flags.aligned, array.flags.writeable

    def contiguous(self) -> bool:
        """Whether the elements lie one after the other in C order."""
        return self.array.flags.c_contiguous


def facts(op: str, name: str, array: Array) -> Facts:
    """What an array says of itself."""
    return Facts(array)


def writeable(array: Array) -> bool:
    """Whether the array may be written to."""
    return array.flags.writeable


def overlaps(out: Array, inputs: tuple[Any, ...], may_be: Any) -> bool:
    """Whether ``out`` shares memory with one of ``inputs`` (some may be None); it may be ``may_be`` itself."""
    for array in inputs:
        if isinstance(array, np.ndarray) and np.may_share_memory(out, array):
            itself = array is may_be and (out is array or _same_memory(out, array))
            if not itself and _shares_memory(out, array):
                return True
    return False


def _shares_memory(a: Array, b: Array) -> bool:
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _same_memory(a: Array, b: Array) -> bool:
    return a.ctypes.data == b.ctypes.data and a.shape == b.shape and a.strides == b.strides


# ---------------------------------------------------------------------------------------------- what kernels take


def enter(array: Array) -> Array:
    """The array as kernels know it: C-contiguous, aligned, and writable in type, so that one compilation serves all.

    A read-only array is lent to the kernels under a writable view of the same memory; they never write to an input.
    """
    array = np.require(contiguous(array), requirements=["C", "A"])
    if array.flags.writeable:
        return array
    view = dict(array.__array_interface__)
    view["data"] = (view["data"][0], False)
    return np.asarray(ArrayInterface(view, array))


def integers(array: Array) -> Array:
    """An array of integers as int64, as kernels know it; what is too large for it becomes the largest one."""
    if array.dtype is not _INT64:
        if array.dtype.kind == "u" and array.dtype.itemsize == 8:
            array = np.minimum(array, np.uint64(2**63 - 1))  # too large to be a label, and so it stays
        array = array.astype(np.int64, copy=False)
    return array if array.flags.carray else enter(array)


def full(shape: int, value: float, dtype: Any) -> Array:
    """An array of one value, which may become infinite in dtype."""
    with np.errstate(all="ignore"):
        return np.full(shape, value, dtype)


def broadcast(array: Array, shape: tuple[int, ...]) -> Array:
    """A contiguous array of ``shape`` with the elements of ``array`` repeated."""
    return array if array.shape == shape else enter(np.broadcast_to(array, shape))


def reshaped(array: Array, shape: tuple[int, ...]) -> Array:
    """A view of another shape where the strides allow it, else a copy."""
    if array.flags.c_contiguous:
        return array.reshape(shape)
    try:
        return array.reshape(shape, copy=False)
    except (ValueError, TypeError):  # it needs a copy, or this NumPy does not know the argument
        return contiguous(array).reshape(shape)


# ----------------------------------------------------------------------------------------------------- arithmetic


def float64(array: Array) -> Array:
    """The array in float64."""
    return array.astype(np.float64)


def number(array: Array) -> float:
    """The one element of an array of shape ()."""
    return float(array)


def sum(array: Array) -> float:
    """The sum of all elements, in float64."""
    with np.errstate(all="ignore"):
        return float(array.sum(dtype=np.float64))


def product(a: Array, b: Array) -> Array:
    """a * b, in floating-point rules without warnings."""
    with np.errstate(all="ignore"):
        return np.asarray(a * b)


def sum_to(array: Array, shape: tuple[int, ...]) -> Array:
    """The array summed, in float64, over the dimensions that ``shape`` was broadcast along."""
    if array.shape == shape:
        return array
    extra = array.ndim - len(shape)
    axes = tuple(i for i in range(array.ndim) if i < extra or (shape[i - extra] == 1 != array.shape[i]))
    with np.errstate(all="ignore"):
        return np.asarray(array.sum(axis=axes, dtype=np.float64).astype(array.dtype)).reshape(shape)


def quotient(a: float, b: float) -> float:
    """a / b in floating-point rules: x / 0 is infinite, 0 / 0 NaN."""
    if b != 0:
        return float(a) / float(b)  # Python's is the same, without 1 us for NumPy's warnings
    with np.errstate(all="ignore"):
        return float(np.float64(a) / np.float64(b))
