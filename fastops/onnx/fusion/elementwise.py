"""Element-wise operators that run as one: which they are, and as which program of `fastops.cpu.chain`."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from ...cpu.chain import Chain, Instruction, TooLong
from ..graph import Array, Graph, Node

Operand = str | int | Array
"""A value by its name, the result of an instruction of the same node by its number, or an array of our own."""
Part = tuple[str, Operand, Operand | None, float, float]
"""(operator, first operand, second one, two numbers)."""

MOST = 24
"""Nodes that run as one."""

_BINARY = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide"}
_MANY = {"Sum": "add", "Max": "greater", "Min": "less"}
_UNARY = {
    "Relu": "relu", "Sigmoid": "sigmoid", "HardSwish": "hardswish", "Exp": "exp", "Tanh": "tanh", "Neg": "negative",
    "Abs": "absolute", "Sqrt": "square_root", "Reciprocal": "reciprocal",
}  # fmt: skip


def translated(node: Node, specs: Mapping[str, Any], constants: Mapping[str, Array]) -> list[Part] | None:
    """The instructions of a node on floats of one dtype; None where it is no such node."""
    if node.domain or len([name for name in node.outputs if name]) != 1 or not node.inputs or not node.inputs[0]:
        return None
    given = [specs[name] for name in node.inputs if name]
    if any(each.dtype != given[0].dtype for each in given) or given[0].dtype.char not in "fd":
        return None
    op, inputs, kind = node.op_type, node.inputs, given[0].dtype
    x = inputs[0]
    if op in _UNARY:
        return [_part(_UNARY[op], x)]
    if op in _BINARY:
        return [_part(_BINARY[op], x, inputs[1])]
    if op in _MANY and len(inputs) > 1:
        return [_part(_MANY[op], x if i == 1 else i - 2, inputs[i]) for i in range(1, len(inputs))]
    special = _SPECIAL.get(op)
    return special(node, specs, constants, kind) if special else None


def _part(operator: str, x: Operand, y: Operand | None = None, a: float = 0.0, b: float = 0.0) -> Part:
    return operator, x, y, a, b


def _clip(node: Node, specs: Any, constants: Any, kind: Any) -> list[Part] | None:
    names = (*node.inputs[1:], "", "")[:2]
    if any(name and (name not in constants or constants[name].size != 1) for name in names):
        return None
    bounds = [float(constants[name].reshape(-1)[0]) if name else bound
              for name, bound in zip(names, (-inf, inf), strict=True)]  # fmt: skip
    return [_part("clamp", node.inputs[0], None, *bounds)]


def _hard_sigmoid(node: Node, specs: Any, constants: Any, kind: Any) -> list[Part]:
    alpha, beta = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return [_part("hardsigmoid", node.inputs[0])]
    return [
        _part("multiply", node.inputs[0], np.array([alpha], kind)), _part("add", 0, np.array([beta], kind)),
        _part("clamp", 1, None, 0.0, 1.0),
    ]  # fmt: skip


def _swish(node: Node, specs: Any, constants: Any, kind: Any) -> list[Part]:
    alpha = float(node.attributes.get("alpha", 1.0))
    if alpha == 1:
        return [_part("silu", node.inputs[0])]
    return [
        _part("multiply", node.inputs[0], np.array([alpha], kind)), _part("sigmoid", 0),
        _part("multiply", node.inputs[0], 1),
    ]  # fmt: skip


def _gelu(node: Node, specs: Any, constants: Any, kind: Any) -> list[Part]:
    return [_part("gelu_tanh" if node.attributes.get("approximate", "none") == "tanh" else "gelu", node.inputs[0])]


def _leaky_relu(node: Node, specs: Any, constants: Any, kind: Any) -> list[Part]:
    return [_part("sloped", node.inputs[0], None, float(node.attributes.get("alpha", 0.01)), 1.0)]


def _prelu(node: Node, specs: Any, constants: Any, kind: Any) -> list[Part] | None:
    x, slope = node.inputs
    shape = specs[x].shape
    try:
        fits = np.broadcast_shapes(shape, specs[slope].shape) == shape
    except ValueError:
        return None
    return [_part("prelu", x, slope)] if fits else None


def _power(node: Node, specs: Any, constants: Any, kind: Any) -> list[Part] | None:
    exponent = constants.get(node.inputs[1])
    if exponent is None or exponent.size != 1 or exponent.ndim > len(specs[node.inputs[0]].shape):
        return None
    x = node.inputs[0]
    parts = {2.0: [_part("multiply", x, x)], 0.5: [_part("square_root", x)]}
    return parts.get(float(exponent.reshape(-1)[0]))


def _batch_norm(node: Node, specs: Any, constants: Any, kind: Any) -> list[Part] | None:
    """x s + t by channel, s and t in float64 until they are done."""
    if node.attributes.get("training_mode", 0) or any(name not in constants for name in node.inputs[1:5]):
        return None
    scale, bias, mean, var = (constants[name].astype(np.float64) for name in node.inputs[1:5])
    s = scale / np.sqrt(var + float(node.attributes.get("epsilon", 1e-5)))
    rank = len(specs[node.inputs[0]].shape)
    if rank < 2 or s.shape != specs[node.inputs[0]].shape[1:2]:
        return None
    shape = (-1, *[1] * (rank - 2))
    s, t = (each.astype(kind).reshape(shape) for each in (s, bias - mean * s))
    return [_part("multiply", node.inputs[0], s), _part("add", 0, t)]


_SPECIAL = {
    "Clip": _clip, "HardSigmoid": _hard_sigmoid, "Swish": _swish, "Gelu": _gelu, "LeakyRelu": _leaky_relu,
    "PRelu": _prelu, "Pow": _power, "BatchNormalization": _batch_norm,
}  # fmt: skip


# ------------------------------------------------------------------------------------------------- programs


class Program:
    """Nodes that run as one: operands by name, or arrays, and the instructions."""

    def __init__(
        self, nodes: Sequence[Node], specs: Mapping[str, Any], constants: Mapping[str, Array], read: set[str]
    ) -> None:
        """``read``: values that others read."""
        self.nodes = tuple(nodes)
        within = {node.outputs[0] for node in nodes}
        self.outputs = tuple(node.outputs[0] for node in nodes if node.outputs[0] in read)
        self.operands: list[str | Array] = []
        parts: list[tuple[str, Any, Any, float, float]] = []
        made: dict[str, int] = {}
        for node in nodes:
            before = len(parts)
            for operator, x, y, a, b in translated(node, specs, constants) or ():
                operands = [
                    made[each] if isinstance(each, str) and each in within
                    else before + each if isinstance(each, int) else self._operand(each)
                    for each in ((x,) if y is None else (x, y))
                ]  # fmt: skip
                parts.append((operator, operands[0], operands[1] if y is not None else None, a, b))
            made[node.outputs[0]] = len(parts) - 1
        count = len(self.operands)

        def number(operand: Any) -> int:
            return -1 if operand is None else operand[0] if isinstance(operand, tuple) else count + operand

        self.instructions = [Instruction(op, number(x), number(y), a, b) for op, x, y, a, b in parts]
        self.results = [count + made[name] for name in self.outputs]
        self.shapes = [specs[each].shape if isinstance(each, str) else each.shape for each in self.operands]
        self.shape, self.dtype = specs[nodes[0].outputs[0]].shape, specs[nodes[0].outputs[0]].dtype

    def _operand(self, operand: str | Array) -> tuple[int]:
        """Its number; in a tuple, to tell it from an instruction's."""
        for i, each in enumerate(self.operands):
            if each is operand or (isinstance(each, str) and isinstance(operand, str) and each == operand):
                return (i,)
        self.operands.append(operand)
        return (len(self.operands) - 1,)

    def compiled(self, in_place: Sequence[int] = ()) -> Chain:
        """The program for the kernel."""
        return Chain(self.instructions, self.shapes, self.shape, self.results, self.dtype, in_place)


def grouped(graph: Graph, specs: Mapping[str, Any]) -> list[Node | Program]:
    """The nodes in an order in which they can run, element-wise ones of one shape together."""
    return _Groups(graph, specs).ordered()


class _Groups:
    """Sets of nodes as bits of an int: who runs with whom, and who must have run before."""

    def __init__(self, graph: Graph, specs: Mapping[str, Any]) -> None:
        self.nodes, self.specs, self.constants = graph.nodes, specs, graph.constants
        self.outputs = {value.name for value in graph.outputs}
        self.makers = {name: i for i, node in enumerate(self.nodes) for name in node.outputs if name}
        self.readers: dict[str, set[int]] = {}
        for i, node in enumerate(self.nodes):
            for name in filter(None, node.inputs):
                self.readers.setdefault(name, set()).add(i)
        self.group = list(range(len(self.nodes)))  # of each node, by its first member
        self.members: dict[int, list[int]] = {}
        self.mask: dict[int, int] = {}
        self.before: dict[int, int] = {}
        self.programs: dict[int, Program] = {}
        for i in range(len(self.nodes)):
            self._add(i)

    def _add(self, i: int) -> None:
        node = self.nodes[i]
        self.members[i], self.mask[i] = [i], 1 << i
        self.before[i] = 0
        for p in self._makers_of(i):
            self.before[i] |= self.mask[self.group[p]] | self.before[self.group[p]]
        if translated(node, self.specs, self.constants) is None:
            return
        try:
            self.programs[i] = self._program([i])
        except TooLong:
            return
        for p in sorted(self._makers_of(i), reverse=True):
            mine, other = self.group[i], self.group[p]
            if mine != other and other in self.programs and self._alike(mine, other):
                self._join(other, mine)

    def _makers_of(self, i: int) -> set[int]:
        return {self.makers[name] for name in self.nodes[i].inputs if name in self.makers}

    def _alike(self, a: int, b: int) -> bool:
        one, two = self.programs[a], self.programs[b]
        return one.shape == two.shape and one.dtype == two.dtype

    def _join(self, a: int, b: int) -> None:
        """Put two groups together, unless somebody else would have to run between."""
        members = sorted(self.members[a] + self.members[b])
        mask = self.mask[a] | self.mask[b]
        others = {self.group[p] for i in members for p in self._makers_of(i)} - {a, b}
        if len(members) > MOST or any((self.mask[p] | self.before[p]) & mask for p in others):
            return
        try:
            program = self._program(members)
        except TooLong:
            return
        before = (self.before[a] | self.before[b]) & ~mask
        self.programs[a], self.members[a], self.mask[a], self.before[a] = program, members, mask, before
        for table in (self.programs, self.members, self.mask, self.before):
            del table[b]  # type: ignore[attr-defined]
        for i in members:
            self.group[i] = a
        for g, known in self.before.items():
            if known & mask:
                self.before[g] = known | mask | before

    def _program(self, members: list[int]) -> Program:
        inside = set(members)
        read = {
            name for i in members for name in self.nodes[i].outputs
            if name in self.outputs or self.readers.get(name, set()) - inside
        }  # fmt: skip
        program = Program([self.nodes[i] for i in members], self.specs, self.constants, read)
        program.compiled()
        return program

    def ordered(self) -> list[Node | Program]:
        """The groups, each after what it reads; of several that can run, the one whose last node comes first."""
        waiting = sorted(self.members, key=lambda g: self.members[g][-1])
        found: list[Node | Program] = []
        done = 0
        while waiting:
            ready = next(g for g in waiting if not self.before[g] & ~done)
            waiting.remove(ready)
            done |= self.mask[ready]
            found.append(self.programs.get(ready) or self.nodes[ready])
        return found
