"""batch_norm: what is promised."""

from . import _arrays, _shapes
from ._arrays import Array

_OPTIONAL = ("running_mean", "running_var", "weight", "bias")


def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
) -> Array:
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
    Moments are taken in float64, block by block, and are right for |mean| >> std.  An empty batch leaves the running
    statistics as they are.

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
    on, x, mean, var, scale, shift = _arrays.enter(
        op, _OPTIONAL, input=input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    train = _shapes.flag(op, "training", training)
    share, epsilon = _shapes.number(op, "momentum", momentum), _shapes.number(op, "eps", eps)
    given = {"running_mean": mean, "running_var": var, "weight": scale, "bias": shift}
    g = _shapes.batch_norm(op, x.shape, train, **{k: None if a is None else a.shape for k, a in given.items()})
    if (mean is None) != (var is None):
        missing = "running_mean" if mean is None else "running_var"
        raise ValueError(f"batch_norm: {missing} expects an array, as the other running statistic is one, got None")
    if mean is None and not train:
        raise ValueError("batch_norm: running_mean expects an array in evaluation (training=False), got None")
    if not (epsilon > 0 or (epsilon == 0 and not train)):
        least = "greater than 0 in training" if train else "of at least 0"
        raise ValueError(f"batch_norm: eps expects a number {least}, got {epsilon}")
    if train and mean is not None:
        for name, array in (("running_mean", running_mean), ("running_var", running_var)):
            if not on.writeable(array):
                raise ValueError(f"batch_norm: {name} expects a writable array in training, got a read-only one")
    out = _arrays.output(op, on, out, x.shape, x, input, running_mean, running_var, weight, bias)
    if not out.size:
        return out
    if train:
        mean, var = on.norm.moments(x, g)
    on.norm.batch_norm(out, x, mean, var, scale, shift, epsilon, g)
    if train and running_mean is not None:
        on.norm.update_running(running_mean, mean, share)
        on.norm.update_running(running_var, on.norm.unbiased(var, g.outer * g.inner), share)
    return out
