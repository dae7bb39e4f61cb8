"""interpolate and adaptive_avg_pool2d on the CPU.

An image in another size is two products with matrices of few elements, one along its columns and one along its rows.
Bilinear interpolation stretches the rows that a band of outputs needs, each once, and mixes pairs of them.  The others,
and the gradients, whose matrices are the transposed ones, add up rows first, in vectors, and then along the one row
that is left.
"""

import math

import numpy as np
from numba import prange

from .._jit import inlined, kernel, routine, scalar
from .pool import avg_pool2d
from .pool_grad import avg_pool2d_backward
from .simd.values import (
    first_lanes,
    interleaved_high,
    interleaved_low,
    keep,
    lanes_of,
    load,
    masked_load,
    pointer,
    repeated,
    store,
)  # fmt: skip
from .sums import total
from .windows import BUFFER, store_left, whole_vectors

POOL, POOL_GRAD, NEAREST_GRAD, BILINEAR_GRAD, CORNERS_GRAD = range(5)
"""What _weighted_sums makes."""

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def nearest_place(i, size, count, step):
    """The place that output i of ``count`` copies, of ``size``; the step is a float32."""
    if count == size:
        return i
    if count == 2 * size:
        return i >> 1
    place = np.int64(math.floor(type(step)(i) * step))
    return place if place < size else size - 1


@scalar
def blend_places(i, size, count, step, corners):
    """(one neighbour of output i of ``count``, the other one, its share)."""
    zero, one, half = type(step)(0), type(step)(1), type(step)(0.5)
    if count == size:
        return i, i, zero
    place = type(step)(i) * step if corners else (type(step)(i) + half) * step - half
    place = place if place > zero else zero
    first = np.int64(math.floor(np.float32(place)))  # torch's floorf: a place just below a pixel is that pixel's
    first = first if first < size else size - 1
    share = place - type(step)(first)
    share = share if share > zero else zero
    share = share if share < one else one
    return first, first + 1 if first < size - 1 else first, share


@scalar
def window_begin(i, size, count):
    """The first place of window i of ``count`` on ``size``."""
    return i * size // count


@scalar
def window_end(i, size, count):
    """The end of window i of ``count`` on ``size``."""
    return ((i + 1) * size + count - 1) // count


# ------------------------------------------------------------------------------------------------ routines


@inlined
def _copy_row(to, at, x, start, count):
    for q in range(0, count, lanes_of(x)):
        left = count - q
        if left >= lanes_of(x):
            store(to, at + q, load(x, start + q))
        else:
            store_left(to, at + q, masked_load(x, start + q, first_lanes(x, left), repeated(x, 0)), left)


@inlined
def _double_row(to, at, x, start, w):
    """Each element of a row twice."""
    lane_count = lanes_of(x)
    for q in range(0, w, lane_count):
        left = w - q
        value = (
            load(x, start + q)
            if left >= lane_count
            else masked_load(x, start + q, first_lanes(x, left), repeated(x, 0))
        )
        store_left(to, at + 2 * q, interleaved_low(value, value), 2 * left)
        if 2 * left > lane_count:
            store_left(to, at + 2 * q + lane_count, interleaved_high(value, value), 2 * left - lane_count)


@inlined
def _stretch_twice(rows, to, line, x, start, w, zero):
    """A row of twice the width, mixed 1 : 3 and 3 : 1; ``line`` is a buffer."""
    lane_count = lanes_of(x)
    _copy_row(line, 1, x, start, w)
    line[0], line[w + 1] = line[1], line[w]
    few, most = repeated(x, 0.25), repeated(x, 0.75)
    for q in range(0, w, lane_count):
        middle = load(line, q + 1) * most
        even, odd = load(line, q) * few + middle, middle + load(line, q + 2) * few
        store(rows, to + 2 * q, interleaved_low(even, odd))
        store(rows, to + 2 * q + lane_count, interleaved_high(even, odd))
    rows[to] = line[1] + line[2] * zero  # the first place is the first pixel's; its neighbour still gives its NaN


@routine
def _stretch_row(rows, to, line, x, start, w, ow, twice, firsts, seconds, nears, shares, zero):
    """A row of the input in the output's width."""
    if twice:
        _stretch_twice(rows, to, line, x, start, w, zero)
    else:
        for ox in range(ow):
            rows[to + ox] = x[start + firsts[ox]] * nears[ox] + x[start + seconds[ox]] * shares[ox]


@routine
def _weights(firsts, starts, weights, parts, size, count, step, kind):
    """The rows of a matrix of ``size`` columns, a few neighbouring elements each, and what their sums are divided by.

    Row i has weights[starts[i]:starts[i + 1]], from column firsts[i] on.  Of a gradient ``size`` outputs were made of
    ``count`` places.
    """
    one, at = type(step)(1), 0
    begin, end = 0, 0  # of the outputs whose first neighbour the place is
    for i in range(count):
        starts[i], parts[i] = at, one
        if kind == POOL:
            firsts[i], last = window_begin(i, size, count), window_end(i, size, count)
            parts[i] = last - firsts[i]
            for _ in range(firsts[i], last):
                weights[at] = one
                at += 1
        elif kind == POOL_GRAD:
            firsts[i], last = window_begin(i, size, count), window_end(i, size, count)
            for o in range(firsts[i], last):
                weights[at] = one / type(step)(window_end(o, count, size) - window_begin(o, count, size))
                at += 1
        elif kind == NEAREST_GRAD:
            firsts[i] = end
            while end < size and nearest_place(end, count, size, np.float32(step)) == i:
                weights[at] = one
                at, end = at + 1, end + 1
        else:
            begin = end if size == count else begin  # where an output has one neighbour alone
            firsts[i] = begin
            for o in range(begin, end):  # the place is their second neighbour
                weights[at] = blend_places(o, count, size, step, kind == CORNERS_GRAD)[2]
                at += 1
            begin = end
            while end < size:
                first, second, share = blend_places(end, count, size, step, kind == CORNERS_GRAD)
                if first != i:
                    break
                weights[at] = one - share if first != second else one
                at, end = at + 1, end + 1
    starts[count] = at


@inlined
def _add_rows(sums, x, start, w, weights, first, end):
    """sums[ix] = the weighted sum of rows one after the other."""
    lane_count, zero = lanes_of(x), repeated(x, 0)
    for q in range(0, w, lane_count):
        total, at = zero, start + q
        if w - q >= lane_count:
            for k in range(first, end):
                total, at = total + load(x, at) * repeated(x, weights[k]), at + w
        else:
            mask = first_lanes(x, w - q)
            for k in range(first, end):
                total, at = total + masked_load(x, at, mask, zero) * repeated(x, weights[k]), at + w
        store(sums, q, total)


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _interpolate_nearest(out, x, oh, ow, h, w, step_h, step_w):
    # An iteration owns some rows of outputs; a row like the one before is copied from there.
    step_h, step_w = np.float32(step_h), np.float32(step_w)
    places = np.empty(ow, np.int64)
    for ox in range(ow):
        places[ox] = nearest_place(ox, w, ow, step_w)
    rows, group = out.size // ow, max(1, BUFFER // ow)
    for owned in prange(-(-rows // group)):
        to, values, columns, before = pointer(out), pointer(x), pointer(places), -1
        for row in range(owned * group, min(owned * group + group, rows)):
            source = row // oh * h + nearest_place(row % oh, h, oh, step_h)
            at, start = row * ow, source * w
            if source == before:
                _copy_row(to, at, to, at - ow, ow)
            elif ow == w:
                _copy_row(to, at, values, start, ow)
            elif ow == 2 * w:
                _double_row(to, at, values, start, w)
            else:
                for ox in range(ow):
                    to[at + ox] = values[start + columns[ox]]
            before = source


@kernel
def _interpolate_bilinear(out, x, oh, ow, h, w, step_h, step_w, corners):
    # An iteration owns some rows of outputs, and keeps the last two rows of the input that it stretched.
    lane_count, step_h, step_w = lanes_of(x), x.dtype.type(step_h), x.dtype.type(step_w)
    twice = ow == 2 * w and not corners and step_w == x.dtype.type(0.5)
    pitch = 2 * whole_vectors(w, lane_count) if twice else whole_vectors(ow, lane_count)
    firsts, seconds = np.empty(ow, np.int64), np.empty(ow, np.int64)
    nears, shares = np.empty(ow, x.dtype), np.empty(ow, x.dtype)
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for ox in range(ow):
        firsts[ox], seconds[ox], shares[ox] = blend_places(ox, w, ow, step_w, corners)
        nears[ox] = one - shares[ox]
    rows, group = out.size // ow, max(8, BUFFER // ow)
    for owned in prange(-(-rows // group)):
        line_buffer, row_buffer = (
            np.empty(whole_vectors(w, lane_count) + lane_count + 2, x.dtype),
            np.empty(2 * pitch, x.dtype),
        )
        to, values, line, stretched = pointer(out), pointer(x), pointer(line_buffer), pointer(row_buffer)
        first, second, near, share = pointer(firsts), pointer(seconds), pointer(nears), pointer(shares)
        above, below, at = -1, -1, 0  # the row that lies at ``at`` in the buffer, and the one in its other half
        for row in range(owned * group, min(owned * group + group, rows)):
            iy0, iy1, part = blend_places(row % oh, h, oh, step_h, corners)
            iy0, iy1 = row // oh * h + iy0, row // oh * h + iy1
            if iy0 == below:
                above, below, at = below, above, pitch - at
            if iy0 != above:
                _stretch_row(stretched, at, line, values, iy0 * w, w, ow, twice, first, second, near, share, zero)
                above = iy0
            if iy1 != iy0 and iy1 != below:
                _stretch_row(
                    stretched, pitch - at, line, values, iy1 * w, w, ow, twice, first, second, near, share, zero
                )
                below = iy1
            low = at if iy1 == iy0 else pitch - at
            upper, lower = repeated(x, one - part), repeated(x, part)
            for ox in range(0, ow, lane_count):
                mixed = load(stretched, at + ox) * upper + load(stretched, low + ox) * lower
                store_left(to, row * ow + ox, mixed, ow - ox)
        keep(line_buffer)
        keep(row_buffer)


@kernel
def _weighted_sums(out, x, oh, ow, h, w, step_h, step_w, kind):
    # An iteration owns some rows of outputs: rows of the input under each are added in vectors, then along that sum.
    lane_count, step_h, step_w = lanes_of(x), x.dtype.type(step_h), x.dtype.type(step_w)
    first_rows, row_starts, down = np.empty(oh, np.int64), np.empty(oh + 1, np.int64), np.empty(oh, x.dtype)
    first_columns, column_starts, across = np.empty(ow, np.int64), np.empty(ow + 1, np.int64), np.empty(ow, x.dtype)
    row_weights, column_weights = np.empty(2 * (h + oh), x.dtype), np.empty(2 * (w + ow), x.dtype)
    _weights(first_rows, row_starts, row_weights, down, h, oh, step_h, kind)
    _weights(first_columns, column_starts, column_weights, across, w, ow, step_w, kind)
    rows, group = out.size // ow, max(1, BUFFER * out.size // (x.size + out.size) // ow)
    for owned in prange(-(-rows // group)):
        sum_buffer = np.empty(whole_vectors(w, lane_count), x.dtype)
        to, values, sums, weights = pointer(out), pointer(x), pointer(sum_buffer), pointer(row_weights)
        firsts, starts, along, parts = (
            pointer(first_columns), pointer(column_starts), pointer(column_weights), pointer(across),
        )  # fmt: skip
        for row in range(owned * group, min(owned * group + group, rows)):
            oy = row % oh
            start = (row // oh * h + first_rows[oy]) * w
            _add_rows(sums, values, start, w, weights, row_starts[oy], row_starts[oy + 1])
            for ox in range(ow):
                total, at = x.dtype.type(0), firsts[ox]
                for k in range(starts[ox], starts[ox + 1]):
                    total += along[k] * sums[at]
                    at += 1
                to[row * ow + ox] = total / (parts[ox] * down[oy])
        keep(sum_buffer)


@kernel
def _plane_means(out, x):
    # An iteration owns a plane.
    size = x.size // max(1, out.size)
    for plane in prange(out.size):
        out[plane] = total(x[plane * size : (plane + 1) * size]) / size


@kernel
def _plane_shares(out, gradient):
    # An iteration owns a plane.
    size = out.size // max(1, gradient.size)
    for plane in prange(gradient.size):
        pixels, share = out[plane * size : (plane + 1) * size], gradient[plane] / out.dtype.type(size)
        for i in range(size):
            pixels[i] = share


# ------------------------------------------------------------------------------------------------- entries


def adaptive_avg_pool2d(out, input, g):
    if g.out_height == g.out_width == 1:
        _plane_means(input.size)(out.ravel(), input.ravel())
        return
    if g.windows is not None:  # blocks of one size, side by side
        avg_pool2d(out, input, g.windows, True, 0)
        return
    _weighted_sums(input.size + out.size)(
        out.ravel(), input.ravel(), g.out_height, g.out_width, g.height, g.width, 0.0, 0.0, POOL
    )


def adaptive_avg_pool2d_backward(out, grad_output, g):
    if g.out_height == g.out_width == 1:
        _plane_shares(out.size)(out.ravel(), grad_output.ravel())
        return
    if g.windows is not None:
        avg_pool2d_backward(out, grad_output, g.windows, True, 0)
        return
    _weighted_sums(grad_output.size + out.size)(
        out.ravel(), grad_output.ravel(), g.height, g.width, g.out_height, g.out_width, 0.0, 0.0, POOL_GRAD
    )


def interpolate(out, input, g, bilinear, corners):
    _, _, *sizes = g
    if bilinear:
        _interpolate_bilinear(2 * out.size)(out.ravel(), input.ravel(), *sizes, corners)
    else:
        _interpolate_nearest(out.size)(out.ravel(), input.ravel(), *sizes)


def interpolate_backward(out, grad_output, g, bilinear, corners):
    kind = (CORNERS_GRAD if corners else BILINEAR_GRAD) if bilinear else NEAREST_GRAD
    _weighted_sums(2 * (out.size + grad_output.size))(
        out.ravel(), grad_output.ravel(), g.height, g.width, g.out_height, g.out_width, g.step_h, g.step_w, kind
    )
