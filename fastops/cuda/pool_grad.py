"""The gradients of max_pool2d and avg_pool2d on CUDA.

The map is seen in cells of a stride's size, cell q from where window q starts: the elements of a cell lie in the
windows of a few cells before it and its own.  A thread goes down the elements of a column and adds up what their
windows give.  Where too many windows overlap, or max_pool2d's indices are others than its own, a block goes through a
plane's windows instead.  Sums run in the windows' order either way: the same bits every run.
"""

import functools

from numba import int32, int64

from ..cpu.windows import window_part
from . import arithmetic
from ._launch import THREADS, cuda, device, fetch, kernel
from .check import NOWHERE, first_outside
from .places import divided, index, nearest, unravelled
from .pool_columns import FILLED, constants, is_small, named, rows_of_thread

OVERLAP = 16  # windows over an element from which on it is cheaper to go from windows to elements
CHUNK = 8  # most rows of a cell that a thread owns
SLOTS = 128 if THREADS == 32 else 2048  # of a block's table of turns, a power of two
OFF_WINDOW, OFF_MAP = 1, 0  # what is known of the worst index; NOWHERE if all are in their windows

# ------------------------------------------------------------------------------------------------- routines


@device
def _note(worst, place, oy, ox, h, w, height, width, sh, sw, ph, pw):
    """Note it if an index is not in its window, which is ``height`` x ``width``; -1 is right anywhere."""
    if place != -1:
        if place < 0 or place >= h * w:
            cuda.atomic.min(worst, 0, OFF_MAP)
        else:
            iy, ix = divided(place, w)
            y, x = iy - (oy * sh - ph), ix - (ox * sw - pw)
            if y < 0 or y >= height or x < 0 or x >= width:
                cuda.atomic.min(worst, 0, OFF_WINDOW)


@device
def _windows_over(window, place, extent, step, count):
    """(first, last) of the ``count`` windows that hold the element at a place of the cell of a window."""
    first = window - (extent - 1 - place) // step if place < extent else window + 1
    return first if first > 0 else 0, window if window < count else count - 1


@device
def add_in_order(out, turns, where, share):
    """out[where] += share for each thread of a block, in the order of threads; a negative ``where`` has none.

    ``turns`` are shared, SLOTS of them that hold THREADS before and after.  Where several threads wait for a slot, the
    first one of them adds and leaves.
    """
    t = cuda.threadIdx.x
    waits = where >= 0
    slot = where & (SLOTS - 1) if waits else 0
    while cuda.syncthreads_or(int32(waits)):
        if waits:
            cuda.atomic.min(turns, slot, t)
        cuda.syncthreads()
        if waits and turns[slot] == t:
            out[index(where)] += share
            turns[slot] = THREADS
            waits = False


# ------------------------------------------------------------------------------------------------- kernels


@functools.cache
def _max_pool2d_small(kh, kw, sh, sw, kind):
    """The kernel for a window of constant size and stride; places are of type ``kind``."""
    high, wide = -(-kh // sh), -(-kw // sw)
    held = high * wide

    def _max_pool2d_grad(out, worst, gradient, indices, planes, groups, rows, cells, oh, ow, h, w, ph, pw):
        # A thread owns a column of up to ``rows`` cells, and keeps the gradients and indices of the windows that the
        # next cell shares.  Window q is tested by the thread of the first column of cell q.
        plane, group, column = unravelled(cuda.grid(1), groups, w + pw)
        if plane < planes:
            shares = cuda.local.array(held, out.dtype)
            places = cuda.local.array(held, kind)
            ox, jx = divided(column, sw)
            ox, ix, newest = kind(ox), kind(column - pw), int64(-1)
            to, base = plane * (h * w), plane * (oh * ow)
            q, begin = group * rows, 0
            end = q + rows if q + rows < cells else cells
            while q < end:
                for m in range(high):
                    if m >= begin:
                        oy = kind(q - (high - 1) + m)
                        line = kind(nearest(oy, oh) * ow)
                        for n in range(wide):
                            x = kind(ox - (wide - 1) + n)
                            i = index(base + kind(line + nearest(x, ow)))
                            newest = indices[i]
                            shares[m * wide + n] = gradient[i]
                            newest = newest if 0 <= oy < oh and 0 <= x < ow else -1
                            places[m * wide + n] = kind(newest)
                if jx == 0:
                    _note(worst, newest, q, ox, h, w, kh, kw, sh, sw, ph, pw)
                for jy in range(sh):
                    iy = kind(q * sh + jy - ph)
                    place, total = kind(iy * w + ix), out.dtype.type(0)
                    for m in range(high):
                        if jy + (high - 1 - m) * sh < kh:
                            for n in range(wide):
                                share = shares[m * wide + n]
                                total = total + share if places[m * wide + n] == place else total
                    if 0 <= iy < h and ix >= 0:
                        out[index(to + place)] = total
                for k in range(held - wide):
                    shares[k], places[k] = shares[k + wide], places[k + wide]
                q, begin = q + 1, high - 1

    return named(_max_pool2d_grad, kh, kw, sh, sw)


@functools.cache
def _avg_pool2d_small(kh, kw, sh, sw, kind):
    """The kernel for a window of constant size and stride; places are of type ``kind``."""
    high, wide = -(-kh // sh), -(-kw // sw)

    def _avg_pool2d_grad(
        out, gradient, planes, groups, rows, cells, oh, ow, h, w, ph, pw, below, right, include_pad, divisor
    ):
        # A thread owns a column of up to ``rows`` cells, and keeps the sums along the rows of windows that the next
        # cell shares.
        plane, group, ix = unravelled(cuda.grid(1), groups, w)
        if plane < planes:
            zero, one = out.dtype.type(0), out.dtype.type(1)
            sums = cuda.local.array(high, out.dtype)
            parts = cuda.local.array(wide, out.dtype)
            ox, jx = divided(ix + pw, sw)
            ox, ix = kind(ox), kind(ix)
            to, base = plane * (h * w), plane * (oh * ow)
            for n in range(wide):
                x = kind(ox - (wide - 1) + n)
                count = (
                    divisor if divisor != zero else out.dtype.type(window_part(include_pad, x * sw - pw, kw, right, w))
                )
                parts[n] = one / count if 0 <= x < ow and jx + (wide - 1 - n) * sw < kw else zero
            q, begin = group * rows, 0
            end = q + rows if q + rows < cells else cells
            while q < end:
                for m in range(high):
                    if m >= begin:
                        oy = kind(q - (high - 1) + m)
                        line = kind(nearest(oy, oh) * ow)
                        total = zero
                        for n in range(wide):
                            share = gradient[index(base + kind(line + nearest(kind(ox - (wide - 1) + n), ow)))]
                            share = share if parts[n] != zero else zero
                            total += share * parts[n]
                        down = 1 if divisor != zero else window_part(include_pad, oy * sh - ph, kh, below, h)
                        sums[m] = total / out.dtype.type(down) if 0 <= oy < oh else zero
                for jy in range(sh):
                    iy = kind(q * sh + jy - ph)
                    total = zero
                    for m in range(high):
                        if jy + (high - 1 - m) * sh < kh:
                            total += sums[m]
                    if 0 <= iy < h:
                        out[index(to + kind(iy * w + ix))] = total
                for k in range(high - 1):
                    sums[k] = sums[k + 1]
                q, begin = q + 1, high - 1

    return named(_avg_pool2d_grad, kh, kw, sh, sw)


@kernel
def _max_pool2d_grad(
    out, worst, gradient, indices, planes, cells, chunks, rows, oh, ow, h, w, height, width, sh, sw, ph, pw
):  # fmt: skip
    # A thread owns a column of up to ``rows`` elements of a cell; a window's extent is ``height`` x ``width``.
    plane, chunk, column = unravelled(cuda.grid(1), cells * chunks, w + pw)
    if plane < planes:
        q, part = divided(chunk, chunks)
        ox, jx = divided(column, sw)
        ix = column - pw
        if jx == 0 and part == 0 and q < oh and ox < ow:
            _note(worst, indices[index((plane * oh + q) * ow + ox)], q, ox, h, w, height, width, sh, sw, ph, pw)
        first, last = _windows_over(ox, jx, width, sw, ow)
        end = (part + 1) * rows if (part + 1) * rows < sh else sh
        for jy in range(part * rows, end):
            iy = q * sh + jy - ph
            if 0 <= iy < h and ix >= 0:
                place, total = iy * w + ix, out.dtype.type(0)
                top, bottom = _windows_over(q, jy, height, sh, oh)
                for oy in range(top, bottom + 1):
                    line = (plane * oh + oy) * ow
                    for x in range(first, last + 1):
                        if indices[index(line + x)] == place:
                            total += gradient[index(line + x)]
                out[index(plane * h * w + place)] = total


@kernel
def _avg_pool2d_grad(
    out, gradient, planes, cells, chunks, rows, oh, ow, h, w, kh, kw, sh, sw, ph, pw, below, right, include_pad, divisor
):  # fmt: skip
    # A thread owns a column of up to ``rows`` elements of a cell; where one window alone holds them, it divides once.
    plane, chunk, ix = unravelled(cuda.grid(1), cells * chunks, w)
    if plane < planes:
        zero = out.dtype.type(0)
        q, part = divided(chunk, chunks)
        ox, jx = divided(ix + pw, sw)
        first, last = _windows_over(ox, jx, kw, sw, ow)
        end = (part + 1) * rows if (part + 1) * rows < sh else sh
        above, total = -1, zero
        for jy in range(part * rows, end):
            iy = q * sh + jy - ph
            top, bottom = _windows_over(q, jy, kh, sh, oh)
            if 0 <= iy < h:
                if top != above:
                    total = zero
                    for oy in range(top, bottom + 1):
                        line = (plane * oh + oy) * ow
                        down = window_part(include_pad, oy * sh - ph, kh, below, h)
                        for x in range(first, last + 1):
                            count = out.dtype.type(down * window_part(include_pad, x * sw - pw, kw, right, w))
                            total += gradient[index(line + x)] / (divisor if divisor != zero else count)
                    above = top
                out[index((plane * h + iy) * w + ix)] = total


@kernel
def _scatter_in_order(out, gradient, places, order, starts, listed, channels, plane, bins):
    # A block owns a plane, and adds the bins of each box on its image, box by box, where their maxima are.  The boxes
    # of an image stand in ``order`` from its ``starts`` on; if they are not listed, box i is the one of image i.
    turns = cuda.shared.array(SLOTS, int32)
    t = cuda.threadIdx.x
    for slot in range(t, SLOTS, THREADS):
        turns[slot] = THREADS
    image, c = divided(cuda.blockIdx.x, channels)
    first = starts[image] if listed else image
    boxes = starts[image + 1] - first if listed else 1
    base, begin = cuda.blockIdx.x * plane, 0
    target = out[base : base + plane]
    while begin < boxes * bins:
        where, share = -1, out.dtype.type(0)
        if begin + t < boxes * bins:
            number, bin = divided(begin + t, bins)
            box = order[first + number] if listed else first
            source = index((box * channels + c) * bins + bin)
            where, share = int64(places[source]), gradient[source]
        add_in_order(target, turns, where, share)
        begin += THREADS


# ------------------------------------------------------------------------------------------------- entries


def _cells(g):
    """How many cells of a stride's height cover the map from the first window on."""
    return -(-(g.height + g.pad_top) // g.stride_h)


def _groups(g, width, kind):
    """(threads, what tells them their cells: planes, groups of rows, rows in a group, rows, sizes and padding)."""
    cells = _cells(g)
    rows = rows_of_thread(g.planes * cells * width, cells)
    groups = -(-cells // rows)
    sizes = g.out_height, g.out_width, g.height, g.width, g.pad_top, g.pad_left
    return g.planes * groups * width, (g.planes, groups, rows, cells, *map(kind, sizes))


def _chunks(g, width):
    """(threads, (planes, cells, chunks of a cell, rows in a chunk)) for columns of parts of cells."""
    rows = min(g.stride_h, CHUNK)
    chunks = -(-g.stride_h // rows)
    return g.planes * _cells(g) * chunks * width, (g.planes, _cells(g), chunks, rows)


def scatter_in_order(out, grad_output, places, order, starts, listed, images, channels, g):
    """Add each element of grad_output at its place, from -1 nowhere; see ``_scatter_in_order``."""
    arithmetic.fill(grad_output.place.lend(out), 0)
    _scatter_in_order.blocks(
        grad_output.place, images * channels, THREADS, out, grad_output, places, order, starts, listed, channels,
        g.height * g.width, g.out_height * g.out_width,
    )  # fmt: skip


def max_pool2d_backward(out, grad_output, indices, g):
    """Fill the gradient; False, and not all of it, if an index is not on the input.

    Indices that are not in their own windows, which the forward does not give, are found by the first kernel, and a
    second one adds them.
    """
    place = grad_output.place
    high, wide = (g.kernel_height - 1) * g.dilation_h + 1, (g.kernel_width - 1) * g.dilation_w + 1
    if -(-high // g.stride_h) * -(-wide // g.stride_w) > OVERLAP and 1024 * g.planes >= FILLED:
        if first_outside(indices, g.height * g.width, -1) >= 0:
            return False
        scatter_in_order(out, grad_output, indices, indices, indices, False, g.planes, 1, g)
        return True
    worst = arithmetic.full(place, 1, NOWHERE, arithmetic.INT64)
    arrays, width = (out, worst, grad_output, indices), g.width + g.pad_left
    if is_small(g):
        window, kind = constants(g)
        count, owned = _groups(g, width, kind)
        _max_pool2d_small(*window, kind).threads(place, count, *arrays, *owned)
    else:
        count, owned = _chunks(g, width)
        sizes = g.out_height, g.out_width, g.height, g.width
        steps = g.stride_h, g.stride_w, g.pad_top, g.pad_left
        _max_pool2d_grad.threads(place, count, *arrays, *owned, *sizes, high, wide, *steps)
    found = int(fetch(place, worst)[0])
    if found == OFF_WINDOW:
        scatter_in_order(out, grad_output, indices, worst, worst, False, g.planes, 1, g)
    return found != OFF_MAP


def avg_pool2d_backward(out, grad_output, g, count_include_pad, divisor):
    place, dividing = grad_output.place, (count_include_pad, grad_output.dtype.type(divisor))
    if is_small(g):
        window, kind = constants(g)
        below, right = kind(g.pad_bottom), kind(g.pad_right)
        count, owned = _groups(g, g.width, kind)
        _avg_pool2d_small(*window, kind).threads(place, count, out, grad_output, *owned, below, right, *dividing)
    else:
        count, owned = _chunks(g, g.width)
        _, _, *window, _, _, below, right = g  # which is never dilated
        _avg_pool2d_grad.threads(place, count, out, grad_output, *owned, *window, below, right, *dividing)
