"""The gradient of batch_norm on CUDA.

Sums are made in windows and joined as in norm.py: the bits are the same every run.
"""

from numba import float64

from ..cpu.norm import inverse_deviation, joined, normalized, remainder
from ..cpu.norm_grad import gradient_line
from ._launch import THREADS, cuda, device, kernel
from .arithmetic import FLOAT64
from .norm import (
    COLUMNS,
    HELD,
    JOINERS,
    PLANE,
    cell_of_sums,
    cut_columns,
    cut_moments,
    cut_planes,
    joined_slots,
    moments,
    window_of_thread,
)
from .vectors import load4, store4, wide

# ------------------------------------------------------------------------------------------------- routines


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
def _join_gradients(parts, slot, other):
    """Join the five sums of two slots."""
    parts[0, slot], parts[1, slot], parts[2, slot], parts[3, slot], parts[4, slot] = _with_gradients(
        parts[0, slot], parts[1, slot], parts[2, slot], parts[3, slot], parts[4, slot],
        parts[0, other], parts[1, other], parts[2, other], parts[3, other], parts[4, other])  # fmt: skip


_joined_gradients = joined_slots(_join_gradients)


# ------------------------------------------------------------------------------------------------- kernels


@kernel(float64=True)
def _gradient_sums(out, g, x, means, joins, n, width, span, pieces, size, rows, inner, lanes, apart, cells):
    # As in _moments, with the sums of g and of g * (x - mean); unless it joins moments too, the means are given.
    parts = cuda.shared.array((5, THREADS), float64)
    values, gradients = cuda.local.array(HELD, x.dtype), cuda.local.array(HELD, x.dtype)
    at, steps, step, turns, turn, slot, group = window_of_thread(n, width, span, pieces, size, rows, lanes, apart)
    cell = cell_of_sums(n, width, span, pieces, size, rows, inner, lanes, apart)
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
        cut = cut_moments(g)
        blocks, *window = cut
        sums = place.lend(place.empty((5, cut.cells), FLOAT64))
        _gradient_sums.blocks(place, blocks, THREADS, sums, grad_output, x, mean, joins, *window)
    else:
        sums = place.lend(place.empty(1, FLOAT64))  # no sums
    lines = place.lend(place.empty((5, channels), x.dtype))
    _channel_gradients.blocks(place, channels, JOINERS, lines, grad_weight if with_weight else x,
                              grad_bias if with_bias else x, sums, mean, var, var_at, weight if has_weight else x,
                              has_weight, with_weight, with_bias, joins, float(eps), channels,
                              float(g.outer * inner))  # fmt: skip
    if inner < PLANE:
        blocks, rows, lanes = cut_columns(g)
        _batch_norm_grad_columns.blocks(place, blocks, THREADS, grad_input, grad_output, x, lines, training, g.outer,
                                        channels * inner, inner, rows, lanes)  # fmt: skip
    else:
        blocks, pieces, size = cut_planes(g)
        grad_input, grad_output, x, by_four = wide(place, grad_input, grad_output, x)
        _batch_norm_grad_planes.blocks(place, blocks, THREADS, grad_input, grad_output, x, lines, training, channels,
                                       inner, pieces, size, by_four and inner % 4 == 0)  # fmt: skip
