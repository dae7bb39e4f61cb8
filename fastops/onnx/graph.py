"""A network as we hold it: values by name, nodes that make them, constants.  Nothing here knows ONNX's files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
Constants = dict[str, Array]


class Value(NamedTuple):
    """An input or output as the file declares it."""

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | str | None, ...] | None
    """Sizes, names of sizes, or None for what is not said; a declaration may be a leftover of the export."""


@dataclass(frozen=True)
class Node:
    """One operator: what it is called, what it takes and makes ("" for what is left out), its attributes.

    Whatever opset a file has, its nodes are as the newest one spells them: see `versions.py`.
    """

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    domain: str = ""

    def __str__(self) -> str:
        """As errors and plans call it: 'conv1' (Conv)."""
        operator = f"{self.domain}.{self.op_type}" if self.domain else self.op_type
        return f"{self.label!r} ({' '.join(operator.split())})"

    @property
    def label(self) -> str:
        """Its name, or that of its first output where the exporter gave it none."""
        return self.name or next(filter(None, self.outputs), "")

    def renamed(self, names: dict[str, str]) -> "Node":
        """The node with inputs of other names."""
        if not any(name in names for name in self.inputs):
            return self
        return replace(self, inputs=tuple(names.get(name, name) for name in self.inputs))


@dataclass(frozen=True)
class Graph:
    """A network: ``nodes`` in an order in which they can run."""

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    constants: Constants
    nodes: tuple[Node, ...]
    opset: int

    def users(self) -> dict[str, list[Node]]:
        """Who reads each value; the graph's outputs have a reader more than is listed here."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(filter(None, node.inputs)):
                found.setdefault(name, []).append(node)
        return found

    def makers(self) -> dict[str, Node]:
        """The node that makes each value."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    def with_nodes(self, nodes: Iterable[Node], constants: Constants | None = None) -> "Graph":
        """The same network of other nodes, without those, and without the constants, that nothing comes of."""
        kept = tuple(_needed(tuple(nodes), {value.name for value in self.outputs}))
        constants = self.constants if constants is None else constants
        read = {name for node in kept for name in node.inputs} | {value.name for value in self.outputs}
        return replace(self, nodes=kept, constants={name: array for name, array in constants.items() if name in read})


def ordered(network: str, nodes: tuple[Node, ...], given: Iterable[str]) -> tuple[Node, ...]:
    """The nodes, each after those whose values it takes; values nobody makes and cycles are refused."""
    makers: dict[str, Node] = {}
    known = set(given)
    for node in nodes:
        for name in filter(None, node.outputs):
            if name in makers or name in known:
                raise ValueError(f"{network}: the value {name!r} expects one node that makes it, got more than one")
            makers[name] = node
    for node in nodes:
        for name in filter(None, node.inputs):
            if name not in makers and name not in known:
                raise ValueError(f"{network}: node {node} takes {name!r}, which no input, initializer or node gives")
    ready = set(known)
    done: list[Node] = []
    waiting = list(nodes)
    while waiting:
        left = []
        for node in waiting:
            if all(name in ready for name in node.inputs if name):
                done.append(node)
                ready.update(node.outputs)
            else:
                left.append(node)
        if len(left) == len(waiting):
            raise ValueError(f"{network}: its nodes run in a circle, of which {left[0]} is one")
        waiting = left
    return tuple(done)


def _needed(nodes: tuple[Node, ...], wanted: set[str]) -> Iterator[Node]:
    """Those nodes that a wanted value comes of."""
    needed = set(wanted)
    kept = []
    for node in reversed(nodes):
        if any(name in needed for name in node.outputs if name):
            kept.append(node)
            needed.update(node.inputs)
    return reversed(kept)
