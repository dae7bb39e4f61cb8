"""Planned: a module of a frozen model that runs, in evaluation and without gradients, by a plan of its whole graph.

The plan is made of a trace by torch.fx, with what the trace cannot see guarded: where a module has hooks, where tracing
fails or changes something, where it meets tensors that the forward makes itself, there is no plan, and the module's own
forward runs, whose parts may have plans of their own.
"""

import inspect
import operator
import random
import threading
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from .layers import frozen_call
from .plan import Plan
from .registry import Tensor, ours

_MOST_INPUTS = 3
_HOOKS = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
_PLANS = "_fastops_plans"  # the attribute of a module; a plan refers to its module, and has to end with it
_tracing = threading.Lock()  # torch.fx changes torch.nn.Module while it traces


class Plans(dict[int, "_Guarded"]):
    """The plans of a module, by the number of inputs; a copy of the module makes its own."""

    def __deepcopy__(self, memo: Any) -> "Plans":
        return Plans()

    def __reduce__(self) -> Any:
        return Plans, ()


def plans_of(module: nn.Module) -> Plans:
    found: Plans = vars(module).setdefault(_PLANS, Plans())
    return found


def forget_plan(module: nn.Module) -> None:
    vars(module).pop(_PLANS, None)


def plan(module: nn.Module) -> None:
    """Trace a module in evaluation, or those of its parts that can be traced, before the first call."""
    if hasattr(module, "_of_1") and not module.training:
        forward = type(module)._accelerated[0].forward  # type: ignore[attr-defined]
        needed = [each for each in inspect.signature(forward).parameters.values() if each.default is each.empty]
        inputs = len(needed) - 1
        if 0 < inputs <= _MOST_INPUTS and _guarded(module, inputs).plan is not None:
            return
    for part in module.children():
        plan(part)


def _guarded(module: nn.Module, inputs: int) -> "_Guarded":
    """The plan of a module for so many inputs, and its guard, which holds."""
    plans = plans_of(module)
    found = plans.get(inputs)
    if found is None or not found.holds(module):
        with _tracing:
            found = plans.get(inputs)
            if found is None or not found.holds(module):
                found = plans[inputs] = _Guarded(module, inputs)
    return found


class Planned:
    """The forward of a module that may have a plan."""

    frozen = True

    def forward(self: Any, *inputs: Any, **options: Any) -> Any:
        if options or not 0 < len(inputs) <= _MOST_INPUTS or not ours(*inputs) or not frozen_call(self, *inputs):
            return super().forward(*inputs, **options)  # type: ignore[misc]
        found = _guarded(self, len(inputs))
        if found.plan is None:
            return super().forward(*inputs)  # type: ignore[misc]
        return found.plan(inputs)

    # What is traced: the module's own forward, asked for as many inputs as there are.

    def _of_1(self: Any, a: Tensor) -> Any:
        return super().forward(a)  # type: ignore[misc]

    def _of_2(self: Any, a: Tensor, b: Tensor) -> Any:
        return super().forward(a, b)  # type: ignore[misc]

    def _of_3(self: Any, a: Tensor, b: Tensor, c: Tensor) -> Any:
        return super().forward(a, b, c)  # type: ignore[misc]


class _Proxy(fx.Proxy):
    """What torch.fx hands to a forward; its own takes ``x += y`` for ``x = x + y``, which leaves other views of x."""


def _in_place(function: Any) -> Any:
    def record(self: fx.Proxy, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return record


for _name in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor"):
    setattr(_Proxy, f"__{_name}__", _in_place(getattr(operator, _name)))


class _Tracer(fx.Tracer):
    """Traces through everything but layers."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.traced_func_name = f"_of_{inputs}"

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return not isinstance(module, Planned) and (
            hasattr(module, "_accelerated") or super().is_leaf_module(module, name)
        )


class _Guarded:
    """The plan of a module, or None, and what was true of the module when it was made.

    A guard of a ResNet-50 has about 700 values to look at, each in 40 ns.
    """

    def __init__(self, module: nn.Module, inputs: int) -> None:
        modules = list(module.modules())
        self._module = module
        self._values = [each for part in modules for each in _values(part)]
        tensors = [value for _, _, value in self._values if isinstance(value, torch.Tensor)]
        self._tensors = [each for each in tensors if each.is_floating_point()]  # others count batches
        self._counted = [each for each in self._tensors if not each.is_inference()]
        self._state = self._state_of_tensors()
        self._sizes = [(vars(part), len(vars(part))) for part in modules]
        self._hooks = [getattr(part, name) for part in modules for name in _HOOKS]
        self._hooked = self._has_hooks()
        self.plan = None if self._hooked else _planned(module, modules, inputs)

    def holds(self, module: nn.Module) -> bool:
        """Whether the module is what it was; what had no plan may have one when its hooks are gone."""
        if module is not self._module:  # but a shallow copy
            return False
        if self.plan is None:
            return self._hooked == self._has_hooks()
        for place, name, value in self._values:
            if place.get(name) is not value:
                return False
        if any(len(place) != size for place, size in self._sizes) or self._hooked != self._has_hooks():
            return False
        return self._state == self._state_of_tensors()

    def _state_of_tensors(self) -> list[int]:
        """As `versions` has it, for hundreds of them."""
        return [each.data_ptr() for each in self._tensors] + [each._version for each in self._counted]

    def _has_hooks(self) -> bool:
        return any(self._hooks) or any(map(bool, _hooks_of_all()))


def _planned(module: nn.Module, modules: list[nn.Module], inputs: int) -> Plan | None:
    before = [dict(vars(each)) for each in modules]
    plan = None
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):  # what the forward draws while it is traced is not drawn
            graph = _Tracer(inputs).trace(module)
        if not any(name.startswith("_tensor_constant") for name in vars(module)):  # tensors that the forward makes
            plan = Plan(module, graph)
    except Exception:  # whatever a forward does with what torch.fx hands it: then it runs as it is
        plan = None
    random.setstate(states[0])
    np.random.set_state(states[1])
    for each, attributes in zip(modules, before, strict=True):
        now = vars(each)
        if now.keys() != attributes.keys() or any(now[name] is not value for name, value in attributes.items()):
            plan = None  # the forward keeps what it sees
            now.clear()
            now.update(attributes)
    return plan


def _values(module: nn.Module) -> list[tuple[dict[str, Any], str, Any]]:
    """(dictionary, name, value) of what a forward may ask of its module: its parts, tensors and other attributes."""
    own = vars(module)
    places = [own, own["_parameters"], own["_buffers"], own["_modules"]]
    layer = hasattr(module, "_accelerated") and not isinstance(module, Planned)
    found = []
    for place in places:
        if not isinstance(place, dict):  # of a scripted module, whose weights no plan has
            continue
        for name, value in place.items():
            if place is not own or name == "training" or not (layer or name in _OF_EVERY_MODULE):
                found.append((place, name, value))
    return found


_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def _hooks_of_all() -> tuple[Any, ...]:
    """Hooks of every module that there is."""
    found = nn.modules.module
    return found._global_forward_hooks, found._global_forward_pre_hooks, found._global_backward_hooks
