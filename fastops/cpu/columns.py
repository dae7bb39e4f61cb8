"""Columns of logits, a strip of neighbours at a time: their maxima and sums of exponentials, in lines that vectorise.

The array is (outer, size, inner) around the classes.  A strip's lines begin at start, start + step, ... up to end:

- plain: a line is a class of up to _WIDEST columns, the next one ``inner`` further on;
- folded, where inner is small: a line is several classes side by side, as they lie in memory; their maxima and sums
  repeat with the period ``inner``;
- gathered, where even an image of size * inner is small: images are copied side by side into a buffer, and the
  results back.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import carray

from .._jit import index, routine, scalar
from .exp import exp
from .simd.emit import stack_memory
from .simd.transpose import transpose

RUN = 128  # lines summed in the array's own type before they join float64 totals

_STRIP = 24576  # bytes of a plain strip: with its results, half of it stays in L1
_WIDEST = 2048  # the most columns of a strip
_LINE = 256  # columns that a line should have
_GATHERED = 512  # elements of an image up to which images are gathered: 64 x 49 were slower than folded
_BUFFER = 16384  # elements of a gathered strip
_VECTORS = 16  # columns of a gathered strip are a multiple of this


of_a_strip = stack_memory(_WIDEST * 8)
"""Memory for a number for each column of a strip: allocations took a tenth of the time of 3 x 1024 elements."""


class Plan(NamedTuple):
    """How an array is cut into tasks."""

    tasks: int
    strips: int  # strips of an image
    wide: int  # columns of a strip: elements of a line
    step: int  # from line to line
    images: int  # images of a gathered strip, 0 where none are gathered


@lru_cache(maxsize=1024)  # 0.1 us instead of 0.4
def plan(outer, size, inner, itemsize):
    """The plan for an array of (outer, size, inner)."""
    if inner >= _LINE:
        wide = min(_WIDEST, max(2 * _LINE, _STRIP // (size * itemsize) // 64 * 64))
        strips = -(-inner // wide)
        return Plan(outer * strips, strips, wide, inner, 0)
    if size * inner <= _GATHERED:
        images = min(outer, max(1, min(_LINE // inner, _BUFFER // (size * inner))))
        wide = -(-images * inner // _VECTORS) * _VECTORS
        return Plan(-(-outer // images), 1, wide, wide, images)
    wide = min(size, _LINE // inner) * inner
    return Plan(outer, 1, wide, wide, 0)


@scalar
def strip(task, strips, wide, step, size, inner):
    """(start, end, columns, first place) of a task's strip where it lies in the array."""
    image, j0 = task // strips, task % strips * wide
    start = image * size * inner
    return start + j0, start + size * inner, min(wide, step - j0), image * inner + j0


@routine
def images_from(x, start, size, inner, wide):
    """How many images from x[start] on a gathered strip takes whose lines are so ``wide``."""
    return min(wide // inner, (x.size - start) // (size * inner))


@routine
def gather(lines, x, start, size, inner, wide):
    """Copy the images that begin at x[start], and end where x does or lines are full, side by side into lines."""
    images = images_from(x, start, size, inner, wide)
    if inner == 1:
        transpose(lines, 0, wide, x, start, size, images, size)
        return
    for c in range(size):
        for n in range(images):
            line, some = c * wide + n * inner, start + (n * size + c) * inner
            for j in range(inner):
                lines[index(line + j)] = x[index(some + j)]


@routine
def scatter(x, lines, start, size, inner, wide):
    """Copy the images in lines back to where gather found them."""
    images = images_from(x, start, size, inner, wide)
    if inner == 1:
        transpose(x, start, size, lines, 0, wide, size, images)
        return
    for n in range(images):
        for c in range(size):
            line, some = c * wide + n * inner, start + (n * size + c) * inner
            for j in range(inner):
                x[index(some + j)] = lines[index(line + j)]


@routine
def columns_max(top, x, start, end, step, period):
    """The maxima of the columns, which may pass over a NaN."""
    for j in range(top.size):
        top[j] = x[index(start + j)]
    for at in range(start + step, end, step):
        for j in range(min(top.size, end - at)):
            value = x[index(at + j)]
            top[j] = value if value > top[j] else top[j]
    for at in range(period, top.size, period):
        for j in range(min(period, top.size - at)):
            value = top[index(at + j)]
            top[j] = value if value > top[j] else top[j]
    _repeat(top, period)


@routine
def columns_exp_sum(sums, top, x, start, end, step, period):
    """The sums of exp(x - top) of the columns.

    Two lines at a time, which load the constants of exp once: 0.12 ns an element instead of 0.14.
    """
    totals = carray(of_a_strip(), (sums.size if end - start > step * RUN else 0,), np.float64)
    _clear(totals)
    for first in range(start, end, step * RUN):
        _clear(sums)
        last = min(first + step * RUN, end)
        at = first
        while at + step + sums.size <= last:
            for j in range(sums.size):
                sums[j] += exp(x[index(at + j)] - top[j]) + exp(x[index(at + step + j)] - top[j])
            at += 2 * step
        while at < last:
            for j in range(min(sums.size, last - at)):
                sums[j] += exp(x[index(at + j)] - top[j])
            at += step
        _add_to(totals, sums)
    _join(sums, totals, period)


@routine
def columns_exp(sums, out, top, x, start, end, step, period):
    """The same sums, and each exp(x - top) into out."""
    totals = carray(of_a_strip(), (sums.size if end - start > step * RUN else 0,), np.float64)
    _clear(totals)
    for first in range(start, end, step * RUN):
        _clear(sums)
        last = min(first + step * RUN, end)
        at = first
        while at + step + sums.size <= last:
            for j in range(sums.size):
                e, f = exp(x[index(at + j)] - top[j]), exp(x[index(at + step + j)] - top[j])
                out[index(at + j)], out[index(at + step + j)] = e, f
                sums[j] += e + f
            at += 2 * step
        while at < last:
            for j in range(min(sums.size, last - at)):
                e = exp(x[index(at + j)] - top[j])
                out[index(at + j)] = e
                sums[j] += e
            at += step
        _add_to(totals, sums)
    _join(sums, totals, period)


@routine
def columns_total(sums, x, start, end, step, period):
    """The sums of the columns."""
    totals = carray(of_a_strip(), (sums.size if end - start > step * RUN else 0,), np.float64)
    _clear(totals)
    for first in range(start, end, step * RUN):
        _clear(sums)
        for at in range(first, min(first + step * RUN, end), step):
            for j in range(min(sums.size, end - at)):
                sums[j] += x[index(at + j)]
        _add_to(totals, sums)
    _join(sums, totals, period)


@routine
def columns_dot(sums, x, y, start, end, step, period):
    """The sums of x * y of the columns."""
    totals = carray(of_a_strip(), (sums.size if end - start > step * RUN else 0,), np.float64)
    _clear(totals)
    for first in range(start, end, step * RUN):
        _clear(sums)
        for at in range(first, min(first + step * RUN, end), step):
            for j in range(min(sums.size, end - at)):
                sums[j] += x[index(at + j)] * y[index(at + j)]
        _add_to(totals, sums)
    _join(sums, totals, period)


@routine
def _clear(sums):
    for j in range(sums.size):
        sums[j] = 0


@routine
def _add_to(totals, sums):
    for j in range(totals.size):
        totals[j] += np.float64(sums[j])


@routine
def _join(sums, totals, period):
    """The sums of all runs, and of the classes that stand side by side in a folded line: each of these gets them."""
    for j in range(totals.size):
        sums[j] = totals[j]
    for at in range(period, sums.size, period):
        for j in range(min(period, sums.size - at)):
            sums[j] += sums[index(at + j)]
    _repeat(sums, period)


@routine
def _repeat(x, period):
    for at in range(period, x.size, period):
        for j in range(min(period, x.size - at)):
            x[index(at + j)] = x[j]
