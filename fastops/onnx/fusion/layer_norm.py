"""Layer normalisation that exporters write as nine nodes: found, and put as one LayerNormalization.

    m = ReduceMean(x)   d = x - m   v = ReduceMean(d ** 2)   y = d / Sqrt(v + eps) * scale + bias

along the last dimension; d * d for d ** 2, and neither scale nor bias, or the scale alone, will do.
"""

import numpy as np

from ..graph import Graph, Node
from .rewrite import Rewrite


def with_layer_norms(graph: Graph) -> Graph:
    """The graph with each layer normalisation in one node."""
    rewrite = Rewrite(graph)
    for node in graph.nodes:
        if node.op_type == "Div" and rewrite.maker(node.outputs[0]) is node:
            _replace(rewrite, node)
    return rewrite.graph()


def _replace(rewrite: Rewrite, node: Node) -> None:
    found = _normalised(rewrite, node)
    if found is None:
        return
    x, eps, nodes = found
    dtype, last, more = rewrite.constants[eps].dtype, node, []
    for op_type in ("Mul", "Add"):
        after = rewrite.reader(last.outputs[0])
        name = _row(rewrite, after, last.outputs[0]) if after is not None and after.op_type == op_type else ""
        if after is None or not name:
            break
        last = after
        more.append(name)
        nodes.append(after)
    if not more:
        more = [rewrite.constant(f"{node.label}.scale", np.ones(1, dtype))]
    attributes = {"axis": -1, "epsilon": rewrite.number(eps)}
    rewrite.put(Node("LayerNormalization", last.name, (x, *more), last.outputs, attributes), *nodes)


def _normalised(rewrite: Rewrite, div: Node) -> tuple[str, str, list[Node]] | None:
    """(x, the name of eps, the nodes) of d / Sqrt(ReduceMean(d ** 2) + eps), d = x - ReduceMean(x)."""
    d = div.inputs[0]
    sub, sqrt = rewrite.maker(d, "Sub"), rewrite.inner(div.inputs[1], "Sqrt")
    add = sqrt and rewrite.inner(sqrt.inputs[0], "Add")
    if sub is None or sqrt is None or add is None:
        return None
    mean = rewrite.inner(sub.inputs[1], "ReduceMean")
    for value, eps in (add.inputs, add.inputs[::-1]):
        variance = rewrite.inner(value, "ReduceMean")
        if variance is None or rewrite.number(eps) is None:
            continue
        square = _square(rewrite, variance.inputs[0], d)
        rows = mean is not None and all(_of_rows(rewrite, each) for each in (mean, variance))
        if mean is None or square is None or not rows or mean.inputs[0] != sub.inputs[0]:
            return None
        if rewrite.read_by(d, div, square):
            return sub.inputs[0], eps, [mean, sub, square, variance, add, sqrt, div]
    return None


def _square(rewrite: Rewrite, name: str, d: str) -> Node | None:
    """The node that makes d ** 2, as a power or a product, and is read once."""
    node = rewrite.inner(name, "Pow", "Mul")
    if node is None or node.inputs[0] != d:
        return None
    two = node.inputs[1] == d if node.op_type == "Mul" else rewrite.number(node.inputs[1]) == 2
    return node if two else None


def _of_rows(rewrite: Rewrite, mean: Node) -> bool:
    """Whether a ReduceMean is along the last dimension, which it keeps as one of size 1."""
    axes = rewrite.constants.get(mean.inputs[1]) if len(mean.inputs) == 2 else None
    return axes is not None and axes.reshape(-1).tolist() == [-1] and bool(mean.attributes.get("keepdims", 1))


def _row(rewrite: Rewrite, node: Node, name: str) -> str:
    """The constant that a node joins with a value: one number, or one for each place in a row; "" for another."""
    other = node.inputs[1] if node.inputs[0] == name else node.inputs[0]
    return other if other in rewrite.constants and rewrite.constants[other].ndim < 2 else ""
