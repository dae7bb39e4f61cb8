"""Resize, of which Upsample is one: interpolate() where it makes the same, else weighted sums of neighbours.

Along each dimension an output is a sum of few inputs, its taps, whose places and shares are worked out once.
Source of the coordinates: https://onnx.ai/onnx/operators/onnx__Resize.html
"""

from collections.abc import Callable
from math import floor
from typing import Any, NamedTuple

import numpy as np

from ... import _shapes
from ..graph import Constants, Node
from .table import Call, Filling, Step, axis_of, fits, operator

_COORDINATES = (
    "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize", "half_pixel_symmetric",
    "tf_half_pixel_for_nn",
)  # fmt: skip
_TIE = 1e-5
"""What lies so near to the middle of two pixels, in float32, is taken for the middle."""
_NEAREST: dict[str, Callable[[Any], Any]] = {
    "round_prefer_floor": lambda x: np.floor(x) + (x - np.floor(x) > 0.5 + _TIE),
    "round_prefer_ceil": lambda x: np.floor(x) + (x - np.floor(x) >= 0.5 - _TIE),
    "floor": np.floor,
    "ceil": np.ceil,
}


class Taps(NamedTuple):
    """What the outputs along one dimension are made of."""

    axis: int
    places: np.ndarray[Any, Any]
    """(taps, outputs): inputs."""
    shares: np.ndarray[Any, Any]
    """(taps, outputs): what they are multiplied by."""
    outside: np.ndarray[Any, Any]
    """(outputs,): whether an output lies outside the image, and gets the extrapolation value."""


def _refused(node: Node, constants: Constants) -> str:
    attributes = node.attributes
    for name, known, default in (
        ("mode", ("nearest", "linear", "cubic"), "nearest"),
        ("coordinate_transformation_mode", _COORDINATES, "half_pixel"),
        ("nearest_mode", tuple(_NEAREST), "round_prefer_floor"),
        ("keep_aspect_ratio_policy", ("stretch", "not_larger", "not_smaller"), "stretch"),
    ):
        if attributes.get(name, default) not in known:
            return f"{name} {attributes[name]!r}"
    return ""


@operator("Resize", refused=_refused)
def make_resize(call: Call) -> Step:
    """Images, or any array, in another size."""
    shape, node = call.shape(), call.node
    axes = [axis_of(int(axis), len(shape)) for axis in call.attribute("axes") or range(len(shape))]
    out, factors = sizes(call, shape, axes)
    if min(out, default=1) < 1:
        raise ValueError(f"expects an output of at least 1 in each dimension, got {tuple(out)}")
    fits(out)
    kernel = _by_kernel(call, shape, out, factors)
    if kernel is not None:
        return kernel
    roi = [float(each) for each in call.host(1)] if call.has(1) and call.host(1).size else []
    mode, crops = call.attribute("mode", "nearest"), node.attributes.get("coordinate_transformation_mode")
    taps = []
    for number, axis in enumerate(axes):
        part = (roi[number], roi[number + len(axes)]) if roi and crops == "tf_crop_and_resize" else (0.0, 1.0)
        if out[axis] != shape[axis] or factors[axis] != 1 or part != (0.0, 1.0):
            taps.append(_taps(call, axis, shape[axis], out[axis], factors[axis], mode, part))
    value = float(call.attribute("extrapolation_value", 0.0))
    return _sum_of_taps(call, taps, mode, value)


def sizes(call: Call, shape: tuple[int, ...], axes: list[int]) -> tuple[list[int], list[float]]:
    """(the output's sizes, the factors) of all dimensions."""
    out, factors = list(shape), [1.0] * len(shape)
    if call.has(3) and call.host(3).size:
        sizes, policy = call.ints(3), call.attribute("keep_aspect_ratio_policy", "stretch")
        if len(sizes) != len(axes):
            raise ValueError(f"sizes expects {len(axes)} numbers, got {sizes}")
        each = [size / shape[axis] if shape[axis] else 1.0 for size, axis in zip(sizes, axes, strict=True)]
        if policy != "stretch":
            one = (min if policy == "not_larger" else max)(each)
            each, sizes = [one] * len(axes), [floor(one * shape[axis] + 0.5) for axis in axes]
        for axis, size, factor in zip(axes, sizes, each, strict=True):
            out[axis], factors[axis] = size, factor
        return out, factors
    given = [float(each) for each in call.host(2).reshape(-1)] if call.has(2) else []
    if len(given) != len(axes) or not all(0 < factor < float("inf") for factor in given):
        raise ValueError(f"scales expects {len(axes)} numbers greater than 0, got {given}")
    for axis, factor in zip(axes, given, strict=True):
        out[axis], factors[axis] = floor(shape[axis] * factor), factor
    return out, factors


def _by_kernel(call: Call, shape: tuple[int, ...], out: list[int], factors: list[float]) -> Step | None:
    """interpolate(), where it is the same, and None where not."""
    if len(shape) != 4 or out[:2] != list(shape[:2]) or not call.is_float() or call.attribute("antialias", 0):
        return None
    if out == list(shape) or factors[:2] != [1.0, 1.0]:
        return None
    mode = call.attribute("mode", "nearest")
    coordinates = call.attribute("coordinate_transformation_mode", "half_pixel")
    size = out[2], out[3]
    even = all(floor(size * factor) == size * factor for size, factor in zip(shape, factors, strict=True))
    if mode == "nearest":
        places = [_nearest(call, n, o, f)[0] for n, o, f in zip(shape[2:], size, factors[2:], strict=True)]
        torchs = [_torchs_nearest(n, o) for n, o in zip(shape[2:], size, strict=True)]
        if all(np.array_equal(ours, theirs) for ours, theirs in zip(places, torchs, strict=True)):
            return _interpolating(call, shape, size, False, False)
    elif mode == "linear" and (even or _given_sizes(call)):
        corners = coordinates == "align_corners"
        if corners or coordinates in ("half_pixel", "half_pixel_symmetric") or (
            coordinates == "pytorch_half_pixel" and min(size) > 1
        ):  # fmt: skip
            return _interpolating(call, shape, size, True, corners)
    return None


def _interpolating(call: Call, shape: tuple[int, ...], size: tuple[int, int], bilinear: bool, corners: bool) -> Filling:
    on, g = call.on, _shapes.interpolate("Resize", shape, size, None, corners)
    fill = on.resize.interpolate
    return Filling(on, g.output, call.dtype(), lambda out, x, *more: fill(out, x, g, bilinear, corners))


def _given_sizes(call: Call) -> bool:
    stretched = call.attribute("keep_aspect_ratio_policy", "stretch") == "stretch"
    return call.has(3) and call.host(3).size > 0 and stretched


def _torchs_nearest(size: int, count: int) -> Any:
    """The places that interpolate() copies from: floor(i * step), the step in float32."""
    step = np.float32(size) / np.float32(count)
    return np.minimum(np.floor(np.arange(count, dtype=np.float32) * step), size - 1).astype(np.int64)


def _coordinates(
    call: Call, size: int, count: int, factor: float, part: tuple[float, float] = (0.0, 1.0)
) -> np.ndarray[Any, Any]:
    """Where each of ``count`` outputs lies on an input of ``size``, in float32, as ONNX Runtime has it."""
    real = factor * size  # what the factor makes before it is rounded down
    real = count if abs(real - count) < 1e-6 * count else real
    factor = float(np.float32(factor))
    i, mode = np.arange(count, dtype=np.float32), call.attribute("coordinate_transformation_mode", "half_pixel")
    if mode == "align_corners":
        return i * 0 if count == 1 else i * (size - 1) / (real - 1)
    if mode == "asymmetric":
        return i / factor
    if mode == "tf_crop_and_resize":
        start, end = part
        if count == 1:
            return i * 0 + 0.5 * (start + end) * (size - 1)
        return start * (size - 1) + i * ((end - start) * (size - 1) / (real - 1))
    if mode == "tf_half_pixel_for_nn":
        return (i + 0.5) / factor
    if mode == "half_pixel_symmetric":
        return size / 2 * (1 - count / real) + (i + 0.5) / factor - 0.5
    if mode == "pytorch_half_pixel" and count == 1:
        return i * 0
    return (i + 0.5) / factor - 0.5


def _nearest(
    call: Call, size: int, count: int, factor: float, part: tuple[float, float] = (0.0, 1.0)
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(the input that each output copies, where it lies)."""
    x = _coordinates(call, size, count, factor, part)
    places = _NEAREST[call.attribute("nearest_mode", "round_prefer_floor")](x)
    return np.clip(places, 0, size - 1).astype(np.int64), x


def _taps(call: Call, axis: int, size: int, count: int, factor: float, mode: str, part: tuple[float, float]) -> Taps:
    if mode == "nearest":
        places, x = _nearest(call, size, count, factor, part)
        return Taps(axis, places[None], np.ones((1, count)), _outside(call, x, size))
    x = _coordinates(call, size, count, factor, part)
    first = np.ceil(x) - 1  # so that the place lies after it, by up to 1
    after = x - first
    a = float(call.attribute("cubic_coeff_a", -0.75))
    reach, share = (1, _linear) if mode == "linear" else (2, lambda d: _cubic(d, a))
    narrow = min(factor, 1.0) if call.attribute("antialias", 0) else 1.0
    start = floor(-reach / narrow) + 1
    offsets = np.arange(start, 2 - start if narrow < 1 or reach == 2 else 2)[:, None]
    if narrow == 1.0:
        offsets = np.arange(1 - reach, 1 + reach)[:, None]
    shares = share((offsets - after) * narrow)
    places = (first + offsets).astype(np.int64)
    if call.attribute("exclude_outside", 0):
        shares = np.where((places < 0) | (places >= size), 0, shares)
    if narrow < 1 or call.attribute("exclude_outside", 0):
        shares = shares / shares.sum(0)
    return Taps(axis, np.clip(places, 0, size - 1), shares, _outside(call, x, size))


def _outside(call: Call, x: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    crops = call.attribute("coordinate_transformation_mode") == "tf_crop_and_resize"
    outside: np.ndarray[Any, Any] = np.bool_(crops) & ((x < 0) | (x > size - 1))
    return outside


def _linear(distance: Any) -> Any:
    return np.clip(1 - np.abs(distance), 0, 1)


def _cubic(distance: Any, a: float) -> Any:
    """Keys' convolution kernel."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _sum_of_taps(call: Call, taps: list[Taps], mode: str, value: float) -> Step:
    xp, rank, dtype = call.xp, len(call.shape()), call.dtype()
    if not taps:
        return lambda x, *more: x
    shares = [[_along(row, each.axis, rank, xp, dtype) for row in each.shares] for each in taps]

    def run(x: Any, *more: Any) -> Any:
        for each, weights in zip(taps, shares, strict=True):
            if mode == "nearest":
                x = xp.take(x, xp.asarray(each.places[0]), each.axis)
                continue
            total = None
            for places, share in zip(each.places, weights, strict=True):
                part = xp.take(x, xp.asarray(places), each.axis) * share
                total = part if total is None else total + part
            x = total
        for each in taps:
            if each.outside.any():
                x = xp.where(_along(each.outside, each.axis, rank, xp, each.outside.dtype), dtype.type(value), x)
        return x.astype(dtype, copy=False)

    return run


def _along(row: np.ndarray[Any, Any], axis: int, rank: int, xp: Any, dtype: Any) -> Any:
    """A row of numbers that broadcasts along one dimension of ``rank``."""
    return xp.asarray(row.astype(dtype).reshape([-1 if i == axis else 1 for i in range(rank)]))
