"""Activations that exporters write as several nodes: found as products of factors, and put as one node.

| as one | as many |
|---|---|
| Swish | x Sigmoid(x), x Sigmoid(alpha x) |
| HardSigmoid | Clip(x + 3, 0, 6) / 6 |
| HardSwish | x Clip(x + 3, 0, 6) / 6, x HardSigmoid(x) |
| Gelu | x (Erf(x / sqrt 2) + 1) / 2, x (Tanh(sqrt(2 / pi) (x + 0.044715 x^3)) + 1) / 2 |

in whatever order the factors stand, and whether a number divides or multiplies.
"""

from math import isclose, pi, sqrt
from typing import NamedTuple

from ..graph import Graph, Node
from .rewrite import Rewrite

NEAR = 1e-5
"""How far a number may be from the one that a formula has: exporters write them in float32, or in few digits."""


class Product(NamedTuple):
    """A number times values; ``nodes`` are those that multiply."""

    number: float
    factors: tuple[str, ...]
    nodes: tuple[Node, ...]


def with_activations(graph: Graph) -> Graph:
    """The graph with activations in one node each."""
    rewrite = Rewrite(graph)
    for node in reversed(graph.nodes):
        if node.op_type in ("Mul", "Div") and rewrite.maker(node.outputs[0]) is node:
            _replace(rewrite, node)
    return rewrite.graph()


def _replace(rewrite: Rewrite, node: Node) -> None:
    product = _product(rewrite, node)
    for find in (_swish, _hard_sigmoid, _hard_swish, _gelu):
        found = find(rewrite, product)
        if found is not None:
            made, inner = found
            new = Node(made.op_type, node.name, made.inputs, node.outputs, made.attributes)
            rewrite.put(new, *product.nodes, *inner)
            return


Found = tuple[Node, list[Node]] | None
"""The node to put, without outputs, and those that it is instead of beside the product's."""


def _product(rewrite: Rewrite, node: Node) -> Product:
    """What a Mul or Div multiplies, through those that it alone reads."""
    number, nodes = 1.0, [node]
    factors: list[str] = []
    for i, name in enumerate(node.inputs):
        value = rewrite.number(name)
        inner = rewrite.inner(name, "Mul", "Div")
        divides = node.op_type == "Div" and i == 1
        if value is not None and (value != 0 or not divides):
            number *= 1 / value if divides else value
        elif inner is not None and not divides:
            more = _product(rewrite, inner)
            number *= more.number
            factors += more.factors
            nodes += more.nodes
        else:
            factors.append(f"/{name}" if divides else name)  # 1 / x is a factor that no pattern has
    return Product(number, tuple(factors), tuple(nodes))


def _is(value: float | None, expected: float) -> bool:
    return value is not None and isclose(value, expected, rel_tol=NEAR)


def _both(rewrite: Rewrite, product: Product, *op_types: str) -> tuple[str, Node] | None:
    """(x, f) of a product x times f, of which f is one of those and read here alone."""
    if len(product.factors) == 2:
        for x, f in (product.factors, product.factors[::-1]):
            inner = rewrite.inner(f, *op_types)
            if inner is not None:
                return x, inner
    return None


def _swish(rewrite: Rewrite, product: Product) -> Found:
    both = _both(rewrite, product, "Sigmoid")
    if both is None or product.number != 1:
        return None
    x, sigmoid = both
    if sigmoid.inputs == (x,):
        return Node("Swish", "", (x,), (), {"alpha": 1.0}), [sigmoid]
    inner = rewrite.inner(sigmoid.inputs[0], "Mul", "Div")
    argument = inner and _product(rewrite, inner)
    if not argument or argument.factors != (x,):
        return None
    return Node("Swish", "", (x,), (), {"alpha": argument.number}), [sigmoid, *argument.nodes]


def _clipped(rewrite: Rewrite, clip: Node) -> tuple[str, Node] | None:
    """(x, its Add) of a Clip(x + 3, 0, 6)."""
    bounds = [rewrite.number(name) if name else None for name in (*clip.inputs, "", "")[1:3]]
    add = rewrite.inner(clip.inputs[0], "Add")
    if bounds != [0, 6] or add is None:
        return None
    for x, three in (add.inputs, add.inputs[::-1]):
        if rewrite.number(three) == 3:
            return x, add
    return None


def _hard_sigmoid(rewrite: Rewrite, product: Product) -> Found:
    if len(product.factors) != 1 or not _is(product.number, 1 / 6):
        return None
    clip = rewrite.inner(product.factors[0], "Clip")
    found = clip and _clipped(rewrite, clip)
    if not clip or not found:
        return None
    return Node("HardSigmoid", "", (found[0],), (), {"alpha": 1 / 6, "beta": 0.5}), [clip, found[1]]


def _hard_swish(rewrite: Rewrite, product: Product) -> Found:
    both = _both(rewrite, product, "Clip", "HardSigmoid")
    if both is None:
        return None
    x, inner = both
    if inner.op_type == "HardSigmoid":
        alpha, beta = inner.attributes.get("alpha", 0.2), inner.attributes.get("beta", 0.5)
        if product.number == 1 and inner.inputs == (x,) and _is(alpha, 1 / 6) and beta == 0.5:
            return Node("HardSwish", "", (x,), ()), [inner]
        return None
    found = _clipped(rewrite, inner)
    if found is None or found[0] != x or not _is(product.number, 1 / 6):
        return None
    return Node("HardSwish", "", (x,), ()), [inner, found[1]]


def _gelu(rewrite: Rewrite, product: Product) -> Found:
    both = _both(rewrite, product, "Add")
    if both is None or not _is(product.number, 0.5):
        return None
    x, add = both
    for name, one in (add.inputs, add.inputs[::-1]):
        step = rewrite.inner(name, "Erf", "Tanh")
        if step is None or rewrite.number(one) != 1:
            continue
        inner = rewrite.inner(step.inputs[0], "Mul", "Div")
        if inner is None:
            return None
        argument = _product(rewrite, inner)
        nodes = [add, step, *argument.nodes]
        if step.op_type == "Erf":
            if argument.factors == (x,) and _is(argument.number, sqrt(0.5)):
                return Node("Gelu", "", (x,), ()), nodes
            return None
        cubic = _with_cube(rewrite, argument, x)
        return None if cubic is None else (Node("Gelu", "", (x,), (), {"approximate": "tanh"}), nodes + cubic)
    return None


def _with_cube(rewrite: Rewrite, argument: Product, x: str) -> list[Node] | None:
    """The nodes of x + 0.044715 x^3 in sqrt(2 / pi) (x + 0.044715 x^3)."""
    if len(argument.factors) != 1 or not _is(argument.number, sqrt(2 / pi)):
        return None
    add = rewrite.inner(argument.factors[0], "Add")
    if add is None:
        return None
    for first, second in (add.inputs, add.inputs[::-1]):
        inner = rewrite.inner(second, "Mul") if first == x else None
        if inner is None:
            continue
        product = _product(rewrite, inner)
        if not _is(product.number, 0.044715):
            continue
        if product.factors == (x, x, x):
            return [add, *product.nodes]
        power = rewrite.inner(product.factors[0], "Pow") if len(product.factors) == 1 else None
        if power is not None and power.inputs[0] == x and rewrite.number(power.inputs[1]) == 3:
            return [add, *product.nodes, power]
    return None
