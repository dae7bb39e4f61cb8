"""A network along the batch: the shapes that it makes of any number of images, and whether each image is by itself."""

from collections.abc import Callable, Sequence
from math import prod

from ..graph import Graph, Node
from ..inference import Inferred, Spec
from .rule import NotLocal

Infer = Callable[[dict[str, Spec]], Inferred | None]


def outputs_of(graph: Graph, inputs: Sequence[Spec], chunked: bool, infer: Infer) -> list[Spec]:
    """The outputs for these inputs; NotLocal if they are ``chunked`` along the batch and images see one another."""
    names = [value.name for value in graph.inputs]
    if not chunked:
        found = infer(dict(zip(names, inputs, strict=True)))
        if found is None:
            raise NotLocal("its shapes follow the elements of an image")
        return [found.specs[value.name] for value in graph.outputs]
    one, two = (
        infer({name: Spec((count, *spec.shape[1:]), spec.dtype) for name, spec in zip(names, inputs, strict=True)})
        for count in (1, 2)
    )
    if one is None or two is None:
        raise NotLocal("its shapes cannot be told for one image")
    for node in two.graph.nodes:
        if _joins(node, one, two):
            raise NotLocal(f"node {node} sees several images of a batch")
    count, specs = inputs[0].shape[0], []
    for value in graph.outputs:
        spec, other = one.specs[value.name], two.specs[value.name]
        if not spec.shape or (1, *spec.shape[1:]) != spec.shape or other.shape != (2, *spec.shape[1:]):
            raise NotLocal(f"the output {value.name!r} has no dimension for the batch")
        specs.append(Spec((count, *spec.shape[1:]), spec.dtype))
    return specs


_ALONG = {"Softmax": -1, "LogSoftmax": -1, "Concat": 1, "LayerNormalization": -1}
"""Operators along an axis, and where that is if nothing is said; elsewhere it is 0."""


def _joins(node: Node, one: Inferred, two: Inferred) -> bool:
    """Whether an element of a node's output may follow elements of several images."""
    varying = {name: _varying(name, one, two) for name in (*node.inputs, *node.outputs) if name}
    given = next((name for name in node.inputs if varying.get(name)), None)
    if given is None:
        return False
    rank, dims = len(two.specs[given].shape), varying[given]
    if any(name and len(varying[name]) != 1 for name in node.outputs) or node.op_type in ("Einsum", "NonZero", "Trilu"):
        return True
    constants, op = two.graph.constants, node.op_type
    if op in ("Reshape", "Flatten"):  # images stay one after the other if as many elements as before lie between them
        return _before(given, one, varying) != _before(node.outputs[0], one, varying)
    if op in ("Softmax", "LogSoftmax", "Concat", "Split", "Gather", "GatherElements", "ArgMax", "ArgMin",
              "LayerNormalization"):  # fmt: skip
        axis = int(node.attributes.get("axis", _ALONG.get(op, 0))) % rank
        flattens = node.attributes.get("flattens") or op == "LayerNormalization"
        return bool(dims & set(range(axis, rank) if flattens else (axis,)))
    if op.startswith("Reduce") or op == "CumSum":
        axes = constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
        return axes is None or bool(dims & {int(axis) % rank for axis in axes.reshape(-1)})
    if op in ("Slice", "Pad"):
        axes = constants.get(node.inputs[3]) if len(node.inputs) > 3 else None
        if axes is None and op == "Pad":
            pads = constants[node.inputs[1]].reshape(2, -1)
            return any(pads[:, axis].any() for axis in dims)
        count = constants[node.inputs[1]].size
        return bool(dims & {int(axis) % rank for axis in (range(count) if axes is None else axes.reshape(-1))})
    if op == "MatMul":
        a, b = node.inputs
        return len(two.specs[a].shape) - 1 in varying[a] or max(len(two.specs[b].shape) - 2, 0) in varying[b]
    if op == "Gemm":
        a, b = node.inputs[:2]
        turned = node.attributes.get("transA", 0), node.attributes.get("transB", 0)
        return (0 if turned[0] else 1) in varying[a] or (1 if turned[1] else 0) in varying[b]
    return bool(op == "BatchNormalization" and node.attributes.get("training_mode", 0))


def _before(name: str, one: Inferred, varying: dict[str, set[int]]) -> int:
    """How often the images come one after the other: the product of the dimensions before the batch."""
    return prod(one.specs[name].shape[: min(varying[name])])


def _varying(name: str, one: Inferred, two: Inferred) -> set[int]:
    """The dimensions of a value that grow with the batch."""
    a, b = one.specs[name].shape, two.specs[name].shape
    if len(a) != len(b):
        return set(range(len(b)))
    return {i for i, sizes in enumerate(zip(a, b, strict=True)) if sizes[0] != sizes[1]}
