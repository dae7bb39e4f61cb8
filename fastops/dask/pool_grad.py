"""The gradients of max_pool2d and avg_pool2d.

A block of the result is made with all of the windows that hold a part of it, and what these windows hold beyond it is
cut off.
"""

from typing import Any

import numpy as np

from .. import cpu
from .._backend import Array
from .._shapes import Pool2d
from . import arrays
from .conv import images
from .pool import extents, of_block
from .windows import Cut, counts, cut_transposed, gathered, per_block, read, spans_of_transposed, widened

Cuts = tuple[Cut, Cut]


def max_pool2d_backward(out: Array, grad_output: Array, indices: Array, g: Pool2d) -> bool:
    """True: an index that is not on the input is refused by the block that meets it."""
    arrays.fill(out, _spread(_max_pool2d, "max_pool2d_backward", (grad_output, indices), g))
    return True


def avg_pool2d_backward(out: Array, grad_output: Array, g: Pool2d, count_include_pad: bool, divisor: int) -> None:
    options = {"include_pad": count_include_pad, "divisor": divisor}
    arrays.fill(out, _spread(_avg_pool2d, "avg_pool2d_backward", (grad_output,), g, **options))


def _spread(function: Any, name: str, given: tuple[Array, ...], g: Pool2d, **options: Any) -> Any:
    lazies, (height, width) = [images(array) for array in given], extents(g)
    chunks = lazies[0].chunks
    of_rows, of_columns = (g.stride_h, g.pad_top, height), (g.stride_w, g.pad_left, width)
    rows = cut_transposed(spans_of_transposed(chunks[2], g.height, *of_rows), g.out_height, *of_rows)
    columns = cut_transposed(spans_of_transposed(chunks[3], g.width, *of_columns), g.out_width, *of_columns)
    args: list[Any] = []
    for array in lazies:
        args += [gathered(array.rechunk(chunks), {2: read(rows), 3: read(columns)}), "ncyx"]
    both = per_block(widened(rows, g.height, *of_rows)), per_block(widened(columns, g.width, *of_columns))
    out = arrays.blockwise(
        function, "ncyx", *args, both[0], "y", both[1], "x", dtype=lazies[0].dtype, name=name,
        adjust_chunks={"y": counts(rows), "x": counts(columns)}, g=g, **options,
    )  # fmt: skip
    return out if len(g.output) == 4 else out[0]


# ----------------------------------------------------------------------------------------------------- what tasks call


def _block(gradient: Any, rows: Cuts, columns: Cuts, g: Pool2d) -> tuple[Any, Any, Pool2d]:
    (gradient,) = arrays.entered(gradient)
    out = cpu.empty((*gradient.shape[:2], rows[1].outputs, columns[1].outputs), gradient.dtype)
    # the image of the wide block ends where the wide outputs do
    as_read = [wide._replace(start=wide.first, stop=wide.end) for _, wide in (rows, columns)]
    return out, gradient, of_block(g, gradient.shape, out.shape, as_read[0], as_read[1])


def _kept(out: Any, rows: Cuts, columns: Cuts) -> Any:
    """The wide block without what is too much of it."""
    (own, wide), (own_x, wide_x) = rows, columns
    if (own, own_x) == (wide, wide_x):
        return out
    top, left = own.first - wide.first, own_x.first - wide_x.first
    return out[:, :, top : top + own.outputs, left : left + own_x.outputs].copy()


def _max_pool2d(gradient: Any, indices: Any, rows: Cuts, columns: Cuts, *, g: Pool2d) -> Any:
    out, gradient, own = _block(gradient, rows, columns, g)
    indices = cpu.integers(np.asarray(indices))
    bad = cpu.check.first_outside(indices, g.height * g.width, -1)
    if bad >= 0:
        expected = f"places from 0 to {g.height * g.width - 1}, or -1"
        got = cpu.check.value_at(indices, bad)
        raise ValueError(f"max_pool2d_backward: indices expects {expected}, got {got}")
    y, x = np.divmod(indices, g.width)
    y, x = y - rows[1].first, x - columns[1].first
    inside = (indices >= 0) & (y >= 0) & (y < own.height) & (x >= 0) & (x < own.width)
    if out.size:
        cpu.pool_grad.max_pool2d_backward(out, gradient, np.where(inside, y * own.width + x, -1), own)
    return _kept(out, rows, columns)


def _avg_pool2d(gradient: Any, rows: Cuts, columns: Cuts, *, g: Pool2d, include_pad: bool, divisor: int) -> Any:
    out, gradient, own = _block(gradient, rows, columns, g)
    if out.size:
        cpu.pool_grad.avg_pool2d_backward(out, gradient, own, include_pad, divisor)
    return _kept(out, rows, columns)
