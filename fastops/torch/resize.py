"""interpolate on tensors."""

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F

from .. import resize as numpy_resize
from .._options import Factors, Pair
from .registry import Operator, Tensor, ours

_OPTIONS = "SymInt[]? size, float[]? scale_factor, str mode, bool? align_corners"


def interpolate(
    input: Tensor,
    size: Pair | None = None,
    scale_factor: Factors | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """torch.nn.functional.interpolate.

    Parameters
    ----------
    input : (N, C, H, W) tensor
        On a CPU, float32 or float64; anything else is torch's.
    size, scale_factor, mode, align_corners, recompute_scale_factor, antialias
        As torch has them.  Modes other than 'nearest' and 'bilinear' and the last two are torch's, too.

    Returns
    -------
    (N, C, oH, oW) tensor

    Raises
    ------
    ValueError
        Sizes or options do not fit together.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.interpolate(torch.tensor([[[[1.0, 2.0]]]]), scale_factor=2)
    tensor([[[[1., 1., 2., 2.],
              [1., 1., 2., 2.]]]])
    """
    known = mode in ("nearest", "bilinear") and not recompute_scale_factor and not antialias
    if not ours(input) or not known or input.dim() != 4:
        return F.interpolate(
            input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias=antialias
        )
    sizes = _both(size)
    factors = None if scale_factor is None else [float(each) for each in _both(scale_factor)]
    return _interpolate(input, sizes, factors, mode, align_corners)


def _both(value):
    """Two values from one, or as they come."""
    return None if value is None else list(value) if isinstance(value, Sequence) else [value, value]


def _forward(input, size, scale_factor, mode, align_corners):
    return numpy_resize.interpolate(input, _two(size), _two(scale_factor), mode, align_corners)


def _backward_forward(grad_output, input_size, size, scale_factor, mode, align_corners):
    input = np.empty(tuple(input_size), grad_output.dtype)  # of which only the shape counts
    return numpy_resize.interpolate_backward(grad_output, input, _two(size), _two(scale_factor), mode, align_corners)


def _two(value):
    return None if value is None else tuple(value)


def _fake(input, size, scale_factor, mode, align_corners):
    return input.new_empty(F.interpolate(input, size, scale_factor, mode, align_corners).shape)


def _save(ctx, inputs, output):
    input, *ctx.options = inputs
    ctx.size = input.shape


def _gradient(ctx, grad_output):
    return _interpolate_backward(grad_output, ctx.size, *ctx.options), *(None,) * 4


_interpolate_backward = Operator(
    f"interpolate_backward(Tensor grad_output, SymInt[] input_size, {_OPTIONS}) -> Tensor",
    _backward_forward,
    lambda grad_output, input_size, *options: grad_output.new_empty(input_size),
)
_interpolate = Operator(f"interpolate(Tensor input, {_OPTIONS}) -> Tensor", _forward, _fake, _save, _gradient)
