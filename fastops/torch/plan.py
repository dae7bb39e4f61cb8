"""The plan of a traced module: its graph as a list of steps, with what follows a convolution taken into it.

A convolution takes in a batch norm, by its weight and bias; then a sum with another value; then an activation, the
last two by ``add`` and ``activation`` of fastops.conv2d.  It runs on NumPy arrays, at the place of the last node that
it took in; every other node runs as torch would run it, on tensors of the same memory.
"""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from .. import _shapes
from ..conv import _conv2d, _conv_transpose2d
from ..nn.fuse import folded
from . import inverted, layers, pool, resize
from .buffers import Buffers
from .registry import array, ours

_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    F.max_pool2d: pool.max_pool2d,
    F.avg_pool2d: pool.avg_pool2d,
    F.adaptive_avg_pool2d: pool.adaptive_avg_pool2d,
    F.interpolate: resize.interpolate,
}
_SUMS = (operator.add, operator.iadd, torch.add, "add", "add_")


class Unplannable(Exception):
    """A graph has something that no plan may have."""


class Step(NamedTuple):
    """A step of a plan: what it computes from all values, where that goes, and which values nobody needs any more."""

    run: Callable[[dict[fx.Node, Any]], Any]
    node: fx.Node
    last_use_of: tuple[fx.Node, ...]


class Chain:
    """A convolution and the nodes that it takes in, in their order."""

    def __init__(self, node: fx.Node, layer: Any) -> None:
        self.nodes, self.layer = [node], layer
        self.norm: Any = None
        self.add: fx.Node | None = None
        self.activation: Any = None

    def take(self, node: fx.Node, module: Any) -> bool:
        """Take in the only node that uses the last one, if it is one that can be."""
        last = self.nodes[-1]
        if self.activation is not None:
            return False
        if self.add is None and self.norm is None and _is_norm(module, self.layer):
            self.norm = module
        elif self.add is None and _added_to(node, last) is not None:
            self.add = _added_to(node, last)
        else:
            self.activation = _activation(node, module)
            if self.activation is None:
                return False
        self.nodes.append(node)
        return True


class Plan:
    """What a graph computes, in steps: plan(inputs) -> output."""

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        self._root = module
        self._parts = dict(module.named_modules())
        nodes = list(graph.nodes)
        self._inputs = [node for node in nodes if node.op == "placeholder"]
        (self._output,) = (node for node in nodes if node.op == "output")
        chains = self._chains(nodes)
        taken = {node for chain in chains for node in chain.nodes}
        ends: dict[fx.Node, tuple[Chain, ...]] = {chain.nodes[-1]: (chain,) for chain in chains}
        for together in inverted.residuals(chains):
            if not self._changed_between(nodes, together):
                for chain in together:
                    ends.pop(chain.nodes[-1], None)
                ends[together[-1].nodes[-1]] = together
        order = [
            node for node in nodes if node in ends or (node not in taken and node.op not in ("placeholder", "output"))
        ]
        if not chains:
            raise Unplannable("no convolution")
        last_use = self._last_uses(order, ends)
        self._idle: list[Buffers] = []
        self._steps = []
        for node in order:
            run = self._together(ends[node]) if node in ends else self._generic(node)
            self._steps.append(Step(run, node, tuple(last_use.get(node, ()))))

    def __call__(self, inputs: tuple[Any, ...]) -> Any:
        values: dict[Any, Any] = dict(zip(self._inputs, inputs, strict=True))
        try:
            buffers = self._idle.pop()
        except IndexError:  # the first call, or another thread's goes on
            buffers = Buffers()
        values[Buffers] = buffers
        for step in self._steps:
            values[step.node] = step.run(values)
            for node in step.last_use_of:
                dead = values.pop(node)
                buffers.give(dead)
        self._idle[:] = [buffers]
        return fx.node.map_arg(self._output.args[0], lambda node: _tensor(values[node]))

    # ------------------------------------------------------------------------------------ making it

    def _chains(self, nodes: list[fx.Node]) -> list[Chain]:
        place = {node: i for i, node in enumerate(nodes)}
        chains: list[Chain] = []
        taken: set[fx.Node] = set()
        for node in nodes:
            layer = self._module(node)
            if not isinstance(layer, (layers.Conv2d, layers.ConvTranspose2d)) or not self._suits(node, layer):
                continue
            chain = Chain(node, layer)
            while len(chain.nodes[-1].users) == 1:
                (user,) = chain.nodes[-1].users
                between = nodes[place[node] + 1 : place[user]]
                if user in taken or any(each not in chain.nodes and self._changes(each) for each in between):
                    break
                if not chain.take(user, self._module(user)):
                    break
            taken.update(chain.nodes)
            chains.append(chain)
        return chains

    def _suits(self, node: fx.Node, layer: Any) -> bool:
        one_input = len(node.args) == 1 and not node.kwargs and isinstance(node.args[0], fx.Node)
        weight = layer.weight
        return one_input and layer.padding_mode == "zeros" and not layer.training and ours(weight, layer.bias)

    def _module(self, node: fx.Node) -> Any:
        return self._parts[str(node.target)] if node.op == "call_module" else None

    def _changes(self, node: fx.Node) -> bool:
        """Whether a node may change a tensor in place."""
        if node.op == "call_module":
            return bool(getattr(self._module(node), "inplace", False))
        if node.op == "get_attr":
            return False
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        operators = getattr(node.target, "__module__", "") == "_operator" and name.startswith("i")
        asked = any(each is True for each in (*node.args, *node.kwargs.values()))  # inplace=True, among others
        return operators or name.endswith("_") or asked or "out" in node.kwargs

    def _changed_between(self, nodes: list[fx.Node], together: tuple[Chain, ...]) -> bool:
        """Whether a node that stands between those of some chains may change what the first of them reads."""
        own = [node for chain in together for node in chain.nodes]
        between = nodes[nodes.index(own[0]) : nodes.index(own[-1])]
        return any(node not in own and self._changes(node) for node in between)

    def _last_uses(self, order: list[fx.Node], ends: dict[fx.Node, tuple[Chain, ...]]) -> dict[fx.Node, list[fx.Node]]:
        """By node, the values that are used there for the last time."""
        needed = set(self._output.all_input_nodes)
        found: dict[fx.Node, list[fx.Node]] = {}
        for node in reversed(order):
            nodes = [part for chain in ends[node] for part in chain.nodes] if node in ends else [node]
            used = {each for part in nodes for each in part.all_input_nodes} - set(nodes)
            if node not in needed:
                used.add(node)  # nobody uses it
            found[node] = [each for each in used if each not in needed]
            needed |= used
        return found

    # ----------------------------------------------------------------------------------- its steps

    def _generic(self, node: fx.Node) -> Callable[[dict[fx.Node, Any]], Any]:
        """A node as torch runs it."""

        def arguments(values: dict[fx.Node, Any]) -> tuple[Any, dict[str, Any]]:
            args = fx.node.map_arg(node.args, lambda each: _tensor(values[each]))
            return args, fx.node.map_arg(node.kwargs, lambda each: _tensor(values[each]))  # type: ignore[return-value]

        target: Any = node.target
        if node.op == "get_attr":
            found: Any = operator.attrgetter(target)(self._root)
            return lambda values: found
        if node.op == "call_method":

            def method(values: dict[fx.Node, Any]) -> Any:
                (first, *args), kwargs = arguments(values)
                return getattr(first, target)(*args, **kwargs)

            return method
        called = self._module(node) if node.op == "call_module" else _FUNCTIONS.get(target, target)

        def function(values: dict[fx.Node, Any]) -> Any:
            args, kwargs = arguments(values)
            return called(*args, **kwargs)

        return function

    def _together(self, chains: tuple[Chain, ...]) -> Callable[[dict[fx.Node, Any]], Any]:
        """One convolution, or those of an inverted residual."""
        parts = [self._fused(chain) for chain in chains]
        if len(parts) == 1:
            return parts[0].run
        return inverted.in_one_pass(parts, _array, self._returned(chains[-1]))

    def _returned(self, chain: Chain) -> bool:
        return chain.nodes[-1] in self._output.all_input_nodes

    def _fused(self, chain: Chain) -> inverted.Convolution:
        layer, add, activation = chain.layer, chain.add, chain.activation
        input: Any = chain.nodes[0].args[0]
        weight, bias = array(layer.weight), None if layer.bias is None else array(layer.bias)
        transposed = isinstance(layer, layers.ConvTranspose2d)
        if chain.norm is not None:
            norm = chain.norm
            statistics = norm.running_mean, norm.running_var, norm.weight, norm.bias
            mean, var, scale, shift = (None if each is None else array(each) for each in statistics)
            weight, bias = folded(weight, bias, mean, var, scale, shift, norm.eps, layer.groups, transposed)
        returned = self._returned(chain)
        kept: dict[Any, Any] = {}
        if transposed:
            convolve: Any = _conv_transpose2d
            law: Any = _shapes.conv_transpose2d
            options: tuple[Any, ...] = layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
        else:
            convolve, law = _conv2d, _shapes.conv2d
            options = layer.stride, layer.padding, layer.dilation, layer.groups
        replay = [(node, self._generic(node)) for node in chain.nodes]

        def run(values: dict[fx.Node, Any]) -> Any:
            x = _array(values[input])
            more = None if add is None else _array(values[add])
            if x.dtype == weight.dtype and (more is None or more.dtype == weight.dtype):
                try:
                    output = law("conv2d", x.shape, weight.shape, None, *options).output
                    out = None if returned else values[Buffers].take(output, x.dtype)  # type: ignore[index]
                    return convolve(kept, x, weight, bias, *options, out, "exact", add=more, activation=activation)
                except ValueError:  # the sum broadcasts, or the call is bad: torch's own error is told
                    pass
            seen = dict(values)
            for node, part in replay:
                seen[node] = part(seen)
            return seen[chain.nodes[-1]]

        return inverted.Convolution(layer, weight, bias, add, activation, chain.nodes, run)


def _array(value: Any) -> Any:
    return (
        value if type(value) is np.ndarray else array(value) if isinstance(value, torch.Tensor) else np.asarray(value)
    )


def _tensor(value: Any) -> Any:
    return torch.from_numpy(value) if type(value) is np.ndarray else value


# ------------------------------------------------------------------------------------- what is taken in


def _is_norm(module: Any, layer: Any) -> bool:
    known = isinstance(module, layers.BatchNorm)
    if not known or module.training or module.running_mean is None:
        return False
    statistics = module.running_mean, module.running_var, module.weight, module.bias
    return module.num_features == layer.out_channels and ours(layer.weight, *statistics)


def _added_to(node: fx.Node, last: fx.Node) -> fx.Node | None:
    """What a node adds to the last one of a chain; in place only to it, which is nobody else's."""
    if (
        node.op not in ("call_function", "call_method")
        or node.target not in _SUMS
        or node.kwargs
        or len(node.args) != 2
    ):
        return None
    left, right = node.args
    if left is last and isinstance(right, fx.Node) and right is not last:
        return right
    in_place = node.target in (operator.iadd, "add_")
    return left if right is last and isinstance(left, fx.Node) and left is not last and not in_place else None


_PLAIN = {
    F.relu: "relu", torch.relu: "relu", "relu": "relu", "relu_": "relu", F.relu6: "relu6", torch.sigmoid: "sigmoid",
    F.sigmoid: "sigmoid", "sigmoid": "sigmoid", "sigmoid_": "sigmoid", F.silu: "silu", F.hardsigmoid: "hardsigmoid",
    F.hardswish: "hardswish",
}  # fmt: skip
_OF_LAYERS = {
    nn.ReLU: "relu", nn.ReLU6: "relu6", nn.Sigmoid: "sigmoid", nn.SiLU: "silu", nn.Hardsigmoid: "hardsigmoid",
    nn.Hardswish: "hardswish",
}  # fmt: skip


def _activation(node: fx.Node, module: Any) -> Any:
    """What fastops.conv2d calls the activation that a node is, or None."""
    if node.op in ("call_function", "call_method"):
        options = {name: value for name, value in node.kwargs.items() if name != "inplace"}
        return _PLAIN.get(node.target) if len(node.args) == 1 and not options else None
    if module is None or not hasattr(module, "_accelerated"):
        return None
    for base, name in _OF_LAYERS.items():
        if isinstance(module, base):
            return name
    if isinstance(module, nn.LeakyReLU):
        return "leaky_relu", module.negative_slope
    if isinstance(module, nn.GELU):
        return "gelu", module.approximate
    if isinstance(module, nn.Hardtanh):
        return "clamp", module.min_val, module.max_val
    return None
