"""roi_pool and its gradient on CUDA.

The gradient finds the places of the maxima, then adds up plane by plane in the order of boxes: the same bits every run.
"""

import functools
import math

import numpy as np
from numba import int64

from ..cpu.roi_pool import roi_bin, rounded
from . import arithmetic
from ._launch import SIMULATED, THREADS, cuda, device, fetch, kernel
from .check import NOWHERE
from .places import divided, index, nearest
from .pool_columns import FILLED
from .pool_grad import scatter_in_order

CHANNELS = 4  # of a thread, which finds the bounds of its bin once

TEAM = 8 if SIMULATED else 32  # threads that share a large bin
LARGE = 64 if SIMULATED else 1024  # elements of such a bin

# ------------------------------------------------------------------------------------------------- routines


@device
def _bin(boxes, k, scale, py, px, h, w, oh, ow):
    """(image, first row, end of rows, first column, end of columns) of a bin of box k."""
    x0, y0 = rounded(boxes[index(5 * k + 1)] * scale), rounded(boxes[index(5 * k + 2)] * scale)
    width = rounded(boxes[index(5 * k + 3)] * scale) - x0 + 1
    height = rounded(boxes[index(5 * k + 4)] * scale) - y0 + 1
    iy0, iy1 = roi_bin(py, y0, height if height > 1 else 1, oh, h, scale)
    ix0, ix1 = roi_bin(px, x0, width if width > 1 else 1, ow, w, scale)
    return np.int64(boxes[index(5 * k)]), iy0, iy1, ix0, ix1


# ------------------------------------------------------------------------------------------------- kernels


@functools.cache
def _bins(placed):
    """The kernel that writes the maxima, or if ``placed`` their places: -1 where a bin has none."""

    def _roi_pool(out, x, boxes, scale, quads, channels, h, w, oh, ow):
        # A thread owns a bin of CHANNELS channels; those past the last one are read as the last.
        rest, px = divided(cuda.grid(1), ow)
        rest, py = divided(rest, oh)
        k, quad = divided(rest, quads)
        if 5 * k < boxes.size:
            image, iy0, iy1, ix0, ix1 = _bin(boxes, k, scale, py, px, h, w, oh, ow)
            best = cuda.local.array(CHANNELS, x.dtype)
            places = cuda.local.array(CHANNELS, np.int64)
            bases = cuda.local.array(CHANNELS, np.int64)
            for c in range(CHANNELS):
                best[c], places[c] = x.dtype.type(-np.inf if iy0 < iy1 and ix0 < ix1 else 0), -1
                bases[c] = (image * channels + nearest(quad * CHANNELS + c, channels)) * h * w
            for iy in range(iy0, iy1):
                for ix in range(ix0, ix1):
                    place = iy * w + ix
                    for c in range(CHANNELS):
                        value = x[index(bases[c] + place)]
                        take = value > best[c]
                        best[c], places[c] = value if take else best[c], place if take else places[c]
            for c in range(CHANNELS):
                channel = quad * CHANNELS + c
                if channel < channels:
                    out[index(((k * channels + channel) * oh + py) * ow + px)] = places[c] if placed else best[c]

    _roi_pool.__name__ += "_places" if placed else ""
    return kernel(_roi_pool)


@functools.cache
def _large_bins(placed):
    """The kernel for few bins that may be large."""

    def _roi_pool_large(out, x, boxes, scale, channels, h, w, oh, ow):
        # A team owns a bin of a channel; each of its threads has columns, TEAM apart.
        values = cuda.shared.array(THREADS, x.dtype)
        places = cuda.shared.array(THREADS, int64)
        t = cuda.threadIdx.x
        lane = t % TEAM
        bin = cuda.grid(1) // TEAM
        rest, px = divided(bin, ow)
        rest, py = divided(rest, oh)
        k, c = divided(rest, channels)
        best, place, empty = x.dtype.type(-np.inf), NOWHERE, True
        if bin < out.size:
            image, iy0, iy1, ix0, ix1 = _bin(boxes, k, scale, py, px, h, w, oh, ow)
            empty = iy0 >= iy1 or ix0 >= ix1
            base = (image * channels + c) * (h * w)
            for iy in range(iy0, iy1):
                for ix in range(ix0 + lane, ix1, TEAM):
                    value = x[index(base + iy * w + ix)]
                    take = value > best
                    best, place = value if take else best, iy * w + ix if take else place
        values[t], places[t] = best, place
        cuda.syncthreads()
        step = TEAM // 2
        while step > 0:
            if lane < step:
                other, there = values[t + step], places[t + step]
                if other > values[t] or (other == values[t] and there < places[t]):
                    values[t], places[t] = other, there
            cuda.syncthreads()
            step //= 2
        if lane == 0 and bin < out.size:
            if placed:
                out[index(bin)] = places[t] if places[t] < NOWHERE else -1
            else:
                out[index(bin)] = x.dtype.type(0) if empty else values[t]

    _roi_pool_large.__name__ += "_places" if placed else ""
    return kernel(_roi_pool_large)


@kernel
def _box_order(order, starts, boxes, images):
    # Thread i finds where box i stands among the boxes sorted by image, and the first one of image i - (all boxes).
    i, count, before = cuda.grid(1), boxes.size // 5, 0
    if i < count:
        image = boxes[index(5 * i)]
        for k in range(count):
            other = boxes[index(5 * k)]
            before += 1 if (other < image) | ((other == image) & (k < i)) else 0
        order[index(before)] = i
    elif i - count <= images:
        for k in range(count):
            before += 1 if np.int64(boxes[index(5 * k)]) < i - count else 0
        starts[index(i - count)] = before


@kernel
def _first_bad_box(first, boxes, images):
    # The smallest place of all threads is the same whatever their order.
    k = cuda.grid(1)
    if 5 * k < boxes.size:
        image, bad = boxes[index(5 * k)], False
        for i in range(5 * k, 5 * k + 5):
            bad |= not abs(boxes[index(i)]) < boxes.dtype.type(np.inf)
        if (
            bad
            or image < boxes.dtype.type(0)
            or image >= boxes.dtype.type(images)
            or image != boxes.dtype.type(math.floor(image))
        ):
            cuda.atomic.min(first, 0, k)


@kernel
def _number_boxes(out, boxes, first, image):
    # A thread owns a number of a box.
    i = cuda.grid(1)
    if i < boxes.size:
        k, place = divided(i, 4)
        out[index(5 * (first + k) + 1 + place)] = boxes[index(i)]
        if place == 0:
            out[index(5 * (first + k))] = image


# ------------------------------------------------------------------------------------------------- entries


def _pool(out, input, boxes, g, scale, placed):
    quads = -(-g.channels // CHANNELS)
    count = g.boxes * quads * g.out_height * g.out_width
    size = g.channels, g.height, g.width, g.out_height, g.out_width
    with np.errstate(all="ignore"):
        scale = input.dtype.type(scale)
    few = SIMULATED or CHANNELS * count < FILLED
    if few and g.height * g.width >= LARGE * g.out_height * g.out_width:
        count = g.boxes * g.channels * g.out_height * g.out_width
        _large_bins(placed).threads(input.place, TEAM * count, out, input, boxes, scale, *size)
    else:
        _bins(placed).threads(input.place, count, out, input, boxes, scale, quads, *size)


def roi_pool(out, input, boxes, g, scale):
    _pool(out, input, boxes, g, scale, placed=False)


def roi_pool_backward(out, grad_output, input, boxes, g, scale):
    place = input.place
    if not grad_output.size:
        arithmetic.fill(place.lend(out), 0)
        return
    kind = np.dtype(np.int32 if g.height * g.width < 2**31 else np.int64)
    places = place.empty(g.output, kind)
    _pool(places, input, boxes, g, scale, placed=True)
    order, starts = place.empty(g.boxes, arithmetic.INT64), place.empty(g.images + 1, arithmetic.INT64)
    _box_order.threads(place, g.boxes + g.images + 1, order, starts, boxes, g.images)
    scatter_in_order(out, grad_output, places, order, starts, True, g.images, g.channels, g)


def first_bad_box(boxes, images):
    """The number of the first box that is not finite or not on one of the images, or -1."""
    if not boxes.size:
        return -1
    first = arithmetic.full(boxes.place, 1, NOWHERE, arithmetic.INT64)
    _first_bad_box.threads(boxes.place, boxes.size // 5, first, boxes, images)
    found = int(fetch(boxes.place, first)[0])
    return -1 if found == NOWHERE else found


def box(boxes, row):
    """The numbers of one box."""
    return fetch(boxes.place, boxes).reshape(-1, 5)[row].tolist()


def numbered_boxes(boxes, dtype):
    """One (K, 5) array of image numbers and boxes from an array of boxes for each image."""
    if not boxes:  # no image, no device
        return np.empty((0, 5), dtype)
    place, first = boxes[0].place, 0
    out = place.lend(place.empty((sum(b.shape[0] for b in boxes), 5), dtype))
    for image, own in enumerate(boxes):
        _number_boxes.threads(place, own.size, out, own, first, out.dtype.type(image))
        first += own.shape[0]
    return out
