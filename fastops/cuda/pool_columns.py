"""max_pool2d and avg_pool2d on CUDA by windows whose size is compiled in.

A thread goes down a column of outputs and keeps the maxima (or sums) of the rows that the next window shares.  Small
windows have their stride compiled in as well.
"""

import functools

import numpy as np

from ..cpu.windows import window_part, wins
from ._launch import SIMULATED, cuda, device, kernel
from .places import index, nearest, unravelled

SMALL = 9  # elements of the largest window whose stride is compiled in as well
SLIDING = 16  # most rows and columns of a window that overlaps others
FILLED = 1 if SIMULATED else 2**18  # threads that keep a device busy
ROWS = 8  # most outputs of a column that a thread owns

# ------------------------------------------------------------------------------------------------- routines


@device
def _column(groups, rows, oh, ow, h, w, sw, pw):
    """(plane, where it begins, ix0, first and end of a thread's outputs in a column, where the first one lies)."""
    plane, group, ox = unravelled(cuda.grid(1), groups, ow)
    oy = group * rows
    end = oy + rows if oy + rows < oh else oh
    return plane, plane * (h * w), ox * sw - pw, oy, end, (plane * oh + oy) * ow + ox


@device
def _row_max(x, base, iy, ix0, kw, h, w):
    """(maximum, its place) of a row of a window.

    What lies off the map is read at its border, which is in the window as well: neither the maximum nor its place
    changes.
    """
    kind = type(ix0)
    line = kind(nearest(iy, h) * w)
    place = kind(line + nearest(ix0, w))
    value = x[index(base + place)]
    for kx in range(1, kw):
        there = kind(line + nearest(kind(ix0 + kx), w))
        other = x[index(base + there)]
        take = wins(other, value)
        value, place = other if take else value, there if take else place
    return value, place


@device
def _window_max(best, where, kh):
    """(maximum, its place) of the rows of a window."""
    value, place = best[0], where[0]
    for ky in range(1, kh):
        take = wins(best[ky], value)
        value, place = best[ky] if take else value, where[ky] if take else place
    return value, place


@device
def _row_sum(x, base, iy, ix0, kw, h, w):
    """The sum of a row of a window."""
    kind, zero = type(ix0), x.dtype.type(0)
    line = kind(nearest(iy, h) * w)
    total = zero
    for kx in range(kw):
        ix = nearest(kind(ix0 + kx), w)
        value = x[index(base + kind(line + ix))]
        total += value if ix == ix0 + kx else zero
    return total if 0 <= iy < h else zero


# ------------------------------------------------------------------------------------------------- kernels


def named(function, kh, kw, *stride):
    """The kernel of a window, which bears its numbers in its name."""
    function.__name__ += f"_{kh}x{kw}" + ("_stride_{}x{}".format(*stride) if stride else "")
    return kernel(function)


@functools.cache
def _max_pool2d_small(kh, kw, sh, sw, places, kind):
    """The kernel for a window of constant size and stride, with places or without; they are of type ``kind``."""
    shared = kh - sh if kh > sh else 0

    def _max_pool2d(out, indices, x, planes, groups, rows, oh, ow, h, w, ph, pw):
        # A thread owns up to ``rows`` outputs of a column.  What lies off the map is read at its border, which is in
        # the window as well: neither the maximum nor its place changes.
        plane, base, ix0, oy, end, to = _column(groups, rows, oh, ow, h, w, sw, pw)
        if plane < planes:
            best, where = cuda.local.array(kh, x.dtype), cuda.local.array(kh, kind)
            ix0 = kind(ix0)
            begin = 0
            while oy < end:
                for ky in range(kh):
                    if ky >= begin:
                        best[ky], where[ky] = _row_max(x, base, kind(oy * sh - ph + ky), ix0, kw, h, w)
                value, place = _window_max(best, where, kh)
                out[index(to)] = value
                if places:
                    indices[index(to)] = place
                for ky in range(shared):
                    best[ky], where[ky] = best[ky + sh], where[ky + sh]
                oy, to, begin = oy + 1, to + ow, shared

    return named(_max_pool2d, kh, kw, sh, sw)


@functools.cache
def _avg_pool2d_small(kh, kw, sh, sw, kind):
    """The kernel for a window of constant size and stride; places are of type ``kind``."""
    shared = kh - sh if kh > sh else 0

    def _avg_pool2d(out, x, planes, groups, rows, oh, ow, h, w, ph, pw, below, right, include_pad, divisor):
        # A thread owns up to ``rows`` outputs of a column, and adds up rows, then their sums, as on the CPU.
        plane, base, ix0, oy, end, to = _column(groups, rows, oh, ow, h, w, sw, pw)
        if plane < planes:
            zero = x.dtype.type(0)
            sums = cuda.local.array(kh, x.dtype)
            ix0 = kind(ix0)
            across = divisor if divisor != zero else x.dtype.type(window_part(include_pad, ix0, kw, right, w))
            begin = 0
            while oy < end:
                iy0 = kind(oy * sh - ph)
                for ky in range(kh):
                    if ky >= begin:
                        sums[ky] = _row_sum(x, base, kind(iy0 + ky), ix0, kw, h, w)
                total = zero
                for ky in range(kh):
                    total += sums[ky]
                down = 1 if divisor != zero else window_part(include_pad, iy0, kh, below, h)
                out[index(to)] = total / (across * x.dtype.type(down))
                for ky in range(shared):
                    sums[ky] = sums[ky + sh]
                oy, to, begin = oy + 1, to + ow, shared

    return named(_avg_pool2d, kh, kw, sh, sw)


@functools.cache
def _max_pool2d_sliding(kh, kw, places, kind):
    """The kernel for a larger window of constant size, with places or without; they are of type ``kind``."""

    def _max_pool2d(out, indices, x, planes, groups, rows, oh, ow, h, w, ph, pw, sh, sw):
        # A thread owns up to ``rows`` outputs of a column: it goes down the rows under them, keeps the maxima of the
        # last ``kh``, and joins them where a window ends.  Off the map it reads the border, as above.
        plane, base, ix0, oy, end, to = _column(groups, rows, oh, ow, h, w, sw, pw)
        if plane < planes:
            best, where = cuda.local.array(kh, x.dtype), cuda.local.array(kh, kind)
            ix0 = kind(ix0)
            iy, left = kind(oy * sh - ph), kind(kh)
            while oy < end:
                for ky in range(kh - 1):
                    best[ky], where[ky] = best[ky + 1], where[ky + 1]
                best[kh - 1], where[kh - 1] = _row_max(x, base, iy, ix0, kw, h, w)
                iy, left = kind(iy + 1), kind(left - 1)
                if left == 0:
                    value, place = _window_max(best, where, kh)
                    out[index(to)] = value
                    if places:
                        indices[index(to)] = place
                    oy, to, left = oy + 1, to + ow, kind(sh)

    return named(_max_pool2d, kh, kw)


@functools.cache
def _avg_pool2d_sliding(kh, kw, kind):
    """The kernel for a larger window of constant size; places are of type ``kind``."""

    def _avg_pool2d(out, x, planes, groups, rows, oh, ow, h, w, ph, pw, sh, sw, below, right, include_pad, divisor):
        # A thread owns up to ``rows`` outputs of a column: it goes down the rows under them, keeps the sums of the
        # last ``kh``, and adds them up where a window ends.
        plane, base, ix0, oy, end, to = _column(groups, rows, oh, ow, h, w, sw, pw)
        if plane < planes:
            zero = x.dtype.type(0)
            sums = cuda.local.array(kh, x.dtype)
            ix0 = kind(ix0)
            across = divisor if divisor != zero else x.dtype.type(window_part(include_pad, ix0, kw, right, w))
            iy, left = kind(oy * sh - ph), kind(kh)
            while oy < end:
                for ky in range(kh - 1):
                    sums[ky] = sums[ky + 1]
                sums[kh - 1] = _row_sum(x, base, iy, ix0, kw, h, w)
                iy, left = kind(iy + 1), kind(left - 1)
                if left == 0:
                    total = zero
                    for ky in range(kh):
                        total += sums[ky]
                    down = 1 if divisor != zero else window_part(include_pad, oy * sh - ph, kh, below, h)
                    out[index(to)] = total / (across * x.dtype.type(down))
                    oy, to, left = oy + 1, to + ow, kind(sh)

    return named(_avg_pool2d, kh, kw)


# ------------------------------------------------------------------------------------------------- entries


def is_small(g):
    """Whether a window is one that kernels have as a constant."""
    dilated = g.dilation_h > 1 or g.dilation_w > 1
    fits = g.kernel_height * g.kernel_width <= SMALL and max(g.kernel_height, g.kernel_width) <= 4
    return fits and not dilated and max(g.stride_h, g.stride_w) <= 4


def is_sliding(g):
    """Whether a window is a larger one that shares most of its rows with the next one, and outputs are many."""
    dilated = g.dilation_h > 1 or g.dilation_w > 1
    fits = max(g.kernel_height, g.kernel_width) <= SLIDING and g.kernel_width > 1 and 2 * g.stride_h <= g.kernel_height
    return fits and not dilated and 16 * g.planes * g.out_height * g.out_width >= FILLED


def rows_of_thread(count, height, most=ROWS):
    """How many of the ``height`` rows a thread owns where a thread for each of ``count`` elements is too many."""
    return max(1, min(most, height, count // FILLED))


def constants(g):
    """What is compiled into the kernels of small windows: the window's size, its stride, the type of places."""
    # numbers of 32 bits take half the instructions
    more = 2 * SLIDING
    larger = max(g.height + more, g.out_height * g.stride_h) * max(g.width + more, g.out_width * g.stride_w)
    kind = np.int32 if larger < 2**31 else np.int64
    return (g.kernel_height, g.kernel_width, g.stride_h, g.stride_w), kind


def _columns(g, kind, most=ROWS, busy=1):
    """(threads, what tells them their outputs: planes, groups of rows, rows in a group, sizes and padding)."""
    rows = rows_of_thread(busy * g.planes * g.out_height * g.out_width, g.out_height, most)
    groups = -(-g.out_height // rows)
    sizes = g.out_height, g.out_width, g.height, g.width, g.pad_top, g.pad_left
    return g.planes * groups * g.out_width, (g.planes, groups, rows, *map(kind, sizes))


def max_pool2d_columns(out, indices, input, g):
    """Fill the maxima, and their places where ``indices`` is not None."""
    (kh, kw, sh, sw), kind = constants(g)
    with_indices = indices is not None
    arrays = out, indices if with_indices else out, input
    if is_small(g):
        count, owned = _columns(g, kind)
        _max_pool2d_small(kh, kw, sh, sw, with_indices, kind).threads(input.place, count, *arrays, *owned)
    else:
        count, owned = _columns(g, kind, 4 * kh, busy=4)
        _max_pool2d_sliding(kh, kw, with_indices, kind).threads(
            input.place, count, *arrays, *owned, kind(sh), kind(sw)
        )  # fmt: skip


def avg_pool2d_columns(out, input, g, count_include_pad, divisor):
    """Fill the means."""
    (kh, kw, sh, sw), kind = constants(g)
    dividing = kind(g.pad_bottom), kind(g.pad_right), count_include_pad, input.dtype.type(divisor)
    if is_small(g):
        count, owned = _columns(g, kind)
        _avg_pool2d_small(kh, kw, sh, sw, kind).threads(input.place, count, out, input, *owned, *dividing)
    else:
        count, owned = _columns(g, kind, 4 * kh, busy=4)
        _avg_pool2d_sliding(kh, kw, kind).threads(
            input.place, count, out, input, *owned, kind(sh), kind(sw), *dividing
        )  # fmt: skip
