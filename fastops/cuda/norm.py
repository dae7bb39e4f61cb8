"""batch_norm on CUDA.

A thread takes mean and sum of squared deviations (m2) of a few elements in its registers and joins them with those
before in float64 (Chan, Golub, LeVeque 1979); a block joins its threads, a second kernel a channel's blocks, all in a
fixed order: memory is read once, nothing cancels when |mean| >> std, and the bits are the same every run.

The array is a matrix (n, width) with width = channels * inner.  A block of moments owns a window of it: some rows of a
piece of one channel's plane, or, where planes are short, of neighbouring columns, which it keeps apart.
"""

from typing import NamedTuple

from numba import float64

from ..cpu.norm import gradient_line, inverse_deviation, joined, normalized, remainder, updated
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
def _window(n, width, span, pieces, size, rows, lanes, apart):
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
def _cell(n, width, span, pieces, size, rows, inner, lanes, apart):
    """Where the sums of the window, or of the thread's column, go: those of a channel stand together."""
    windows = width // span * pieces
    number, part = cuda.blockIdx.x % windows, cuda.blockIdx.x // windows
    if apart:
        column = number * size + (cuda.threadIdx.x & ((1 << lanes) - 1))
        return column // inner * (inner * -(-n // rows)) + part * inner + column % inner
    return number // pieces * (pieces * -(-n // rows)) + part * pieces + number % pieces


@device
def _joined_parts(parts, slot, group):
    """Join count, mean and m2 of each group of slots; those of the first slots are right then."""
    cuda.syncthreads()
    step = group >> 1
    while step > 0:
        other = slot + step
        if slot & (group - 1) < step and parts[0, other] > 0:
            parts[0, slot], parts[1, slot], parts[2, slot] = joined(
                parts[0, slot], parts[1, slot], parts[2, slot], parts[0, other], parts[1, other], parts[2, other]
            )
        cuda.syncthreads()
        step >>= 1


@device
def _moved(deviation, sum, away):
    """The sum of g * (x - mean) when the mean goes ``away``; ``sum`` is the sum of g."""
    return deviation if away == 0 else deviation - away * sum


@device
def _with_gradients(count, mean, m2, sum, deviation, count_b, mean_b, m2_b, sum_b, deviation_b):
    """``joined`` for the sums of g and of g * (x - mean) too; the second set is not empty."""
    if count == 0:
        return count_b, mean_b, m2_b, sum_b, deviation_b
    total, m, s = joined(count, mean, m2, count_b, mean_b, m2_b)
    return total, m, s, sum + sum_b, _moved(deviation, sum, m - mean) + _moved(deviation_b, sum_b, m - mean_b)


@device
def _joined_gradients(parts, slot, group):
    """``_joined_parts`` for five sums."""
    cuda.syncthreads()
    step = group >> 1
    while step > 0:
        other = slot + step
        if slot & (group - 1) < step and parts[0, other] > 0:
            parts[0, slot], parts[1, slot], parts[2, slot], parts[3, slot], parts[4, slot] = _with_gradients(
                parts[0, slot], parts[1, slot], parts[2, slot], parts[3, slot], parts[4, slot],
                parts[0, other], parts[1, other], parts[2, other], parts[3, other], parts[4, other])  # fmt: skip
        cuda.syncthreads()
        step >>= 1


# ------------------------------------------------------------------------------------------------- kernels


@kernel(float64=True)
def _moments(out, x, n, width, span, pieces, size, rows, inner, lanes, apart, cells):
    # A block owns a window; out takes count, mean and m2 of it, or of each of its columns.
    parts, held = cuda.shared.array((3, THREADS), float64), cuda.local.array(HELD, x.dtype)
    at, steps, step, turns, turn, slot, group = _window(n, width, span, pieces, size, rows, lanes, apart)
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
    _joined_parts(parts, slot, group)
    if slot & (group - 1) == 0 and parts[0, slot] > 0:
        cell = _cell(n, width, span, pieces, size, rows, inner, lanes, apart)
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
    _joined_parts(parts, t, JOINERS)
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


@kernel(float64=True)
def _gradient_sums(out, g, x, means, joins, n, width, span, pieces, size, rows, inner, lanes, apart, cells):
    # As in _moments, with the sums of g and of g * (x - mean); unless it joins moments too, the means are given.
    parts = cuda.shared.array((5, THREADS), float64)
    values, gradients = cuda.local.array(HELD, x.dtype), cuda.local.array(HELD, x.dtype)
    at, steps, step, turns, turn, slot, group = _window(n, width, span, pieces, size, rows, lanes, apart)
    cell = _cell(n, width, span, pieces, size, rows, inner, lanes, apart)
    count, mean, m2, sum, deviation = 0.0, 0.0, 0.0, 0.0, 0.0
    done = 0
    if steps == 0:
        turns = 0
    if not joins and turns > 0:
        mean = float64(means[cell // (cells // (width // inner))])
    while turns > 0:
        amount = 0
        for k in range(HELD):
            if turns > 0:
                values[k], gradients[k] = x[at], g[at]
                amount += 1
                done += 1
                at += step
                if done == steps:
                    done, turns, at = 0, turns - 1, at + turn
        average, squares, s, d = mean, 0.0, 0.0, 0.0
        if joins:
            average = 0.0
            for k in range(HELD):
                if k < amount:
                    average += float64(values[k])
            average /= amount
        for k in range(HELD):
            if k < amount:
                away = float64(values[k]) - average
                squares += away * away
                s += float64(gradients[k])
                d += float64(gradients[k]) * away
        if joins:
            count, mean, m2, sum, deviation = _with_gradients(
                count, mean, m2, sum, deviation, float64(amount), average, squares, s, d
            )
        else:
            count, sum, deviation = count + amount, sum + s, deviation + d
    parts[0, slot], parts[1, slot], parts[2, slot] = count, mean, m2
    parts[3, slot], parts[4, slot] = sum, deviation
    _joined_gradients(parts, slot, group)
    if slot & (group - 1) == 0 and parts[0, slot] > 0:
        out[cell], out[cells + cell], out[2 * cells + cell] = parts[0, slot], parts[1, slot], parts[2, slot]
        out[3 * cells + cell], out[4 * cells + cell] = parts[3, slot], parts[4, slot]


@kernel(float64=True)
def _channel_gradients(lines, grad_weight, grad_bias, sums, mean, var, var_at, weight, has_weight, with_weight,
                       with_bias, joins, eps, channels, count):  # fmt: skip
    # A block owns a channel and joins its parts; lines take the mean in two parts and grad_input's factor, slope and
    # shift.
    parts, t, c = cuda.shared.array((5, JOINERS), float64), cuda.threadIdx.x, cuda.blockIdx.x
    total = sums.size // 5
    cells = total // channels
    parts[0, t], parts[1, t], parts[2, t], parts[3, t], parts[4, t] = 0.0, 0.0, 0.0, 0.0, 0.0
    for cell in range(c * cells + t, (c + 1) * cells, JOINERS):
        parts[0, t], parts[1, t], parts[2, t], parts[3, t], parts[4, t] = _with_gradients(
            parts[0, t], parts[1, t], parts[2, t], parts[3, t], parts[4, t], sums[cell], sums[total + cell],
            sums[2 * total + cell], sums[3 * total + cell], sums[4 * total + cell])  # fmt: skip
    _joined_gradients(parts, t, JOINERS)
    if t == 0:
        middle = parts[1, 0] if joins else float64(mean[c])
        inverse = inverse_deviation(parts[2, 0] / count if joins else float64(var[var_at + c]), eps)
        factor = inverse * float64(weight[c]) if has_weight else inverse
        if with_weight:
            grad_weight[c] = parts[4, 0] * inverse
        if with_bias:
            grad_bias[c] = parts[3, 0]
        slope, shift = gradient_line(inverse, factor, parts[3, 0], parts[4, 0], count)
        high = lines.dtype.type(middle)
        lines[c], lines[channels + c], lines[2 * channels + c] = high, remainder(middle, float64(high)), factor
        lines[3 * channels + c], lines[4 * channels + c] = slope, shift


@kernel
def _batch_norm_grad_planes(out, g, x, lines, training, channels, inner, pieces, size, by_four):
    # A block owns a piece of a plane.
    t, plane, piece = cuda.threadIdx.x, cuda.blockIdx.x // pieces, cuda.blockIdx.x % pieces
    c = plane % channels
    high, low, factor = lines[c], lines[channels + c], lines[2 * channels + c]
    slope, shift = lines[3 * channels + c], lines[4 * channels + c]
    first = plane * inner + piece * size
    end = first + size if piece < pieces - 1 else (plane + 1) * inner
    if by_four:
        for i in range(first + 4 * t, end, 4 * THREADS):
            e, f, u, v = load4(g, i)
            e, f, u, v = e * factor, f * factor, u * factor, v * factor
            if training:
                p, q, r, s = load4(x, i)
                e += normalized(p, high, low, slope, shift)
                f += normalized(q, high, low, slope, shift)
                u += normalized(r, high, low, slope, shift)
                v += normalized(s, high, low, slope, shift)
            store4(out, i, e, f, u, v)
    else:
        for i in range(first + t, end, THREADS):
            e = g[i] * factor
            out[i] = e + normalized(x[i], high, low, slope, shift) if training else e


@kernel
def _batch_norm_grad_columns(out, g, x, lines, training, n, width, inner, rows, lanes):
    # As in _batch_norm_columns.
    t, windows, down = cuda.threadIdx.x, (width + (1 << lanes) - 1) >> lanes, THREADS >> lanes
    column = (cuda.blockIdx.x % windows << lanes) + (t & ((1 << lanes) - 1))
    first, step = cuda.blockIdx.x // windows * rows, down * width
    end = (first + rows if first + rows < n else n) * width
    if column < width:
        c, channels = column // inner, width // inner
        high, low, factor = lines[c], lines[channels + c], lines[2 * channels + c]
        slope, shift = lines[3 * channels + c], lines[4 * channels + c]
        i = (first + (t >> lanes)) * width + column
        while i + step < end:
            e, f = g[i] * factor, g[i + step] * factor
            if training:
                p, q = x[i], x[i + step]
                e += normalized(p, high, low, slope, shift)
                f += normalized(q, high, low, slope, shift)
            out[i], out[i + step] = e, f
            i += 2 * step
        if i < end:
            e = g[i] * factor
            out[i] = e + normalized(x[i], high, low, slope, shift) if training else e


# ------------------------------------------------------------------------------------------------- entries


class _Cut(NamedTuple):
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


def _cut(g, held):
    n, channels, inner = g
    width, part = channels * inner, 2 * held * THREADS  # the least elements of a window
    if inner < COLUMNS:
        lanes = min((width - 1).bit_length(), LANES.bit_length() - 1)
        windows = -(-width // (1 << lanes))
        rows = -(-n // max(1, min(-(-(n << lanes) // part), -(-FULL // windows))))
        parts = -(-n // rows)
        return _Cut(windows * parts, n, width, width, windows, 1 << lanes, rows, inner, lanes, True, width * parts)
    wanted = max(1, min(-(-n * inner // part), -(-FULL // channels)))
    rows = -(-n // min(n, wanted))
    parts = -(-n // rows)
    down = 1 << min(rows.bit_length(), (THREADS // LANES).bit_length()) - 1
    lanes = (THREADS // down).bit_length() - 1
    size = -(-inner // -(-wanted // parts))
    size = -(-size // (held << lanes)) * (held << lanes)
    pieces = -(-inner // size)
    cells = channels * pieces * parts
    return _Cut(cells, n, width, inner, pieces, size, rows, inner, lanes, False, cells)


def moments(input, g, running_mean=None, running_var=None, momentum=0.0):
    """(2, C): mean and biased variance of each channel, float64; they move the running statistics, if there are any."""
    place, cut, updates = input.place, _cut(g, HELD), running_mean is not None
    found, sums = place.empty((2, g.size), FLOAT64), place.empty((3, cut.cells), FLOAT64)
    found, sums = place.lend(found), place.lend(sums)
    _moments.blocks(place, cut.blocks, THREADS, sums, input, *cut[1:])
    mean, var = (running_mean, running_var) if updates else (input, input)
    _channel_moments.blocks(place, g.size, JOINERS, found, mean, var, sums, updates, float(momentum), g.size)
    return found


def batch_norm(out, input, mean, var, found, weight, bias, eps, g):
    """Normalise by the moments found, or by the given mean and variance where ``found`` is None."""
    place, has_weight, has_bias = input.place, weight is not None, bias is not None
    mean, var, var_at = (mean, var, 0) if found is None else (found, found, g.size)
    arrays = mean, var, var_at, weight if has_weight else input, bias if has_bias else input, has_weight, has_bias
    if g.inner < PLANE:
        blocks, rows, lanes = _columns(g)
        _batch_norm_columns.blocks(place, blocks, THREADS, out, input, *arrays, float(eps), g.outer, g.size * g.inner,
                                   g.inner, rows, lanes)  # fmt: skip
    else:
        blocks, pieces, size = _planes(g)
        out, input, by_four = wide(place, out, input)
        _batch_norm_planes.blocks(place, blocks, THREADS, out, input, *arrays, float(eps), g.size, g.inner, pieces,
                                  size, by_four and g.inner % 4 == 0)  # fmt: skip


def batch_norm_backward(grad_input, grad_weight, grad_bias, grad_output, input, mean, var, weight, training, eps, g):
    """Fill the gradients, those of weight and bias where they are not None; in training the moments are found again."""
    place, x, channels, inner = input.place, input, g.size, g.inner
    has_weight, with_weight, with_bias = weight is not None, grad_weight is not None, grad_bias is not None
    joins, var_at = training and inner >= COLUMNS, 0
    if joins:
        mean, var = x, x
    elif training:
        mean = var = moments(x, g)
        var_at = channels
    if training or with_weight or with_bias:
        cut = _cut(g, HELD)
        sums = place.lend(place.empty((5, cut.cells), FLOAT64))
        _gradient_sums.blocks(place, cut.blocks, THREADS, sums, grad_output, x, mean, joins, *cut[1:])
    else:
        sums = place.lend(place.empty(1, FLOAT64))  # no sums
    lines = place.lend(place.empty((5, channels), x.dtype))
    _channel_gradients.blocks(place, channels, JOINERS, lines, grad_weight if with_weight else x,
                              grad_bias if with_bias else x, sums, mean, var, var_at, weight if has_weight else x,
                              has_weight, with_weight, with_bias, joins, float(eps), channels,
                              float(g.outer * inner))  # fmt: skip
    if inner < PLANE:
        blocks, rows, lanes = _columns(g)
        _batch_norm_grad_columns.blocks(place, blocks, THREADS, grad_input, grad_output, x, lines, training, g.outer,
                                        channels * inner, inner, rows, lanes)  # fmt: skip
    else:
        blocks, pieces, size = _planes(g)
        grad_input, grad_output, x, by_four = wide(place, grad_input, grad_output, x)
        _batch_norm_grad_planes.blocks(place, blocks, THREADS, grad_input, grad_output, x, lines, training, channels,
                                       inner, pieces, size, by_four and inner % 4 == 0)  # fmt: skip


def _columns(g):
    """(blocks, rows of a block, log2 of its columns), to write the array by columns."""
    width = g.size * g.inner
    lanes = min((width - 1).bit_length(), THREADS.bit_length() - 1)
    windows, down = -(-width // (1 << lanes)), THREADS >> lanes
    rows = down * max(1, min(ROWS, g.outer * windows // (down * FULL)))
    return windows * -(-g.outer // rows), rows, lanes


def _planes(g):
    """(blocks, pieces of a plane, elements of a piece), to write the array by planes."""
    pieces = -(-g.inner // (ROWS * THREADS))
    size = -(-g.inner // (4 * pieces)) * 4
    pieces = -(-g.inner // size)
    return g.outer * g.size * pieces, pieces, size
