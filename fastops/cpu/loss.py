"""cross_entropy and mse_loss on the CPU.

Losses are summed in float64 over blocks of fixed size, which are then joined in order: the bits do not depend on the
number of threads.  Logits are (outer, classes, inner) as in softmax.py: rows where inner = 1, else strips of columns.
"""

import numpy as np
from numba import prange

from .._jit import kernel, reduction, scalar
from .softmax import STRIP, log_probability, row_exp_sum, row_max, strip_exp_sum, strip_max, strips
from .sums import total

ROWS = 64  # rows of a block
BLOCK = 8192  # elements of a block of mse_loss

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def smoothed(probability, smoothing, classes):
    """A target probability, mixed with the uniform distribution (Szegedy et al., arXiv 1512.00567)."""
    return probability * type(probability)(1 - smoothing) + type(probability)(smoothing / classes)


@scalar
def squared_error(x, target):
    """(x - target)^2."""
    return (x - target) * (x - target)


# ----------------------------------------------------------------------------------------------- reductions


@reduction
def _expected_log_probability(x, p, weight, top, log_sum, smoothing):
    """The sum over a row of weight * smoothed probability * log probability, float64."""
    s = 0.0
    for c in range(x.size):
        target = smoothed(p[c], smoothing, x.size)
        s += np.float64(log_probability(x[c], top, log_sum) * target * weight[c])
    return s


@reduction
def _weighted_log_probability(x, weight, top, log_sum):
    """The sum over a row of weight * log probability, float64."""
    s = 0.0
    for c in range(x.size):
        s += np.float64(log_probability(x[c], top, log_sum) * weight[c])
    return s


@reduction
def _squared_error_sum(x, target):
    s = 0.0
    for i in range(x.size):
        s += np.float64(squared_error(x[i], target[i]))
    return s


@reduction
def _weighted_squared_error_sum(x, target, weight):
    s = 0.0
    for i in range(x.size):
        s += np.float64(squared_error(x[i], target[i]) * weight[i])
    return s


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _cross_entropy_rows(out, sums, x, target, weight, classes, ignore_index, smoothing):
    # An iteration owns ROWS rows; out (where not empty) takes the losses, sums their sum and that of the weights.
    keep, uniform = 1.0 - smoothing, smoothing / classes
    for block in prange(sums.shape[0]):
        loss_sum, weight_sum = 0.0, 0.0
        for row in range(block * ROWS, min(block * ROWS + ROWS, target.size)):
            loss = 0.0
            label = target[row]
            if label != ignore_index:
                logits = x[row * classes : (row + 1) * classes]
                top = row_max(logits)
                log_sum = x.dtype.type(np.log(row_exp_sum(logits, top)))
                loss = -np.float64(log_probability(logits[label], top, log_sum) * weight[label])
                if smoothing > 0:
                    spread = _weighted_log_probability(logits, weight, top, log_sum)
                    loss = keep * loss - uniform * spread
                weight_sum += np.float64(weight[label])
                loss_sum += loss
            if out.size > 0:
                out[row] = loss
        sums[block, 0] = loss_sum
        sums[block, 1] = weight_sum


@kernel
def _cross_entropy_strips(out, sums, x, target, weight, classes, inner, strips, ignore_index, smoothing):
    # An iteration owns a strip of columns.
    keep, uniform = 1.0 - smoothing, smoothing / classes
    for task in prange(sums.shape[0]):
        j0 = task % strips * STRIP
        start = task // strips * classes * inner + j0
        first = task // strips * inner + j0
        width = min(STRIP, inner - j0)
        top, exp_sums, log_sum = np.empty(width, x.dtype), np.empty(width), np.empty(width, x.dtype)
        strip_max(top, x[start:], classes, inner)
        strip_exp_sum(exp_sums, top, x[start:], classes, inner)
        for j in range(width):
            log_sum[j] = x.dtype.type(np.log(exp_sums[j]))
        spread = np.zeros(width if smoothing > 0 else 0)
        if smoothing > 0:
            for c in range(classes):
                logits = x[start + c * inner : start + c * inner + width]
                for j in range(width):
                    spread[j] += np.float64(log_probability(logits[j], top[j], log_sum[j]) * weight[c])
        loss_sum, weight_sum = 0.0, 0.0
        for j in range(width):
            loss = 0.0
            label = target[first + j]
            if label != ignore_index:
                value = log_probability(x[start + label * inner + j], top[j], log_sum[j])
                loss = -np.float64(value * weight[label])
                if smoothing > 0:
                    loss = keep * loss - uniform * spread[j]
                weight_sum += np.float64(weight[label])
                loss_sum += loss
            if out.size > 0:
                out[first + j] = loss
        sums[task, 0] = loss_sum
        sums[task, 1] = weight_sum


@kernel
def _cross_entropy_probabilities_rows(out, sums, x, target, weight, classes, smoothing):
    # An iteration owns ROWS rows.
    rows = x.size // classes
    for block in prange(sums.shape[0]):
        loss_sum = 0.0
        for row in range(block * ROWS, min(block * ROWS + ROWS, rows)):
            logits, p = x[row * classes : (row + 1) * classes], target[row * classes : (row + 1) * classes]
            top = row_max(logits)
            log_sum = x.dtype.type(np.log(row_exp_sum(logits, top)))
            loss = -_expected_log_probability(logits, p, weight, top, log_sum, smoothing)
            loss_sum += loss
            if out.size > 0:
                out[row] = loss
        sums[block, 0] = loss_sum


@kernel
def _cross_entropy_probabilities_strips(out, sums, x, target, weight, classes, inner, strips, smoothing):
    # An iteration owns a strip of columns.
    for task in prange(sums.shape[0]):
        j0 = task % strips * STRIP
        start = task // strips * classes * inner + j0
        first = task // strips * inner + j0
        width = min(STRIP, inner - j0)
        top, exp_sums, log_sum = np.empty(width, x.dtype), np.empty(width), np.empty(width, x.dtype)
        strip_max(top, x[start:], classes, inner)
        strip_exp_sum(exp_sums, top, x[start:], classes, inner)
        for j in range(width):
            log_sum[j] = x.dtype.type(np.log(exp_sums[j]))
            exp_sums[j] = 0
        for c in range(classes):
            at = start + c * inner
            logits, p = x[at : at + width], target[at : at + width]
            for j in range(width):
                value = smoothed(p[j], smoothing, classes) * weight[c]
                exp_sums[j] -= np.float64(log_probability(logits[j], top[j], log_sum[j]) * value)
        loss_sum = 0.0
        for j in range(width):
            loss_sum += exp_sums[j]
            if out.size > 0:
                out[first + j] = exp_sums[j]
        sums[task, 0] = loss_sum


@kernel
def _mse_loss(out, x, target):
    for i in prange(x.size):
        out[i] = squared_error(x[i], target[i])


@kernel
def _mse_loss_weighted(out, x, target, weight):
    for i in prange(x.size):
        out[i] = squared_error(x[i], target[i]) * weight[i]


@kernel
def _mse_loss_sums(sums, x, target):
    # An iteration owns a block.
    for block in prange(sums.shape[0]):
        start, stop = block * BLOCK, min(block * BLOCK + BLOCK, x.size)
        sums[block, 0] = _squared_error_sum(x[start:stop], target[start:stop])
        sums[block, 1] = stop - start


@kernel
def _mse_loss_weighted_sums(sums, x, target, weight):
    # An iteration owns a block.
    for block in prange(sums.shape[0]):
        start, stop = block * BLOCK, min(block * BLOCK + BLOCK, x.size)
        sums[block, 0] = _weighted_squared_error_sum(x[start:stop], target[start:stop], weight[start:stop])
        sums[block, 1] = total(weight[start:stop])


# ------------------------------------------------------------------------------------------------- entries


def cross_entropy(out, logits, target, weight, view, ignore_index, smoothing):
    """Fill ``out`` (empty: do not) with the losses of class numbers; (sum of losses, sum of weights)."""
    x, labels, losses, work = logits.reshape(-1), target.reshape(-1), out.reshape(-1), logits.size * 4
    if view.inner == 1:
        sums = np.empty((-(-view.outer // ROWS), 2))
        _cross_entropy_rows(work)(losses, sums, x, labels, weight, view.size, ignore_index, smoothing)
    else:
        count = strips(view.inner)
        sums = np.empty((view.outer * count, 2))
        _cross_entropy_strips(work)(
            losses, sums, x, labels, weight, view.size, view.inner, count, ignore_index, smoothing
        )  # fmt: skip
    return _total(sums)


def cross_entropy_probabilities(out, logits, target, weight, view, smoothing):
    """Fill ``out`` (empty: do not) with the losses of class probabilities; (sum of losses, their number)."""
    x, p, losses, work = logits.reshape(-1), target.reshape(-1), out.reshape(-1), logits.size * 4
    if view.inner == 1:
        sums = np.zeros((-(-view.outer // ROWS), 2))
        _cross_entropy_probabilities_rows(work)(losses, sums, x, p, weight, view.size, smoothing)
    else:
        count = strips(view.inner)
        sums = np.zeros((view.outer * count, 2))
        _cross_entropy_probabilities_strips(work)(
            losses, sums, x, p, weight, view.size, view.inner, count, smoothing
        )  # fmt: skip
    return _total(sums)[0], float(view.outer * view.inner)


def mse_loss(out, input, target, weight):
    """Fill ``out`` with the (weighted) squared errors."""
    x, t, y = input.reshape(-1), target.reshape(-1), out.reshape(-1)
    if weight is None:
        _mse_loss(x.size)(y, x, t)
    else:
        _mse_loss_weighted(x.size)(y, x, t, weight.reshape(-1))


def mse_loss_sums(input, target, weight):
    """(sum of the (weighted) squared errors, their number or the sum of the weights)."""
    x, t = input.reshape(-1), target.reshape(-1)
    sums = np.empty((-(-x.size // BLOCK), 2))
    if weight is None:
        _mse_loss_sums(x.size)(sums, x, t)
    else:
        _mse_loss_weighted_sums(x.size)(sums, x, t, weight.reshape(-1))
    return _total(sums)


def _total(sums):
    with np.errstate(all="ignore"):
        losses, weights = sums.sum(axis=0)
    return losses, weights


def scalar_loss(total, divisor, dtype):
    """total / divisor as a NumPy scalar, in floating-point rules: 0 / 0 is NaN, without a warning."""
    with np.errstate(all="ignore"):
        return dtype.type(np.float64(total) / np.float64(divisor))
