"""max_pool2d, avg_pool2d and its gradient where windows are large and lie apart, or where there are few of them.

pool.py reduces every row of the input along its windows, a vector of windows at a time.  Windows three or more columns
apart have to be gathered for that, and a single window fills one lane.  Here the rows under a window are reduced first,
whole vectors of columns, into one line, of which then each window's few columns are left.  Measured on one AVX-512
core, 256 planes of 56x56: averages of 8x8 side by side took 480 us row by row and take 109, of 28x28 1097 and 67.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import prange

from .._jit import inlined, kernel, scalar
from .simd.emit import lanes
from .simd.values import first_lanes, keep, lanes_of, load, masked_load, pointer, repeated, store
from .windows import (
    BUFFER,
    added,
    end_inside,
    first_inside,
    store_left,
    whole_vectors,
    window_part,
    window_rows,
    winner,
)  # fmt: skip

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def _rows_of_a_task(kh, w):
    """Rows of outputs whose windows have about BUFFER elements."""
    return max(1, BUFFER // (kh * w))


# ------------------------------------------------------------------------------------------------ routines


@inlined
def _reduce_rows(line, x, start, step, count, w, fill, combine):
    """line[ix] = ``count`` rows of x, ``step`` apart, reduced; with no rows it is ``fill``."""
    lane_count = lanes_of(line)
    whole = w // lane_count * lane_count
    for ix in range(0, whole, lane_count):
        value = fill
        for k in range(count):
            value = combine(load(x, start + k * step + ix), value)
        store(line, ix, value)
    if whole < w:
        value, left = fill, first_lanes(line, w - whole)
        for k in range(count):
            value = combine(masked_load(x, start + k * step + whole, left, fill), value)
        store(line, whole, value)


@inlined
def _first_zero(x, start, step_y, step_x, rows, columns):
    """The first 0 or -0 of a window that has one."""
    for ky in range(rows):
        for kx in range(columns):
            value = x[start + ky * step_y + kx * step_x]
            if value == 0:
                return value
    return x[start]


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _max_pool2d_apart(out, x, oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw):
    # An iteration owns some rows of outputs.  Of -0 and 0 the window's first one wins, as in torch: where the maximum
    # is one of them, it is looked up.
    rows, group = out.size // ow, _rows_of_a_task(kh, w)
    for task in prange(-(-rows // group)):
        buffer = np.empty(whole_vectors(w, lanes_of(x)), x.dtype)
        to, values, line, fill = pointer(out), pointer(x), pointer(buffer), repeated(x, -np.inf)
        for row in range(task * group, min(task * group + group, rows)):
            iy0, ky0, ky1 = window_rows(row % oh, sh, ph, dh, kh, h)
            start = (row // oh * h + iy0 + ky0 * dh) * w
            _reduce_rows(line, values, start, dh * w, ky1 - ky0, w, fill, winner)
            for ox in range(ow):
                ix0, kx0, kx1 = window_rows(ox, sw, pw, dw, kw, w)
                best = x.dtype.type(-np.inf)
                for kx in range(kx0, kx1):
                    best = winner(line[ix0 + kx * dw], best)
                if best == 0:
                    best = _first_zero(values, start + ix0 + kx0 * dw, dh * w, dw, ky1 - ky0, kx1 - kx0)
                to[row * ow + ox] = best
        keep(buffer)


@kernel
def _avg_pool2d_apart(out, x, oh, ow, h, w, kh, kw, sh, sw, ph, pw, below, right, include_pad, divisor):
    # An iteration owns some rows of outputs.
    rows, group = out.size // ow, _rows_of_a_task(kh, w)
    for task in prange(-(-rows // group)):
        buffer = np.empty(whole_vectors(w, lanes_of(x)), x.dtype)
        to, values, line, fill = pointer(out), pointer(x), pointer(buffer), repeated(x, 0)
        for row in range(task * group, min(task * group + group, rows)):
            iy0, ky0, ky1 = window_rows(row % oh, sh, ph, 1, kh, h)
            _reduce_rows(line, values, (row // oh * h + iy0 + ky0) * w, w, ky1 - ky0, w, fill, added)
            part = 1 if divisor != 0 else window_part(include_pad, iy0, kh, below, h)
            for ox in range(ow):
                ix0, kx0, kx1 = window_rows(ox, sw, pw, 1, kw, w)
                total = x.dtype.type(0)
                for kx in range(kx0, kx1):
                    total += line[ix0 + kx]
                counted = divisor if divisor != 0 else window_part(include_pad, ix0, kw, right, w)
                to[row * ow + ox] = total / x.dtype.type(counted * part)
        keep(buffer)


@kernel
def _avg_pool2d_grad_apart(out, gradient, oh, ow, h, w, kh, kw, sh, sw, ph, pw, below, right, include_pad, divisor):
    # An iteration owns the rows of the result from one window's first to the next window's: windows do not overlap.
    lane_count = lanes_of(out)
    for task in prange(out.size // (h * w) * oh):
        plane, oy = task // oh, task % oh
        buffer = np.empty(whole_vectors(w, lane_count), out.dtype)
        to, values, line, zero = pointer(out), pointer(gradient), pointer(buffer), repeated(out, 0)
        iy0 = oy * sh - ph
        first, last = 0 if oy == 0 else max(0, iy0), h if oy == oh - 1 else min(h, max(0, iy0 + sh))
        part = 1 if divisor != 0 else window_part(include_pad, iy0, kh, below, h)
        for ix in range(0, w, lane_count):
            store(line, ix, zero)
        for ox in range(ow):
            ix0 = ox * sw - pw
            counted = divisor if divisor != 0 else window_part(include_pad, ix0, kw, right, w)
            share = values[task * ow + ox] / out.dtype.type(counted * part)
            for ix in range(ix0 + first_inside(ix0, 1), ix0 + end_inside(ix0, 1, w, kw)):
                line[ix] = share
        for iy in range(first, last):
            at, inside = (plane * h + iy) * w, iy >= iy0 and iy < iy0 + kh
            for ix in range(0, w, lane_count):
                store_left(to, at + ix, load(line, ix) if inside else zero, w - ix)
        keep(buffer)


# ------------------------------------------------------------------------------------------------- entries


def suits(g, itemsize):
    """Whether to reduce a window's rows first."""
    if g.stride_w <= 2 and 2 * g.out_width > lanes(itemsize):  # windows fill vectors: most calls are settled here
        return False
    return _fewer(g, lanes(itemsize))


@lru_cache(maxsize=256)
def _fewer(g: Any, lane_count: int) -> bool:
    """Whether it is less to do: vectors and, where windows are gathered, single elements."""
    lines, columns = -(-g.out_width // lane_count), -(-g.width // lane_count)
    along = g.kernel_width * lines * (lane_count if g.stride_w > 2 else 1)
    by_rows = g.height * (3 * columns + along) + g.out_height * g.kernel_height * lines
    return bool(g.out_height * (g.kernel_height * columns + 2 * g.out_width * g.kernel_width) < by_rows)


def suits_gradient(g, itemsize):
    """The same of the gradient, whose windows must not hold elements in common."""
    overlap = (g.stride_h < g.kernel_height and g.out_height > 1) or (g.stride_w < g.kernel_width and g.out_width > 1)
    return not overlap and (g.stride_w > 2 or 2 * g.out_width <= lanes(itemsize))


def max_pool2d(out, input, window):
    _max_pool2d_apart(input.size + out.size)(out.ravel(), input.ravel(), *window)


def avg_pool2d(out, input, window, below, right, count_include_pad, divisor):
    _avg_pool2d_apart(input.size + out.size)(
        out.ravel(), input.ravel(), *window, below, right, count_include_pad, divisor
    )


def avg_pool2d_backward(out, grad_output, window, below, right, count_include_pad, divisor):
    _avg_pool2d_grad_apart(out.size + grad_output.size)(
        out.ravel(), grad_output.ravel(), *window, below, right, count_include_pad, divisor
    )
