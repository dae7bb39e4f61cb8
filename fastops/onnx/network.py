"""load() and Network: what users have of a trained network."""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from .. import _arrays, _options, cpu
from .._backend import Array, Backend
from . import reader
from .blocks import Blocks
from .fusion import fused
from .fusion.epilogue import with_epilogues
from .graph import Constants, Graph, Node, Value
from .operators import OPERATORS
from .operators.table import Kept
from .pages import let_go
from .plan import Plan, Planner
from .profile import Profile, profiled
from .progress import Line, first_call
from .schedule import Schedule
from .scheduler import scheduled
from .simplify import simplified

PLANS = 8
"""How many plans a network keeps, those used last."""


def load(model: Any, *, precision: str = "exact") -> "Network":
    """Read a trained network from an ONNX file.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        Data that the file has beside itself must lie in its folder.
    precision : {'exact', 'fast'}
        Of its convolutions, as `fastops.conv2d` has it.

    Returns
    -------
    Network

    Raises
    ------
    FileNotFoundError
        There is no such file, or data beside it is absent.
    ValueError
        The file is broken, or data lies outside its folder.
    NotImplementedError
        The network has operators that fastops lacks: all of them are named.
    TypeError
        ``model`` is none of these.

    References
    ----------
    https://onnx.ai/onnx/intro/concepts.html

    Examples
    --------
    >>> import numpy as np, fastops.onnx
    >>> from onnx import parser
    >>> model = parser.parse_model('''<ir_version: 8, opset_import: ["" : 17]>
    ... double (float[N] x) => (float[N] y) { y = Add(x, x) }''')
    >>> network = fastops.onnx.load(model)
    >>> network(np.array([1, 2], np.float32))
    array([2., 4.], dtype=float32)
    """
    _options.choice("load", "precision", precision, ("exact", "fast"))
    graph = reader.read(model)
    check(graph)
    network = Network(fused(simplified(graph)), precision)
    for array in graph.constants.values():
        let_go(array)
    return network


def load_plain(model: Any, *, precision: str = "exact") -> "Network":
    """`load` without fusion: every node a step, as tests and comparisons want it."""
    graph = reader.read(model)
    check(graph)
    return Network(simplified(graph), precision, fuse=False)


def check(graph: Graph) -> None:
    """Refuse a graph with operators that we lack: one sentence names all of them."""
    lacking = [told for node in graph.nodes if (told := _lacking(node, graph.constants))]
    if lacking:
        counted = "a node" if len(lacking) == 1 else f"{len(lacking)} nodes"
        raise NotImplementedError(f"{graph.name}: {counted} cannot run here: {', '.join(lacking)}")


def _lacking(node: Node, constants: Constants) -> str:
    if node.domain or node.op_type not in OPERATORS:
        return str(node)
    refused = OPERATORS[node.op_type].refused(node, constants)
    return f"{node} with {refused}" if refused else ""


class Network:
    """A trained network that runs on arrays; `load` makes one.

    ``network(x, y)`` takes arrays in the order of ``inputs``, ``network(**{"name": x})`` by their names, and gives one
    array, or a tuple in the order of ``outputs``.
    """

    def __init__(self, graph: Graph, precision: str = "exact", fuse: bool = True) -> None:
        self._graph, self._precision, self._fuse = graph, precision, fuse
        self._lock = threading.Lock()
        self._plans: OrderedDict[Any, Plan | Schedule] = OrderedDict()
        self._kept: Kept = {}
        self._entered_weights: dict[str, Array] = {}
        self._on_device: dict[Any, Any] = {}

    @property
    def name(self) -> str:
        """The file's name, or that of the graph."""
        return self._graph.name

    @property
    def inputs(self) -> tuple[Value, ...]:
        """(name, dtype, shape or None) of each input, as the file declares it."""
        return self._graph.inputs

    @property
    def outputs(self) -> tuple[Value, ...]:
        """(name, dtype, shape or None) of each output, as the file declares it."""
        return self._graph.outputs

    def __call__(self, /, *arrays: Array, **named: Array) -> Any:
        """The outputs for input arrays, NumPy's, CuPy's or dask's, for which they are lazy.

        Parameters
        ----------
        *arrays : arrays
            In the order of ``inputs``.
        **named : arrays
            Those that did not come in order, by name.

        Returns
        -------
        array, or tuple of arrays in the order of ``outputs``

        Raises
        ------
        TypeError
            Another number of inputs or other names, or one is no array of the declared dtype.
        ValueError
            Another rank, or sizes that the network cannot take; a dask array in chunks along height or width where
            the network sees more of an image than a window.
        """
        if any(_arrays.is_dask(array) for array in (*arrays, *named.values())):
            return self._lazy(arrays, named)
        on, entered = self._entered(arrays, named)
        key = self._key(on, entered)
        plan = self._plan(key)
        if plan is None:
            plan, outputs = self._planned(on, entered)
            self._keep(key, plan)
        else:
            outputs = plan(entered)
        return outputs[0] if len(outputs) == 1 else outputs

    def profile(self, /, *arrays: Array, **named: Array) -> Profile:
        """Where the time of a call goes: an object that prints as a table and draws itself by ``plot(file)``.

        Parameters
        ----------
        *arrays, **named : arrays
            As a call takes them.

        Returns
        -------
        Profile
            Of the fastest of three calls for each step, after one that compiles and plans.
        """
        self(*arrays, **named)
        on, entered = self._entered(arrays, named)
        plan = self._plan(self._key(on, entered)) or self._planned(on, entered)[0]
        return profiled(self.name, plan, entered)

    def __str__(self) -> str:
        with self._lock:
            plan = next(reversed(self._plans.values()), None)
        lines = [f"{self.name}: {_named(self.inputs)} -> {_named(self.outputs)}"]
        if plan is None:
            lines += [f"  {node}" for node in self._graph.nodes]
        else:
            for step in plan.steps:
                lines.append(f"  {step.node} {', '.join('x'.join(map(str, shape)) for shape in step.shapes)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<fastops.onnx.Network {self.name}: {_named(self.inputs)} -> {_named(self.outputs)}>"

    def __getstate__(self) -> dict[str, Any]:
        return {"graph": self._graph, "precision": self._precision, "fuse": self._fuse}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["graph"], state["precision"], state["fuse"])  # type: ignore[misc]
        for array in self._graph.constants.values():
            array.flags.writeable = False

    # ------------------------------------------------------------------------------------------------- inputs

    def _in_order(self, arrays: tuple[Array, ...], named: dict[str, Array]) -> dict[str, Array]:
        """The arrays by the names of the inputs."""
        names = [value.name for value in self.inputs]
        given = dict(zip(names, arrays, strict=False))
        wrong = [name for name in named if name not in names]
        twice = [name for name in named if name in given]
        missing = [name for name in names if name not in given and name not in named]
        if len(arrays) > len(names) or wrong or twice or missing:
            trouble = (
                f"{len(arrays)} arrays" if len(arrays) > len(names)
                else f"an input {wrong[0]!r} that it does not have" if wrong
                else f"{twice[0]!r} twice" if twice
                else f"none for {', '.join(map(repr, missing))}"
            )  # fmt: skip
            raise TypeError(f"{self.name}: expects {_inputs(names)}, got {trouble}")
        return given | named

    def _entered(self, arrays: tuple[Array, ...], named: dict[str, Array]) -> tuple[Backend, list[Array]]:
        """(whose arrays they are, the arrays in order), checked."""
        given = self._in_order(arrays, named)
        on: Backend | None = None
        entered = []
        for value in self.inputs:
            got, array = _arrays.backend(self.name, value.name, given[value.name])
            if on is not None and got is not on:
                raise TypeError(f"{self.name}: {value.name} expects {on.kind}, as the first input is, got {got.kind}")
            on = got
            entered.append(self._checked(value, on, array))
        return on or cpu, entered

    def _checked(self, value: Value, on: Backend, array: Array) -> Array:
        """An input of the declared dtype and rank, C-contiguous and aligned."""
        if on is not cpu and not hasattr(array, "get"):
            raise TypeError(f"{self.name}: {value.name} expects a NumPy or CuPy array, got {on.kind}")
        self._check_declared(value, array)
        if on is cpu:
            return array if array.flags.carray else cpu.enter(array)
        return array

    def _check_declared(self, value: Value, array: Array) -> None:
        """Refuse an array of another dtype or rank."""
        if value.dtype is not None and array.dtype != value.dtype:
            hint = "; convert it with .astype" if array.dtype.kind in "biuf" else ""
            raise TypeError(f"{self.name}: {value.name} expects dtype {value.dtype}, got {array.dtype}{hint}")
        if value.shape is not None and len(value.shape) != array.ndim:
            expected = f"{len(value.shape)} dimensions, declared as {_shape(value)}"
            raise ValueError(f"{self.name}: {value.name} expects {expected}, got shape {tuple(array.shape)}")

    # --------------------------------------------------------------------------------------------- dask arrays

    def _lazy(self, arrays: tuple[Array, ...], named: dict[str, Array]) -> Any:
        """The outputs for dask arrays, beside which there may be NumPy's: block by block."""
        given = self._in_order(arrays, named)
        on: Any = None
        for value in self.inputs:
            got, array = _arrays.backend(self.name, value.name, given[value.name])
            if got is not cpu and not _arrays.is_dask(array):
                raise TypeError(f"{self.name}: {value.name} expects a dask array or a NumPy array, got {got.kind}")
            on = on if got is cpu else got
            self._check_declared(value, array)
        outputs = on.of_network(
            Blocks(self._graph, self.__call__, self._of_block), [given[value.name] for value in self.inputs]
        )
        return outputs[0] if len(outputs) == 1 else outputs

    def _of_block(self, graph: Graph) -> tuple["Network", Callable[[], None]]:
        """(the network of a block, which has the weights of this one, what gives back its memory)."""
        network = Network(graph, self._precision, self._fuse)
        network._kept, network._entered_weights = self._kept, self._entered_weights
        return network, network._rest

    def _rest(self) -> None:
        """Give back the memory that calls have left for the next ones."""
        with self._lock:
            for plan in self._plans.values():
                if isinstance(plan, Schedule):
                    plan.rest()

    # -------------------------------------------------------------------------------------------------- plans

    def _key(self, on: Backend, arrays: list[Array]) -> Any:
        return on.kind, tuple((array.shape, array.dtype.char) for array in arrays)

    def _plan(self, key: Any) -> Plan | Schedule | None:
        with self._lock:
            plan = self._plans.get(key)
            if plan is not None:
                self._plans.move_to_end(key)
            return plan

    def _keep(self, key: Any, plan: Plan | Schedule) -> None:
        """Keep a plan that is good for other elements, too."""
        if not plan.reusable:
            return
        with self._lock:
            self._plans[key] = plan
            while len(self._plans) > PLANS:
                self._plans.popitem(last=False)

    def _planned(self, on: Backend, arrays: list[Array]) -> tuple[Plan | Schedule, tuple[Array, ...]]:
        """(a plan for arrays of these shapes, their outputs), or an error that says what came in."""
        try:
            with first_call(self.name) as line:
                if self._fuse and on is cpu:
                    schedule = scheduled(self._graph, arrays, self._precision, self._kept, self._entered_weights)
                    if schedule is not None:
                        outputs = schedule(arrays, None if line is None else _shown(line, len(schedule.steps)))
                        self._let_go()
                        return schedule, outputs
                return self._planner(on).plan(arrays, None if line is None else line.show)
        except ValueError as trouble:
            given = [
                f"{value.name} expects {_shape(value).strip()}, or what its nodes can take, got {tuple(array.shape)}"
                for value, array in zip(self.inputs, arrays, strict=True)
            ]
            raise ValueError("; ".join([str(trouble), *given])) from trouble

    def _let_go(self) -> None:
        """Hand back the pages of the file's weights that kernels have laid out."""
        for (_, _, name, *_), found in list(self._kept.items()):
            if found and name in self._graph.constants:
                let_go(self._graph.constants[name])

    def _planner(self, on: Backend) -> Planner:
        xp = np if on is cpu else sys.modules["cupy"]  # whose arrays came in

        def to_device(name: str, array: Array) -> Any:
            """A constant on the device, of which all plans have one."""
            if name not in self._graph.constants:
                return xp.asarray(array)
            key = on.kind, name
            if key not in self._on_device:
                self._on_device[key] = xp.asarray(array)
            return self._on_device[key]

        graph = with_epilogues(self._graph) if self._fuse and on is not cpu else self._graph
        return Planner(graph, on, xp, self._precision, to_device, self._kept)


def _shown(line: Line, total: int) -> Callable[[Any, Any], Any]:
    """A schedule's way to run its steps that tells of each."""
    number = count(1)

    def run(step: Any, given: Any) -> Any:
        line.show(next(number), total, step.node)
        return step.run(*given)

    return run


def _named(values: tuple[Value, ...]) -> str:
    return ", ".join(f"{value.name} {value.dtype or 'of any dtype'}{_shape(value)}" for value in values) or "nothing"


def _shape(value: Value) -> str:
    if value.shape is None:
        return " of any shape"
    return f"({', '.join('?' if size is None else str(size) for size in value.shape)})"


def _inputs(names: list[str]) -> str:
    if not names:
        return "no inputs"
    return f"{len(names)} input{'s' if len(names) > 1 else ''}, {', '.join(map(repr, names))}"
