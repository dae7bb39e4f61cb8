"""network(dask_array): whole networks by blocks, each with the windows that its outputs need.

What a network reads for a block it says itself; here is the graph, of which one task runs a block, and one more takes
each output out of it.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from math import ceil
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from .. import cpu
from . import arrays
from .windows import Chunks, bounds, gathered
from .workers import computing

Span = tuple[int, int]


class Spec(Protocol):
    """An output of whole images."""

    shape: tuple[int, ...]
    dtype: Any


class Blocks(Protocol):
    """What a network says of itself; `fastops.onnx` has it."""

    name: str
    outputs: list[Any]

    @property
    def scales(self) -> list[tuple[Fraction, Fraction]]:
        """By how much each output has more rows and columns than the first input."""

    def look(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[Any], planes: bool, batch: bool) -> None:
        """Find the outputs; ``planes`` and ``batch``: whether height and width, or the batch, are in chunks."""

    def reads(self, axis: int, wanted: Sequence[Span]) -> list[Span]:
        """The rows (axis 0) or columns (1) of each input for those of each output."""

    def __call__(self, arrays: Sequence[Any], rows: Sequence[Span], columns: Sequence[Span]) -> tuple[Any, ...]:
        """These rows and columns of each output, of the blocks of the inputs; all where there are none."""


class _Side(NamedTuple):
    """The blocks along one dimension: for each of them what is wanted of each output, and read of each input."""

    wanted: list[list[Span]]
    read: list[list[Span]]


def of_network(network: Blocks, inputs: Sequence[Any]) -> tuple[Any, ...]:
    """The outputs of a network, lazy, in blocks that follow the chunks of its first input that is a dask array."""
    leading = next(each for each in inputs if isinstance(each, da.Array))
    lazy = [arrays.lazy(each) for each in inputs]
    planes = any(len(chunks) > 1 for each in lazy for chunks in each.chunks[2:]) and leading.ndim == 4
    batch = len(leading.chunks[0]) > 1 if leading.ndim else False
    if any(each.shape[:1] != leading.shape[:1] for each in lazy) and (planes or batch):
        sizes = ", ".join(str(each.shape) for each in lazy)
        raise ValueError(f"{network.name}: expects inputs of one batch size where they are in chunks, got {sizes}")
    network.look([each.shape for each in lazy], [each.dtype for each in lazy], planes, batch)
    if batch or planes:
        lazy = [each.rechunk({0: leading.chunks[0]}) for each in lazy]
    lazy = [each.rechunk({axis: -1 for axis in range(1, each.ndim) if axis < 2 or not planes}) for each in lazy]
    sides = _sides(network, leading) if planes else (_Side([[]], [[]]), _Side([[]], [[]]))
    if planes:
        lazy = [
            gathered(each, {axis: [read[i] for read in side.read] for axis, side in zip((2, 3), sides, strict=True)})
            for i, each in enumerate(lazy)
        ]
    return _outputs(network, lazy, leading.chunks[0] if batch or planes else None, sides, planes)


# ------------------------------------------------------------------------------------------------------- the blocks


def _sides(network: Blocks, leading: Any) -> tuple[_Side, _Side]:
    rows, columns = (_side(network, axis, leading.chunks[axis + 2]) for axis in (0, 1))
    return rows, columns


def _side(network: Blocks, axis: int, chunks: Chunks) -> _Side:
    """Spans of every output that follow the chunks; a chunk in which an output begins no row joins the one before."""
    counts = [output.shape[axis - 2] for output in network.outputs]
    places = [
        [min(ceil(edge * scales[axis]), count) for edge in bounds(chunks)[:-1]] + [count]
        for scales, count in zip(network.scales, counts, strict=True)
    ]
    kept = [0]
    for edge in range(1, len(chunks)):
        if all(each[kept[-1]] < each[edge] < each[-1] for each in places):
            kept.append(edge)
    kept.append(len(chunks))
    wanted = [[(each[a], each[b]) for each in places] for a, b in zip(kept, kept[1:], strict=False)]
    return _Side(wanted, [network.reads(axis, each) for each in wanted])


# -------------------------------------------------------------------------------------------------------- the graph


def _outputs(
    network: Blocks, inputs: list[Any], batch: Chunks | None, sides: tuple[_Side, _Side], planes: bool
) -> tuple[Any, ...]:
    """The outputs as dask arrays, which share the task of a block."""
    token = tokenize(network, [each.name for each in inputs], sides)
    held, ran = f"weights-{token}", f"network-{token}"
    graph: dict[Any, Any] = {held: network}
    rows, columns = sides
    numbers = list(product(range(len(batch or (0,))), range(len(rows.wanted)), range(len(columns.wanted))))
    for n, y, x in numbers:
        keys = [(each.name, *_place(each.ndim, n, y, x)) for each in inputs]
        graph[ran, n, y, x] = (_run, held, keys, [list(each) for each in rows.wanted[y]],
                               [list(each) for each in columns.wanted[x]])  # fmt: skip
    layers = HighLevelGraph.from_collections(ran, graph, dependencies=inputs)
    found = []
    for i, output in enumerate(network.outputs):
        name = f"output-{i}-{token}"
        part = {(name, *_place(len(output.shape), n, y, x)): (itemgetter(i), (ran, n, y, x)) for n, y, x in numbers}
        chunks: list[Chunks] = [(size,) for size in output.shape]
        if batch is not None:
            chunks[0] = batch
        if planes:
            chunks[-2:] = (tuple(b - a for a, b in (each[i] for each in side.wanted)) for side in sides)
        layer = HighLevelGraph({**layers.layers, name: part}, {**layers.dependencies, name: {ran}})
        found.append(da.Array(layer, name, tuple(chunks), meta=arrays.meta(output.dtype, len(output.shape))))
    return tuple(found)


def _place(ndim: int, n: int, y: int, x: int) -> tuple[int, ...]:
    """The number of a block of so many dimensions: the batch comes first, height and width last."""
    return (n, *(0,) * (ndim - 3), y, x) if ndim > 2 else (n, 0)[:ndim]


def _run(network: Blocks, blocks: list[Any], rows: list[Any], columns: list[Any]) -> tuple[Any, ...]:
    wanted = [[(a, b) for a, b in spans] for spans in (rows, columns)]
    return computing(_outputs_of, network, blocks, *wanted)  # type: ignore[no-any-return]


def _outputs_of(network: Blocks, blocks: list[Any], rows: list[Span], columns: list[Span]) -> tuple[Any, ...]:
    return network([cpu.enter(np.asarray(block)) for block in blocks], rows, columns)
