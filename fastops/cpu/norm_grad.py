"""The gradient of batch_norm on the CPU.

Blocks are those of norm.py, summed in its order: the bits do not depend on the number of threads.
"""

import numpy as np
from numba import prange

from .._jit import index, inlined, kernel, routine, scalar
from .norm import (
    PLANE_BLOCK,
    SHORTEST_PLANE,
    four_rows,
    inverse_deviation,
    joined,
    moments,
    normalized,
    scales,
    sums_of_both,
    with_deviations,
    with_values,
)
from .simd.values import pointer

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def gradient_line(inverse, factor, sum, deviation, count):
    """(slope, shift): in training grad_input = g * factor + (x - mean) * slope + shift.

    With z = (x - mean) / std over ``count`` values and weight w that is w / std * (g - sum(g) / count - z * sum(g * z)
    / count); ``deviation`` is sum(g * (x - mean)), ``inverse`` 1 / std and ``factor`` w / std.
    """
    return -factor * inverse * inverse * deviation / count, -factor * sum / count


# ------------------------------------------------------------------------------------------------ routines


@inlined
def _with_gradients(a, b, x, y, mean):
    """The sums with y and y * (x - mean)."""
    return a + y, b + y * (x - mean)


@routine
def _gradient_scales(parts, grad_weight, grad_bias, sums, var, weight, has_weight, with_weight, with_bias, eps, count):
    """The rest of what channel c needs: grad_input = g * parts[2] + (x - mean) * parts[3] + parts[4] in training."""
    for c in range(var.size):
        inverse = inverse_deviation(var[c], eps)
        factor = inverse * weight[c] if has_weight else inverse
        if with_weight:
            grad_weight[c] = sums[1, c] * inverse
        if with_bias:
            grad_bias[c] = sums[0, c]
        parts[3, c], parts[4, c] = gradient_line(inverse, factor, sums[0, c], sums[1, c], count)


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _batch_norm_grad_planes(
    out, grad_weight, grad_bias, g, x, mean, var, weight, has_weight, with_weight, with_bias, training, eps, channels,
    n, inner
):  # fmt: skip
    # An iteration owns one block of one plane, then one channel, at last a plane.  In training it takes the moments of
    # its block as in _moments_planes, and g * (x - mean of the block), moved to the channel's mean when that is known.
    blocks = -(-inner // PLANE_BLOCK)
    parts, moments, sums = np.empty((5, channels), x.dtype), np.empty((2, channels)), np.empty((2, channels))
    some = np.empty((4, channels, n * blocks))
    if training or with_weight or with_bias:
        for i in prange(n * channels * blocks):
            plane, block = i // blocks, i % blocks
            start = plane * inner + block * PLANE_BLOCK
            stop = min(start + PLANE_BLOCK, (plane + 1) * inner)
            c, at = plane % channels, plane // channels * blocks + block
            values, gradients, m2 = pointer(x), pointer(g), 0.0
            if training:
                average, sum = sums_of_both(values, gradients, start, stop, 0.0, with_values)
                average /= stop - start
                m2, deviation = sums_of_both(values, gradients, start, stop, average, with_deviations)
            else:
                average = np.float64(mean[c])
                sum, deviation = sums_of_both(values, gradients, start, stop, average, _with_gradients)
            some[0, c, at], some[1, c, at], some[2, c, at], some[3, c, at] = sum, deviation, average, m2
    for c in prange(channels):
        count, m, s = 0.0, 0.0, 0.0
        sum, deviation = 0.0, 0.0
        if training:
            for at in range(n * blocks):
                size = np.float64(min(PLANE_BLOCK, inner - (at % blocks) * PLANE_BLOCK))
                count, m, s = joined(count, m, s, size, some[2, c, at], some[3, c, at])
            for at in range(n * blocks):
                sum += some[0, c, at]
                deviation += some[1, c, at] + (some[2, c, at] - m) * some[0, c, at]
            s /= count
        else:
            m, s = np.float64(mean[c]), np.float64(var[c])
            if with_weight or with_bias:
                for at in range(n * blocks):
                    sum += some[0, c, at]
                    deviation += some[1, c, at]
        moments[0, c], moments[1, c], sums[0, c], sums[1, c] = m, s, sum, deviation
    scales(parts, moments[0], moments[1], weight, has_weight, eps)
    _gradient_scales(
        parts, grad_weight, grad_bias, sums, moments[1], weight, has_weight, with_weight, with_bias, eps, n * inner
    )
    for plane in prange(n * channels):
        c = plane % channels
        high, low, a, b, d = parts[0, c], parts[1, c], parts[2, c], parts[3, c], parts[4, c]
        first, last = plane * inner, (plane + 1) * inner
        values, gradients, results = x[first:last], g[first:last], out[first:last]
        if training:
            for i in range(inner):
                results[i] = gradients[i] * a + normalized(values[i], high, low, b, d)
        else:
            for i in range(inner):
                results[i] = gradients[i] * a


@kernel
def _batch_norm_grad_columns(
    out, grad_weight, grad_bias, g, x, mean, var, weight, has_weight, with_weight, with_bias, training, eps, n, inner
):
    # The same as in _moments_columns: an iteration owns one block of rows; at last a row.
    channels, columns = mean.size, mean.size * inner
    rows = max(1, 4 * PLANE_BLOCK // columns)
    blocks = -(-n // rows)
    parts, sums = np.empty((5, channels), x.dtype), np.empty((2, channels))
    scales(parts, mean, var, weight, has_weight, eps)
    block_sums, averages = np.empty((2, blocks, columns)), np.empty(columns)
    for j in range(columns):
        averages[j] = mean[j // inner]
    for block in prange(blocks):
        s, d = block_sums[0, block], block_sums[1, block]
        for j in range(columns):
            s[j] = 0
            d[j] = 0
        start, stop = block * rows, min(block * rows + rows, n)
        last = start + (stop - start) // 4 * 4
        for i in range(start, last, 4):  # four rows at a time: sums in memory are what takes the time
            x0, x1, x2, x3 = four_rows(x, i, columns)
            g0, g1, g2, g3 = four_rows(g, i, columns)
            for j in range(columns):
                y0, y1, y2, y3, m = (
                    np.float64(g0[j]),
                    np.float64(g1[j]),
                    np.float64(g2[j]),
                    np.float64(g3[j]),
                    averages[j],
                )
                s[j] = s[j] + y0 + y1 + y2 + y3
                d[j] = d[j] + y0 * (x0[j] - m) + y1 * (x1[j] - m) + y2 * (x2[j] - m) + y3 * (x3[j] - m)
        for i in range(last, stop):
            row, grow = x[i * columns : (i + 1) * columns], g[i * columns : (i + 1) * columns]
            for j in range(columns):
                s[j] += np.float64(grow[j])
                d[j] += np.float64(grow[j]) * (np.float64(row[j]) - averages[j])
    for c in range(channels):
        sums[0, c], sums[1, c] = 0, 0
        for block in range(blocks):
            for j in range(c * inner, (c + 1) * inner):
                sums[0, c] += block_sums[0, block, j]
                sums[1, c] += block_sums[1, block, j]
    _gradient_scales(
        parts, grad_weight, grad_bias, sums, var, weight, has_weight, with_weight, with_bias, eps, n * inner
    )
    column_parts = np.empty(5 * columns, x.dtype)  # the parts, one for each column
    for part in range(5):
        for j in range(columns):
            column_parts[part * columns + j] = parts[part, j // inner]
    for i in prange(n):
        values, gradients = x[i * columns : (i + 1) * columns], g[i * columns : (i + 1) * columns]
        results = out[i * columns : (i + 1) * columns]
        for j in range(columns):
            results[j] = gradients[j] * column_parts[index(2 * columns + j)]
        if training:
            for j in range(columns):
                b, d = column_parts[index(3 * columns + j)], column_parts[index(4 * columns + j)]
                results[j] += normalized(values[j], column_parts[j], column_parts[index(columns + j)], b, d)


# ------------------------------------------------------------------------------------------------- entries


def batch_norm_backward(grad_input, grad_weight, grad_bias, grad_output, input, mean, var, weight, training, eps, g):
    """Fill the gradients, those of weight and bias where they are not None; in training the moments are found again."""
    x, y, out = input.ravel(), grad_output.ravel(), grad_input.ravel()
    has_weight, with_weight, with_bias = weight is not None, grad_weight is not None, grad_bias is not None
    weight, to_weight = weight if has_weight else x, grad_weight if with_weight else x
    to_bias = grad_bias if with_bias else x
    if g.inner >= SHORTEST_PLANE:
        mean, var = (x, x) if training else (mean, var)
        _batch_norm_grad_planes(x.size * 3)(
            out, to_weight, to_bias, y, x, mean, var, weight, has_weight, with_weight, with_bias, training, eps, g.size,
            g.outer, g.inner,
        )  # fmt: skip
    else:
        found = moments(input, g) if training else np.stack((mean, var)).astype(np.float64)
        mean, var = found[0], found[1]
        _batch_norm_grad_columns(x.size * 3)(
            out, to_weight, to_bias, y, x, mean, var, weight, has_weight, with_weight, with_bias, training, eps,
            g.outer, g.inner,
        )  # fmt: skip
