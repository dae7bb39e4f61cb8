"""What moves elements and computes nothing: NumPy's views and copies."""

from math import prod
from typing import Any

import numpy as np

from ..graph import Constants, Node
from .table import Call, Filling, Step, axis_of, fits, operator


@operator("Concat")
def make_concat(call: Call) -> Step:
    xp, axis, shapes = call.xp, axis_of(int(call.attribute("axis", 1)), len(call.shape())), call.shapes()
    if len({(len(each), *each[:axis], *each[axis + 1 :]) for each in shapes}) > 1:
        raise ValueError(f"expects shapes that differ in dimension {axis} alone, got {', '.join(map(str, shapes))}")
    if xp is not np or len(set(map(call.dtype, range(len(shapes))))) > 1:
        return lambda *arrays: xp.concatenate(arrays, axis)
    shape = (*shapes[0][:axis], sum(each[axis] for each in shapes), *shapes[0][axis + 1 :])
    return Filling(call.on, shape, call.dtype(), lambda out, *arrays: xp.concatenate(arrays, axis, out=out))


@operator("Split")
def make_split(call: Call) -> Step:
    """Views of parts: of given sizes, or equal ones of which the last may be smaller."""
    shape = call.shape()
    axis = axis_of(int(call.attribute("axis", 0)), len(shape))
    size, count = shape[axis], len(call.node.outputs)
    if call.has(1):
        parts = call.ints(1)
    else:
        if call.attribute("num_outputs", count) != count:
            raise ValueError(f"num_outputs expects {count}, as it has outputs, got {call.attribute('num_outputs')}")
        one = -(-size // count)
        parts = [min(one, max(size - i * one, 0)) for i in range(count)]
    if sum(parts) != size or len(parts) != count or min(parts) < 0:
        raise ValueError(f"expects {count} sizes that are {size} together, got {parts}")
    ends = np.cumsum([0, *parts]).tolist()
    before = (slice(None),) * axis
    places = [(*before, slice(a, b)) for a, b in zip(ends[:-1], ends[1:], strict=True)]
    return lambda x, *more: tuple(x[place] for place in places)


@operator("Slice")
def make_slice(call: Call) -> Step:
    """A view; ends beyond the array are its end."""
    shape = call.shape()
    starts, ends = call.ints(1), call.ints(2)
    axes = call.ints(3) if call.has(3) else list(range(len(starts)))
    steps = call.ints(4) if call.has(4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ValueError(f"expects as many starts as ends, axes and steps, got {starts}, {ends}, {axes} and {steps}")
    place = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_of(axis, len(shape))
        place[axis] = _part(start, end, step, shape[axis])
    places = tuple(place)
    return lambda x, *more: x[places]


def _part(start: int, end: int, step: int, size: int) -> slice:
    if step == 0:
        raise ValueError("expects steps other than 0, got 0")
    start, end = (each + size if each < 0 else each for each in (start, end))
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    start, end = min(max(start, -1), size - 1), min(max(end, -1), size - 1)
    if start < 0:
        return slice(0, 0)
    return slice(start, None if end < 0 else end, step)


@operator("Gather")
def make_gather(call: Call) -> Step:
    """numpy.take; a negative index counts from the end, one that is outside is refused."""
    axis, rank = int(call.attribute("axis", 0)), len(call.shape())
    size, xp = call.shape()[axis_of(axis, rank)], call.xp
    if call.is_constant(1):
        _inside(call.host(1), size)
    if call.is_constant(1) and not call.shape(1):
        index = int(call.host(1))
        place = (*(slice(None),) * (axis % rank), index)
        return lambda x, indices: x[place]
    return lambda x, indices: xp.take(x, indices, axis)


def _inside(indices: Any, size: int) -> None:
    if indices.size and not (-size <= indices.min() and indices.max() < size):
        raise ValueError(f"expects indices from {-size} to {size - 1}, got {indices.min()} to {indices.max()}")


@operator("GatherElements")
def make_gather_elements(call: Call) -> Step:
    xp, axis = call.xp, int(call.attribute("axis", 0))
    return lambda x, indices: xp.take_along_axis(x, indices, axis)


@operator("Transpose")
def make_transpose(call: Call) -> Step:
    """A view; all dimensions turned round where nothing is said."""
    axes = call.attribute("perm") or list(range(len(call.shape())))[::-1]
    return lambda x: x.transpose(axes)


@operator("Expand")
def make_expand(call: Call) -> Step:
    """A view of the shape that the array and input 1 broadcast to."""
    shape, xp = np.broadcast_shapes(call.shape(), tuple(call.ints(1))), call.xp
    return lambda x, *more: xp.broadcast_to(x, shape)


@operator("Tile")
def make_tile(call: Call) -> Step:
    xp, repeats = call.xp, call.ints(1)
    if len(repeats) != len(call.shape()):
        raise ValueError(f"repeats expects {len(call.shape())} numbers, got {repeats}")
    fits([size * repeat for size, repeat in zip(call.shape(), repeats, strict=True)])
    return lambda x, *more: xp.tile(x, repeats)


def _unknown_mode(node: Node, constants: Constants) -> str:
    mode = node.attributes.get("mode", "constant")
    return "" if mode in ("constant", "edge", "reflect", "wrap") else f"mode {mode!r}"


@operator("Pad", refused=_unknown_mode)
def make_pad(call: Call) -> Step:
    """numpy.pad; negative padding cuts off, before the rest is padded."""
    shape, xp, mode = call.shape(), call.xp, call.attribute("mode", "constant")
    pads = call.ints(1)
    axes = [axis_of(axis, len(shape)) for axis in call.ints(3)] if call.has(3) else list(range(len(shape)))
    if len(pads) != 2 * len(axes):
        raise ValueError(f"pads expects {2 * len(axes)} numbers, got {pads}")
    around = [(0, 0)] * len(shape)
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        around[axis] = before, after
    cut = tuple(
        slice(max(-before, 0), max(size - max(-after, 0), 0))
        for size, (before, after) in zip(shape, around, strict=True)
    )
    more = [(max(before, 0), max(after, 0)) for before, after in around]
    fits([size + before + after for size, (before, after) in zip(shape, around, strict=True)])
    if mode != "constant":
        return lambda x, *others: xp.pad(x[cut], more, mode)
    value: Any = call.host(2).reshape(-1)[0] if call.has(2) and call.host(2).size else 0
    return lambda x, *others: xp.pad(x[cut], more, constant_values=value)


@operator("DepthToSpace")
def make_depth_to_space(call: Call) -> Step:
    """Channels become blocks of pixels; DCR has the block's place first, CRD the channel."""
    n, c, h, w = _image(call)
    b = int(call.attribute("blocksize"))
    if b < 1 or c % (b * b):
        raise ValueError(f"blocksize expects one whose square divides {c} channels, got {b}")
    out = n, c // (b * b), h * b, w * b
    if call.attribute("mode", "DCR") == "DCR":
        return lambda x: x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2).reshape(out)
    return lambda x: x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(out)


@operator("SpaceToDepth")
def make_space_to_depth(call: Call) -> Step:
    n, c, h, w = _image(call)
    b = int(call.attribute("blocksize"))
    if b < 1 or h % b or w % b:
        raise ValueError(f"blocksize expects a divisor of {h} x {w} pixels, got {b}")
    out = n, c * b * b, h // b, w // b
    if call.attribute("mode", "DCR") == "DCR":
        return lambda x: x.reshape(n, c, h // b, b, w // b, b).transpose(0, 3, 5, 1, 2, 4).reshape(out)
    return lambda x: x.reshape(n, c, h // b, b, w // b, b).transpose(0, 1, 3, 5, 2, 4).reshape(out)


def _image(call: Call) -> tuple[int, int, int, int]:
    shape = call.shape()
    if len(shape) != 4:
        raise ValueError(f"expects images of shape (N, C, H, W), got {shape}")
    return shape[0], shape[1], shape[2], shape[3]


@operator("Trilu")
def make_trilu(call: Call) -> Step:
    xp, k = call.xp, int(call.host(1).reshape(())) if call.has(1) else 0
    function = xp.triu if call.attribute("upper", 1) else xp.tril
    return lambda x, *more: function(x, k)


@operator("NonZero")
def make_non_zero(call: Call) -> Step:
    xp = call.xp
    call.depends = not all(call.constant)  # how many they are
    size = prod(call.shape())
    return lambda x: xp.stack(xp.nonzero(x)).astype("int64") if size else xp.zeros((x.ndim, 0), "int64")
