"""The one table of operators, and what an operator is handed when a step is made of a node.

An operator is a function of a `Call` that gives a function of arrays: the first looks once at the attributes, shapes
and constants of a node, the second runs at each call of the network, and has nothing to look up any more.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..._backend import Array, Backend
from ..graph import Constants, Node

Step = Callable[..., Any]
"""From a node's input arrays, None for those left out at its middle, to its output, or a tuple of its outputs."""

Kept = dict[Any, dict[Any, Any]]
"""Weights as kernels want them, by name and use: of a network's own constants, which are the same in all its plans."""


def kept_of(kept: Kept, node: Node, own: Constants) -> Kept:
    """Where a node keeps its weights: not beside the network's own if they follow the shape of an input."""
    return kept if all(name in own for name in filter(None, node.inputs[1:])) else {}


class Bindable:
    """A function of arrays; ``bind`` of the same arrays gives what does it again, or None."""

    __slots__ = ("bind", "function")

    def __init__(self, function: Step, bind: Callable[..., Callable[[], None] | None]) -> None:
        self.function, self.bind = function, bind

    def __call__(self, *arrays: Any) -> Any:
        return self.function(*arrays)


class Filling:
    """A step of one output whose shape is known: it may also be handed the memory to fill.

    ``fill(out, *arrays)`` takes C-contiguous arrays.
    """

    def __init__(self, on: Backend, shape: tuple[int, ...], dtype: Any, fill: Step) -> None:
        self.on, self.shape, self.dtype, self.fill = on, shape, dtype, fill

    def __call__(self, *arrays: Any) -> Any:
        out = self.on.empty(self.shape, self.dtype)
        if out.size:
            self.fill(out, *(None if each is None else contiguous(self.on, each) for each in arrays))
        return out


class Call:
    """A node in a call: its arrays, and which of them are the same in every call of these shapes."""

    def __init__(
        self, node: Node, on: Backend, xp: Any, arrays: tuple[Array | None, ...], constant: tuple[bool, ...],
        precision: str = "exact", kept: Kept | None = None,
    ) -> None:  # fmt: skip
        self.node, self.on, self.xp = node, on, xp
        self.arrays, self.constant = arrays, constant
        self.fast = precision == "fast"
        self._kept = {} if kept is None else kept
        self.depends = False
        """Whether the step was made for the values of an input, and is none for other values."""

    def has(self, i: int) -> bool:
        """Whether the node has input i."""
        return i < len(self.arrays) and self.arrays[i] is not None

    def shape(self, i: int = 0) -> tuple[int, ...]:
        return tuple(self._array(i).shape)

    def shapes(self) -> list[tuple[int, ...]]:
        """Of all inputs."""
        return [self.shape(i) for i in range(len(self.arrays))]

    def dtype(self, i: int = 0) -> np.dtype[Any]:
        return np.dtype(self._array(i).dtype)

    def is_float(self, i: int = 0) -> bool:
        """Whether input i is one that our kernels take."""
        return self.dtype(i).char in "fd"

    def is_constant(self, i: int) -> bool:
        return i < len(self.constant) and self.constant[i]

    def host(self, i: int) -> np.ndarray[Any, Any]:
        """Input i as a NumPy array: a shape, axes, a bound.  If it is no constant, the step is for this call alone."""
        array = self._array(i)
        if not self.constant[i]:
            self.depends = True
        return np.asarray(array.get()) if hasattr(array, "get") else np.asarray(array)

    def ints(self, i: int) -> list[int]:
        """Input i as a list of ints."""
        return [int(each) for each in self.host(i).reshape(-1)]

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.node.attributes.get(name, default)

    def kept(self, i: int, *options: Any) -> dict[Any, Any] | None:
        """Where the constant input i is kept as a kernel wants it, by all plans of a network; None if it is none."""
        if not self.is_constant(i):
            return None
        return self._kept.setdefault((self.on.kind, self.node.op_type, self.node.inputs[i], *options), {})

    def _array(self, i: int) -> Any:
        if not self.has(i):
            raise ValueError(f"expects an input {i}, and it has none")
        return self.arrays[i]


class Operator(NamedTuple):
    """What we know of an operator."""

    make: Callable[[Call], Step]
    refused: Callable[[Node, Constants], str]
    """What we cannot do of a node, as "mode 'cubic'", or ""; asked when a file is loaded."""
    of_shapes: bool
    """Whether its result depends on nothing but shapes."""


OPERATORS: dict[str, Operator] = {}


def operator(
    *names: str, refused: Callable[[Node, Constants], str] = lambda node, constants: "", of_shapes: bool = False
) -> Callable[[Callable[[Call], Step]], Callable[[Call], Step]]:
    """Put a function into the table, under one or several names; several see theirs as ``call.node.op_type``."""

    def put(make: Callable[[Call], Step]) -> Callable[[Call], Step]:
        for name in names:
            OPERATORS[name] = Operator(make, refused, of_shapes)
        return make

    return put


def contiguous(on: Backend, array: Array) -> Array:
    """An array as kernels take it."""
    return array if type(array) is np.ndarray and array.flags.carray else on.enter(array)


def fits(shape: Sequence[int]) -> Sequence[int]:
    """A shape that a file asks for, if a terabyte could hold it: a larger one is a broken file's."""
    if prod(shape) > 2**37 or min(shape, default=0) < 0:
        raise ValueError(f"expects an output that memory can hold, got shape {tuple(shape)}")
    return shape


def axis_of(axis: int, rank: int) -> int:
    """A dimension counted from 0; one more than there are is refused."""
    if not -rank <= axis < rank:
        raise ValueError(f"expects an axis from {-rank} to {rank - 1}, got {axis}")
    return axis % rank
