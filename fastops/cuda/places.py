"""Places of elements: from the number of a thread to indices, and indices that are not negative."""

import numpy as np

from ._launch import device

index = np.uint64
"""An index that is not negative: it saves the test for Python's negative ones, six instructions an access."""


@device
def divided(n, by):
    """(quotient, remainder) of numbers that are not negative: unsigned, a division of 32 bits where they are small."""
    quotient = np.int64(np.uint64(n) // np.uint64(by))
    return quotient, n - quotient * by


@device
def unravelled(i, middle, inner):
    """(place in the outer dimension, in the middle one, in the inner one) of element i."""
    i, c = divided(i, inner)
    a, b = divided(i, middle)
    return a, b, c


@device
def nearest(place, size):
    """The place in [0, size) that is nearest, of the type of ``place``."""
    kind = type(place)
    place = place if place > 0 else kind(0)
    return place if place < size else kind(size - 1)
