"""max_pool2d, avg_pool2d and roi_pool: what is promised."""

from collections.abc import Sequence

from . import _arrays, _shapes
from ._arrays import Array
from ._shapes import Pair


def max_pool2d(
    input: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """The maximum of each window.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W) array
        float32 or float64; N may be 0.
    kernel_size : int or two ints
        Height and width of the window, in pixels.
    stride : int or two ints, optional
        Step of the window; kernel_size where None.
    padding : int or two ints
        Rows and columns of -inf on each side; at most half of kernel_size.
    dilation : int or two ints
        Step between the elements of a window.
    ceil_mode : bool
        Let the last window reach beyond the padded input, if it starts inside it.
    return_indices : bool
        Also return the place of each maximum.
    out : array, optional
        A writable C-contiguous array of the result's shape and dtype to fill and return; not with return_indices.

    Returns
    -------
    (N, C, oH, oW) or (C, oH, oW) array
        oH = floor((H + 2 * padding - dilation * (kH - 1) - 1) / stride) + 1 (ceil with ceil_mode), oW alike.
    indices : int64 array of the same shape
        y * W + x of the first maximum of each window, with return_indices.

    Raises
    ------
    TypeError
        The input is not an array of float32 or float64.
    ValueError
        Sizes or options do not fit together.

    Notes
    -----
    NaN is greater than everything, and the last one of a window counts, as in torch.  A window of padding alone gives
    -inf and index -1.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.max_pool2d.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> image = np.arange(1.0, 13.0).reshape(1, 3, 4)
    >>> fastops.max_pool2d(image, 2, stride=(1, 2))
    array([[[ 6.,  8.],
            [10., 12.]]])
    """
    op = "max_pool2d"
    on, x = _arrays.enter(op, input=input)
    g = _shapes.pool2d(op, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    with_indices = _shapes.flag(op, "return_indices", return_indices)
    if with_indices and out is not None:
        raise ValueError("max_pool2d: out expects return_indices=False, got return_indices=True")
    out = _arrays.output(op, on, out, g.output, x, input)
    indices = on.empty(g.output, "int64") if with_indices else None
    if out.size:
        on.pool.max_pool2d(out, indices, x, g)
    return (out, indices) if with_indices else out


def avg_pool2d(
    input: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Array | None = None,
) -> Array:
    """The mean of each window.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W) array
        float32 or float64; N may be 0.
    kernel_size : int or two ints
        Height and width of the window, in pixels.
    stride : int or two ints, optional
        Step of the window; kernel_size where None.
    padding : int or two ints
        Rows and columns of zeros on each side; at most half of kernel_size.
    ceil_mode : bool
        Let the last window reach beyond the padded input, if it starts inside it.
    count_include_pad : bool
        Whether the padding counts among the elements of a window.
    divisor_override : int, optional
        What to divide the sums by instead; not 0.
    out : array, optional
        A writable C-contiguous array of the result's shape and dtype to fill and return.

    Returns
    -------
    (N, C, oH, oW) or (C, oH, oW) array
        oH = floor((H + 2 * padding - kH) / stride) + 1 (ceil with ceil_mode), oW alike.

    Raises
    ------
    TypeError
        The input is not an array of float32 or float64.
    ValueError
        Sizes or options do not fit together.

    Notes
    -----
    The sums of a window's rows are added up, in the input's dtype.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool2d.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.avg_pool2d(np.arange(16.0).reshape(1, 4, 4), 2)
    array([[[ 2.5,  4.5],
            [10.5, 12.5]]])
    """
    op = "avg_pool2d"
    on, x = _arrays.enter(op, input=input)
    g = _shapes.pool2d(op, x.shape, kernel_size, stride, padding, 1, ceil_mode)
    include_pad = _shapes.flag(op, "count_include_pad", count_include_pad)
    divisor = 0
    if divisor_override is not None:
        divisor = _shapes.integer(op, "divisor_override", divisor_override)
        if divisor == 0:
            raise ValueError("avg_pool2d: divisor_override expects an int other than 0, got 0")
    out = _arrays.output(op, on, out, g.output, x, input)
    if out.size:
        on.pool.avg_pool2d(out, x, g, include_pad, divisor)
    return out


def roi_pool(
    input: Array,
    boxes: Array | Sequence[Array],
    output_size: Pair,
    spatial_scale: float = 1.0,
    *,
    out: Array | None = None,
) -> Array:
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
    if isinstance(boxes, (list, tuple)):
        on, x, *per_image = _arrays.enter(op, input=input, **{f"boxes[{i}]": b for i, b in enumerate(boxes)})
        if len(x.shape) == 4 and len(boxes) != x.shape[0]:
            raise ValueError(f"roi_pool: boxes expects a list of one array per image, {x.shape[0]}, got {len(boxes)}")
        for i, b in enumerate(per_image):
            if len(b.shape) != 2 or b.shape[1] != 4:
                raise ValueError(f"roi_pool: boxes[{i}] expects shape (L, 4), got {b.shape}")
        rois = on.pool.numbered_boxes(per_image, x.dtype)
    else:
        on, x, rois = _arrays.enter(op, input=input, boxes=boxes)
    g = _shapes.roi_pool(op, x.shape, rois.shape, output_size)
    scale = _shapes.number(op, "spatial_scale", spatial_scale)
    if not on.is_finite_positive(scale, x.dtype):
        raise ValueError(
            f"roi_pool: spatial_scale expects a number greater than 0 and finite in {x.dtype}, got {scale}"
        )
    bad = on.pool.first_bad_box(rois, g.images)
    if bad >= 0:
        expected = f"finite coordinates and an image number from 0 to {g.images - 1}"
        raise ValueError(f"roi_pool: boxes expects {expected}, got {[float(v) for v in rois[bad]]} in row {bad}")
    given = boxes if isinstance(boxes, (list, tuple)) else (boxes,)
    out = _arrays.output(op, on, out, g.output, x, input, *given)
    if out.size:
        on.pool.roi_pool(out, x, rois, g, scale)
    return out
