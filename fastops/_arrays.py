"""Arrays: which backend they belong to, their dtype and layout, and ``out=``.

Errors about kind and dtype are TypeErrors, about ``out``'s shape, layout and overlap ValueErrors.
"""

import sys
from types import ModuleType
from typing import Any, Protocol, TypeVar

import numpy as np

from . import cpu
from ._backend import Array as Array
from ._backend import Backend, check_float, check_integer, check_output


class AnyArray(Protocol):
    """What type checkers take for an array: NumPy's, CuPy's, torch's and numba's have these; a list has not."""

    @property
    def shape(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> Any: ...  # a method of torch's tensors


ArrayT = TypeVar("ArrayT", bound=AnyArray)
"""The kind of array that comes in and goes out: of a NumPy array float32, one of float32."""
OtherT = TypeVar("OtherT", bound=AnyArray)
"""A second array that has a gradient, of a shape of its own."""

_KIND = "expects a NumPy or CUDA array"
_ndarray = np.ndarray
_FLOAT32, _FLOAT64, _INT64 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)


def enter(op: str, optional: tuple[str, ...] = (), /, **arrays: Array) -> tuple[Backend, *tuple[Any, ...]]:
    """(backend, array, ...) for the float arguments of an operator; those named in ``optional`` may be None.

    All arrays come back C-contiguous, of one kind and one dtype, float32 or float64.
    """
    first_name = dtype = numpy_dtype = None
    entered: list[Any] = [cpu]
    for name, array in arrays.items():
        if type(array) is _ndarray:  # the ordinary case at once: 0.1 us each instead of 0.2
            kind = array.dtype
            if dtype is None and (kind is _FLOAT32 or kind is _FLOAT64):
                first_name, dtype, numpy_dtype = name, kind, kind
            if kind is numpy_dtype and array.flags.carray:
                entered.append(array)
                continue
        elif array is None and name in optional:
            entered.append(None)
            continue
        on, array = enter_one(op, name, array)
        if dtype is None:
            entered[0], first_name, dtype = on, name, array.dtype
            numpy_dtype = dtype if type(array) is _ndarray else None
        elif on is not entered[0]:
            entered[0] = _common(op, name, on, entered[0], first_name)
        if array.dtype != dtype:
            raise TypeError(f"{op}: {name} expects dtype {dtype}, as {first_name} has, got {array.dtype}")
        entered.append(array)
    return tuple(entered)


def enter_one(op: str, name: str, array: Array) -> tuple[Backend, Array]:
    """(backend, array) for one float argument; element-wise operators on small arrays have 0.3 us for their checks."""
    if type(array) is _ndarray:
        dtype = array.dtype
        if dtype is not _FLOAT32 and dtype is not _FLOAT64:
            check_float(op, name, dtype)
        return cpu, array if array.flags.carray else cpu.enter(array)
    on, array = backend(op, name, array)
    check_float(op, name, on.facts(op, name, array).dtype)
    return on, on.enter(array)


def enter_like(op: str, name: str, array: Array, on: Backend, like: Array) -> Array:
    """A float argument of the kind and dtype of another one, ``like``, of backend ``on``."""
    got, array = enter_one(op, name, array)
    if got is not on:
        _common(op, name, got, on, "input", on)
    same_dtype(op, name, array, like)
    return array


def backend(op: str, name: str, array: Array) -> tuple[Backend, Array]:
    """(backend, array) for an argument of any dtype and layout."""
    if type(array) is _ndarray:
        return cpu, array
    if is_dask(array):
        return _dask(op, name, array), array
    if is_cuda(array):
        return _cuda(op, name).backend_of(op, name, array), array
    return cpu, _numpy(op, name, array)


def native(array: Array) -> Array:
    """What `enter` gave, as an array of the library that it came from."""
    return getattr(array, "native", array)


def to_device(op: str, array: Array, device: Any) -> Array:
    """The array on 'cpu', as NumPy's, or on 'cuda' or 'cuda:<number>', as CuPy's; itself if it is there."""
    kind, _, number = device.partition(":") if isinstance(device, str) else ("", "", "")
    if device != "cpu" and (kind != "cuda" or not (number.isdigit() or device == "cuda")):
        raise ValueError(f"{op}: device expects 'cpu', 'cuda' or 'cuda:0', 'cuda:1', ..., got {device!r}")
    if kind == "cpu":
        return _cuda(op, "device").to_numpy(array) if is_cuda(array) else array
    return _cuda(op, "device").to_cupy(op, array, int(number or -1))


def is_float(array: Array) -> bool:
    """Whether an argument that may hold integers or floats holds floats."""
    if type(array) is _ndarray:
        return array.dtype.kind == "f"  # type: ignore[no-any-return]
    dtype = getattr(array, "dtype", None)
    return getattr(dtype, "kind", None) == "f" or getattr(dtype, "is_floating_point", False) is True  # NumPy's, torch's


def integers(op: str, name: str, array: Array, on: Backend, first_name: str) -> Array:
    """An integer argument, of the kind of the argument ``first_name``, as a C-contiguous int64 array."""
    if on is cpu and type(array) is _ndarray and array.dtype is _INT64 and array.flags.carray:
        return array
    got, array = backend(op, name, array)
    if got is not on:
        _common(op, name, got, on, first_name, on)
    check_integer(op, name, array.dtype if type(array) is _ndarray else on.facts(op, name, array).dtype)
    return on.integers(array)


def same_dtype(op: str, name: str, array: Array, like: Array) -> None:
    """Refuse an array ``name`` of another dtype than ``like``'s."""
    if array.dtype != like.dtype:
        raise TypeError(f"{op}: {name} expects dtype {like.dtype}, as the other arrays have, got {array.dtype}")


def gradient_number(op: str, gradient: Any, on: Backend, like: Array) -> Any:
    """grad_output of a loss that reduces: a number, a NumPy scalar or a 0-d array of ``like``'s dtype.

    A float, or what the backend ``on`` takes for one.
    """
    if isinstance(gradient, np.generic):
        gradient = np.asarray(gradient)
    elif isinstance(gradient, (int, float)) and not isinstance(gradient, bool):
        try:
            return float(gradient)
        except OverflowError:
            raise ValueError(f"{op}: grad_output expects a number that a float can hold, got a larger int") from None
    if on is not cpu and type(gradient) is _ndarray and gradient.shape == ():
        return float(enter_one(op, "grad_output", gradient)[1])  # a number of the host is one everywhere
    array = enter_like(op, "grad_output", gradient, on, like)
    if array.shape != ():
        raise ValueError(
            f"{op}: grad_output expects a number or a 0-d array for a reduced loss, got shape {array.shape}"
        )
    return on.number(array)


def output(
    op: str, on: Backend, out: Array | None, shape: tuple[int, ...], like: Array, *inputs: Array, may_be: Array = None
) -> Array:
    """``out``, checked, or a new array of ``shape`` and ``like``'s dtype.

    ``inputs`` are the caller's own arrays, which ``out`` must not overlap; it may be ``may_be`` itself.
    """
    if out is None:
        return on.empty(shape, like.dtype)
    got, out = backend(op, "out", out)
    if got is not on:
        _same_kind(op, "out", got, on, "input")
    if not (type(out) is _ndarray and out.dtype is like.dtype and out.shape == shape and out.flags.carray):
        check_output(op, on.facts(op, "out", out), shape, like.dtype)
    if on.overlaps(out, inputs, may_be):
        raise ValueError(f"{op}: out expects memory of its own, got an array that overlaps an input")
    return out


def _numpy(op: str, name: str, array: Array) -> np.ndarray[Any, Any]:
    """A NumPy array from a subclass, or a TypeError that says what to do instead."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{op}: {name} {_KIND}, got a masked array; fill it first, as by numpy.ma.filled")
    if isinstance(array, np.ndarray):
        return np.asarray(array)
    got = f"{type(array).__module__}.{type(array).__qualname__}".removeprefix("builtins.")
    torch: ModuleType | None = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        raise TypeError(f"{op}: {name} {_KIND}, got {got}; call .numpy() on it first")
    raise TypeError(f"{op}: {name} {_KIND}, got {got}; make one with numpy.asarray and a float dtype")


def is_cuda(array: Array) -> bool:
    """Whether an array lies on a CUDA device (or in numba's simulator of one)."""
    torch: ModuleType | None = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return bool(array.is_cuda)
    return hasattr(array, "__cuda_array_interface__") or hasattr(array, "__cuda_ndarray__")


def is_dask(array: Array) -> bool:
    """Whether an array is dask's."""
    dask: ModuleType | None = sys.modules.get("dask.array")
    return isinstance(array, getattr(dask, "Array", ()))  # nothing yet, while another thread imports it


def _dask(op: str, name: str, array: Array) -> Any:
    """The backend of dask arrays, if nothing speaks against this one."""
    from . import dask  # at the first dask array only: it imports what it needs of dask

    dask.admit(op, name, array)
    return dask


def _cuda(op: str, name: str) -> ModuleType:
    try:
        from . import cuda  # at the first CUDA array only: importing it must never slow down or break the CPU side
    except Exception as trouble:
        raise TypeError(
            f"{op}: {name} is a CUDA array, and CUDA's packages cannot be imported ({type(trouble).__name__}); "
            "install fastops with its extra cuda13 (or cuda12), or copy it to a NumPy array first"
        ) from None
    return cuda


def _common(
    op: str, name: str, got: Backend, on: Backend, first_name: str | None, wanted: Backend | None = None
) -> Backend:
    """The backend of a call in which both kinds meet: that of dask arrays takes NumPy's, too; others are refused.

    It has to be ``wanted``, if that is given.
    """
    kinds = {got.kind, on.kind}
    lazy = got if on is cpu else on
    if lazy.kind == "a dask array" and kinds == {cpu.kind, lazy.kind} and wanted in (None, lazy):
        return lazy
    _same_kind(op, name, got, on, first_name)
    return on


def _same_kind(op: str, name: str, got: Backend, on: Backend, first_name: str | None) -> None:
    """Refuse an argument of another kind or device than the first one's."""
    if got.kind != on.kind:
        raise TypeError(f"{op}: {name} expects {on.kind}, as {first_name} is, got {got.kind}")
