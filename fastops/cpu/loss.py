"""cross_entropy and mse_loss on the CPU.

Losses are summed in float64 over blocks of fixed size, which are then joined in order: the bits do not depend on the
number of threads.  Logits are (outer, classes, inner) as in softmax.py: by rows, or by strips of columns.  Class
weights are an empty array where all are 1.
"""

import numpy as np
from numba import carray, prange

from .._jit import index, kernel, reduction, routine, scalar
from .check import first_outside, outside
from .columns import RUN, gather, images_from, of_a_strip, plan, strip
from .rows import by_rows, of_a_task, rows_log_sums, rows_of_a_task
from .softmax import columns_log_sum, log_probability
from .sums import total

LOSS_BLOCK = 8192  # losses, or weights of labels, that are summed before sums are joined

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def smoothed(probability, smoothing, classes):
    """A target probability, mixed with the uniform distribution (Szegedy et al., arXiv 1512.00567)."""
    return probability * type(probability)(1 - smoothing) + type(probability)(smoothing / classes)


@scalar
def squared_error(x, target):
    """(x - target)^2."""
    return (x - target) * (x - target)


@scalar
def class_weight(weight, c):
    """The weight of a class."""
    return weight[index(c)] if weight.size > 0 else weight.dtype.type(1)


# ----------------------------------------------------------------------------------------------- reductions


@reduction
def _expected_log_probability(x, p, start, classes, weight, top, log_sum, smoothing):
    """The sum over a row of weight * smoothed probability * log probability, float64."""
    s = 0.0
    for c in range(classes):
        target = smoothed(p[index(start + c)], smoothing, classes)
        s += np.float64(log_probability(x[index(start + c)], top, log_sum) * target * class_weight(weight, c))
    return s


@reduction
def _weighted_log_probability(x, start, classes, weight, top, log_sum):
    """The sum over a row of weight * log probability, float64."""
    s = 0.0
    for c in range(classes):
        s += np.float64(log_probability(x[index(start + c)], top, log_sum) * class_weight(weight, c))
    return s


@reduction
def weight_of_labels(target, start, count, weight, ignore_index):
    """The sum of the weights of those of ``count`` labels that are not ignored, float64."""
    s = 0.0
    for i in range(count):
        label = target[index(start + i)]
        if weight.size > 0:
            s += np.float64(weight[index(label)]) if label != ignore_index else 0.0
        else:
            s += 1.0 if label != ignore_index else 0.0
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


# ------------------------------------------------------------------------------------------------ routines


@routine
def checked_labels(labels, target, first, classes, exempts, ignore_index):
    """Copy so many labels; how many are neither a class nor the ignored one, which they are made."""
    bad = 0
    for j in range(labels.size):
        label = target[index(first + j)]
        wrong = outside(label, classes, exempts, ignore_index)
        labels[j] = ignore_index if wrong else label
        bad += wrong
    return bad


@routine
def _label_losses(losses, x, start, place_step, class_step, top, log_sum, labels, weight, ignore_index):
    """-weight * log probability of the labels; the logits of place j begin at start + j * place_step."""
    for j in range(losses.size):
        label = labels[j]
        counted = label != ignore_index
        label = label if counted else 0
        value = x[index(start + j * place_step + label * class_step)]
        loss = -np.float64(log_probability(value, top[j], log_sum[j]) * class_weight(weight, label))
        losses[j] = loss if counted else 0.0


@routine
def _smooth(losses, spread, labels, ignore_index, keep, uniform):
    """Mix the losses with ``spread``, what the uniform distribution would have."""
    for j in range(losses.size):
        mixed = keep * losses[j] - uniform * spread[j]
        losses[j] = mixed if labels[j] != ignore_index else 0.0


@routine
def add_up(sums):
    """Add up the rows, in their order, in the first."""
    for task in range(1, sums.shape[0]):
        for column in range(sums.shape[1]):
            sums[0, column] += sums[task, column]


@routine
def _settle(out, sums, task, losses, first):
    """Give out (where not empty) the losses of a task, and sums their sum."""
    if out.size > 0:
        for j in range(losses.size):
            out[index(first + j)] = losses[j]
    sums[task, 0] = total(losses)


@routine
def _cross_entropy_strip(losses, x, start, end, step, columns, period, labels, weight, ignore_index, smoothing):
    top, log_sum = carray(of_a_strip(), (columns,), x.dtype), carray(of_a_strip(), (columns,), x.dtype)
    columns_log_sum(top, log_sum, x, start, end, step, period)
    _label_losses(losses, x, start, 1, period, top, log_sum, labels, weight, ignore_index)
    if smoothing > 0:
        spread = np.empty(losses.size)
        for j in range(spread.size):
            spread[j] = 0
        classes = -(-(end - start) // period)
        for c in range(classes):
            w = class_weight(weight, c)
            for j in range(spread.size):
                value = x[index(start + c * period + j)]
                spread[j] += np.float64(log_probability(value, top[j], log_sum[j]) * w)
        _smooth(losses, spread, labels, ignore_index, 1.0 - smoothing, smoothing / classes)


@routine
def _cross_entropy_probabilities_strip(losses, x, p, start, end, step, columns, period, weight, smoothing):
    top, log_sum = carray(of_a_strip(), (columns,), x.dtype), carray(of_a_strip(), (columns,), x.dtype)
    part = carray(of_a_strip(), (losses.size,), x.dtype)
    columns_log_sum(top, log_sum, x, start, end, step, period)
    classes = -(-(end - start) // period)
    for j in range(losses.size):
        losses[j] = 0
    for run in range(0, classes, RUN):
        for j in range(losses.size):
            part[j] = 0
        for c in range(run, min(run + RUN, classes)):
            w, at = class_weight(weight, c), start + c * period
            for j in range(losses.size):
                value = smoothed(p[index(at + j)], smoothing, classes) * w
                part[j] += log_probability(x[index(at + j)], top[j], log_sum[j]) * value
        for j in range(losses.size):
            losses[j] -= np.float64(part[j])


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _cross_entropy_rows(out, sums, x, target, weight, classes, rows, exempts, ignore_index, smoothing):
    # An iteration owns ``rows`` rows; out (where not empty) takes the losses, sums their sum, that of the weights and
    # the number of labels that are none.
    for task in prange(sums.shape[0]):
        first, count = task * rows, min(rows, target.size - task * rows)
        top, log_sum, losses = (
            carray(of_a_task(), (count,), x.dtype),
            carray(of_a_task(), (count,), x.dtype),
            carray(of_a_task(), (count,), np.float64),
        )
        labels, start = carray(of_a_task(), (count,), np.int64), first * classes
        sums[task, 2] = checked_labels(labels, target, first, classes, exempts, ignore_index)
        rows_log_sums(top, log_sum, x, start, classes)
        _label_losses(losses, x, start, classes, 1, top, log_sum, labels, weight, ignore_index)
        if smoothing > 0:
            spread = np.empty(count)
            for j in range(count):
                spread[j] = _weighted_log_probability(x, start + j * classes, classes, weight, top[j], log_sum[j])
            _smooth(losses, spread, labels, ignore_index, 1.0 - smoothing, smoothing / classes)
        _settle(out, sums, task, losses, first)
        sums[task, 1] = weight_of_labels(labels, 0, count, weight, ignore_index)
    add_up(sums)


@kernel
def _cross_entropy_strips(out, sums, x, target, weight, classes, inner, strips, wide, step, images, exempts,
                          ignore_index, smoothing):  # fmt: skip
    # An iteration owns a strip of columns.
    for task in prange(sums.shape[0]):
        if images > 0:
            lines, start, first = (
                np.empty(classes * wide, x.dtype),
                task * images * classes * inner,
                task * images * inner,
            )
            count = images_from(x, start, classes, inner, wide) * inner
            gather(lines, x, start, classes, inner, wide)
            losses, labels = carray(of_a_strip(), (count,), np.float64), carray(of_a_strip(), (count,), np.int64)
            sums[task, 2] = checked_labels(labels, target, first, classes, exempts, ignore_index)
            _cross_entropy_strip(losses, lines, 0, classes * wide, wide, wide, wide, labels, weight, ignore_index,
                                 smoothing)  # fmt: skip
        else:
            start, end, columns, first = strip(task, strips, wide, step, classes, inner)
            count = min(columns, inner)
            losses, labels = carray(of_a_strip(), (count,), np.float64), carray(of_a_strip(), (count,), np.int64)
            sums[task, 2] = checked_labels(labels, target, first, classes, exempts, ignore_index)
            _cross_entropy_strip(losses, x, start, end, step, columns, inner, labels, weight, ignore_index, smoothing)
        _settle(out, sums, task, losses, first)
        sums[task, 1] = weight_of_labels(labels, 0, count, weight, ignore_index)
    add_up(sums)


@kernel
def _cross_entropy_probabilities_rows(out, sums, x, target, weight, classes, rows, smoothing):
    # An iteration owns ``rows`` rows.
    for task in prange(sums.shape[0]):
        first, count = task * rows, min(rows, x.size // classes - task * rows)
        top, log_sum, losses = (
            carray(of_a_task(), (count,), x.dtype),
            carray(of_a_task(), (count,), x.dtype),
            carray(of_a_task(), (count,), np.float64),
        )
        rows_log_sums(top, log_sum, x, first * classes, classes)
        for j in range(count):
            losses[j] = -_expected_log_probability(
                x, target, (first + j) * classes, classes, weight, top[j], log_sum[j], smoothing
            )
        _settle(out, sums, task, losses, first)
    add_up(sums)


@kernel
def _cross_entropy_probabilities_strips(out, sums, x, target, weight, classes, inner, strips, wide, step, images,
                                        smoothing):  # fmt: skip
    # An iteration owns a strip of columns.
    for task in prange(sums.shape[0]):
        if images > 0:
            lines, start, first = (
                np.empty((2, classes * wide), x.dtype),
                task * images * classes * inner,
                task * images * inner,
            )
            losses = carray(of_a_strip(), (images_from(x, start, classes, inner, wide) * inner,), np.float64)
            gather(lines[0], x, start, classes, inner, wide)
            gather(lines[1], target, start, classes, inner, wide)
            _cross_entropy_probabilities_strip(losses, lines[0], lines[1], 0, classes * wide, wide, wide, wide,
                                               weight, smoothing)  # fmt: skip
        else:
            start, end, columns, first = strip(task, strips, wide, step, classes, inner)
            losses = carray(of_a_strip(), (min(columns, inner),), np.float64)
            _cross_entropy_probabilities_strip(losses, x, target, start, end, step, columns, inner, weight, smoothing)
        _settle(out, sums, task, losses, first)
    add_up(sums)


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
        start, stop = block * LOSS_BLOCK, min(block * LOSS_BLOCK + LOSS_BLOCK, x.size)
        sums[block, 0] = _squared_error_sum(x[start:stop], target[start:stop])
        sums[block, 1] = stop - start
    add_up(sums)


@kernel
def _mse_loss_weighted_sums(sums, x, target, weight):
    # An iteration owns a block.
    for block in prange(sums.shape[0]):
        start, stop = block * LOSS_BLOCK, min(block * LOSS_BLOCK + LOSS_BLOCK, x.size)
        sums[block, 0] = _weighted_squared_error_sum(x[start:stop], target[start:stop], weight[start:stop])
        sums[block, 1] = total(weight[start:stop])
    add_up(sums)


# ------------------------------------------------------------------------------------------------- entries


def cross_entropy(out, logits, target, weight, view, exempts, ignore_index, smoothing):
    """Fill ``out`` (empty: do not) with the losses of class numbers; (sum of losses, sum of weights, bad labels)."""
    if not logits.size:
        out.fill(0)
        return 0.0, 0.0, first_outside(target, view.size, ignore_index if exempts else None) >= 0
    outer, size, inner = view
    x, labels, losses, work = logits.ravel(), target.ravel(), out.ravel(), logits.size * 4
    if by_rows(view):
        rows = rows_of_a_task(size)
        sums = np.empty((-(-outer // rows), 3))
        _cross_entropy_rows(work)(losses, sums, x, labels, weight, size, rows, exempts, ignore_index, smoothing)
    else:
        tasks, *cut = plan(outer, size, inner, x.itemsize)
        sums = np.empty((tasks, 3))
        _cross_entropy_strips(work)(
            losses, sums, x, labels, weight, size, inner, *cut, exempts, ignore_index, smoothing
        )  # fmt: skip
    return sums.item(0), sums.item(1), sums.item(2)


def cross_entropy_probabilities(out, logits, target, weight, view, smoothing):
    """Fill ``out`` (empty: do not) with the losses of class probabilities; (sum of losses, their number)."""
    if not logits.size:
        out.fill(0)
        return 0.0, float(view.outer * view.inner)
    x, p, losses, work = logits.reshape(-1), target.reshape(-1), out.reshape(-1), logits.size * 4
    if by_rows(view):
        rows = rows_of_a_task(view.size)
        sums = np.zeros((-(-view.outer // rows), 2))
        _cross_entropy_probabilities_rows(work)(losses, sums, x, p, weight, view.size, rows, smoothing)
    else:
        tasks, *cut = plan(view.outer, view.size, view.inner, x.itemsize)
        sums = np.zeros((tasks, 2))
        _cross_entropy_probabilities_strips(work)(
            losses, sums, x, p, weight, view.size, view.inner, *cut, smoothing
        )  # fmt: skip
    return sums.item(0), float(view.outer * view.inner)


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
    sums = np.empty((max(1, -(-x.size // LOSS_BLOCK)), 2))
    if weight is None:
        _mse_loss_sums(x.size)(sums, x, t)
    else:
        _mse_loss_weighted_sums(x.size)(sums, x, t, weight.reshape(-1))
    return sums[0].tolist()


def scalar_loss(total, divisor, dtype):
    """total / divisor as a NumPy scalar, in floating-point rules: 0 / 0 is NaN, without a warning."""
    if divisor != 0:
        quotient = total / divisor
        if abs(quotient) < 1e38:
            return dtype.type(quotient)
    with np.errstate(all="ignore"):
        return dtype.type(np.float64(total) / np.float64(divisor))
