"""roi_pool and its gradient on the CPU."""

import math

import numpy as np
from numba import prange

from .._jit import index, kernel, routine, scalar

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def rounded(x):
    """The nearest integer, halves away from zero; beyond 2^30, which no map reaches, cut off."""
    limit, half = type(x)(2**30), type(x)(0.5)
    size = abs(x)
    size = size if size < limit else limit
    whole = math.floor(size)
    nearest = np.int64(whole) + (size - type(x)(whole) >= half)
    return -nearest if x < 0 else nearest


@scalar
def clipped(place, size):
    """The nearest number from 0 to ``size``."""
    place = place if place > 0 else 0
    return place if place < size else size


@scalar
def roi_bin(index, start, extent, bins, size, like):
    """(begin, end) of a bin on the map, by torchvision's rule, in the arithmetic of the type of ``like``."""
    each = type(like)(extent) / type(like)(bins)
    begin = np.int64(math.floor(type(like)(index) * each)) + start
    end = np.int64(math.ceil(type(like)(index + 1) * each)) + start
    return clipped(begin, size), clipped(end, size)


# ------------------------------------------------------------------------------------------------ routines


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
def _roi_pool(out, x, boxes, scale, channels, h, w, oh, ow):
    # An iteration owns one channel of one box: a maximum over the rows of a bin along x, then over its columns.
    scale = out.dtype.type(scale)
    for kc in prange(boxes.shape[0] * channels):
        k, c = kc // channels, kc % channels
        image = np.int64(boxes[k, 0])
        x0, y0 = rounded(boxes[k, 1] * scale), rounded(boxes[k, 2] * scale)
        x1, y1 = rounded(boxes[k, 3] * scale), rounded(boxes[k, 4] * scale)
        rows, columns = max(y1 - y0 + 1, 1), max(x1 - x0 + 1, 1)  # of the box
        left, right = roi_bin(0, x0, columns, ow, w, scale)[0], roi_bin(ow - 1, x0, columns, ow, w, scale)[1]
        tops = np.empty(max(right - left, 1), out.dtype)
        plane = (image * channels + c) * h * w
        for py in range(oh):
            iy0, iy1 = roi_bin(py, y0, rows, oh, h, scale)
            for i in range(right - left):
                tops[i] = -np.inf
            for iy in range(iy0, iy1):
                line = x[plane + iy * w + left : plane + iy * w + right]
                for i in range(line.size):
                    tops[i] = line[i] if line[i] > tops[i] else tops[i]
            for px in range(ow):
                ix0, ix1 = roi_bin(px, x0, columns, ow, w, scale)
                best = out.dtype.type(0 if iy1 <= iy0 or ix1 <= ix0 else -np.inf)
                for ix in range(ix0, ix1):
                    best = max(best, tops[ix - left]) if iy1 > iy0 else best
                out[(kc * oh + py) * ow + px] = best


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
                columns = max(rounded(boxes[k, 3] * scale) - x0 + 1, 1)
                rows = max(rounded(boxes[k, 4] * scale) - y0 + 1, 1)
                for py in range(oh):
                    iy0, iy1 = roi_bin(py, y0, rows, oh, h, scale)
                    for px in range(ow):
                        ix0, ix1 = roi_bin(px, x0, columns, ow, w, scale)
                        where = _roi_argmax(values, w, iy0, iy1, ix0, ix1)
                        if where >= 0:
                            target[index(where)] += gradient[((k * channels + c) * oh + py) * ow + px]


# ------------------------------------------------------------------------------------------------- entries


def roi_pool(out, input, boxes, g, scale):
    work = g.boxes * g.channels * (g.height * g.width // 4 + g.out_height * g.out_width)
    _roi_pool(work)(out.ravel(), input.ravel(), boxes, scale, g.channels, g.height, g.width, g.out_height, g.out_width)


def roi_pool_backward(out, grad_output, input, boxes, g, scale):
    work = g.boxes * g.channels * (g.height * g.width // 4 + g.out_height * g.out_width)
    _roi_pool_grad(work)(
        out.ravel(), grad_output.ravel(), input.ravel(), boxes, scale, g.channels, g.height, g.width,
        g.out_height, g.out_width,
    )  # fmt: skip


def first_bad_box(boxes, images):
    """The number of the first box that is not finite or not on one of the images, or -1."""
    with np.errstate(invalid="ignore"):
        image = boxes[:, 0]
        bad = ~np.isfinite(boxes).all(axis=1) | (image < 0) | (image >= images) | (image != np.floor(image))
    return int(np.argmax(bad)) if bad.any() else -1


def box(boxes, row):
    """The numbers of one box."""
    return boxes[row].tolist()


def numbered_boxes(boxes, dtype):
    """One (K, 5) array of image numbers and boxes from an array of boxes for each image."""
    rows = [np.concatenate([np.full((len(b), 1), i, dtype), b], axis=1) for i, b in enumerate(boxes)]
    return np.concatenate(rows) if rows else np.empty((0, 5), dtype)
