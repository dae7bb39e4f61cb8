"""interpolate, adaptive_avg_pool2d and their gradients.

The kernels count their places from 0.  Where the size doubles (or a power of two of it), a block does so as well,
with a row more on each side, and what is too much is cut off.  Else the places of a block are those of the whole
image, by the scalars of the CPU's kernels, and NumPy sums or mixes the rows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import dask.array as da
import numpy as np

from .. import cpu
from .._backend import Array
from .._shapes import AdaptiveAvgPool2d, Resize
from . import arrays, pool, pool_grad
from .conv import images
from .windows import Cut, counts, gathered, in_proportion, per_block, read


def _python(scalar: Any) -> Any:
    return getattr(scalar, "py_func", scalar)


_nearest_place, _blend_places = _python(cpu.resize.nearest_place), _python(cpu.resize.blend_places)
_window_begin, _window_end = _python(cpu.resize.window_begin), _python(cpu.resize.window_end)


class Axis(NamedTuple):
    """interpolate along one dimension."""

    size: int  # of the input
    total: int  # of the output
    step: float
    bilinear: bool
    corners: bool

    @property
    def factor(self) -> int:
        """The power of two that the size is multiplied by in exact steps, or 0."""
        factor = self.total // self.size
        exact = factor * self.size == self.total and factor & (factor - 1) == 0 and self.step * factor == 1
        return factor if exact and not self.corners else 0

    def mixes(self, i: int, dtype: Any) -> tuple[int, int, Any]:
        """The two neighbours of output i and the share of the second."""
        if not self.bilinear:
            place = int(_nearest_place(i, self.size, self.total, np.float32(self.step)))
            return place, place, dtype.type(0)
        first, second, share = _blend_places(i, self.size, self.total, dtype.type(self.step), self.corners)
        return int(first), int(second), share


def axes_of(g: Resize, bilinear: bool, corners: bool) -> tuple[Axis, Axis]:
    return (
        Axis(g.height, g.out_height, g.step_h, bilinear, corners),
        Axis(g.width, g.out_width, g.step_w, bilinear, corners),
    )


def interpolate(out: Array, input: Array, g: Resize, bilinear: bool, corners: bool) -> None:
    x, axes = arrays.lazy(input), axes_of(g, bilinear, corners)
    cuts = []
    for axis, chunks in zip(axes, x.chunks[2:], strict=True):
        outputs = in_proportion(chunks, axis.total, axis.total, axis.size)
        cuts.append([_read_by(axis, first, end, x.dtype) for first, end in outputs])
    made = _by_windows(_interpolate, "interpolate", x, cuts, axes=axes)
    arrays.fill(out, made)


def interpolate_backward(out: Array, grad_output: Array, g: Resize, bilinear: bool, corners: bool) -> None:
    go, axes = arrays.lazy(grad_output), axes_of(g, bilinear, corners)
    cuts = []
    for axis, chunks in zip(axes, go.chunks[2:], strict=True):
        inputs = in_proportion(chunks, axis.size, axis.size, axis.total)
        cuts.append([_made_of(axis, first, end, go.dtype) for first, end in inputs])
    arrays.fill(out, _by_windows(_interpolate_backward, "interpolate_backward", go, cuts, axes=axes))


def adaptive_avg_pool2d(out: Array, input: Array, g: AdaptiveAvgPool2d) -> None:
    x = images(input)
    if g.windows is not None and (g.out_height, g.out_width) != (1, 1):
        pool.avg_pool2d(out, input, g.windows, True, 0)
        return
    if (g.out_height, g.out_width) == (1, 1):
        if x.numblocks[2:] == (1, 1):
            made = arrays.blockwise(_means, "ncyx", x, "ncyx", dtype=x.dtype, name="adaptive_avg_pool2d",
                                    adjust_chunks={"y": 1, "x": 1})  # fmt: skip
        else:
            total = x.sum(axis=(2, 3), keepdims=True, dtype=np.float64)
            made = arrays.blocks(_divided, total, dtype=x.dtype, size=g.height * g.width, wanted=x.dtype)
    else:
        cuts = []
        for chunks, size, count in zip(x.chunks[2:], (g.height, g.width), (g.out_height, g.out_width), strict=True):
            outputs = in_proportion(chunks, count, count, size)
            cuts.append(
                [Cut(a, b, _window_begin(a, size, count), _window_end(b - 1, size, count), 0) for a, b in outputs]
            )
        made = _by_windows(_adaptive, "adaptive_avg_pool2d", x, cuts, g=g)
    arrays.fill(out, made if len(g.output) == 4 else made[0])


def adaptive_avg_pool2d_backward(out: Array, grad_output: Array, g: AdaptiveAvgPool2d) -> None:
    if g.windows is not None and (g.out_height, g.out_width) != (1, 1):
        pool_grad.avg_pool2d_backward(out, grad_output, g.windows, True, 0)
        return
    go = images(grad_output)
    if (g.out_height, g.out_width) == (1, 1):
        shares = arrays.blocks(_share, go, dtype=go.dtype, size=g.height * g.width)
        auto = da.core.normalize_chunks(
            (*go.chunks[:2], "auto", "auto"), (*go.shape[:2], g.height, g.width), dtype=go.dtype
        )
        made = da.broadcast_to(shares, (*go.shape[:2], g.height, g.width), chunks=auto)
    else:  # the gradient is the small side: a block has all of its height and width
        made = arrays.blockwise(
            _adaptive_backward, "ncyx", arrays.whole(go, 2, 3), "ncyx", dtype=go.dtype,
            name="adaptive_avg_pool2d_backward", adjust_chunks={"y": (g.height,), "x": (g.width,)}, g=g,
        )  # fmt: skip
    arrays.fill(out, made if len(g.output) == 4 else made[0])


# ---------------------------------------------------------------------------------------------------------- the graph


def _by_windows(function: Callable[..., Any], name: str, x: Any, cuts: list[list[Cut]], **options: Any) -> Any:
    rows, columns = cuts
    return arrays.blockwise(
        function, "ncyx", gathered(x, {2: read(rows), 3: read(columns)}), "ncyx", per_block(rows), "y",
        per_block(columns), "x", dtype=x.dtype, name=name, adjust_chunks={"y": counts(rows), "x": counts(columns)},
        **options,
    )  # fmt: skip


def _read_by(axis: Axis, first: int, end: int, dtype: Any) -> Cut:
    """What outputs first, ..., end - 1 read; in exact steps with a row more on each side."""
    if axis.factor:
        more = 1 if axis.bilinear else 0
        start = max(first // axis.factor - more, 0)
        return Cut(first, end, start, min((end - 1) // axis.factor + 1 + more, axis.size), 0)
    return Cut(first, end, axis.mixes(first, dtype)[0], axis.mixes(end - 1, dtype)[1] + 1, 0)


def _made_of(axis: Axis, first: int, end: int, dtype: Any) -> Cut:
    """Which outputs were made of the inputs first, ..., end - 1; in exact steps those of a row more on each side."""
    if axis.factor:
        more = 1 if axis.bilinear else 0
        start, stop = max(first - more, 0), min(end + more, axis.size)
        return Cut(first, end, start * axis.factor, stop * axis.factor, 0)
    low, high = 0, axis.total  # the first output whose second neighbour is not before `first`
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if axis.mixes(middle, dtype)[1] < first else (low, middle)
    start, low, high = low, low, axis.total  # the first whose first neighbour is not before `end`
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if axis.mixes(middle, dtype)[0] < end else (low, middle)
    start = min(start, axis.total - 1)
    return Cut(first, end, start, max(low, start + 1), 0)


# ----------------------------------------------------------------------------------------------------- what tasks call


def _resize(planes: tuple[int, int], small: tuple[int, int], axes: tuple[Axis, Axis]) -> Resize:
    """The geometry of a block of small rows and columns in exact steps."""
    large = small[0] * axes[0].factor, small[1] * axes[1].factor
    return Resize((*planes, *large), planes[0] * planes[1], *large, *small, axes[0].step, axes[1].step)


def _interpolate(x: Any, rows: Cut, columns: Cut, *, axes: tuple[Axis, Axis]) -> Any:
    (x,) = arrays.entered(x)
    if axes[0].factor and axes[1].factor:
        g = _resize(x.shape[:2], x.shape[2:], axes)
        out = cpu.empty(g.output, x.dtype)
        if out.size:
            cpu.resize.interpolate(out, x, g, axes[0].bilinear, False)
        top, left = (cut.first - cut.start * axis.factor for cut, axis in zip((rows, columns), axes, strict=True))
        return out[:, :, top : top + rows.outputs, left : left + columns.outputs]
    with np.errstate(all="ignore"):
        for dim, cut, axis in ((2, rows, axes[0]), (3, columns, axes[1])):
            first, second, shares = _table(axis, cut.first, cut.end, x.dtype)
            near, far = np.take(x, first - cut.start, dim), None
            if axis.bilinear:
                shares = shares.reshape([-1 if i == dim else 1 for i in range(4)])
                far = np.take(x, second - cut.start, dim)
                near = near * (1 - shares) + far * shares
            x = near
    return x


def _table(axis: Axis, first: int, end: int, dtype: Any) -> tuple[Any, Any, Any]:
    """The neighbours of outputs first, ..., end - 1, and the shares of the second ones."""
    found = [axis.mixes(i, dtype) for i in range(first, end)]
    firsts, seconds, shares = zip(*found, strict=True)
    return np.array(firsts), np.array(seconds), np.array(shares, dtype)


def _interpolate_backward(gradient: Any, rows: Cut, columns: Cut, *, axes: tuple[Axis, Axis]) -> Any:
    (gradient,) = arrays.entered(gradient)
    if axes[0].factor and axes[1].factor:
        small = tuple(size // axis.factor for size, axis in zip(gradient.shape[2:], axes, strict=True))
        g = _resize(gradient.shape[:2], small, axes)
        out = cpu.empty((*gradient.shape[:2], *small), gradient.dtype)
        if out.size:
            cpu.resize.interpolate_backward(out, gradient, g, axes[0].bilinear, False)
        top, left = (cut.first - cut.start // axis.factor for cut, axis in zip((rows, columns), axes, strict=True))
        return out[:, :, top : top + rows.outputs, left : left + columns.outputs]
    with np.errstate(all="ignore"):
        for dim, cut, axis in ((2, rows, axes[0]), (3, columns, axes[1])):
            first, second, shares = _table(axis, cut.start, cut.stop, gradient.dtype)
            lines = np.moveaxis(gradient, dim, 0)
            shares = shares.reshape(-1, *(1,) * (lines.ndim - 1))
            if axis.bilinear:
                alone = (first == second).reshape(shares.shape)
                near = np.where(alone, lines, lines * (1 - shares))
                total = _sums(near, first, cut) + _sums(np.where(alone, 0, lines * shares), second, cut)
            else:
                total = _sums(lines, first, cut)
            gradient = np.moveaxis(total, 0, dim)
    return np.ascontiguousarray(gradient)


def _sums(lines: Any, places: Any, cut: Cut) -> Any:
    """The sums of the lines of each place first, ..., end - 1; the places ascend."""
    out = np.zeros((cut.outputs, *lines.shape[1:]), lines.dtype)
    starts = np.searchsorted(places, np.arange(cut.first, cut.end + 1))
    filled = np.flatnonzero(np.diff(starts))
    if len(filled):
        used = lines[: starts[-1]]
        out[filled] = np.add.reduceat(used, starts[filled], axis=0)
    return out


def _means(x: Any) -> Any:
    (x,) = arrays.entered(x)
    out = cpu.empty((*x.shape[:2], 1, 1), x.dtype)
    g = AdaptiveAvgPool2d(out.shape, out.size, 1, 1, x.shape[2], x.shape[3], None)
    if out.size:
        cpu.resize.adaptive_avg_pool2d(out, x, g)
    return out


def _divided(total: Any, *, size: int, wanted: Any) -> Any:
    with np.errstate(all="ignore"):
        return (total / size).astype(wanted)


def _share(gradient: Any, *, size: int) -> Any:
    with np.errstate(all="ignore"):
        return gradient / gradient.dtype.type(size)


def _adaptive(x: Any, rows: Cut, columns: Cut, *, g: AdaptiveAvgPool2d) -> Any:
    """Rows are added up, then columns, one after the other as the kernel does it."""
    with np.errstate(all="ignore"):
        lines = np.moveaxis(x, 2, 0)
        for cut, size, count, back in ((rows, g.height, g.out_height, 2), (columns, g.width, g.out_width, 3)):
            windows = [(_window_begin(i, size, count), _window_end(i, size, count)) for i in range(cut.first, cut.end)]
            sums = [lines[a - cut.start : b - cut.start].sum(axis=0) for a, b in windows]
            lines = np.moveaxis(np.stack(sums), 0, back)
            if back == 2:
                heights = np.array([b - a for a, b in windows], x.dtype)
                lines = np.ascontiguousarray(np.moveaxis(lines, 3, 0))
        widths = np.array([b - a for a, b in windows], x.dtype)
        return lines / (widths * heights[:, None])


def _adaptive_backward(gradient: Any, *, g: AdaptiveAvgPool2d) -> Any:
    (gradient,) = arrays.entered(gradient)
    out = cpu.empty((*gradient.shape[:2], g.height, g.width), gradient.dtype)
    if out.size:
        cpu.resize.adaptive_avg_pool2d_backward(out, gradient, g._replace(output=out.shape))
    return out
