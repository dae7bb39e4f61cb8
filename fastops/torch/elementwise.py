"""relu, sigmoid and dropout on tensors.

What is asked to work in place is torch's own: it saves memory, and time only where memory is new.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .. import _arrays, _options, cpu
from .. import elementwise as numpy_elementwise
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
