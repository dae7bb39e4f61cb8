"""cross_entropy and mse_loss on CUDA.

A kernel finds the losses and, block by block, their sum and that of their weights; a second one adds these in order
and divides: the bits are the same every run, and nobody waits.  Logits are seen as in softmax.py; class weights are an
empty array where all are 1.
"""

import numpy as np
from numba import float64

from ..cpu.log import log
from ..cpu.loss import smoothed, squared_error
from ..cpu.softmax import log_probability
from . import arithmetic, sums
from ._launch import SIMULATED, THREADS, cuda, device, kernel
from .arithmetic import FLOAT64
from .check import first_outside
from .softmax import MOST, group_online, online, portion, shares
from .sums import BLOCKS, block_sum, group_sum
from .vectors import load4, quads, store4, wide

PARTS = 4 if SIMULATED else 512
"""Parts that very many sums are added in first."""
MANY = 16 * PARTS

# ------------------------------------------------------------------------------------------------- routines


@device
def class_weight(weight, c):
    """The weight of a class."""
    return weight[c] if weight.size > 0 else weight.dtype.type(1)


@device
def _add(sums, totals, loss, weight):
    """Put a block's sums of losses and weights in its column of ``sums``."""
    t, threads = cuda.threadIdx.x, cuda.blockDim.x
    loss, weight = group_sum(totals, loss, t, threads), group_sum(totals, weight, t, threads)
    if t == 0:
        sums[cuda.blockIdx.x], sums[cuda.gridDim.x + cuda.blockIdx.x] = loss, weight


# ------------------------------------------------------------------------------------------------- kernels


@kernel(float64=True)
def _cross_entropy(out, sums, x, target, weight, size, inner, places, share, width, ignore_index, smoothing):
    # 2^share threads own a place; out (where not empty) takes the losses, sums their sum over the block and that of the
    # weights.
    partial = cuda.shared.array(MOST, x.dtype)
    totals = cuda.shared.array(MOST, float64)
    place, part, slot, group, start, first, end, step = portion(size, inner, places, share, width)
    top, sum = online(x, first, end, step)
    top, sum = group_online(partial, top, sum, slot, group)
    log_sum, spread, loss, w = log(sum), 0.0, 0.0, 0.0
    if smoothing > 0:
        c = part
        for i in range(first, end, step):
            spread += float64(log_probability(x[i], top, log_sum) * class_weight(weight, c))
            c += group
        spread = group_sum(totals, spread, slot, group)
    if part == 0 and place < places:
        label = target[place]
        if label != ignore_index:
            w = float64(class_weight(weight, label))
            loss = -float64(log_probability(x[start + label * inner], top, log_sum) * class_weight(weight, label))
            if smoothing > 0:
                loss = (1.0 - smoothing) * loss - smoothing / size * spread
        if out.size > 0:
            out[place] = loss
    _add(sums, totals, loss, w)


@kernel(float64=True)
def _cross_entropy_probabilities(out, sums, x, target, weight, size, inner, places, share, width, smoothing):
    # As in _cross_entropy; there are no sums of weights.
    partial = cuda.shared.array(MOST, x.dtype)
    totals = cuda.shared.array(MOST, float64)
    place, part, slot, group, _, first, end, step = portion(size, inner, places, share, width)
    top, sum = online(x, first, end, step)
    top, sum = group_online(partial, top, sum, slot, group)
    log_sum, loss, c = log(sum), 0.0, part
    for i in range(first, end, step):
        q = smoothed(target[i], smoothing, size) * class_weight(weight, c)
        loss -= float64(log_probability(x[i], top, log_sum) * q)
        c += group
    loss = group_sum(totals, loss, slot, group)
    if part == 0 and place < places and out.size > 0:
        out[place] = loss
    _add(sums, totals, loss if part == 0 else 0.0, 0.0)


@kernel
def _mse_loss(out, x, target, weight, weighted, wide):
    # A thread owns four neighbouring elements.
    i, one = 4 * cuda.grid(1), x.dtype.type(1)
    if wide and i + 4 <= x.size:
        a, b, c, d = load4(x, i)
        p, q, r, s = load4(target, i)
        e, f, g, h = load4(weight, i) if weighted else (one, one, one, one)
        store4(out, i, squared_error(a, p) * e, squared_error(b, q) * f,
               squared_error(c, r) * g, squared_error(d, s) * h)  # fmt: skip
    else:
        for j in range(i, i + 4):
            if j < x.size:
                out[j] = squared_error(x[j], target[j]) * (weight[j] if weighted else one)


@kernel(float64=True)
def _mse_loss_sums(sums, x, target, weight, weighted, wide):
    # A thread owns four neighbouring elements, then four a grid further; sums are as in _cross_entropy.
    totals = cuda.shared.array(THREADS, float64)
    total, weights, one = 0.0, 0.0, x.dtype.type(1)
    i = 4 * cuda.grid(1)
    while i < x.size:
        if wide and i + 4 <= x.size:
            a, b, c, d = load4(x, i)
            p, q, r, s = load4(target, i)
            e, f, g, h = load4(weight, i) if weighted else (one, one, one, one)
            total += ((float64(squared_error(a, p) * e) + float64(squared_error(b, q) * f))
                      + (float64(squared_error(c, r) * g) + float64(squared_error(d, s) * h)))  # fmt: skip
            if weighted:
                weights += (float64(e) + float64(f)) + (float64(g) + float64(h))
        else:
            for j in range(i, i + 4):
                if j < x.size:
                    w = weight[j] if weighted else one
                    total += float64(squared_error(x[j], target[j]) * w)
                    weights += float64(w)
        i += 4 * THREADS * cuda.gridDim.x
    _add(sums, totals, total, weights)


@kernel(float64=True)
def _scalar_loss(out, sums, number, by_weights):
    # One block; the first half of sums belongs to the losses, the second one to the weights.
    totals = cuda.shared.array(THREADS, float64)
    total, weights, half = 0.0, 0.0, sums.size // 2
    for i in range(cuda.threadIdx.x, half, THREADS):
        total += sums[i]
        weights += sums[half + i]
    total, weights = block_sum(totals, total), block_sum(totals, weights)
    if cuda.threadIdx.x == 0:
        out[0] = total / (weights if by_weights else number)


# ------------------------------------------------------------------------------------------------- entries


def cross_entropy(out, logits, target, weight, view, exempts, ignore_index, smoothing):
    """Fill ``out`` (empty: do not) with the losses of class numbers; twice their sums for ``scalar_loss``, or none.

    The last of the three tells whether a label is bad, which is seen before a kernel uses it as a place.
    """
    if first_outside(target, view.size, ignore_index if exempts else None) >= 0:
        return None, None, True
    if not logits.size:
        return *(_nothing(out, logits),) * 2, False
    (blocks, threads, *cut), parts = _parts(logits, view)
    _cross_entropy.blocks(logits.place, blocks, threads, out, parts, logits, target, weight, view.size, view.inner,
                          view.outer * view.inner, *cut, ignore_index, float(smoothing))  # fmt: skip
    return parts, parts, False


def cross_entropy_probabilities(out, logits, target, weight, view, smoothing):
    """Fill ``out`` (empty: do not) with the losses of class probabilities; (their sums, their number)."""
    places = view.outer * view.inner
    if not logits.size:
        return _nothing(out, logits), float(places)
    (blocks, threads, *cut), parts = _parts(logits, view)
    _cross_entropy_probabilities.blocks(logits.place, blocks, threads, out, parts, logits, target, weight, view.size,
                                        view.inner, places, *cut, float(smoothing))  # fmt: skip
    return parts, float(places)


def mse_loss(out, input, target, weight):
    """Fill ``out`` with the (weighted) squared errors."""
    weighted = weight is not None
    *arrays, by_four = wide(input.place, out, input, target, weight if weighted else input)
    _mse_loss.threads(input.place, quads(input), *arrays, weighted, by_four)


def mse_loss_sums(input, target, weight):
    """(the sums of the (weighted) squared errors, their number or again the sums), for ``scalar_loss``."""
    place, weighted = input.place, weight is not None
    blocks = max(1, min(-(-quads(input) // THREADS), BLOCKS))
    parts = place.lend(place.empty((2, blocks), FLOAT64))
    *arrays, by_four = wide(place, input, target, weight if weighted else input)
    _mse_loss_sums.blocks(place, blocks, THREADS, parts, *arrays, weighted, by_four)
    return parts, parts if weighted else float(input.size)


def scalar_loss(total, divisor, dtype):
    """The sum of the losses over a number, or over the sum of the weights, as a native array of shape ()."""
    place, number = total.place, isinstance(divisor, float)
    if total.size > 2 * MANY:
        parts = place.lend(place.empty((2, PARTS), FLOAT64))
        sums.row_sums(parts, total, 2 * PARTS)
        total = parts
    out = place.empty((), dtype)
    _scalar_loss.blocks(place, 1, THREADS, out, total, divisor if number else 1.0, not number)
    return out


def _parts(logits, view):
    """(how the places are shared out, an array for the sums of each block); many blocks are a multiple of PARTS."""
    blocks, *cut = shares(view)
    blocks = blocks if blocks <= MANY else -(-blocks // PARTS) * PARTS
    return (blocks, *cut), logits.place.lend(logits.place.empty((2, blocks), FLOAT64))


def _nothing(out, logits):
    """Sums of losses that are 0, as no class or no place is there."""
    losses = logits.place.lend(out)
    arithmetic._fill.threads(logits.place, losses.size, losses, losses.dtype.type(0))
    return arithmetic.full(logits.place, (2, 1), 0, np.dtype(np.float64))
