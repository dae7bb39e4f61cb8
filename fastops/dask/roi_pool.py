"""roi_pool: the boxes of each chunk of images, where they are known; of all images, where they are a dask array."""

from typing import Any

import dask.array as da
import numpy as np

from .. import cpu
from .._backend import Array
from .._shapes import RoIPool
from . import arrays
from .windows import spans


def roi_pool(out: Array, input: Array, boxes: Array, g: RoIPool, scale: float) -> None:
    x = _maps("roi_pool", input)
    if isinstance(boxes, da.Array):
        arrays.fill(out, _pooled(arrays.whole(x, 0), arrays.whole(boxes, 1), g, scale))
        return
    order, made = [], []
    for number, (places, own) in enumerate(_by_chunk(boxes, x.chunks[0])):
        if len(places):
            order.append(places)
            made.append(_pooled(x.blocks[number], arrays.lazy(own), g, scale))
    places = np.concatenate(order)
    joined = da.concatenate(made)
    arrays.fill(out, joined if (np.diff(places) > 0).all() else joined[np.argsort(places)])


def roi_pool_backward(out: Array, grad_output: Array, input: Array, boxes: Array, g: RoIPool, scale: float) -> None:
    x = _maps("roi_pool_backward", input)
    go = arrays.lazy(grad_output).rechunk({1: x.chunks[1], 2: -1, 3: -1})
    known = not isinstance(boxes, da.Array)
    made = []
    chunks = _by_chunk(boxes, x.chunks[0]) if known else [(slice(None), boxes)]
    for number, (places, own) in enumerate(chunks):
        images = x.blocks[number] if known else arrays.whole(x, 0)
        made.append(
            arrays.blockwise(
                _roi_pool_backward, "nchw", arrays.whole(go[places], 0), "kcij", images, "nchw", arrays.whole(own),
                "kb", dtype=x.dtype, name="roi_pool_backward", g=g, scale=scale,
            )
        )  # fmt: skip
    arrays.fill(out, da.concatenate(made))


def first_bad_box(boxes: Array, images: int) -> int:
    """Of a NumPy array; the tasks refuse those of a dask array."""
    return -1 if isinstance(boxes, da.Array) else int(cpu.roi_pool.first_bad_box(boxes, images))


def box(boxes: Array, row: int) -> Any:
    return cpu.roi_pool.box(boxes, row)


def numbered_boxes(boxes: list[Array], dtype: Any) -> Array:
    if not any(isinstance(each, da.Array) for each in boxes):
        return cpu.roi_pool.numbered_boxes(boxes, dtype)
    rows = [da.concatenate([da.full((len(b), 1), i, dtype=dtype), arrays.lazy(b)], axis=1) for i, b in enumerate(boxes)]
    return da.concatenate(rows)


# ---------------------------------------------------------------------------------------------------------- the graph


def _maps(op: str, input: Array) -> Any:
    x = arrays.lazy(input)
    if x.numblocks[2:] != (1, 1):
        got = " x ".join(map(str, x.numblocks[2:]))
        raise ValueError(f"{op}: input expects images in one chunk along height and width, got {got}")
    return x


def _by_chunk(boxes: Any, chunks: tuple[int, ...]) -> list[tuple[Any, Any]]:
    """(places, boxes with image numbers from 0) of each chunk of images."""
    found = []
    for first, end in spans(chunks):
        places = np.flatnonzero((boxes[:, 0] >= first) & (boxes[:, 0] < end))
        own = boxes[places]
        own[:, 0] -= first
        found.append((places, own))
    return found


def _pooled(x: Any, boxes: Any, g: RoIPool, scale: float) -> Any:
    return arrays.blockwise(
        _roi_pool, "kcij", x, "nchw", boxes, "kb", dtype=x.dtype, name="roi_pool",
        new_axes={"i": g.out_height, "j": g.out_width}, g=g, scale=scale,
    )  # fmt: skip


# ----------------------------------------------------------------------------------------------------- what tasks call


def _case(op: str, x: Any, boxes: Any, g: RoIPool) -> tuple[Any, Any, RoIPool]:
    x, boxes = arrays.entered(arrays.only(x), arrays.only(boxes))
    bad = cpu.roi_pool.first_bad_box(boxes, len(x))
    if bad >= 0:
        expected = f"finite coordinates and an image number from 0 to {len(x) - 1}"
        raise ValueError(f"{op}: boxes expects {expected}, got {cpu.roi_pool.box(boxes, bad)} in row {bad}")
    own = g._replace(images=len(x), channels=x.shape[1], boxes=len(boxes))
    return x, boxes, own._replace(output=(len(boxes), x.shape[1], g.out_height, g.out_width))


def _roi_pool(x: Any, boxes: Any, *, g: RoIPool, scale: float) -> Any:
    x, boxes, own = _case("roi_pool", x, boxes, g)
    out = cpu.empty(own.output, x.dtype)
    if out.size:
        cpu.roi_pool.roi_pool(out, x, boxes, own, scale)
    return out


def _roi_pool_backward(gradient: Any, x: Any, boxes: Any, *, g: RoIPool, scale: float) -> Any:
    x, boxes, own = _case("roi_pool_backward", x, boxes, g)
    (gradient,) = arrays.entered(arrays.only(gradient))
    out = cpu.empty(x.shape, x.dtype)
    if out.size:
        cpu.roi_pool.roi_pool_backward(out, gradient, x, boxes, own, scale)
    return out
