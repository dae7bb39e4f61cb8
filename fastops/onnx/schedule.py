"""A plan for the CPU whose steps are bound to their memory: a call runs kernels, and looks nothing up.

All values that are not inputs or outputs of a call lie in one arena.  Calls at the same time have an arena each; an
arena stays for the next call.  `scheduler.py` makes a schedule.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .. import cpu
from .graph import Array, Node
from .inference import Spec
from .operators import Bindable
from .operators import Step as Function
from .simplify import TROUBLES, failed


class Step(NamedTuple):
    """One call of a function."""

    node: Node
    """What it does; of several nodes one that names them all."""
    run: Function
    shapes: tuple[tuple[int, ...], ...]
    """Of its outputs."""
    operations: int


class Held(NamedTuple):
    """A part of the arena while values lie in it."""

    names: tuple[str, ...]
    first_byte: int
    bytes: int
    first_step: int
    last_step: int
    """Both included; what is neither before nor after them is free for others."""


class Lent(NamedTuple):
    """A place in the arguments of steps where a call's own array, or a part of it, goes."""

    which: int
    """Of the inputs and then the outputs."""
    first: int
    spec: Spec
    arguments: list[tuple[list[Any], int]]
    addresses: list[tuple[Array, int]]


class Buffers(NamedTuple):
    """All memory of one call, and the functions bound to it."""

    calls: list[tuple[Function, list[Any]]]
    lent: list[Lent]
    arena: Array
    quick: list[tuple[Function, list[Any]]]
    """The same calls, with less on the way; empty before the first one."""


@dataclass
class Schedule:
    """The steps of a network for one set of input shapes, on the CPU."""

    network: str
    steps: list[Step]
    outputs: list[Spec]
    bind: Callable[[], Buffers] = field(repr=False)
    arena_bytes: int
    arena: tuple[Held, ...]
    reusable: bool = True
    on: Any = field(default=cpu, repr=False)
    _free: list[Buffers] = field(default_factory=list, repr=False)

    def __call__(self, arrays: list[Array], timed: Callable[[Step, Any], Any] | None = None) -> tuple[Array, ...]:
        """The outputs of a call; ``timed``, if given, runs each step's function."""
        try:
            buffers = self._buffers()
            outputs = [np.empty(spec.shape, spec.dtype) for spec in self.outputs]
        except MemoryError as trouble:
            raise MemoryError(f"{self.network}: {trouble}") from trouble
        _lend(buffers.lent, arrays + outputs)
        number = 0
        try:
            with np.errstate(all="ignore"):
                if timed is not None:
                    for number, (_, given) in enumerate(buffers.calls):
                        timed(self.steps[number], given)
                else:
                    for number, (function, given) in enumerate(buffers.quick or buffers.calls):  # noqa: B007
                        function(*given)
                    if not buffers.quick:
                        buffers.quick.extend(_quick(buffers))
        except TROUBLES as trouble:
            shaped = [each for each in buffers.calls[number][1] if hasattr(each, "shape")]
            raise failed(self.network, self.steps[number].node, shaped, trouble) from trouble
        finally:
            for lent in buffers.lent:
                for given, i in lent.arguments:
                    given[i] = None
        self._free.append(buffers)
        return tuple(outputs)

    def rest(self) -> None:
        """Give back the memory of calls that are over."""
        self._free.clear()

    def _buffers(self) -> Buffers:
        """Memory that no other thread has."""
        try:
            return self._free.pop()
        except IndexError:
            return self.bind()

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a schedule is made anew where a network is copied")


def _quick(buffers: Buffers) -> list[tuple[Function, list[Any]]]:
    """The calls after the first one: those whose arrays are the same in every call are bound to them."""
    own = {id(given) for lent in buffers.lent for given, _ in lent.arguments}
    found: list[tuple[Function, list[Any]]] = []
    for function, given in buffers.calls:
        bound = function.bind(*given) if isinstance(function, Bindable) and id(given) not in own else None
        found.append((function, given) if bound is None else (bound, []))
    return found


def _lend(lent: list[Lent], arrays: list[Array]) -> None:
    """Put a call's own arrays where steps take them."""
    for which, first, spec, arguments, addresses in lent:
        array = arrays[which]
        if first or array.shape != spec.shape:
            array = array.reshape(-1)[first : first + prod(spec.shape)].reshape(spec.shape)
        for given, i in arguments:
            given[i] = array
        if addresses:
            address = array.__array_interface__["data"][0]
            for given_addresses, i in addresses:
                given_addresses[i] = address
