"""Copies, in C order, of arrays whose elements lie otherwise: transposed, sliced, repeated."""

from math import prod
from typing import Any

import numpy as np
from numba import prange

from .._jit import PARALLEL_WORK, index, inlined, kernel

RUN = 1 << 14  # elements of a run that an iteration copies
TILE = 64  # elements on a side: of 12.8 M floats in channels-last order 4.2 ms, tiles of 16 took 8, NumPy's copy 9.4

# ------------------------------------------------------------------------------------------------ routines


@inlined
def _copy_tile(out, x, target, source, rows, columns, out_step, step, column_step):
    """out[target + i * out_step + k] = x[source + i * step + k * column_step] for i < rows, k < columns."""
    for i in range(rows):
        a, b = source + i * step, target + i * out_step
        for k in range(columns):
            out[index(b + k)] = x[index(a + k * column_step)]


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _copy_tiles(out, x, offset, sizes, steps, out_steps, along, across, along_step, along_out, across_step):
    # An iteration owns a row of tiles of one pair of sides: ``along`` elements that lie near each other in x,
    # ``across`` that do so in out.
    strips = -(-along // TILE)
    for task in prange(out.size // (along * across) * strips):
        rest, first = task // strips, task % strips * TILE
        end = min(first + TILE, along)
        source, target = offset, 0
        for i in range(sizes.size):
            source += rest % sizes[i] * steps[i]
            target += rest % sizes[i] * out_steps[i]
            rest //= sizes[i]
        for j in range(0, across, TILE):
            _copy_tile(
                out, x, target + first * along_out + j, source + first * along_step + j * across_step,
                end - first, min(TILE, across - j), along_out, along_step, across_step,
            )  # fmt: skip


@kernel
def _copy_runs(out, x, run, first, step):
    # Run r of x begins at out[first + r * step].  An iteration owns a piece of one.
    pieces = -(-run // RUN)
    for task in prange(x.size // run * pieces):
        r, start = task // pieces, task % pieces * RUN
        count = min(RUN, run - start)
        to, source = out[first + r * step + start :], x[r * run + start :]
        for i in range(count):
            to[i] = source[i]


# ------------------------------------------------------------------------------------------------- entries

_WORDS: dict[int, np.dtype[Any]] = {4: np.dtype(np.uint32), 8: np.dtype(np.uint64)}


def contiguous(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array, or a copy of it, in C order."""
    if array.flags.c_contiguous:
        return array
    out = np.empty(array.shape, array.dtype)
    copy(out, array)
    return out


def copy(out: np.ndarray[Any, Any], array: np.ndarray[Any, Any]) -> None:
    """Fill an array in C order with the elements of one of its shape and dtype."""
    word = _WORDS.get(array.itemsize)
    if array.size < PARALLEL_WORK or word is None or array.dtype.hasobject or not array.flags.aligned:
        np.copyto(out, array)
        return
    # sides as (size, step in x, step in out), innermost in out first; neighbours that lie like one become one
    sides: list[tuple[int, int, int]] = []
    place = 1
    for size, stride in zip(reversed(array.shape), reversed(array.strides), strict=True):
        step = stride // array.itemsize
        if size > 1 and sides and step == sides[-1][0] * sides[-1][1]:
            sides[-1] = sides[-1][0] * size, *sides[-1][1:]
        elif size > 1:
            sides.append((size, step, place))
        place *= size
    across, *others = sides
    near = min(sides, key=lambda side: (abs(side[1]) or array.size, side[2]))
    along = near if near is not across else others[0] if others else (1, 0, 0)
    rest = np.array([side for side in others if side is not along], np.int64).reshape(-1, 3)
    memory, offset = _span(array, word)
    _copy_tiles(array.size)(
        out.reshape(-1).view(word), memory, offset, rest[:, 0].copy(), rest[:, 1].copy(), rest[:, 2].copy(),
        along[0], across[0], along[1], along[2], across[1],
    )  # fmt: skip


def copy_part(out: np.ndarray[Any, Any], array: np.ndarray[Any, Any], axis: int, start: int) -> None:
    """Fill a part of an array along a dimension, from ``start`` on; both are in C order."""
    word = _WORDS.get(array.itemsize)
    if array.size < PARALLEL_WORK or word is None or array.dtype.hasobject or array.dtype != out.dtype:
        out[(*(slice(None),) * axis, slice(start, start + array.shape[axis]))] = array
        return
    each = prod(out.shape[axis + 1 :])
    _copy_runs(array.size)(
        out.reshape(-1).view(word), array.reshape(-1).view(word), array.shape[axis] * each, start * each,
        out.shape[axis] * each,
    )  # fmt: skip


def _span(array: np.ndarray[Any, Any], word: np.dtype[Any]) -> tuple[np.ndarray[Any, Any], int]:
    """All memory between the array's first and last element, as words, and the place of its element 0 there."""
    reach = [(size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)]
    before, after = -sum(min(r, 0) for r in reach), sum(max(r, 0) for r in reach)
    address = array.__array_interface__["data"][0] - before
    interface = dict(shape=((before + after) // word.itemsize + 1,), typestr=word.str, data=(address, False), version=3)
    return np.asarray(ArrayInterface(interface, array)), before // word.itemsize


class ArrayInterface:
    """What NumPy needs to make a view of memory; keeps the memory's owner alive."""

    def __init__(self, interface: dict[str, Any], owner: np.ndarray[Any, Any]) -> None:
        self.__array_interface__ = interface
        self.owner = owner
