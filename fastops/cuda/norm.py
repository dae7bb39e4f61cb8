"""batch_norm on CUDA.

A thread takes mean and sum of squared deviations (m2) of a few elements in its registers and joins them with those
before in float64 (Chan, Golub, LeVeque 1979); a block joins its threads, a second kernel a channel's blocks, all in a
fixed order: memory is read once, nothing cancels when |mean| >> std, and the bits are the same every run.

The array is (n, channels, inner).  Long planes are cut into parts, each of a block; where they are short, blocks own
neighbouring columns of the matrix (n, channels * inner).
"""

import numpy as np
from numba import float64

from ..cpu.norm import joined, normalized, remainder, updated
from ._launch import SIMULATED, THREADS, cuda, device, kernel
from .arithmetic import FLOAT64
from .vectors import load4, store4

HELD = 4 if SIMULATED else 8
"""Elements whose mean a thread finds in its registers."""
COLUMNS = 4 if SIMULATED else 64
"""Planes shorter than this are columns of a matrix where their means are found."""
PLANE = 16 if SIMULATED else 1024
"""Planes shorter than this are columns of a matrix where they are written."""
PART = 2 * HELD * THREADS
"""The least elements of a part, if there are so many."""
FULL = 6 if SIMULATED else 2048
"""Blocks that keep a device busy."""
JOINERS = 8 if SIMULATED else 32
"""Threads that join the parts of a channel."""
ROWS = 16
"""Rows that a thread normalises, if there are so many."""

# ------------------------------------------------------------------------------------------------- routines


@device
def moved(deviation, sum, away):
    """The sum of g * (x - mean) when the mean goes ``away``, from the sum of g."""
    return deviation if away == 0 else deviation - away * sum


@device
def _with_values(held, amount, count, mean, m2):
    """Count, mean and m2 with the first ``amount`` of the held elements."""
    if amount == 0:
        return count, mean, m2
    total = 0.0
    for k in range(HELD):
        total += float64(held[k]) if k < amount else 0.0
    average, deviations = total / amount, 0.0
    for k in range(HELD):
        deviation = float64(held[k]) - average if k < amount else 0.0
        deviations += deviation * deviation
    return joined(count, mean, m2, float64(amount), average, deviations)


@device
def _block_moments(shared, count, mean, m2, slot, group):
    """Count, mean and m2 of each group of so many neighbouring slots, for the thread of the first slot of each."""
    shared[0, slot], shared[1, slot], shared[2, slot] = count, mean, m2
    cuda.syncthreads()
    lane, step = slot & (group - 1), group >> 1
    while step > 0:
        if lane < step:
            other = slot + step
            if shared[0, other] > 0:
                shared[0, slot], shared[1, slot], shared[2, slot] = joined(
                    shared[0, slot], shared[1, slot], shared[2, slot],
                    shared[0, other], shared[1, other], shared[2, other])  # fmt: skip
        cuda.syncthreads()
        step >>= 1
    return shared[0, slot], shared[1, slot], shared[2, slot]
