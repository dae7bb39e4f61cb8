"""relu6, leaky_relu, prelu, clamp and their gradients: what is promised."""

import functools
from math import prod

from . import _arrays, _options, _shapes
from ._arrays import AnyArray, ArrayT, OtherT


def relu6(input: ArrayT, *, out: ArrayT | None = None) -> ArrayT:
    """min(max(x, 0), 6) of each element.

    Parameters
    ----------
    input : array of any shape
        float32 or float64.
    out : array, optional
        A writable C-contiguous array of the input's shape and dtype to fill and return; it may be the input itself.

    Returns
    -------
    array of the input's shape and dtype

    Raises
    ------
    TypeError
        The input is not an array of float32 or float64.
    ValueError
        ``out`` does not fit.

    Notes
    -----
    NaN stays NaN.

    References
    ----------
    Howard et al., MobileNets, arXiv:1704.04861;
    https://pytorch.org/docs/stable/generated/torch.nn.functional.relu6.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.relu6(np.array([-1.0, 0.5, 7.0]))
    array([0. , 0.5, 6. ])
    """
    on, x = _arrays.enter_one("relu6", "input", input)
    if out is None:
        out = on.empty(x.shape, x.dtype)
    else:
        out = _arrays.output("relu6", on, out, x.shape, x, input, may_be=input)
    on.elementwise.clamp(out, x, 0.0, 6.0)
    return out


def leaky_relu(input: ArrayT, negative_slope: float = 0.01, *, out: ArrayT | None = None) -> ArrayT:
    """x where it is above 0, else negative_slope * x, of each element.

    Parameters
    ----------
    input : array of any shape
        float32 or float64.
    negative_slope : float
        The slope where x <= 0.
    out : array, optional
        A writable C-contiguous array of the input's shape and dtype to fill and return; it may be the input itself.

    Returns
    -------
    array of the input's shape and dtype

    Raises
    ------
    TypeError
        The input is not an array of float32 or float64.
    ValueError
        negative_slope is not a number, or ``out`` does not fit.

    Notes
    -----
    NaN stays NaN.

    References
    ----------
    Maas et al., Rectifier nonlinearities improve neural network acoustic models, ICML 2013;
    https://pytorch.org/docs/stable/generated/torch.nn.functional.leaky_relu.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.leaky_relu(np.array([-2.0, 0.5]), 0.1)
    array([-0.2,  0.5])
    """
    on, x = _arrays.enter_one("leaky_relu", "input", input)
    slope = _options.number("leaky_relu", "negative_slope", negative_slope)
    if out is None:
        out = on.empty(x.shape, x.dtype)
    else:
        out = _arrays.output("leaky_relu", on, out, x.shape, x, input, may_be=input)
    on.elementwise.leaky_relu(out, x, slope)
    return out


def prelu(input: ArrayT, weight: AnyArray, *, out: ArrayT | None = None) -> ArrayT:
    """x where it is above 0, else weight * x, of each element.

    Parameters
    ----------
    input : array (N, C, ...), or of any shape
        float32 or float64; C is 1 where it has fewer than two dimensions.
    weight : array of 1 or C values
        The slope for all elements, or for each channel; dtype as the input.
    out : array, optional
        A writable C-contiguous array of the input's shape and dtype to fill and return; it may be the input itself.

    Returns
    -------
    array of the input's shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        weight has another shape, or ``out`` does not fit.

    Notes
    -----
    NaN stays NaN.

    References
    ----------
    He et al., Delving deep into rectifiers, ICCV 2015;
    https://pytorch.org/docs/stable/generated/torch.nn.functional.prelu.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.prelu(np.array([[-2.0, -2.0, 3.0]]), np.array([0.5, 0.25, 0.1]))
    array([[-1. , -0.5,  3. ]])
    """
    on, x, w = _arrays.enter("prelu", input=input, weight=weight)
    inner = _inner("prelu", x.shape, w.shape)
    if out is None:
        out = on.empty(x.shape, x.dtype)
    else:
        out = _arrays.output("prelu", on, out, x.shape, x, input, weight, may_be=input)
    on.prelu.prelu(out, x, w, inner)
    return out


def clamp(input: ArrayT, min: float | None = None, max: float | None = None, *, out: ArrayT | None = None) -> ArrayT:
    """min(max(x, min), max) of each element.

    Parameters
    ----------
    input : array of any shape
        float32 or float64.
    min, max : float, optional
        The bounds; at least one of them.
    out : array, optional
        A writable C-contiguous array of the input's shape and dtype to fill and return; it may be the input itself.

    Returns
    -------
    array of the input's shape and dtype

    Raises
    ------
    TypeError
        The input is not an array of float32 or float64.
    ValueError
        A bound is not a number, both are None, or ``out`` does not fit.

    Notes
    -----
    Where min is above max the result is max. NaN stays NaN, and a bound that is NaN makes every element NaN.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.clamp.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.clamp(np.array([-2.0, 0.5, 2.0]), -1, 1)
    array([-1. ,  0.5,  1. ])
    >>> fastops.clamp(np.array([-2.0, 0.5, 2.0]), max=0)
    array([-2.,  0.,  0.])
    """
    on, x = _arrays.enter_one("clamp", "input", input)
    low, high = _options.bounds("clamp", min, max)
    if out is None:
        out = on.empty(x.shape, x.dtype)
    else:
        out = _arrays.output("clamp", on, out, x.shape, x, input, may_be=input)
    on.elementwise.clamp(out, x, low, high)
    return out


def relu6_backward(grad_output: ArrayT, input: AnyArray) -> ArrayT:
    """The gradient of relu6: grad_output where 0 < x < 6, else 0.

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    input : array of the same shape and dtype
        As relu6 had it.

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes differ.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.relu6.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.relu6_backward(np.ones(4), np.array([-1.0, 0.0, 3.0, 6.0]))
    array([0., 0., 1., 0.])
    """
    op = "relu6_backward"
    on, go, x = _arrays.enter(op, grad_output=grad_output, input=input)
    _shapes.same(op, "grad_output", go.shape, x.shape)
    grad_input = on.empty(x.shape, x.dtype)
    on.elementwise.relu6_backward(grad_input, go, x)
    return grad_input


def leaky_relu_backward(grad_output: ArrayT, input: AnyArray, negative_slope: float = 0.01) -> ArrayT:
    """The gradient of leaky_relu: grad_output where x > 0, else negative_slope * grad_output.

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    input : array of the same shape and dtype
        As leaky_relu had it.
    negative_slope : float
        As leaky_relu had it.

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes differ, or negative_slope is not a number.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.leaky_relu.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.leaky_relu_backward(np.ones(2), np.array([-2.0, 0.5]), 0.1)
    array([0.1, 1. ])
    """
    op = "leaky_relu_backward"
    on, go, x = _arrays.enter(op, grad_output=grad_output, input=input)
    _shapes.same(op, "grad_output", go.shape, x.shape)
    slope = _options.number(op, "negative_slope", negative_slope)
    grad_input = on.empty(x.shape, x.dtype)
    on.elementwise.leaky_relu_backward(grad_input, go, x, slope)
    return grad_input


def prelu_backward(grad_output: AnyArray, input: ArrayT, weight: OtherT) -> tuple[ArrayT, OtherT]:
    """The gradients of prelu: grad_output times the slope, and the sums of grad_output * x where the slope counts.

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    input : array of the same shape and dtype
        As prelu had it.
    weight : array of 1 or C values
        As prelu had it.

    Returns
    -------
    grad_input : array of the input's shape and dtype
    grad_weight : array of the weight's shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes differ, or weight has another one.

    Notes
    -----
    Sums are made in float64 and have the same bits for every number of threads.

    References
    ----------
    He et al., Delving deep into rectifiers, ICCV 2015;
    https://pytorch.org/docs/stable/generated/torch.nn.functional.prelu.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.prelu_backward(np.ones((1, 3)), np.array([[-2.0, -4.0, 3.0]]), np.array([0.5, 0.25, 0.1]))
    (array([[0.5 , 0.25, 1.  ]]), array([-2., -4.,  0.]))
    """
    op = "prelu_backward"
    on, go, x, w = _arrays.enter(op, grad_output=grad_output, input=input, weight=weight)
    _shapes.same(op, "grad_output", go.shape, x.shape)
    inner = _inner(op, x.shape, w.shape)
    grad_input, grad_weight = on.empty(x.shape, x.dtype), on.empty(w.shape, w.dtype)
    on.prelu.prelu_backward(grad_input, grad_weight, go, x, w, inner)
    return grad_input, grad_weight


def clamp_backward(grad_output: ArrayT, input: AnyArray, min: float | None = None, max: float | None = None) -> ArrayT:
    """The gradient of clamp: grad_output where min <= x <= max, else 0.

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    input : array of the same shape and dtype
        As clamp had it.
    min, max : float, optional
        As clamp had them.

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes differ, a bound is not a number, or both are None.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.clamp.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.clamp_backward(np.ones(4), np.array([-2.0, -1.0, 0.5, 2.0]), -1, 1)
    array([0., 1., 1., 0.])
    """
    op = "clamp_backward"
    on, go, x = _arrays.enter(op, grad_output=grad_output, input=input)
    _shapes.same(op, "grad_output", go.shape, x.shape)
    low, high = _options.bounds(op, min, max)
    grad_input = on.empty(x.shape, x.dtype)
    on.elementwise.clamp_backward(grad_input, go, x, low, high)
    return grad_input


@functools.lru_cache(maxsize=1024)
def _inner(op: str, shape: tuple[int, ...], weight: tuple[int, ...]) -> int:
    """How many neighbouring elements share a slope."""
    channels = shape[1] if len(shape) > 1 else 1
    if len(weight) > 1 or prod(weight) not in (1, channels):
        expected = "1 value" if channels == 1 else f"1 or {channels} values"
        raise ValueError(f"{op}: weight expects {expected}, as input {shape} has channels, got shape {weight}")
    return prod(shape) if prod(weight) == 1 else prod(shape[2:])
