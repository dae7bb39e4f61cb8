"""A plan: the steps of a network for one set of input shapes.

It is made by running the network once: each node's step sees real arrays, so that what depends on shapes and constants
alone is worked out then and there and leaves no step.  A plan does not change afterwards, and may run in any number of
threads: each call has a list of slots, one for each value, of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from .. import cpu
from .._backend import Array, Backend
from .graph import Graph, Node
from .operators import OPERATORS, Call
from .operators import Step as Function
from .operators.table import Kept, kept_of
from .simplify import TROUBLES, evaluated, failed, listed, run


@dataclass
class Step:
    """One call of a function: which slots it reads, which it fills, and which nobody needs after it."""

    node: Node
    run: Function
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    """Of its outputs."""
    operations: int
    """Floating-point multiplications and additions, of convolutions and products; 0 elsewhere."""
    many: bool
    """Whether the function gives a tuple."""
    frees: tuple[int, ...] = ()


@dataclass
class Plan:
    """Steps, what is in the slots before the first one, and where inputs and outputs are."""

    network: str
    steps: list[Step]
    slots: list[Array | None]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    copies: tuple[bool, ...]
    """Which outputs are copied, because others could see their memory."""
    reusable: bool
    """Whether it is good for other elements of the same shapes."""
    on: Backend = field(repr=False)

    def __call__(self, arrays: list[Array], timed: Callable[[Step, Any], Any] | None = None) -> tuple[Array, ...]:
        """The outputs of a call; ``timed``, if given, runs each step's function."""
        slots = list(self.slots)
        for slot, array in zip(self.inputs, arrays, strict=True):
            slots[slot] = array
        with np.errstate(all="ignore"):
            for step in self.steps:
                given = [slots[i] for i in step.inputs]
                try:
                    result = step.run(*given) if timed is None else timed(step, given)
                except TROUBLES as trouble:
                    raise failed(self.network, step.node, given, trouble) from trouble
                if step.many:
                    for slot, each in zip(step.outputs, result, strict=False):
                        slots[slot] = each
                else:
                    slots[step.outputs[0]] = result
                for slot in step.frees:
                    slots[slot] = None
        return self.taken([slots[i] for i in self.outputs])

    def taken(self, arrays: list[Any]) -> tuple[Array, ...]:
        """The outputs, in memory of their own."""
        return tuple(_copy(each) if copy else each for each, copy in zip(arrays, self.copies, strict=True))


class Planner:
    """Runs a graph once, and writes down what it did."""

    def __init__(self, graph: Graph, on: Backend, xp: Any, precision: str, to_device: Callable[[str, Array], Any],
                 kept: Kept):  # fmt: skip
        self.graph, self.on, self.xp, self.precision = graph, on, xp, precision
        self.to_device, self.kept = to_device, kept
        self.values: dict[str, Any] = dict(graph.constants)
        self.constant = set(graph.constants)
        self.slot_of: dict[str, int] = {"": 0}  # slot 0 is what is left out
        self.slots: list[Array | None] = [None]
        self.steps: list[Step] = []
        self.reusable = True
        self.fresh: set[str] = set()
        """Values in memory of their own, which nothing but the step that made them has seen."""

    def plan(
        self, arrays: list[Array], show: Callable[[int, int, Node], None] | None = None
    ) -> tuple[Plan, tuple[Array, ...]]:
        """(the plan, the outputs of this call); ``show``, if given, is told of each node."""
        names = [value.name for value in self.graph.inputs]
        for name, array in zip(names, arrays, strict=True):
            self.values[name] = array
        inputs = tuple(self._slot(name) for name in names)
        made = [value.name for value in self.graph.outputs]
        needed = {*made, *names, *self.graph.constants}
        last = {name: node for node in self.graph.nodes for name in (*node.outputs, *node.inputs)}
        for number, node in enumerate(self.graph.nodes, 1):
            if show is not None:
                show(number, len(self.graph.nodes), node)
            self._add(node)
            for name in {*node.inputs, *node.outputs} - needed:
                if last[name] is node and name not in self.constant:
                    self.values.pop(name, None)  # as a later call does, so that no more of them are in memory
        outputs = tuple(self._slot(name) for name in made)
        arrays_out = [self.slots[slot] if name in self.constant else self.values[name]
                      for name, slot in zip(made, outputs, strict=True)]  # fmt: skip
        kept = {slot for slot, array in enumerate(self.slots) if array is not None} | {*inputs, *outputs, 0}
        _free(self.steps, kept)
        copies = tuple(
            name not in self.fresh or slot in outputs[:i]
            for i, (name, slot) in enumerate(zip(made, outputs, strict=True))
        )
        plan = Plan(self.graph.name, self.steps, self.slots, inputs, outputs, copies, self.reusable, self.on)
        return plan, plan.taken(arrays_out)

    def _add(self, node: Node) -> None:
        operator = OPERATORS[node.op_type]
        known = tuple(not name or name in self.constant for name in node.inputs)
        arrays = tuple(self.values[name] if name else None for name in node.inputs)
        if all(known):
            self._know(node, evaluated(self.graph.name, node, arrays))
            return
        if operator.of_shapes:
            self._know(node, listed(run(self.graph.name, node, Call(node, cpu, np, arrays, known))[1]))
            return
        if self.on is not cpu:
            arrays = tuple(
                self._on_device(name) if name in self.constant else array
                for name, array in zip(node.inputs, arrays, strict=True)
            )
        call = Call(
            node, self.on, self.xp, arrays, known, self.precision, kept_of(self.kept, node, self.graph.constants)
        )
        step, outputs = run(self.graph.name, node, call)
        self.reusable = self.reusable and not call.depends
        call.arrays = ()  # which a step must not keep
        results, many = listed(outputs), isinstance(outputs, tuple)
        if any(isinstance(each, np.generic) for each in results):
            step, results, many = _as_arrays(step, self.xp), tuple(self.xp.asarray(each) for each in results), True
        for name, array in zip(node.outputs, results, strict=False):
            if name:
                self.values[name] = array
                if _owns(array) and not any(array is each for each in arrays):
                    self.fresh.add(name)
        self.steps.append(Step(
            node, step, tuple(self._slot(name) for name in node.inputs),
            tuple(self._new_slot(name) for name in node.outputs), tuple(tuple(each.shape) for each in results),
            operations(node, arrays, results), many,
        ))  # fmt: skip

    def _know(self, node: Node, results: tuple[Array, ...]) -> None:
        for name, array in zip(node.outputs, results, strict=False):
            if name:
                self.values[name] = array
                self.constant.add(name)

    def _on_device(self, name: str) -> Any:
        return self.to_device(name, self.values[name])

    def _slot(self, name: str) -> int:
        """The slot of a value, which holds a constant from the beginning."""
        if name not in self.slot_of:
            slot = self._new_slot(name)
            if name in self.constant:
                # as kernels know arrays, once and not at each call: read-only memory, too, which they never write to
                self.slots[slot] = cpu.enter(self.values[name]) if self.on is cpu else self._on_device(name)
        return self.slot_of[name]

    def _new_slot(self, name: str) -> int:
        self.slots.append(None)
        if name:
            self.slot_of[name] = len(self.slots) - 1
        return len(self.slots) - 1


def _as_arrays(step: Function, xp: Any) -> Function:
    """NumPy gives numbers where arrays of no dimension are due."""

    def run(*arrays: Any) -> Any:
        return tuple(xp.asarray(each) for each in listed(step(*arrays)))

    return run


def _free(steps: list[Step], kept: set[int]) -> None:
    """Let each slot go after the step that reads it last, or that fills it, if nobody does."""
    seen = set(kept)
    for step in reversed(steps):
        step.frees = tuple({*step.inputs, *step.outputs} - seen)
        seen.update(step.frees)


def _owns(array: Any) -> bool:
    """Whether the memory is the array's alone, and in order."""
    return array.base is None and array.flags.c_contiguous


def _copy(array: Any) -> Any:
    return array.copy(order="C")


def operations(node: Node, arrays: tuple[Any, ...], results: tuple[Any, ...]) -> int:
    """What a convolution or a product multiplies and adds."""
    if node.op_type in ("Conv", "ConvTranspose"):
        pixels = results[0] if node.op_type == "Conv" else arrays[0]
        return 2 * prod(pixels.shape) * prod(arrays[1].shape[1:])
    if "block" in node.attributes:  # convolutions that are one node
        return 2 * int(node.attributes["block"].products)
    if node.op_type == "MatMul":
        return 2 * prod(results[0].shape) * arrays[0].shape[-1]
    if node.op_type == "Gemm":
        return 2 * prod(results[0].shape) * arrays[0].shape[0 if node.attributes.get("transA") else 1]
    return 0
