"""silu, hardsigmoid, hardswish and gelu on tensors."""

import torch.nn.functional as F

from .. import activation as numpy_activation
from .of_input import of_input
from .registry import Tensor, ours


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


# --------------------------------------------------------------------------------------------- operators


_silu = of_input("silu", numpy_activation)
_hardsigmoid = of_input("hardsigmoid", numpy_activation)
_hardswish = of_input("hardswish", numpy_activation)
_gelu = of_input("gelu", numpy_activation, ", str approximate")
