"""softmax and log_softmax on the CPU.

The array is (outer, size, inner) around the dimension.  With inner = 1 a row is contiguous and is done at a time
(rows.py) unless it is short; otherwise a strip of neighbouring columns is (columns.py).
"""

from functools import lru_cache

import numpy as np
from numba import carray, prange

from .._jit import index, inlined, kernel, routine, scalar
from .columns import (
    columns_dot,
    columns_exp,
    columns_exp_sum,
    columns_max,
    columns_total,
    gather,
    of_a_strip,
    plan,
    scatter,
    strip,
)
from .exp import exp
from .log import log
from .rows import by_rows, of_a_task, row_dot, row_exp, row_max, row_scaled, row_total, rows_log_sums, rows_of_a_task
from .simd.values import first_lanes, lanes_of, load, masked_load, masked_store, pointer, repeated, store

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def log_probability(x, top, log_sum):
    """log of the softmax of x, given the maximum and log(sum(exp(x - maximum)))."""
    return (x - top) - log_sum


# ------------------------------------------------------------------------------------------------ routines


@routine
def columns_log_sum(top, log_sum, x, start, end, step, period):
    """(maximum, log of the sum of exp(x - maximum)) of the columns of a strip."""
    columns_max(top, x, start, end, step, period)
    columns_exp_sum(log_sum, top, x, start, end, step, period)
    for j in range(log_sum.size):
        log_sum[j] = log(log_sum[j])


@routine
def _softmax_strip(out, x, start, end, step, columns, period):
    top, factor = carray(of_a_strip(), (columns,), x.dtype), carray(of_a_strip(), (columns,), x.dtype)
    columns_max(top, x, start, end, step, period)
    columns_exp(factor, out, top, x, start, end, step, period)
    for j in range(columns):
        factor[j] = x.dtype.type(1) / factor[j]
    for at in range(start, end, step):
        for j in range(min(columns, end - at)):
            out[index(at + j)] *= factor[j]


@inlined
def _log_softmax_row(out, x, start, size, top, log_sum):
    lane_count, i = lanes_of(x), 0
    while i + lane_count <= size:
        store(out, start + i, log_probability(load(x, start + i), top, log_sum))
        i += lane_count
    if i < size:
        here = first_lanes(x, size - i)
        value = masked_load(x, start + i, here, repeated(x, 0))
        masked_store(out, start + i, log_probability(value, top, log_sum), here)


@routine
def _log_softmax_strip(out, x, start, end, step, columns, period):
    top, log_sum = carray(of_a_strip(), (columns,), x.dtype), carray(of_a_strip(), (columns,), x.dtype)
    columns_log_sum(top, log_sum, x, start, end, step, period)
    for at in range(start, end, step):
        for j in range(min(columns, end - at)):
            out[index(at + j)] = log_probability(x[index(at + j)], top[j], log_sum[j])


@routine
def _softmax_grad_strip(out, gradient, y, start, end, step, columns, period):
    mean = carray(of_a_strip(), (columns,), y.dtype)
    columns_dot(mean, gradient, y, start, end, step, period)
    for at in range(start, end, step):
        for j in range(min(columns, end - at)):
            out[index(at + j)] = y[index(at + j)] * (gradient[index(at + j)] - mean[j])


@routine
def _log_softmax_grad_strip(out, gradient, y, start, end, step, columns, period):
    sums = carray(of_a_strip(), (columns,), y.dtype)
    columns_total(sums, gradient, start, end, step, period)
    for at in range(start, end, step):
        for j in range(min(columns, end - at)):
            out[index(at + j)] = gradient[index(at + j)] - exp(y[index(at + j)]) * sums[j]


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _softmax_rows(out, x, size):
    # An iteration owns some rows: their maximum, exp into the output, then the division.
    rows = rows_of_a_task(size)
    for task in prange(-(-x.size // (size * rows))):
        values, to = pointer(x), pointer(out)
        for start in range(task * rows * size, min((task + 1) * rows * size, x.size), size):
            exp_sum = row_exp(to, values, start, size, row_max(values, start, size))
            row_scaled(to, start, size, x.dtype.type(1) / x.dtype.type(exp_sum))


@kernel
def _log_softmax_rows(out, x, size):
    # An iteration owns some rows.
    rows = rows_of_a_task(size)
    for task in prange(-(-x.size // (size * rows))):
        first, count = task * rows, min(rows, x.size // size - task * rows)
        top, log_sum = carray(of_a_task(), (count,), x.dtype), carray(of_a_task(), (count,), x.dtype)
        rows_log_sums(top, log_sum, x, first * size, size)
        for row in range(count):
            _log_softmax_row(pointer(out), pointer(x), (first + row) * size, size, top[row], log_sum[row])


@kernel
def _softmax_strips(out, x, size, inner, tasks, strips, wide, step, images):
    # An iteration owns a strip of columns.
    for task in prange(tasks):
        if images > 0:
            lines = np.empty((2, size * wide), x.dtype)
            start = task * images * size * inner
            gather(lines[1], x, start, size, inner, wide)
            _softmax_strip(lines[0], lines[1], 0, size * wide, wide, wide, wide)
            scatter(out, lines[0], start, size, inner, wide)
        else:
            start, end, columns, _ = strip(task, strips, wide, step, size, inner)
            _softmax_strip(out, x, start, end, step, columns, inner)


@kernel
def _log_softmax_strips(out, x, size, inner, tasks, strips, wide, step, images):
    # An iteration owns a strip of columns.
    for task in prange(tasks):
        if images > 0:
            lines = np.empty((2, size * wide), x.dtype)
            start = task * images * size * inner
            gather(lines[1], x, start, size, inner, wide)
            _log_softmax_strip(lines[0], lines[1], 0, size * wide, wide, wide, wide)
            scatter(out, lines[0], start, size, inner, wide)
        else:
            start, end, columns, _ = strip(task, strips, wide, step, size, inner)
            _log_softmax_strip(out, x, start, end, step, columns, inner)


@kernel
def _softmax_grad_rows(out, gradient, y, size):
    # An iteration owns a row: y * (gradient - sum(gradient * y)).
    for row in prange(y.size // size):
        start = row * size
        mean = y.dtype.type(row_dot(gradient, y, start, size))
        for i in range(size):
            out[index(start + i)] = y[index(start + i)] * (gradient[index(start + i)] - mean)


@kernel
def _softmax_grad_strips(out, gradient, y, size, inner, tasks, strips, wide, step, images):
    # An iteration owns a strip of columns.
    for task in prange(tasks):
        if images > 0:
            lines = np.empty((3, size * wide), y.dtype)
            start = task * images * size * inner
            gather(lines[1], gradient, start, size, inner, wide)
            gather(lines[2], y, start, size, inner, wide)
            _softmax_grad_strip(lines[0], lines[1], lines[2], 0, size * wide, wide, wide, wide)
            scatter(out, lines[0], start, size, inner, wide)
        else:
            start, end, columns, _ = strip(task, strips, wide, step, size, inner)
            _softmax_grad_strip(out, gradient, y, start, end, step, columns, inner)


@kernel
def _log_softmax_grad_rows(out, gradient, y, size):
    # An iteration owns a row: gradient - exp(y) * sum(gradient).
    for row in prange(y.size // size):
        start = row * size
        s = y.dtype.type(row_total(gradient, start, size))
        for i in range(size):
            out[index(start + i)] = gradient[index(start + i)] - exp(y[index(start + i)]) * s


@kernel
def _log_softmax_grad_strips(out, gradient, y, size, inner, tasks, strips, wide, step, images):
    # An iteration owns a strip of columns.
    for task in prange(tasks):
        if images > 0:
            lines = np.empty((3, size * wide), y.dtype)
            start = task * images * size * inner
            gather(lines[1], gradient, start, size, inner, wide)
            gather(lines[2], y, start, size, inner, wide)
            _log_softmax_grad_strip(lines[0], lines[1], lines[2], 0, size * wide, wide, wide, wide)
            scatter(out, lines[0], start, size, inner, wide)
        else:
            start, end, columns, _ = strip(task, strips, wide, step, size, inner)
            _log_softmax_grad_strip(out, gradient, y, start, end, step, columns, inner)


# ------------------------------------------------------------------------------------------------- entries


@lru_cache(maxsize=1024)  # 0.1 us, a tenth of a small array's time in Python
def _strips(view, itemsize):
    """What a kernel for strips takes beside arrays; nothing where rows are better."""
    return () if by_rows(view) else (view.size, view.inner, *plan(*view, itemsize))


def softmax(out, input, view):
    x, y, work = input.ravel(), out.ravel(), input.size * 4
    strips = _strips(view, x.itemsize)
    if strips:
        _softmax_strips(work)(y, x, *strips)
    else:
        _softmax_rows(work)(y, x, view.size)


def log_softmax(out, input, view):
    x, y, work = input.ravel(), out.ravel(), input.size * 4
    strips = _strips(view, x.itemsize)
    if strips:
        _log_softmax_strips(work)(y, x, *strips)
    else:
        _log_softmax_rows(work)(y, x, view.size)


def softmax_backward(out, grad_output, output, view):
    y, g, grad, work = output.ravel(), grad_output.ravel(), out.ravel(), output.size * 2
    if view.inner == 1:
        _softmax_grad_rows(work)(grad, g, y, view.size)
    else:
        _softmax_grad_strips(work)(grad, g, y, *_strips(view, y.itemsize))


def log_softmax_backward(out, grad_output, output, view):
    y, g, grad, work = output.ravel(), grad_output.ravel(), out.ravel(), output.size * 4
    if view.inner == 1:
        _log_softmax_grad_rows(work)(grad, g, y, view.size)
    else:
        _log_softmax_grad_strips(work)(grad, g, y, *_strips(view, y.itemsize))
