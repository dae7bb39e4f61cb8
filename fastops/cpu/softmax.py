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
from .sums import dot, total

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

    def row_max(x):
        bits = x.view(int_type)
        best = int_type(lowest)
        for i in range(bits.size):
            ordered = bits[i] ^ ((bits[i] >> shift) & mask)
            best = max(best, ordered)
        return int_type(best ^ ((best >> shift) & mask)).view(float_type)

    row_max.__qualname__ += float_type.__name__
    return routine(row_max)


_row_max32 = _row_max_of(np.float32, np.int32)
_row_max64 = _row_max_of(np.float64, np.int64)


def row_max(x):
    """The maximum of x, which is not empty; a NaN in it may be passed over."""
    return _row_max32(x) if x.dtype == np.float32 else _row_max64(x)


@overload(row_max)
def _row_max(x):
    return (lambda x: _row_max32(x)) if x.dtype == types.float32 else (lambda x: _row_max64(x))


@reduction
def row_exp_sum(x, top):
    """The sum of exp(x - top), float64."""
    s = 0.0
    for start in range(0, x.size, _RUN):
        part = x.dtype.type(0)
        run = x[start : start + _RUN]
        for i in range(run.size):
            part += exp(run[i] - top)
        s += np.float64(part)
    return s


@reduction
def row_exp(out, x, top):
    """Write exp(x - top) into out and return its sum, float64.

    The sum has a loop of its own: where a loop writes as well, LLVM runs it one by one if the arrays lie close to each
    other, and the bits of the sum would depend on their addresses.
    """
    s = 0.0
    for start in range(0, x.size, _RUN):
        part = x.dtype.type(0)
        run, results = x[start : start + _RUN], out[start : start + _RUN]
        for i in range(run.size):
            results[i] = exp(run[i] - top)
        for i in range(run.size):
            part += results[i]
        s += np.float64(part)
    return s


@routine
def strip_max(top, x, size, inner):
    """The maxima of the columns that begin at x[0], x[1], ...: ``size`` elements each, ``inner`` apart."""
    for j in range(top.size):
        top[j] = x[j]
    for c in range(1, size):
        line = x[c * inner : c * inner + top.size]
        for j in range(top.size):
            top[j] = line[j] if line[j] > top[j] else top[j]


@routine
def strip_exp_sum(sums, top, x, size, inner):
    """The sums of exp(x - top) of the same columns, float64."""
    for j in range(top.size):
        sums[j] = 0
    for c in range(size):
        line = x[c * inner : c * inner + top.size]
        for j in range(top.size):
            sums[j] += np.float64(exp(line[j] - top[j]))


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _softmax_rows(out, x, size):
    # An iteration owns a row: its maximum, exp into the output, then the division.
    for row in prange(x.size // size):
        values, results = x[row * size : (row + 1) * size], out[row * size : (row + 1) * size]
        factor = x.dtype.type(1.0 / row_exp(results, values, row_max(values)))
        for i in range(size):
            results[i] *= factor


@kernel
def _softmax_strips(out, x, size, inner, strips):
    # An iteration owns a strip of columns.
    for task in prange(x.size // (size * inner) * strips):
        j0 = task % strips * STRIP
        start = task // strips * size * inner + j0
        width = min(STRIP, inner - j0)
        top, sums, factor = np.empty(width, x.dtype), np.empty(width), np.empty(width, x.dtype)
        strip_max(top, x[start:], size, inner)
        for j in range(width):
            sums[j] = 0
        for c in range(size):
            at = start + c * inner
            values, results = x[at : at + width], out[at : at + width]
            for j in range(width):
                e = exp(values[j] - top[j])
                results[j] = e
                sums[j] += np.float64(e)
        for j in range(width):
            factor[j] = x.dtype.type(1.0 / sums[j])
        for c in range(size):
            results = out[start + c * inner : start + c * inner + width]
            for j in range(width):
                results[j] *= factor[j]


@kernel
def _log_softmax_rows(out, x, size):
    # An iteration owns a row.
    for row in prange(x.size // size):
        values, results = x[row * size : (row + 1) * size], out[row * size : (row + 1) * size]
        top = row_max(values)
        log_sum = x.dtype.type(np.log(row_exp_sum(values, top)))
        for i in range(size):
            results[i] = log_probability(values[i], top, log_sum)


@kernel
def _log_softmax_strips(out, x, size, inner, strips):
    # An iteration owns a strip of columns.
    for task in prange(x.size // (size * inner) * strips):
        j0 = task % strips * STRIP
        start = task // strips * size * inner + j0
        width = min(STRIP, inner - j0)
        top, sums, log_sum = np.empty(width, x.dtype), np.empty(width), np.empty(width, x.dtype)
        strip_max(top, x[start:], size, inner)
        strip_exp_sum(sums, top, x[start:], size, inner)
        for j in range(width):
            log_sum[j] = x.dtype.type(np.log(sums[j]))
        for c in range(size):
            at = start + c * inner
            values, results = x[at : at + width], out[at : at + width]
            for j in range(width):
                results[j] = log_probability(values[j], top[j], log_sum[j])


@kernel
def _softmax_grad_rows(out, gradient, y, size):
    # An iteration owns a row: y * (gradient - sum(gradient * y)).
    for row in prange(y.size // size):
        first, last = row * size, (row + 1) * size
        g, values, results = gradient[first:last], y[first:last], out[first:last]
        mean = y.dtype.type(dot(g, values))
        for i in range(size):
            results[i] = values[i] * (g[i] - mean)


@kernel
def _softmax_grad_strips(out, gradient, y, size, inner, strips):
    # An iteration owns a strip of columns.
    for task in prange(y.size // (size * inner) * strips):
        j0 = task % strips * STRIP
        start = task // strips * size * inner + j0
        width = min(STRIP, inner - j0)
        sums, mean = np.empty(width), np.empty(width, y.dtype)
        for j in range(width):
            sums[j] = 0
        for c in range(size):
            at = start + c * inner
            g, values = gradient[at : at + width], y[at : at + width]
            for j in range(width):
                sums[j] += np.float64(g[j] * values[j])
        for j in range(width):
            mean[j] = y.dtype.type(sums[j])
        for c in range(size):
            at = start + c * inner
            g, values, results = gradient[at : at + width], y[at : at + width], out[at : at + width]
            for j in range(width):
                results[j] = values[j] * (g[j] - mean[j])


@kernel
def _log_softmax_grad_rows(out, gradient, y, size):
    # An iteration owns a row: gradient - exp(y) * sum(gradient).
    for row in prange(y.size // size):
        first, last = row * size, (row + 1) * size
        g, values, results = gradient[first:last], y[first:last], out[first:last]
        s = y.dtype.type(total(g))
        for i in range(size):
            results[i] = g[i] - exp(values[i]) * s


@kernel
def _log_softmax_grad_strips(out, gradient, y, size, inner, strips):
    # An iteration owns a strip of columns.
    for task in prange(y.size // (size * inner) * strips):
        j0 = task % strips * STRIP
        start = task // strips * size * inner + j0
        width = min(STRIP, inner - j0)
        sums, rounded = np.empty(width), np.empty(width, y.dtype)
        for j in range(width):
            sums[j] = 0
        for c in range(size):
            g = gradient[start + c * inner : start + c * inner + width]
            for j in range(width):
                sums[j] += np.float64(g[j])
        for j in range(width):
            rounded[j] = y.dtype.type(sums[j])
        for c in range(size):
            at = start + c * inner
            g, values, results = gradient[at : at + width], y[at : at + width], out[at : at + width]
            for j in range(width):
                results[j] = g[j] - exp(values[j]) * rounded[j]


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


def softmax_backward(out, grad_output, output, view):
    y, g, grad, work = output.reshape(-1), grad_output.reshape(-1), out.reshape(-1), output.size * 2
    if view.inner == 1:
        _softmax_grad_rows(work)(grad, g, y, view.size)
    else:
        _softmax_grad_strips(work)(grad, g, y, view.size, view.inner, strips(view.inner))


def log_softmax_backward(out, grad_output, output, view):
    y, g, grad, work = output.reshape(-1), grad_output.reshape(-1), out.reshape(-1), output.size * 4
    if view.inner == 1:
        _log_softmax_grad_rows(work)(grad, g, y, view.size)
    else:
        _log_softmax_grad_strips(work)(grad, g, y, view.size, view.inner, strips(view.inner))
