"""batch_norm on the CPU.

Mean and sum of squared deviations (m2) are found block by block, from a block that the first pass has just brought
into the cache, and joined in a fixed order (Chan, Golub, LeVeque 1979): memory is read once, nothing cancels when
|mean| >> std, and the bits do not depend on the number of threads.
"""

import numpy as np
from numba import prange

from .._jit import kernel, reduction, scalar
from .sums import total

BLOCK = 4096  # elements of a block: two passes over 16 or 32 KiB stay in L1
COLUMNS = 16  # planes shorter than this are treated as columns of a matrix

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
def normalized(x, mean, mean_low, scale, shift):
    """(x - mean) * scale + shift, the mean in two parts, so that x - mean is right for |mean| >> std."""
    return ((x - mean) - mean_low) * scale + shift


# ----------------------------------------------------------------------------------------------- reductions


@reduction
def _m2(x, mean):
    s = 0.0
    for i in range(x.size):
        delta = np.float64(x[i]) - mean
        s += delta * delta
    return s


@reduction
def _sum_with_deviation(g, x, mean):
    """The sum of g * (x - mean)."""
    s = 0.0
    for i in range(x.size):
        s += np.float64(g[i]) * (np.float64(x[i]) - mean)
    return s


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _moments_planes(means, m2s, x, n, channels, inner, blocks):
    # x is (n, channels, inner); an iteration owns one block of one plane.
    for i in prange(n * channels * blocks):
        plane, block = i // blocks, i % blocks
        start = plane * inner + block * BLOCK
        values = x[start : min(start + BLOCK, (plane + 1) * inner)]
        mean = total(values) / values.size
        at = (plane // channels) * blocks + block
        means[plane % channels, at] = mean
        m2s[plane % channels, at] = _m2(values, mean)


@kernel
def _moments_columns(means, m2s, x, n, width, rows):
    # x is (n, width); an iteration owns one block of rows, and runs along them.
    for block in prange(means.shape[0]):
        start, stop = block * rows, min(block * rows + rows, n)
        mean, m2 = means[block], m2s[block]
        for j in range(width):
            mean[j] = 0
            m2[j] = 0
        for i in range(start, stop):
            row = x[i * width : (i + 1) * width]
            for j in range(width):
                mean[j] += row[j]
        for j in range(width):
            mean[j] /= stop - start
        for i in range(start, stop):
            row = x[i * width : (i + 1) * width]
            for j in range(width):
                delta = row[j] - mean[j]
                m2[j] += delta * delta


@kernel
def _join_planes(mean, var, means, m2s, inner, blocks):
    # An iteration owns one channel.
    for c in prange(mean.size):
        count, m, s = 0.0, 0.0, 0.0
        for at in range(means.shape[1]):
            size = np.float64(min(BLOCK, inner - (at % blocks) * BLOCK))
            count, m, s = joined(count, m, s, size, means[c, at], m2s[c, at])
        mean[c] = m
        var[c] = s / count


@kernel
def _join_columns(mean, var, means, m2s, n, rows, inner):
    # An iteration owns one channel, which is ``inner`` columns.
    for c in prange(mean.size):
        count, m, s = 0.0, 0.0, 0.0
        for block in range(means.shape[0]):
            size = np.float64(min(rows, n - block * rows))
            for j in range(c * inner, (c + 1) * inner):
                count, m, s = joined(count, m, s, size, means[block, j], m2s[block, j])
        mean[c] = m
        var[c] = s / count


@kernel
def _batch_norm_planes(out, x, mean, mean_low, scale, shift, channels, inner):
    # x is (planes, inner); an iteration owns a plane.
    for plane in prange(x.size // inner):
        c = plane % channels
        high, low, factor, summand = mean[c], mean_low[c], scale[c], shift[c]
        values, results = x[plane * inner : (plane + 1) * inner], out[plane * inner : (plane + 1) * inner]
        for i in range(inner):
            results[i] = normalized(values[i], high, low, factor, summand)


@kernel
def _batch_norm_columns(out, x, mean, mean_low, scale, shift):
    # x is (n, channels); an iteration owns a row.
    channels = mean.size
    for i in prange(x.size // channels):
        values, results = x[i * channels : (i + 1) * channels], out[i * channels : (i + 1) * channels]
        for c in range(channels):
            results[c] = normalized(values[c], mean[c], mean_low[c], scale[c], shift[c])


@kernel
def _gradient_sums_planes(sums, deviations, g, x, mean, n, channels, inner, blocks):
    # Sums of g and g * (x - mean) as in _moments_planes; an iteration owns one block of one plane.
    for i in prange(n * channels * blocks):
        plane, block = i // blocks, i % blocks
        start = plane * inner + block * BLOCK
        stop = min(start + BLOCK, (plane + 1) * inner)
        c, at = plane % channels, plane // channels * blocks + block
        sums[c, at] = total(g[start:stop])
        deviations[c, at] = _sum_with_deviation(g[start:stop], x[start:stop], mean[c])


@kernel
def _gradient_sums_columns(sums, deviations, g, x, mean, n, width, inner, rows):
    # The same as in _moments_columns; an iteration owns one block of rows.
    for block in prange(sums.shape[0]):
        s, d = sums[block], deviations[block]
        for j in range(width):
            s[j] = 0
            d[j] = 0
        for i in range(block * rows, min(block * rows + rows, n)):
            row, grow = x[i * width : (i + 1) * width], g[i * width : (i + 1) * width]
            for j in range(width):
                s[j] += np.float64(grow[j])
                d[j] += np.float64(grow[j]) * (np.float64(row[j]) - mean[j // inner])


@kernel
def _batch_norm_grad_planes(out, g, x, mean, mean_low, factor, slope, summand, channels, inner):
    # An iteration owns a plane.
    for plane in prange(x.size // inner):
        c = plane % channels
        high, low, a, b, d = mean[c], mean_low[c], factor[c], slope[c], summand[c]
        first, last = plane * inner, (plane + 1) * inner
        values, gradients, results = x[first:last], g[first:last], out[first:last]
        for i in range(inner):
            results[i] = gradients[i] * a + normalized(values[i], high, low, b, d)


# ------------------------------------------------------------------------------------------------- entries


def moments(input, g):
    """Mean and biased variance of each channel, float64."""
    n, channels, inner = g
    mean, var = np.empty(channels), np.empty(channels)
    x, work = input.ravel(), input.size * 2
    if inner >= COLUMNS:
        blocks = -(-inner // BLOCK)
        means, m2s = np.empty((2, channels, n * blocks))
        _moments_planes(work)(means, m2s, x, n, channels, inner, blocks)
        _join_planes(means.size * 4)(mean, var, means, m2s, inner, blocks)
    else:
        width = channels * inner
        rows = max(1, 4 * BLOCK // width)
        means, m2s = np.empty((2, -(-n // rows), width))
        _moments_columns(work)(means, m2s, x, n, width, rows)
        _join_columns(means.size * 4)(mean, var, means, m2s, n, rows, inner)
    return mean, var


def update_running(running, observed, momentum):
    """running = (1 - momentum) * running + momentum * observed, in place."""
    with np.errstate(all="ignore"):
        running[...] = (1.0 - momentum) * running.astype(np.float64) + momentum * observed


def unbiased(var, count):
    """The unbiased variance."""
    return var * (count / (count - 1))


def _in_two(mean, dtype):
    """The mean as the sum of two numbers of dtype, the second 0 where the first is not finite."""
    high = mean.astype(dtype)
    return high, np.where(np.isfinite(high), mean - high.astype(np.float64), 0).astype(dtype)


def batch_norm(out, input, mean, var, weight, bias, eps, g):
    """Normalise by the given mean and variance."""
    dtype = input.dtype
    with np.errstate(all="ignore"):
        high, low = _in_two(mean, dtype)
        scale = 1.0 / np.sqrt(var.astype(np.float64) + eps)
        scale = (scale if weight is None else scale * weight).astype(dtype)
        shift = np.zeros(g.size, dtype) if bias is None else bias
    if g.inner == 1:
        _batch_norm_columns(input.size)(out.ravel(), input.ravel(), high, low, scale, shift)
    else:
        _batch_norm_planes(input.size)(
            out.ravel(), input.ravel(), high, low, scale, shift, g.size, g.inner
        )  # fmt: skip


def gradient_sums(grad_output, input, mean, g):
    """The sums of grad_output and of grad_output * (input - mean) of each channel, float64."""
    n, channels, inner = g
    x, y, work = input.ravel(), grad_output.ravel(), input.size * 2
    mean = mean.astype(np.float64)
    if inner >= COLUMNS:
        blocks = -(-inner // BLOCK)
        sums, deviations = np.empty((2, channels, n * blocks))
        _gradient_sums_planes(work)(sums, deviations, y, x, mean, n, channels, inner, blocks)
        return sums.sum(axis=1), deviations.sum(axis=1)
    width = channels * inner
    rows = max(1, 4 * BLOCK // width)
    sums, deviations = np.empty((2, -(-n // rows), width))
    _gradient_sums_columns(work)(sums, deviations, y, x, mean, n, width, inner, rows)
    return (s.sum(axis=0).reshape(channels, inner).sum(axis=1) for s in (sums, deviations))


def batch_norm_backward(grad_input, grad_weight, grad_bias, grad_output, input, mean, var, weight, training, eps, g):
    """Fill the gradients, those of weight and bias where they are not None.

    With z = (x - mean) / std over m values and weight w, in training
        grad_input = w / std * (grad_output - sum(grad_output) / m - z * sum(grad_output * z) / m),
    else w / std * grad_output; grad_weight = sum(grad_output * z), grad_bias = sum(grad_output).
    """
    dtype = input.dtype
    with np.errstate(all="ignore"):
        sums, deviations = gradient_sums(grad_output, input, mean, g)
        inverse = 1.0 / np.sqrt(var.astype(np.float64) + eps)
        factor = inverse if weight is None else inverse * weight
        if grad_weight is not None:
            grad_weight[...] = deviations * inverse
        if grad_bias is not None:
            grad_bias[...] = sums
        count = g.outer * g.inner
        slope = (-factor * inverse * inverse * deviations / count).astype(dtype)
        summand = (-factor * sums / count).astype(dtype)
        high, low = _in_two(mean, dtype)
        factor = factor.astype(dtype)
    x, y, out = input.ravel(), grad_output.ravel(), grad_input.ravel()
    if training:
        _batch_norm_grad_planes(input.size)(out, y, x, high, low, factor, slope, summand, g.size, g.inner)
    else:
        zero = np.zeros(g.size, dtype)
        _batch_norm_planes(input.size)(out, y, zero, zero, factor, zero, g.size, g.inner)
