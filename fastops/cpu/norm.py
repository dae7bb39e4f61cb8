"""batch_norm on the CPU.

Mean and sum of squared deviations (m2) are found block by block, from a block that the first pass has just brought
into the cache, and joined in a fixed order (Chan, Golub, LeVeque 1979): memory is read once, nothing cancels when
|mean| >> std, and the bits do not depend on the number of threads.
"""

import math

import numpy as np
from numba import prange

from .._jit import VECTOR_BYTES, inlined, kernel, routine, scalar
from .simd.values import lane_sum, load_wide, pointer, wide

PLANE_BLOCK = 4096  # elements of a plane whose moments are found first: two passes over 16 or 32 KiB stay in L1
COLUMNS = 256  # channels of a task that joins blocks of rows
SHORTEST_PLANE = 16  # shorter ones are treated as columns of a matrix

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def joined(count_a, mean_a, m2_a, count_b, mean_b, m2_b):
    """Count, mean and m2 of two sets together; the first may be empty."""
    count = count_a + count_b
    delta = mean_b - mean_a
    if count_a == 0:
        return count, mean_b, m2_b
    m2 = m2_a + m2_b + delta * delta * (count_a * (count_b / count))
    if delta - delta != 0:  # an infinite mean stays infinite
        return count, mean_a + mean_b, m2
    return count, mean_a + delta * (count_b / count), m2


@scalar
def updated(running, observed, momentum):
    """A running statistic after one more batch."""
    return (1.0 - momentum) * running + momentum * observed


@scalar
def remainder(mean, high):
    """What ``high``, the mean rounded, lacks of it; 0 where that is not finite."""
    return mean - high if abs(high) < np.inf else 0.0


@scalar
def inverse_deviation(var, eps):
    """1 / sqrt(var + eps)."""
    return 1.0 / math.sqrt(np.float64(var) + eps)


@scalar
def normalized(x, mean, mean_low, scale, shift):
    """(x - mean) * scale + shift, the mean in two parts, so that x - mean is right for |mean| >> std."""
    return ((x - mean) - mean_low) * scale + shift


# ------------------------------------------------------------------------------------------------ routines


@inlined
def with_values(a, b, x, y, mean):
    """The sums with x and y."""
    return a + x, b + y


@inlined
def with_deviations(a, b, x, y, mean):
    """The sums with (x - mean)^2 and y * (x - mean)."""
    deviation = x - mean
    return a + deviation * deviation, b + y * deviation


@inlined
def sums_of_both(x, y, first, end, mean, add):
    """Two sums over x and y in float64, from ``first`` to ``end``: four partial sums of vectors each."""
    step = VECTOR_BYTES // 8
    means = wide(mean)
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = wide(0.0)
    i = first
    while i + 4 * step <= end:
        a0, b0 = add(a0, b0, load_wide(x, i), load_wide(y, i), means)
        a1, b1 = add(a1, b1, load_wide(x, i + step), load_wide(y, i + step), means)
        a2, b2 = add(a2, b2, load_wide(x, i + 2 * step), load_wide(y, i + 2 * step), means)
        a3, b3 = add(a3, b3, load_wide(x, i + 3 * step), load_wide(y, i + 3 * step), means)
        i += 4 * step
    while i + step <= end:
        a0, b0 = add(a0, b0, load_wide(x, i), load_wide(y, i), means)
        i += step
    a, b = lane_sum((a0 + a1) + (a2 + a3)), lane_sum((b0 + b1) + (b2 + b3))
    while i < end:
        a, b = add(a, b, np.float64(x[i]), np.float64(y[i]), mean)
        i += 1
    return a, b


@routine
def scales(parts, mean, var, weight, has_weight, eps):
    """parts[:, c] = the mean in two parts and weight / sqrt(var + eps) of channel c, in the type of the input."""
    for c in range(mean.size):
        high = parts.dtype.type(mean[c])
        scale = inverse_deviation(var[c], eps)
        parts[0, c] = high
        parts[1, c] = remainder(np.float64(mean[c]), np.float64(high))
        parts[2, c] = scale * weight[c] if has_weight else scale


@routine
def _update(running_mean, running_var, mean, var, momentum, count):
    """Move the running statistics; the variance they take is the unbiased one."""
    for c in range(mean.size):
        running_mean[c] = updated(np.float64(running_mean[c]), mean[c], momentum)
        running_var[c] = updated(np.float64(running_var[c]), var[c] * (count / (count - 1)), momentum)


@inlined
def four_rows(x, i, columns):
    """Rows i to i + 3."""
    at = i * columns
    return (x[at : at + columns], x[at + columns : at + 2 * columns], x[at + 2 * columns : at + 3 * columns],
            x[at + 3 * columns : at + 4 * columns])  # fmt: skip


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _moments_planes(found, running_mean, running_var, x, updates, momentum, n, inner):
    # x is (n, channels, inner); an iteration owns one block of one plane, then one channel.
    mean, var = found[0], found[1]
    channels, blocks = mean.size, -(-inner // PLANE_BLOCK)
    means, m2s = np.empty((channels, n * blocks)), np.empty((channels, n * blocks))
    for i in prange(n * channels * blocks):
        plane, block = i // blocks, i % blocks
        start = plane * inner + block * PLANE_BLOCK
        stop, values = min(start + PLANE_BLOCK, (plane + 1) * inner), pointer(x)
        average = sums_of_both(values, values, start, stop, 0.0, with_values)[0] / (stop - start)
        at = (plane // channels) * blocks + block
        means[plane % channels, at] = average
        m2s[plane % channels, at] = sums_of_both(values, values, start, stop, average, with_deviations)[0]
    for c in prange(channels):
        count, m, s = 0.0, 0.0, 0.0
        for at in range(n * blocks):
            size = np.float64(min(PLANE_BLOCK, inner - (at % blocks) * PLANE_BLOCK))
            count, m, s = joined(count, m, s, size, means[c, at], m2s[c, at])
        mean[c] = m
        var[c] = s / count
    if updates:
        _update(running_mean, running_var, mean, var, momentum, np.float64(n * inner))


@kernel
def _moments_columns(found, running_mean, running_var, x, updates, momentum, n, inner):
    # x is (n, columns); an iteration owns one block of rows and runs along them, then one channel: ``inner`` columns.
    mean, var = found[0], found[1]
    channels, columns = mean.size, mean.size * inner
    rows = max(1, 4 * PLANE_BLOCK // columns)
    blocks = -(-n // rows)
    means, m2s = np.empty((blocks, columns)), np.empty((blocks, columns))
    for block in prange(blocks):
        start, stop = block * rows, min(block * rows + rows, n)
        average, m2 = means[block], m2s[block]
        for j in range(columns):
            average[j] = 0
            m2[j] = 0
        last = start + (stop - start) // 4 * 4
        for i in range(start, last, 4):  # four rows at a time: sums in memory are what takes the time
            a, b, c, d = four_rows(x, i, columns)
            for j in range(columns):
                average[j] = average[j] + a[j] + b[j] + c[j] + d[j]
        for i in range(last, stop):
            row = x[i * columns : (i + 1) * columns]
            for j in range(columns):
                average[j] += row[j]
        for j in range(columns):
            average[j] /= stop - start
        for i in range(start, last, 4):
            a, b, c, d = four_rows(x, i, columns)
            for j in range(columns):
                m = average[j]
                m2[j] = m2[j] + (a[j] - m) * (a[j] - m) + (b[j] - m) * (b[j] - m) + (c[j] - m) * (c[j] - m) + (
                    d[j] - m) * (d[j] - m)  # fmt: skip
        for i in range(last, stop):
            row = x[i * columns : (i + 1) * columns]
            for j in range(columns):
                delta = row[j] - average[j]
                m2[j] += delta * delta
    if inner == 1:  # an iteration owns COLUMNS channels, which join side by side
        for part in prange(-(-channels // COLUMNS)):
            first, last, count = part * COLUMNS, min((part + 1) * COLUMNS, channels), 1.0 * min(rows, n)
            m, s = mean[first:last], var[first:last]
            m[:] = means[0, first:last]
            s[:] = m2s[0, first:last]
            for block in range(1, blocks):
                size, m_b, s_b = 1.0 * min(rows, n - block * rows), means[block, first:last], m2s[block, first:last]
                for c in range(last - first):
                    _, m[c], s[c] = joined(count, m[c], s[c], size, m_b[c], s_b[c])
                count += size
            for c in range(last - first):
                s[c] /= n
    else:
        for c in prange(channels):
            count, m, s = 0.0, 0.0, 0.0
            for block in range(blocks):
                size = np.float64(min(rows, n - block * rows))
                for j in range(c * inner, (c + 1) * inner):
                    count, m, s = joined(count, m, s, size, means[block, j], m2s[block, j])
            mean[c] = m
            var[c] = s / count
    if updates:
        _update(running_mean, running_var, mean, var, momentum, np.float64(n * inner))


@kernel
def _batch_norm_planes(out, x, mean, var, found, weight, bias, training, has_weight, has_bias, eps, channels, inner):
    # x is (planes, inner); an iteration owns a plane.
    parts = np.empty((3, channels), x.dtype)
    if training:
        scales(parts, found[0], found[1], weight, has_weight, eps)
    else:
        scales(parts, mean, var, weight, has_weight, eps)
    for plane in prange(x.size // inner):
        c = plane % channels
        high, low, scale = parts[0, c], parts[1, c], parts[2, c]
        shift = bias[c] if has_bias else x.dtype.type(0)
        values, results = x[plane * inner : (plane + 1) * inner], out[plane * inner : (plane + 1) * inner]
        for i in range(inner):
            results[i] = normalized(values[i], high, low, scale, shift)


@kernel
def _batch_norm_columns(out, x, mean, var, found, weight, bias, training, has_weight, has_bias, eps, channels):
    # x is (n, channels); an iteration owns a row.
    parts = np.empty((4, channels), x.dtype)
    if training:
        scales(parts, found[0], found[1], weight, has_weight, eps)
    else:
        scales(parts, mean, var, weight, has_weight, eps)
    for c in range(channels):
        parts[3, c] = bias[c] if has_bias else x.dtype.type(0)
    for i in prange(x.size // channels):
        values, results = x[i * channels : (i + 1) * channels], out[i * channels : (i + 1) * channels]
        high, low, scale, shift = parts[0], parts[1], parts[2], parts[3]
        for c in range(channels):
            results[c] = normalized(values[c], high[c], low[c], scale[c], shift[c])


# ------------------------------------------------------------------------------------------------- entries


_NOT_FOUND = np.empty((2, 0))


def moments(input, g, running_mean=None, running_var=None, momentum=0.0):
    """(2, C): mean and biased variance of each channel, float64; they move the running statistics, if there are any."""
    n, channels, inner = g
    found, x = np.empty((2, channels)), input.ravel()
    updates = running_mean is not None
    mean, var = (running_mean, running_var) if updates else (x, x)
    compute = _moments_planes if inner >= SHORTEST_PLANE else _moments_columns
    compute(x.size * 2)(found, mean, var, x, updates, momentum, n, inner)
    return found


def batch_norm(out, input, mean, var, found, weight, bias, eps, g):
    """Normalise by the moments found, or by the given mean and variance where ``found`` is None."""
    x, training, has_weight, has_bias = input.ravel(), found is not None, weight is not None, bias is not None
    mean, var, found = (x, x, found) if training else (mean, var, _NOT_FOUND)
    weight, bias = weight if has_weight else x, bias if has_bias else x
    if g.inner == 1:
        _batch_norm_columns(x.size)(
            out.ravel(), x, mean, var, found, weight, bias, training, has_weight, has_bias, eps, g.size
        )
    else:
        _batch_norm_planes(x.size)(
            out.ravel(), x, mean, var, found, weight, bias, training, has_weight, has_bias, eps, g.size, g.inner
        )
