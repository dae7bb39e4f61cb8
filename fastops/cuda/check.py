"""Checks of values inside arrays on CUDA, before any kernel uses them as places: one number comes back to the host."""

import numpy as np

from ..cpu.check import is_finite_positive as is_finite_positive
from ..cpu.check import outside
from ._launch import cuda, fetch, kernel

NOWHERE = 2**62  # what the smallest bad place begins with


@kernel
def _no_place(first):
    first[0] = NOWHERE


@kernel
def _first_outside(first, values, count, exempts, exempt):
    # The smallest place of all threads is the same whatever their order.
    i = cuda.grid(1)
    if i < values.size and outside(values[i], count, exempts, exempt):
        cuda.atomic.min(first, 0, i)


def first_outside(values, count, exempt=None):
    """The place (in C order) of the first integer that is neither in [0, count) nor ``exempt``, or -1."""
    if not values.size:
        return -1
    place = values.place
    first = place.empty(1, np.dtype(np.int64))
    _no_place.blocks(place, 1, 1, first)
    _first_outside.threads(place, values.size, first, values, count, exempt is not None, exempt or 0)
    found = int(fetch(place, first)[0])
    return -1 if found == NOWHERE else found


def value_at(values, place):
    """The number at a place (in C order)."""
    return int(fetch(values.place, values)[place])
