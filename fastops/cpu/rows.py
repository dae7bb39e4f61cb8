"""Rows of logits, each contiguous: their maxima and sums of exponentials.

A row is (array, start, size), not a slice: a slice costs two atomic counts of references, which doubled the time of
rows of 56.  Rows are done in vectors, the last one masked: with LLVM's vectors of plain loops, which do what is left of
a row one by one, softmax's kernel took 1.2 us for 1000 elements instead of 0.45, for 50 x 61 3.0 instead of 1.3.
"""

import numpy as np
from numba.extending import register_jitable

from .._jit import index, inlined, reduction, routine
from .exp import exp
from .log import log
from .simd.emit import stack_memory
from .simd.values import (
    chosen,
    first_lanes,
    keep,
    lane_max,
    lane_sum,
    lanes_of,
    load,
    masked_load,
    masked_store,
    pointer,
    repeated,
    store,
)  # fmt: skip

RUN = 1024  # elements summed in the array's own type before they join a float64 total
_SHORTEST = 24  # shorter rows, if there are more than a _FEW, are the columns of gathered strips
_FEW = 96  # 32 rows of 10 took 0.6 us as rows, 0.9 as strips; 256 took 2.7 and 2.2
_TASK = 4096  # elements that a task should have

of_a_task = stack_memory(_TASK * 8)
"""Memory for a number for each row of a task: four allocations took 0.2 us."""


@inlined
def row_max(x, start, size):
    """The maximum of a row, which is not empty, of a pointer's elements; a NaN in it may be passed over."""
    lane_count, i = lanes_of(x), 0
    best = repeated(x, -np.inf)
    while i + lane_count <= size:
        value = load(x, start + i)
        best = chosen(value > best, value, best)
        i += lane_count
    if i < size:
        value = masked_load(x, start + i, first_lanes(x, size - i), best)
        best = chosen(value > best, value, best)
    return lane_max(best)


@inlined
def row_exp_sum(x, start, size, top):
    """The sum of exp(x - top) over a row of a pointer's elements, float64."""
    lane_count, s, i = lanes_of(x), 0.0, 0
    while i < size:
        end, part = min(i + RUN, size), repeated(x, 0)
        while i + lane_count <= end:
            part = part + exp(load(x, start + i) - top)
            i += lane_count
        if i < end:
            here = first_lanes(x, end - i)
            part = part + chosen(here, exp(masked_load(x, start + i, here, repeated(x, top)) - top), 0)
            i = end
        s += np.float64(lane_sum(part))
    return s


@inlined
def row_exp(out, x, start, size, top):
    """Write exp(x - top) into the same row of out, by pointers, and return its sum, float64."""
    lane_count, s, i = lanes_of(x), 0.0, 0
    while i < size:
        end, part = min(i + RUN, size), repeated(x, 0)
        while i + lane_count <= end:
            value = exp(load(x, start + i) - top)
            store(out, start + i, value)
            part = part + value
            i += lane_count
        if i < end:
            here = first_lanes(x, end - i)
            value = chosen(here, exp(masked_load(x, start + i, here, repeated(x, top)) - top), 0)
            masked_store(out, start + i, value, here)
            part = part + value
            i = end
        s += np.float64(lane_sum(part))
    return s


@inlined
def row_scaled(out, start, size, factor):
    """out *= factor over a row, by a pointer."""
    lane_count, i = lanes_of(out), 0
    while i + lane_count <= size:
        store(out, start + i, load(out, start + i) * factor)
        i += lane_count
    if i < size:
        here = first_lanes(out, size - i)
        masked_store(out, start + i, masked_load(out, start + i, here, repeated(out, 0)) * factor, here)


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
    at = pointer(x)
    for row in range(top.size):
        row_top = row_max(at, start + row * size, size)
        top[row] = row_top
        log_sum[row] = row_exp_sum(at, start + row * size, size, row_top)
    keep(x)
    for row in range(top.size):
        log_sum[row] = log(log_sum[row])


def by_rows(view):
    """Whether to go by rows."""
    return view.inner == 1 and (view.size > _SHORTEST or view.outer <= _FEW)


@register_jitable  # type: ignore[untyped-decorator, unused-ignore]
def rows_of_a_task(size):
    """How many rows of ``size`` elements a task has."""
    return max(1, _TASK // size)
