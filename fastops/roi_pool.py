"""roi_pool and its gradient: what is promised."""

from collections.abc import Sequence
from typing import Any

from . import _arrays, _options, _shapes
from ._arrays import AnyArray, Array, ArrayT
from ._backend import Backend
from ._options import Pair


def roi_pool(
    input: ArrayT,
    boxes: AnyArray | Sequence[AnyArray],
    output_size: Pair,
    spatial_scale: float = 1.0,
    *,
    out: ArrayT | None = None,
) -> ArrayT:
    """The maxima of a grid of bins laid over each region of interest.

    Parameters
    ----------
    input : (N, C, H, W) array
        Feature maps; float32 or float64.
    boxes : (K, 5) array, or a list of N arrays (L, 4)
        Rows of (image number, x1, y1, x2, y2), or a list with the (x1, y1, x2, y2) of each image; of the input's
        dtype, finite, in pixels of the image that the map was made from.
    output_size : int or two ints
        Bins along height and width.
    spatial_scale : float
        Map pixels per image pixel; finite and greater than 0.
    out : array, optional
        A writable C-contiguous array of the result's shape and dtype to fill and return.

    Returns
    -------
    (K, C, output height, output width) array

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        A box is not finite or not on an image, or sizes or options do not fit together.

    Notes
    -----
    Corners are rounded to whole pixels, halves away from zero, and both belong to the region, which is at least one
    pixel wide and high.  Bin i of n of an extent e reaches from floor(i * e / n) to ceil((i + 1) * e / n), clipped to
    the map; an empty bin is 0.  As in torchvision, NaN is never a maximum; a bin of nothing else is -inf.

    References
    ----------
    Girshick, Fast R-CNN, arXiv 1504.08083; https://pytorch.org/vision/stable/generated/torchvision.ops.roi_pool.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> image = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> fastops.roi_pool(image, np.array([[0.0, 0.0, 0.0, 3.0, 3.0]]), 2)
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """
    op = "roi_pool"
    on, x, rois, g, scale = _case(op, input, boxes, output_size, spatial_scale)
    given = boxes if isinstance(boxes, (list, tuple)) else (boxes,)
    out = on.empty(g.output, x.dtype) if out is None else _arrays.output(op, on, out, g.output, x, input, *given)
    if out.size:
        on.roi_pool.roi_pool(out, x, rois, g, scale)
    return out


def roi_pool_backward(
    grad_output: AnyArray,
    input: ArrayT,
    boxes: AnyArray | Sequence[AnyArray],
    output_size: Pair,
    spatial_scale: float = 1.0,
) -> ArrayT:
    """The gradient of roi_pool with respect to the maps: each element is added where its bin's maximum was.

    Parameters
    ----------
    grad_output : (K, C, output height, output width) array
        The gradient of the result; of the input's dtype.
    input, boxes, output_size, spatial_scale
        As roi_pool had them.

    Returns
    -------
    array of the input's shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        A box is not finite or not on an image, or sizes or options do not fit together.

    Notes
    -----
    Of equal maxima the first counts.  Sums run in the order of the boxes, whatever the number of threads.

    References
    ----------
    Girshick, Fast R-CNN, arXiv 1504.08083, section 2.3.

    Examples
    --------
    >>> import numpy as np, fastops
    >>> image, box = np.arange(4.0).reshape(1, 1, 2, 2), np.array([[0.0, 0.0, 0.0, 1.0, 1.0]])
    >>> fastops.roi_pool_backward(np.ones((1, 1, 1, 1)), image, box, 1)
    array([[[[0., 0.],
             [0., 1.]]]])
    """
    op = "roi_pool_backward"
    on, x, rois, g, scale = _case(op, input, boxes, output_size, spatial_scale)
    go = _arrays.enter_like(op, "grad_output", grad_output, on, x)
    _shapes.same(op, "grad_output", go.shape, g.output)
    grad_input = on.empty(x.shape, x.dtype)
    if grad_input.size:
        on.roi_pool.roi_pool_backward(grad_input, go, x, rois, g, scale)
    return grad_input


def _case(
    op: str, input: Array, boxes: Array | Sequence[Array], output_size: Any, spatial_scale: Any
) -> tuple[Backend, Array, Array, _shapes.RoIPool, float]:
    """(backend, input, boxes (K, 5), geometry, scale), checked."""
    if isinstance(boxes, (list, tuple)):
        on, x, *per_image = _arrays.enter(op, input=input, **{f"boxes[{i}]": b for i, b in enumerate(boxes)})
        if len(x.shape) == 4 and len(boxes) != x.shape[0]:
            raise ValueError(f"{op}: boxes expects a list of one array per image, {x.shape[0]}, got {len(boxes)}")
        for i, b in enumerate(per_image):
            if len(b.shape) != 2 or b.shape[1] != 4:
                raise ValueError(f"{op}: boxes[{i}] expects shape (L, 4), got {b.shape}")
        rois = on.roi_pool.numbered_boxes(per_image, x.dtype)
    else:
        on, x, rois = _arrays.enter(op, input=input, boxes=boxes)
    g = _shapes.roi_pool(op, x.shape, rois.shape, output_size)
    scale = _options.number(op, "spatial_scale", spatial_scale)
    if not on.check.is_finite_positive(scale, x.dtype):
        raise ValueError(f"{op}: spatial_scale expects a number greater than 0 and finite in {x.dtype}, got {scale}")
    bad = on.roi_pool.first_bad_box(rois, g.images)
    if bad >= 0:
        expected = f"finite coordinates and an image number from 0 to {g.images - 1}"
        raise ValueError(f"{op}: boxes expects {expected}, got {on.roi_pool.box(rois, bad)} in row {bad}")
    return on, x, rois, g, scale
