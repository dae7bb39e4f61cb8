"""Makes the schedule of a network for one set of input shapes, without running it.

Convolutions take in what follows them, element-wise operators run in chains, concatenations are written by those that
make their parts, and what is left has memory of one arena.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from .. import cpu
from ..cpu.chain import Chain, TooLong
from ..cpu.contiguous import copy, copy_part
from .buffers import Memory, arranged, lives
from .fusion.elementwise import Program, grouped
from .fusion.epilogue import with_epilogues
from .fusion.inverted import INVERTED, with_inverted_residuals
from .fusion.inverted import step as inverted_residual
from .graph import Array, Graph, Node
from .inference import Inferred, Spec, inferred, made
from .operators import Call
from .operators import Step as Function
from .operators.convolutions import geometry
from .operators.table import Filling, Kept, kept_of
from .pages import aligned
from .plan import operations
from .schedule import Buffers, Held, Lent, Schedule, Step


@dataclass(eq=False)
class Task:
    """A step before it has memory: values that it makes and reads, in the order in which its function takes them."""

    node: Node
    run: Function | None
    makes: tuple[str, ...]
    reads: tuple[Any, ...]
    """Names, "" for None, or arrays."""
    program: Program | None = None
    operations: int = 0

    def names(self) -> list[str]:
        """The values that it reads."""
        return [each for each in self.reads if isinstance(each, str) and each]


def scheduled(
    graph: Graph, arrays: list[Array], precision: str, kept: Kept, entered: dict[str, Array]
) -> Schedule | None:
    """The schedule for inputs of these shapes; None where the network has to be run to know its shapes.

    ``kept`` and ``entered``, weights as kernels want them, are shared by all schedules of a network.
    """
    inputs = {
        value.name: Spec(tuple(array.shape), array.dtype) for value, array in zip(graph.inputs, arrays, strict=True)
    }
    found = inferred(graph, inputs, precision, kept)
    return None if found is None else _Scheduler(found, graph, inputs, precision, kept, entered).schedule()


class _Scheduler:
    """Makes a schedule of what is known of a network."""

    def __init__(
        self, found: Inferred, graph: Graph, inputs: dict[str, Spec], precision: str, kept: Kept,
        entered: dict[str, Array],
    ) -> None:  # fmt: skip
        self.specs, self.views, self.functions = found.specs, found.views, found.functions
        self.inputs, self.precision, self.kept = inputs, precision, kept
        self.own, self.entered_for_all = graph.constants, entered
        self.entered_here: dict[str, Array] = {}
        self.graph = with_epilogues(found.graph, found.specs)
        self.constants = self.graph.constants
        self.graph = with_inverted_residuals(self.graph, self._geometry)
        self.results = [value.name for value in self.graph.outputs]
        self.memory = Memory(self.specs)
        self.tasks: list[Task] = []

    def schedule(self) -> Schedule:
        for name in self.inputs:
            self.memory.add(name, fixed=True)
        for each in grouped(self.graph, self.specs):
            self._add(each)
        slots = self._outputs()
        self._place_concats()
        chains = self._chains()
        spans = lives(self.memory, [task.makes for task in self.tasks], [
            [name for name in task.names() if name not in self.constants] for task in self.tasks
        ])  # fmt: skip
        sizes = {root: prod(self.specs[root].shape) * self.specs[root].dtype.itemsize for root in spans}
        places, total = arranged(sizes, spans)
        runs = [self._run(i, task, chains) for i, task in enumerate(self.tasks)]
        steps = [
            Step(task.node, run, tuple(self.specs[name].shape for name in task.makes), task.operations)
            for task, run in zip(self.tasks, runs, strict=True)
        ]
        outputs = [self.specs[name] for name in self.results]
        held = tuple(Held(tuple(self.memory.members(root)), places[root], sizes[root], *spans[root]) for root in spans)
        return Schedule(self.graph.name, steps, outputs, lambda: self._bound(runs, places, total, slots), total, held)

    # --------------------------------------------------------------------------------------------- tasks

    def _add(self, each: Node | Program) -> None:
        """Note what a node, or a chain of them, makes and reads."""
        if isinstance(each, Program):
            for name in each.outputs:
                self.memory.add(name)
            node = _named(each.nodes)
            self.tasks.append(Task(node, None, each.outputs, tuple(each.operands), each))
            return
        node = each
        names = [name for name in node.outputs if name]
        if names and all(name in self.views and self.views[name].of in self.memory for name in names):
            for name in names:
                self.memory.view(name, *self.views[name])
            return
        for name in names:
            self.memory.add(name)
        function = self.functions.get(node.outputs)
        if node.op_type == INVERTED:
            function = inverted_residual(self._call(node))
        elif function is None or node.op_type in ("Conv", "ConvTranspose"):
            function = made(self._call(node))
        arrays = tuple(self.specs[name] if name else None for name in node.inputs)
        results = tuple(self.specs[name] for name in names)
        run = _filling(function, len(names), [i for i, name in enumerate(node.outputs) if name])
        work = operations(node, arrays, results)
        self.tasks.append(Task(_named((node,)), run, tuple(names), node.inputs, None, work))

    def _geometry(self, node: Node) -> Any:
        """The sizes of a Conv of images of two dimensions."""
        return geometry(self._call(node)) if len(self.specs[node.inputs[0]].shape) == 4 else None

    def _call(self, node: Node) -> Call:
        arrays = tuple(
            None if not name else self.constants[name] if name in self.constants else np.broadcast_to(
                np.zeros((), self.specs[name].dtype), self.specs[name].shape)
            for name in node.inputs
        )  # fmt: skip
        known = tuple(not name or name in self.constants for name in node.inputs)
        return Call(node, cpu, np, arrays, known, self.precision, kept_of(self.kept, node, self.own))

    def _outputs(self) -> dict[str, int]:
        """The slots of a call's own arrays, by root: the inputs, then the outputs, which steps write straight into.

        What others could see the memory of is copied.
        """
        slots = {name: i for i, name in enumerate(self.inputs)}
        for i, name in enumerate(self.results):
            slot = len(self.inputs) + i
            if name in self.memory and self.memory.whole(name):
                root = self.memory.place(name).root
                self.memory.fixed.add(root)
                slots[root] = slot
                continue
            label = f"output {i}"
            while label in self.memory or label in self.constants:
                label += "'"
            self.specs[label] = self.specs[name]
            self.memory.add(label, fixed=True)
            slots[label] = slot
            copied = Node("Copy", f"{name} to its output", (name,), (label,))
            self.tasks.append(Task(copied, _copied, (label,), (name,)))
        return slots

    # ---------------------------------------------------------------------------------------- shared memory

    def _place_concats(self) -> None:
        """Let what a Concat joins be written where it belongs, as far as its parts lie there in one piece."""
        for task in list(self.tasks):
            if task.node.op_type != "Concat":
                continue
            (out,) = task.makes
            shape, names = self.specs[out].shape, task.names()
            axis = int(task.node.attributes.get("axis", 1)) % len(shape)
            starts = np.cumsum([0, *(self.specs[name].shape[axis] for name in names)]).tolist()
            left, i = [], 0
            while i < len(names):
                together = self._together(out, names, i) if prod(shape[:axis]) == 1 else 0
                if together:
                    place = self.memory.place(out)
                    self.memory.join(names[i], place.root, place.first + starts[i] * prod(shape[axis + 1 :]))
                else:
                    left.append((names[i], starts[i]))
                i += together or 1
            if not left:
                self.tasks.remove(task)
            task.run = _joined(axis, tuple(start for _, start in left))
            task.reads = tuple(name for name, _ in left)

    def _together(self, out: str, names: list[str], i: int) -> int:
        """How many of a Concat's inputs, from i on, are one after the other all of a root that can be put elsewhere."""
        if names[i] not in self.memory or self.specs[names[i]].dtype != self.specs[out].dtype:
            return 0
        root, size = self.memory.place(names[i]).root, 0
        if root in self.memory.fixed or root == self.memory.place(out).root:
            return 0
        for count, name in enumerate(names[i:], 1):
            if name not in self.memory or self.memory.place(name) != (root, size):
                return 0
            size += prod(self.specs[name].shape)
            if size == prod(self.specs[root].shape):
                return count
        return 0

    def _chains(self) -> dict[int, Chain]:
        """The compiled chains; their outputs take the memory of operands that nobody reads later."""
        last: dict[str, int] = {}
        for number, task in enumerate(self.tasks):
            for name in (*task.makes, *task.names()):
                if name in self.memory:
                    last[self.memory.place(name).root] = number
        found = {}
        for number, task in enumerate(self.tasks):
            if task.program is None:
                continue
            taken: list[int] = []
            for out in task.makes:
                free = (i for i in range(len(task.reads)) if i not in taken and self._dies(task, i, out, last, number))
                taken.append(next(free, -1))
            try:
                found[number] = task.program.compiled(taken)
            except TooLong:
                taken = [-1] * len(taken)
                found[number] = task.program.compiled()
            for out, i in zip(task.makes, taken, strict=True):
                if i >= 0:
                    root, old = self.memory.place(str(task.reads[i])).root, self.memory.place(out).root
                    last[root] = last.pop(old)
                    self.memory.join(out, root, 0)
        return found

    def _dies(self, task: Task, i: int, out: str, last: dict[str, int], number: int) -> bool:
        """Whether operand i can give its memory to an output."""
        name = task.reads[i]
        if not isinstance(name, str) or name not in self.memory or not self.memory.whole(name):
            return False
        root, given, made = self.memory.place(name).root, self.specs[name], self.specs[out]
        if given.dtype != made.dtype or prod(given.shape) != prod(made.shape) or last[root] != number:
            return False
        others = [each for k, each in enumerate(task.reads) if k != i and isinstance(each, str) and each in self.memory]
        alone = all(self.memory.place(each).root != root for each in (*others, out))
        return alone and self.memory.whole(out)

    # ------------------------------------------------------------------------------------------------ binding

    def _run(self, number: int, task: Task, chains: dict[int, Chain]) -> Function:
        if all(prod(self.specs[name].shape) == 0 for name in task.makes):
            return _nothing
        if task.program is not None:
            return chains[number].run
        assert task.run is not None
        return task.run

    def _bound(self, runs: list[Function], places: dict[str, int], total: int, slots: dict[str, int]) -> Buffers:
        """Memory for one call at a time, and the steps' arguments in it."""
        raw = np.empty(total + 64, np.uint8)
        arena = raw[-raw.__array_interface__["data"][0] % 64 :]
        lent: dict[str, Lent] = {}
        calls: list[tuple[Function, list[Any]]] = []

        def own(name: str) -> Lent:
            if name not in lent:
                root, first = self.memory.place(name)
                lent[name] = Lent(slots[root], first, self.specs[name], [], [])
            return lent[name]

        for task, run in zip(self.tasks, runs, strict=True):
            given: list[Any] = [self._array(each, arena, places) for each in (*task.makes, *task.reads)]
            fixed = [
                (i, each) for i, each in enumerate((*task.makes, *task.reads))
                if isinstance(each, str) and each in self.memory and self.memory.place(each).root in self.memory.fixed
            ]  # fmt: skip
            if task.program is not None and run is not _nothing:
                addresses = np.array([0 if each is None else _address(each) for each in given], np.int64)
                for i, name in fixed:
                    own(name).addresses.append((addresses, i))
                calls.append((run, [addresses]))
                continue
            for i, name in fixed:
                own(name).arguments.append((given, i))
            calls.append((run, given))
        return Buffers(calls, list(lent.values()), raw, [])

    def _array(self, each: Any, arena: Array, places: dict[str, int]) -> Array | None:
        """An array for a value of the arena, or a constant; None for what a call brings."""
        if not isinstance(each, str):
            return each  # type: ignore[no-any-return]
        if not each:
            return None
        if each not in self.memory:
            entered = self.entered_for_all if each in self.own else self.entered_here
            if each not in entered:
                entered[each] = cpu.enter(aligned(self.constants[each]))
            return entered[each]
        root, first = self.memory.place(each)
        if root in self.memory.fixed:
            return None
        spec = self.specs[each]
        start = places[root] + first * spec.dtype.itemsize
        return arena[start : start + prod(spec.shape) * spec.dtype.itemsize].view(spec.dtype).reshape(spec.shape)


def _named(nodes: tuple[Node, ...]) -> Node:
    """A node that stands for several, or for a convolution and what it has taken in."""
    first, last = nodes[0], nodes[-1]
    if len(nodes) > 1:
        kinds = " + ".join(node.op_type for node in nodes)
        return Node(kinds, last.label, (), last.outputs)
    if first.op_type in ("Conv", "ConvTranspose"):
        more = " + Add" if len(first.inputs) > 3 else ""
        activation = first.attributes.get("activation")
        more += f" + {activation[0]}" if activation else ""
        return Node(first.op_type + more, first.name, first.inputs, first.outputs, first.attributes)
    return first


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _nothing(*arrays: Any) -> None:
    """Of outputs without elements there is nothing to make."""


def _copied(out: Array, x: Array) -> None:
    copy(out, x)


def _joined(axis: int, starts: tuple[int, ...]) -> Function:
    """Copies of arrays to their places along a dimension."""

    def run(out: Array, *arrays: Array) -> None:
        for start, array in zip(starts, arrays, strict=True):
            copy_part(out, array, axis, start)

    return run


def _filling(function: Function, count: int, outputs: list[int]) -> Function:
    """A step's function as one that fills the arrays that come first."""
    if isinstance(function, Filling):
        return function.fill
    if count == 1 and outputs == [0]:

        def fill(out: Array, *arrays: Any) -> None:
            result = function(*arrays)
            result = result[0] if isinstance(result, tuple) else result
            copy(out, np.asarray(result))

        return fill

    def fill_all(*arrays: Any) -> None:
        results = function(*arrays[count:])
        for out, number in zip(arrays[:count], outputs, strict=True):
            copy(out, np.asarray(results[number]))

    return fill_all
