"""Pools: the kernels for images of two dimensions, and slices added up for all that these do not take."""

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Any

import numpy as np

from ... import _shapes
from ...pool import max_pool2d
from .table import Call, Filling, Step, fits, operator
from .windows import Pads, auto_pad, per_dimension, unknown_auto_pad, window_pads


class Window:
    """The geometry of a pool of images of any rank."""

    def __init__(self, call: Call) -> None:
        x, node = call.shape(0), call.node
        self.rank = rank = len(x) - 2
        if rank < 1:
            raise ValueError(f"expects images of at least 3 dimensions, got shape {x}")
        self.sizes = x[2:]
        self.kernel = per_dimension(node, "kernel_shape", rank)
        self.strides, self.dilations = per_dimension(node, "strides", rank), per_dimension(node, "dilations", rank)
        self.pads: Pads = window_pads(node, self.sizes, self.kernel, self.strides, self.dilations)
        self.ceil = bool(node.attributes.get("ceil_mode", 0)) and auto_pad(node) == "NOTSET"
        self.output = [
            _count(size, (k - 1) * d + 1, s, *pad, self.ceil)
            for size, k, d, s, pad in zip(
                self.sizes, self.kernel, self.dilations, self.strides, self.pads, strict=True
            )
        ]  # fmt: skip
        if min(self.output) < 1 or min(self.strides) < 1 or min(self.kernel) < 1:
            raise ValueError(f"expects a window within the padded image of {self.sizes}, got {self.kernel}")
        fits([*x[:2], *self.output, *self.kernel])  # the kernel, too: its elements are gone through

    def suits(self, dilates: bool) -> bool:
        """Whether our kernels take it: padding of at most half the window, two dimensions, or one as a row."""
        half = all(max(pad) <= k // 2 and min(pad) >= 0 for pad, k in zip(self.pads, self.kernel, strict=True))
        return self.rank <= 2 and half and (dilates or max(self.dilations) == 1)

    def arguments(self) -> tuple[Any, ...]:
        """(kernel_size, stride, padding, dilation) of max_pool2d; an image of one dimension is one row."""
        row = 2 - self.rank
        kernel, strides, dilations = [1] * row + self.kernel, [1] * row + self.strides, [1] * row + self.dilations
        return tuple(kernel), tuple(strides), tuple([(0, 0)] * row + self.pads), tuple(dilations)

    def padded(self, xp: Any, x: Any, value: Any) -> Any:
        """The image with its padding, and what windows reach beyond it."""
        around = [(0, 0), (0, 0)]
        for size, k, d, s, (before, after), count in zip(
            self.sizes, self.kernel, self.dilations, self.strides, self.pads, self.output, strict=True
        ):
            around.append((before, max(after, (count - 1) * s + (k - 1) * d + 1 - size - before)))
        shape = tuple(size + sum(pad) for size, pad in zip(x.shape, around, strict=True))
        out = xp.full(shape, value, x.dtype)
        inside = (slice(before, before + size) for size, (before, _) in zip(x.shape, around, strict=True))
        out[tuple(inside)] = x
        return out

    def taps(self, padded: Any) -> Iterator[Any]:
        """For each element of the window, what all windows have there."""
        for place in product(*map(range, self.kernel)):
            yield padded[(..., *(
                slice(i * d, i * d + (count - 1) * s + 1, s)
                for i, d, s, count in zip(place, self.dilations, self.strides, self.output, strict=True)
            ))]  # fmt: skip


def _count(size: int, extent: int, stride: int, before: int, after: int, ceil: bool) -> int:
    """Windows along one dimension; a last one that would start in the padding after the image is none."""
    count = (size + before + after - extent + (stride - 1 if ceil else 0)) // stride + 1
    return count - 1 if ceil and (count - 1) * stride >= size + before else count


@operator("MaxPool", refused=unknown_auto_pad)
def max_pool(call: Call) -> Step:
    """max_pool2d; ONNX's indices count through the whole array."""
    window, xp, shape = Window(call), call.xp, call.shape(0)
    out_shape = (*shape[:2], *window.output)
    with_indices = len(call.node.outputs) > 1 and call.node.outputs[1] != ""
    by_columns = bool(call.attribute("storage_order", 0))
    if not (call.is_float() and window.suits(dilates=True)):
        return _max_by_slices(call, window, with_indices, by_columns)
    kernel, stride, padding, dilation = window.arguments()
    flat = (*shape[:2], 1, *shape[2:]) if window.rank == 1 else shape
    firsts = (np.arange(prod(shape[:2]), dtype=np.int64) * prod(shape[2:])).reshape(*shape[:2], *[1] * window.rank)
    columns = shape[-1]
    if not with_indices and 0 not in shape:
        g, on = _shapes.pool2d("MaxPool", flat, kernel, stride, padding, dilation, window.ceil), call.on
        return Filling(on, out_shape, call.dtype(), lambda out, x: on.pool.max_pool2d(out, None, x, g))

    def run(x: Any) -> Any:
        x = x.reshape(flat)
        out, places = max_pool2d(x, kernel, stride, padding, dilation, window.ceil, return_indices=True)
        places = places.reshape(out_shape)
        if by_columns and window.rank == 2:
            places = places // columns + places % columns * shape[2]
        out = out.reshape(out_shape)
        return (out, xp.asarray(firsts) + places) if with_indices else out

    return run


def _max_by_slices(call: Call, window: Window, with_indices: bool, by_columns: bool) -> Step:
    xp, shape, dtype = call.xp, call.shape(0), call.dtype()
    least = -np.inf if call.is_float() else np.iinfo(dtype).min
    order = np.arange(prod(shape[2:]), dtype=np.int64).reshape(shape[2:])
    if by_columns:
        order = np.arange(prod(shape[2:]), dtype=np.int64).reshape(shape[:1:-1]).T
    numbers = np.arange(prod(shape[:2]), dtype=np.int64).reshape(*shape[:2], *[1] * window.rank) * prod(shape[2:])

    def run(x: Any) -> Any:
        taps = window.taps(window.padded(xp, x, least))
        if not with_indices:
            out = next(taps).copy()
            for tap in taps:
                xp.maximum(out, tap, out=out)
            return out
        places = window.taps(window.padded(xp, xp.asarray(numbers + order), -1))
        out, at = next(taps).copy(), next(places).copy()
        for tap, place in zip(taps, places, strict=True):
            better = (tap > out) | (at < 0) | (tap != tap)
            out, at = xp.where(better, tap, out), xp.where(better, place, at)
        return out, at

    return run


@operator("AveragePool", refused=unknown_auto_pad)
def average_pool(call: Call) -> Step:
    """avg_pool2d."""
    window, xp, shape, dtype = Window(call), call.xp, call.shape(0), call.dtype()
    out_shape, with_padding = (*shape[:2], *window.output), bool(call.attribute("count_include_pad", 0))
    if call.is_float() and window.suits(dilates=False):
        kernel, stride, padding, _ = window.arguments()
        flat = (*shape[:2], 1, *shape[2:]) if window.rank == 1 else shape
        g, on = _shapes.pool2d("AveragePool", flat, kernel, stride, padding, 1, window.ceil), call.on
        return Filling(on, out_shape, dtype, lambda out, x: on.pool.avg_pool2d(out, x, g, with_padding, 0))
    counted = np.ones((1, 1, *window.sizes), dtype)
    if with_padding:
        counted = np.ones((1, 1, *(size + sum(pad) for size, pad in zip(window.sizes, window.pads, strict=True))))
    around = window if not with_padding else _without_pads(call, window)
    counts = sum(around.taps(around.padded(np, counted, 0))).astype(dtype)

    def run(x: Any) -> Any:
        taps = window.taps(window.padded(xp, x, 0))
        out = next(taps).copy()
        for tap in taps:
            out += tap
        return out / xp.asarray(counts)

    return run


def _without_pads(call: Call, window: Window) -> Window:
    """The same windows over images whose padding is part of them."""
    other = Window(call)
    other.sizes = tuple(size + sum(pad) for size, pad in zip(window.sizes, window.pads, strict=True))
    other.pads = [(0, 0)] * window.rank
    return other


@operator("GlobalAveragePool")
def global_average_pool(call: Call) -> Step:
    """adaptive_avg_pool2d to one pixel."""
    shape = call.shape()
    plane, out = (*shape[:2], prod(shape[2:-1]), shape[-1]), (*shape[:2], *[1] * (len(shape) - 2))
    g, on = _shapes.adaptive_avg_pool2d("GlobalAveragePool", plane, 1), call.on
    return Filling(on, out, call.dtype(), lambda out, x: on.resize.adaptive_avg_pool2d(out, x, g))


@operator("GlobalMaxPool")
def global_max_pool(call: Call) -> Step:
    """The greatest of each plane."""
    axes = tuple(range(2, len(call.shape())))
    return lambda x: x.max(axes, keepdims=True)
