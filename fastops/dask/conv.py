"""conv2d, conv_transpose2d and the gradients of their parameters: each block reads its own window of the input."""

from functools import reduce
from typing import Any, NamedTuple

import dask.array as da
import numpy as np

from .. import cpu
from .._backend import Array
from .._shapes import Conv2d
from . import arrays
from .windows import (
    Cut,
    counts,
    cut_transposed,
    cut_windows,
    gathered,
    per_block,
    read,
    spans,
    spans_of_transposed,
    spans_of_windows,
)  # fmt: skip

Span = tuple[int, int]


def conv2d(
    out: Array, input: Array, weight: Array, bias: Array | None, g: Conv2d, fast: bool = False, kept: Any = None,
    add: Array | None = None, activation: Any = None,
) -> None:  # fmt: skip
    arrays.fill(out, _convolution(input, weight, bias, g, False, fast, add, activation))


def conv_transpose2d(
    out: Array, input: Array, weight: Array, bias: Array | None, g: Conv2d, fast: bool = False, kept: Any = None,
    add: Array | None = None, activation: Any = None,
) -> None:  # fmt: skip
    arrays.fill(out, _convolution(input, weight, bias, g, True, fast, add, activation))


def grad_weight(out: Array, map: Array, image: Array, g: Conv2d) -> None:
    """Partial sums of blocks of the map, which join in float64."""
    map, image = images(map), images(image)
    rows = cut_windows(spans(map.chunks[2]), g.image_height, g.stride_h, g.pad_top, _extent(g)[0])
    columns = cut_windows(spans(map.chunks[3]), g.image_width, g.stride_w, g.pad_left, _extent(g)[1])
    image = image.rechunk({0: map.chunks[0]})
    if g.groups > 1:
        map, image = arrays.whole(map, 1), arrays.whole(image, 1)
    image = gathered(image, {2: read(rows), 3: read(columns)})
    ones = dict.fromkeys("nyx", 1)
    of_group = {"c": image.chunks[1] if g.groups == 1 else (out.shape[1],)}
    parts = arrays.blockwise(
        _grad_weight, "nyxockl", map, "noyx", image, "ncyx", per_block(rows), "y", per_block(columns), "x",
        dtype=out.dtype, name="grad-weight", new_axes={"k": g.kernel_height, "l": g.kernel_width},
        adjust_chunks=ones | of_group, g=g,
    )  # fmt: skip
    arrays.fill(out, parts.sum(axis=(0, 1, 2), dtype=np.float64).astype(out.dtype))


def grad_bias(out: Array, grad_output: Array, batch: int) -> None:
    arrays.fill(out, images(grad_output).sum(axis=(0, 2, 3), dtype=np.float64).astype(out.dtype))


# ---------------------------------------------------------------------------------------------------------- the graph


def images(array: Array) -> Any:
    """A dask array (N, C, H, W) of one that may lack N."""
    array = arrays.lazy(array)
    return array if array.ndim == 4 else array[None]


def _extent(g: Conv2d) -> Span:
    return (g.kernel_height - 1) * g.dilation_h + 1, (g.kernel_width - 1) * g.dilation_w + 1


def _convolution(
    input: Array, weight: Array, bias: Array | None, g: Conv2d, transposed: bool, fast: bool, add: Array | None,
    activation: Any,
) -> Any:  # fmt: skip
    x, channels = images(input), g.image_channels if transposed else g.map_channels
    heights = g.stride_h, g.pad_top, _extent(g)[0]
    widths = g.stride_w, g.pad_left, _extent(g)[1]
    if transposed:
        y, x_ = (spans_of_transposed(x.chunks[i], (g.image_height, g.image_width)[i - 2], *each)
                 for i, each in ((2, heights), (3, widths)))  # fmt: skip
        rows, columns = cut_transposed(y, g.map_height, *heights), cut_transposed(x_, g.map_width, *widths)
    else:
        y, x_ = (spans_of_windows(x.chunks[i], (g.map_height, g.map_width)[i - 2], *each)
                 for i, each in ((2, heights), (3, widths)))  # fmt: skip
        rows, columns = cut_windows(y, g.image_height, *heights), cut_windows(x_, g.image_width, *widths)
    windows = gathered(x, {2: read(rows), 3: read(columns)})
    weight, bias = arrays.lazy(weight), None if bias is None else arrays.whole(bias)
    if add is not None:
        add = images(add).rechunk((x.chunks[0], -1, counts(rows), counts(columns)))
    outputs = []
    for part in _parts(g, transposed, x.chunks[1], weight.chunks[1 if transposed else 0]):
        shift = None if bias is None else bias[part.first : part.end]
        more = None if add is None else add[:, part.first : part.end]
        outputs.append(_part(windows, weight, shift, more, part, g, rows, columns, transposed, fast, activation))
    out = da.concatenate(outputs, axis=1) if len(outputs) > 1 else outputs[0]
    if out.chunks[1] != (wanted := _output_chunks(g, transposed, x.chunks[1], weight.chunks[1 if transposed else 0])):
        out = out.rechunk({1: wanted})
    assert out.shape[1] == channels
    return out if len(g.output) == 4 else out[0]


class _Part(NamedTuple):
    """Output channels first, ..., end - 1, which are made of some groups or of some outputs of one group."""

    first: int
    end: int
    groups: int
    inputs: list[Span]  # the input channels, in pieces whose results are added, in order
    weights: list[tuple[slice, slice]]  # of the first two dimensions of the weight, for each


def _output_chunks(g: Conv2d, transposed: bool, inputs: tuple[int, ...], weights: tuple[int, ...]) -> tuple[int, ...]:
    """Output channels follow the weight's chunks; where it has one, and groups, those of the input."""
    ins, outs = (g.map_channels, g.image_channels) if transposed else (g.image_channels, g.map_channels)
    per_in, per_out = ins // g.groups, outs // g.groups
    if not transposed and len(weights) > 1:
        return weights
    if transposed and len(weights) > 1 and g.groups == 1:
        return weights
    edges = sorted({end // per_in * per_out for _, end in spans(inputs)} | {0, outs}) if g.groups > 1 else [0, outs]
    return tuple(b - a for a, b in zip(edges, edges[1:], strict=False))


def _parts(g: Conv2d, transposed: bool, inputs: tuple[int, ...], weights: tuple[int, ...]) -> list[_Part]:
    ins, outs = (g.map_channels, g.image_channels) if transposed else (g.image_channels, g.map_channels)
    per_in, per_out = ins // g.groups, outs // g.groups
    parts = []
    for first, end in spans(_output_chunks(g, transposed, inputs, weights)):
        while first < end:
            group, within = divmod(first, per_out)
            groups = (end - first) // per_out if within == 0 else 0
            stop = first + groups * per_out if groups else min(end, (group + 1) * per_out)
            low, high = group * per_in, (group + max(groups, 1)) * per_in
            pieces = [(low, high)]
            if groups <= 1:
                pieces = [(max(a, low), min(b, high)) for a, b in spans(inputs) if a < high and b > low]
            chosen = []
            for a, b in pieces:
                if transposed:
                    of_group = slice(0, per_out) if groups else slice(within, within + stop - first)
                    chosen.append((slice(a, b), of_group))
                else:
                    chosen.append((slice(first, stop), slice(0, per_in) if groups > 1 else slice(a - low, b - low)))
            parts.append(_Part(first, stop, max(groups, 1), pieces, chosen))
            first = stop
    return parts


def _part(
    windows: Any, weight: Any, bias: Any, add: Any, part: _Part, g: Conv2d, rows: list[Cut], columns: list[Cut],
    transposed: bool, fast: bool, activation: Any,
) -> Any:  # fmt: skip
    """Some output channels: one convolution, or several of pieces of the input's channels, added in order."""
    alone = len(part.inputs) == 1
    sums: list[Any] = []
    for (a, b), chosen in zip(part.inputs, part.weights, strict=True):
        taps = arrays.literal(weight[chosen])
        args: list[Any] = [arrays.whole(windows[:, a:b], 1), "ncyx", taps, None, per_block(rows), "y",
                           per_block(columns), "x"]  # fmt: skip
        args += [None if sums else arrays.literal(bias), None]
        args += [add, "ncyx"] if add is not None and alone else [None, None]
        sums.append(
            arrays.blockwise(
                _convolve, "ncyx", *args, dtype=windows.dtype, name="conv_transpose2d" if transposed else "conv2d",
                adjust_chunks={"c": (part.end - part.first,), "y": counts(rows), "x": counts(columns)},
                g=g, groups=part.groups, transposed=transposed, fast=fast, activation=activation if alone else None,
            )
        )  # fmt: skip
    if alone:
        return sums[0]
    more = [] if add is None else [add]
    total = reduce(lambda a, b: arrays.blocks(_add, a, b, dtype=a.dtype), [*sums, *more])
    return total if activation is None else arrays.blocks(_activate, total, dtype=total.dtype, activation=activation)


# ----------------------------------------------------------------------------------------------------- what tasks call


def _convolve(
    x: Any, weight: Any, rows: Cut, columns: Cut, bias: Any, add: Any, *, g: Conv2d, groups: int, transposed: bool,
    fast: bool, activation: Any,
) -> Any:  # fmt: skip
    x, weight, bias, add = arrays.entered(x, weight, bias, add)
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    shape = len(x), channels, rows.outputs, columns.outputs
    own = of_block(g, shape, x.shape, rows, columns, groups, transposed)
    out = cpu.empty(shape, x.dtype)
    if out.size:
        entry = cpu.conv.conv_transpose2d if transposed else cpu.conv.conv2d
        entry(out, x, weight, bias, own, fast, None, add, activation)
    return out


def of_block(
    g: Conv2d, output: tuple[int, ...], input: tuple[int, ...], rows: Cut, columns: Cut, groups: int, transposed: bool
) -> Conv2d:
    """The geometry of one block, whose output and input have these shapes."""
    image, map = (output, input) if transposed else (input, output)
    return g._replace(
        output=output, batch=output[0], groups=groups, image_channels=image[1], image_height=image[2],
        image_width=image[3], map_channels=map[1], map_height=map[2], map_width=map[3], pad_top=rows.pad,
        pad_left=columns.pad,
    )  # fmt: skip


def _grad_weight(map: Any, image: Any, rows: Cut, columns: Cut, *, g: Conv2d) -> Any:
    map, image = arrays.entered(map, image)
    own = of_block(g, map.shape, image.shape, rows, columns, g.groups, False)
    out = cpu.zeros((map.shape[1], image.shape[1] // g.groups, g.kernel_height, g.kernel_width), map.dtype)
    if out.size and map.size:
        cpu.conv.grad_weight(out, map, image, own)
    return out[None, None, None]


def _add(a: Any, b: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.add(a, b)


def _activate(x: Any, *, activation: tuple[Any, ...]) -> Any:
    (x,) = arrays.entered(x)
    out, (name, *numbers) = cpu.empty(x.shape, x.dtype), activation
    getattr(cpu.elementwise, name)(out, x, *numbers)
    return out
