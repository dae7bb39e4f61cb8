"""Inverted residuals in a plan: two or three convolutions around a depthwise one that one kernel makes in one pass."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from torch import fx

from .. import _options, _shapes, cpu
from .buffers import Buffers
from .layers import Conv2d

Run = Callable[[dict[Any, Any]], Any]


class Convolution(NamedTuple):
    """A convolution with what it has taken in."""

    layer: Any
    weight: Any
    bias: Any
    add: fx.Node | None
    activation: Any
    nodes: list[fx.Node]
    run: Run


def residuals(chains: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Chains one after the other as an inverted residual's are: (expand, depthwise, project), or without the first."""
    by_input = {chain.nodes[0].args[0]: chain for chain in chains}
    made_by = {chain.nodes[-1]: chain for chain in chains}
    for depthwise in chains:
        if not _is_depthwise(depthwise) or len(depthwise.nodes[-1].users) != 1:
            continue
        project, expand = by_input.get(depthwise.nodes[-1]), made_by.get(depthwise.nodes[0].args[0])
        if project is None or not _is_pointwise(project) or depthwise.add is not None:
            continue
        if expand is not None and _is_pointwise(expand) and expand.add is None and len(expand.nodes[-1].users) == 1:
            yield expand, depthwise, project
        else:
            yield depthwise, project


def _is_depthwise(chain: Any) -> bool:
    layer: Any = chain.layer
    return _is_conv2d(layer) and layer.groups == layer.in_channels == layer.out_channels


def _is_pointwise(chain: Any) -> bool:
    layer: Any = chain.layer
    return _is_conv2d(layer) and layer.kernel_size == (1, 1) and layer.groups == 1


def _is_conv2d(layer: Any) -> bool:
    return isinstance(layer, Conv2d)


def in_one_pass(parts: list[Convolution], array: Callable[[Any], Any], returned: bool) -> Run:
    """What makes the last of the convolutions: in one pass where that pays, else one after the other."""
    ends = [_options.activation("conv2d", each.activation) for each in parts]
    finite = all(np.isfinite(each).all() for part in parts for each in (part.weight, part.bias) if each is not None)
    able = finite and all(each is None or each[0] in ("relu", "clamp") for each in ends)
    missing: list[Any] = [None] * (3 - len(parts))
    weights, biases = ([*missing, *(getattr(each, name) for each in parts)] for name in ("weight", "bias"))
    activations, last = (*missing, *ends), parts[-1]
    blocks: dict[Any, Any] = {}

    def block_of(shape: tuple[int, ...]) -> Any:
        if shape not in blocks:
            blocks[shape] = _block(parts, shape) if able and len(shape) == 4 else None
        return blocks[shape]

    def one_by_one(values: dict[Any, Any]) -> Any:
        result = parts[0].run(values)
        for before, each in zip(parts[:-1], parts[1:], strict=True):
            values[before.nodes[-1]] = result
            result = each.run(values)
            dead = values.pop(before.nodes[-1])
            values[Buffers].give(dead)
        return result

    def run(values: dict[Any, Any]) -> Any:
        x, more = array(values[parts[0].nodes[0].args[0]]), None if last.add is None else array(values[last.add])
        block = block_of(x.shape) if x.dtype == last.weight.dtype else None
        if block is None:
            return one_by_one(values)
        shape = (block.images, block.outputs, block.out_height, block.out_width)
        if more is not None and (more.shape != shape or more.dtype != x.dtype):
            return one_by_one(values)
        out = np.empty(shape, x.dtype) if returned else values[Buffers].take(shape, x.dtype)
        more = None if more is None else cpu.enter(more)
        cpu.conv.inverted_residual(out, cpu.enter(x), weights, biases, block, more, activations)
        return out

    return run


def _block(parts: list[Convolution], shape: tuple[int, ...]) -> Any:
    """The block for images of a shape; None where it does not pay, or torch has to say what is wrong."""
    sizes: list[Any] = []
    try:
        for each in parts:
            layer = each.layer
            options = layer.stride, layer.padding, layer.dilation, layer.groups
            sizes.append(_shapes.conv2d("conv2d", shape, each.weight.shape, None, *options))
            shape = sizes[-1].output
    except ValueError:
        return None
    expand = sizes[0] if len(sizes) == 3 else None
    return cpu.conv.block_of(expand, sizes[-2], sizes[-1], parts[0].weight.itemsize)
