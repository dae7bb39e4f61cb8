"""Checks of values inside arrays, before any kernel uses them as places."""

import numpy as np
from numba import prange

from .._jit import kernel, scalar

VALUE_BLOCK = 8192  # values that an iteration looks at

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def outside(value, count, exempts, exempt):
    """Whether an integer is neither in [0, count) nor the exempt one, if there is one."""
    return ((value < 0) | (value >= count)) & ((not exempts) | (value != exempt))


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _first_outside(blocks, values, count, exempts, exempt):
    # An iteration owns a block and notes the place of its first value that is outside, or -1.
    for block in prange(blocks.size):
        some = values[block * VALUE_BLOCK : (block + 1) * VALUE_BLOCK]
        bad = 0
        for i in range(some.size):
            bad += outside(some[i], count, exempts, exempt)
        blocks[block] = -1
        if bad > 0:
            for i in range(some.size - 1, -1, -1):
                blocks[block] = block * VALUE_BLOCK + i if outside(some[i], count, exempts, exempt) else blocks[block]


# ------------------------------------------------------------------------------------------------- entries


def first_outside(values, count, exempt=None):
    """The place (in C order) of the first integer that is neither in [0, count) nor ``exempt``, or -1."""
    blocks = np.empty(-(-values.size // VALUE_BLOCK), np.int64)
    exempts = exempt is not None
    _first_outside(values.size)(blocks, values.reshape(-1), count, exempts, exempt if exempts else 0)
    if blocks.size == 1:  # a small array: 1 us less
        return blocks.item()
    bad = blocks[blocks >= 0]
    return int(bad[0]) if bad.size else -1


def value_at(values, place):
    """The number at a place (in C order)."""
    return int(values.reshape(-1)[place])


def is_finite_positive(number, dtype):
    """Whether the number, rounded to dtype, is finite and greater than 0."""
    with np.errstate(all="ignore"):
        return bool(0 < dtype.type(number) < np.inf)
