"""conv2d and conv_transpose2d on tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F

from .. import _options, _shapes
from .. import conv as numpy_conv
from .._options import Padding, Pair
from .registry import Operator, Tensor, ours

_SIGNATURE = "Tensor input, Tensor weight, Tensor? bias, int[2] stride, SymInt[4] padding, int[2] dilation, int groups"
_TRANSPOSED = (
    "Tensor input, Tensor weight, Tensor? bias, int[2] stride, int[2] padding, int[2] output_padding, int groups, "
    "int[2] dilation"
)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Padding | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """torch.nn.functional.conv2d.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W) tensor
        On a CPU, float32 or float64; anything else is torch's.
    weight, bias, stride, padding, dilation, groups
        As torch has them.  padding='same' may have a stride, and padding be ((top, bottom), (left, right)).

    Returns
    -------
    (N, O, oH, oW) or (O, oH, oW) tensor

    Raises
    ------
    ValueError
        Sizes or options do not fit together.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.conv2d.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.conv2d(torch.ones(1, 3, 8, 8), torch.ones(4, 3, 3, 3), padding=1).shape
    torch.Size([1, 4, 8, 8])
    """
    if not ours(input, weight, bias):
        return _theirs(input, weight, bias, stride, padding, dilation, groups)
    op = "conv2d"
    both, apart = _options.pair(op, "stride", stride, 1), _options.pair(op, "dilation", dilation, 1)
    if isinstance(padding, str):
        sides = _named_padding(input, weight, both, padding, apart)
    else:
        (top, bottom), (left, right) = _options.padding(op, padding)
        sides = (top, bottom, left, right)
    return _conv2d(input, weight, bias, both, sides, apart, groups)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
) -> Tensor:
    """torch.nn.functional.conv_transpose2d.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W) tensor
        On a CPU, float32 or float64; anything else is torch's.
    weight, bias, stride, padding, output_padding, groups, dilation
        As torch has them.

    Returns
    -------
    (N, O, oH, oW) or (O, oH, oW) tensor

    Raises
    ------
    ValueError
        Sizes or options do not fit together.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.conv_transpose2d.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.conv_transpose2d(torch.ones(1, 4, 8, 8), torch.ones(4, 3, 2, 2), stride=2).shape
    torch.Size([1, 3, 16, 16])
    """
    if not ours(input, weight, bias):
        return F.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)
    op = "conv_transpose2d"
    return _conv_transpose2d(
        input,
        weight,
        bias,
        _options.pair(op, "stride", stride, 1),
        _options.pair(op, "padding", padding, 0),
        _options.pair(op, "output_padding", output_padding, 0),
        groups,
        _options.pair(op, "dilation", dilation, 1),
    )


def _named_padding(
    input: Tensor, weight: Tensor, stride: tuple[int, int], padding: str, dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    if _options.choice("conv2d", "padding", padding, ("valid", "same")) == "valid" or input.dim() < 3:
        return 0, 0, 0, 0
    sizes = zip(input.shape[-2:], weight.shape[-2:], stride, dilation, strict=True)
    (top, bottom), (left, right) = (_shapes.same_padding(*each) for each in sizes)
    return top, bottom, left, right


def _theirs(input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    """torch's own, which has no uneven padding."""
    if isinstance(padding, Sequence) and any(isinstance(each, Sequence) for each in padding):
        (top, bottom), (left, right) = _options.padding("conv2d", padding)
        input, padding = F.pad(input, (left, right, top, bottom)), 0
    return F.conv2d(input, weight, bias, stride, padding, dilation, groups)


# --------------------------------------------------------------------------------------------- operators


def _sides(padding: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    top, bottom, left, right = padding
    return (top, bottom), (left, right)


def _gradients(found: tuple[Any, ...], like: Any) -> tuple[Any, ...]:
    """What was not asked for, as empty arrays: an operator gives tensors."""
    return tuple(np.empty(0, like.dtype) if each is None else each for each in found)


def _fake_gradients(needed: Sequence[bool], arrays: Sequence[Any]) -> tuple[Any, ...]:
    like = arrays[0]
    return tuple(
        each.new_empty(each.shape) if wanted and each is not None else like.new_empty(0)
        for wanted, each in zip(needed, arrays, strict=True)
    )


def _asked(found: Sequence[Any], needed: Sequence[bool]) -> tuple[Any, ...]:
    return tuple(each if wanted else None for each, wanted in zip(found, needed, strict=True))


def _conv2d_forward(input, weight, bias, stride, padding, dilation, groups):
    return numpy_conv.conv2d(input, weight, bias, tuple(stride), _sides(padding), tuple(dilation), groups)


def _conv2d_fake(input, weight, bias, stride, padding, dilation, groups):
    top, bottom, left, right = padding
    padded = F.pad(input, (left, right, top, bottom))
    return input.new_empty(F.conv2d(padded, weight, bias, stride, 0, dilation, groups).shape)


def _conv2d_backward_forward(grad_output, input, weight, bias, stride, padding, dilation, groups, needed):
    found = numpy_conv._conv2d_backward(
        needed, grad_output, input, weight, bias, tuple(stride), _sides(padding), tuple(dilation), groups
    )
    return _gradients(found, input)


def _conv2d_backward_fake(grad_output, input, weight, bias, stride, padding, dilation, groups, needed):
    return _fake_gradients(needed, (input, weight, bias))


def _conv_transpose2d_forward(input, weight, bias, stride, padding, output_padding, groups, dilation):
    options = tuple(stride), tuple(padding), tuple(output_padding), groups, tuple(dilation)
    return numpy_conv.conv_transpose2d(input, weight, bias, *options)


def _conv_transpose2d_fake(*args):
    return args[0].new_empty(F.conv_transpose2d(*args).shape)


def _conv_transpose2d_backward_forward(
    grad_output, input, weight, bias, stride, padding, output_padding, groups, dilation, needed
):
    options = tuple(stride), tuple(padding), tuple(output_padding), groups, tuple(dilation)
    found = numpy_conv._conv_transpose2d_backward(needed, grad_output, input, weight, bias, *options)
    return _gradients(found, input)


def _conv_transpose2d_backward_fake(grad_output, input, weight, bias, *options):
    return _fake_gradients(options[-1], (input, weight, bias))


def _save(ctx, inputs, output):
    input, weight, bias, *ctx.options = inputs
    ctx.save_for_backward(input, weight, bias)


def _conv2d_gradient(ctx, grad_output):
    needed = ctx.needs_input_grad[:3]
    return *_asked(_conv2d_backward(grad_output, *ctx.saved_tensors, *ctx.options, needed), needed), *(None,) * 4


def _conv_transpose2d_gradient(ctx, grad_output):
    needed = ctx.needs_input_grad[:3]
    found = _conv_transpose2d_backward(grad_output, *ctx.saved_tensors, *ctx.options, needed)
    return *_asked(found, needed), *(None,) * 5


_conv2d_backward = Operator(
    f"conv2d_backward(Tensor grad_output, {_SIGNATURE}, bool[3] needed) -> (Tensor, Tensor, Tensor)",
    _conv2d_backward_forward,
    _conv2d_backward_fake,
)
_conv2d = Operator(f"conv2d({_SIGNATURE}) -> Tensor", _conv2d_forward, _conv2d_fake, _save, _conv2d_gradient)
_conv_transpose2d_backward = Operator(
    f"conv_transpose2d_backward(Tensor grad_output, {_TRANSPOSED}, bool[3] needed) -> (Tensor, Tensor, Tensor)",
    _conv_transpose2d_backward_forward,
    _conv_transpose2d_backward_fake,
)
_conv_transpose2d = Operator(
    f"conv_transpose2d({_TRANSPOSED}) -> Tensor",
    _conv_transpose2d_forward,
    _conv_transpose2d_fake,
    _save,
    _conv_transpose2d_gradient,
)
