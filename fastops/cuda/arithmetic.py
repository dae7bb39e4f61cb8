"""What the families do with arrays beside their kernels, on CUDA: fill, convert, multiply, divide, sum.

A number that is the result of a kernel stays on the device, as an array of one float64: nobody waits for it.
"""

from math import prod

import numpy as np

from . import sums
from ._gather import gather
from ._launch import cuda, kernel

FLOAT64, INT64 = np.dtype(np.float64), np.dtype(np.int64)

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _fill(out, value):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = value


@kernel(float64=True)
def _cast(out, x):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = x[i]


@kernel
def _labels(out, x):
    # An unsigned number that is too large for int64 becomes -1: it is no label either way.
    i = cuda.grid(1)
    if i < out.size:
        out[i] = -1 if x[i] > np.uint64(2**63 - 1) else np.int64(x[i])


@kernel
def _product(out, a, b):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = a[i] * b[i]


@kernel
def _add(out, a):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = out[i] + a[i]


@kernel
def _quotient(out, a, b):
    out[0] = a[0] / b[0]


# ------------------------------------------------------------------------------------------------- entries


def full(place, shape, value, dtype):
    """An array of one value."""
    return fill(place.lend(place.empty(shape, dtype)), value)


def fill(out, value):
    """The array, every element of which becomes ``value``."""
    _fill.threads(out.place, out.size, out, out.dtype.type(value))
    return out


def number(place, value):
    """A number, of the host or of the device, as a float64 array of one element."""
    return full(place, 1, value, FLOAT64) if isinstance(value, float) else cast(value, FLOAT64)


def cast(array, dtype):
    """The array in another dtype."""
    if array.dtype == dtype:
        return array
    place = array.place
    out = place.lend(place.empty(array.shape, dtype))
    (_labels if array.dtype == np.uint64 else _cast).threads(place, out.size, out, array)
    return out


def copy(place, out, array):
    """Fill the native array ``out``, of any layout, with an operand's elements."""
    to = place.memory(out)
    if to.contiguous():
        _cast.threads(place, array.size, place.lend(out), array)
        return
    target, offset, steps = place.span(out, to)
    gather(place, target, array, offset, to.shape, steps, scatter=True)


def product(a, b):
    """a * b."""
    out = a.place.lend(a.place.empty(a.shape, a.dtype))
    _product.threads(a.place, a.size, out, a, b)
    return out


def add(out, a):
    """Add ``a`` to the array."""
    _add.threads(out.place, out.size, out, a)


def quotient(place, a, b):
    """a / b, numbers of the host or of the device, in floating-point rules."""
    if isinstance(a, float) and isinstance(b, float):
        with np.errstate(all="ignore"):
            return float(np.float64(a) / np.float64(b))
    out = place.lend(place.empty(1, FLOAT64))
    _quotient.blocks(place, 1, 1, out, number(place, a), number(place, b))
    return out


def sum_to(place, array, shape):
    """A native array summed, in float64, over the dimensions that ``shape`` was broadcast along; a native one."""
    x = place.lend(array)
    if x.shape == shape:
        return array
    extra = len(x.shape) - len(shape)
    gone = [i for i in range(len(x.shape)) if i < extra or (shape[i - extra] == 1 != x.shape[i])]
    order = [i for i in range(len(x.shape)) if i not in gone] + gone
    steps = [prod(x.shape[i + 1 :]) for i in range(len(x.shape))]
    rows = place.lend(place.empty(x.size, x.dtype))
    gather(place, rows, x, 0, tuple(x.shape[i] for i in order), tuple(steps[i] for i in order))
    out = place.empty(shape, x.dtype)
    sums.row_sums(out, rows, prod(shape))
    return out


def scalar(place, value, dtype):
    """A number of the device or the host as a native array of shape ()."""
    out = place.lend(place.empty((), dtype))
    _cast.threads(place, 1, out, number(place, value))
    return out.native
