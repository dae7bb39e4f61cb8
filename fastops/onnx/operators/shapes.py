"""Shapes and dtypes: what a plan folds away, and what only looks at the same elements in another shape."""

from math import prod

import numpy as np

from ..dtypes import DTYPES
from ..graph import Constants, Node
from .table import Call, Step, axis_of, fits, operator


@operator("Identity")
def make_identity(call: Call) -> Step:
    return lambda x: x


@operator("Shape", of_shapes=True)
def make_shape(call: Call) -> Step:
    """The sizes from ``start`` to ``end``."""
    start, end = call.attribute("start", 0), call.attribute("end")
    return lambda x: np.array(x.shape[start:end], np.int64)


@operator("Size", of_shapes=True)
def make_size(call: Call) -> Step:
    return lambda x: np.array(prod(x.shape), np.int64)


@operator("Reshape")
def make_reshape(call: Call) -> Step:
    """0 keeps a size, unless ``allowzero`` takes it as said; -1 is what is left."""
    old, new = call.shape(), call.ints(1)
    if not call.attribute("allowzero", 0):
        if any(size == 0 and i >= len(old) for i, size in enumerate(new)):
            raise ValueError(f"expects sizes of {len(old)} dimensions to keep, got {new}")
        new = [old[i] if size == 0 else size for i, size in enumerate(new)]
    return _reshaped(old, new)


def _reshaped(old: tuple[int, ...], new: list[int]) -> Step:
    """A reshape to sizes of which one may be -1."""
    shape, known = list(new), prod(size for size in new if size != -1)
    if shape.count(-1) == 1 and known:
        shape[shape.index(-1)] = prod(old) // known
    if min(shape, default=0) < 0 or prod(shape) != prod(old):
        raise ValueError(f"expects a shape for the {prod(old)} elements of {old}, got {new}")
    return lambda x, *more: x.reshape(shape)


@operator("Flatten")
def make_flatten(call: Call) -> Step:
    """A matrix: the dimensions before the axis, and those from it on."""
    shape, axis = call.shape(), int(call.attribute("axis", 1))
    axis = axis if axis == len(shape) else axis_of(axis, len(shape))
    flat = prod(shape[:axis]), prod(shape[axis:])
    return lambda x: x.reshape(flat)


@operator("Squeeze")
def make_squeeze(call: Call) -> Step:
    shape = call.shape()
    axes = {axis_of(axis, len(shape)) for axis in call.ints(1)} if call.has(1) else None
    if axes is not None and any(shape[axis] != 1 for axis in axes):
        raise ValueError(f"expects dimensions of size 1 at {sorted(axes)}, got shape {shape}")
    left = tuple(size for i, size in enumerate(shape) if (size != 1 if axes is None else i not in axes))
    return lambda x, *more: x.reshape(left)


@operator("Unsqueeze")
def make_unsqueeze(call: Call) -> Step:
    old, axes = iter(call.shape()), call.ints(1)
    rank = len(call.shape()) + len(axes)
    places = {axis_of(axis, rank) for axis in axes}
    if len(places) != len(axes):
        raise ValueError(f"expects axes that differ, got {axes}")
    shape = tuple(1 if i in places else next(old) for i in range(rank))
    return lambda x, *more: x.reshape(shape)


def _unknown_dtype(node: Node, constants: Constants) -> str:
    return "" if node.attributes.get("to") in DTYPES else f"dtype {node.attributes.get('to')}"


@operator("Cast", refused=_unknown_dtype)
def make_cast(call: Call) -> Step:
    dtype = DTYPES[call.attribute("to")]
    return lambda x: x.astype(dtype, copy=False)


@operator("CastLike")
def make_cast_like(call: Call) -> Step:
    dtype = call.dtype(1)
    return lambda x, like: x.astype(dtype, copy=False)


@operator("ConstantOfShape")
def make_constant_of_shape(call: Call) -> Step:
    """One value, a float32 0 where none is given, in the shape that input 0 says."""
    value, shape, xp = call.attribute("value", np.zeros(1, np.float32)), fits(call.ints(0)), call.xp
    return lambda sizes: xp.full(shape, value.reshape(-1)[0], value.dtype)


@operator("Range")
def make_range(call: Call) -> Step:
    """From start to limit by delta, without limit."""
    start, limit, delta = (call.host(i).reshape(()) for i in range(3))
    if delta == 0:
        raise ValueError("expects a delta other than 0, got 0")
    count, xp = max(int(np.ceil((limit - start) / delta)), 0), call.xp
    fits([count])
    values = (start + np.arange(count, dtype=start.dtype) * delta).astype(start.dtype)
    return lambda *bounds: xp.asarray(values)


@operator("EyeLike")
def make_eye(call: Call) -> Step:
    xp, dtype = call.xp, DTYPES[call.attribute("dtype")] if call.attribute("dtype") else call.dtype()
    (rows, columns), k = call.shape(), int(call.attribute("k", 0))
    return lambda x: xp.eye(rows, columns, k, dtype)
