"""softmax, log_softmax and their gradients on CUDA.

The array is (outer, size, inner) around the dimension; a *place* is one (outer, inner), whose elements lie ``inner``
apart.  Rows (inner = 1) that fit the registers of a group of threads are read once.  Else memory is read twice: for
the maximum and the sum of exponentials at once, which are adjusted when the maximum grows (Milakov and Gimelshein,
arXiv 1805.02867), and for the result.
"""

import numpy as np

from ..cpu.exp import exp
from ..cpu.log import log
from ..cpu.softmax import log_probability
from ._launch import SIMULATED, THREADS, cuda, device, kernel
from .sums import group_max, group_sum

HELD = 4 if SIMULATED else 8
"""Elements that a thread keeps in registers."""
MOST = 2 * THREADS
"""Threads of the largest block."""
FULL = 64 if SIMULATED else 2**18
"""Threads that keep a device busy."""

# ------------------------------------------------------------------------------------------------- routines


@device
def _position(inner, share, width):
    """(place within the block, share of it) of a thread; a place has 2^share shares, a block 2^width places.

    Neighbouring threads are on neighbouring elements: shares of a row, or else places.
    """
    t = cuda.threadIdx.x
    if inner == 1:
        return t >> share, t & ((1 << share) - 1)
    return t & ((1 << width) - 1), t >> width


@device
def _beginning(place, size, inner):
    """Where the first element of a place lies."""
    if inner == 1:
        return place * size
    return place + place // inner * ((size - 1) * inner)


@device
def portion(size, inner, places, share, width):
    """(place, part, slot, group, start, first, end, step): which elements of which place a thread has.

    The 2^share threads of a place are a ``group``, in neighbouring slots, and ``part`` is the thread's number there.
    A place begins at ``start``; the thread has first, first + step, ... before ``end``, none beyond the last place.
    """
    at, part = _position(inner, share, width)
    place, slot, group = (cuda.blockIdx.x << width) + at, (at << share) + part, 1 << share
    start = _beginning(place, size, inner)
    end = start + size * inner if place < places else start
    return place, part, slot, group, start, start + part * inner, end, inner << share


@device
def _row_portion(total, size, share):
    """(slot, group, first, end) of a thread of a group of 2^share that owns a row."""
    t, group = cuda.threadIdx.x, 1 << share
    start = ((cuda.blockIdx.x * THREADS + t) >> share) * size
    end = start + size if start < total else start
    return t, group, start + (t & (group - 1)), end


@device
def finite_or_0(top):
    """What to take off instead of a maximum, so that -inf, while nothing else came, is 0 in the sum."""
    return top if top > type(top)(-np.inf) else type(top)(0)


@device
def online(x, i, end, step):
    """(maximum, sum of exp(x - maximum)) of x[i], x[i + step] and so on before x[end]; (-inf, 0) of nothing."""
    top, sum = x.dtype.type(-np.inf), x.dtype.type(0)
    while i + 3 * step < end:
        a, b, c, d = x[i], x[i + step], x[i + 2 * step], x[i + 3 * step]
        low, ab, cd = top, a if a > b else b, c if c > d else d
        top = ab if ab > top else top
        top = cd if cd > top else top
        off = finite_or_0(top)
        sum = sum * exp(low - off) + ((exp(a - off) + exp(b - off)) + (exp(c - off) + exp(d - off)))
        i += 4 * step
    while i < end:
        a, low = x[i], top
        top = a if a > top else top
        off = finite_or_0(top)
        sum = sum * exp(low - off) + exp(a - off)
        i += step
    return top, sum


@device
def group_online(partial, top, sum, slot, group):
    """``online`` of a group's threads together, for all of them."""
    high = group_max(partial, top, slot, group)
    return high, group_sum(partial, sum * exp(top - finite_or_0(high)), slot, group)


@device
def _term(gradient, y, logs):
    """What the gradient sums up."""
    return gradient if logs else gradient * y


@device
def _grad(gradient, y, sum, logs):
    """The gradient of an element, from the sum of all terms."""
    return gradient - exp(y) * sum if logs else y * (gradient - sum)


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _softmax_rows(out, x, size, share, logs):
    # A group of 2^share threads owns a row; each keeps every 2^share-th element, at most HELD.
    partial, held = cuda.shared.array(THREADS, x.dtype), cuda.local.array(HELD, x.dtype)
    t, group, start, end = _row_portion(x.size, size, share)
    top, sum = x.dtype.type(-np.inf), x.dtype.type(0)
    for k in range(HELD):
        held[k] = x[start + (k << share)] if start + (k << share) < end else x.dtype.type(-np.inf)
    for k in range(HELD):
        top = held[k] if held[k] > top else top
    top = group_max(partial, top, t, group)
    for k in range(HELD):
        if k << share < size:
            e = exp(held[k] - top)
            sum += e
            held[k] = held[k] if logs else e
    sum = group_sum(partial, sum, t, group)
    last = log(sum) if logs else x.dtype.type(1) / sum
    for k in range(HELD):
        if start + (k << share) < end:
            out[start + (k << share)] = log_probability(held[k], top, last) if logs else held[k] * last


@kernel
def _softmax_places(out, x, size, inner, places, share, width, logs):
    # 2^share threads own a place.
    partial = cuda.shared.array(MOST, x.dtype)
    _, _, slot, group, _, first, end, step = portion(size, inner, places, share, width)
    top, sum = online(x, first, end, step)
    top, sum = group_online(partial, top, sum, slot, group)
    last = log(sum) if logs else x.dtype.type(1) / sum
    for i in range(first, end, step):
        out[i] = log_probability(x[i], top, last) if logs else exp(x[i] - top) * last


@kernel
def _softmax_grad_rows(out, gradient, y, size, share, logs):
    # As in _softmax_rows, with two arrays.
    partial = cuda.shared.array(THREADS, y.dtype)
    gradients, outputs = cuda.local.array(HELD, y.dtype), cuda.local.array(HELD, y.dtype)
    t, group, start, end = _row_portion(y.size, size, share)
    for k in range(HELD):
        inside = start + (k << share) < end
        gradients[k] = gradient[start + (k << share)] if inside else y.dtype.type(0)
        outputs[k] = y[start + (k << share)] if inside else y.dtype.type(0)
    sum = y.dtype.type(0)
    for k in range(HELD):
        sum += _term(gradients[k], outputs[k], logs)
    sum = group_sum(partial, sum, t, group)
    for k in range(HELD):
        if start + (k << share) < end:
            out[start + (k << share)] = _grad(gradients[k], outputs[k], sum, logs)


@kernel
def _softmax_grad_places(out, gradient, y, size, inner, places, share, width, logs):
    # As in _softmax_places.
    partial = cuda.shared.array(MOST, y.dtype)
    _, _, slot, group, _, first, end, step = portion(size, inner, places, share, width)
    s0 = s1 = y.dtype.type(0)
    i = first
    while i + step < end:
        s0 += _term(gradient[i], y[i], logs)
        s1 += _term(gradient[i + step], y[i + step], logs)
        i += 2 * step
    if i < end:
        s0 += _term(gradient[i], y[i], logs)
    sum = group_sum(partial, s0 + s1, slot, group)
    for i in range(first, end, step):
        out[i] = _grad(gradient[i], y[i], sum, logs)


# ------------------------------------------------------------------------------------------------- entries


def softmax(out, input, view):
    _softmax(out, input, view, False)


def log_softmax(out, input, view):
    _softmax(out, input, view, True)


def softmax_backward(out, grad_output, output, view):
    _backward(out, grad_output, output, view, False)


def log_softmax_backward(out, grad_output, output, view):
    _backward(out, grad_output, output, view, True)


def _softmax(out, x, view, logs):
    share = row_share(view, HELD)
    if share is not None:
        _softmax_rows.threads(x.place, view.outer << share, out, x, view.size, share, logs)
    else:
        blocks, threads, share, width = shares(view)
        _softmax_places.blocks(x.place, blocks, threads, out, x, view.size, view.inner, view.outer * view.inner, share,
                               width, logs)  # fmt: skip


def _backward(out, gradient, y, view, logs):
    share = row_share(view, HELD)
    if share is not None:
        _softmax_grad_rows.threads(y.place, view.outer << share, out, gradient, y, view.size, share, logs)
    else:
        blocks, threads, share, width = shares(view)
        _softmax_grad_places.blocks(y.place, blocks, threads, out, gradient, y, view.size, view.inner,
                                    view.outer * view.inner, share, width, logs)  # fmt: skip


def row_share(view, held):
    """log2 of the threads of a row, each of which keeps so many elements, or None where it does not fit a block.

    They are 8 if the row has that many elements: what they store at once is then a sector of 32 bytes or more.
    """
    if view.inner != 1 or view.size > held * THREADS:
        return None
    return max(min((view.size - 1).bit_length(), 3), (-(-view.size // held) - 1).bit_length())


def shares(view):
    """(blocks, threads of a block, log2 of the threads of a place, log2 of the places of a block)."""
    places, size = view.outer * view.inner, view.size
    if view.inner == 1:
        share = max(min((size - 1).bit_length(), 3), (-(-size // HELD) - 1).bit_length())
        share = min(share, MOST.bit_length() - 1)
    else:
        share = 0
        while places << share < FULL and size >= 8 << share and 8 << share < THREADS:
            share += 1
    threads = max(THREADS, 1 << share)
    width = threads.bit_length() - 1 - share
    return -(-places // (1 << width)), threads, share, width
