"""Sums of a row in float64, in whatever order vectorises: the order is compiled once, and so always the same."""

import numpy as np

from .._jit import reduction


@reduction
def total(x):
    """The sum of x."""
    s = 0.0
    for i in range(x.size):
        s += np.float64(x[i])
    return s
