"""relu6, leaky_relu, prelu and clamp on tensors."""

from typing import Any

import torch
import torch.nn.functional as F

from .. import rectifier as numpy_rectifier
from .of_input import of_input
from .registry import Operator, Tensor, ours


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """torch.nn.functional.relu6.

    Parameters
    ----------
    input : tensor of any shape
        On a CPU, float32 or float64; anything else is torch's.
    inplace : bool
        Whether the input itself is changed, by torch.


    Returns
    -------
    tensor of the input's shape

    Raises
    ------
    TypeError
        torch's own, where the input is no tensor.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.relu6.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.relu6(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return F.relu6(input, inplace) if inplace or not ours(input) else _relu6(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """torch.nn.functional.leaky_relu.

    Parameters
    ----------
    input : tensor of any shape
        On a CPU, float32 or float64; anything else is torch's.
    negative_slope : float
        The slope where x <= 0.
    inplace : bool
        Whether the input itself is changed, by torch.


    Returns
    -------
    tensor of the input's shape

    Raises
    ------
    TypeError
        torch's own, where the input is no tensor.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.leaky_relu.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.leaky_relu(torch.tensor([-1.0, 2.0]))
    tensor([-0.0100,  2.0000])
    """
    if inplace or not ours(input):
        return F.leaky_relu(input, negative_slope, inplace)
    return _leaky_relu(input, float(negative_slope))


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """torch.nn.functional.prelu.

    Parameters
    ----------
    input : tensor of any shape
        On a CPU, float32 or float64; anything else is torch's.
    weight : tensor of 1 or C values
        The slope where x <= 0, for all elements or for each channel.


    Returns
    -------
    tensor of the input's shape

    Raises
    ------
    TypeError
        torch's own, where the input is no tensor.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.prelu.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.prelu(torch.tensor([-1.0, 2.0]), torch.tensor([0.5]))
    tensor([-0.5000,  2.0000])
    """
    return _prelu(input, weight) if ours(input, weight) else F.prelu(input, weight)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """torch.clamp.

    Parameters
    ----------
    input : tensor of any shape
        On a CPU, float32 or float64; anything else is torch's.
    min, max : float, optional
        The bounds, at least one of them; tensors are torch's.


    Returns
    -------
    tensor of the input's shape

    Raises
    ------
    TypeError
        torch's own, where the input is no tensor.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.clamp.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.clamp(torch.tensor([-1.0, 2.0]), min=0, max=1)
    tensor([0., 1.])
    """
    if not ours(input) or isinstance(min, torch.Tensor) or isinstance(max, torch.Tensor) or min is max is None:
        return torch.clamp(input, min, max)
    return _clamp(input, None if min is None else float(min), None if max is None else float(max))


# --------------------------------------------------------------------------------------------- operators


_relu6 = of_input("relu6", numpy_rectifier)
_leaky_relu = of_input("leaky_relu", numpy_rectifier, ", float negative_slope")
_clamp = of_input("clamp", numpy_rectifier, ", float? min, float? max")


def _prelu_gradient(ctx, grad_output):
    found = _prelu_backward(grad_output, *ctx.saved_tensors)
    return tuple(each if wanted else None for each, wanted in zip(found, ctx.needs_input_grad, strict=True))


_prelu_backward = Operator(
    "prelu_backward(Tensor grad_output, Tensor input, Tensor weight) -> (Tensor, Tensor)",
    numpy_rectifier.prelu_backward,
    lambda grad_output, input, weight: (input.new_empty(input.shape), weight.new_empty(weight.shape)),
)
_prelu = Operator(
    "prelu(Tensor input, Tensor weight) -> Tensor",
    numpy_rectifier.prelu,
    lambda input, weight: input.new_empty(input.shape),
    lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    _prelu_gradient,
)
