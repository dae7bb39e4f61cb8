"""Checks of values inside arrays: of NumPy arrays at the call, of dask arrays when a block is computed."""

from typing import Any

import dask.array as da
import numpy as np

from .. import cpu
from .._backend import Array
from . import arrays
from .loss import refuse


def first_outside(values: Array, count: int, exempt: int | None = None) -> int:
    """The place of the first bad label of a NumPy array, or -1; of a dask array -1, and its blocks refuse it."""
    if not isinstance(values, da.Array):
        return int(cpu.check.first_outside(values, count, exempt))
    arrays.fill(values, arrays.blocks(_checked, values, dtype=values.dtype, name="labels", count=count, exempt=exempt))
    return -1


def value_at(values: Array, place: int) -> int:
    return int(cpu.check.value_at(values, place))


def is_finite_positive(number: float, dtype: Any) -> bool:
    return bool(cpu.check.is_finite_positive(number, dtype))


def _checked(values: Any, *, count: int, exempt: int | None) -> Any:
    """The labels of a gradient; only those ask before the kernel runs."""
    values = cpu.integers(np.asarray(values))
    refuse(values, count, exempt, backward=True)
    return values
