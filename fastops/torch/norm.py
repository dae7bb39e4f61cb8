"""batch_norm on tensors."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .. import norm as numpy_norm
from .registry import Operator, Tensor, ours


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """torch.nn.functional.batch_norm.

    Parameters
    ----------
    input : (N, C) to (N, C, d1, d2, d3) tensor
        On a CPU, float32 or float64; anything else is torch's.
    running_mean, running_var, weight, bias, training, momentum, eps
        As torch has them; in training the running statistics are updated in place.

    Returns
    -------
    tensor of the input's shape

    Raises
    ------
    ValueError
        Sizes or options do not fit together.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.batch_norm.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.batch_norm(torch.tensor([[1.0], [3.0]]), None, None, training=True).round(decimals=3)
    tensor([[-1.],
            [ 1.]])
    """
    if not ours(input, running_mean, running_var, weight, bias) or input.dim() > 5:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    training = bool(training)
    out, mean, var = _batch_norm(input, running_mean, running_var, weight, bias, training, float(momentum), float(eps))
    if training and running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.copy_(mean)
            running_var.copy_(var)
    return out


def _forward(input, running_mean, running_var, weight, bias, training, momentum, eps):
    updates = training and running_mean is not None and running_var is not None
    mean, var = (running_mean.copy(), running_var.copy()) if updates else (running_mean, running_var)
    out = numpy_norm.batch_norm(input, mean, var, weight, bias, training, momentum, eps)
    return (out, mean, var) if updates else (out, np.empty(0, input.dtype), np.empty(0, input.dtype))


def _fake(input, running_mean, running_var, weight, bias, training, momentum, eps):
    updates = training and running_mean is not None and running_var is not None
    channels = input.shape[1] if updates else 0
    return input.new_empty(input.shape), input.new_empty(channels), input.new_empty(channels)


def _backward_forward(grad_output, input, running_mean, running_var, weight, bias, training, eps):
    found = numpy_norm.batch_norm_backward(
        grad_output, input, running_mean, running_var, weight, bias, training, 0.0, eps
    )
    return tuple(np.empty(0, input.dtype) if each is None else each for each in found)


def _backward_fake(grad_output, input, running_mean, running_var, weight, bias, training, eps):
    found = [input.new_empty(0) if each is None else each.new_empty(each.shape) for each in (weight, bias)]
    return input.new_empty(input.shape), *found


def _save(ctx, inputs, output):
    input, mean, var, weight, bias, training, _, eps = inputs
    ctx.options = training, eps
    ctx.mark_non_differentiable(*output[1:])
    statistics = (None, None) if training else (mean, var)  # in training they are about to change, and do not count
    ctx.save_for_backward(input, *statistics, weight, bias)


def _gradient(ctx, grad_output, *others):
    needed = ctx.needs_input_grad
    grad_input, grad_weight, grad_bias = _batch_norm_backward(grad_output, *ctx.saved_tensors, *ctx.options)
    found: list[Any] = [grad_input, None, None, grad_weight, grad_bias, None, None, None]
    return tuple(each if wanted else None for each, wanted in zip(found, needed, strict=True))


_batch_norm_backward = Operator(
    "batch_norm_backward(Tensor grad_output, Tensor input, Tensor? running_mean, Tensor? running_var, Tensor? weight, "
    "Tensor? bias, bool training, float eps) -> (Tensor, Tensor, Tensor)",
    _backward_forward,
    _backward_fake,
)
_batch_norm = Operator(
    "batch_norm(Tensor input, Tensor? running_mean, Tensor? running_var, Tensor? weight, Tensor? bias, bool training, "
    "float momentum, float eps) -> (Tensor, Tensor, Tensor)",
    _forward,
    _fake,
    _save,
    _gradient,
)
