"""The element-wise functions and dropout on tensors.

What is asked to work in place is torch's own: it saves memory, and time only where memory is new.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .. import _arrays, _options, cpu
from .. import activation as numpy_activation
from .. import elementwise as numpy_elementwise
from .. import rectifier as numpy_rectifier
from .registry import Operator, Tensor, ours


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """torch.nn.functional.relu.

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
    https://pytorch.org/docs/stable/generated/torch.nn.functional.relu.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.relu(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return F.relu(input, inplace) if inplace or not ours(input) else _relu(input)


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


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """torch.nn.functional.silu.

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
    https://pytorch.org/docs/stable/generated/torch.nn.functional.silu.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.silu(torch.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """
    return F.silu(input, inplace) if inplace or not ours(input) else _silu(input)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """torch.nn.functional.hardsigmoid.

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
    https://pytorch.org/docs/stable/generated/torch.nn.functional.hardsigmoid.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.hardsigmoid(torch.tensor([-1.0, 2.0]))
    tensor([0.3333, 0.8333])
    """
    return F.hardsigmoid(input, inplace) if inplace or not ours(input) else _hardsigmoid(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """torch.nn.functional.hardswish.

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
    https://pytorch.org/docs/stable/generated/torch.nn.functional.hardswish.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.hardswish(torch.tensor([-1.0, 2.0]))
    tensor([-0.3333,  1.6667])
    """
    return F.hardswish(input, inplace) if inplace or not ours(input) else _hardswish(input)


def sigmoid(input: Tensor) -> Tensor:
    """torch.sigmoid.

    Parameters
    ----------
    input : tensor of any shape
        On a CPU, float32 or float64; anything else is torch's.


    Returns
    -------
    tensor of the input's shape

    Raises
    ------
    TypeError
        torch's own, where the input is no tensor.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.sigmoid.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.sigmoid(torch.tensor([0.0]))
    tensor([0.5000])
    """
    return _sigmoid(input) if ours(input) else torch.sigmoid(input)


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


def gelu(input: Tensor, *, approximate: str = "none") -> Tensor:
    """torch.nn.functional.gelu.

    Parameters
    ----------
    input : tensor of any shape
        On a CPU, float32 or float64; anything else is torch's.
    approximate : {'none', 'tanh'}
        As torch has it.


    Returns
    -------
    tensor of the input's shape

    Raises
    ------
    TypeError
        torch's own, where the input is no tensor.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.gelu.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.gelu(torch.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """
    return _gelu(input, approximate) if ours(input) else F.gelu(input, approximate=approximate)


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


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, rng: Any = None) -> Tensor:
    """torch.nn.functional.dropout.

    Parameters
    ----------
    input : tensor of any shape
        On a CPU, float32 or float64; anything else is torch's.
    p, training, inplace
        As torch has them.
    rng : int, numpy.random.SeedSequence or numpy.random.Generator, optional
        Where the mask comes from: that of `fastops.dropout` with the same rng.  Without one it follows
        torch.manual_seed, but is not torch's own mask.

    Returns
    -------
    tensor of the input's shape

    Raises
    ------
    TypeError
        There is an rng, and the input is not for fastops.
    ValueError
        p is not from 0 to 1.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.dropout.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.dropout(torch.ones(6), rng=7)
    tensor([2., 0., 0., 0., 2., 2.])
    """
    if not ours(input):
        if rng is not None:
            got = f"{input.dtype} on {input.device}" if isinstance(input, torch.Tensor) else type(input).__name__
            expected = "a CPU tensor of float32 or float64, outside of autocast, where there is an rng"
            raise TypeError(f"dropout: input expects {expected}, got {got}")
        return F.dropout(input, p, training, inplace)
    probability = _options.number("dropout", "p", p)
    if not 0 <= probability <= 1:
        raise ValueError(f"dropout: p expects a probability from 0 to 1, got {probability}")
    if not training or probability == 0:
        return input
    if rng is None:
        key = torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64)
    else:
        key = torch.tensor(np.uint64(numpy_elementwise._key("dropout", rng)).astype(np.int64).item())
    dropped = _dropout(input, probability, key)
    return input.copy_(dropped) if inplace else dropped


# --------------------------------------------------------------------------------------------- operators


def _of_input(name: str, module: Any, options: str = "") -> Operator:
    """The operator of a function whose gradient takes the input: name(input, *options)."""
    forward, backward = getattr(module, name), getattr(module, f"{name}_backward")
    gradient = Operator(
        f"{name}_backward(Tensor grad_output, Tensor input{options}) -> Tensor",
        backward,
        lambda grad_output, input, *numbers: input.new_empty(input.shape),
    )

    def save(ctx, inputs, output):
        input, *ctx.numbers = inputs
        ctx.save_for_backward(input)

    return Operator(
        f"{name}(Tensor input{options}) -> Tensor",
        forward,
        lambda input, *numbers: input.new_empty(input.shape),
        save,
        lambda ctx, grad: (gradient(grad, *ctx.saved_tensors, *ctx.numbers), *(None for _ in ctx.numbers)),
    )


_relu6 = _of_input("relu6", numpy_rectifier)
_leaky_relu = _of_input("leaky_relu", numpy_rectifier, ", float negative_slope")
_clamp = _of_input("clamp", numpy_rectifier, ", float? min, float? max")
_silu = _of_input("silu", numpy_activation)
_hardsigmoid = _of_input("hardsigmoid", numpy_activation)
_hardswish = _of_input("hardswish", numpy_activation)
_gelu = _of_input("gelu", numpy_activation, ", str approximate")


_relu_backward = Operator(
    "relu_backward(Tensor grad_output, Tensor input) -> Tensor",
    numpy_elementwise.relu_backward,
    lambda grad_output, input: input.new_empty(input.shape),
)
_relu = Operator(
    "relu(Tensor input) -> Tensor",
    numpy_elementwise.relu,
    lambda input: input.new_empty(input.shape),
    lambda ctx, inputs, output: ctx.save_for_backward(output),  # as torch does: it is above 0 where the input is
    lambda ctx, grad: (_relu_backward(grad, *ctx.saved_tensors),),
)
_sigmoid_backward = Operator(
    "sigmoid_backward(Tensor grad_output, Tensor output) -> Tensor",
    numpy_elementwise.sigmoid_backward,
    lambda grad_output, output: output.new_empty(output.shape),
)
_sigmoid = Operator(
    "sigmoid(Tensor input) -> Tensor",
    numpy_elementwise.sigmoid,
    lambda input: input.new_empty(input.shape),
    lambda ctx, inputs, output: ctx.save_for_backward(output),
    lambda ctx, grad: (_sigmoid_backward(grad, *ctx.saved_tensors),),
)


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


def _dropout_forward(input, p, key):
    on, x = _arrays.enter_one("dropout", "input", input)
    out = on.empty(x.shape, x.dtype)
    cpu.elementwise.dropout(out, x, p, int(key) % 2**64)
    return out


def _save_dropout(ctx, inputs, output):
    _, ctx.p, key = inputs
    ctx.save_for_backward(key)


# Its own gradient: the mask comes again from the key, a tensor so that one drawn by torch stays a part of its graphs.
_dropout: Operator = Operator(
    "dropout(Tensor input, float p, Tensor key) -> Tensor",
    _dropout_forward,
    lambda input, p, key: input.new_empty(input.shape),
    _save_dropout,
    lambda ctx, grad: (_dropout(grad, ctx.p, *ctx.saved_tensors), None, None),
)
