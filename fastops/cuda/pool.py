"""max_pool2d and avg_pool2d on CUDA.

Small windows, and larger ones that overlap, have their size compiled in: see pool_columns.py.  A large window of few
outputs, or of outputs far apart, is the work of a team of threads, which read it side by side.  All others: a thread
owns an output.
"""

import numpy as np
from numba import int64

from ..cpu.windows import end_inside, first_inside, window_part, wins
from ._launch import SIMULATED, THREADS, cuda, device, kernel
from .check import NOWHERE
from .places import divided, index, unravelled
from .pool_columns import FILLED, avg_pool2d_columns, is_sliding, is_small, max_pool2d_columns

LARGE = 32  # elements of the smallest window that is worth a team

# ------------------------------------------------------------------------------------------------- routines


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
def _avg_pool2d(out, x, include_pad, divisor, oh, ow, h, w, kh, kw, sh, sw, ph, pw, below, right):
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
        count = window_part(include_pad, iy0, kh, below, h) * window_part(include_pad, ix0, kw, right, w)
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
    out, x, team, across, include_pad, divisor, oh, ow, h, w, kh, kw, sh, sw, ph, pw, below, right
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
        down = window_part(include_pad, oy * sh - ph, kh, below, h)
        count = down * window_part(include_pad, ox * sw - pw, kw, right, w)
        out[index(o)] = partial[t] / (divisor if divisor != zero else x.dtype.type(count))


# ------------------------------------------------------------------------------------------------- entries


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


# A kernel takes the numbers of its geometry one by one, as the CPU's do.


def max_pool2d(out, indices, input, g):
    if is_small(g) or is_sliding(g):
        max_pool2d_columns(out, indices, input, g)
        return
    place, with_indices = input.place, indices is not None
    arrays = out, indices if with_indices else out, input
    _, _, *window, _, _ = g  # of which the maximum needs no padding at the bottom and right
    team, across = _team(g)
    if team:
        blocks = -(-place.lend(out).size // (THREADS // team))
        _max_pool2d_large.blocks(place, blocks, THREADS, *arrays, with_indices, team, across, *window)
    else:
        _max_pool2d.threads(place, place.lend(out).size, *arrays, with_indices, *window)


def avg_pool2d(out, input, g, count_include_pad, divisor):
    if is_small(g) or is_sliding(g):
        avg_pool2d_columns(out, input, g, count_include_pad, divisor)
        return
    place, dividing = input.place, (count_include_pad, input.dtype.type(divisor))
    _, _, *window, _, _, below, right = g  # which is never dilated
    team, across = _team(g)
    if team:
        blocks = -(-place.lend(out).size // (THREADS // team))
        _avg_pool2d_large.blocks(place, blocks, THREADS, out, input, team, across, *dividing, *window, below, right)
    else:
        _avg_pool2d.threads(place, place.lend(out).size, out, input, *dividing, *window, below, right)
