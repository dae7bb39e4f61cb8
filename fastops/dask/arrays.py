"""What the backend knows of dask arrays.

Operators allocate and kernels fill.  An array that `empty` gave is filled as dask's own ``out=`` does it: it becomes
the lazy result (`fill`).  What stands beside a dask array in a call may be a NumPy array.
"""

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
from dask.array.core import handle_out

from .. import cpu
from .._backend import Array, Facts
from .workers import computing

kind = "a dask array"


# -------------------------------------------------------------------------------------------- the caller's arrays


class _Facts:
    """What a dask array says of itself."""

    aligned = writeable = True

    def __init__(self, array: Any) -> None:
        self.dtype, self.shape = array.dtype, array.shape

    def contiguous(self) -> bool:
        return True


def admit(op: str, name: str, array: Array) -> None:
    """Refuse a dask array that nothing can be said of before it is computed, or whose blocks are not NumPy arrays."""
    if name == "out":
        raise TypeError(f"{op}: out expects None with dask arrays, whose results are lazy, got {kind}")
    if type(array._meta) is not np.ndarray:
        got = f"{type(array._meta).__module__}.{type(array._meta).__qualname__}"
        raise TypeError(f"{op}: {name} expects a dask array of NumPy arrays, got one of {got}")
    if any(size != size for size in array.shape):
        raise ValueError(
            f"{op}: {name} expects chunks of known sizes, got shape {array.shape}; call compute_chunk_sizes() first"
        )


def facts(op: str, name: str, array: Array) -> Facts:
    return _Facts(array)


def writeable(array: Array) -> bool:
    return True


def overlaps(out: Array, inputs: tuple[Array | None, ...], may_be: Array | None) -> bool:
    return False


def enter(array: Array) -> Array:
    return array


def integers(array: Array) -> Array:
    """An array of its own, which a check of its values may be put into."""
    return blocks(cpu.integers, array, dtype=np.int64) if isinstance(array, da.Array) else cpu.integers(array)


def reshaped(array: Array, shape: tuple[int, ...]) -> Array:
    return lazy(array).reshape(shape)


# --------------------------------------------------------------------------------------------------- new arrays


def empty(shape: int | tuple[int, ...], dtype: Any, /) -> Array:
    return da.empty(shape, dtype=dtype, chunks=-1)


def zeros(shape: int | tuple[int, ...], dtype: Any, /) -> Array:
    return da.zeros(shape, dtype=dtype, chunks=-1)


def copyto(out: Array, array: Array, /) -> None:
    fill(out, lazy(array))


# ------------------------------------------------------------------------------------------------------ arithmetic


def full(shape: int, value: Any, dtype: Any) -> Array:
    if isinstance(value, da.Array):
        return value.reshape((shape,)).astype(dtype)
    return cpu.full(shape, value, dtype)


def broadcast(array: Array, shape: tuple[int, ...]) -> Array:
    return array if array.shape == shape else da.broadcast_to(lazy(array), shape)


def float64(array: Array) -> Array:
    return array.astype(np.float64)


def number(array: Array) -> Any:
    return array.astype(np.float64) if isinstance(array, da.Array) else cpu.number(array)


def sum(array: Array) -> Any:
    return lazy(array).sum(dtype=np.float64) if isinstance(array, da.Array) else cpu.sum(array)


def product(a: Array, b: Array) -> Array:
    return blocks(cpu.product, a, b, dtype=a.dtype)


def quotient(a: Any, b: Any) -> Any:
    if not (isinstance(a, da.Array) or isinstance(b, da.Array)):
        return cpu.quotient(a, b)
    return blocks(_quotient, a, b, dtype=np.dtype(np.float64))


def _quotient(a: Any, b: Any) -> Any:
    return np.asarray(cpu.quotient(a, b))


def sum_to(array: Array, shape: tuple[int, ...]) -> Array:
    if array.shape == shape:
        return array
    extra = array.ndim - len(shape)
    axes = tuple(i for i in range(array.ndim) if i < extra or (shape[i - extra] == 1 != array.shape[i]))
    return array.sum(axis=axes, dtype=np.float64).astype(array.dtype).reshape(shape)


# -------------------------------------------------------------------------------------- what the other rooms use


def fill(out: Array, result: Array) -> None:
    """Make of an array that `empty` gave the lazy one that it is to be."""
    handle_out(out, result)


def lazy(array: Array, chunks: Any = -1) -> Any:
    """A dask array of a NumPy array; by itself one chunk."""
    return array if isinstance(array, da.Array) else da.from_array(array, chunks=chunks)


def whole(array: Array, *axes: int) -> Any:
    """The dask array with one chunk along these axes, by itself all."""
    array = lazy(array)
    return array.rechunk(dict.fromkeys(axes or range(array.ndim), -1))


def literal(array: Array | None) -> Any:
    """A whole array for every task of a blockwise, as an argument without dimensions.

    With dimensions that the result has not it would count as a sum, which dask joins with nothing that comes before.
    """
    return None if array is None else whole(array).to_delayed(optimize_graph=False).item()


def meta(dtype: Any, ndim: int) -> Any:
    """What a block is, without its numbers."""
    return np.empty((0,) * ndim, dtype)


def blocks(function: Callable[..., Any], *arrays: Any, dtype: Any, name: str | None = None, **options: Any) -> Any:
    """``function`` of blocks of arrays that broadcast, which gives a block of their common shape."""
    arrays = tuple(lazy(array) if isinstance(array, np.ndarray) else array for array in arrays)
    ndim = max(array.ndim for array in arrays if isinstance(array, da.Array))
    args: list[Any] = []
    for array in arrays:
        args += [array, tuple(range(ndim))[ndim - array.ndim :] if isinstance(array, da.Array) else None]
    return blockwise(function, tuple(range(ndim)), *args, dtype=dtype, name=name, align_arrays=True, **options)


def blockwise(
    function: Callable[..., Any], index: Any, *args: Any, dtype: Any, name: str | None = None,
    align_arrays: bool = False, adjust_chunks: Any = None, new_axes: Any = None, concatenate: bool | None = None,
    **options: Any,
) -> Any:  # fmt: skip
    """`dask.array.blockwise` of a function that runs kernels, whose result has ``index`` and ``dtype``.

    Dimensions are letters, or numbers where an operator takes any number of them.
    """
    named = [_names(each) if i % 2 else each for i, each in enumerate(args)]
    return da.blockwise(
        computing, _names(index), function, None, *named, dtype=dtype, meta=meta(dtype, len(index)),
        align_arrays=align_arrays, token=name or function.__name__.strip("_"), concatenate=concatenate,
        adjust_chunks={str(axis): chunks for axis, chunks in (adjust_chunks or {}).items()},
        new_axes={str(axis): size for axis, size in (new_axes or {}).items()}, **options,
    )  # fmt: skip


def _names(index: Any) -> tuple[str, ...] | None:
    """Dask sorts the names of dimensions, numbers and letters among each other."""
    return None if index is None else tuple(map(str, index))


def entered(*arrays: Any) -> Any:
    """Blocks as the CPU's kernels take them; None stays None."""
    return [None if array is None else cpu.enter(np.asarray(array)) for array in arrays]


def only(block: Any) -> Any:
    """The one block of an array that blockwise gives as nested lists, of dimensions that the result has not."""
    while isinstance(block, list):
        (block,) = block
    return block
