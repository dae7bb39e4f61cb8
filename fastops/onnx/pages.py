"""The pages of a file that lie in memory: they go once what they hold is folded or laid out."""

import mmap
from typing import Any

import numpy as np

from .graph import Array

PIECE = 1 << 22
"""Elements that are copied out of a file's memory at once."""


def let_go(array: Array) -> None:
    """Hand the pages of a file's memory back to the system, which brings them again should they be read again.

    What has been folded or laid out is not held twice so: 100 MB of ResNet-50.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if not array.size or not isinstance(owner, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED"):
        return
    first = _address(array) - _address(np.frombuffer(owner, np.uint8))
    start = first - first % mmap.PAGESIZE
    owner.madvise(mmap.MADV_DONTNEED, start, first + array.nbytes - start)


def aligned(array: Array) -> Array:
    """An array whose elements lie on multiples of their size: itself, or a copy of a file's pages, which are let go."""
    if array.flags.aligned:
        return array
    copy = np.empty(array.shape, array.dtype)
    for start in range(0, array.size, PIECE):
        piece = array.reshape(-1)[start : start + PIECE]
        copy.reshape(-1)[start : start + PIECE] = piece
        let_go(piece)
    return copy


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
