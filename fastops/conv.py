"""conv2d, conv_transpose2d and their gradients: what is promised."""

from collections.abc import Sequence
from typing import Any

from . import _arrays, _options, _shapes
from ._arrays import AnyArray, Array, ArrayT, OtherT
from ._backend import Backend
from ._options import Activation, Padding, Pair

Kept = dict[Any, Array] | None


def conv2d(
    input: ArrayT,
    weight: AnyArray,
    bias: AnyArray | None = None,
    stride: Pair = 1,
    padding: Padding | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    out: ArrayT | None = None,
    precision: str = "exact",
    add: AnyArray | None = None,
    activation: Activation | None = None,
) -> ArrayT:
    """Two-dimensional convolution (cross-correlation) of images with a set of kernels.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W) array
        Images; float32 or float64.  N may be 0.
    weight : (O, C / groups, kH, kW) array
        Kernels, of the input's dtype.
    bias : (O,) array, optional
        Added to each output channel.
    stride : int or two ints
        Step of the window, in pixels, height first.
    padding : int, two ints, ((top, bottom), (left, right)), 'valid' or 'same'
        Rows and columns of zeros on each side, or on each of the four, as numpy.pad spells them.  'valid' is 0; 'same'
        makes the output ceil(H / stride) high, an odd row or column of padding at the bottom and right.
    dilation : int or two ints
        Step between the elements of the window, in pixels, height first.
    groups : int
        Output channels o of group g see the input channels of group g alone.
    out : array, optional
        A writable C-contiguous array of the result's shape and dtype to fill and return.
    precision : {'exact', 'fast'}
        'exact' keeps the error within 4 times that of a float32 convolution summed directly; 'fast' allows 30 times
        where that is faster.
    add : array, optional
        Of the result's shape and dtype: added to it, after the bias.
    activation : str or tuple, optional
        Applied to the sum: 'relu', 'relu6', 'sigmoid', 'silu', 'hardsigmoid', 'hardswish', 'leaky_relu', 'gelu', or a
        name and numbers: ('leaky_relu', 0.1), ('gelu', 'tanh'), ('clamp', 0, 6).

    Returns
    -------
    (N, O, oH, oW) or (O, oH, oW) array
        oH = floor((H + top + bottom - dilation * (kH - 1) - 1) / stride) + 1, oW alike.

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Sizes or options do not fit together.

    Notes
    -----
    Kernels of 3 x 3 and stride 1 over many channels run by Winograd's minimal filtering, F(2x2, 3x3) or, if 'fast',
    F(4x4, 3x3); depthwise ones read the image where it lies; all others are summed directly.  NaN and infinities spread
    no further than the window does.  The working memory is the padded copy of one image, or up to 4 MiB of copies, and
    with Winograd the transformed weights, 16 / 9 of the weights' size (36 / 9 if 'fast'); with a dilation as much again
    for the pixels that lie apart, of input and output, or less.

    ``add`` and ``activation`` give the bits of the separate calls, while the sums are at hand; gradients go through the
    separate calls.

    References
    ----------
    Lavin and Gray, Fast algorithms for convolutional neural networks, arXiv 1509.09308;
    https://pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html; 'same' with a stride:
    https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2

    Examples
    --------
    >>> import numpy as np, fastops
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> kernel = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> fastops.conv2d(image, kernel)
    array([[[[19., 25.],
             [37., 43.]]]])
    """
    return _conv2d(None, input, weight, bias, stride, padding, dilation, groups, out, precision, add, activation)


def conv_transpose2d(
    input: ArrayT,
    weight: AnyArray,
    bias: AnyArray | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
    *,
    out: ArrayT | None = None,
    precision: str = "exact",
    add: AnyArray | None = None,
    activation: Activation | None = None,
) -> ArrayT:
    """Transposed two-dimensional convolution: the gradient of conv2d with respect to its input.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W) array
        Maps; float32 or float64.  N may be 0.
    weight : (C, O / groups, kH, kW) array
        Kernels, of the input's dtype.
    bias : (O,) array, optional
        Added to each output channel.
    stride : int or two ints
        Step between the windows of neighbouring inputs, in output pixels, height first.
    padding : int or two ints
        Rows and columns cut off on each side of the output.
    output_padding : int or two ints
        Rows and columns added at the bottom and right; less than stride or dilation.
    groups : int
        Output channels of group g see the input channels of group g alone.
    dilation : int or two ints
        Step between the elements of a window, in output pixels, height first.
    out : array, optional
        A writable C-contiguous array of the result's shape and dtype to fill and return.
    precision : {'exact', 'fast'}
        As in conv2d.
    add, activation : optional
        As in conv2d.

    Returns
    -------
    (N, O, oH, oW) or (O, oH, oW) array
        oH = (H - 1) * stride - 2 * padding + dilation * (kH - 1) + output_padding + 1, oW alike.

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Sizes or options do not fit together.

    Notes
    -----
    Each phase of the stride is an ordinary convolution with a part of the kernel; no zeros are inserted.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html; Dumoulin and Visin,
    arXiv 1603.07285.

    Examples
    --------
    >>> import numpy as np, fastops
    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> fastops.conv_transpose2d(x, x)
    array([[[[ 0.,  0.,  1.],
             [ 0.,  4.,  6.],
             [ 4., 12.,  9.]]]])
    """
    return _conv_transpose2d(
        None, input, weight, bias, stride, padding, output_padding, groups, dilation, out, precision, add, activation
    )  # fmt: skip


def conv2d_backward(
    grad_output: AnyArray,
    input: ArrayT,
    weight: OtherT,
    bias: AnyArray | None = None,
    stride: Pair = 1,
    padding: Padding | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    precision: str = "exact",
) -> tuple[ArrayT, OtherT, Array | None]:
    """The gradients of conv2d with respect to input, weight and bias.

    Parameters
    ----------
    grad_output : (N, O, oH, oW) or (O, oH, oW) array
        The gradient of the result, of its shape and dtype.
    input, weight, bias, stride, padding, dilation, groups, precision
        As conv2d had them.

    Returns
    -------
    grad_input, grad_weight, grad_bias : arrays of the shapes of input, weight and bias
        None for a bias that is None.

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Sizes or options do not fit together.

    Notes
    -----
    grad_input is a conv_transpose2d.  Sums of up to 4096 pixels of grad_weight, and all of grad_bias, join in float64,
    in an order that does not depend on the number of threads.

    References
    ----------
    Dumoulin and Visin, A guide to convolution arithmetic for deep learning, arXiv 1603.07285.

    Examples
    --------
    >>> import numpy as np, fastops
    >>> image, kernel = np.arange(9.0).reshape(1, 1, 3, 3), np.ones((1, 1, 2, 2))
    >>> grad_input, grad_weight, grad_bias = fastops.conv2d_backward(np.ones((1, 1, 2, 2)), image, kernel)
    >>> grad_weight, grad_bias
    (array([[[[ 8., 12.],
             [20., 24.]]]]), None)
    """
    every = True, True, True
    return _conv2d_backward(  # type: ignore[return-value]
        every, grad_output, input, weight, bias, stride, padding, dilation, groups, precision
    )


def conv_transpose2d_backward(
    grad_output: AnyArray,
    input: ArrayT,
    weight: OtherT,
    bias: AnyArray | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
    *,
    precision: str = "exact",
) -> tuple[ArrayT, OtherT, Array | None]:
    """The gradients of conv_transpose2d with respect to input, weight and bias.

    Parameters
    ----------
    grad_output : (N, O, oH, oW) or (O, oH, oW) array
        The gradient of the result, of its shape and dtype.
    input, weight, bias, stride, padding, output_padding, groups, dilation, precision
        As conv_transpose2d had them.

    Returns
    -------
    grad_input, grad_weight, grad_bias : arrays of the shapes of input, weight and bias
        None for a bias that is None.

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Sizes or options do not fit together.

    Notes
    -----
    grad_input is a conv2d; sums as in conv2d_backward.

    References
    ----------
    Dumoulin and Visin, A guide to convolution arithmetic for deep learning, arXiv 1603.07285.

    Examples
    --------
    >>> import numpy as np, fastops
    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> fastops.conv_transpose2d_backward(np.ones((1, 1, 3, 3)), x, x)[0]
    array([[[[6., 6.],
             [6., 6.]]]])
    """
    every = True, True, True
    return _conv_transpose2d_backward(  # type: ignore[return-value]
        every, grad_output, input, weight, bias, stride, padding, output_padding, groups, dilation, precision
    )


def _conv2d(
    kept: Kept, input: Array, weight: Array, bias: Array | None, stride: Pair, padding: Padding | str, dilation: Pair,
    groups: int, out: Array | None, precision: str, add: Array | None = None, activation: Any = None,
) -> Array:  # fmt: skip
    """conv2d; ``kept``, if given, holds transformed weights from one call of a layer to the next."""
    op = "conv2d"
    on, x, w, b = _arrays.enter(op, ("bias",), input=input, weight=weight, bias=bias)
    _options.choice(op, "precision", precision, ("exact", "fast"))
    g = _shapes.conv2d(op, x.shape, w.shape, None if b is None else b.shape, stride, padding, dilation, groups)
    more, ends = None, None  # each step of the ordinary call that is left out here counts for small images
    if add is not None or activation is not None:
        more, ends = _end(op, on, x, g.output, add, activation)
    out = (
        on.empty(g.output, x.dtype)
        if out is None
        else _arrays.output(op, on, out, g.output, x, input, weight, bias, add)
    )
    if out.size:
        on.conv.conv2d(out, x, w, b, g, precision == "fast", kept, more, ends)
    return out


def _conv_transpose2d(
    kept: Kept, input: Array, weight: Array, bias: Array | None, stride: Pair, padding: Pair, output_padding: Pair,
    groups: int, dilation: Pair, out: Array | None, precision: str, add: Array | None = None, activation: Any = None,
) -> Array:  # fmt: skip
    """conv_transpose2d; ``kept`` as in _conv2d."""
    op = "conv_transpose2d"
    on, x, w, b = _arrays.enter(op, ("bias",), input=input, weight=weight, bias=bias)
    _options.choice(op, "precision", precision, ("exact", "fast"))
    g = _shapes.conv_transpose2d(
        op, x.shape, w.shape, None if b is None else b.shape, stride, padding, output_padding, groups, dilation
    )
    more, ends = None, None  # each step of the ordinary call that is left out here counts for small images
    if add is not None or activation is not None:
        more, ends = _end(op, on, x, g.output, add, activation)
    out = (
        on.empty(g.output, x.dtype)
        if out is None
        else _arrays.output(op, on, out, g.output, x, input, weight, bias, add)
    )
    if out.size:
        on.conv.conv_transpose2d(out, x, w, b, g, precision == "fast", kept, more, ends)
    return out


def _end(
    op: str, on: Backend, x: Array, shape: tuple[int, ...], add: Array | None, activation: Any
) -> tuple[Array | None, tuple[Any, ...] | None]:
    """What is added, and the activation, as a backend takes them."""
    if add is not None:
        add = _arrays.enter_like(op, "add", add, on, x)
        _shapes.same(op, "add", add.shape, shape)
    return add, _options.activation(op, activation)


def _conv2d_backward(
    needed: Sequence[bool], grad_output: Array, input: Array, weight: Array, bias: Array | None, stride: Pair,
    padding: Padding | str, dilation: Pair, groups: int, precision: str = "exact",
) -> tuple[Array | None, Array | None, Array | None]:  # fmt: skip
    """conv2d_backward; ``needed`` says which of the gradients, the others are None."""
    op = "conv2d_backward"
    on, go, x, w, b = _arrays.enter(op, ("bias",), grad_output=grad_output, input=input, weight=weight, bias=bias)
    _options.choice(op, "precision", precision, ("exact", "fast"))
    g = _shapes.conv2d(op, x.shape, w.shape, None if b is None else b.shape, stride, padding, dilation, groups)
    _shapes.same(op, "grad_output", go.shape, g.output)
    grad_input = on.empty(x.shape, x.dtype) if needed[0] else None
    if grad_input is not None and grad_input.size:
        on.conv.conv_transpose2d(grad_input, go, w, None, g, precision == "fast")
    return grad_input, *_parameter_gradients(needed, on, w, b, g, go, x, go)


def _conv_transpose2d_backward(
    needed: Sequence[bool], grad_output: Array, input: Array, weight: Array, bias: Array | None, stride: Pair,
    padding: Pair, output_padding: Pair, groups: int, dilation: Pair, precision: str = "exact",
) -> tuple[Array | None, Array | None, Array | None]:  # fmt: skip
    """conv_transpose2d_backward; ``needed`` as in _conv2d_backward."""
    op = "conv_transpose2d_backward"
    on, go, x, w, b = _arrays.enter(op, ("bias",), grad_output=grad_output, input=input, weight=weight, bias=bias)
    _options.choice(op, "precision", precision, ("exact", "fast"))
    g = _shapes.conv_transpose2d(
        op, x.shape, w.shape, None if b is None else b.shape, stride, padding, output_padding, groups, dilation
    )
    _shapes.same(op, "grad_output", go.shape, g.output)
    grad_input = on.empty(x.shape, x.dtype) if needed[0] else None
    if grad_input is not None and grad_input.size:
        on.conv.conv2d(grad_input, go, w, None, g, precision == "fast")
    return grad_input, *_parameter_gradients(needed, on, w, b, g, x, go, go)


def _parameter_gradients(
    needed: Sequence[bool], on: Backend, weight: Array, bias: Array | None, g: _shapes.Conv2d, map: Array, image: Array,
    grad_output: Array,
) -> tuple[Array | None, Array | None]:  # fmt: skip
    """grad_weight, from the smaller and the larger side of the convolution, and grad_bias."""
    grad_weight = on.empty(weight.shape, weight.dtype) if needed[1] else None
    if grad_weight is not None and grad_weight.size:
        on.conv.grad_weight(grad_weight, map, image, g)
    if bias is None or not needed[2]:
        return grad_weight, None
    grad_bias = on.empty(bias.shape, bias.dtype)
    on.conv.grad_bias(grad_bias, grad_output, g.batch)
    return grad_weight, grad_bias
