"""interpolate and adaptive_avg_pool2d on CUDA: a thread owns an element of the result.

Of a gradient it finds the outputs that its pixel went to, which are neighbours, and adds them up in their order.
"""

import numpy as np

from ..cpu.resize import blend_places, nearest_place, window_begin, window_end
from . import pool, pool_grad
from ._launch import cuda, device, kernel
from .places import index, unravelled

# ------------------------------------------------------------------------------------------------- routines


@device
def _first_nearest(place, size, count, step):
    """The first of ``count`` outputs that copies ``place`` or one after it."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if nearest_place(middle, size, count, step) < place:
            low = middle + 1
        else:
            high = middle
    return low


@device
def _first_blend(place, size, count, step, corners):
    """The first of ``count`` outputs whose first neighbour is ``place`` or one after it."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if blend_places(middle, size, count, step, corners)[0] < place:
            low = middle + 1
        else:
            high = middle
    return low


@device
def _share(place, o, size, count, step, corners):
    """What output o takes of ``place``, which is one of its neighbours."""
    first, second, share = blend_places(o, size, count, step, corners)
    one = type(step)(1)
    return one if first == second else one - share if first == place else share


@device
def _blends(place, size, count, step, corners):
    """(first, end) of the outputs that have ``place`` for a neighbour."""
    before = place - 1 if place > 0 and size != count else place
    return _first_blend(before, size, count, step, corners), _first_blend(place + 1, size, count, step, corners)


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _interpolate_nearest(out, x, oh, ow, h, w, step_h, step_w):
    o = cuda.grid(1)
    if o < out.size:
        plane, oy, ox = unravelled(o, oh, ow)
        row = plane * h + nearest_place(oy, h, oh, step_h)
        out[index(o)] = x[index(row * w + nearest_place(ox, w, ow, step_w))]


@kernel
def _interpolate_bilinear(out, x, oh, ow, h, w, step_h, step_w, corners):
    o = cuda.grid(1)
    if o < out.size:
        plane, oy, ox = unravelled(o, oh, ow)
        one = x.dtype.type(1)
        iy0, iy1, down = blend_places(oy, h, oh, step_h, corners)
        ix0, ix1, across = blend_places(ox, w, ow, step_w, corners)
        top, bottom = (plane * h + iy0) * w, (plane * h + iy1) * w
        upper = x[index(top + ix0)] * (one - across) + x[index(top + ix1)] * across
        lower = x[index(bottom + ix0)] * (one - across) + x[index(bottom + ix1)] * across
        out[index(o)] = upper * (one - down) + lower * down


@kernel
def _interpolate_nearest_grad(out, gradient, oh, ow, h, w, step_h, step_w):
    i = cuda.grid(1)
    if i < out.size:
        plane, iy, ix = unravelled(i, h, w)
        top, bottom = _first_nearest(iy, h, oh, step_h), _first_nearest(iy + 1, h, oh, step_h)
        left, right = _first_nearest(ix, w, ow, step_w), _first_nearest(ix + 1, w, ow, step_w)
        total = out.dtype.type(0)
        for oy in range(top, bottom):
            line = (plane * oh + oy) * ow
            for ox in range(left, right):
                total += gradient[index(line + ox)]
        out[index(i)] = total


@kernel
def _interpolate_bilinear_grad(out, gradient, oh, ow, h, w, step_h, step_w, corners):
    i = cuda.grid(1)
    if i < out.size:
        plane, iy, ix = unravelled(i, h, w)
        top, bottom = _blends(iy, h, oh, step_h, corners)
        left, right = _blends(ix, w, ow, step_w, corners)
        total = out.dtype.type(0)
        for oy in range(top, bottom):
            line, row = (plane * oh + oy) * ow, out.dtype.type(0)
            for ox in range(left, right):
                row += gradient[index(line + ox)] * _share(ix, ox, w, ow, step_w, corners)
            total += row * _share(iy, oy, h, oh, step_h, corners)
        out[index(i)] = total


@kernel
def _adaptive_avg_pool2d(out, x, oh, ow, h, w):
    o = cuda.grid(1)
    if o < out.size:
        plane, oy, ox = unravelled(o, oh, ow)
        top, bottom = window_begin(oy, h, oh), window_end(oy, h, oh)
        left, right = window_begin(ox, w, ow), window_end(ox, w, ow)
        total = x.dtype.type(0)
        for iy in range(top, bottom):
            line, row = (plane * h + iy) * w, x.dtype.type(0)
            for ix in range(left, right):
                row += x[index(line + ix)]
            total += row
        out[index(o)] = total / x.dtype.type((bottom - top) * (right - left))


@kernel
def _adaptive_avg_pool2d_grad(out, gradient, oh, ow, h, w):
    i = cuda.grid(1)
    if i < out.size:
        plane, iy, ix = unravelled(i, h, w)
        total = out.dtype.type(0)
        for oy in range(window_begin(iy, oh, h), window_end(iy, oh, h)):
            line, rows = (plane * oh + oy) * ow, window_end(oy, h, oh) - window_begin(oy, h, oh)
            for ox in range(window_begin(ix, ow, w), window_end(ix, ow, w)):
                columns = window_end(ox, w, ow) - window_begin(ox, w, ow)
                total += gradient[index(line + ox)] / out.dtype.type(rows * columns)
        out[index(i)] = total


# ------------------------------------------------------------------------------------------------- entries


def adaptive_avg_pool2d(out, input, g):
    if g.windows is None:
        _, _, *sizes, _ = g
        _adaptive_avg_pool2d.threads(input.place, input.place.lend(out).size, out, input, *sizes)
    else:
        pool.avg_pool2d(out, input, g.windows, True, 0)


def adaptive_avg_pool2d_backward(out, grad_output, g):
    if g.windows is None:
        _, _, *sizes, _ = g
        place = grad_output.place
        _adaptive_avg_pool2d_grad.threads(place, place.lend(out).size, out, grad_output, *sizes)
    else:
        pool_grad.avg_pool2d_backward(out, grad_output, g.windows, True, 0)


def interpolate(out, input, g, bilinear, corners):
    count, arguments = input.place.lend(out).size, _arguments(g, input, bilinear)
    if bilinear:
        _interpolate_bilinear.threads(input.place, count, out, input, *arguments, corners)
    else:
        _interpolate_nearest.threads(input.place, count, out, input, *arguments)


def interpolate_backward(out, grad_output, g, bilinear, corners):
    place = grad_output.place
    count, arguments = place.lend(out).size, _arguments(g, grad_output, bilinear)
    if bilinear:
        _interpolate_bilinear_grad.threads(place, count, out, grad_output, *arguments, corners)
    else:
        _interpolate_nearest_grad.threads(place, count, out, grad_output, *arguments)


def _arguments(g, array, bilinear):
    """The sizes, and the steps in the numbers that places are computed in."""
    kind = array.dtype.type if bilinear else np.float32
    return g.out_height, g.out_width, g.height, g.width, kind(g.step_h), kind(g.step_w)
