"""The operators of networks that see windows alone: what each reads, and what it is told in a block.

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
from ..operators import OPERATORS, Call
from ..operators.convolutions import transposed_sizes
from ..operators.pools import Window
from ..operators.resize import sizes
from ..operators.windows import per_dimension, window_pads
from ..simplify import listed
from . import pieces
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


# ------------------------------------------------------------------------------------------------- pixel by pixel


def _pointwise(seen: Seen, broadcasts: bool, stretched: tuple[int, int]) -> Rule:
    """A node that does the same at each pixel: what it makes is seen at one."""
    arrays: list[Any] = []
    for name in seen.node.inputs:
        if not name:
            arrays.append(None)
        elif name in seen.constants:
            array = seen.constants[name]
            arrays.append(array[(..., *(slice(0, 1),) * min(2, array.ndim))] if broadcasts else array)
        else:
            spec = seen.specs[name]
            arrays.append(np.zeros((*spec.shape[:-2], 1, 1), spec.dtype))
    call = seen.call(arrays)
    with np.errstate(all="ignore"):
        results = listed(OPERATORS[seen.node.op_type].make(call)(*arrays))
    if call.depends:
        raise NotLocal
    outputs = tuple(Spec((*each.shape[:-2], *stretched), each.dtype) for each in map(np.asarray, results))
    return Rule(outputs, (pieces.same, pieces.same), (ONE, ONE), broadcasts, seen.unchanged)


@rule(
    "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil", "Celu", "Clip", "Cos",
    "Cosh", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid",
    "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish",
    "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin",
    "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor",
)  # fmt: skip
def _element_wise(seen: Seen) -> Rule:
    shapes = [seen.specs[name].shape for name in seen.images]
    rank = len(shapes[0])
    if rank < 3 or any(len(shape) != rank or shape[0] != shapes[0][0] for shape in shapes):
        raise NotLocal
    given = [seen.constants[name].shape for name in seen.node.inputs if name in seen.constants]
    if any(len(shape) > rank or (len(shape) == rank and shape[0] != 1) for shape in given):
        raise NotLocal
    height, width = np.broadcast_shapes(*(shape[-2:] for shape in (*shapes, *given)))
    return _pointwise(seen, True, (height, width))


def _of_channels(seen: Seen, others: bool = False) -> Rule:
    """A node that joins channels; ``others``: its other inputs may be images, too."""
    if not others and seen.images != [seen.node.inputs[0]]:
        raise NotLocal
    if len({seen.specs[name].shape[-2:] for name in seen.images}) != 1 or len(seen.images) != len(seen.node.inputs):
        if others:
            raise NotLocal
    height, width = seen.shape()[-2:]
    return _pointwise(seen, False, (height, width))


@rule("BatchNormalization", "LRN")
def _normalization(seen: Seen) -> Rule:
    if seen.node.attributes.get("training_mode", 0) or len(seen.shape()) < 4:
        raise NotLocal
    return _of_channels(seen)


@rule("Softmax", "LogSoftmax", "ArgMax", "ArgMin", "Split", "Gather", "Concat")
def _along_channels(seen: Seen) -> Rule:
    attributes, op = seen.node.attributes, seen.node.op_type
    default = {"Concat": 1, "Softmax": -1, "LogSoftmax": -1}.get(op, 0)
    seen.inner([int(attributes.get("axis", default))])
    if attributes.get("flattens") or (op.startswith("Arg") and not attributes.get("keepdims", 1)):
        raise NotLocal
    return _of_channels(seen, others=op == "Concat")


@rule("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
      "ReduceLogSum", "ReduceLogSumExp")  # fmt: skip
def _reduction(seen: Seen) -> Rule:
    axes = seen.ints(1)
    if not axes or not seen.node.attributes.get("keepdims", 1):
        raise NotLocal
    seen.inner(axes)
    return _of_channels(seen)


@rule("Transpose")
def _transpose(seen: Seen) -> Rule:
    rank = len(seen.shape())
    order = [int(axis) % rank for axis in seen.node.attributes.get("perm") or range(rank)[::-1]]
    if order[0] != 0 or order[-2:] != [rank - 2, rank - 1]:
        raise NotLocal
    return _of_channels(seen)


@rule("Squeeze", "Unsqueeze")
def _squeeze(seen: Seen) -> Rule:
    axes = seen.ints(1)
    if not axes:
        raise NotLocal
    rank = len(seen.shape()) + (len(axes) if seen.node.op_type == "Unsqueeze" else 0)
    seen.inner(axes, rank)
    return _of_channels(seen)


@rule("Reshape")
def _reshape(seen: Seen) -> Rule:
    """Channels in another shape: the batch, height and width stay."""
    old, wanted = seen.shape(), seen.ints(1)
    if seen.images != [seen.node.inputs[0]] or len(old) < 3 or len(wanted) < 3:
        raise NotLocal
    (step,) = listed(OPERATORS["Reshape"].make(call := seen.whole()))
    new = step(np.broadcast_to(call.arrays[0], old)).shape
    if new[0] != old[0] or new[-2:] != old[-2:]:
        raise NotLocal

    def rewritten(rows: Piece, columns: Piece) -> New:
        return seen.with_input(1, [-1, *new[1:-2], rows.outputs, columns.outputs], allowzero=0)

    spec = Spec(new, seen.specs[seen.node.inputs[0]].dtype)
    return Rule((spec,), (pieces.same, pieces.same), (ONE, ONE), False, rewritten)


# ---------------------------------------------------------------------------------------------------- by windows


def _pads(rows: Piece, columns: Piece) -> list[int]:
    """ONNX's attribute: all that come before, then all that come after."""
    return [rows.options[0], columns.options[0], rows.options[1], columns.options[1]]


@rule("Conv")
def _conv(seen: Seen) -> Rule:
    shape, node = seen.image(), seen.node
    weight = seen.specs[node.inputs[1]].shape
    strides, dilations = per_dimension(node, "strides", 2), per_dimension(node, "dilations", 2)
    if shape[1] != weight[1] * int(node.attributes.get("group", 1)):
        OPERATORS["Conv"].make(seen.whole())  # which has the sentence for it
    pads = window_pads(node, shape[2:], list(weight[2:]), strides, dilations)
    extents = [(k - 1) * d + 1 for k, d in zip(weight[2:], dilations, strict=True)]
    counts = [
        (size + sum(pad) - extent) // s + 1
        for size, pad, extent, s in zip(shape[2:], pads, extents, strides, strict=True)
    ]
    if min(counts) < 1:
        OPERATORS["Conv"].make(seen.whole())
    along = list(map(pieces.windows, shape[2:], counts, strides, pads, extents))

    def rewritten(rows: Piece, columns: Piece) -> New:
        return seen.with_attributes(pads=_pads(rows, columns), auto_pad="NOTSET"), {}

    return _windowed(seen, (shape[0], weight[0], *counts), along, [Fraction(1, s) for s in strides], rewritten)


@rule("ConvTranspose")
def _conv_transpose(seen: Seen) -> Rule:
    shape, node = seen.image(), seen.node
    weight = seen.specs[node.inputs[1]].shape
    strides, dilations = per_dimension(node, "strides", 2), per_dimension(node, "dilations", 2)
    sizes, pads = transposed_sizes(seen.whole(), shape[2:], weight[2:], strides, dilations)
    extents = [(k - 1) * d + 1 for k, d in zip(weight[2:], dilations, strict=True)]
    along = list(map(pieces.transposed, shape[2:], strides, [before for before, _ in pads], extents))

    def rewritten(rows: Piece, columns: Piece) -> New:
        more = [rows.options[2], columns.options[2]]
        told = {name: each for name, each in node.attributes.items() if name not in ("output_shape", "auto_pad")}
        return replace(node, attributes={**told, "pads": _pads(rows, columns), "output_padding": more}), {}

    channels = weight[1] * int(node.attributes.get("group", 1))
    return _windowed(seen, (shape[0], channels, *sizes), along, [Fraction(s) for s in strides], rewritten)


@rule("MaxPool", "AveragePool")
def _pool(seen: Seen) -> Rule:
    shape = seen.image()
    plane = np.broadcast_to(np.float32(0), (1, 1, *shape[2:]))
    window = Window(seen.call([plane]))
    if len(seen.node.outputs) > 1:  # places in the whole image
        raise NotLocal
    extents = [(k - 1) * d + 1 for k, d in zip(window.kernel, window.dilations, strict=True)]
    along = list(map(pieces.windows, shape[2:], window.output, window.strides, window.pads, extents))

    def rewritten(rows: Piece, columns: Piece) -> New:
        return seen.with_attributes(pads=_pads(rows, columns), auto_pad="NOTSET", ceil_mode=int(window.ceil)), {}

    return _windowed(seen, (*shape[:2], *window.output), along, [Fraction(1, s) for s in window.strides], rewritten)


def _windowed(seen: Seen, shape: tuple[int, ...], along: list[Pieces], scales: list[Fraction], rewritten: Any) -> Rule:
    spec = Spec(tuple(shape), seen.specs[seen.node.inputs[0]].dtype)
    return Rule((spec,), (along[0], along[1]), (scales[0], scales[1]), False, rewritten)


SMALL = 16
"""The greatest denominator of a Resize's factors: blocks begin at multiples of it."""
_REACH = {"nearest": 1, "linear": 2, "cubic": 3}
_BY_PLACE = ("half_pixel", "pytorch_half_pixel", "asymmetric", "half_pixel_symmetric", "tf_half_pixel_for_nn")
"""Coordinates that do not follow the size of the image, for factors that divide it."""


@rule("Resize")
def _resize(seen: Seen) -> Rule:
    shape, attributes = seen.image(), seen.node.attributes
    if attributes.get("coordinate_transformation_mode", "half_pixel") not in _BY_PLACE or attributes.get("antialias"):
        raise NotLocal
    axes = [int(axis) % 4 for axis in attributes.get("axes") or range(4)]
    seen.host(1)
    scales, exact = seen.host(2), seen.host(3) is not None
    out, factors = sizes(seen.whole(), shape, axes)
    if out[:2] != list(shape[:2]) or attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise NotLocal
    along, by = [], []
    for axis in (2, 3):
        factor = Fraction(out[axis], shape[axis]) if exact else Fraction(factors[axis]).limit_denominator(SMALL)
        if factor.denominator > SMALL or abs(float(factor) / factors[axis] - 1) > 1e-6:
            raise NotLocal
        if not exact and scales is not None and (shape[axis] * factor).__floor__() != out[axis]:
            raise NotLocal
        along.append(pieces.resized(shape[axis], out[axis], factor, _REACH[attributes.get("mode", "nearest")], exact))
        by.append(factor)

    def rewritten(rows: Piece, columns: Piece) -> New:
        if not exact:
            return seen.node, {}
        return seen.with_input(3, [rows.outputs, columns.outputs], axes=[2, 3])

    return _windowed(seen, tuple(out), along, by, rewritten)


# ------------------------------------------------------------------------------------------------- other moves


@rule("Slice")
def _slice(seen: Seen) -> Rule:
    """Also one of rows or columns, perhaps of every second one."""
    shape, rank = seen.shape(), len(seen.shape())
    if seen.images != [seen.node.inputs[0]] or rank < 3:
        raise NotLocal
    starts, ends = seen.ints(1), seen.ints(2)
    axes = [axis % rank for axis in seen.ints(3) or range(len(starts))]
    steps = seen.ints(4) or [1] * len(starts)
    call = seen.whole()
    new = OPERATORS["Slice"].make(call)(*call.arrays).shape
    along: list[Pieces] = [pieces.same, pieces.same]
    scales = [ONE, ONE]
    for i, axis in enumerate(axes):
        if axis == 0 or (axis >= rank - 2 and (steps[i] < 1 or new[axis] < 1)):
            raise NotLocal
        if axis >= rank - 2:
            first = min(max(starts[i] + (shape[axis] if starts[i] < 0 else 0), 0), shape[axis])
            along[axis - rank + 2], scales[axis - rank + 2] = pieces.strided(first, steps[i]), Fraction(1, steps[i])
            starts[i], ends[i] = 0, 2**62

    def rewritten(rows: Piece, columns: Piece) -> New:
        node, more = seen.with_input(1, starts)
        other, others = Seen(node, seen.specs, seen.constants).with_input(2, ends)
        return other, more | others

    return _windowed(seen, new, along, scales, rewritten)


@rule("Pad")
def _pad(seen: Seen) -> Rule:
    shape, mode = seen.image(), seen.node.attributes.get("mode", "constant")
    pads = seen.ints(1)
    axes = [axis % 4 for axis in seen.ints(3) or range(4)]
    if mode == "wrap" or len(pads) != 2 * len(axes):
        raise NotLocal
    seen.host(2)
    around = [(0, 0)] * 4
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        around[axis] = before, after
    new = tuple(size + sum(pad) for size, pad in zip(shape, around, strict=True))
    if around[0] != (0, 0) or min(new) < 1 or (mode == "reflect" and any(
        max(pad) >= size for pad, size in zip(around[2:], shape[2:], strict=True)
    )):  # fmt: skip
        raise NotLocal
    along = [pieces.padded(shape[i], around[i], mode == "reflect") for i in (2, 3)]

    def rewritten(rows: Piece, columns: Piece) -> New:
        told = [0, around[1][0], *(each.options[0] for each in (rows, columns)),
                0, around[1][1], *(each.options[1] for each in (rows, columns))]  # fmt: skip
        node, more = seen.with_input(1, told)
        return replace(node, inputs=node.inputs[:3]), more

    return _windowed(seen, new, along, [ONE, ONE], rewritten)


@rule("DepthToSpace", "SpaceToDepth")
def _space(seen: Seen) -> Rule:
    n, c, h, w = seen.image()
    b = int(seen.node.attributes["blocksize"])
    spreads = seen.node.op_type == "DepthToSpace"
    if b < 1 or (c % (b * b) if spreads else h % b or w % b):
        raise NotLocal
    shape = (n, c // (b * b), h * b, w * b) if spreads else (n, c * b * b, h // b, w // b)
    along = [(pieces.spread if spreads else pieces.joined)(b)] * 2
    return _windowed(seen, shape, along, [Fraction(b) if spreads else Fraction(1, b)] * 2, seen.unchanged)
