"""softmax and log_softmax on the CPU.

The array is (outer, size, inner) around the dimension.  With inner = 1 a row is contiguous and is done at a time;
otherwise a strip of up to STRIP neighbouring columns is, along the contiguous inner dimension.
"""

from typing import Any

import numpy as np
from numba import prange, types
from numba.extending import overload

from .._jit import kernel, reduction, routine, scalar
from .exp import exp

STRIP = 512  # columns of a strip: its maxima and sums stay in L1
_RUN = 1024  # elements summed in the array's own type before they join a float64 total

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def log_probability(x, top, log_sum):
    """log of the softmax of x, given the maximum and log(sum(exp(x - maximum)))."""
    return (x - top) - log_sum


# ------------------------------------------------------------------------------------------------ routines


def _row_max_of(float_type: Any, int_type: Any) -> Any:
    """A maximum over integers that order as the floats do: that reduction vectorises without giving up NaN."""
    mask, shift = np.iinfo(int_type).max, np.iinfo(int_type).bits - 1
    mask, shift, lowest = int_type(mask), int_type(shift), np.iinfo(int_type).min

    @routine
    def row_max(x, start, stop):
        bits = x.view(int_type)
        best = int_type(lowest)
        for i in range(start, stop):
            ordered = bits[i] ^ ((bits[i] >> shift) & mask)
            best = max(best, ordered)
        return int_type(best ^ ((best >> shift) & mask)).view(float_type)

    return row_max


_row_max32 = _row_max_of(np.float32, np.int32)
_row_max64 = _row_max_of(np.float64, np.int64)


def row_max(x, start, stop):
    """The maximum of x[start:stop], which is not empty; a NaN in it may be passed over."""
    return _row_max32(x, start, stop) if x.dtype == np.float32 else _row_max64(x, start, stop)


@overload(row_max)
def _row_max(x, start, stop):
    if x.dtype == types.float32:
        return lambda x, start, stop: _row_max32(x, start, stop)
    return lambda x, start, stop: _row_max64(x, start, stop)


@reduction
def row_exp_sum(x, start, stop, top):
    """The sum of exp(x - top) over x[start:stop], float64."""
    total = 0.0
    for run in range(start, stop, _RUN):
        part = x.dtype.type(0)
        for i in range(run, min(run + _RUN, stop)):
            part += exp(x[i] - top)
        total += np.float64(part)
    return total


@reduction
def _row_exp(out, x, start, stop, top):
    """Write exp(x - top) over out[start:stop] and return its sum, float64."""
    total = 0.0
    for run in range(start, stop, _RUN):
        part = x.dtype.type(0)
        for i in range(run, min(run + _RUN, stop)):
            out[i] = exp(x[i] - top)
            part += out[i]
        total += np.float64(part)
    return total


@routine
def strip_max(top, x, start, size, inner):
    """The maxima of the columns x[start + j], a column ``size`` elements at a distance of ``inner``."""
    for j in range(top.size):
        top[j] = x[start + j]
    for c in range(1, size):
        line = start + c * inner
        for j in range(top.size):
            top[j] = x[line + j] if x[line + j] > top[j] else top[j]


@routine
def strip_exp_sum(sums, top, x, start, size, inner):
    """The sums of exp(x - top) of the same columns, float64."""
    for j in range(top.size):
        sums[j] = 0
    for c in range(size):
        line = start + c * inner
        for j in range(top.size):
            sums[j] += np.float64(exp(x[line + j] - top[j]))


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _softmax_rows(out, x, size):
    # An iteration owns a row: its maximum, exp into the output, then the division.
    for row in prange(x.size // size):
        start, stop = row * size, (row + 1) * size
        factor = x.dtype.type(1.0 / _row_exp(out, x, start, stop, row_max(x, start, stop)))
        for i in range(start, stop):
            out[i] *= factor


@kernel
def _softmax_strips(out, x, size, inner, strips):
    # An iteration owns a strip of columns.
    for task in prange(x.size // (size * inner) * strips):
        j0 = task % strips * STRIP
        start = task // strips * size * inner + j0
        width = min(STRIP, inner - j0)
        top, sums, factor = np.empty(width, x.dtype), np.empty(width), np.empty(width, x.dtype)
        strip_max(top, x, start, size, inner)
        for j in range(width):
            sums[j] = 0
        for c in range(size):
            line = start + c * inner
            for j in range(width):
                out[line + j] = exp(x[line + j] - top[j])
                sums[j] += np.float64(out[line + j])
        for j in range(width):
            factor[j] = x.dtype.type(1.0 / sums[j])
        for c in range(size):
            line = start + c * inner
            for j in range(width):
                out[line + j] *= factor[j]


@kernel
def _log_softmax_rows(out, x, size):
    # An iteration owns a row.
    for row in prange(x.size // size):
        start, stop = row * size, (row + 1) * size
        top = row_max(x, start, stop)
        log_sum = x.dtype.type(np.log(row_exp_sum(x, start, stop, top)))
        for i in range(start, stop):
            out[i] = log_probability(x[i], top, log_sum)


@kernel
def _log_softmax_strips(out, x, size, inner, strips):
    # An iteration owns a strip of columns.
    for task in prange(x.size // (size * inner) * strips):
        j0 = task % strips * STRIP
        start = task // strips * size * inner + j0
        width = min(STRIP, inner - j0)
        top, sums, log_sum = np.empty(width, x.dtype), np.empty(width), np.empty(width, x.dtype)
        strip_max(top, x, start, size, inner)
        strip_exp_sum(sums, top, x, start, size, inner)
        for j in range(width):
            log_sum[j] = x.dtype.type(np.log(sums[j]))
        for c in range(size):
            line = start + c * inner
            for j in range(width):
                out[line + j] = log_probability(x[line + j], top[j], log_sum[j])


# ------------------------------------------------------------------------------------------------- entries


def strips(inner):
    """How many strips cover the inner dimension."""
    return -(-inner // STRIP)


def softmax(out, input, view):
    x, y, work = input.reshape(-1), out.reshape(-1), input.size * 4
    if view.inner == 1:
        _softmax_rows(work)(y, x, view.size)
    else:
        _softmax_strips(work)(y, x, view.size, view.inner, strips(view.inner))


def log_softmax(out, input, view):
    x, y, work = input.reshape(-1), out.reshape(-1), input.size * 4
    if view.inner == 1:
        _log_softmax_rows(work)(y, x, view.size)
    else:
        _log_softmax_strips(work)(y, x, view.size, view.inner, strips(view.inner))
