"""A network whose outputs see windows of its images alone: what it reads for a block, and the network of that block.

Every value of a block is exactly the rows and columns that the block's outputs need, and padding stands where the
image's own border is: no strides have to be kept in phase, and images of any size come out as they do whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from ... import cpu
from ..graph import Array, Graph, Node, Value
from ..inference import Spec
from ..operators import OPERATORS, Call
from ..simplify import TROUBLES, evaluated, failed
from .pieces import Piece
from .rule import NotLocal, Rule, rule_of

Span = tuple[int, int]
"""(first, end) of rows or columns."""


class Windows:
    """What is read and made along one dimension for a block of the outputs: spans by name, and a piece of each node."""

    def __init__(self, local: "Local", axis: int, wanted: Sequence[Span]) -> None:
        self.made: dict[str, Span] = {}
        self.pieces: dict[Node | tuple[str, ...], Piece] = {}
        needed: dict[str, Span] = {}
        for value, span in zip(local.graph.outputs, wanted, strict=True):
            _grow(needed, value.name, span)
        for node, rule in reversed(local.rules):
            spans = [needed[name] for name in node.outputs if name in needed]
            if not spans:
                spans = [(0, 1)]  # a part of a Split that nobody reads: the node makes it all the same
            piece = rule.pieces[axis](min(a for a, _ in spans), max(b for _, b in spans))
            self.pieces[node.outputs] = piece
            for name in node.outputs:
                self.made[name] = piece.first, piece.end
            for name in node.inputs:
                if name in local.specs:
                    _grow(needed, name, local.read(name, rule, axis, piece))
        for value in local.graph.inputs:
            self.made[value.name] = needed.get(value.name, (0, 1))


def _grow(needed: dict[str, Span], name: str, span: Span) -> None:
    a, b = needed.get(name, span)
    needed[name] = min(a, span[0]), max(b, span[1])


class Local:
    """A network on images of known sizes; NotLocal where a node sees more than a window of them."""

    def __init__(self, graph: Graph, inputs: Iterable[Spec]) -> None:
        specs = {value.name: spec for value, spec in zip(graph.inputs, inputs, strict=True)}
        constants = dict(graph.constants)
        scales = {name: (Fraction(1), Fraction(1)) for name in specs}
        every = specs | {name: Spec(array.shape, array.dtype) for name, array in constants.items()}
        self.rules: list[tuple[Node, Rule]] = []
        for node in graph.nodes:
            found = _known(graph.name, node, every, constants)
            if found is not None:
                for name, array in zip(node.outputs, found, strict=False):
                    constants[name], every[name] = array, Spec(array.shape, array.dtype)
                continue
            rule = _ruled(graph.name, node, every, constants)
            self.rules.append((node, rule))
            (up, across) = next(scales[name] for name in node.inputs if name in scales)
            for name, spec in zip(node.outputs, rule.outputs, strict=False):
                specs[name] = every[name] = spec
                scales[name] = up * rule.scales[0], across * rule.scales[1]
        for value in graph.outputs:
            if value.name not in specs:
                raise NotLocal(f"the output {value.name!r} follows no input")
        self.graph = replace(graph, constants=constants)
        self.specs = specs
        """Of the values that follow an input, for the whole images."""
        self.outputs = [specs[value.name] for value in graph.outputs]
        self.scales = [scales[value.name] for value in graph.outputs]
        """By how much each output has more rows and columns than the first input."""

    def read(self, name: str, rule: Rule, axis: int, piece: Piece) -> Span:
        """The rows of a node's input for a piece of its outputs; the one row of what is stretched."""
        if rule.broadcasts and self.specs[name].shape[axis - 2] != rule.outputs[0].shape[axis - 2]:
            return 0, 1
        return piece.start, piece.stop

    def reads(self, axis: int, wanted: Sequence[Span]) -> list[Span]:
        """The rows (axis 0) or columns (1) of each input for those of each output."""
        made = Windows(self, axis, wanted).made
        return [made[value.name] for value in self.graph.inputs]

    def block(self, rows: Sequence[Span], columns: Sequence[Span]) -> Graph:
        """The network that makes these rows and columns of each output of what `reads` says."""
        return _Block(self, Windows(self, 0, rows), Windows(self, 1, columns)).graph(rows, columns)


def _known(network: str, node: Node, specs: dict[str, Spec], constants: dict[str, Array]) -> tuple[Array, ...] | None:
    """The outputs of a node that no element of an image changes."""
    if all(not name or name in constants for name in node.inputs):
        return evaluated(network, node, tuple(constants[name] if name else None for name in node.inputs))
    if OPERATORS[node.op_type].of_shapes:
        spec = specs[node.inputs[0]]
        image = np.broadcast_to(np.zeros((), spec.dtype), spec.shape)
        return (np.asarray(OPERATORS[node.op_type].make(Call(node, cpu, np, (image,), (False,)))(image)),)
    return None


def _ruled(network: str, node: Node, specs: dict[str, Spec], constants: dict[str, Array]) -> Rule:
    try:
        return rule_of(node, specs, constants)
    except NotLocal:
        raise NotLocal(f"node {node} sees more of an image than a window") from None
    except TROUBLES as trouble:
        given = (specs.get(name) for name in node.inputs)
        raise failed(network, node, given, trouble) from trouble


class _Block:
    """Puts together the nodes of a block."""

    def __init__(self, local: Local, rows: Windows, columns: Windows) -> None:
        self.local, self.rows, self.columns = local, rows, columns
        self.constants = dict(local.graph.constants)
        self.nodes: list[Node] = []
        self.parts: dict[tuple[str, Span, Span], str] = {}

    def graph(self, rows: Sequence[Span], columns: Sequence[Span]) -> Graph:
        graph = self.local.graph
        for node, rule in self.local.rules:
            down, across = self.rows.pieces[node.outputs], self.columns.pieces[node.outputs]
            told, more = rule.rewritten(down, across)
            self.constants.update(more)
            inputs = tuple(
                self._constant(name, rule, (down.start, down.stop), (across.start, across.stop))
                if name in self.constants
                else self._part(name, self.local.read(name, rule, 0, down), self.local.read(name, rule, 1, across))
                for name in told.inputs
            )
            self.nodes.append(replace(told, inputs=inputs))
        outputs = tuple(
            Value(self._part(value.name, down, across), value.dtype, None)
            for value, down, across in zip(graph.outputs, rows, columns, strict=True)
        )
        given = tuple(Value(value.name, value.dtype, None) for value in graph.inputs)
        whole = replace(graph, inputs=given, outputs=outputs)
        return whole.with_nodes(self.nodes, self.constants)

    def _part(self, name: str, rows: Span, columns: Span) -> str:
        """A value, or these rows and columns of it."""
        if not name:
            return name
        (top, bottom), (left, right) = self.rows.made[name], self.columns.made[name]
        if ((top, bottom), (left, right)) == (rows, columns):
            return name
        if (name, rows, columns) not in self.parts:
            place = [rows[0] - top, columns[0] - left], [rows[1] - top, columns[1] - left]
            part = self.parts[name, rows, columns] = f"{name} from {place[0]} to {place[1]}"
            starts, ends, axes = (self._integers(each) for each in (*place, [-2, -1]))
            self.nodes.append(Node("Slice", part, (name, starts, ends, axes), (part,)))
        return self.parts[name, rows, columns]

    def _integers(self, values: list[int]) -> str:
        name = f"numbers {values}"
        self.constants[name] = np.array(values, np.int64)
        return name

    def _constant(self, name: str, rule: Rule, rows: Span, columns: Span) -> str:
        """A constant, or the rows and columns of one that is as large as the image."""
        array = self.constants[name]
        spans = [(-axis, span) for axis, span in ((2, rows), (1, columns)) if array.ndim >= axis]
        if not rule.broadcasts or all(array.shape[axis] == 1 for axis, _ in spans):
            return name
        places = [slice(None)] * array.ndim
        for axis, (start, stop) in spans:
            if array.shape[axis] > 1:
                places[axis] = slice(start, stop)
        part = f"{name} at {rows}, {columns}"
        self.constants[part] = np.ascontiguousarray(array[tuple(places)])
        return part


def signature(graph: Graph, own: dict[str, Array]) -> Any:
    """What tells the network of a block from that of another one: nodes, and constants that are not the file's own."""
    nodes = tuple((node.op_type, node.inputs, node.outputs, str(node.attributes)) for node in graph.nodes)
    return (
        nodes,
        tuple(value.name for value in graph.outputs),
        tuple(name for name in graph.constants if name not in own),
    )
