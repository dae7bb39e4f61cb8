"""Memory of a plan's intermediate results, used again once nobody has them any more.

New memory has to be mapped and zeroed page by page, and above 32 MiB glibc gives every block back at once: a relu of
51 MB took 57 ms into such memory, and 2.4 into one that was there (docs/performance.rst).
"""

import sys
from math import prod
from typing import Any

import numpy as np

SMALLEST = 1 << 20  # bytes; below, malloc itself has memory at hand
MOST = 16  # buffers that wait


class Buffers:
    """Memory that waits to be used again: flat arrays, whose parts are handed out."""

    def __init__(self) -> None:
        self._waiting: list[Any] = []

    def take(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array of whatever numbers, of the smallest buffer that can hold it, but not of one four times as large."""
        count = prod(shape)
        if count * dtype.itemsize < SMALLEST:
            return np.empty(shape, dtype)
        fits = [each for each in self._waiting if each.dtype == dtype and count <= each.size <= 4 * count]
        if not fits:
            return np.empty(count, dtype).reshape(shape)
        buffer = min(fits, key=len)
        self._waiting = [each for each in self._waiting if each is not buffer]
        return buffer[:count].reshape(shape)

    def give(self, array: Any) -> None:
        """Take the memory of an array back, if it is of a buffer and nobody else refers to either: no view, no tensor.

        Of the array there are the caller's variable, the argument here and getrefcount's own; of the buffer the array,
        the variable here and getrefcount's.
        """
        if type(array) is not np.ndarray or sys.getrefcount(array) != 3 or len(self._waiting) == MOST:
            return
        buffer = array.base
        if type(buffer) is np.ndarray and buffer.ndim == 1 and buffer.base is None and sys.getrefcount(buffer) == 3:
            self._waiting.append(buffer)
