"""The gradients of cross_entropy and mse_loss on the CPU.

Softmax and loss are one: with q the target distribution times the class weights, the gradient of a row's loss is
softmax * sum(q) - q.  Logits are (outer, classes, inner) as in softmax.py, class weights as in loss.py.
"""

import numpy as np
from numba import carray, prange

from .._jit import index, kernel, reduction, routine
from .columns import columns_exp, columns_max, gather, images_from, of_a_strip, plan, scatter, strip
from .loss import LOSS_BLOCK, add_up, checked_labels, class_weight, smoothed, weight_of_labels
from .rows import by_rows, row_exp, row_max, row_scaled, rows_of_a_task
from .simd.values import pointer

# ------------------------------------------------------------------------------------------------ routines


@reduction
def _smoothed_sum(p, start, classes, weight, smoothing):
    """The sum over a row of weight * smoothed probability, float64."""
    s = 0.0
    for c in range(classes):
        s += np.float64(smoothed(p[index(start + c)], smoothing, classes) * class_weight(weight, c))
    return s


@routine
def _scales_at(scales, every, first):
    """The scale of each place from ``first`` on: in an array of their own, since loops that choose stay scalar."""
    for j in range(scales.size):
        scales[j] = every[0]
    if every.size > 1:
        for j in range(scales.size):
            scales[j] = every[index(first + j)]


@routine
def _cross_entropy_grad_strip(out, scales, x, start, end, step, columns, period, target, first, places, weight,
                              weight_total, ignore_index, smoothing):  # fmt: skip
    classes = -(-(end - start) // period)
    keep, uniform = 1.0 - smoothing, smoothing / classes
    top, factor = carray(of_a_strip(), (columns,), x.dtype), carray(of_a_strip(), (columns,), x.dtype)
    columns_max(top, x, start, end, step, period)
    columns_exp(factor, out, top, x, start, end, step, period)
    scale, at_label = carray(of_a_strip(), (places,), np.float64), carray(of_a_strip(), (places,), np.float64)
    _scales_at(scale, scales, first)
    for j in range(places):
        at_label[j] = keep
    if weight.size > 0:
        for j in range(places):
            label = target[index(first + j)]
            at_label[j] = keep * np.float64(weight[index(label if label != ignore_index else 0)])
    for j in range(places):
        q_sum = scale[j] * (at_label[j] + uniform * weight_total)
        divided = x.dtype.type(q_sum / np.float64(factor[j]))
        factor[j] = divided if target[index(first + j)] != ignore_index else x.dtype.type(0)
    for c in range(classes):
        at = start + c * period
        for j in range(places):
            out[index(at + j)] *= factor[j]
        if smoothing > 0:
            share = uniform * np.float64(class_weight(weight, c))
            for j in range(places):
                out[index(at + j)] -= x.dtype.type(scale[j] * share)
    for j in range(places):
        label = target[index(first + j)]
        if label != ignore_index:
            out[index(start + label * period + j)] -= x.dtype.type(
                scale[j] * keep * np.float64(class_weight(weight, label))
            )
        else:
            for c in range(classes):
                out[index(start + c * period + j)] = 0


@routine
def _cross_entropy_probabilities_grad_strip(out, scales, x, p, start, end, step, columns, period, first, places,
                                            weight, smoothing):  # fmt: skip
    classes = -(-(end - start) // period)
    top, factor = carray(of_a_strip(), (columns,), x.dtype), carray(of_a_strip(), (columns,), x.dtype)
    q_sums, share = carray(of_a_strip(), (places,), np.float64), carray(of_a_strip(), (places,), np.float64)
    _scales_at(share, scales, first)
    columns_max(top, x, start, end, step, period)
    columns_exp(factor, out, top, x, start, end, step, period)
    for j in range(places):
        q_sums[j] = 0
    for c in range(classes):
        w, at = class_weight(weight, c), start + c * period
        for j in range(places):
            q_sums[j] += np.float64(smoothed(p[index(at + j)], smoothing, classes) * w)
    for j in range(places):
        factor[j] = x.dtype.type(share[j] * q_sums[j] / np.float64(factor[j]))
    for c in range(classes):
        w, at = class_weight(weight, c), start + c * period
        for j in range(places):
            q = smoothed(p[index(at + j)], smoothing, classes) * w
            out[index(at + j)] = out[index(at + j)] * factor[j] - x.dtype.type(share[j] * q)


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _label_weights(sums, target, weight, classes, exempts, ignore_index):
    # An iteration owns a block: it sums the weights of its labels that are not ignored, and counts those that are none.
    for block in prange(sums.shape[0]):
        first = block * LOSS_BLOCK
        labels = np.empty(min(LOSS_BLOCK, target.size - first), np.int64)
        sums[block, 1] = checked_labels(labels, target, first, classes, exempts, ignore_index)
        sums[block, 0] = weight_of_labels(labels, 0, labels.size, weight, ignore_index)
    add_up(sums)


@kernel
def _cross_entropy_grad_rows(out, scales, x, target, weight, classes, rows, weight_total, ignore_index, smoothing):
    # An iteration owns ``rows`` rows: p * sum(q) - q for q = the target distribution times the weights.
    keep, uniform = 1.0 - smoothing, smoothing / classes
    for task in prange(-(-target.size // rows)):
        values, to = pointer(x), pointer(out)
        for row in range(task * rows, min(task * rows + rows, target.size)):
            start, label, scale = row * classes, target[row], scales[row % scales.size]
            if label == ignore_index:
                for c in range(classes):
                    out[index(start + c)] = 0
            else:
                at_label = keep * np.float64(class_weight(weight, label))
                exp_sum = row_exp(to, values, start, classes, row_max(values, start, classes))
                factor = x.dtype.type(scale * (at_label + uniform * weight_total) / exp_sum)
                row_scaled(to, start, classes, factor)
                if smoothing > 0:
                    for c in range(classes):
                        share = x.dtype.type(scale * uniform * np.float64(class_weight(weight, c)))
                        out[index(start + c)] -= share
                out[index(start + label)] -= x.dtype.type(scale * at_label)


@kernel
def _cross_entropy_grad_strips(out, scales, x, target, weight, classes, inner, tasks, strips, wide, step, images,
                               weight_total, ignore_index, smoothing):  # fmt: skip
    # An iteration owns a strip of columns.
    for task in prange(tasks):
        if images > 0:
            lines, start = np.empty((2, classes * wide), x.dtype), task * images * classes * inner
            places = images_from(x, start, classes, inner, wide) * inner
            gather(lines[1], x, start, classes, inner, wide)
            _cross_entropy_grad_strip(lines[0], scales, lines[1], 0, classes * wide, wide, wide, wide, target,
                                      task * images * inner, places, weight, weight_total, ignore_index,
                                      smoothing)  # fmt: skip
            scatter(out, lines[0], start, classes, inner, wide)
        else:
            start, end, columns, first = strip(task, strips, wide, step, classes, inner)
            _cross_entropy_grad_strip(out, scales, x, start, end, step, columns, inner, target, first,
                                      min(columns, inner), weight, weight_total, ignore_index, smoothing)  # fmt: skip


@kernel
def _cross_entropy_probabilities_grad_rows(out, scales, x, target, weight, classes, rows, smoothing):
    # An iteration owns ``rows`` rows.
    for task in prange(-(-x.size // (classes * rows))):
        values, to = pointer(x), pointer(out)
        for row in range(task * rows, min(task * rows + rows, x.size // classes)):
            start, scale = row * classes, scales[row % scales.size]
            q_sum = _smoothed_sum(target, start, classes, weight, smoothing)
            exp_sum = row_exp(to, values, start, classes, row_max(values, start, classes))
            factor = x.dtype.type(scale * q_sum / exp_sum)
            for c in range(classes):
                q = smoothed(target[index(start + c)], smoothing, classes) * class_weight(weight, c)
                out[index(start + c)] = out[index(start + c)] * factor - x.dtype.type(scale * q)


@kernel
def _cross_entropy_probabilities_grad_strips(out, scales, x, target, weight, classes, inner, tasks, strips, wide, step,
                                             images, smoothing):  # fmt: skip
    # An iteration owns a strip of columns.
    for task in prange(tasks):
        if images > 0:
            lines, start = np.empty((3, classes * wide), x.dtype), task * images * classes * inner
            places = images_from(x, start, classes, inner, wide) * inner
            gather(lines[1], x, start, classes, inner, wide)
            gather(lines[2], target, start, classes, inner, wide)
            _cross_entropy_probabilities_grad_strip(lines[0], scales, lines[1], lines[2], 0, classes * wide, wide,
                                                    wide, wide, task * images * inner, places, weight,
                                                    smoothing)  # fmt: skip
            scatter(out, lines[0], start, classes, inner, wide)
        else:
            start, end, columns, first = strip(task, strips, wide, step, classes, inner)
            _cross_entropy_probabilities_grad_strip(out, scales, x, target, start, end, step, columns, inner, first,
                                                    min(columns, inner), weight, smoothing)  # fmt: skip


@kernel
def _mse_loss_grad(grad_input, grad_target, x, target, scale):
    scale = x.dtype.type(scale)
    for i in prange(x.size):
        gradient = (x[i] - target[i]) * scale
        grad_input[i] = gradient
        grad_target[i] = -gradient


@kernel
def _mse_loss_grad_weighted(grad_input, grad_target, x, target, weight, scale):
    scale = x.dtype.type(scale)
    for i in prange(x.size):
        gradient = (x[i] - target[i]) * (weight[i] * scale)
        grad_input[i] = gradient
        grad_target[i] = -gradient


# ------------------------------------------------------------------------------------------------- entries


def label_weight(target, weight, classes, exempts, ignore_index):
    """(the sum of the weights of the labels that are not ignored, float64; how many labels are bad)."""
    sums = np.empty((max(1, -(-target.size // LOSS_BLOCK)), 2))
    _label_weights(target.size)(sums, target.ravel(), weight, classes, exempts, ignore_index)
    return sums.item(0), sums.item(1)


def cross_entropy_backward(out, scales, logits, target, weight, view, ignore_index, smoothing):
    """The gradient for class numbers; ``scales`` are the gradients of the places' losses, or one for all (float64)."""
    y, x, labels, scales = out.reshape(-1), logits.reshape(-1), target.reshape(-1), scales.reshape(-1)
    work, weight_total = logits.size * 4, float(view.size)
    if smoothing > 0 and weight.size > 0:
        with np.errstate(all="ignore"):
            weight_total = float(weight.sum(dtype=np.float64))
    if by_rows(view):
        _cross_entropy_grad_rows(work)(y, scales, x, labels, weight, view.size, rows_of_a_task(view.size), weight_total,
                                       ignore_index, smoothing)  # fmt: skip
    else:
        cut = plan(view.outer, view.size, view.inner, x.itemsize)
        _cross_entropy_grad_strips(work)(y, scales, x, labels, weight, view.size, view.inner, *cut, weight_total,
                                         ignore_index, smoothing)  # fmt: skip


def cross_entropy_probabilities_backward(out, scales, logits, target, weight, view, smoothing):
    """The gradient for class probabilities."""
    y, x, p, scales = out.reshape(-1), logits.reshape(-1), target.reshape(-1), scales.reshape(-1)
    work = logits.size * 4
    if by_rows(view):
        _cross_entropy_probabilities_grad_rows(work)(
            y, scales, x, p, weight, view.size, rows_of_a_task(view.size), smoothing
        )
    else:
        cut = plan(view.outer, view.size, view.inner, x.itemsize)
        _cross_entropy_probabilities_grad_strips(work)(
            y, scales, x, p, weight, view.size, view.inner, *cut, smoothing
        )  # fmt: skip


def mse_loss_backward(grad_input, grad_target, input, target, factor, scale):
    """2 * (input - target) * factor * scale, and its negative; ``factor`` may be None."""
    arrays = (a.reshape(-1) for a in (grad_input, grad_target, input, target))
    if factor is None:
        _mse_loss_grad(input.size)(*arrays, 2.0 * scale)
    else:
        _mse_loss_grad_weighted(input.size)(*arrays, factor.reshape(-1), 2.0 * scale)
