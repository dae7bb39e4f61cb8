"""linear and flatten on tensors."""

import numpy as np
import torch
import torch.nn.functional as F

from ..linear import linear as linear_of_arrays
from ..linear import linear_backward
from .registry import Operator, Tensor, library, ours


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """torch.nn.functional.linear, by the BLAS of NumPy.

    Parameters
    ----------
    input : (..., in_features) tensor
        On a CPU, float32 or float64; anything else is torch's.
    weight : (out_features, in_features) tensor
    bias : (out_features,) tensor, optional

    Returns
    -------
    (..., out_features) tensor

    Raises
    ------
    ValueError
        Sizes do not fit together.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.linear.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.linear(torch.ones(1, 2), torch.ones(3, 2), torch.zeros(3))
    tensor([[2., 2., 2.]])
    """
    if not ours(input, weight, bias) or weight.dim() != 2:  # torch takes a vector of weights, too
        return F.linear(input, weight, bias)
    return _linear(input, weight, bias)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """torch.flatten: a view where one will do, which torch makes itself.

    Parameters
    ----------
    input : tensor of any shape, dtype and device
    start_dim, end_dim : int
        The first and the last of the dimensions to join.

    Returns
    -------
    tensor of the same dtype

    Raises
    ------
    IndexError, RuntimeError
        torch's own, for dimensions that there are not.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.flatten.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.flatten(torch.zeros(2, 3, 4), 1).shape
    torch.Size([2, 12])
    """
    return torch.ops.fastops.flatten(input, start_dim, end_dim)


library.define("flatten(Tensor(a) input, int start_dim=0, int end_dim=-1) -> Tensor(a)")
library.impl("flatten", torch.flatten, "CompositeImplicitAutograd")


def _backward_forward(grad_output, input, weight, bias):
    found = linear_backward(grad_output, input, weight, bias)
    return tuple(np.empty(0, input.dtype) if each is None else each for each in found)


def _backward_fake(grad_output, input, weight, bias):
    grad_bias = input.new_empty(0) if bias is None else bias.new_empty(bias.shape)
    return input.new_empty(input.shape), weight.new_empty(weight.shape), grad_bias


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _gradient(ctx, grad_output):
    found = _linear_backward(grad_output, *ctx.saved_tensors)
    return tuple(each if wanted else None for each, wanted in zip(found, ctx.needs_input_grad, strict=True))


_linear_backward = Operator(
    "linear_backward(Tensor grad_output, Tensor input, Tensor weight, Tensor? bias) -> (Tensor, Tensor, Tensor)",
    _backward_forward,
    _backward_fake,
)
_linear = Operator(
    "linear(Tensor input, Tensor weight, Tensor? bias) -> Tensor",
    linear_of_arrays,
    lambda input, weight, bias: input.new_empty((*input.shape[:-1], weight.shape[0])),
    _save,
    _gradient,
)
