"""softmax, log_softmax and their gradients: what is promised."""

from . import _arrays, _shapes
from ._arrays import AnyArray, Array, ArrayT
from ._backend import Backend


def softmax(input: ArrayT, dim: int, *, out: ArrayT | None = None) -> ArrayT:
    """exp(x) over its sum along one dimension.

    Parameters
    ----------
    input : array of any shape
        float32 or float64.
    dim : int
        The dimension that sums to 1.
    out : array, optional
        A writable C-contiguous array of the input's shape and dtype to fill and return.

    Returns
    -------
    array of the input's shape and dtype

    Raises
    ------
    TypeError
        The input is not an array of float32 or float64.
    ValueError
        There is no such dimension, or ``out`` does not fit.

    Notes
    -----
    The maximum is taken off first, so that no finite input overflows.  NaN, +inf, or nothing but -inf along the
    dimension makes all of it NaN.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.softmax(np.array([0.0, 0.0, -np.inf]), dim=0)
    array([0.5, 0.5, 0. ])
    """
    op = "softmax"
    on, x = _arrays.enter_one(op, "input", input)
    view = _shapes.around_dim(op, x.shape, dim)
    out = on.empty(x.shape, x.dtype) if out is None else _arrays.output(op, on, out, x.shape, x, input)
    if out.size:
        on.softmax.softmax(out, x, view)
    return out


def log_softmax(input: ArrayT, dim: int, *, out: ArrayT | None = None) -> ArrayT:
    """The logarithm of softmax, without its rounding to 0.

    Parameters
    ----------
    input : array of any shape
        float32 or float64.
    dim : int
        The dimension along which exp sums to 1.
    out : array, optional
        A writable C-contiguous array of the input's shape and dtype to fill and return.

    Returns
    -------
    array of the input's shape and dtype

    Raises
    ------
    TypeError
        The input is not an array of float32 or float64.
    ValueError
        There is no such dimension, or ``out`` does not fit.

    Notes
    -----
    (x - maximum) - log(sum(exp(x - maximum))), right for logits of any size.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.log_softmax(np.array([10000.0, 0.0]), dim=0)
    array([     0., -10000.])
    """
    op = "log_softmax"
    on, x = _arrays.enter_one(op, "input", input)
    view = _shapes.around_dim(op, x.shape, dim)
    out = on.empty(x.shape, x.dtype) if out is None else _arrays.output(op, on, out, x.shape, x, input)
    if out.size:
        on.softmax.log_softmax(out, x, view)
    return out


def softmax_backward(grad_output: ArrayT, output: AnyArray, dim: int) -> ArrayT:
    """The gradient of softmax: output * (grad_output - sum(grad_output * output)).

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    output : array of the same shape and dtype
        What softmax returned.
    dim : int
        As softmax had it.

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes differ, or there is no such dimension.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.softmax_backward(np.array([1.0, 0.0]), np.array([0.5, 0.5]), dim=0)
    array([ 0.25, -0.25])
    """
    on, grad_input, go, y, view = _backward_case("softmax_backward", grad_output, output, dim)
    if grad_input.size:
        on.softmax.softmax_backward(grad_input, go, y, view)
    return grad_input


def log_softmax_backward(grad_output: ArrayT, output: AnyArray, dim: int) -> ArrayT:
    """The gradient of log_softmax: grad_output - exp(output) * sum(grad_output).

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    output : array of the same shape and dtype
        What log_softmax returned.
    dim : int
        As log_softmax had it.

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes differ, or there is no such dimension.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.log_softmax_backward(np.array([1.0, 0.0]), np.log([0.5, 0.5]), dim=0)
    array([ 0.5, -0.5])
    """
    on, grad_input, go, y, view = _backward_case("log_softmax_backward", grad_output, output, dim)
    if grad_input.size:
        on.softmax.log_softmax_backward(grad_input, go, y, view)
    return grad_input


def _backward_case(
    op: str, grad_output: Array, output: Array, dim: int
) -> tuple[Backend, Array, Array, Array, _shapes.Channels]:
    """(backend, a new grad_input, grad_output, output, view), checked."""
    on, go, y = _arrays.enter(op, grad_output=grad_output, output=output)
    _shapes.same(op, "grad_output", go.shape, y.shape)
    view = _shapes.around_dim(op, y.shape, dim)
    return on, on.empty(y.shape, y.dtype), go, y, view
