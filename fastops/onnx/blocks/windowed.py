"""Operators of windows of height and width: convolutions, pools, Resize, and what moves rows and columns."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from ..inference import Spec
from ..operators import OPERATORS
from ..operators.convolutions import transposed_sizes
from ..operators.pools import Window
from ..operators.resize import sizes
from ..operators.windows import per_dimension, window_pads
from .pieces import Piece, Pieces, joined, padded, resized, same, spread, strided, transposed, windows
from .rule import ONE, New, NotLocal, Rule, Seen, rule


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
    along = list(map(windows, shape[2:], counts, strides, pads, extents))

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
    along = list(map(transposed, shape[2:], strides, [before for before, _ in pads], extents))

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
    along = list(map(windows, shape[2:], window.output, window.strides, window.pads, extents))

    def rewritten(rows: Piece, columns: Piece) -> New:
        return seen.with_attributes(pads=_pads(rows, columns), auto_pad="NOTSET", ceil_mode=int(window.ceil)), {}

    return _windowed(seen, (*shape[:2], *window.output), along, [Fraction(1, s) for s in window.strides], rewritten)


def _windowed(seen: Seen, shape: tuple[int, ...], along: list[Pieces], scales: list[Fraction], rewritten: Any) -> Rule:
    spec = Spec(tuple(shape), seen.specs[seen.node.inputs[0]].dtype)
    return Rule((spec,), (along[0], along[1]), (scales[0], scales[1]), False, rewritten)


SMALL = 8
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
        along.append(resized(shape[axis], out[axis], factor, _REACH[attributes.get("mode", "nearest")], exact))
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
    along: list[Pieces] = [same, same]
    scales = [ONE, ONE]
    for i, axis in enumerate(axes):
        if axis == 0 or (axis >= rank - 2 and (steps[i] < 1 or new[axis] < 1)):
            raise NotLocal
        if axis >= rank - 2:
            first = min(max(starts[i] + (shape[axis] if starts[i] < 0 else 0), 0), shape[axis])
            along[axis - rank + 2], scales[axis - rank + 2] = strided(first, steps[i]), Fraction(1, steps[i])
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
    along = [padded(shape[i], around[i], mode == "reflect") for i in (2, 3)]

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
    along = [(spread if spreads else joined)(b)] * 2
    return _windowed(seen, shape, along, [Fraction(b) if spreads else Fraction(1, b)] * 2, seen.unchanged)
