"""batch_norm on CUDA.

A thread takes mean and sum of squared deviations (m2) of a few elements in its registers and joins them with those
before in float64 (Chan, Golub, LeVeque 1979); a block joins its threads, a second kernel a channel's blocks, all in a
fixed order: memory is read once, nothing cancels when |mean| >> std, and the bits are the same every run.

The array is a matrix (n, width) with width = channels * inner.  A block of moments owns a window of it: some rows of a
piece of one channel's plane, or, where planes are short, of neighbouring columns, which it keeps apart.
"""

from typing import NamedTuple

from numba import float64

from ..cpu.norm import inverse_deviation, joined, normalized, remainder, updated
from ._launch import SIMULATED, THREADS, cuda, device, kernel
from .arithmetic import FLOAT64
from .vectors import load4, store4, wide

HELD = 4 if SIMULATED else 8
"""Elements whose mean a thread finds in its registers."""
COLUMNS = 6 if SIMULATED else 64
"""Planes shorter than this are columns of a matrix where means are found."""
PLANE = 20 if SIMULATED else 1024
"""Planes shorter than this are columns of a matrix where they are written."""
LANES = 4 if SIMULATED else 32
"""Neighbouring threads of a block that are on neighbouring columns, at least, if there are so many."""
FULL = 6 if SIMULATED else 2048
"""Blocks that keep a device busy."""
JOINERS = 4 if SIMULATED else 32
"""Threads that join the parts of a channel."""
ROWS = 4 if SIMULATED else 16
"""Elements that a thread writes, if there are so many."""

# ------------------------------------------------------------------------------------------------- routines


@device
def window_of_thread(n, width, span, pieces, size, rows, lanes, apart):
    """(address, steps, step, turns, turn, slot, group): what a thread reads of its block's window, and where it joins.

    It makes so many steps along the row, or down a column, and then a turn to the next row.  Slots of a group join.
    """
    t, windows = cuda.threadIdx.x, width // span * pieces
    number, part = cuda.blockIdx.x % windows, cuda.blockIdx.x // windows
    channel, piece = number // pieces, number % pieces
    across = 1 << lanes
    down = THREADS >> lanes
    lane, row = t & (across - 1), t >> lanes
    columns = span - piece * size if span - piece * size < size else size
    heights = n - part * rows if n - part * rows < rows else rows
    columns = (columns - lane + across - 1) >> lanes if lane < columns else 0
    heights = (heights - row + down - 1) // down if row < heights else 0
    at = (part * rows + row) * width + channel * span + piece * size + lane
    slot = lane * down + row
    if apart:
        return at, heights, down * width, columns, 0, slot, down
    return at, columns, across, heights, down * width - (columns << lanes), slot, THREADS


@device
def cell_of_sums(n, width, span, pieces, size, rows, inner, lanes, apart):
    """Where the sums of the window, or of the thread's column, go: those of a channel stand together."""
    windows = width // span * pieces
    number, part = cuda.blockIdx.x % windows, cuda.blockIdx.x // windows
    if apart:
        column = number * size + (cuda.threadIdx.x & ((1 << lanes) - 1))
        return column // inner * (inner * -(-n // rows)) + part * inner + column % inner
    return number // pieces * (pieces * -(-n // rows)) + part * pieces + number % pieces


def joined_slots(join):
    """A device function that joins the parts of each group of slots; those of the first slots are right then."""

    def join_group(parts, slot, group):
        cuda.syncthreads()
        step = group >> 1
        while step > 0:
            other = slot + step
            if slot & (group - 1) < step and parts[0, other] > 0:
                join(parts, slot, other)
            cuda.syncthreads()
            step >>= 1

    return device(join_group)


@device
def _join_moments(parts, slot, other):
    """Join count, mean and m2 of two slots."""
    parts[0, slot], parts[1, slot], parts[2, slot] = joined(
        parts[0, slot], parts[1, slot], parts[2, slot], parts[0, other], parts[1, other], parts[2, other]
    )


_joined_moments = joined_slots(_join_moments)


# ------------------------------------------------------------------------------------------------- kernels


@kernel(float64=True)
def _moments(out, x, n, width, span, pieces, size, rows, inner, lanes, apart, cells):
    # A block owns a window; out takes count, mean and m2 of it, or of each of its columns.
    parts, held = cuda.shared.array((3, THREADS), float64), cuda.local.array(HELD, x.dtype)
    at, steps, step, turns, turn, slot, group = window_of_thread(n, width, span, pieces, size, rows, lanes, apart)
    count, mean, m2 = 0.0, 0.0, 0.0
    done = 0 if steps > 0 else steps
    if steps == 0:
        turns = 0
    while turns > 0:
        amount, total, squares = HELD, 0.0, 0.0
        if done + HELD <= steps:
            for k in range(HELD):
                held[k] = x[at + k * step]
            for k in range(HELD):
                total += float64(held[k])
            average = total * (1.0 / HELD)
            for k in range(HELD):
                squares += (float64(held[k]) - average) * (float64(held[k]) - average)
            done += HELD
            at += HELD * step
            if done == steps:
                done, turns, at = 0, turns - 1, at + turn
        else:
            amount = 0
            for k in range(HELD):
                if turns > 0:
                    held[k] = x[at]
                    amount += 1
                    done += 1
                    at += step
                    if done == steps:
                        done, turns, at = 0, turns - 1, at + turn
            for k in range(HELD):
                if k < amount:
                    total += float64(held[k])
            average = total / amount
            for k in range(HELD):
                if k < amount:
                    squares += (float64(held[k]) - average) * (float64(held[k]) - average)
        count, mean, m2 = joined(count, mean, m2, float64(amount), average, squares)
    parts[0, slot], parts[1, slot], parts[2, slot] = count, mean, m2
    _joined_moments(parts, slot, group)
    if slot & (group - 1) == 0 and parts[0, slot] > 0:
        cell = cell_of_sums(n, width, span, pieces, size, rows, inner, lanes, apart)
        out[cell], out[cells + cell], out[2 * cells + cell] = parts[0, slot], parts[1, slot], parts[2, slot]


@kernel(float64=True)
def _channel_moments(found, running_mean, running_var, sums, updates, momentum, channels):
    # A block owns a channel and joins its parts; found takes mean and biased variance.
    parts, t, c = cuda.shared.array((3, JOINERS), float64), cuda.threadIdx.x, cuda.blockIdx.x
    total = sums.size // 3
    cells = total // channels
    count, mean, m2 = 0.0, 0.0, 0.0
    for cell in range(c * cells + t, (c + 1) * cells, JOINERS):
        count, mean, m2 = joined(count, mean, m2, sums[cell], sums[total + cell], sums[2 * total + cell])
    parts[0, t], parts[1, t], parts[2, t] = count, mean, m2
    _joined_moments(parts, t, JOINERS)
    if t == 0:
        count, mean, var = parts[0, 0], parts[1, 0], parts[2, 0] / parts[0, 0]
        found[c], found[channels + c] = mean, var
        if updates:
            running_mean[c] = updated(float64(running_mean[c]), mean, momentum)
            running_var[c] = updated(float64(running_var[c]), var * (count / (count - 1.0)), momentum)


@kernel(float64=True)
def _batch_norm_planes(out, x, mean, var, var_at, weight, bias, has_weight, has_bias, eps, channels, inner, pieces,
                       size, by_four):  # fmt: skip
    # A block owns a piece of a plane.
    parts, t = cuda.shared.array(4, x.dtype), cuda.threadIdx.x
    plane, piece = cuda.blockIdx.x // pieces, cuda.blockIdx.x % pieces
    c = plane % channels
    if t == 0:
        scale = inverse_deviation(var[var_at + c], eps)
        parts[0] = mean[c]
        parts[1] = remainder(float64(mean[c]), float64(parts[0]))
        parts[2] = scale * float64(weight[c]) if has_weight else scale
        parts[3] = bias[c] if has_bias else x.dtype.type(0)
    cuda.syncthreads()
    high, low, scale, shift = parts[0], parts[1], parts[2], parts[3]
    first = plane * inner + piece * size
    end = first + size if piece < pieces - 1 else (plane + 1) * inner
    if by_four:
        for i in range(first + 4 * t, end, 4 * THREADS):
            p, q, r, s = load4(x, i)
            store4(out, i, normalized(p, high, low, scale, shift), normalized(q, high, low, scale, shift),
                   normalized(r, high, low, scale, shift), normalized(s, high, low, scale, shift))  # fmt: skip
    else:
        for i in range(first + t, end, THREADS):
            out[i] = normalized(x[i], high, low, scale, shift)


@kernel(float64=True)
def _batch_norm_columns(out, x, mean, var, var_at, weight, bias, has_weight, has_bias, eps, n, width, inner, rows,
                        lanes):  # fmt: skip
    # A block owns 2^lanes neighbouring columns of some rows, a thread every so manieth row.
    t, windows, down = cuda.threadIdx.x, (width + (1 << lanes) - 1) >> lanes, THREADS >> lanes
    column = (cuda.blockIdx.x % windows << lanes) + (t & ((1 << lanes) - 1))
    first, step = cuda.blockIdx.x // windows * rows, down * width
    end = (first + rows if first + rows < n else n) * width
    if column < width:
        c = column // inner
        scale = inverse_deviation(var[var_at + c], eps)
        high = x.dtype.type(mean[c])
        low = x.dtype.type(remainder(float64(mean[c]), float64(high)))
        scale = x.dtype.type(scale * float64(weight[c]) if has_weight else scale)
        shift = bias[c] if has_bias else x.dtype.type(0)
        i = (first + (t >> lanes)) * width + column
        while i + 3 * step < end:
            p, q, r, s = x[i], x[i + step], x[i + 2 * step], x[i + 3 * step]
            out[i] = normalized(p, high, low, scale, shift)
            out[i + step] = normalized(q, high, low, scale, shift)
            out[i + 2 * step] = normalized(r, high, low, scale, shift)
            out[i + 3 * step] = normalized(s, high, low, scale, shift)
            i += 4 * step
        while i < end:
            out[i] = normalized(x[i], high, low, scale, shift)
            i += step


# ------------------------------------------------------------------------------------------------- entries


class Cut(NamedTuple):
    """How the matrix is cut into windows; the numbers from n to cells are arguments of the kernels."""

    blocks: int
    n: int
    width: int
    span: int  # columns that ``pieces`` windows of ``size`` lie in: a channel's or all
    pieces: int
    size: int
    rows: int  # of a window
    inner: int
    lanes: int  # log2 of the neighbouring threads on neighbouring columns
    apart: bool  # whether columns have sums of their own
    cells: int  # windows or columns that have sums


def cut_moments(g):
    """How moments of channels are shared out."""
    n, channels, inner = g
    width, part = channels * inner, 2 * HELD * THREADS  # the least elements of a window
    if inner < COLUMNS:
        lanes = min((width - 1).bit_length(), LANES.bit_length() - 1)
        windows = -(-width // (1 << lanes))
        rows = -(-n // max(1, min(-(-(n << lanes) // part), -(-FULL // windows))))
        parts = -(-n // rows)
        return Cut(windows * parts, n, width, width, windows, 1 << lanes, rows, inner, lanes, True, width * parts)
    wanted = max(1, min(-(-n * inner // part), -(-FULL // channels)))
    rows = -(-n // min(n, wanted))
    parts = -(-n // rows)
    down = 1 << min(rows.bit_length(), (THREADS // LANES).bit_length()) - 1
    lanes = (THREADS // down).bit_length() - 1
    size = -(-inner // -(-wanted // parts))
    size = -(-size // (HELD << lanes)) * (HELD << lanes)
    pieces = -(-inner // size)
    cells = channels * pieces * parts
    return Cut(cells, n, width, inner, pieces, size, rows, inner, lanes, False, cells)


def moments(input, g, running_mean=None, running_var=None, momentum=0.0):
    """(2, C): mean and biased variance of each channel, float64; they move the running statistics, if there are any."""
    place, cut, updates = input.place, cut_moments(g), running_mean is not None
    blocks, *window = cut
    found, sums = place.empty((2, g.size), FLOAT64), place.empty((3, cut.cells), FLOAT64)
    found, sums = place.lend(found), place.lend(sums)
    _moments.blocks(place, blocks, THREADS, sums, input, *window)
    mean, var = (running_mean, running_var) if updates else (input, input)
    _channel_moments.blocks(place, g.size, JOINERS, found, mean, var, sums, updates, float(momentum), g.size)
    return found


def batch_norm(out, input, mean, var, found, weight, bias, eps, g):
    """Normalise by the moments found, or by the given mean and variance where ``found`` is None."""
    place, has_weight, has_bias = input.place, weight is not None, bias is not None
    mean, var, var_at = (mean, var, 0) if found is None else (found, found, g.size)
    arrays = mean, var, var_at, weight if has_weight else input, bias if has_bias else input, has_weight, has_bias
    if g.inner < PLANE:
        blocks, rows, lanes = cut_columns(g)
        _batch_norm_columns.blocks(place, blocks, THREADS, out, input, *arrays, float(eps), g.outer, g.size * g.inner,
                                   g.inner, rows, lanes)  # fmt: skip
    else:
        blocks, pieces, size = cut_planes(g)
        out, input, by_four = wide(place, out, input)
        _batch_norm_planes.blocks(place, blocks, THREADS, out, input, *arrays, float(eps), g.size, g.inner, pieces,
                                  size, by_four and g.inner % 4 == 0)  # fmt: skip


def cut_columns(g):
    """(blocks, rows of a block, log2 of its columns), to write the array by columns."""
    width = g.size * g.inner
    lanes = min((width - 1).bit_length(), THREADS.bit_length() - 1)
    windows, down = -(-width // (1 << lanes)), THREADS >> lanes
    rows = down * max(1, min(ROWS, g.outer * windows // (down * FULL)))
    return windows * -(-g.outer // rows), rows, lanes


def cut_planes(g):
    """(blocks, pieces of a plane, elements of a piece), to write the array by planes."""
    pieces = -(-g.inner // (ROWS * THREADS))
    size = -(-g.inner // (4 * pieces)) * 4
    pieces = -(-g.inner // size)
    return g.outer * g.size * pieces, pieces, size
