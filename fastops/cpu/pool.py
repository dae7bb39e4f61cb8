"""max_pool2d and avg_pool2d on the CPU.

A band of rows of outputs is made in two steps: rows of the input under it are reduced along their windows into lines
of a buffer that stays in L1, a vector of windows at a time, then lines of that buffer are.  Rows above and below the
input are lines of the buffer like any other, and columns beside it are masked: no loop has a test for the borders.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import prange

from .._jit import inlined, kernel, scalar
from . import pool_apart
from .pool_strips import add_columns, max_columns, max_rows, mean_rows, place_columns, place_rows
from .simd.emit import lanes
from .simd.values import fields, keep, lanes_of, places, pointer, repeated, store
from .windows import BUFFER

# ------------------------------------------------------------------------------------------------ geometry

_numbers = fields(20)


@lru_cache(maxsize=256)
def _layout(g: Any, lane_count: int) -> Any:
    """What the kernels need of a geometry: an array costs a call and the compiler less than as many arguments."""
    kx0, kw = _within(g.out_width, g.width, g.kernel_width, g.stride_w, g.pad_left, g.dilation_w)
    ky0, kh = _within(g.out_height, g.height, g.kernel_height, g.stride_h, g.pad_top, g.dilation_h)
    sh, dh = g.stride_h, g.dilation_h
    extent, pitch = (kh - 1) * dh + 1, -(-g.out_width // lane_count) * lane_count
    band = min(g.out_height, max((BUFFER // pitch - extent) // sh + 1, extent // sh, 8 // sh, 1))  # 8: of wide rows
    most = (band - 1) * sh + extent
    per_plane = -(-g.out_height // band)
    bands, chunk = g.planes * per_plane, max(1, BUFFER // (most * g.width))
    together = 3 if g.dilation_w == 1 and g.stride_w <= 2 else 1
    numbers = [g.out_height, g.out_width, g.height, g.width, kh, kw, sh, g.stride_w, g.pad_top - ky0 * dh]
    numbers += [g.pad_left - kx0 * g.dilation_w, dh, g.dilation_w, together, pitch, band, most, per_plane, bands, chunk]
    return np.array([*numbers, -(-bands // chunk)], np.int64)


def _within(count: int, size: int, extent: int, stride: int, pad: int, dilation: int) -> tuple[int, int]:
    """(first k, number of k) of a window's rows or columns: of those that some window has inside, but one at least."""
    first = max(0, -(((count - 1) * stride - pad) // dilation))
    end = min(extent, (size - 1 + pad) // dilation + 1)
    return min(first, extent - 1), max(1, end - first)


@lru_cache(maxsize=256)
def _counts(g: Any, dtype: Any, include_pad: bool, divisor: int) -> tuple[Any, Any]:
    """What the windows' columns and rows count: the divisors are their products."""
    sides = (
        (g.out_width, g.width, g.kernel_width, g.stride_w, g.pad_left, g.pad_right),
        (g.out_height, g.height, g.kernel_height, g.stride_h, g.pad_top, g.pad_bottom),
    )
    columns, rows = (np.ones(g.out_width + lanes(dtype.itemsize), dtype), np.ones(g.out_height, dtype))
    for counts, (count, size, extent, stride, pad, after) in zip((columns, rows), sides, strict=True):
        start = np.arange(count) * stride - pad
        if divisor == 0 and include_pad:
            counts[:count] = np.minimum(start + extent, size + after) - start
        elif divisor == 0:
            counts[:count] = np.maximum(np.minimum(start + extent, size) - np.maximum(start, 0), 1)
    if divisor != 0:
        columns[:] = divisor
    return columns, rows


@scalar
def _band(band, per_plane, band_height, oh, h, kh, sh, ph, dh):
    """(plane, first row and rows of outputs, row of the input, rows of the buffer above the input and inside)."""
    oy = band % per_plane * band_height
    rows = band_height if oy + band_height < oh else oh - oy
    iy, count = oy * sh - ph, (rows - 1) * sh + (kh - 1) * dh + 1
    above = 0 if iy > 0 else -iy if -iy < count else count
    below = 0 if h - iy < 0 else h - iy if h - iy < count else count
    return band // per_plane, oy, rows, iy, above, below - above if below > above else 0


# ------------------------------------------------------------------------------------------------ routines


@inlined
def _clear(lines, lane_count, above, inside, most, pitch, fill):
    """Fill the lines of a buffer that no row of the input goes to, and the last one, which reductions begin with."""
    for at in range(0, above * pitch, lane_count):
        store(lines, at, fill)
    for at in range((above + inside) * pitch, (most + 1) * pitch, lane_count):
        store(lines, at, fill)


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _max_pool2d(out, x, numbers):
    # An iteration owns some bands.  Rows come first: of -0 and 0 the first one wins, as in torch.  The last
    # line of the buffer is what a reduction begins with.
    oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw, together, pitch, band_height, most, per_plane, bands, chunk, tasks = (
        _numbers(numbers, 0)
    )
    lane_count = lanes_of(x)
    for task in prange(tasks):
        memory = np.empty((most + 1) * pitch, x.dtype)
        to, values, lines, fill = pointer(out), pointer(x), pointer(memory), repeated(x, -np.inf)
        end = task * chunk + chunk
        for band in range(task * chunk, end if end < bands else bands):
            plane, oy, rows, iy, above, inside = _band(band, per_plane, band_height, oh, h, kh, sh, ph, dh)
            _clear(lines, lane_count, above, inside, most, pitch, fill)
            kx = 0
            while kx < kw:
                n = together if kx + together < kw else kw - kx
                source, column = above if kx else most, kx * dw - pw
                max_columns(
                    lines, values, x.size, pitch, above, source, inside, plane * h, iy + above, w, ow, column, sw, n
                )
                kx += n
            max_rows(lines, to, pitch, (plane * oh + oy) * ow, rows, ow, sh, kh, dh)
        keep(memory)


@kernel
def _max_pool2d_indices(out, indices, short, x, numbers):
    # The same with places, -1 where there is none; ``short`` lends its type to those of a strip.
    oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw, together, pitch, band_height, most, per_plane, bands, chunk, tasks = (
        _numbers(numbers, 0)
    )
    lane_count = lanes_of(x)
    for task in prange(tasks):
        memory = np.empty((most + 1) * pitch, x.dtype)
        place_memory = np.empty((most + 1) * pitch, short.dtype)
        to, places_to, values, lines = pointer(out), pointer(indices), pointer(x), pointer(memory)
        place_lines, fill = pointer(place_memory), repeated(x, -np.inf)
        none = places(short, fill, -1, 0)
        end = task * chunk + chunk
        for band in range(task * chunk, end if end < bands else bands):
            plane, oy, rows, iy, above, inside = _band(band, per_plane, band_height, oh, h, kh, sh, ph, dh)
            _clear(lines, lane_count, above, inside, most, pitch, fill)
            _clear(place_lines, lane_count, above, inside, most, pitch, none)
            kx = 0
            while kx < kw:
                n = together if kx + together < kw else kw - kx
                source, column = above if kx else most, kx * dw - pw
                place_columns(lines, place_lines, values, x.size, pitch, above, source, inside,
                              plane * h, iy + above, w, ow, column, sw, n)  # fmt: skip
                kx += n
            place_rows(lines, place_lines, to, places_to, pitch, (plane * oh + oy) * ow, rows, ow, sh, kh, dh)
        keep(memory)
        keep(place_memory)


@kernel
def _avg_pool2d(out, x, column_counts, row_counts, numbers):
    # As _max_pool2d.  Rows of the window are summed apart, so that the rounding of a large window grows with its side,
    # not with its area.  The divisor is the product of how many rows and columns count.
    oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw, together, pitch, band_height, most, per_plane, bands, chunk, tasks = (
        _numbers(numbers, 0)
    )
    lane_count = lanes_of(x)
    for task in prange(tasks):
        memory = np.empty((most + 1) * pitch, x.dtype)
        to, values, lines, fill = pointer(out), pointer(x), pointer(memory), repeated(x, 0)
        columns, counts = pointer(column_counts), pointer(row_counts)
        end = task * chunk + chunk
        for band in range(task * chunk, end if end < bands else bands):
            plane, oy, rows, iy, above, inside = _band(band, per_plane, band_height, oh, h, kh, sh, ph, dh)
            _clear(lines, lane_count, above, inside, most, pitch, fill)
            kx = 0
            while kx < kw:
                n = together if kx + together < kw else kw - kx
                source, column = above if kx else most, kx - pw
                add_columns(
                    lines, values, x.size, pitch, above, source, inside, plane * h, iy + above, w, ow, column, sw, n
                )
                kx += n
            mean_rows(lines, to, columns, counts, oy, pitch, (plane * oh + oy) * ow, rows, ow, sh, kh, dh)
        keep(memory)


# ------------------------------------------------------------------------------------------------- entries

_SHORT, _LONG = np.empty(0, np.int32), np.empty(0, np.int64)


def max_pool2d(out, indices, input, g):
    work = input.size + out.size
    if indices is None and pool_apart.suits(g, input.itemsize):
        _, _, *window, _, _ = g  # of which the maximum needs no padding at the bottom and right
        pool_apart.max_pool2d(out, input, window)
    elif indices is None:
        _max_pool2d(work)(out.ravel(), input.ravel(), _layout(g, lanes(input.itemsize)))
    else:
        # places in 32 bits are half the bytes and twice the lanes
        short = _SHORT if g.height * g.width < 2**31 else _LONG
        _max_pool2d_indices(work * 2)(
            out.ravel(), indices.ravel(), short, input.ravel(), _layout(g, lanes(input.itemsize))
        )


def rows_first(g, itemsize):
    """Whether sums of windows begin with their rows: what avg_pool2d_by is told."""
    return pool_apart.suits(g, itemsize)


def avg_pool2d(out, input, g, count_include_pad, divisor):
    avg_pool2d_by(rows_first(g, input.itemsize), out, input, g, count_include_pad, divisor)


def avg_pool2d_by(rows_come_first, out, input, g, count_include_pad, divisor):
    """The same with the algorithm given, which decides about the order of sums."""
    if rows_come_first:
        _, _, *window, _, _, below, right = g  # which is never dilated
        pool_apart.avg_pool2d(out, input, window, below, right, count_include_pad, divisor)
        return
    counts = _counts(g, input.dtype, count_include_pad, divisor)
    _avg_pool2d(input.size + out.size)(out.ravel(), input.ravel(), *counts, _layout(g, lanes(input.itemsize)))
