"""max_pool2d, avg_pool2d and their gradients: what is promised."""

from typing import Any, Literal, overload

from . import _arrays, _options, _shapes
from ._arrays import AnyArray, Array, ArrayT
from ._options import Padding, Pair


@overload
def max_pool2d(
    input: ArrayT, kernel_size: Pair, stride: Pair | None = None, padding: Padding = 0, dilation: Pair = 1,
    ceil_mode: bool = False, return_indices: Literal[False] = False, *, out: ArrayT | None = None,
) -> ArrayT: ...  # fmt: skip
@overload
def max_pool2d(
    input: ArrayT, kernel_size: Pair, stride: Pair | None = None, padding: Padding = 0, dilation: Pair = 1,
    ceil_mode: bool = False, *, return_indices: Literal[True], out: ArrayT | None = None,
) -> tuple[ArrayT, Array]: ...  # fmt: skip
@overload
def max_pool2d(
    input: ArrayT, kernel_size: Pair, stride: Pair | None = None, padding: Padding = 0, dilation: Pair = 1,
    ceil_mode: bool = False, return_indices: bool = False, *, out: ArrayT | None = None,
) -> ArrayT | tuple[ArrayT, Array]: ...  # fmt: skip
def max_pool2d(
    input: ArrayT,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    out: ArrayT | None = None,
) -> ArrayT | tuple[ArrayT, Array]:
    """The maximum of each window.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W) array
        float32 or float64; N may be 0.
    kernel_size : int or two ints
        Height and width of the window, in pixels.
    stride : int or two ints, optional
        Step of the window; kernel_size where None.
    padding : int, two ints or ((top, bottom), (left, right))
        Rows and columns of -inf on each side, or on each of the four; at most half of kernel_size.
    dilation : int or two ints
        Step between the elements of a window.
    ceil_mode : bool
        Let the last window reach beyond the padded input, if it starts above the bottom padding.
    return_indices : bool
        Also return the place of each maximum.
    out : array, optional
        A writable C-contiguous array of the result's shape and dtype to fill and return; not with return_indices.

    Returns
    -------
    (N, C, oH, oW) or (C, oH, oW) array
        oH = floor((H + top + bottom - dilation * (kH - 1) - 1) / stride) + 1 (ceil with ceil_mode), oW alike.
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
    on, x = _arrays.enter_one(op, "input", input)
    g = _shapes.pool2d(op, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    with_indices = _options.flag(op, "return_indices", return_indices)
    if with_indices and out is not None:
        raise ValueError("max_pool2d: out expects return_indices=False, got return_indices=True")
    out = on.empty(g.output, x.dtype) if out is None else _arrays.output(op, on, out, g.output, x, input)
    indices = on.empty(g.output, "int64") if with_indices else None
    if out.size:
        on.pool.max_pool2d(out, indices, x, g)
    return (out, indices) if with_indices else out


def avg_pool2d(
    input: ArrayT,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: ArrayT | None = None,
) -> ArrayT:
    """The mean of each window.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W) array
        float32 or float64; N may be 0.
    kernel_size : int or two ints
        Height and width of the window, in pixels.
    stride : int or two ints, optional
        Step of the window; kernel_size where None.
    padding : int, two ints or ((top, bottom), (left, right))
        Rows and columns of zeros on each side, or on each of the four; at most half of kernel_size.
    ceil_mode : bool
        Let the last window reach beyond the padded input, if it starts above the bottom padding.
    count_include_pad : bool
        Whether the padding counts among the elements of a window.
    divisor_override : int, optional
        What to divide the sums by instead; not 0.
    out : array, optional
        A writable C-contiguous array of the result's shape and dtype to fill and return.

    Returns
    -------
    (N, C, oH, oW) or (C, oH, oW) array
        oH = floor((H + top + bottom - kH) / stride) + 1 (ceil with ceil_mode), oW alike.

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
    on, x = _arrays.enter_one(op, "input", input)
    g = _shapes.pool2d(op, x.shape, kernel_size, stride, padding, 1, ceil_mode)
    include_pad, divisor = _divisor(op, count_include_pad, divisor_override)
    out = on.empty(g.output, x.dtype) if out is None else _arrays.output(op, on, out, g.output, x, input)
    if out.size:
        on.pool.avg_pool2d(out, x, g, include_pad, divisor)
    return out


def max_pool2d_backward(
    grad_output: AnyArray,
    input: ArrayT,
    indices: AnyArray,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> ArrayT:
    """The gradient of max_pool2d: each element of grad_output is added where its maximum was.

    Parameters
    ----------
    grad_output : array of the result's shape
        The gradient of the result; of the input's dtype.
    input : (N, C, H, W) or (C, H, W) array
        As max_pool2d had it; only its shape and dtype count.
    indices : int64 array of the result's shape
        What max_pool2d returned with return_indices=True; -1 has no gradient.
    kernel_size, stride, padding, dilation, ceil_mode
        As max_pool2d had them.

    Returns
    -------
    array of the input's shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of the right dtype.
    ValueError
        An index is not on the input, or sizes or options do not fit together.

    Notes
    -----
    Sums run in the order of the windows, whatever the number of threads.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.max_pool2d.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> image = np.arange(4.0).reshape(1, 2, 2)
    >>> _, indices = fastops.max_pool2d(image, 2, return_indices=True)
    >>> fastops.max_pool2d_backward(np.ones((1, 1, 1)), image, indices, 2)
    array([[[0., 0.],
            [0., 1.]]])
    """
    op = "max_pool2d_backward"
    on, go, x = _arrays.enter(op, grad_output=grad_output, input=input)
    places = _arrays.integers(op, "indices", indices, on, "grad_output")
    g = _shapes.pool2d(op, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    _shapes.same(op, "grad_output", go.shape, g.output)
    _shapes.same(op, "indices", places.shape, g.output)
    grad_input = on.empty(x.shape, x.dtype)
    if grad_input.size and not on.pool_grad.max_pool2d_backward(grad_input, go, places, g):
        bad = on.check.first_outside(places, g.height * g.width, -1)
        expected = f"places from 0 to {g.height * g.width - 1}, or -1"
        raise ValueError(f"{op}: indices expects {expected}, got {on.check.value_at(places, bad)}")
    return grad_input


def avg_pool2d_backward(
    grad_output: AnyArray,
    input: ArrayT,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> ArrayT:
    """The gradient of avg_pool2d: each element of grad_output is shared among its window.

    Parameters
    ----------
    grad_output : array of the result's shape
        The gradient of the result; of the input's dtype.
    input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As avg_pool2d had them; of the input only the shape counts.

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
    Sums run in the order of the windows, whatever the number of threads.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool2d.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.avg_pool2d_backward(np.ones((1, 1, 1)), np.zeros((1, 2, 2)), 2)
    array([[[0.25, 0.25],
            [0.25, 0.25]]])
    """
    op = "avg_pool2d_backward"
    on, go, x = _arrays.enter(op, grad_output=grad_output, input=input)
    g = _shapes.pool2d(op, x.shape, kernel_size, stride, padding, 1, ceil_mode)
    include_pad, divisor = _divisor(op, count_include_pad, divisor_override)
    _shapes.same(op, "grad_output", go.shape, g.output)
    grad_input = on.empty(x.shape, x.dtype)
    if grad_input.size:
        on.pool_grad.avg_pool2d_backward(grad_input, go, g, include_pad, divisor)
    return grad_input


def _divisor(op: str, count_include_pad: Any, divisor_override: Any) -> tuple[bool, int]:
    """(whether padding counts, the divisor or 0), checked."""
    include_pad = _options.flag(op, "count_include_pad", count_include_pad)
    if divisor_override is None:
        return include_pad, 0
    divisor = _options.integer(op, "divisor_override", divisor_override)
    if divisor == 0:
        raise ValueError(f"{op}: divisor_override expects an int other than 0, got 0")
    return include_pad, divisor
