"""adaptive_avg_pool2d, interpolate and their gradients: what is promised."""

from collections.abc import Sequence
from typing import Any

from . import _arrays, _options, _shapes
from ._arrays import AnyArray, ArrayT
from ._options import Factors, Pair


def adaptive_avg_pool2d(input: ArrayT, output_size: int | Sequence[int | None]) -> ArrayT:
    """The means of a grid of windows that share an image among them.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W) array
        float32 or float64; N may be 0.
    output_size : int or two ints
        Height and width of the grid; None in the place of one keeps the input's.

    Returns
    -------
    (N, C, oH, oW) or (C, oH, oW) array

    Raises
    ------
    TypeError
        The input is not an array of float32 or float64.
    ValueError
        Sizes or options do not fit together.

    Notes
    -----
    Window i holds the rows from floor(i * H / oH) up to ceil((i + 1) * H / oH), without the last; columns alike.  The
    rows of a window are added first, then the sums along the row, in the input's dtype.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> image = np.arange(15.0).reshape(1, 3, 5)
    >>> fastops.adaptive_avg_pool2d(image, (None, 2))
    array([[[ 1.,  3.],
            [ 6.,  8.],
            [11., 13.]]])
    """
    op = "adaptive_avg_pool2d"
    on, x = _arrays.enter_one(op, "input", input)
    g = _shapes.adaptive_avg_pool2d(op, x.shape, output_size)
    out = on.empty(g.output, x.dtype)
    if out.size:
        on.resize.adaptive_avg_pool2d(out, x, g)
    return out


def adaptive_avg_pool2d_backward(
    grad_output: AnyArray, input: ArrayT, output_size: int | Sequence[int | None]
) -> ArrayT:
    """The gradient of adaptive_avg_pool2d: each element of grad_output is shared among its window.

    Parameters
    ----------
    grad_output : array of the result's shape
        The gradient of the result; of the input's dtype.
    input, output_size
        As adaptive_avg_pool2d had them; of the input only the shape counts.

    Returns
    -------
    array of the input's shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Sizes or options do not fit together.

    Notes
    -----
    Sums run in a fixed order, whatever the number of threads.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.adaptive_avg_pool2d_backward(np.array([[[1.0, 2.0]]]), np.zeros((1, 1, 3)), (1, 2))
    array([[[0.5, 1.5, 1. ]]])
    """
    op = "adaptive_avg_pool2d_backward"
    on, go, x = _arrays.enter(op, grad_output=grad_output, input=input)
    g = _shapes.adaptive_avg_pool2d(op, x.shape, output_size)
    _shapes.same(op, "grad_output", go.shape, g.output)
    grad_input = on.empty(x.shape, x.dtype)
    if grad_input.size:
        on.resize.adaptive_avg_pool2d_backward(grad_input, go, g)
    return grad_input  # type: ignore[no-any-return]


def interpolate(
    input: ArrayT,
    size: Pair | None = None,
    scale_factor: Factors | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> ArrayT:
    """Resampling of images to another size.

    Parameters
    ----------
    input : (N, C, H, W) array
        float32 or float64; N may be 0.
    size : int or two ints, optional
        Height and width of the result, in pixels; this or ``scale_factor``.
    scale_factor : number or two numbers, optional
        What height and width are multiplied by; the result is rounded down.
    mode : {'nearest', 'bilinear'}
        'nearest' copies pixels, 'bilinear' mixes the four around a place.
    align_corners : bool, optional
        With 'bilinear': True lays the centres of the corner pixels on each other, False (and None) the corners of the
        images.  None with 'nearest'.

    Returns
    -------
    (N, C, oH, oW) array

    Raises
    ------
    TypeError
        The input is not an array of float32 or float64.
    ValueError
        Sizes or options do not fit together.

    Notes
    -----
    Pixel i of the result lies at step * (i + 1/2) - 1/2 of the input, with align_corners at step * i; 'nearest' takes
    the pixel at floor(step * i).  The step is H / oH, or (H - 1) / (oH - 1) with align_corners, or 1 / scale_factor as
    it was given (torch's recompute_scale_factor=None).  Places of 'bilinear' are in the input's dtype.  Those of
    'nearest' are in float32, as in torch, but for its float64 results of more than 128 rows and columns together on a
    CPU: there a place on the border of two pixels may be the other one's.  A neighbour whose share is 0 still gives its
    NaN.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html; torch's ATen/native/UpSample.h.

    Examples
    --------
    >>> import numpy as np, fastops
    >>> image = np.array([[[[0.0, 4.0]]]])
    >>> fastops.interpolate(image, scale_factor=2)
    array([[[[0., 0., 4., 4.],
             [0., 0., 4., 4.]]]])
    >>> fastops.interpolate(image, (1, 4), mode="bilinear")
    array([[[[0., 1., 3., 4.]]]])
    >>> fastops.interpolate(image, (1, 3), mode="bilinear", align_corners=True)
    array([[[[0., 2., 4.]]]])
    """
    op = "interpolate"
    on, x = _arrays.enter_one(op, "input", input)
    bilinear, corners = _mode(op, mode, align_corners)
    g = _shapes.interpolate(op, x.shape, size, scale_factor, corners)
    out = on.empty(g.output, x.dtype)
    if out.size:
        on.resize.interpolate(out, x, g, bilinear, corners)
    return out


def interpolate_backward(
    grad_output: AnyArray,
    input: ArrayT,
    size: Pair | None = None,
    scale_factor: Factors | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> ArrayT:
    """The gradient of interpolate: each element of grad_output goes where its pixel came from.

    Parameters
    ----------
    grad_output : array of the result's shape
        The gradient of the result; of the input's dtype.
    input, size, scale_factor, mode, align_corners
        As interpolate had them; of the input only the shape counts.

    Returns
    -------
    array of the input's shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Sizes or options do not fit together.

    Notes
    -----
    Sums run in a fixed order, whatever the number of threads.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.interpolate_backward(np.ones((1, 1, 2, 3)), np.zeros((1, 1, 1, 2)), (2, 3))
    array([[[[4., 2.]]]])
    """
    op = "interpolate_backward"
    on, go, x = _arrays.enter(op, grad_output=grad_output, input=input)
    bilinear, corners = _mode(op, mode, align_corners)
    g = _shapes.interpolate(op, x.shape, size, scale_factor, corners)
    _shapes.same(op, "grad_output", go.shape, g.output)
    grad_input = on.empty(x.shape, x.dtype)
    if grad_input.size:
        on.resize.interpolate_backward(grad_input, go, g, bilinear, corners)
    return grad_input  # type: ignore[no-any-return]


def _mode(op: str, mode: Any, align_corners: Any) -> tuple[bool, bool]:
    """(whether bilinear, whether corners are aligned), checked."""
    bilinear = _options.choice(op, "mode", mode, ("nearest", "bilinear")) == "bilinear"
    if align_corners is None:
        return bilinear, False
    corners = _options.flag(op, "align_corners", align_corners)
    if not bilinear:
        raise ValueError(f"{op}: align_corners expects None with mode 'nearest', got {corners}")
    return bilinear, corners
