"""What a backend has, and the refusals that all of them share.

Of the CPU it is the module `fastops.cpu`; CUDA has a `fastops.cuda.Backend` for each library and device.
"""

from typing import Any, Protocol

import numpy as np

Array = Any
"""A NumPy array, or one of another backend: the caller's own, or as `Backend.enter` gives it to kernels."""


class Facts(Protocol):
    """What an array of any backend says of itself."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    aligned: bool
    writeable: bool

    def contiguous(self) -> bool:
        """Whether the elements lie one after the other in C order."""


class Backend(Protocol):
    """Arrays of one kind, and kernels for them."""

    # The entries that operators call, as on.conv.conv2d(...).  Here are the CPU's; every backend has modules of these
    # names, in them these functions with these parameters.
    from .cpu import (
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
    )

    kind: str
    """What an error says that it expected or got: "a NumPy array".  Arrays of one kind may meet in a call."""

    # ------------------------------------------------------------------------ the caller's arrays

    def facts(self, op: str, name: str, array: Array) -> Facts:
        """What an array says of itself; one that cannot be read is refused."""

    def writeable(self, array: Array) -> bool:
        """Whether an array may be written to."""

    def overlaps(self, out: Array, inputs: tuple[Array | None, ...], may_be: Array | None) -> bool:
        """Whether ``out`` shares memory with one of ``inputs``; it may be ``may_be`` itself."""

    def enter(self, array: Array) -> Array:
        """An array as kernels take it, C-contiguous; a copy if need be."""

    def integers(self, array: Array) -> Array:
        """An array of integers as kernels take it, in int64."""

    def reshaped(self, array: Array, shape: tuple[int, ...]) -> Array:
        """An array in another shape, a view where that can be."""

    # --------------------------------------------------------------------------------- new arrays

    def empty(self, shape: int | tuple[int, ...], dtype: Any, /) -> Array:
        """A new array, of whatever numbers."""

    def zeros(self, shape: int | tuple[int, ...], dtype: Any, /) -> Array:
        """A new array of zeros."""

    def copyto(self, out: Array, array: Array, /) -> None:
        """Fill the caller's ``out``, of any layout, with the elements of what `enter` gave."""

    # ---------------------------------------------------------- arithmetic with what `enter` gave

    def full(self, shape: int, value: Any, dtype: Any) -> Array:
        """An array of one value, which may become infinite in dtype."""

    def broadcast(self, array: Array, shape: tuple[int, ...]) -> Array:
        """A contiguous array of ``shape`` with the elements of ``array`` repeated."""

    def float64(self, array: Array) -> Array:
        """The array in float64."""

    def number(self, array: Array) -> Any:
        """The one element of an array of shape ()."""

    def sum(self, array: Array) -> Any:
        """The sum of all elements, in float64."""

    def product(self, a: Array, b: Array) -> Array:
        """a * b, in floating-point rules without warnings."""

    def quotient(self, a: Any, b: Any) -> Any:
        """a / b of two numbers, in floating-point rules: x / 0 is infinite, 0 / 0 NaN."""

    def sum_to(self, array: Array, shape: tuple[int, ...]) -> Array:
        """A result, summed in float64 over the dimensions that ``shape`` was broadcast along."""


def check_float(op: str, name: str, dtype: np.dtype[Any]) -> None:
    """Refuse another dtype than float32 and float64."""
    if dtype.char not in "fd" or not dtype.isnative:
        hint = "; convert it with .astype(numpy.float32)" if dtype.kind in "biuf" else ""
        raise TypeError(f"{op}: {name} expects dtype float32 or float64, got {dtype}{hint}")


def check_integer(op: str, name: str, dtype: np.dtype[Any]) -> None:
    """Refuse a dtype that is none of integers."""
    if dtype.kind not in "iu":
        raise TypeError(f"{op}: {name} expects integers (int64), got dtype {dtype}")


def check_output(op: str, out: Facts, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse an ``out`` that results of this shape and dtype cannot be written into."""
    if out.dtype != dtype:
        raise TypeError(f"{op}: out expects dtype {dtype}, got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"{op}: out expects shape {shape}, got {out.shape}")
    if not (out.contiguous() and out.aligned and out.writeable):
        wrong = "not C-contiguous" if not out.contiguous() else "read-only" if out.aligned else "unaligned"
        raise ValueError(f"{op}: out expects a writable C-contiguous array, got one that is {wrong}")
