"""The gradients of cross_entropy and mse_loss on the CPU.

Softmax and loss are one: with q the target distribution times the class weights, the gradient of a row's loss is
softmax * sum(q) - q.  Logits are (outer, classes, inner) as in softmax.py.
"""

import numpy as np
from numba import prange

from .._jit import kernel
from .exp import exp
from .loss import BLOCK, smoothed
from .softmax import STRIP, row_exp, row_max, strip_exp_sum, strip_max, strips
from .sums import total

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _label_weights(sums, target, weight, ignore_index):
    # An iteration owns a block and sums the weights of its labels that are not ignored.
    for block in prange(sums.size):
        labels = target[block * BLOCK : (block + 1) * BLOCK]
        s = 0.0
        for i in range(labels.size):
            if labels[i] != ignore_index:
                s += np.float64(weight[labels[i]])
        sums[block] = s


@kernel
def _cross_entropy_grad_rows(out, scales, x, target, weight, classes, weight_total, ignore_index, smoothing):
    # An iteration owns a row: p * sum(q) - q for q = the target distribution times the weights.
    keep, uniform = 1.0 - smoothing, smoothing / classes
    for row in prange(target.size):
        logits, results = x[row * classes : (row + 1) * classes], out[row * classes : (row + 1) * classes]
        label, scale = target[row], np.float64(scales[row % scales.size])
        if label == ignore_index:
            for c in range(classes):
                results[c] = 0
        else:
            at_label = keep * np.float64(weight[label])
            exp_sum = row_exp(results, logits, row_max(logits))
            factor = x.dtype.type(scale * (at_label + uniform * weight_total) / exp_sum)
            if smoothing > 0:
                for c in range(classes):
                    results[c] = results[c] * factor - x.dtype.type(scale * uniform * weight[c])
            else:
                for c in range(classes):
                    results[c] *= factor
            results[label] -= x.dtype.type(scale * at_label)


@kernel
def _cross_entropy_grad_strips(out, scales, x, target, weight, classes, inner, strips, weight_total, ignore_index,
                               smoothing):  # fmt: skip
    # An iteration owns a strip of columns.
    keep, uniform = 1.0 - smoothing, smoothing / classes
    for task in prange(x.size // (classes * inner) * strips):
        j0 = task % strips * STRIP
        start = task // strips * classes * inner + j0
        first = task // strips * inner + j0
        width = min(STRIP, inner - j0)
        top, sums = np.empty(width, x.dtype), np.empty(width)
        factor, spread = np.empty(width, x.dtype), np.empty(width)
        strip_max(top, x[start:], classes, inner)
        strip_exp_sum(sums, top, x[start:], classes, inner)
        labels = target[first : first + width]
        for j in range(width):
            scale = np.float64(scales[(first + j) % scales.size])
            counted = labels[j] != ignore_index
            at_label = keep * np.float64(weight[labels[j] if counted else 0])
            factor[j] = x.dtype.type(scale * (at_label + uniform * weight_total) / sums[j]) if counted else 0
            spread[j] = scale * uniform if counted else 0.0
            top[j] = top[j] if counted else np.inf  # exp becomes 0
        for c in range(classes):
            at = start + c * inner
            logits, results = x[at : at + width], out[at : at + width]
            for j in range(width):
                results[j] = exp(logits[j] - top[j]) * factor[j]
            if smoothing > 0:
                for j in range(width):
                    results[j] -= x.dtype.type(spread[j] * weight[c])
        for j in range(width):
            label = labels[j]
            if label != ignore_index:
                scale = np.float64(scales[(first + j) % scales.size])
                out[start + label * inner + j] -= x.dtype.type(scale * keep * np.float64(weight[label]))
            else:
                for c in range(classes):
                    out[start + c * inner + j] = 0


@kernel
def _cross_entropy_probabilities_grad_rows(out, scales, x, target, weight, classes, smoothing):
    # An iteration owns a row.
    for row in prange(x.size // classes):
        first, last = row * classes, (row + 1) * classes
        logits, p, results = x[first:last], target[first:last], out[first:last]
        q = np.empty(classes, x.dtype)
        for c in range(classes):
            q[c] = smoothed(p[c], smoothing, classes) * weight[c]
        scale = np.float64(scales[row % scales.size])
        factor = x.dtype.type(scale * total(q) / row_exp(results, logits, row_max(logits)))
        for c in range(classes):
            results[c] = results[c] * factor - x.dtype.type(scale * q[c])


@kernel
def _cross_entropy_probabilities_grad_strips(out, scales, x, target, weight, classes, inner, strips, smoothing):
    # An iteration owns a strip of columns.
    for task in prange(x.size // (classes * inner) * strips):
        j0 = task % strips * STRIP
        start = task // strips * classes * inner + j0
        first = task // strips * inner + j0
        width = min(STRIP, inner - j0)
        top, sums, q_sums = np.empty(width, x.dtype), np.empty(width), np.empty(width)
        factor, share = np.empty(width, x.dtype), np.empty(width)
        strip_max(top, x[start:], classes, inner)
        strip_exp_sum(sums, top, x[start:], classes, inner)
        for j in range(width):
            q_sums[j] = 0
        for c in range(classes):
            p = target[start + c * inner : start + c * inner + width]
            for j in range(width):
                q_sums[j] += np.float64(smoothed(p[j], smoothing, classes) * weight[c])
        for j in range(width):
            scale = np.float64(scales[(first + j) % scales.size])
            factor[j] = x.dtype.type(scale * q_sums[j] / sums[j])
            share[j] = scale
        for c in range(classes):
            at = start + c * inner
            logits, p, results = x[at : at + width], target[at : at + width], out[at : at + width]
            for j in range(width):
                q = smoothed(p[j], smoothing, classes) * weight[c]
                results[j] = exp(logits[j] - top[j]) * factor[j] - x.dtype.type(share[j] * q)


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


def label_weight(target, weight, ignore_index):
    """The sum of the weights of the labels that are not ignored, float64."""
    sums = np.empty(-(-target.size // BLOCK))
    _label_weights(target.size)(sums, target.reshape(-1), weight, ignore_index)
    with np.errstate(all="ignore"):
        return sums.sum()


def cross_entropy_backward(out, scales, logits, target, weight, view, ignore_index, smoothing):
    """The gradient for class numbers; ``scales`` are the gradients of the places' losses, or one for all."""
    y, x, labels, scales = out.reshape(-1), logits.reshape(-1), target.reshape(-1), scales.reshape(-1)
    work = logits.size * 4
    with np.errstate(all="ignore"):
        weight_total = float(weight.sum(dtype=np.float64)) if smoothing > 0 else 0.0
    if view.inner == 1:
        _cross_entropy_grad_rows(work)(
            y, scales, x, labels, weight, view.size, weight_total, ignore_index, smoothing
        )  # fmt: skip
    else:
        _cross_entropy_grad_strips(work)(y, scales, x, labels, weight, view.size, view.inner, strips(view.inner),
                                         weight_total, ignore_index, smoothing)  # fmt: skip


def cross_entropy_probabilities_backward(out, scales, logits, target, weight, view, smoothing):
    """The gradient for class probabilities."""
    y, x, p, scales = out.reshape(-1), logits.reshape(-1), target.reshape(-1), scales.reshape(-1)
    work = logits.size * 4
    if view.inner == 1:
        _cross_entropy_probabilities_grad_rows(work)(y, scales, x, p, weight, view.size, smoothing)
    else:
        _cross_entropy_probabilities_grad_strips(work)(
            y, scales, x, p, weight, view.size, view.inner, strips(view.inner), smoothing
        )  # fmt: skip


def mse_loss_backward(grad_input, grad_target, input, target, factor, scale):
    """(input - target) * factor * scale, and its negative; ``factor`` may be None."""
    arrays = (a.reshape(-1) for a in (grad_input, grad_target, input, target))
    if factor is None:
        _mse_loss_grad(input.size)(*arrays, scale)
    else:
        _mse_loss_grad_weighted(input.size)(*arrays, factor.reshape(-1), scale)
