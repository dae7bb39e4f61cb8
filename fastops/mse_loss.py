"""mse_loss and its gradient: what is promised."""

from math import prod
from typing import Any

from . import _arrays, _options, _shapes
from ._arrays import AnyArray, Array, ArrayT, OtherT
from ._backend import Backend


def mse_loss(input: AnyArray, target: AnyArray, reduction: str = "mean", weight: AnyArray | None = None) -> Array:
    """Squared error.

    Parameters
    ----------
    input, target : arrays whose shapes broadcast
        float32 or float64, both the same.
    reduction : {'mean', 'sum', 'none'}
        'mean' divides by the number of elements, or by the sum of the weights.
    weight : array of the common shape, optional
        A factor for each squared error.

    Returns
    -------
    NumPy scalar of the input's dtype, or array of the common shape with reduction='none'

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes or options do not fit together.

    Notes
    -----
    Sums run in float64.  The mean of nothing is NaN.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.mse_loss(np.array([1.0, 2.0]), np.array([0.0, 4.0]), reduction="none")
    array([1., 4.])
    """
    op = "mse_loss"
    on, x, t, w, shape = _case(op, input, target, reduction, weight)
    if reduction == "none":
        out = on.empty(shape, x.dtype)
        on.loss.mse_loss(out, x, t, w)
        return out
    total, divisor = on.loss.mse_loss_sums(x, t, w)
    return on.loss.scalar_loss(total, divisor if reduction == "mean" else 1.0, x.dtype)


def mse_loss_backward(
    grad_output: AnyArray | float,
    input: ArrayT,
    target: OtherT,
    reduction: str = "mean",
    weight: AnyArray | None = None,
) -> tuple[ArrayT, OtherT]:
    """The gradients of mse_loss with respect to input and target.

    Parameters
    ----------
    grad_output : number, or array of the losses' shape
        The gradient of the result: a number or 0-d array, with reduction='none' an array of the common shape.
    input, target, reduction, weight
        As mse_loss had them.

    Returns
    -------
    grad_input, grad_target : arrays of the shapes of input and target
        2 * (input - target) * weight, scaled as the reduction does, and its negative; summed where a shape was
        broadcast.

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes or options do not fit together.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.mse_loss_backward(1.0, np.array([1.0, 2.0]), np.array([0.0, 4.0]))
    (array([ 1., -2.]), array([-1.,  2.]))
    """
    op = "mse_loss_backward"
    on, x, t, w, shape = _case(op, input, target, reduction, weight)
    factor, scale = w, 1.0
    if reduction == "none":
        factor = _arrays.enter_like(op, "grad_output", grad_output, on, x)
        _shapes.same(op, "grad_output", factor.shape, shape)
        factor = factor if w is None else on.product(factor, w)
    else:
        scale = _arrays.gradient_number(op, grad_output, on, x)
        if reduction == "mean":
            divisor = float(prod(shape)) if w is None else on.sum(w)
            scale = on.quotient(scale, divisor)
    grad_input, grad_target = on.empty(shape, x.dtype), on.empty(shape, x.dtype)
    on.loss_grad.mse_loss_backward(grad_input, grad_target, x, t, factor, scale)
    return on.sum_to(grad_input, input.shape), on.sum_to(grad_target, target.shape)


def _case(
    op: str, input: Array, target: Array, reduction: Any, weight: Array | None
) -> tuple[Backend, Array, Array, Array | None, tuple[int, ...]]:
    """(backend, input, target, weight, shape), all arrays of the common shape."""
    on, x, t, w = _arrays.enter(op, ("weight",), input=input, target=target, weight=weight)
    _options.choice(op, "reduction", reduction, _options.REDUCTIONS)
    shape = _shapes.broadcast(op, x.shape, t.shape)
    if w is not None:
        _shapes.same(op, "weight", w.shape, shape)
    return on, on.broadcast(x, shape), on.broadcast(t, shape), w, shape
