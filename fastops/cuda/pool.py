"""max_pool2d and avg_pool2d on CUDA.

Small windows, and larger ones that overlap, have their size compiled in: a thread goes down a column of outputs and
keeps the maxima (or sums) of the rows that the next window shares.  A large window of few outputs, or of outputs far
apart, is the work of a team of threads, which read it side by side.  All others: a thread owns an output.
"""

import functools

import numpy as np
from numba import int64

from ..cpu.pool import end_inside, first_inside, wins
from ..cpu.pool import window_part as window_part
from ._launch import SIMULATED, THREADS, cuda, device, kernel
from .check import NOWHERE

SMALL = 9  # elements of the largest window whose stride is compiled in as well
SLIDING = 16  # most rows and columns of a window that overlaps others
LARGE = 32  # elements of the smallest one that is worth a team
FILLED = 1 if SIMULATED else 2**18  # threads that keep a device busy
ROWS = 8  # most outputs of a column that a thread owns

index = np.uint64
"""An index that is not negative: it saves the test for Python's negative ones, six instructions an access."""

# ------------------------------------------------------------------------------------------------- routines


@device
def divided(n, by):
    """(quotient, remainder) of numbers that are not negative: unsigned, a division of 32 bits where they are small."""
    quotient = np.int64(np.uint64(n) // np.uint64(by))
    return quotient, n - quotient * by


@device
def unravelled(i, middle, inner):
    """(place in the outer dimension, in the middle one, in the inner one) of element i."""
    i, c = divided(i, inner)
    a, b = divided(i, middle)
    return a, b, c


@device
def nearest(place, size):
    """The place in [0, size) that is nearest, of the type of ``place``."""
    kind = type(place)
    place = place if place > 0 else kind(0)
    return place if place < size else kind(size - 1)


@device
def _leads(value, place, best, best_place):
    """Whether one of two candidates, met in any order, is the window's best: see ``wins``."""
    if value != value:
        return (best == best) | (place > best_place)
    return (value > best) | ((value == best) & (place < best_place))


@device
def _window(o, oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw):
    """(plane, iy0, ix0, first and end of ky, of kx) of output o: the ky and kx are those inside the map."""
    plane, oy, ox = unravelled(o, oh, ow)
    iy0, ix0 = oy * sh - ph, ox * sw - pw
    ky0, ky1 = first_inside(iy0, dh), end_inside(iy0, dh, h, kh)
    kx0, kx1 = first_inside(ix0, dw), end_inside(ix0, dw, w, kw)
    return plane, iy0, ix0, ky0, ky1, kx0, kx1


@device
def _inside(lane, o, count, oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw, across):
    """What a lane of a team reads of the window of output o: (base, places of rows and columns, and their steps).

    Rows that lie one after the other count as one.
    """
    plane, iy0, ix0, ky0, ky1, kx0, kx1 = _window(o if o < count else 0, oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw)
    rows = ky1 - ky0 if o < count else 0
    columns = kx1 - kx0
    if columns == w and dw == 1 and dh == 1:
        rows, columns = 1 if rows > 0 else 0, columns * rows
    y, x = divided(lane, across)
    return plane * h * w, (iy0 + ky0 * dh) * w + ix0 + kx0 * dw, rows, columns, y, x


# ------------------------------------------------------------------------------------------------- kernels


@functools.cache
def _max_pool2d_small(kh, kw, sh, sw, places, kind):
    """The kernel for a window of constant size and stride, with places or without; they are of type ``kind``."""
    shared = kh - sh if kh > sh else 0

    def _max_pool2d(out, indices, x, planes, groups, rows, oh, ow, h, w, ph, pw):
        # A thread owns up to ``rows`` outputs of a column.  What lies off the map is read at its border, which is in
        # the window as well: neither the maximum nor its place changes.
        plane, group, ox = unravelled(cuda.grid(1), groups, ow)
        if plane < planes:
            best, where = cuda.local.array(kh, x.dtype), cuda.local.array(kh, kind)
            base, ix0 = plane * (h * w), kind(ox * sw - pw)
            oy = group * rows
            end = oy + rows if oy + rows < oh else oh
            to, begin = (plane * oh + oy) * ow + ox, 0
            while oy < end:
                for ky in range(kh):
                    if ky >= begin:
                        line = kind(nearest(kind(oy * sh - ph + ky), h) * w)
                        place = kind(line + nearest(ix0, w))
                        value = x[index(base + place)]
                        for kx in range(1, kw):
                            there = kind(line + nearest(kind(ix0 + kx), w))
                            other = x[index(base + there)]
                            take = wins(other, value)
                            value, place = other if take else value, there if take else place
                        best[ky], where[ky] = value, place
                value, place = best[0], where[0]
                for ky in range(1, kh):
                    take = wins(best[ky], value)
                    value, place = best[ky] if take else value, where[ky] if take else place
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

    def _avg_pool2d(out, x, planes, groups, rows, oh, ow, h, w, ph, pw, include_pad, divisor):
        # A thread owns up to ``rows`` outputs of a column, and adds up rows, then their sums, as on the CPU.
        plane, group, ox = unravelled(cuda.grid(1), groups, ow)
        if plane < planes:
            zero = x.dtype.type(0)
            sums = cuda.local.array(kh, x.dtype)
            base, ix0 = plane * (h * w), kind(ox * sw - pw)
            across = divisor if divisor != zero else x.dtype.type(window_part(include_pad, ix0, kw, pw, w))
            oy = group * rows
            end = oy + rows if oy + rows < oh else oh
            to, begin = (plane * oh + oy) * ow + ox, 0
            while oy < end:
                iy0 = kind(oy * sh - ph)
                for ky in range(kh):
                    if ky >= begin:
                        line = kind(nearest(kind(iy0 + ky), h) * w)
                        total = zero
                        for kx in range(kw):
                            ix = nearest(kind(ix0 + kx), w)
                            value = x[index(base + kind(line + ix))]
                            total += value if ix == ix0 + kx else zero
                        sums[ky] = total if 0 <= iy0 + ky < h else zero
                total = zero
                for ky in range(kh):
                    total += sums[ky]
                down = 1 if divisor != zero else window_part(include_pad, iy0, kh, ph, h)
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
        plane, group, ox = unravelled(cuda.grid(1), groups, ow)
        if plane < planes:
            best, where = cuda.local.array(kh, x.dtype), cuda.local.array(kh, kind)
            base, ix0 = plane * (h * w), kind(ox * sw - pw)
            oy = group * rows
            end = oy + rows if oy + rows < oh else oh
            to, iy, left = (plane * oh + oy) * ow + ox, kind(oy * sh - ph), kind(kh)
            while oy < end:
                for ky in range(kh - 1):
                    best[ky], where[ky] = best[ky + 1], where[ky + 1]
                line = kind(nearest(iy, h) * w)
                place = kind(line + nearest(ix0, w))
                value = x[index(base + place)]
                for kx in range(1, kw):
                    there = kind(line + nearest(kind(ix0 + kx), w))
                    other = x[index(base + there)]
                    take = wins(other, value)
                    value, place = other if take else value, there if take else place
                best[kh - 1], where[kh - 1] = value, place
                iy, left = kind(iy + 1), kind(left - 1)
                if left == 0:
                    value, place = best[0], where[0]
                    for ky in range(1, kh):
                        take = wins(best[ky], value)
                        value, place = best[ky] if take else value, where[ky] if take else place
                    out[index(to)] = value
                    if places:
                        indices[index(to)] = place
                    oy, to, left = oy + 1, to + ow, kind(sh)

    return named(_max_pool2d, kh, kw)


@functools.cache
def _avg_pool2d_sliding(kh, kw, kind):
    """The kernel for a larger window of constant size; places are of type ``kind``."""

    def _avg_pool2d(out, x, planes, groups, rows, oh, ow, h, w, ph, pw, sh, sw, include_pad, divisor):
        # A thread owns up to ``rows`` outputs of a column: it goes down the rows under them, keeps the sums of the
        # last ``kh``, and adds them up where a window ends.
        plane, group, ox = unravelled(cuda.grid(1), groups, ow)
        if plane < planes:
            zero = x.dtype.type(0)
            sums = cuda.local.array(kh, x.dtype)
            base, ix0 = plane * (h * w), kind(ox * sw - pw)
            across = divisor if divisor != zero else x.dtype.type(window_part(include_pad, ix0, kw, pw, w))
            oy = group * rows
            end = oy + rows if oy + rows < oh else oh
            to, iy, left = (plane * oh + oy) * ow + ox, kind(oy * sh - ph), kind(kh)
            while oy < end:
                for ky in range(kh - 1):
                    sums[ky] = sums[ky + 1]
                line = kind(nearest(iy, h) * w)
                total = zero
                for kx in range(kw):
                    ix = nearest(kind(ix0 + kx), w)
                    value = x[index(base + kind(line + ix))]
                    total += value if ix == ix0 + kx else zero
                sums[kh - 1] = total if 0 <= iy < h else zero
                iy, left = kind(iy + 1), kind(left - 1)
                if left == 0:
                    total = zero
                    for ky in range(kh):
                        total += sums[ky]
                    down = 1 if divisor != zero else window_part(include_pad, oy * sh - ph, kh, ph, h)
                    out[index(to)] = total / (across * x.dtype.type(down))
                    oy, to, left = oy + 1, to + ow, kind(sh)

    return named(_avg_pool2d, kh, kw)


@kernel
def _max_pool2d(out, indices, x, with_indices, oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw):
    # A thread owns an output, and meets its window in the order of places.
    o = cuda.grid(1)
    if o < out.size:
        plane, iy0, ix0, ky0, ky1, kx0, kx1 = _window(o, oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw)
        best, place = x.dtype.type(-np.inf), -1
        if ky0 < ky1 and kx0 < kx1:
            place = (iy0 + ky0 * dh) * w + ix0 + kx0 * dw
        for ky in range(ky0, ky1):
            line = (iy0 + ky * dh) * w + ix0
            for kx in range(kx0, kx1):
                value = x[index(plane * h * w + line + kx * dw)]
                take = wins(value, best)
                best, place = value if take else best, line + kx * dw if take else place
        out[index(o)] = best
        if with_indices:
            indices[index(o)] = place


@kernel
def _avg_pool2d(out, x, include_pad, divisor, oh, ow, h, w, kh, kw, sh, sw, ph, pw):
    # A thread owns an output.
    o = cuda.grid(1)
    if o < out.size:
        plane, iy0, ix0, ky0, ky1, kx0, kx1 = _window(o, oh, ow, h, w, kh, kw, sh, sw, ph, pw, 1, 1)
        zero = x.dtype.type(0)
        total = zero
        for ky in range(ky0, ky1):
            line = (plane * h + iy0 + ky) * w + ix0
            row = zero
            for kx in range(kx0, kx1):
                row += x[index(line + kx)]
            total += row
        count = window_part(include_pad, iy0, kh, ph, h) * window_part(include_pad, ix0, kw, pw, w)
        out[index(o)] = total / (divisor if divisor != zero else x.dtype.type(count))


@kernel
def _max_pool2d_large(
    out, indices, x, with_indices, team, across, oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw
):  # fmt: skip
    # A team of threads, a power of two of them, owns an output: they read ``across`` columns side by side.
    values = cuda.shared.array(THREADS, x.dtype)
    places = cuda.shared.array(THREADS, int64)
    t = cuda.threadIdx.x
    number, lane = divided(t, team)
    o = cuda.blockIdx.x * (THREADS // team) + number
    base, corner, rows, columns, iy, ix0 = _inside(
        lane, o, out.size, oh, ow, h, w, kh, kw, sh, sw, ph, pw, dh, dw, across
    )
    best, place = x.dtype.type(-np.inf), NOWHERE
    while iy < rows:
        line, ix = corner + iy * dh * w, ix0
        while ix + 3 * across < columns:
            p0, p1 = line + ix * dw, line + (ix + across) * dw
            p2, p3 = line + (ix + 2 * across) * dw, line + (ix + 3 * across) * dw
            a, b, c, d = x[index(base + p0)], x[index(base + p1)], x[index(base + p2)], x[index(base + p3)]
            best, place = (a, p0) if _leads(a, p0, best, place) else (best, place)
            best, place = (b, p1) if _leads(b, p1, best, place) else (best, place)
            best, place = (c, p2) if _leads(c, p2, best, place) else (best, place)
            best, place = (d, p3) if _leads(d, p3, best, place) else (best, place)
            ix += 4 * across
        while ix < columns:
            p0 = line + ix * dw
            a = x[index(base + p0)]
            best, place = (a, p0) if _leads(a, p0, best, place) else (best, place)
            ix += across
        iy += team // across
    values[t], places[t] = best, place
    cuda.syncthreads()
    step = team // 2
    while step > 0:
        if lane < step and _leads(values[t + step], places[t + step], values[t], places[t]):
            values[t], places[t] = values[t + step], places[t + step]
        cuda.syncthreads()
        step //= 2
    if lane == 0 and o < out.size:
        out[index(o)] = values[t]
        if with_indices:
            indices[index(o)] = places[t] if places[t] < NOWHERE else -1


@kernel
def _avg_pool2d_large(
    out, x, team, across, include_pad, divisor, oh, ow, h, w, kh, kw, sh, sw, ph, pw
):  # fmt: skip
    # A team of threads, a power of two of them, owns an output: they read ``across`` columns side by side.
    partial = cuda.shared.array(THREADS, x.dtype)
    t = cuda.threadIdx.x
    number, lane = divided(t, team)
    o = cuda.blockIdx.x * (THREADS // team) + number
    base, corner, rows, columns, iy, ix0 = _inside(
        lane, o, out.size, oh, ow, h, w, kh, kw, sh, sw, ph, pw, 1, 1, across
    )
    zero = x.dtype.type(0)
    total = zero
    while iy < rows:
        i, end = base + corner + iy * w + ix0, base + corner + iy * w + columns
        while i + 3 * across < end:
            a, b = x[index(i)], x[index(i + across)]
            c, d = x[index(i + 2 * across)], x[index(i + 3 * across)]
            total += (a + b) + (c + d)
            i += 4 * across
        while i < end:
            total += x[index(i)]
            i += across
        iy += team // across
    partial[t] = total
    cuda.syncthreads()
    step = team // 2
    while step > 0:
        if lane < step:
            partial[t] += partial[t + step]
        cuda.syncthreads()
        step //= 2
    if lane == 0 and o < out.size:
        _, oy, ox = unravelled(o, oh, ow)
        count = window_part(include_pad, oy * sh - ph, kh, ph, h) * window_part(include_pad, ox * sw - pw, kw, pw, w)
        out[index(o)] = partial[t] / (divisor if divisor != zero else x.dtype.type(count))


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


def named(function, kh, kw, *stride):
    """The kernel of a window, which bears its numbers in its name."""
    function.__name__ += f"_{kh}x{kw}" + ("_stride_{}x{}".format(*stride) if stride else "")
    return kernel(function)


def _columns(g, kind, most=ROWS, busy=1):
    """(threads, what tells them their outputs: planes, groups of rows, rows in a group, sizes and padding)."""
    rows = rows_of_thread(busy * g.planes * g.out_height * g.out_width, g.out_height, most)
    groups = -(-g.out_height // rows)
    return g.planes * groups * g.out_width, (g.planes, groups, rows, *map(kind, (*g[2:6], *g[10:12])))


def _team(g):
    """(threads for each output, how many of them for a row of its window), or (0, 0) where a thread each is better."""
    height, width = min(g.kernel_height, g.height), min(g.kernel_width, g.width)
    outputs = g.planes * g.out_height * g.out_width
    if height * width < LARGE or (outputs >= FILLED and g.stride_w < 8 and not SIMULATED):
        return 0, 0
    contiguous = g.kernel_width >= g.width and g.dilation_w == 1 and g.dilation_h == 1
    team = _power_of_two(min(THREADS, height * width // 4))
    return team, min(team, 2 * _power_of_two(height * width if contiguous else width))


def _power_of_two(size):
    """The largest power of two up to ``size``."""
    return 1 << (int(size).bit_length() - 1)


def max_pool2d(out, indices, input, g):
    place, with_indices = input.place, indices is not None
    arrays = out, indices if with_indices else out, input
    team, across = _team(g)
    if is_small(g):
        window, kind = constants(g)
        count, owned = _columns(g, kind)
        _max_pool2d_small(*window, with_indices, kind).threads(place, count, *arrays, *owned)
    elif is_sliding(g):
        (kh, kw, *stride), kind = constants(g)
        count, owned = _columns(g, kind, 4 * kh, busy=4)
        _max_pool2d_sliding(kh, kw, with_indices, kind).threads(place, count, *arrays, *owned, *map(kind, stride))
    elif team:
        blocks = -(-place.lend(out).size // (THREADS // team))
        _max_pool2d_large.blocks(place, blocks, THREADS, *arrays, with_indices, team, across, *g[2:])
    else:
        _max_pool2d.threads(place, place.lend(out).size, *arrays, with_indices, *g[2:])


def avg_pool2d(out, input, g, count_include_pad, divisor):
    place, dividing = input.place, (count_include_pad, input.dtype.type(divisor))
    team, across = _team(g)
    if is_small(g):
        window, kind = constants(g)
        count, owned = _columns(g, kind)
        _avg_pool2d_small(*window, kind).threads(place, count, out, input, *owned, *dividing)
    elif is_sliding(g):
        (kh, kw, *stride), kind = constants(g)
        count, owned = _columns(g, kind, 4 * kh, busy=4)
        sizes = *owned, *map(kind, stride)
        _avg_pool2d_sliding(kh, kw, kind).threads(place, count, out, input, *sizes, *dividing)
    elif team:
        blocks = -(-place.lend(out).size // (THREADS // team))
        _avg_pool2d_large.blocks(place, blocks, THREADS, out, input, team, across, *dividing, *g[2:12])
    else:
        _avg_pool2d.threads(place, place.lend(out).size, out, input, *dividing, *g[2:12])
