"""max_pool2d, avg_pool2d and roi_pool on the CPU.

Outputs are made a row at a time: for each element of the window one pass along ox, which vectorises, over a row of
outputs that stays in L1.  Windows are clipped to the image before any loop, so no loop has a test inside.
"""

import numpy as np
from numba import prange

from .._jit import index, kernel, routine, scalar

NARROW = 16  # rows of fewer outputs are made an output at a time: passes over a row cost more to start than to run

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def wins(value, best):
    """Whether a value replaces the window's best so far: greater, or NaN (the last one, as in torch)."""
    return (value > best) | (value != value)


@scalar
def first_inside(start, step):
    """The smallest k >= 0 with start + k * step >= 0."""
    return (-start + step - 1) // step if start < 0 else 0


@scalar
def end_inside(start, step, size, count):
    """The end of the k < count with start + k * step < size (0 when there are none)."""
    return max(0, min(count, (size - 1 - start) // step + 1))


@scalar
def window_size(start, extent, pad, size):
    """How many rows (or columns) of a window that starts at ``start`` lie in the input and its padding."""
    return min(start + extent, size + pad) - start


@scalar
def window_divisor(divisor, include_pad, iy0, ix0, kh, kw, ph, pw, h, w):
    """What the sum of a window that starts at (iy0, ix0) is divided by; ``divisor`` where that is not 0."""
    if divisor != 0:
        return divisor
    if include_pad:
        return window_size(iy0, kh, ph, h) * window_size(ix0, kw, pw, w)
    rows = end_inside(iy0, 1, h, kh) - first_inside(iy0, 1)
    return max(1, rows * (end_inside(ix0, 1, w, kw) - first_inside(ix0, 1)))


@scalar
def rounded(x):
    """The nearest integer, halves away from zero; beyond 2^30, which no map reaches, cut off."""
    limit, half = type(x)(2**30), type(x)(0.5)
    size = min(abs(x), limit)
    whole = np.floor(size)
    nearest = np.int64(whole) + (size - whole >= half)
    return -nearest if x < 0 else nearest


@scalar
def roi_bin(index, start, extent, bins, size, like):
    """(begin, end) of a bin on the map, by torchvision's rule, in the arithmetic of the type of ``like``."""
    width = type(like)(extent) / type(like)(bins)
    begin = np.int64(np.floor(type(like)(index) * width)) + start
    end = np.int64(np.ceil(type(like)(index + 1) * width)) + start
    return min(max(begin, 0), size), min(max(end, 0), size)


# ------------------------------------------------------------------------------------------------ routines


@routine
def _max_row(row, line, stride):
    """row[ox] = the winner of row[ox] and line[ox * stride]."""
    if stride == 1:
        for ox in range(row.size):
            row[ox] = line[ox] if wins(line[ox], row[ox]) else row[ox]
    elif stride == 2:  # a constant stride vectorises
        for ox in range(row.size):
            value = line[index(ox * 2)]
            row[ox] = value if wins(value, row[ox]) else row[ox]
    else:
        for ox in range(row.size):
            value = line[index(ox * stride)]
            row[ox] = value if wins(value, row[ox]) else row[ox]


@routine
def _max_row_indices(row, where, line, place, stride):
    """The same, and where it stands: line[0] is at ``place``."""
    for ox in range(row.size):
        value = line[index(ox * stride)]
        take = wins(value, row[ox]) | (where[ox] < 0)  # the first element inside counts even if it is -inf
        row[ox] = value if take else row[ox]
        where[ox] = place + ox * stride if take else where[ox]


@routine
def _window_max(x, base, ix0, ky0, ky1, w, kw, dh, dw):
    """(maximum, its place in x or -1) of one window, the elements in the order of torch."""
    best, place = x.dtype.type(-np.inf), -1
    for ky in range(ky0, ky1):
        for kx in range(first_inside(ix0, dw), end_inside(ix0, dw, w, kw)):
            i = base + ky * dh * w + ix0 + kx * dw
            if wins(x[index(i)], best) or place < 0:
                best, place = x[index(i)], i
    return best, place


@routine
def _add_row(row, line, stride):
    """row[ox] += line[ox * stride]."""
    if stride == 1:
        for ox in range(row.size):
            row[ox] += line[ox]
    elif stride == 2:
        for ox in range(row.size):
            row[ox] += line[index(ox * 2)]
    else:
        for ox in range(row.size):
            row[ox] += line[index(ox * stride)]


@routine
def _spread_row(line, row, stride):
    """line[ox * stride] += row[ox]."""
    if stride == 1:
        for ox in range(row.size):
            line[ox] += row[ox]
    else:
        for ox in range(row.size):
            line[index(ox * stride)] += row[ox]


@routine
def _roi_argmax(x, width, iy0, iy1, ix0, ix1):
    """The place in a plane of the first of the greatest elements of a bin, -1 if it is empty or never beats -inf."""
    best, where = x.dtype.type(-np.inf), -1
    for iy in range(iy0, iy1):
        for ix in range(ix0, ix1):
            if x[iy * width + ix] > best:
                best, where = x[iy * width + ix], iy * width + ix
    return where


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _max_pool2d(out, x, oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw):
    # An iteration owns one row of outputs.
    for r in prange(out.size // ow):
        plane, oy = r // oh, r % oh
        row = out[r * ow : (r + 1) * ow]
        for ox in range(ow):
            row[ox] = -np.inf
        iy0 = oy * sh - ph
        ky0, ky1 = first_inside(iy0, dh), end_inside(iy0, dh, h, kh)
        if ow < NARROW:
            for ox in range(ow):
                ix0 = ox * sw - pw
                row[ox], _ = _window_max(x, (plane * h + iy0) * w, ix0, ky0, ky1, w, kw, dh, dw)
        else:
            for ky in range(ky0, ky1):
                iy = iy0 + ky * dh
                line = x[(plane * h + iy) * w : (plane * h + iy + 1) * w]
                for kx in range(first_inside((ow - 1) * sw - pw, dw), end_inside(-pw, dw, w, kw)):
                    ix0 = kx * dw - pw
                    ox0, ox1 = first_inside(ix0, sw), end_inside(ix0, sw, w, ow)
                    _max_row(row[ox0:ox1], line[ix0 + ox0 * sw :], sw)


@kernel
def _max_pool2d_indices(out, indices, x, oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw):
    # An iteration owns one row of outputs and of indices.
    for r in prange(out.size // ow):
        plane, oy = r // oh, r % oh
        row = out[r * ow : (r + 1) * ow]
        where = indices[r * ow : (r + 1) * ow]
        for ox in range(ow):
            row[ox] = -np.inf
            where[ox] = -1
        iy0 = oy * sh - ph
        ky0, ky1 = first_inside(iy0, dh), end_inside(iy0, dh, h, kh)
        if ow < NARROW:
            origin = plane * h * w
            for ox in range(ow):
                row[ox], place = _window_max(x, origin + iy0 * w, ox * sw - pw, ky0, ky1, w, kw, dh, dw)
                where[ox] = place - origin if place >= 0 else -1
        else:
            for ky in range(ky0, ky1):
                iy = iy0 + ky * dh
                line = x[(plane * h + iy) * w : (plane * h + iy + 1) * w]
                for kx in range(first_inside((ow - 1) * sw - pw, dw), end_inside(-pw, dw, w, kw)):
                    ix0 = kx * dw - pw
                    ox0, ox1 = first_inside(ix0, sw), end_inside(ix0, sw, w, ow)
                    ix = ix0 + ox0 * sw
                    _max_row_indices(row[ox0:ox1], where[ox0:ox1], line[ix:], iy * w + ix, sw)


@kernel
def _avg_pool2d(out, x, oh, ow, h, w, kh, kw, sh, sw, ph, pw, include_pad, divisor):
    # An iteration owns one row of outputs.  Rows of the window are summed apart, so that the rounding of a large
    # window grows with its side, not with its area.
    for r in prange(out.size // ow):
        plane, oy = r // oh, r % oh
        row = out[r * ow : (r + 1) * ow]
        line_sum = np.empty(ow, out.dtype)
        for ox in range(ow):
            row[ox] = 0
        iy0 = oy * sh - ph
        for ky in range(first_inside(iy0, 1), end_inside(iy0, 1, h, kh)):
            iy = iy0 + ky
            line = x[(plane * h + iy) * w : (plane * h + iy + 1) * w]
            for ox in range(ow):
                line_sum[ox] = 0
            for kx in range(first_inside((ow - 1) * sw - pw, 1), end_inside(-pw, 1, w, kw)):
                ix0 = kx - pw
                ox0, ox1 = first_inside(ix0, sw), end_inside(ix0, sw, w, ow)
                _add_row(line_sum[ox0:ox1], line[ix0 + ox0 * sw :], sw)
            for ox in range(ow):
                row[ox] += line_sum[ox]
        for ox in range(ow):
            count = window_divisor(divisor, include_pad, iy0, ox * sw - pw, kh, kw, ph, pw, h, w)
            row[ox] /= out.dtype.type(count)


@kernel
def _roi_pool(out, x, boxes, scale, channels, h, w, oh, ow):
    # An iteration owns one channel of one box: a maximum over the rows of a bin along x, then over its columns.
    scale = out.dtype.type(scale)
    for kc in prange(boxes.shape[0] * channels):
        k, c = kc // channels, kc % channels
        image = np.int64(boxes[k, 0])
        x0, y0 = rounded(boxes[k, 1] * scale), rounded(boxes[k, 2] * scale)
        x1, y1 = rounded(boxes[k, 3] * scale), rounded(boxes[k, 4] * scale)
        width, height = max(x1 - x0 + 1, 1), max(y1 - y0 + 1, 1)
        left, right = roi_bin(0, x0, width, ow, w, scale)[0], roi_bin(ow - 1, x0, width, ow, w, scale)[1]
        tops = np.empty(max(right - left, 1), out.dtype)
        plane = (image * channels + c) * h * w
        for py in range(oh):
            iy0, iy1 = roi_bin(py, y0, height, oh, h, scale)
            for i in range(right - left):
                tops[i] = -np.inf
            for iy in range(iy0, iy1):
                line = x[plane + iy * w + left : plane + iy * w + right]
                for i in range(line.size):
                    tops[i] = line[i] if line[i] > tops[i] else tops[i]
            for px in range(ow):
                ix0, ix1 = roi_bin(px, x0, width, ow, w, scale)
                best = out.dtype.type(0 if iy1 <= iy0 or ix1 <= ix0 else -np.inf)
                for ix in range(ix0, ix1):
                    best = max(best, tops[ix - left]) if iy1 > iy0 else best
                out[(kc * oh + py) * ow + px] = best


@kernel
def _scatter(out, gradient, indices, plane, out_plane):
    # An iteration owns one plane of the result and adds each gradient at its index, in order; -1 has none.
    for p in prange(out.size // plane):
        target = out[p * plane : (p + 1) * plane]
        g = gradient[p * out_plane : (p + 1) * out_plane]
        places = indices[p * out_plane : (p + 1) * out_plane]
        for i in range(plane):
            target[i] = 0
        for i in range(out_plane):
            if places[i] >= 0:
                target[index(places[i])] += g[i]


@kernel
def _avg_pool2d_grad(out, gradient, oh, ow, h, w, kh, kw, sh, sw, ph, pw, include_pad, divisor):
    # An iteration owns one plane of the result: each row of gradients, divided, is added to the rows of its windows.
    for plane in prange(out.size // (h * w)):
        target = out[plane * h * w : (plane + 1) * h * w]
        share = np.empty(ow, out.dtype)
        for i in range(h * w):
            target[i] = 0
        for oy in range(oh):
            iy0 = oy * sh - ph
            ky0, ky1 = first_inside(iy0, 1), end_inside(iy0, 1, h, kh)
            row = gradient[(plane * oh + oy) * ow : (plane * oh + oy + 1) * ow]
            for ox in range(ow):
                count = window_divisor(divisor, include_pad, iy0, ox * sw - pw, kh, kw, ph, pw, h, w)
                share[ox] = row[ox] / out.dtype.type(count)
            for ky in range(ky0, ky1):
                line = target[(iy0 + ky) * w : (iy0 + ky + 1) * w]
                for kx in range(first_inside((ow - 1) * sw - pw, 1), end_inside(-pw, 1, w, kw)):
                    ix0 = kx - pw
                    ox0, ox1 = first_inside(ix0, sw), end_inside(ix0, sw, w, ow)
                    _spread_row(line[ix0 + ox0 * sw :], share[ox0:ox1], sw)


@kernel
def _roi_pool_grad(out, gradient, x, boxes, scale, channels, h, w, oh, ow):
    # An iteration owns one plane of the result: it finds the maxima of all boxes on its image again, in their order.
    scale = out.dtype.type(scale)
    for plane in prange(out.size // (h * w)):
        target, values = out[plane * h * w : (plane + 1) * h * w], x[plane * h * w : (plane + 1) * h * w]
        image, c = plane // channels, plane % channels
        for i in range(h * w):
            target[i] = 0
        for k in range(boxes.shape[0]):
            if np.int64(boxes[k, 0]) == image:
                x0, y0 = rounded(boxes[k, 1] * scale), rounded(boxes[k, 2] * scale)
                width = max(rounded(boxes[k, 3] * scale) - x0 + 1, 1)
                height = max(rounded(boxes[k, 4] * scale) - y0 + 1, 1)
                for py in range(oh):
                    iy0, iy1 = roi_bin(py, y0, height, oh, h, scale)
                    for px in range(ow):
                        ix0, ix1 = roi_bin(px, x0, width, ow, w, scale)
                        where = _roi_argmax(values, w, iy0, iy1, ix0, ix1)
                        if where >= 0:
                            target[index(where)] += gradient[((k * channels + c) * oh + py) * ow + px]


# ------------------------------------------------------------------------------------------------- entries


def max_pool2d(out, indices, input, g):
    work = out.size * min(g.kernel_height, g.height) * min(g.kernel_width, g.width)
    if indices is None:
        _max_pool2d(work)(out.reshape(-1), input.reshape(-1), *g[4:6], *g[2:4], *g[6:])
    else:
        _max_pool2d_indices(work)(
            out.reshape(-1), indices.reshape(-1), input.reshape(-1), *g[4:6], *g[2:4], *g[6:]
        )  # fmt: skip


def avg_pool2d(out, input, g, count_include_pad, divisor):
    work = out.size * min(g.kernel_height, g.height) * min(g.kernel_width, g.width)
    _avg_pool2d(work)(out.reshape(-1), input.reshape(-1), *g[4:6], *g[2:4], *g[6:12], count_include_pad, divisor)


def roi_pool(out, input, boxes, g, scale):
    work = g.boxes * g.channels * (g.height * g.width // 4 + g.out_height * g.out_width)
    _roi_pool(work)(
        out.reshape(-1), input.reshape(-1), boxes, scale, g.channels, g.height, g.width, g.out_height, g.out_width
    )


def max_pool2d_backward(out, grad_output, indices, g):
    _scatter(out.size + grad_output.size * 4)(
        out.reshape(-1), grad_output.reshape(-1), indices.reshape(-1), g.height * g.width, g.out_height * g.out_width
    )


def avg_pool2d_backward(out, grad_output, g, count_include_pad, divisor):
    work = grad_output.size * min(g.kernel_height, g.height) * min(g.kernel_width, g.width)
    _avg_pool2d_grad(work)(
        out.reshape(-1), grad_output.reshape(-1), *g[4:6], *g[2:4], *g[6:12], count_include_pad, divisor
    )  # fmt: skip


def roi_pool_backward(out, grad_output, input, boxes, g, scale):
    work = g.boxes * g.channels * (g.height * g.width // 4 + g.out_height * g.out_width)
    _roi_pool_grad(work)(
        out.reshape(-1), grad_output.reshape(-1), input.reshape(-1), boxes, scale, g.channels, g.height, g.width,
        g.out_height, g.out_width,
    )  # fmt: skip


def first_bad_box(boxes, images):
    """The number of the first box that is not finite or not on one of the images, or -1."""
    with np.errstate(invalid="ignore"):
        image = boxes[:, 0]
        bad = ~np.isfinite(boxes).all(axis=1) | (image < 0) | (image >= images) | (image != np.floor(image))
    return int(np.argmax(bad)) if bad.any() else -1


def numbered_boxes(boxes, dtype):
    """One (K, 5) array of image numbers and boxes from an array of boxes for each image."""
    rows = [np.concatenate([np.full((len(b), 1), i, dtype), b], axis=1) for i, b in enumerate(boxes)]
    return np.concatenate(rows) if rows else np.empty((0, 5), dtype)
