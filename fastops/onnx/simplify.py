"""Rewrites of a graph that hold for every shape: what is constant becomes one, what does nothing goes.

Each pass takes a graph and gives one; `simplified` runs them in order, and a network is planned from what comes out.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from .. import cpu
from .graph import Array, Graph, Node
from .operators import OPERATORS, Call
from .operators import Step as Function


def simplified(graph: Graph) -> Graph:
    """The graph with constants folded and without what does nothing."""
    return without_unread(without_identities(folded(graph)))


def folded(graph: Graph) -> Graph:
    """Without nodes that depend on constants alone: their outputs become constants."""
    constants = dict(graph.constants)
    nodes = []
    for node in graph.nodes:
        if node.inputs and all(name in constants for name in node.inputs if name):
            arrays = tuple(constants[name] if name else None for name in node.inputs)
            constants.update(zip(node.outputs, evaluated(graph.name, node, arrays), strict=False))
        else:
            nodes.append(node)
    return graph.with_nodes(nodes, constants)


def evaluated(network: str, node: Node, arrays: tuple[Array | None, ...]) -> tuple[Array, ...]:
    """The outputs of a node whose inputs are constants, read-only."""
    call = Call(node, cpu, np, arrays, (True,) * len(arrays))
    try:
        outputs = tuple(np.asarray(each) for each in listed(run(network, node, call)[1]))
    except MemoryError as trouble:
        raise ValueError(str(trouble)) from trouble  # nobody's arrays are that large, but what the file says
    for each in outputs:
        each.flags.writeable = False
    return outputs


def run(network: str, node: Node, call: Call) -> tuple[Function, Any]:
    """(the step of a node, what it gives); what goes wrong is told with the network's and the node's name."""
    try:
        with np.errstate(all="ignore"):
            step = OPERATORS[node.op_type].make(call)
            outputs = step(*call.arrays)
    except NotImplementedError as trouble:
        raise NotImplementedError(f"{network}: node {node} {trouble}") from trouble
    except TROUBLES as trouble:
        raise failed(network, node, call.arrays, trouble) from trouble
    return step, outputs


def listed(outputs: Any) -> tuple[Any, ...]:
    """A step's outputs in a tuple, in which it has them if they are several."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


TROUBLES = (ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError, MemoryError)
"""What NumPy and the kernels raise for arrays that a node cannot take."""


def failed(network: str, node: Node, arrays: Iterable[Any], trouble: Exception) -> Exception:
    """The error for a node that cannot run, in one sentence: a MemoryError, or a ValueError."""
    shapes = ", ".join("none" if each is None else str(tuple(each.shape)) for each in arrays)
    line = str(trouble).strip().split("\n")[0] or type(trouble).__name__
    kind = MemoryError if isinstance(trouble, MemoryError) else ValueError
    return kind(f"{network}: node {node} cannot run on shapes {shapes}: {line}")


def without_identities(graph: Graph) -> Graph:
    """Without Identity, and Dropout, which is nothing in inference; one that makes an output of the graph stays."""
    names: dict[str, str] = {}
    outputs = {value.name for value in graph.outputs}
    users = graph.users()
    nodes = []
    for node in graph.nodes:
        node = node.renamed(names)
        if _does_nothing(node, graph, users) and node.outputs[0] not in outputs:
            names[node.outputs[0]] = node.inputs[0]
        else:
            nodes.append(node)
    return graph.with_nodes(nodes)


def without_unread(graph: Graph) -> Graph:
    """Without the last outputs of nodes that nobody reads, such as the mask of a Dropout; of a Split all count."""
    read = {name for node in graph.nodes for name in node.inputs} | {value.name for value in graph.outputs}
    nodes = []
    for node in graph.nodes:
        outputs = list(node.outputs)
        while len(outputs) > 1 and outputs[-1] not in read and node.op_type != "Split":
            outputs.pop()
        nodes.append(replace(node, outputs=tuple(outputs)))
    return graph.with_nodes(nodes)


def _does_nothing(node: Node, graph: Graph, users: dict[str, list[Node]]) -> bool:
    if node.op_type == "Identity":
        return True
    if node.op_type != "Dropout" or any(name in users for name in node.outputs[1:]):
        return False
    outputs = {value.name for value in graph.outputs}
    training = node.inputs[2] if len(node.inputs) > 2 else ""
    off = not training or (training in graph.constants and not graph.constants[training].any())
    return off and not outputs & set(node.outputs[1:])
