"""Sums on the device, in float64 and in an order that depends on the sizes alone: the same bits every run."""

import numpy as np
from numba import float64

from ._launch import THREADS, cuda, device, kernel

BLOCKS = 4 if THREADS == 32 else 1024
"""How many parts a sum over a whole array has in its first pass."""
FEW = 4 if THREADS == 32 else 16  # slots that a thread adds by itself

# ------------------------------------------------------------------------------------------------- routines


@device
def block_sum(partial, value):
    """The sum of every thread's value, for all threads of a block; ``partial`` is shared, one element a thread."""
    t = cuda.threadIdx.x
    partial[t] = value
    cuda.syncthreads()
    step = cuda.blockDim.x // 2
    while step > 0:
        if t < step:
            partial[t] += partial[t + step]
        cuda.syncthreads()
        step //= 2
    total = partial[0]
    cuda.syncthreads()
    return total


def _of_group(join):
    """A device function that joins the values of each group of so many neighbouring slots, a power of two.

    All threads of the group have the result.  Every thread of the block has a slot of its own in ``partial``, which is
    shared.
    """

    def joined(partial, value, slot, group):
        if group == 1:
            return value
        partial[slot] = value
        cuda.syncthreads()
        lane = slot & (group - 1)
        first, few = slot - lane, group if group < FEW else FEW
        if group > FEW:
            if lane < FEW:
                for other in range(slot + FEW, first + group, FEW):
                    value = join(value, partial[other])
                partial[slot] = value
            cuda.syncthreads()
        value = partial[first]
        for other in range(first + 1, first + few):
            value = join(value, partial[other])
        cuda.syncthreads()
        return value

    return device(joined)


@device
def _sum(a, b):
    return a + b


@device
def _larger(a, b):
    return b if b > a else a


group_sum = _of_group(_sum)
group_max = _of_group(_larger)  # of numbers: none of them is NaN


# ------------------------------------------------------------------------------------------------- kernels


@kernel(float64=True)
def _row_sums(out, x, size):
    # A block owns a row of ``size`` elements, the last of which may be shorter.
    partial = cuda.shared.array(THREADS, float64)
    i = cuda.blockIdx.x * size + cuda.threadIdx.x
    end = (cuda.blockIdx.x + 1) * size
    end = end if end < x.size else x.size
    total = 0.0
    while i < end:
        total += float64(x[i])
        i += THREADS
    total = block_sum(partial, total)
    if cuda.threadIdx.x == 0:
        out[cuda.blockIdx.x] = total


# ------------------------------------------------------------------------------------------------- entries


def row_sums(out, x, rows):
    """out[row] = the sum of a row of the flat ``x``; float64, or rounded to out's dtype."""
    _row_sums.blocks(x.place, rows, THREADS, out, x, x.size // max(rows, 1))


def total(x):
    """The sum of all elements: a float64 array of one element."""
    place, kind = x.place, np.dtype(np.float64)
    out = place.empty(1, kind)
    size = -(-x.size // BLOCKS)
    if size <= 16 * THREADS:
        _row_sums.blocks(place, 1, THREADS, out, x, max(x.size, 1))
        return out
    size = -(-size // THREADS) * THREADS
    parts = -(-x.size // size)
    partials = place.empty(parts, kind)
    _row_sums.blocks(place, parts, THREADS, partials, x, size)
    _row_sums.blocks(place, 1, THREADS, out, partials, parts)
    return out
