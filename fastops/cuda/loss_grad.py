"""The gradients of cross_entropy and mse_loss on CUDA.

Softmax and loss are one: with q the target distribution times the class weights, the gradient of a row's loss is
softmax * sum(q) - q.
"""

from numba import float64

from ..cpu.exp import exp
from ..cpu.loss import smoothed
from . import sums
from ._launch import THREADS, Operand, cuda, kernel
from .arithmetic import FLOAT64
from .check import first_outside
from .loss import class_weight
from .softmax import MOST, group_online, online, portion, shares
from .sums import BLOCKS, block_sum, group_sum
from .vectors import load4, quads, store4, wide

# ------------------------------------------------------------------------------------------------- kernels


@kernel(float64=True)
def _label_weights(out, target, weight, ignore_index):
    # A block sums the weights of its labels, and those a grid further, that are not ignored.
    totals = cuda.shared.array(THREADS, float64)
    total = 0.0
    for i in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        if target[i] != ignore_index:
            total += float64(class_weight(weight, target[i]))
    total = block_sum(totals, total)
    if cuda.threadIdx.x == 0:
        out[cuda.blockIdx.x] = total


@kernel(float64=True)
def _cross_entropy_grad(out, scales, x, target, weight, weight_total, size, inner, places, share, width, ignore_index,
                        smoothing):  # fmt: skip
    # 2^share threads own a place: p * sum(q) - q for q = the target distribution times the weights.
    partial = cuda.shared.array(MOST, x.dtype)
    place, part, slot, group, _, first, end, step = portion(size, inner, places, share, width)
    top, sum = online(x, first, end, step)
    top, sum = group_online(partial, top, sum, slot, group)
    if place < places:
        label = target[place]
        counted = label != ignore_index
        scale = scales[place if scales.size > 1 else 0]
        uniform = scale * (smoothing / size)
        at_label = scale * (1.0 - smoothing) * float64(class_weight(weight, label)) if counted else 0.0
        q_sum = at_label
        if smoothing > 0:
            q_sum += uniform * (weight_total[0] if weight.size > 0 else float64(size))
        factor = x.dtype.type(q_sum / float64(sum))
        at_label, c = x.dtype.type(at_label), part
        for i in range(first, end, step):
            value = exp(x[i] - top) * factor
            if smoothing > 0:
                value -= x.dtype.type(uniform * float64(class_weight(weight, c)))
            if c == label:
                value -= at_label
            out[i] = value if counted else x.dtype.type(0)
            c += group


@kernel(float64=True)
def _cross_entropy_probabilities_grad(out, scales, x, target, weight, size, inner, places, share, width, smoothing):
    # As in _cross_entropy_grad.
    partial = cuda.shared.array(MOST, x.dtype)
    totals = cuda.shared.array(MOST, float64)
    place, part, slot, group, _, first, end, step = portion(size, inner, places, share, width)
    top, sum = online(x, first, end, step)
    top, sum = group_online(partial, top, sum, slot, group)
    q_sum, c = 0.0, part
    for i in range(first, end, step):
        q_sum += float64(smoothed(target[i], smoothing, size) * class_weight(weight, c))
        c += group
    q_sum = group_sum(totals, q_sum, slot, group)
    if place < places:
        scale = scales[place if scales.size > 1 else 0]
        factor, c = x.dtype.type(scale * q_sum / float64(sum)), part
        for i in range(first, end, step):
            q = smoothed(target[i], smoothing, size) * class_weight(weight, c)
            out[i] = exp(x[i] - top) * factor - x.dtype.type(scale * float64(q))
            c += group


@kernel(float64=True)
def _mse_loss_grad(grad_input, grad_target, x, target, factor, weighted, number, scales, scaled, wide):
    # A thread owns four neighbouring elements.
    i, one = 4 * cuda.grid(1), x.dtype.type(1)
    scale = x.dtype.type(number * float64(scales[0]) if scaled else number)
    if wide and i + 4 <= x.size:
        a, b, c, d = load4(x, i)
        p, q, r, s = load4(target, i)
        e, f, g, h = load4(factor, i) if weighted else (one, one, one, one)
        a, b, c, d = (a - p) * (e * scale), (b - q) * (f * scale), (c - r) * (g * scale), (d - s) * (h * scale)
        store4(grad_input, i, a, b, c, d)
        store4(grad_target, i, -a, -b, -c, -d)
    else:
        for j in range(i, i + 4):
            if j < x.size:
                gradient = (x[j] - target[j]) * ((factor[j] if weighted else one) * scale)
                grad_input[j] = gradient
                grad_target[j] = -gradient


# ------------------------------------------------------------------------------------------------- entries


def label_weight(target, weight, classes, exempts, ignore_index):
    """(the sum of the weights of the labels that are not ignored, a float64 array of one element; if any is bad)."""
    if first_outside(target, classes, ignore_index if exempts else None) >= 0:
        return None, True
    place = target.place
    blocks = max(1, min(-(-target.size // (16 * THREADS)), BLOCKS))
    out = place.lend(place.empty(blocks, FLOAT64))
    _label_weights.blocks(place, blocks, THREADS, out, target, weight, ignore_index)
    return out if blocks == 1 else place.lend(sums.total(out)), False


def cross_entropy_backward(out, scales, logits, target, weight, view, ignore_index, smoothing):
    """The gradient for class numbers; ``scales`` are the gradients of the places' losses, or one for all (float64)."""
    place, weighted = logits.place, type(weight) is Operand  # else it is empty
    weight_total = sums.total(weight) if weighted and smoothing > 0 else scales
    blocks, threads, share, width = shares(view)
    _cross_entropy_grad.blocks(place, blocks, threads, out, scales, logits, target, weight, weight_total, view.size,
                               view.inner, view.outer * view.inner, share, width, ignore_index,
                               float(smoothing))  # fmt: skip


def cross_entropy_probabilities_backward(out, scales, logits, target, weight, view, smoothing):
    """The gradient for class probabilities."""
    blocks, threads, share, width = shares(view)
    _cross_entropy_probabilities_grad.blocks(logits.place, blocks, threads, out, scales, logits, target, weight,
                                             view.size, view.inner, view.outer * view.inner, share, width,
                                             float(smoothing))  # fmt: skip


def mse_loss_backward(grad_input, grad_target, input, target, factor, scale):
    """2 * (input - target) * factor * scale, and its negative; ``factor`` may be None."""
    place, weighted, scaled = input.place, factor is not None, not isinstance(scale, float)
    *arrays, by_four = wide(place, grad_input, grad_target, input, target, factor if weighted else input)
    number, scales = (2.0, scale) if scaled else (2.0 * scale, input)
    _mse_loss_grad.threads(place, quads(input), *arrays, weighted, number, scales, scaled, by_four)
