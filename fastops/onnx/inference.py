"""Shapes and dtypes of all values of a network for one set of input shapes, without running it.

What depends on shapes alone becomes a constant.  Operators that say their output's shape are not run; the others are,
on zeros, which tells also whether an output is only a view of an input.
"""

from typing import Any, NamedTuple

import numpy as np

from .. import cpu
from .fusion.elementwise import translated
from .graph import Array, Graph, Node
from .operators import OPERATORS, Call
from .operators.table import Filling, Kept, kept_of
from .operators.table import Step as Function
from .simplify import TROUBLES, evaluated


class Spec(NamedTuple):
    """What is known of a value."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class View(NamedTuple):
    """A value that is part of another one's memory."""

    of: str
    first: int
    """The place of its first element there."""


class Inferred(NamedTuple):
    """A graph of nodes that run at each call, and what is known of its values."""

    graph: Graph
    specs: dict[str, Spec]
    views: dict[str, View]
    functions: dict[tuple[str, ...], Function]
    """Of each node, by its outputs; of views and of what runs in a chain none."""


def inferred(graph: Graph, inputs: dict[str, Spec], precision: str, kept: Kept) -> Inferred | None:
    """What is known of a network's values, or None where shapes depend on more than shapes, or a node cannot run."""
    constants: dict[str, Array] = dict(graph.constants)
    specs = dict(inputs)
    specs.update((name, Spec(array.shape, array.dtype)) for name, array in constants.items())
    views: dict[str, View] = {}
    functions: dict[tuple[str, ...], Function] = {}
    nodes = []
    try:
        for node in graph.nodes:
            known = tuple(not name or name in constants for name in node.inputs)
            arrays = tuple(_stand_in(name, constants, specs) for name in node.inputs)
            found = _known(graph.name, node, known, arrays)
            if found is not None:
                for name, array in zip(node.outputs, found, strict=False):
                    constants[name], specs[name] = array, Spec(array.shape, array.dtype)
                continue
            nodes.append(node)
            if translated(node, specs, constants) is not None:
                shapes = [specs[name].shape for name in node.inputs if name]
                shape = specs[node.inputs[0]].shape if node.op_type in _OF_FIRST else np.broadcast_shapes(*shapes)
                specs[node.outputs[0]] = Spec(shape, specs[node.inputs[0]].dtype)
                continue
            call = Call(node, cpu, np, arrays, known, precision, kept_of(kept, node, graph.constants))
            functions[node.outputs] = function = made(call)
            if call.depends:
                return None
            if isinstance(function, Filling):
                specs[node.outputs[0]] = Spec(tuple(function.shape), np.dtype(function.dtype))
                continue
            arrays = tuple(_zeros(name, array, constants) for name, array in zip(node.inputs, arrays, strict=True))
            with np.errstate(all="ignore"):
                results = function(*arrays)
            _look(node, results, arrays, specs, views, constants)
    except (*TROUBLES, NotImplementedError):
        return None
    return Inferred(graph.with_nodes(nodes, constants), specs, views, functions)


_OF_FIRST = ("Clip", "BatchNormalization", "Pow", "PRelu")
"""Operators whose other inputs do not make the output larger."""


def made(call: Call) -> Function:
    """The step of a node."""
    with np.errstate(all="ignore"):
        return OPERATORS[call.node.op_type].make(call)


def _stand_in(name: str, constants: dict[str, Array], specs: dict[str, Spec]) -> Array | None:
    """A constant itself, for another value one zero that looks like all of its elements: steps are made of shapes."""
    if not name:
        return None
    return constants[name] if name in constants else np.broadcast_to(np.zeros((), specs[name].dtype), specs[name].shape)


def _zeros(name: str, array: Array | None, constants: dict[str, Array]) -> Array | None:
    """A constant itself, memory of its own for another value, since a result may be a view of it."""
    return array if array is None or name in constants else np.zeros(array.shape, array.dtype)


def _known(
    network: str, node: Node, known: tuple[bool, ...], arrays: tuple[Array | None, ...]
) -> tuple[Array, ...] | None:
    """The outputs of a node that no element of an input changes."""
    if all(known):
        return evaluated(network, node, arrays)
    if OPERATORS[node.op_type].of_shapes:
        return (np.asarray(made(Call(node, cpu, np, arrays, known))(*arrays)),)
    return None


def _look(
    node: Node, results: Any, arrays: tuple[Array | None, ...], specs: dict[str, Spec], views: dict[str, View],
    constants: dict[str, Array],
) -> None:  # fmt: skip
    """Note shapes, dtypes and views of what a node made of zeros."""
    results = results if isinstance(results, tuple) else (results,)
    for name, result in zip(node.outputs, results, strict=False):
        if not name:
            continue
        array = np.asarray(result)
        specs[name] = Spec(array.shape, array.dtype)
        for source, given in zip(node.inputs, arrays, strict=True):
            if given is None or source in constants or not array.size:
                continue
            first = _address(array) - _address(given)
            within = 0 <= first and first + array.nbytes <= given.nbytes
            if within and array.flags.c_contiguous and array.dtype == given.dtype:
                views[name] = View(source, first // given.itemsize)


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])
