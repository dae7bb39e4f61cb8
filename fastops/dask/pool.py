"""max_pool2d and avg_pool2d: each block reads its own window of the input."""

from typing import Any

import numpy as np

from .. import cpu
from .._backend import Array
from .._shapes import Pool2d
from . import arrays
from .conv import images
from .windows import Cut, counts, cut_windows, gathered, per_block, read, spans_of_windows


def max_pool2d(out: Array, indices: Array | None, input: Array, g: Pool2d) -> None:
    if indices is None:
        arrays.fill(out, _pooled(_max_pool2d, "max_pool2d", input, g))
        return
    both = _pooled(_max_pool2d_indices, "max_pool2d", input, g)
    for part, array in enumerate((out, indices)):
        arrays.fill(array, arrays.blocks(_part, both, dtype=array.dtype, part=part))


def avg_pool2d(out: Array, input: Array, g: Pool2d, count_include_pad: bool, divisor: int) -> None:
    arrays.fill(out, _pooled(_avg_pool2d, "avg_pool2d", input, g, include_pad=count_include_pad, divisor=divisor))


def extents(g: Pool2d) -> tuple[int, int]:
    return (g.kernel_height - 1) * g.dilation_h + 1, (g.kernel_width - 1) * g.dilation_w + 1


def _pooled(function: Any, name: str, input: Array, g: Pool2d, **options: Any) -> Any:
    x, (height, width) = images(input), extents(g)
    of_rows, of_columns = (g.stride_h, g.pad_top, height), (g.stride_w, g.pad_left, width)
    rows = cut_windows(spans_of_windows(x.chunks[2], g.out_height, *of_rows), g.height, *of_rows)
    columns = cut_windows(spans_of_windows(x.chunks[3], g.out_width, *of_columns), g.width, *of_columns)
    out = arrays.blockwise(
        function, "ncyx", gathered(x, {2: read(rows), 3: read(columns)}), "ncyx", per_block(rows), "y",
        per_block(columns), "x", dtype=x.dtype, name=name, adjust_chunks={"y": counts(rows), "x": counts(columns)},
        g=g, **options,
    )  # fmt: skip
    return out if len(g.output) == 4 else out[0]


# ----------------------------------------------------------------------------------------------------- what tasks call


def of_block(g: Pool2d, output: tuple[int, ...], input: tuple[int, ...], rows: Cut, columns: Cut) -> Pool2d:
    """The geometry of one block; padding below and to the right as far as its windows reach and the image has it."""
    return g._replace(
        output=output, planes=output[0] * output[1], out_height=output[2], out_width=output[3], height=input[2],
        width=input[3], pad_top=rows.pad, pad_left=columns.pad, pad_bottom=g.height + g.pad_bottom - rows.stop,
        pad_right=g.width + g.pad_right - columns.stop,
    )  # fmt: skip


def _block(x: Any, rows: Cut, columns: Cut, g: Pool2d) -> tuple[Any, Any, Pool2d]:
    (x,) = arrays.entered(x)
    out = cpu.empty((*x.shape[:2], rows.outputs, columns.outputs), x.dtype)
    return out, x, of_block(g, out.shape, x.shape, rows, columns)


def _max_pool2d(x: Any, rows: Cut, columns: Cut, *, g: Pool2d) -> Any:
    out, x, own = _block(x, rows, columns, g)
    if out.size:
        cpu.pool.max_pool2d(out, None, x, own)
    return out


def _max_pool2d_indices(x: Any, rows: Cut, columns: Cut, *, g: Pool2d) -> Any:
    """(maxima, their places on the whole image)."""
    out, x, own = _block(x, rows, columns, g)
    indices = cpu.empty(out.shape, np.dtype(np.int64))
    if out.size:
        cpu.pool.max_pool2d(out, indices, x, own)
    y, x_ = np.divmod(indices, own.width)
    return out, np.where(indices < 0, indices, (y + rows.start) * g.width + x_ + columns.start)


def _part(both: Any, *, part: int) -> Any:
    return both[part]


def _avg_pool2d(x: Any, rows: Cut, columns: Cut, *, g: Pool2d, include_pad: bool, divisor: int) -> Any:
    out, x, own = _block(x, rows, columns, g)
    if out.size:
        cpu.pool.avg_pool2d(out, x, own, include_pad, divisor)
    return out
