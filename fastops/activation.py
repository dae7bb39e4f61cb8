"""silu, hardsigmoid, hardswish, gelu and their gradients: what is promised."""

from . import _arrays, _options, _shapes
from ._arrays import AnyArray, ArrayT

_FORMS = ("none", "tanh")  # of gelu


def silu(input: ArrayT, *, out: ArrayT | None = None) -> ArrayT:
    """x sigmoid(x) of each element, which is called swish too.

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
    NaN at -inf, as in torch.

    References
    ----------
    Elfwing et al., Neural Networks 107 (2018); Ramachandran et al., arXiv:1710.05941;
    https://pytorch.org/docs/stable/generated/torch.nn.functional.silu.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.silu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.2689,  0.    ,  0.7311])
    """
    on, x = _arrays.enter_one("silu", "input", input)
    if out is None:
        out = on.empty(x.shape, x.dtype)
    else:
        out = _arrays.output("silu", on, out, x.shape, x, input, may_be=input)
    on.elementwise.silu(out, x)
    return out


def hardsigmoid(input: ArrayT, *, out: ArrayT | None = None) -> ArrayT:
    """min(max(x + 3, 0), 6) / 6 of each element: a sigmoid of straight pieces.

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

    References
    ----------
    Howard et al., Searching for MobileNetV3, arXiv:1905.02244;
    https://pytorch.org/docs/stable/generated/torch.nn.functional.hardsigmoid.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.hardsigmoid(np.array([-4.0, 0.0, 1.5, 4.0]))
    array([0.  , 0.5 , 0.75, 1.  ])
    """
    on, x = _arrays.enter_one("hardsigmoid", "input", input)
    if out is None:
        out = on.empty(x.shape, x.dtype)
    else:
        out = _arrays.output("hardsigmoid", on, out, x.shape, x, input, may_be=input)
    on.elementwise.hardsigmoid(out, x)
    return out


def hardswish(input: ArrayT, *, out: ArrayT | None = None) -> ArrayT:
    """x hardsigmoid(x) of each element.

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
    NaN at -inf, as in torch. Numbers beyond a sixth of the largest stay finite, which torch makes infinite.

    References
    ----------
    Howard et al., Searching for MobileNetV3, arXiv:1905.02244;
    https://pytorch.org/docs/stable/generated/torch.nn.functional.hardswish.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.hardswish(np.array([-4.0, -1.5, 1.5, 4.0]))
    array([-0.   , -0.375,  1.125,  4.   ])
    """
    on, x = _arrays.enter_one("hardswish", "input", input)
    if out is None:
        out = on.empty(x.shape, x.dtype)
    else:
        out = _arrays.output("hardswish", on, out, x.shape, x, input, may_be=input)
    on.elementwise.hardswish(out, x)
    return out


def gelu(input: ArrayT, approximate: str = "none", *, out: ArrayT | None = None) -> ArrayT:
    """x Phi(x) of each element, Phi the standard normal distribution: x (1 + erf(x / sqrt(2))) / 2.

    Parameters
    ----------
    input : array of any shape
        float32 or float64.
    approximate : {'none', 'tanh'}
        'tanh' is x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
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
        approximate is another word, or ``out`` does not fit.

    Notes
    -----
    'none' is within 4 + x^2 ulp, as long as that is a normal number; torch's float32 has no right digit
    below -5.5. The infinities have their limits, -0.0 and infinity, where torch has NaN.

    References
    ----------
    Hendrycks and Gimpel, arXiv:1606.08415; Cody, Math. Comp. 23 (1969), 631-637;
    https://pytorch.org/docs/stable/generated/torch.nn.functional.gelu.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.gelu(np.array([-10.0, -1.0, 0.0, 1.0]))
    array([-7.61985302e-23, -1.58655254e-01,  0.00000000e+00,  8.41344746e-01])
    """
    on, x = _arrays.enter_one("gelu", "input", input)
    tanh = _options.choice("gelu", "approximate", approximate, _FORMS) == "tanh"
    if out is None:
        out = on.empty(x.shape, x.dtype)
    else:
        out = _arrays.output("gelu", on, out, x.shape, x, input, may_be=input)
    on.elementwise.gelu(out, x, tanh)
    return out


def silu_backward(grad_output: ArrayT, input: AnyArray) -> ArrayT:
    """The gradient of silu: grad_output * s (1 + x (1 - s)), where s is sigmoid(x).

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    input : array of the same shape and dtype
        As silu had it.

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes differ.

    Notes
    -----
    NaN at the infinities, as in torch.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.silu.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.silu_backward(np.ones(3), np.array([-1.0, 0.0, 1.0])).round(4)
    array([0.0723, 0.5   , 0.9277])
    """
    op = "silu_backward"
    on, go, x = _arrays.enter(op, grad_output=grad_output, input=input)
    _shapes.same(op, "grad_output", go.shape, x.shape)
    grad_input = on.empty(x.shape, x.dtype)
    on.elementwise.silu_backward(grad_input, go, x)
    return grad_input


def hardsigmoid_backward(grad_output: ArrayT, input: AnyArray) -> ArrayT:
    """The gradient of hardsigmoid: grad_output / 6 where -3 < x < 3, else 0.

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    input : array of the same shape and dtype
        As hardsigmoid had it.

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
    https://pytorch.org/docs/stable/generated/torch.nn.functional.hardsigmoid.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.hardsigmoid_backward(np.full(3, 6.0), np.array([-3.0, 0.0, 3.0]))
    array([0., 1., 0.])
    """
    op = "hardsigmoid_backward"
    on, go, x = _arrays.enter(op, grad_output=grad_output, input=input)
    _shapes.same(op, "grad_output", go.shape, x.shape)
    grad_input = on.empty(x.shape, x.dtype)
    on.elementwise.hardsigmoid_backward(grad_input, go, x)
    return grad_input


def hardswish_backward(grad_output: ArrayT, input: AnyArray) -> ArrayT:
    """The gradient of hardswish: grad_output * (x / 3 + 1/2) where -3 < x < 3, else times 0 below and 1 above.

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    input : array of the same shape and dtype
        As hardswish had it.

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
    https://pytorch.org/docs/stable/generated/torch.nn.functional.hardswish.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.hardswish_backward(np.ones(3), np.array([-3.0, 0.0, 3.0]))
    array([0. , 0.5, 1. ])
    """
    op = "hardswish_backward"
    on, go, x = _arrays.enter(op, grad_output=grad_output, input=input)
    _shapes.same(op, "grad_output", go.shape, x.shape)
    grad_input = on.empty(x.shape, x.dtype)
    on.elementwise.hardswish_backward(grad_input, go, x)
    return grad_input


def gelu_backward(grad_output: ArrayT, input: AnyArray, approximate: str = "none") -> ArrayT:
    """The gradient of gelu: grad_output * (Phi(x) + x phi(x)), phi the density of the standard normal distribution.

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    input : array of the same shape and dtype
        As gelu had it.
    approximate : {'none', 'tanh'}
        As gelu had it.

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes differ, or approximate is another word.

    Notes
    -----
    0 and grad_output at the infinities, where torch has NaN.

    References
    ----------
    Hendrycks and Gimpel, arXiv:1606.08415;
    https://pytorch.org/docs/stable/generated/torch.nn.functional.gelu.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.gelu_backward(np.ones(3), np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.0833,  0.5   ,  1.0833])
    """
    op = "gelu_backward"
    on, go, x = _arrays.enter(op, grad_output=grad_output, input=input)
    _shapes.same(op, "grad_output", go.shape, x.shape)
    tanh = _options.choice(op, "approximate", approximate, _FORMS) == "tanh"
    grad_input = on.empty(x.shape, x.dtype)
    on.elementwise.gelu_backward(grad_input, go, x, tanh)
    return grad_input
