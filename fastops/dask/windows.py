"""Windows: which rows of the input each block of the output reads, and the dask array that has them as its blocks.

Everything here is along one dimension, height or width, until `gathered` puts the dimensions together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.layers import ArrayValuesDep

Chunks = tuple[int, ...]


class Cut(NamedTuple):
    """Outputs first, ..., end - 1 are made of the inputs start, ..., stop - 1.

    ``pad`` is where the first input lies from the start of what the first output's window covers (conv2d, pools), or
    how many rows before the first output the first input's window begins (conv_transpose2d, gradients).
    """

    first: int
    end: int
    start: int
    stop: int
    pad: int

    @property
    def outputs(self) -> int:
        """How many outputs."""
        return self.end - self.first

    @property
    def inputs(self) -> int:
        """How many inputs."""
        return self.stop - self.start


def bounds(chunks: Chunks) -> list[int]:
    """0 and the end of each chunk."""
    return [0, *np.cumsum(chunks).tolist()]


def spans(chunks: Chunks) -> list[tuple[int, int]]:
    """(first, end) of each chunk."""
    edges = bounds(chunks)
    return list(zip(edges, edges[1:], strict=False))


def following(chunks: Chunks, count: int, place: Callable[[int], int]) -> list[tuple[int, int]]:
    """Spans of ``count`` outputs that follow the input's chunks: output ``place(edge)`` is the first beyond an edge."""
    edges = [0, *(min(max(place(edge), 0), count) for edge in bounds(chunks)[1:-1]), count]
    return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < b]


def in_proportion(chunks: Chunks, count: int, up: int, down: int) -> list[tuple[int, int]]:
    """The same for outputs that are ``up`` / ``down`` times as many as inputs."""
    return following(chunks, count, lambda edge: -(-edge * up // down))


# ------------------------------------------------------------------------------------- windows of a stride and a size


def spans_of_windows(chunks: Chunks, count: int, stride: int, pad: int, extent: int) -> list[tuple[int, int]]:
    """Outputs follow the chunk that the middle of their window lies in."""
    return following(chunks, count, lambda edge: -(-(edge + pad - (extent - 1) // 2) // stride))


def spans_of_transposed(chunks: Chunks, count: int, stride: int, pad: int, extent: int) -> list[tuple[int, int]]:
    """Outputs follow the chunk of the input whose window's middle is nearest."""
    return following(chunks, count, lambda edge: edge * stride - pad + (extent - stride) // 2)


def cut_windows(outputs: Iterable[tuple[int, int]], size: int, stride: int, pad: int, extent: int) -> list[Cut]:
    """Output y reads inputs y * stride - pad to y * stride - pad + extent, as far as there are any of the ``size``."""
    cuts = []
    for first, end in outputs:
        low, high = first * stride - pad, (end - 1) * stride - pad + extent
        start, stop = max(low, 0), min(high, size)
        if start < stop:
            cuts.append(Cut(first, end, start, stop, start - low))
        else:  # padding alone: any one row, beyond all windows
            cuts.append(Cut(first, end, 0, 1, high - low))
    return cuts


def cut_transposed(outputs: Iterable[tuple[int, int]], size: int, stride: int, pad: int, extent: int) -> list[Cut]:
    """Input m, of ``size``, adds to outputs m * stride - pad to m * stride - pad + extent."""
    cuts = []
    for first, end in outputs:
        start = min(-(-(first + pad - extent + 1) // stride), (first + pad) // stride)
        start = min(max(start, 0), size - 1)
        stop = min(max((end - 1 + pad) // stride + 1, start + 1), size)
        cuts.append(Cut(first, end, start, stop, pad + first - start * stride))
    return cuts


def widened(cuts: Iterable[Cut], size: int, stride: int, pad: int, extent: int) -> list[tuple[Cut, Cut]]:
    """For gradients of pools, ``cut_transposed``'s: (the cut, the same for all outputs that its inputs add to).

    The windows of a wide block lie whole within it, or reach beyond the image's own border.
    """
    both = []
    for cut in cuts:
        low, high = cut.start * stride - pad, (cut.stop - 1) * stride - pad + extent
        first, end = min(max(low, 0), cut.first), max(min(high, size), cut.end)
        both.append((cut, Cut(first, end, cut.start, cut.stop, first - low)))
    return both


# --------------------------------------------------------------------------------------------------- blocks of windows


def gathered(x: Any, windows: Mapping[int, Sequence[tuple[int, int]]]) -> Any:
    """The array whose blocks along each axis are x[start:stop] of that axis's windows, which may overlap.

    A block is put together in one task, from the blocks of ``x`` that the window lies in whole and from slices of the
    others, which are made where those blocks are.  Where the windows are the chunks, it is ``x`` itself.
    """
    windows = {axis: list(each) for axis, each in windows.items() if list(each) != spans(x.chunks[axis])}
    if not windows:
        return x
    axes = sorted(windows)
    name = f"windows-{tokenize(x.name, windows)}"
    pieces = {axis: [_pieces(x.chunks[axis], window) for window in windows[axis]] for axis in axes}
    chunks = tuple(
        tuple(stop - start for start, stop in windows[axis]) if axis in windows else each
        for axis, each in enumerate(x.chunks)
    )
    graph: dict[Any, Any] = {}
    whole = (slice(None),) * x.ndim
    for block in product(*(range(len(each)) for each in chunks)):
        shape = tuple(each[i] for i, each in zip(block, chunks, strict=True))
        keys, places = [], []
        for number, parts in enumerate(product(*(pieces[axis][block[axis]] for axis in axes))):
            at, read, write = list(block), list(whole), list(whole)
            for axis, (chunk, within, place) in zip(axes, parts, strict=True):
                at[axis], read[axis], write[axis] = chunk, within, place
            key: Any = (x.name, *at)
            if any(within != slice(None) for within in read):
                part = (f"piece-{name}", *block, number)
                graph[part] = (_slice, key, tuple(read))
                key = part
            keys.append(key)
            places.append(tuple(write))
        graph[(name, *block)] = (_together, shape, keys, places)
    layer = HighLevelGraph.from_collections(name, graph, dependencies=[x])
    return da.Array(layer, name, chunks, meta=x._meta)


def _pieces(chunks: Chunks, window: tuple[int, int]) -> list[tuple[int, slice, slice]]:
    """(chunk, what is read of it, where it goes) of what a window consists of; slice(None) for a whole chunk."""
    start, stop = window
    found = []
    for number, (first, end) in enumerate(spans(chunks)):
        a, b = max(first, start), min(end, stop)
        if a < b:
            within = slice(None) if (a, b) == (first, end) else slice(a - first, b - first)
            found.append((number, within, slice(a - start, b - start)))
    return found


def _slice(block: Any, read: tuple[slice, ...]) -> Any:
    """A copy, which does not keep the whole block in memory."""
    part = block[read]
    return part.copy() if part.size < block.size // 2 else part


def _together(shape: tuple[int, ...], pieces: list[Any], places: list[tuple[slice, ...]]) -> Any:
    if len(pieces) == 1 and pieces[0].shape == shape:
        return pieces[0]
    out = np.empty(shape, pieces[0].dtype)
    for piece, place in zip(pieces, places, strict=True):
        out[place] = piece
    return out


def per_block(values: Sequence[Any]) -> ArrayValuesDep:
    """For `dask.array.blockwise`: a value for each block along one dimension."""
    return ArrayValuesDep(((1,) * len(values),), {(i,): value for i, value in enumerate(values)})


def counts(cuts: Iterable[Cut]) -> Chunks:
    """The chunks of the outputs."""
    return tuple(cut.outputs for cut in cuts)


def read(cuts: Iterable[Cut]) -> list[tuple[int, int]]:
    """The windows for `gathered`."""
    return [(cut.start, cut.stop) for cut in cuts]
