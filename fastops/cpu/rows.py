"""Rows of logits, each contiguous: their maxima and sums of exponentials.

A row is (array, start, size), not a slice: a slice costs two atomic counts of references, which doubled the time of
rows of 56.
"""

from typing import Any

import numpy as np
from numba import types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

from .._jit import index, reduction, routine
from .exp import exp
from .log import log

RUN = 1024  # elements summed in the array's own type before they join a float64 total
_SHORTEST = 24  # shorter rows are the columns of gathered strips
_TASK = 4096  # elements that a task should have


def _row_max_of(float_type: Any, int_type: Any) -> Any:
    """A maximum over integers that order as the floats do: that reduction vectorises without giving up NaN."""
    mask, shift = np.iinfo(int_type).max, np.iinfo(int_type).bits - 1
    mask, shift, lowest = int_type(mask), int_type(shift), np.iinfo(int_type).min

    def row_max(bits, start, size):
        best = int_type(lowest)
        for i in range(size):
            value = bits[index(start + i)]
            best = max(best, value ^ ((value >> shift) & mask))
        return int_type(best ^ ((best >> shift) & mask)).view(float_type)

    row_max.__qualname__ += float_type.__name__
    return routine(row_max)


_row_max32 = _row_max_of(np.float32, np.int32)
_row_max64 = _row_max_of(np.float64, np.int64)


@intrinsic
def row_max(typing_context, bits, start, size):
    """The maximum of a row, which is not empty, of ``bits_of`` an array; a NaN in it may be passed over.

    An overload would do; numba compiles those by themselves, which took 0.15 s of softmax's 1.3 here.
    """
    routine_of_type = types.Dispatcher(_row_max32 if bits.dtype == types.int32 else _row_max64)
    signature = routine_of_type.get_call_type(typing_context, (bits, start, size), {})

    def generate(context, builder, _, arguments):
        return context.get_function(routine_of_type, signature)(builder, arguments)

    return signature, generate


@intrinsic
def bits_of(typing_context, x):
    """The array as integers of the same bits; ``x.view(np.int32)`` took 0.28 s of softmax's 1.3 to compile."""
    integers = x.copy(dtype=types.int32 if x.dtype == types.float32 else types.int64)

    def generate(context, builder, signature, arguments):
        array = context.make_array(x)(context, builder, arguments[0])
        bits = context.make_array(integers)(context, builder)
        for field in ("meminfo", "parent", "nitems", "itemsize", "shape", "strides"):
            setattr(bits, field, getattr(array, field))
        bits.data = builder.bitcast(array.data, bits.data.type)
        return impl_ret_borrowed(context, builder, integers, bits._getvalue())

    return integers(x), generate


@reduction
def row_exp_sum(x, start, size, top):
    """The sum of exp(x - top), float64."""
    s = 0.0
    for first in range(start, start + size, RUN):
        part = x.dtype.type(0)
        for i in range(min(RUN, start + size - first)):
            part += exp(x[index(first + i)] - top)
        s += np.float64(part)
    return s


@reduction
def row_exp(out, x, start, size, top):
    """Write exp(x - top) into the same row of out and return its sum, float64.

    The sum has a loop of its own: where a loop writes as well, LLVM runs it one by one if the arrays lie close to each
    other, and the bits of the sum would depend on their addresses.
    """
    s = 0.0
    for first in range(start, start + size, RUN):
        part = x.dtype.type(0)
        count = min(RUN, start + size - first)
        for i in range(count):
            out[index(first + i)] = exp(x[index(first + i)] - top)
        for i in range(count):
            part += out[index(first + i)]
        s += np.float64(part)
    return s


@reduction
def row_total(x, start, size):
    """The sum of a row, float64."""
    s = 0.0
    for first in range(start, start + size, RUN):
        part = x.dtype.type(0)
        for i in range(min(RUN, start + size - first)):
            part += x[index(first + i)]
        s += np.float64(part)
    return s


@reduction
def row_dot(x, y, start, size):
    """The sum of x * y over a row, float64."""
    s = 0.0
    for first in range(start, start + size, RUN):
        part = x.dtype.type(0)
        for i in range(min(RUN, start + size - first)):
            part += x[index(first + i)] * y[index(first + i)]
        s += np.float64(part)
    return s


@routine
def rows_log_sums(top, log_sum, x, start, size):
    """(maximum, log of the sum of exp(x - maximum)) of the rows from x[start] on, as many as ``top`` takes."""
    bits = bits_of(x)
    for row in range(top.size):
        at = start + row * size
        row_top = row_max(bits, at, size)
        top[row] = row_top
        log_sum[row] = row_exp_sum(x, at, size, row_top)
    for row in range(top.size):
        log_sum[row] = log(log_sum[row])


def by_rows(view):
    """Whether to go by rows."""
    return view.inner == 1 and view.size > _SHORTEST


def rows_of_a_task(size):
    """How many rows of ``size`` elements a task has."""
    return max(1, _TASK // size)
