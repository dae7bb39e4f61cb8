"""A graph while it is rewritten: who makes a value, who reads it, which numbers are constants."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..graph import Array, Graph, Node


class Rewrite:
    """A graph whose nodes are taken out and put in; `graph` gives what came of it."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.constants = dict(graph.constants)
        self._nodes: list[Node | None] = list(graph.nodes)
        self._outputs = {value.name for value in graph.outputs}
        self._places: dict[str, int] = {}
        self._readers: dict[str, list[int]] = {}
        for place, node in enumerate(graph.nodes):
            self._note(place, node)

    def nodes(self) -> list[Node]:
        """The nodes that there are now, in order."""
        return [node for node in self._nodes if node is not None]

    def graph(self) -> Graph:
        """The graph that came of it."""
        return self._graph.with_nodes(self.nodes(), self.constants)

    def maker(self, name: str, *op_types: str) -> Node | None:
        """The node that makes a value; None where it is none of those, or a constant or an input."""
        place = self._places.get(name)
        node = None if place is None else self._nodes[place]
        return node if node is not None and (not op_types or node.op_type in op_types) else None

    def place(self, name: str) -> int:
        """Where the node stands that makes a value."""
        return self._places[name]

    def reader(self, name: str) -> Node | None:
        """The node that reads a value if it does so once and nobody else does, not even who calls the network."""
        readers = self._readers.get(name, [])
        return self._nodes[readers[0]] if len(readers) == 1 and name not in self._outputs else None

    def inner(self, name: str, *op_types: str) -> Node | None:
        """The node that makes a value which one node alone reads."""
        return self.maker(name, *op_types) if self.reader(name) is not None else None

    def read_by(self, name: str, *nodes: Node) -> bool:
        """Whether these nodes read a value, and nobody else, not even who calls the network."""
        readers = {id(self._nodes[place]) for place in self._readers.get(name, [])}
        return readers == set(map(id, nodes)) and name not in self._outputs

    def number(self, name: str) -> float | None:
        """The number that a constant of one element is."""
        array = self.constants.get(name)
        alone = array is not None and array.size == 1 and array.dtype.kind == "f"
        return float(array.reshape(-1)[0]) if array is not None and alone else None

    def constant(self, near: str, array: Array) -> str:
        """The name of a new constant, which is read-only."""
        name, count = near, 0
        while name in self.constants or name in self._places or name in self._readers:
            name, count = f"{near}.{count}", count + 1
        array = np.ascontiguousarray(array)
        array.flags.writeable = False
        self.constants[name] = array
        return name

    def put(self, node: Node, *instead_of: Node) -> Node:
        """Put a node where the last of those stood that it is instead of."""
        places = [self._places[next(filter(None, old.outputs))] for old in instead_of]
        for place, old in zip(places, instead_of, strict=True):
            self._nodes[place] = None
            for name in filter(None, old.outputs):
                del self._places[name]
            for name in filter(None, old.inputs):
                self._readers[name].remove(place)
        self._nodes[max(places)] = node
        self._note(max(places), node)
        return node

    def _note(self, place: int, node: Node) -> None:
        for name in filter(None, node.outputs):
            self._places[name] = place
        for name in filter(None, node.inputs):
            self._readers.setdefault(name, []).append(place)


def with_inputs(node: Node, inputs: list[str], outputs: tuple[str, ...] | None = None, **attributes: Any) -> Node:
    """The node with other inputs, of which those at the end that are left out go, outputs and attributes more."""
    while inputs and not inputs[-1]:
        inputs = inputs[:-1]
    return replace(
        node, inputs=tuple(inputs), outputs=node.outputs if outputs is None else outputs,
        attributes={**node.attributes, **attributes},
    )  # fmt: skip
