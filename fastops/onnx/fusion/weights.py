"""What is constant around a convolution goes into its weights and its bias, in float64: y = s x + t by channel.

BatchNormalization, and Mul, Div, Add and Sub of constants that are one number or one for each channel, after a
convolution, a transposed one or a product; the same before a convolution, where the zeros around the image stay zeros;
and Pad before a convolution, which has padding of its own.  HardSigmoid after one is s x + t, and a Clip, which
convolutions do in registers.
"""

from typing import NamedTuple

import numpy as np

from ..graph import Array, Graph, Node
from ..pages import let_go
from .rewrite import Rewrite, with_inputs


class Affine(NamedTuple):
    """What a node makes of its input ``x``: s x + t, in float64, by channel or one number."""

    x: str
    s: Array
    t: Array


def with_weights(graph: Graph) -> Graph:
    """The graph with constants in the weights of what they come after or before."""
    rewrite = Rewrite(graph)
    for node in graph.nodes:
        if rewrite.maker(node.outputs[0]) is node:
            _after(rewrite, node)
    for node in reversed(rewrite.nodes()):
        if not any(node.outputs) or rewrite.maker(next(filter(None, node.outputs))) is not node:
            continue
        if node.op_type == "Pad":
            _padded(rewrite, node)
        else:
            _before(rewrite, node)
    return rewrite.graph()


# ------------------------------------------------------------------------------------------- what a node computes


def affine(rewrite: Rewrite, node: Node, rank: int, channels: int) -> Affine | None:
    """s and t of a node on values of ``rank`` dimensions; a matrix has its channels in the last one."""
    if node.op_type == "BatchNormalization" and not node.attributes.get("training_mode", 0):
        parts = [rewrite.constants.get(name) for name in node.inputs[1:5]]
        if any(part is None or part.shape != (channels,) for part in parts):
            return None
        scale, bias, mean, var = (part.astype(np.float64) for part in parts if part is not None)
        s = scale / np.sqrt(var + float(node.attributes.get("epsilon", 1e-5)))
        return _finite(Affine(node.inputs[0], s, bias - mean * s))
    if node.op_type == "HardSigmoid":  # the part that is not the Clip
        slope, middle = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
        return Affine(node.inputs[0], np.full(1, slope), np.full(1, middle))
    if node.op_type not in ("Mul", "Div", "Add", "Sub") or len(node.inputs) != 2:
        return None
    first, second = node.inputs
    x, name = (second, first) if first in rewrite.constants else (first, second)
    c = _by_channel(rewrite.constants.get(name), rank, channels)
    if c is None or x in rewrite.constants or (node.op_type == "Div" and name == first):
        return None
    one, zero = np.ones(1), np.zeros(1)
    with np.errstate(all="ignore"):
        found = {
            "Mul": lambda: Affine(x, c, zero),
            "Div": lambda: Affine(x, 1 / c, zero),
            "Add": lambda: Affine(x, one, c),
            "Sub": lambda: Affine(x, one, -c) if name == second else Affine(x, -one, c),
        }[node.op_type]()
    return _finite(found)


def _finite(found: Affine) -> Affine | None:
    return found if np.isfinite(found.s).all() and np.isfinite(found.t).all() else None


def _by_channel(array: Array | None, rank: int, channels: int) -> Array | None:
    """A constant as one number, or one for each channel, in float64; None if it is neither."""
    if array is None or array.dtype.kind != "f" or array.ndim > rank:
        return None
    if array.size == 1:
        return array.reshape(1).astype(np.float64)
    axis = rank - 1 if rank == 2 else 1
    shape = (1,) * (rank - array.ndim) + array.shape
    alone = all(size == 1 for i, size in enumerate(shape) if i != axis)
    return array.reshape(-1).astype(np.float64) if alone and shape[axis] == channels else None


# --------------------------------------------------------------------------------------------- after and before


def _after(rewrite: Rewrite, node: Node) -> None:
    """Fold a node into the convolution or product whose output it alone reads."""
    for name in node.inputs:
        before = rewrite.inner(name, "Conv", "ConvTranspose", "Gemm")
        parts = None if before is None else _weights(rewrite, before)
        if before is None or parts is None:
            continue
        weight, bias, axis = parts
        found = affine(rewrite, node, weight.ndim, bias.size)
        if found is None or found.x != name:
            continue
        if node.op_type == "HardSigmoid":
            if _scale(rewrite, before, parts, found, before.outputs, before):
                bounds = [rewrite.constant(f"{node.label}.{value}", np.array(value, weight.dtype)) for value in (0, 1)]
                rewrite.put(Node("Clip", node.name, (name, *bounds), node.outputs), node)
        else:
            _scale(rewrite, before, parts, found, node.outputs, before, node)
        return


def _scale(
    rewrite: Rewrite, node: Node, parts: tuple[Array, Array, int], by: Affine, outputs: tuple[str, ...], *old: Node
) -> bool:
    """Put a convolution or product that makes s y + t of its y; whether the dtype has such numbers."""
    weight, bias, axis = parts
    s, t = np.broadcast_to(by.s, bias.shape), np.broadcast_to(by.t, bias.shape)
    if node.op_type == "ConvTranspose":  # (input channels, outputs of a group, ...)
        groups = int(node.attributes.get("group", 1))
        by_group = weight.reshape(groups, -1, *weight.shape[1:])
        scaled = _product(by_group, s.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))).reshape(weight.shape)
    else:
        scaled = _product(weight, s.reshape([-1 if i == axis else 1 for i in range(weight.ndim)]))
    done = _put(rewrite, node, scaled, s * bias + t, outputs, *old)
    let_go(weight)
    return done


def _product(weight: Array, s: Array) -> Array:
    """Weights times float64 factors, in the weights' dtype; float64 products of all of them would be twice as large."""
    with np.errstate(all="ignore"):
        return np.multiply(weight, s, out=np.empty(weight.shape, weight.dtype), casting="same_kind")


def _before(rewrite: Rewrite, node: Node) -> None:
    """Fold a node into the convolution that alone reads it."""
    after = rewrite.reader(node.outputs[0]) if node.outputs and node.outputs[0] else None
    if after is None or after.op_type != "Conv" or after.inputs[0] != node.outputs[0]:
        return
    parts = _weights(rewrite, after)
    if parts is None:
        return
    weight, bias, _ = parts
    groups = int(after.attributes.get("group", 1))
    found = affine(rewrite, node, weight.ndim, weight.shape[1] * groups)
    if found is None or node.op_type == "HardSigmoid" or (found.t.any() and not _unpadded(after)):
        return
    inputs = weight.shape[1]
    s, t = (np.broadcast_to(each, inputs * groups).reshape(groups, 1, inputs) for each in (found.s, found.t))
    by_group = weight.reshape(groups, -1, inputs, int(np.prod(weight.shape[2:])))
    more = (by_group.sum(3, dtype=np.float64) * t).sum(2).reshape(-1)
    scaled = _product(by_group, s[..., None]).reshape(weight.shape)
    after = with_inputs(after, [found.x, *after.inputs[1:]])
    old = rewrite.maker(after.outputs[0])
    assert old is not None
    _put(rewrite, after, scaled, bias + more, after.outputs, node, old)


def _weights(rewrite: Rewrite, node: Node) -> tuple[Array, Array, int] | None:
    """(weight, bias in float64, the weight's dimension of the outputs) of a node that has them as constants."""
    weight = rewrite.constants.get(node.inputs[1])
    name = (*node.inputs, "")[2] if len(node.inputs) > 2 else ""
    bias = rewrite.constants.get(name) if name else np.zeros(1)
    if weight is None or bias is None or weight.dtype.kind != "f" or weight.ndim < 2:
        return None
    if node.op_type != "Gemm":
        axis, channels = (0, weight.shape[0]) if node.op_type == "Conv" else (1, weight.shape[1])
        groups = int(node.attributes.get("group", 1)) if axis else 1
        fits = bias.shape == (channels * groups,) or not name
        return (weight, np.broadcast_to(bias, channels * groups).astype(np.float64), axis) if fits else None
    if any(node.attributes.get(key, 1.0) != 1.0 for key in ("alpha", "beta")) or weight.ndim != 2:
        return None
    axis = 0 if node.attributes.get("transB", 0) else 1
    if bias.size not in (1, weight.shape[axis]) or bias.ndim > 2 or (bias.size > 1 and bias.shape[-1] == 1):
        return None
    return weight, np.broadcast_to(bias.reshape(-1), weight.shape[axis]).astype(np.float64), axis


def _put(rewrite: Rewrite, node: Node, weight: Array, bias: Array, outputs: tuple[str, ...], *old: Node) -> bool:
    """Put the node with other weights, unless they leave the dtype's numbers, and tell whether."""
    with np.errstate(all="ignore"):
        arrays = weight, bias.astype(weight.dtype)
    if not all(np.isfinite(each.min(initial=0)) and np.isfinite(each.max(initial=0)) for each in arrays):
        return False
    kinds = ("weight", "bias")
    names = [rewrite.constant(f"{node.label}.{kind}", each) for kind, each in zip(kinds, arrays, strict=True)]
    rewrite.put(with_inputs(node, [node.inputs[0], *names], outputs), *old)
    return True


def _unpadded(node: Node) -> bool:
    mode = node.attributes.get("auto_pad") or "NOTSET"
    return mode == "VALID" or (mode == "NOTSET" and not any(node.attributes.get("pads") or [0]))


def _padded(rewrite: Rewrite, node: Node) -> None:
    """Put a Pad of zeros into the convolution that alone reads it."""
    after = rewrite.reader(node.outputs[0])
    weight = None if after is None else rewrite.constants.get(after.inputs[1]) if len(after.inputs) > 1 else None
    if after is None or after.op_type != "Conv" or weight is None or after.inputs[0] != node.outputs[0]:
        return
    pads = _zeros_around(rewrite, node, weight.ndim)
    mode = after.attributes.get("auto_pad") or "NOTSET"
    if pads is None or mode not in ("NOTSET", "VALID"):
        return
    rank = weight.ndim - 2
    own = list(after.attributes.get("pads") or [0] * (2 * rank)) if mode == "NOTSET" else [0] * (2 * rank)
    pads = [int(a) + b for a, b in zip(own, pads, strict=True)]
    rewrite.put(with_inputs(after, [node.inputs[0], *after.inputs[1:]], pads=pads, auto_pad="NOTSET"), node, after)


def _zeros_around(rewrite: Rewrite, node: Node, rank: int) -> list[int] | None:
    """The attribute pads of a Pad that puts zeros around images, and nothing else."""
    pads = rewrite.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    value = (*node.inputs, "", "")[2]
    axes = (*node.inputs, "", "")[3]
    zero = not value or (value in rewrite.constants and not rewrite.constants[value].any())
    if pads is None or not zero or node.attributes.get("mode", "constant") != "constant" or (pads < 0).any():
        return None
    if axes and axes not in rewrite.constants:
        return None
    which = [int(axis) % rank for axis in rewrite.constants[axes].reshape(-1)] if axes else list(range(rank))
    if pads.size != 2 * len(which):
        return None
    around = np.zeros((2, rank), np.int64)
    around[:, which] = pads.reshape(2, -1)
    return None if around[:, :2].any() else [int(each) for each in around[:, 2:].reshape(-1)]
