"""What comes after a convolution, done while its sums are at hand: first a residual is added, then the activation."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any

from ..graph import Graph, Node
from ..operators.convolutions import ACTIVATION
from .elementwise import translated
from .rewrite import Rewrite, with_inputs

IN_REGISTERS = ("relu", "clamp")
"""Activations that convolutions do before they write; others take a pass of their own, as a chain does."""
IN_PLACE = ("sigmoid", "silu", "gelu")
"""Of those, the ones whose pass is as fast in place.  In the others' loops LLVM sees that input and output overlap and
does one element at a time: 50 000 of hardswish take 39 us, in a chain 5.6."""


def with_epilogues(graph: Graph, specs: Mapping[str, Any] | None = None) -> Graph:
    """The graph whose convolutions end with their activation, and where shapes are known add what is added to them."""
    rewrite = Rewrite(graph)
    for node in graph.nodes:
        if rewrite.maker(next(filter(None, node.outputs), "")) is not node:
            continue
        if node.op_type in ("Add", "Sum") and specs is not None:
            _add(rewrite, node, specs)
        else:
            _activate(rewrite, node, specs)
    return rewrite.graph()


def _add(rewrite: Rewrite, node: Node, specs: Mapping[str, Any]) -> None:
    """Put an Add of two values of one shape into the later one of the convolutions that it alone reads."""
    if len(node.inputs) != 2 or len({(specs[name].shape, specs[name].dtype) for name in node.inputs}) > 1:
        return
    found = []
    for name, other in (node.inputs, node.inputs[::-1]):
        before = rewrite.inner(name, "Conv", "ConvTranspose")
        if before is not None and len(before.inputs) < 4 and ACTIVATION not in before.attributes:
            found.append((rewrite.place(name), before, other))
    if found:
        _, before, other = max(found, key=lambda each: each[0])
        inputs = [*(*before.inputs, "")[:3], other]
        _put(rewrite, with_inputs(before, inputs, node.outputs), before, node)


def _activate(rewrite: Rewrite, node: Node, specs: Mapping[str, Any] | None) -> None:
    activation = activation_of(node, rewrite)
    before = rewrite.inner(node.inputs[0], "Conv", "ConvTranspose") if activation else None
    if activation is None or before is None or ACTIVATION in before.attributes:
        return
    if specs is not None and activation[0] not in IN_REGISTERS:
        if activation[0] not in IN_PLACE:
            return
        after = rewrite.reader(node.outputs[0])
        chained = after is not None and translated(after, specs, rewrite.constants) is not None
        if after is not None and chained and specs[after.outputs[0]].shape == specs[node.outputs[0]].shape:
            return  # one pass does both
    _put(rewrite, with_inputs(before, list(before.inputs), node.outputs, **{ACTIVATION: activation}), before, node)


def _put(rewrite: Rewrite, node: Node, before: Node, after: Node) -> None:
    rewrite.put(replace(node, name=f"{before.label} + {after.label}"), before, after)


def activation_of(node: Node, rewrite: Rewrite) -> tuple[Any, ...] | None:
    """What a node does as a backend's convolutions take it: (entry, numbers...)."""
    attributes = node.attributes
    plain = {"Relu": "relu", "Sigmoid": "sigmoid", "HardSwish": "hardswish"}.get(node.op_type)
    if plain:
        return (plain,)
    if node.op_type == "LeakyRelu":
        return "leaky_relu", float(attributes.get("alpha", 0.01))
    if node.op_type == "PRelu":
        slope = rewrite.number(node.inputs[1])
        return None if slope is None or rewrite.constants[node.inputs[1]].ndim > 3 else ("leaky_relu", slope)
    if node.op_type == "Gelu":
        return "gelu", attributes.get("approximate", "none") == "tanh"
    if node.op_type == "Swish" and attributes.get("alpha", 1.0) == 1:
        return ("silu",)
    if node.op_type == "HardSigmoid":
        standard = abs(attributes.get("alpha", 0.2) - 1 / 6) < 1e-7 and attributes.get("beta", 0.5) == 0.5
        return ("hardsigmoid",) if standard else None
    if node.op_type == "Clip":
        low, high = (rewrite.number(name) if name else bound
                     for name, bound in zip((*node.inputs, "", "")[1:3], (-inf, inf), strict=True))  # fmt: skip
        return None if low is None or high is None else ("clamp", low, high)
    return None
