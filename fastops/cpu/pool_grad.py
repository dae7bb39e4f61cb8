"""The gradients of max_pool2d and avg_pool2d on the CPU."""

import numpy as np
from numba import prange

from .._jit import index, inlined, kernel
from . import pool_apart
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
from .windows import (
    BUFFER,
    added,
    end_inside,
    first_inside,
    reduced,
    store_left,
    whole_vectors,
    window_part,
)  # fmt: skip

PLANES = 4  # of a task

# ------------------------------------------------------------------------------------------------ routines


@inlined
def _share_row(line, margin, size, gradient, start, ow, counts, count, zero):
    """A row of gradients, each divided by what its window counts, between margins of zeros."""
    lane_count = lanes_of(line)
    for q in range(0, margin, lane_count):
        store(line, q, zero)
    for ox in range(0, size, lane_count):
        if ox + lane_count <= ow:
            store(line, margin + ox, load(gradient, start + ox) / (load(counts, ox) * count))
        elif ox < ow:
            values = masked_load(gradient, start + ox, first_lanes(line, ow - ox), zero)
            store(line, margin + ox, values / (load(counts, ox) * count))
        else:
            store(line, margin + ox, zero)


@inlined
def _spread_row(rows, to, line, at, size, w, ow, kw, sw, pw, zero):
    """rows[to + ix + pw % sw] = the sum of the shares of the windows that hold column ix; line[at] is window 0's."""
    lane_count, q0 = lanes_of(rows), pw // sw
    last, m0 = (w - 1 + pw) // sw, max(0, q0 - ow + 1)
    if sw == 1:
        for q in range(0, size, lane_count):
            store(rows, to + q, reduced(min(kw - 1, last) - m0 + 1, line, at + q0 + q - m0, -1, zero, added))
    elif sw == 2:
        for q in range(0, size, lane_count):
            even = reduced(min((kw - 1) >> 1, last) - m0 + 1, line, at + q0 + q - m0, -1, zero, added)
            odd = reduced(min((kw - 2) >> 1, last) - m0 + 1, line, at + q0 + q - m0, -1, zero, added)
            store(rows, to + 2 * q, interleaved_low(even, odd))
            store(rows, to + 2 * q + lane_count, interleaved_high(even, odd))
    else:
        for ix in range(0, size, lane_count):
            store(rows, to + ix, zero)
        for ox in range(ow):
            ix0 = ox * sw - pw
            for kx in range(first_inside(ix0, 1), end_inside(ix0, 1, w, kw)):
                rows[to + ix0 + kx + pw % sw] += line[at + ox]


@inlined
def _scatter_plane(target, gradient, places, count):
    for i in range(count):
        if places[i] >= 0:
            target[index(places[i])] += gradient[i]


@inlined
def _scatter_planes(target, gradient, places, plane, count):
    for i in range(count):
        for k in range(PLANES):
            place = places[index(k * count + i)]
            if place >= 0:
                target[index(k * plane + place)] += gradient[index(k * count + i)]


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _scatter(out, gradient, indices, plane, out_plane):
    # An iteration owns PLANES planes of the result, and adds each gradient at its index, in order; -1 has none.  If one
    # lies outside, it leaves them; the kernel returns how many iterations did.  Planes in turn: neighbours often share
    # a maximum, and an addition would wait for the one before.
    wrong = 0
    count = out.size // plane
    for task in prange(-(-count // PLANES)):
        p = task * PLANES
        places = indices[p * out_plane : min(p + PLANES, count) * out_plane]
        least, most = np.int64(0), np.int64(-1)
        for i in range(places.size):
            least, most = min(least, places[i]), max(most, places[i])
        if least < -1 or most >= plane:
            wrong += 1
        else:
            target = out[p * plane : min(p + PLANES, count) * plane]
            for i in range(target.size):
                target[i] = 0
            if p + PLANES <= count:
                _scatter_planes(target, gradient[p * out_plane :], places, plane, out_plane)
            else:
                for k in range(count - p):
                    first = k * out_plane
                    _scatter_plane(target[k * plane :], gradient[p * out_plane + first :], places[first:], out_plane)
    return wrong


@kernel
def _avg_pool2d_grad(out, gradient, oh, ow, h, w, kh, kw, sh, sw, ph, pw, below, right, include_pad, divisor):
    # An iteration owns some bands of rows of the result: each row of gradients under a band is spread along its
    # windows into a buffer in L1, then rows of that buffer are added.
    lane_count = lanes_of(out)
    q0, last = pw // sw, (w - 1 + pw) // sw
    margin = max(0, min((kw - 1) // sw, last) - q0)
    size = whole_vectors(last - q0 + 1, lane_count) if sw <= 2 else whole_vectors(w + pw % sw, lane_count)
    pitch = size * (2 if sw == 2 else 1)
    reach = whole_vectors(max(ow, min(q0, ow - 1) + (size if sw <= 2 else 0)), lane_count)
    extent = -(-kh // sh)
    band_height = min(h, max((BUFFER // pitch - extent) * sh, kh))
    most = min(oh, (band_height - 1) // sh + 1 + extent)
    per_plane = -(-h // band_height)
    bands, chunk = out.size // (h * w) * per_plane, max(1, BUFFER // (most * pitch))
    counts = np.ones(reach, out.dtype)
    for ox in range(ow):
        counts[ox] = divisor if divisor != 0 else window_part(include_pad, ox * sw - pw, kw, right, w)
    for task in prange(-(-bands // chunk)):
        line_buffer, row_buffer = np.empty(margin + reach, out.dtype), np.empty(most * pitch + lane_count, out.dtype)
        to, values, line, rows = pointer(out), pointer(gradient), pointer(line_buffer), pointer(row_buffer)
        zero, columns = repeated(out, 0), pointer(counts)
        for band in range(task * chunk, min(task * chunk + chunk, bands)):
            plane, first = band // per_plane, band % per_plane * band_height
            end = min(first + band_height, h)
            top = max(0, -(-(first + ph - kh + 1) // sh))
            for oy in range(top, min(oh, (end - 1 + ph) // sh + 1)):
                part = 1 if divisor != 0 else window_part(include_pad, oy * sh - ph, kh, below, h)
                start = (plane * oh + oy) * ow
                _share_row(line, margin, reach, values, start, ow, columns, repeated(out, part), zero)
                _spread_row(rows, (oy - top) * pitch, line, margin, size, w, ow, kw, sw, pw, zero)
            for iy in range(first, end):
                oy0, oy1 = max(0, -(-(iy + ph - kh + 1) // sh)), min(oh, (iy + ph) // sh + 1)
                for ix in range(0, w, lane_count):
                    total = reduced(oy1 - oy0, rows, (oy0 - top) * pitch + pw % sw + ix, pitch, zero, added)
                    store_left(to, (plane * h + iy) * w + ix, total, w - ix)
        keep(line_buffer)
        keep(row_buffer)


# ------------------------------------------------------------------------------------------------- entries


def max_pool2d_backward(out, grad_output, indices, g):
    """Fill the gradient; False, and not all of it, if an index is not on the input."""
    return not _scatter(out.size + grad_output.size * 4)(
        out.ravel(), grad_output.ravel(), indices.ravel(), g.height * g.width, g.out_height * g.out_width
    )


def avg_pool2d_backward(out, grad_output, g, count_include_pad, divisor):
    _, _, *window, _, _, below, right = g  # which is never dilated
    if pool_apart.suits_gradient(g, out.itemsize):
        pool_apart.avg_pool2d_backward(out, grad_output, window, below, right, count_include_pad, divisor)
        return
    _avg_pool2d_grad(out.size + grad_output.size)(
        out.ravel(), grad_output.ravel(), *window, below, right, count_include_pad, divisor
    )  # fmt: skip
