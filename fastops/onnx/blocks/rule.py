"""What is known of an operator that sees windows alone, and the table of them; `pixels.py` and `windowed.py` fill it.

The height and width of a value are its last two dimensions, the batch is its first.  A rule says of a node, for whole
images, what `pieces.py` has; a node without one is not local.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ... import cpu
from ..graph import Array, Node
from ..inference import Spec
from ..operators import Call
from .pieces import Piece, Pieces

New = tuple[Node, dict[str, Array]]
"""A node as it is in a block, and constants that it takes there."""


class NotLocal(ValueError):
    """Why a network cannot run by blocks of an image."""


class Rule(NamedTuple):
    """What is known of a node for whole images."""

    outputs: tuple[Spec, ...]
    pieces: tuple[Pieces, Pieces]
    """Along height and along width."""
    scales: tuple[Fraction, Fraction]
    """By how much its outputs have more rows and columns than its inputs."""
    broadcasts: bool
    """Whether its inputs are stretched to its output."""
    rewritten: Callable[[Piece, Piece], New]


class Seen:
    """A node, and what it takes."""

    def __init__(self, node: Node, specs: Mapping[str, Spec], constants: Mapping[str, Array]) -> None:
        self.node, self.specs, self.constants = node, specs, constants
        self.images = [name for name in node.inputs if name and name not in constants]

    def shape(self, i: int = 0) -> tuple[int, ...]:
        return self.specs[self.node.inputs[i]].shape

    def image(self) -> tuple[int, ...]:
        """The shape of input 0, which has to be of images, and the others constants."""
        if self.images != [self.node.inputs[0]] or len(self.shape()) != 4:
            raise NotLocal
        return self.shape()

    def host(self, i: int) -> Array | None:
        """Input i, a constant; None where there is none or it is empty."""
        name = self.node.inputs[i] if i < len(self.node.inputs) else ""
        if name and name not in self.constants:
            raise NotLocal
        return self.constants[name] if name and self.constants[name].size else None

    def ints(self, i: int) -> list[int]:
        array = self.host(i)
        return [] if array is None else [int(each) for each in array.reshape(-1)]

    def call(self, arrays: list[Any]) -> Call:
        known = tuple(not name or name in self.constants for name in self.node.inputs)
        return Call(self.node, cpu, np, tuple(arrays), known)

    def whole(self) -> Call:
        """The node in a call on whole images, of which none has memory."""
        return self.call([
            None if not name else self.constants[name] if name in self.constants
            else np.broadcast_to(np.zeros((), self.specs[name].dtype), self.specs[name].shape)
            for name in self.node.inputs
        ])  # fmt: skip

    def inner(self, axes: list[int], rank: int | None = None) -> list[int]:
        """Dimensions counted from 0, if they are neither the batch, nor height and width."""
        rank = len(self.shape()) if rank is None else rank
        found = [axis % rank for axis in axes]
        if any(axis in (0, rank - 2, rank - 1) for axis in found):
            raise NotLocal
        return found

    def with_attributes(self, **attributes: Any) -> Node:
        return replace(self.node, attributes={**self.node.attributes, **attributes})

    def with_input(self, i: int, values: list[int], **attributes: Any) -> New:
        """The node with a constant of its own as input i."""
        name = f"{self.node.label} {i}: {','.join(map(str, values))}"
        inputs = list(self.node.inputs) + [""] * (i + 1 - len(self.node.inputs))
        inputs[i] = name
        return replace(self.with_attributes(**attributes), inputs=tuple(inputs)), {name: np.array(values, np.int64)}

    def unchanged(self, rows: Piece, columns: Piece) -> New:
        return self.node, {}


ONE = Fraction(1)
RULES: dict[str, Callable[[Seen], Rule]] = {}


def rule(*names: str) -> Callable[[Callable[[Seen], Rule]], Callable[[Seen], Rule]]:
    def put(function: Callable[[Seen], Rule]) -> Callable[[Seen], Rule]:
        RULES.update(dict.fromkeys(names, function))
        return function

    return put


def rule_of(node: Node, specs: Mapping[str, Spec], constants: Mapping[str, Array]) -> Rule:
    """The rule of a node; NotLocal says that it has none."""
    if node.domain or node.op_type not in RULES:
        raise NotLocal
    return RULES[node.op_type](Seen(node, specs, constants))
