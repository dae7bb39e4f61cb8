"""Inverted residuals: two or three convolutions around a depthwise one that one kernel makes in one pass."""

from collections.abc import Callable
from math import isnan
from typing import Any

import numpy as np

from ...cpu import conv
from ..graph import Graph, Node
from ..operators.convolutions import ACTIVATION
from ..operators.table import Call, Filling
from .epilogue import IN_REGISTERS
from .rewrite import Rewrite

INVERTED = "InvertedResidual"
"""A node of ours.  Its inputs are x, a weight and a bias of each convolution, and what is added; its attributes
``nodes``, the convolutions, and ``block``, their sizes."""


def with_inverted_residuals(graph: Graph, geometry: Callable[[Node], Any]) -> Graph:
    """The graph where such convolutions are one node; ``geometry`` gives a Conv's, None where it has none."""
    rewrite = Rewrite(graph)
    for node in graph.nodes:
        if node.op_type == "Conv" and rewrite.maker(node.outputs[0]) is node:
            _put(rewrite, node, geometry)
    return rewrite.graph()


def step(call: Call) -> Filling:
    """The step of such a node, on the CPU."""
    block: conv.Block = call.attribute("block")
    activations = tuple(node.attributes.get(ACTIVATION) if node else None for node in call.attribute("nodes"))
    shape = (block.images, block.outputs, block.out_height, block.out_width)

    def fill(out: Any, x: Any, *rest: Any) -> None:
        add = rest[6] if len(rest) > 6 else None
        conv.inverted_residual(out, x, rest[:6:2], rest[1:6:2], block, add, activations)

    return Filling(call.on, shape, call.dtype(0), fill)


def _put(rewrite: Rewrite, project: Node, geometry: Callable[[Node], Any]) -> None:
    """Put a node instead of the convolution that projects, and the ones before it."""
    depthwise = _before(rewrite, project)
    if depthwise is None or not _bounded(project):
        return
    expand = _before(rewrite, depthwise)
    for first in (expand, None) if expand else (None,):
        parts = (first, depthwise, project)
        nodes = [each for each in parts if each]
        sizes = {each.outputs: geometry(each) for each in nodes}
        if None in sizes.values() or not _finite(rewrite, nodes):
            continue
        itemsize = rewrite.constants[project.inputs[1]].itemsize
        expanded = sizes[first.outputs] if first else None
        block = conv.block_of(expanded, sizes[depthwise.outputs], sizes[project.outputs], itemsize)
        if block is not None:
            inputs = [nodes[0].inputs[0]]
            for each in parts:
                inputs += [*(each.inputs[1:3] if each else ()), "", ""][:2]
            name, attributes = f"{nodes[0].label} to {project.label}", {"nodes": parts, "block": block}
            rewrite.put(Node(INVERTED, name, (*inputs, *project.inputs[3:]), project.outputs, attributes), *nodes)
            return


def _before(rewrite: Rewrite, node: Node) -> Node | None:
    """The convolution that makes a convolution's image, for it alone; nothing but bounds may come between."""
    before = rewrite.inner(node.inputs[0], "Conv")
    return before if before is not None and len(before.inputs) < 4 and _bounded(before) else None


def _bounded(node: Node) -> bool:
    name, *numbers = node.attributes.get(ACTIVATION) or ("relu",)
    return name in IN_REGISTERS and not any(isnan(each) for each in numbers)


def _finite(rewrite: Rewrite, nodes: list[Node]) -> bool:
    """Whether weights and biases are finite constants: then nothing beyond an image makes NaN."""
    names = [name for node in nodes for name in node.inputs[1:3] if name]
    return all(name in rewrite.constants and np.isfinite(rewrite.constants[name]).all() for name in names)
