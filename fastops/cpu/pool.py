"""max_pool2d and avg_pool2d on the CPU.

A band of rows of outputs is made in two steps: each row of the input under it is copied between margins (with stride 2
sorted into even and odd columns), so that each element of the windows is a contiguous vector, and reduced along the
windows into a buffer that stays in L1; then rows of that buffer are.  No loop has a test for the borders.
"""

import numpy as np
from numba import prange

from .._jit import inlined, kernel, scalar
from . import pool_apart
from .simd.values import (
    chosen,
    evens,
    first_lanes,
    keep,
    lanes_of,
    load,
    load_as,
    load_strided,
    masked_load,
    masked_store,
    odds,
    places,
    pointer,
    repeated,
    store,
)  # fmt: skip
from .windows import (
    BUFFER,
    added,
    end_inside,
    first_inside,
    reduced,
    store_left,
    unrolled,
    whole_vectors,
    window_part,
    window_rows,
    winner,
    wins,
)  # fmt: skip

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def row_layout(lane_count, ow, w, kw, sw, pw, dw):
    """(margin, pitch, first kx, last kx) of a row of the input between margins.

    With stride 2 the even columns come first and the odd ones a pitch later: each phase is a row of its own.  The kx
    are those that some window has inside the input.
    """
    kx0, kx1 = first_inside((ow - 1) * sw - pw, dw), end_inside(-pw, dw, w, kw)
    first, last = kx0 * dw - pw, max(0, (kx1 - 1) * dw - pw)
    if sw == 2:
        first, last, w = first >> 1, last >> 1, (w + 1) >> 1
    margin = max(0, -first)
    reach = (ow - 1) * sw + 1 if sw > 2 else whole_vectors(ow, lane_count)
    return margin, margin + whole_vectors(max(reach + last, w), lane_count), kx0, kx1


@scalar
def band_rows(oh, h, kh, sh, dh, pitch):
    """(rows of outputs in a band, most rows of the input under it) whose buffers hold about BUFFER elements."""
    extent = (kh - 1) * dh + 1
    rows = min(oh, max((BUFFER // pitch - extent) // sh + 1, extent // sh, 1))
    return rows, min(h, (rows - 1) * sh + extent)


@inlined
def row_cut(lane_count, planes, oh, ow, h, w, kh, kw, sh, sw, pw, dh, dw):
    """How rows lie in the buffers and how bands are shared out.

    (margin, pitch, first kx, last kx) as row_layout has them, then (elements of a row between its margins, of a row of
    the buffer, rows of outputs in a band, most rows of the input under it, bands of a plane, bands, bands of a task).
    """
    margin, pitch, kx0, kx1 = row_layout(lane_count, ow, w, kw, sw, pw, dw)
    span, out_pitch = pitch * (2 if sw == 2 else 1), whole_vectors(ow, lane_count)
    band_height, most = band_rows(oh, h, kh, sh, dh, span + out_pitch)
    per_plane = -(-oh // band_height)
    bands, chunk = planes * per_plane, max(1, BUFFER // (most * (span + out_pitch)))
    return margin, pitch, kx0, kx1, span, out_pitch, band_height, most, per_plane, bands, chunk


@scalar
def band_extent(band, per_plane, band_height, oh, h, kh, sh, ph, dh):
    """(plane, first and last row of outputs, first and last row of the input) of a band."""
    plane, oy0 = band // per_plane, band % per_plane * band_height
    oy1 = min(oy0 + band_height, oh)
    return plane, oy0, oy1, max(0, oy0 * sh - ph), min(h, (oy1 - 1) * sh - ph + (kh - 1) * dh + 1)


# ------------------------------------------------------------------------------------------------ routines


@inlined
def _copy_row(lines, to, margin, pitch, x, start, w, sw, fill):
    """Copy a row of the input between its margins, which hold ``fill``; with stride 2 in two phases."""
    lane_count = lanes_of(x)
    phases = 2 if sw == 2 else 1
    size = (w + 1) >> 1 if sw == 2 else w
    for phase in range(phases):
        at = to + phase * pitch
        for q in range(0, margin, lane_count):
            store(lines, at + q, fill)
        for q in range(margin + size // lane_count * lane_count, pitch, lane_count):
            store(lines, at + q, fill)
    at = to + margin
    if sw == 2:
        for ix in range(0, w, 2 * lane_count):
            if ix + 2 * lane_count <= w:
                low, high = load(x, start + ix), load(x, start + ix + lane_count)
            else:
                low = masked_load(x, start + ix, first_lanes(x, w - ix), fill)
                high = masked_load(x, start + ix + lane_count, first_lanes(x, w - ix - lane_count), fill)
            store(lines, at + (ix >> 1), evens(low, high))
            store(lines, at + pitch + (ix >> 1), odds(low, high))
    else:
        whole = w // lane_count * lane_count
        for ix in range(0, whole, lane_count):
            store(lines, at + ix, load(x, start + ix))
        if whole < w:
            store(lines, at + whole, masked_load(x, start + whole, first_lanes(x, w - whole), fill))


@inlined
def _window_vector(lines, at, pitch, column, ox, ow, sw):
    """Column ``column`` of the windows ox, ox + 1, ...; ``at`` is where column 0 of the input is."""
    if sw > 2:
        return load_strided(lines, at + column + ox * sw, sw, ow - ox)
    return load(lines, at + (column & (sw - 1)) * pitch + (column >> (sw - 1)) + ox)


@unrolled
def _reduce_columns(constant):
    """rows[to + ox] = the ``count`` elements of a row that window ox holds, reduced."""

    def loop(count, rows, to, lines, at, pitch, ow, kx0, sw, pw, dw, fill, combine):
        for ox in range(0, ow, lanes_of(rows)):
            value = fill
            for k in range(constant or count):
                value = combine(_window_vector(lines, at, pitch, (kx0 + k) * dw - pw, ox, ow, sw), value)
            store(rows, to + ox, value)

    return loop


@unrolled
def _reduce_places(constant):
    """rows[to + ox] = the maximum of window ox, columns[to + ox] = its column; firsts[ox] where all is -inf."""

    def loop(count, rows, columns, firsts, to, lines, at, pitch, ow, kx0, sw, pw, dw, fill):
        for ox in range(0, ow, lanes_of(rows)):
            best, column = fill, load_as(firsts, ox, fill)
            place = places(firsts, fill, ox * sw + kx0 * dw - pw, sw)
            for k in range(constant or count):
                value = _window_vector(lines, at, pitch, (kx0 + k) * dw - pw, ox, ow, sw)
                take = wins(value, best)
                best, column = chosen(take, value, best), chosen(take, place, column)
                place = place + dw
            store(rows, to + ox, best)
            store(columns, to + ox, column)

    return loop


@unrolled
def _reduced_places(constant):
    """(maximum, its place) of ``count`` vectors of rows ``step`` apart; the first is of row ``iy`` of the input."""

    def loop(count, rows, columns, at, step, iy, w, dh, fill, none):
        if count <= 0:
            return fill, none
        best, place = load(rows, at), load_as(columns, at, fill)
        lacks = place < 0  # a window of padding alone
        place = place + iy * w
        for ky in range(1, constant or count):
            value, column = load(rows, at + ky * step), load_as(columns, at + ky * step, fill)
            take = wins(value, best)
            best, place = chosen(take, value, best), chosen(take, column + (iy + ky * dh) * w, place)
        return best, chosen(lacks, none, place)

    return loop


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _max_pool2d(out, x, oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw):
    # An iteration owns some bands of rows of outputs.  Rows come first: of -0 and 0 the first one wins, as in torch.
    lane_count, planes = lanes_of(x), out.size // (oh * ow)
    margin, pitch, kx0, kx1, span, out_pitch, band_height, most, per_plane, bands, chunk = row_cut(
        lane_count, planes, oh, ow, h, w, kh, kw, sh, sw, pw, dh, dw
    )
    for task in prange(-(-bands // chunk)):
        line_buffer, row_buffer = np.empty(span, x.dtype), np.empty(most * out_pitch, x.dtype)
        to, values, lines, rows = pointer(out), pointer(x), pointer(line_buffer), pointer(row_buffer)
        fill = repeated(x, -np.inf)
        for band in range(task * chunk, min(task * chunk + chunk, bands)):
            plane, oy0, oy1, top, end = band_extent(band, per_plane, band_height, oh, h, kh, sh, ph, dh)
            for iy in range(top, end):
                _copy_row(lines, 0, margin, pitch, values, (plane * h + iy) * w, w, sw, fill)
                row = (iy - top) * out_pitch
                _reduce_columns(kx1 - kx0, rows, row, lines, margin, pitch, ow, kx0, sw, pw, dw, fill, winner)
            for oy in range(oy0, oy1):
                iy0, ky0, ky1 = window_rows(oy, sh, ph, dh, kh, h)
                start = (iy0 + ky0 * dh - top) * out_pitch
                for ox in range(0, ow, lane_count):
                    best = reduced(ky1 - ky0, rows, start + ox, dh * out_pitch, fill, winner)
                    store_left(to, (plane * oh + oy) * ow + ox, best, ow - ox)
        keep(line_buffer)
        keep(row_buffer)


@kernel
def _max_pool2d_indices(out, indices, firsts, x, oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw):
    # The same with places: those of a row are columns, -1 where a window has none inside.  ``firsts`` lends its type.
    lane_count, planes = lanes_of(x), out.size // (oh * ow)
    margin, pitch, kx0, kx1, span, out_pitch, band_height, most, per_plane, bands, chunk = row_cut(
        lane_count, planes, oh, ow, h, w, kh, kw, sh, sw, pw, dh, dw
    )
    for ox in range(ow):
        ix = ox * sw - pw
        ix += first_inside(ix, dw) * dw
        firsts[ox] = ix if ix < min(w, ox * sw - pw + (kw - 1) * dw + 1) else -1
    for task in prange(-(-bands // chunk)):
        line_buffer, row_buffer = np.empty(span, x.dtype), np.empty(most * out_pitch, x.dtype)
        column_buffer = np.empty(most * out_pitch, firsts.dtype)
        to, values, lines, rows = pointer(out), pointer(x), pointer(line_buffer), pointer(row_buffer)
        places_to, columns, first = pointer(indices), pointer(column_buffer), pointer(firsts)
        fill = repeated(x, -np.inf)
        none = places(firsts, fill, -1, 0)
        for band in range(task * chunk, min(task * chunk + chunk, bands)):
            plane, oy0, oy1, top, end = band_extent(band, per_plane, band_height, oh, h, kh, sh, ph, dh)
            for iy in range(top, end):
                _copy_row(lines, 0, margin, pitch, values, (plane * h + iy) * w, w, sw, fill)
                row = (iy - top) * out_pitch
                _reduce_places(kx1 - kx0, rows, columns, first, row, lines, margin, pitch, ow, kx0, sw, pw, dw, fill)
            for oy in range(oy0, oy1):
                iy0, ky0, ky1 = window_rows(oy, sh, ph, dh, kh, h)
                iy, step = iy0 + ky0 * dh, dh * out_pitch
                for ox in range(0, ow, lane_count):
                    at = (iy - top) * out_pitch + ox
                    best, place = _reduced_places(ky1 - ky0, rows, columns, at, step, iy, w, dh, fill, none)
                    store_left(to, (plane * oh + oy) * ow + ox, best, ow - ox)
                    masked_store(places_to, (plane * oh + oy) * ow + ox, place, first_lanes(x, ow - ox))
        keep(line_buffer)
        keep(row_buffer)
        keep(column_buffer)


@kernel
def _avg_pool2d(out, x, oh, ow, h, w, kh, kw, sh, sw, ph, pw, below, right, include_pad, divisor):
    # As _max_pool2d.  Rows of the window are summed apart, so that the rounding of a large window grows with its side,
    # not with its area.  The divisor is the product of how many rows and columns count.
    lane_count, planes = lanes_of(x), out.size // (oh * ow)
    margin, pitch, kx0, kx1, span, out_pitch, band_height, most, per_plane, bands, chunk = row_cut(
        lane_count, planes, oh, ow, h, w, kh, kw, sh, sw, pw, 1, 1
    )
    counts = np.ones(out_pitch, x.dtype)
    for ox in range(ow):
        counts[ox] = divisor if divisor != 0 else window_part(include_pad, ox * sw - pw, kw, right, w)
    for task in prange(-(-bands // chunk)):
        line_buffer, row_buffer = np.empty(span, x.dtype), np.empty(most * out_pitch, x.dtype)
        to, values, lines, rows = pointer(out), pointer(x), pointer(line_buffer), pointer(row_buffer)
        fill, columns = repeated(x, 0), pointer(counts)
        for band in range(task * chunk, min(task * chunk + chunk, bands)):
            plane, oy0, oy1, top, end = band_extent(band, per_plane, band_height, oh, h, kh, sh, ph, 1)
            for iy in range(top, end):
                _copy_row(lines, 0, margin, pitch, values, (plane * h + iy) * w, w, sw, fill)
                row = (iy - top) * out_pitch
                _reduce_columns(kx1 - kx0, rows, row, lines, margin, pitch, ow, kx0, sw, pw, 1, fill, added)
            for oy in range(oy0, oy1):
                iy0, ky0, ky1 = window_rows(oy, sh, ph, 1, kh, h)
                start = (iy0 + ky0 - top) * out_pitch
                count = repeated(x, 1 if divisor != 0 else window_part(include_pad, iy0, kh, below, h))
                for ox in range(0, ow, lane_count):
                    total = reduced(ky1 - ky0, rows, start + ox, out_pitch, fill, added)
                    mean = total / (load(columns, ox) * count)
                    store_left(to, (plane * oh + oy) * ow + ox, mean, ow - ox)
        keep(line_buffer)
        keep(row_buffer)


# ------------------------------------------------------------------------------------------------- entries

# A kernel takes the numbers of its geometry one by one: as a tuple they would cost each call 0.5 us.


def max_pool2d(out, indices, input, g):
    work = input.size + out.size
    _, _, *window, _, _ = g  # of which the maximum needs no padding at the bottom and right
    if indices is None and pool_apart.suits(g, input.itemsize):
        pool_apart.max_pool2d(out, input, window)
    elif indices is None:
        _max_pool2d(work)(out.ravel(), input.ravel(), *window)
    else:
        # places in 32 bits are half the bytes and twice the lanes
        firsts = np.empty(g.out_width + 64, np.int32 if g.height * g.width < 2**31 else np.int64)
        _max_pool2d_indices(work * 2)(out.ravel(), indices.ravel(), firsts, input.ravel(), *window)


def avg_pool2d(out, input, g, count_include_pad, divisor):
    _, _, *window, _, _, below, right = g  # which is never dilated
    if pool_apart.suits(g, input.itemsize):
        pool_apart.avg_pool2d(out, input, window, below, right, count_include_pad, divisor)
        return
    _avg_pool2d(input.size + out.size)(out.ravel(), input.ravel(), *window, below, right, count_include_pad, divisor)
