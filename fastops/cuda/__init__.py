"""The CUDA backend: kernels on the arrays of CuPy, torch, numba and whoever has ``__cuda_array_interface__``."""

from typing import Any, NoReturn

import numpy as np

from .. import _backend
from . import (
    _launch,
    arithmetic,
    check,
    conv,
    elementwise,
    linear,
    loss,
    loss_grad,
    norm,
    norm_grad,
    pool,
    pool_grad,
    prelu,
    resize,
    roi_pool,
    softmax,
    sums,
)
from ._launch import Operand
from ._libraries import Memory, Place, place_of, to_cupy, to_numpy

__all__ = ["Backend", "backend_of", "found", "to_cupy", "to_numpy"]


class Backend(_backend.Backend):
    """The kernels, and what else the families ask of a backend, for one library's arrays on one device."""

    check = check
    conv = conv
    elementwise = elementwise
    linear = linear
    loss = loss
    loss_grad = loss_grad
    norm = norm
    norm_grad = norm_grad
    pool = pool
    pool_grad = pool_grad
    prelu = prelu
    resize = resize
    roi_pool = roi_pool
    softmax = softmax

    def __init__(self, place: Place) -> None:
        self.place = place
        self.kind = str(place)

    def facts(self, op: str, name: str, array: Any) -> Memory:
        """What an array says of itself; one that cannot be read, or is unaligned, is refused."""
        try:
            memory = self.place.memory(array)
        except (TypeError, AttributeError, RuntimeError) as trouble:
            told = f"{op}: {name} expects {self.kind}, got one that fastops cannot read: {trouble}"
            raise TypeError(told) from None
        step = memory.dtype.itemsize
        if memory.strides is not None and any(stride % step for stride in memory.strides) or memory.pointer % step:
            raise ValueError(
                f"{op}: {name} expects elements on multiples of their {step} bytes, got an unaligned array"
            )
        return memory

    def enter(self, array: Any) -> Operand:
        """An array as kernels take it."""
        return self.place.operand(array)

    def integers(self, array: Any) -> Any:
        """An array of integers as kernels take it, in int64."""
        return arithmetic.cast(self.place.operand(array), arithmetic.INT64)

    def overlaps(self, out: Any, inputs: tuple[Any, ...], may_be: Any) -> bool:
        """Whether ``out`` shares memory with one of ``inputs`` (some may be None); it may be ``may_be`` itself."""
        memory = self.place.memory(out)
        first, end = memory.extent()
        for array in inputs:
            if array is not None:
                other = self.place.memory(array)
                begins, ends = other.extent()
                itself = array is may_be and begins == first and other.shape == memory.shape and other.contiguous()
                if begins < end and first < ends and not itself:
                    return True
        return False

    def empty(self, shape: Any, dtype: Any) -> Any:
        """A new array, of whatever numbers."""
        return self.place.empty(shape, dtype)

    def writeable(self, array: Any) -> bool:
        """Whether the array may be written to."""
        return self.place.memory(array).writeable

    def copyto(self, out: Any, array: Operand) -> None:
        """Fill ``out``, of any layout, with the array's elements."""
        if array.native is not out:
            arithmetic.copy(self.place, out, array)

    def zeros(self, shape: Any, dtype: Any) -> Any:
        """A new array of zeros."""
        return arithmetic.full(self.place, shape, 0, dtype).native

    def full(self, shape: int, value: Any, dtype: Any) -> Any:
        """An array of one value, which may be a number on the device."""
        if isinstance(value, Operand):
            return value
        with np.errstate(all="ignore"):
            return arithmetic.full(self.place, shape, value, np.dtype(dtype))

    def broadcast(self, array: Operand, shape: tuple[int, ...]) -> Any:
        """A contiguous array of ``shape`` with the elements of ``array`` repeated."""
        return array if array.shape == shape else self.place.operand(array.native, shape)

    def reshaped(self, array: Any, shape: tuple[int, ...]) -> Any:
        """A view of another shape of a contiguous array, else of a copy."""
        if not self.place.memory(array).contiguous():
            array = self.place.operand(array).native
        return array.reshape(shape)

    def float64(self, array: Operand) -> Any:
        """The array in float64."""
        return arithmetic.cast(array, arithmetic.FLOAT64)

    def number(self, array: Operand) -> Any:
        """The one element of an array of shape (), which stays on the device."""
        return arithmetic.cast(array, arithmetic.FLOAT64)

    def sum(self, array: Operand) -> Any:
        """The sum of all elements, in float64; it stays on the device."""
        return self.place.lend(sums.total(array))

    def product(self, a: Operand, b: Operand) -> Any:
        """a * b."""
        return arithmetic.product(a, b)

    def sum_to(self, array: Any, shape: tuple[int, ...]) -> Any:
        """The array summed, in float64, over the dimensions that ``shape`` was broadcast along."""
        return arithmetic.sum_to(self.place, array, tuple(shape))

    def quotient(self, a: Any, b: Any) -> Any:
        """a / b in floating-point rules, on the device if one of them is."""
        return arithmetic.quotient(self.place, a, b)


def backend_of(op: str, name: str, array: Any) -> Backend:
    """The backend for a CUDA array, or a TypeError that says what is missing."""
    trouble = _launch.available()
    if trouble:
        refuse(op, name, trouble)
    place = place_of(array)
    if place is None:
        refuse(op, name, "it is of no library that fastops knows")
    key = type(place), place.device, place.own_stream
    if key not in _backends:
        _backends[key] = Backend(place)
    return _backends[key]


_backends: dict[Any, Backend] = {}


def found() -> str:
    """What CUDA there is, or "no:" and what is missing, for people."""
    return _launch.found()


def refuse(op: str, name: str, trouble: str) -> NoReturn:
    """Refuse a CUDA array in a sentence that says what to do instead."""
    raise TypeError(
        f"{op}: {name} is a CUDA array, and {trouble}; "
        "CUDA needs a driver and fastops's extra cuda13 (or cuda12), else copy it to a NumPy array first "
        "(cupy.asnumpy(x), or x.cpu().numpy() for a torch tensor)"
    )
