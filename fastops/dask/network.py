"""by_blocks: a whole network over an image, block by block, with the halo that its receptive field needs."""

from collections.abc import Callable
from math import lcm
from typing import Any

import numpy as np

from .. import cpu
from .._backend import check_float
from .._options import integer, pair
from . import arrays
from .windows import Cut, counts, gathered, in_proportion, per_block, read

Function = Callable[[Any], Any]
Ratio = tuple[int, int]


def by_blocks(
    function: Function, image: Any, *, halo: int | tuple[int, int], scale: int | Ratio = 1, phase: int = 1,
    channels: int | None = None, size: tuple[int, int] | None = None,
) -> Any:  # fmt: skip
    """A network over a dask array of images, block by block.

    Each block of the result is cut out of what the network makes of a larger block of the image: one with a halo of
    the network's receptive field around it, which begins where the network's strides are in phase.  At the border of
    the image the block ends where the image does, so that each layer pads there as it would pad the whole image.

    Parameters
    ----------
    function : callable
        Makes a (N, O, H * scale, W * scale) NumPy array of a (N, C, H, W) one: a network of `fastops.nn` in evaluation,
        or a function of fastops's functions.  It must be local: no pixel of the result may see more of the image than
        the halo.  For workers in processes of their own it must be picklable.
    image : (N, C, H, W) dask array
        float32 or float64, in any chunks.
    halo : int or two ints
        How many pixels of the image on each side of a pixel of the result it depends on, height first.
    scale : int, or (numerator, denominator)
        What height and width are multiplied by: 2, or (1, 4) of a network that pools twice.
    phase : int
        The product of the network's strides: blocks of the image begin at multiples of it.
    channels : int, optional
        O, where it is not C.
    size : two ints, optional
        Height and width of the result, where H * scale or W * scale is no integer.

    Returns
    -------
    (N, O, H * scale, W * scale) dask array
        Its chunks follow the image's.

    Raises
    ------
    TypeError
        The image is not a dask array of float32 or float64.
    ValueError
        Sizes do not fit; when it is computed, if the function makes another size than it should.

    Notes
    -----
    A network that is not local (global pooling, a linear layer over the image, batch norm in training) has no halo:
    chunk the images along the batch only, and map it over them.

    Examples
    --------
    >>> import dask.array as da, fastops
    >>> import fastops.dask
    >>> from fastops import nn
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 1, 3, padding=1))
    >>> image = da.random.default_rng(0).random((1, 1, 40, 60), chunks=(1, 1, 16, 16)).astype("float32")
    >>> fastops.dask.by_blocks(network.eval(), image, halo=4, scale=(1, 2), phase=2)
    dask.array<network, shape=(1, 1, 20, 30), dtype=float32, chunksize=(1, 1, 8, 8), chunktype=numpy.ndarray>
    """
    op = "by_blocks"
    if not hasattr(image, "dask"):
        raise TypeError(f"{op}: image expects a dask array, got {type(image).__name__}")
    arrays.admit(op, "image", image)
    check_float(op, "image", image.dtype)
    if image.ndim != 4 or 0 in image.shape[1:]:
        raise ValueError(f"{op}: image expects shape (N, C, H, W) without a 0 but N, got {image.shape}")
    up, down = (integer(op, "scale", each, 1) for each in (scale if isinstance(scale, tuple) else (scale, 1)))
    phase = lcm(integer(op, "phase", phase, 1), down)
    if size is None and any(each * up % down for each in image.shape[2:]):
        raise ValueError(f"{op}: size expects two ints where {image.shape[2:]} times {up}/{down} is none, got None")
    around, cuts = pair(op, "halo", halo, 0), []
    totals = [each * up // down for each in image.shape[2:]] if size is None else pair(op, "size", size, 1)
    for reach, chunks, total in zip(around, image.chunks[2:], totals, strict=True):
        cuts.append(_cuts(chunks, total, up, down, reach, phase))
    rows, columns = cuts
    x = arrays.whole(image, 1)
    return arrays.blockwise(
        _network, "noyx", gathered(x, {2: read(rows), 3: read(columns)}), "ncyx", per_block(rows), "y",
        per_block(columns), "x", dtype=image.dtype, name="network", new_axes={"o": channels or image.shape[1]},
        adjust_chunks={"y": counts(rows), "x": counts(columns)}, network=function,
        channels=channels or image.shape[1],
    )  # fmt: skip


def _cuts(chunks: tuple[int, ...], total: int, up: int, down: int, halo: int, phase: int) -> list[Cut]:
    """For each block of the result what the network is run on; ``pad`` is the first of its outputs that counts."""
    size, cuts = sum(chunks), []
    for first, end in in_proportion(chunks, total, up, down):
        start = max((first * down // up - halo) // phase * phase, 0)
        stop = min(-(-(-(-end * down // up) + halo) // phase) * phase, size)
        cuts.append(Cut(first, end, start, stop, first - start * up // down))
    return cuts


def _network(x: Any, rows: Cut, columns: Cut, *, network: Function, channels: int) -> Any:
    x = cpu.enter(np.asarray(arrays.only(x)))
    out = np.asarray(network(x))
    if hasattr(network, "forget"):  # of fastops.nn: each task has a network of its own, which outlives the task
        network.forget()
    height, width = rows.pad + rows.outputs, columns.pad + columns.outputs
    if out.ndim != 4 or out.shape[:2] != (len(x), channels) or out.shape[2] < height or out.shape[3] < width:
        expected = f"at least {(len(x), channels, height, width)} of a block of {x.shape}"
        raise ValueError(f"by_blocks: function expects to give a shape of {expected}, got {out.shape}")
    return np.ascontiguousarray(out[:, :, rows.pad : height, columns.pad : width], x.dtype)
