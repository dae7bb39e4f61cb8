"""batch_norm and its gradient: what is promised."""

from typing import Any

from . import _arrays, _options, _shapes
from ._arrays import AnyArray, Array, ArrayT
from ._backend import Backend

_OPTIONAL = ("running_mean", "running_var", "weight", "bias")


def batch_norm(
    input: ArrayT,
    running_mean: AnyArray | None,
    running_var: AnyArray | None,
    weight: AnyArray | None = None,
    bias: AnyArray | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    out: ArrayT | None = None,
) -> ArrayT:
    """Normalise each channel to mean 0 and variance 1, then scale and shift it.

    Parameters
    ----------
    input : (N, C) or (N, C, ...) array
        float32 or float64.
    running_mean, running_var : (C,) arrays or None
        In training, updated in place: running = (1 - momentum) * running + momentum * observed, the observed variance
        being the unbiased one.  In evaluation, what the input is normalised by.  Both or neither.
    weight, bias : (C,) arrays, optional
        Factor and summand of each channel.
    training : bool
        Normalise by the batch's own mean and (biased) variance.
    momentum : float
        The share of the new observation; any number.
    eps : float
        Added to the variance.
    out : array, optional
        A writable C-contiguous array of the input's shape and dtype to fill and return.

    Returns
    -------
    array of the input's shape and dtype
        (x - mean) / sqrt(var + eps) * weight + bias

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes do not fit, one value per channel in training, no running statistics in evaluation, or read-only ones in
        training.

    Notes
    -----
    Moments are taken in float64, block by block, and are right for means much larger than the standard deviation.  An
    empty batch leaves the running statistics as they are.

    References
    ----------
    Ioffe and Szegedy, arXiv 1502.03167; Chan, Golub, LeVeque, Updating formulae and a pairwise algorithm for computing
    sample variances, 1979; https://pytorch.org/docs/stable/generated/torch.nn.functional.batch_norm.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> fastops.batch_norm(x, None, None, training=True, eps=1e-12).round(6)
    array([[-1., -1.],
           [ 1.,  1.]])
    """
    op = "batch_norm"
    on, x, mean, var, scale, shift, g, train, share, epsilon = _case(
        op, input, running_mean, running_var, weight, bias, training, momentum, eps
    )
    if train and mean is not None:
        for name, array in (("running_mean", running_mean), ("running_var", running_var)):
            if not on.writeable(array):
                raise ValueError(f"batch_norm: {name} expects a writable array in training, got a read-only one")
    out = (
        on.empty(x.shape, x.dtype)
        if out is None
        else _arrays.output(op, on, out, x.shape, x, input, running_mean, running_var, weight, bias)
    )
    if not out.size:
        return out
    found = on.norm.moments(x, g, mean, var, share) if train else None
    if train:
        for given, moved in ((running_mean, mean), (running_var, var)):
            if given is not None and moved is not given:  # a contiguous copy
                on.copyto(given, moved)
    on.norm.batch_norm(out, x, mean, var, found, scale, shift, epsilon, g)
    return out


def batch_norm_backward(
    grad_output: AnyArray,
    input: ArrayT,
    running_mean: AnyArray | None,
    running_var: AnyArray | None,
    weight: AnyArray | None = None,
    bias: AnyArray | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[ArrayT, Array | None, Array | None]:
    """The gradients of batch_norm with respect to input, weight and bias.

    Parameters
    ----------
    grad_output : array of the input's shape and dtype
        The gradient of the result.
    input, running_mean, running_var, weight, bias, training, momentum, eps
        As batch_norm had them; the running statistics count in evaluation alone and are not changed.

    Returns
    -------
    grad_input : array of the input's shape
    grad_weight, grad_bias : (C,) arrays
        None where weight or bias is None.

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes do not fit, one value per channel in training, or no running statistics in evaluation.

    Notes
    -----
    In training mean and variance are taken again from the input.  Sums are in float64.

    References
    ----------
    Ioffe and Szegedy, arXiv 1502.03167, section 3.

    Examples
    --------
    >>> import numpy as np, fastops
    >>> x, one = np.array([[1.0], [3.0]]), np.ones(1)
    >>> fastops.batch_norm_backward(np.array([[1.0], [0.0]]), x, 2 * one, one, one, one)
    (array([[0.999995],
           [0.      ]]), array([-0.999995]), array([1.]))
    """
    op = "batch_norm_backward"
    on, x, mean, var, scale, shift, g, train, _, epsilon = _case(
        op, input, running_mean, running_var, weight, bias, training, momentum, eps
    )
    go = _arrays.enter_like(op, "grad_output", grad_output, on, x)
    _shapes.same(op, "grad_output", go.shape, x.shape)
    grad_input = on.empty(x.shape, x.dtype)
    made = on.empty if x.size else on.zeros
    grad_weight = None if scale is None else made(g.size, x.dtype)
    grad_bias = None if shift is None else made(g.size, x.dtype)
    if x.size:
        on.norm_grad.batch_norm_backward(grad_input, grad_weight, grad_bias, go, x, mean, var, scale, train, epsilon, g)
    return grad_input, grad_weight, grad_bias


def _case(
    op: str, input: Array, running_mean: Any, running_var: Any, weight: Any, bias: Any, training: Any, momentum: Any,
    eps: Any,
) -> tuple[Backend, Array, Array, Array, Array, Array, _shapes.Channels, bool, float, float]:  # fmt: skip
    """(backend, the five arrays, geometry, training, momentum, eps), checked."""
    on, x, mean, var, scale, shift = _arrays.enter(
        op, _OPTIONAL, input=input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    train = _options.flag(op, "training", training)
    share, epsilon = _options.number(op, "momentum", momentum), _options.number(op, "eps", eps)
    shapes = [None if array is None else array.shape for array in (mean, var, scale, shift)]
    g = _shapes.batch_norm(op, x.shape, train, *shapes)
    if (mean is None) != (var is None):
        missing = "running_mean" if mean is None else "running_var"
        raise ValueError(f"{op}: {missing} expects an array, as the other running statistic is one, got None")
    if mean is None and not train:
        raise ValueError(f"{op}: running_mean expects an array in evaluation (training=False), got None")
    if not (epsilon > 0 or (epsilon == 0 and not train)):
        least = "greater than 0 in training" if train else "of at least 0"
        raise ValueError(f"{op}: eps expects a number {least}, got {epsilon}")
    return on, x, mean, var, scale, shift, g, train, share, epsilon
