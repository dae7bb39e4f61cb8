"""max_pool2d, avg_pool2d and adaptive_avg_pool2d on tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .. import _options, _shapes
from .. import pool as numpy_pool
from .. import resize as numpy_resize
from .._options import Padding, Pair
from .registry import Operator, Tensor, ours

_MAX = "int[2] kernel_size, int[2] stride, int[4] padding, int[2] dilation, bool ceil_mode"
_AVG = (
    "int[2] kernel_size, int[2] stride, int[4] padding, bool ceil_mode, bool count_include_pad, int? divisor_override"
)


def max_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """torch.nn.functional.max_pool2d.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W) tensor
        On a CPU, float32 or float64; anything else is torch's.
    kernel_size, stride, padding, dilation, ceil_mode, return_indices
        As torch has them; padding may be ((top, bottom), (left, right)).

    Returns
    -------
    (N, C, oH, oW) or (C, oH, oW) tensor, and with return_indices its int64 indices

    Raises
    ------
    ValueError
        Sizes or options do not fit together.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.max_pool2d.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.max_pool2d(torch.arange(4.0).reshape(1, 1, 2, 2), 2)
    tensor([[[[3.]]]])
    """
    if not ours(input):
        _even("max_pool2d", input, padding)
        return _max_pool2d_of_torch(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    window = _window("max_pool2d", kernel_size, stride, padding)
    options = *window, _options.pair("max_pool2d", "dilation", dilation, 1), bool(ceil_mode)
    if return_indices:
        return _max_pool2d_with_indices(input, *options)
    if (input.requires_grad and torch.is_grad_enabled()) or torch.jit.is_tracing():  # which compares both
        return _max_pool2d_with_indices(input, *options)[0]
    return _max_pool2d(input, *options)


def avg_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """torch.nn.functional.avg_pool2d.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W) tensor
        On a CPU, float32 or float64; anything else is torch's.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As torch has them; padding may be ((top, bottom), (left, right)).

    Returns
    -------
    (N, C, oH, oW) or (C, oH, oW) tensor

    Raises
    ------
    ValueError
        Sizes or options do not fit together.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.avg_pool2d.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.avg_pool2d(torch.arange(4.0).reshape(1, 1, 2, 2), 2)
    tensor([[[[1.5000]]]])
    """
    if not ours(input):
        _even("avg_pool2d", input, padding)
        return F.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    window = _window("avg_pool2d", kernel_size, stride, padding)
    return _avg_pool2d(input, *window, bool(ceil_mode), bool(count_include_pad), divisor_override)


def adaptive_avg_pool2d(input: Tensor, output_size: int | Sequence[int | None]) -> Tensor:
    """torch.nn.functional.adaptive_avg_pool2d.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W) tensor
        On a CPU, float32 or float64; anything else is torch's.
    output_size : int or two ints
        As torch has it; None in the place of one keeps the input's.

    Returns
    -------
    (N, C, oH, oW) or (C, oH, oW) tensor

    Raises
    ------
    ValueError
        The sizes do not fit.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.adaptive_avg_pool2d.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.adaptive_avg_pool2d(torch.arange(4.0).reshape(1, 1, 2, 2), 1)
    tensor([[[[1.5000]]]])
    """
    if not ours(input):
        return F.adaptive_avg_pool2d(input, output_size)
    size = output_size if isinstance(output_size, Sequence) else (output_size, output_size)
    if len(size) != 2 or input.dim() not in (3, 4):  # the errors are told there
        _shapes.adaptive_avg_pool2d("adaptive_avg_pool2d", tuple(input.shape), output_size)
    height, width = (kept if each is None else each for each, kept in zip(size, input.shape[-2:], strict=True))
    return _adaptive_avg_pool2d(input, (height, width))


_max_pool2d_of_torch: Any = F.max_pool2d  # whose type depends on a flag


def _even(op: str, input: Any, padding: Any) -> None:
    """Refuse uneven padding where the call goes to torch, which has none."""
    if isinstance(padding, Sequence) and any(isinstance(each, Sequence) for each in padding):
        got = f"{input.dtype} on {input.device}" if isinstance(input, torch.Tensor) else type(input).__name__
        expected = "a CPU tensor of float32 or float64, outside of autocast, where padding is uneven"
        raise TypeError(f"{op}: input expects {expected}, got {got}")


def _window(op: str, kernel_size: Any, stride: Any, padding: Any) -> tuple[Any, Any, tuple[int, int, int, int]]:
    kernel = _options.pair(op, "kernel_size", kernel_size, 1)
    if stride is None or (isinstance(stride, Sequence) and not stride):  # () is torch's own spelling of the default
        step = kernel
    else:
        step = _options.pair(op, "stride", stride, 1)
    (top, bottom), (left, right) = _options.padding(op, padding)
    return kernel, step, (top, bottom, left, right)


# --------------------------------------------------------------------------------------------- operators


def _sides(padding):
    top, bottom, left, right = padding
    return (top, bottom), (left, right)


def _pooled(op, input, kernel_size, stride, padding, dilation, ceil_mode):
    """The shape of a pool's result; torch has the law for symbolic sizes, but no uneven padding."""
    top, bottom, left, right = padding
    if (top, left) == (bottom, right):
        return F.max_pool2d(input, kernel_size, stride, (top, left), dilation, ceil_mode).shape
    sizes = tuple(int(each) for each in input.shape[-3:])
    options = tuple(kernel_size), tuple(stride), _sides(padding), tuple(dilation), ceil_mode
    return (*input.shape[:-3], *_shapes.pool2d(op, sizes, *options).output)


def _max_pool2d_forward(input, kernel_size, stride, padding, dilation, ceil_mode):
    options = tuple(kernel_size), tuple(stride), _sides(padding), tuple(dilation), ceil_mode
    return numpy_pool.max_pool2d(input, *options)


def _max_pool2d_with_indices_forward(input, kernel_size, stride, padding, dilation, ceil_mode):
    options = tuple(kernel_size), tuple(stride), _sides(padding), tuple(dilation), ceil_mode
    return numpy_pool.max_pool2d(input, *options, return_indices=True)


def _max_pool2d_backward_forward(grad_output, indices, size, kernel_size, stride, padding, dilation, ceil_mode):
    options = tuple(kernel_size), tuple(stride), _sides(padding), tuple(dilation), ceil_mode
    return numpy_pool.max_pool2d_backward(grad_output, _of_shape(size, grad_output), indices, *options)


def _of_shape(size, like):
    """An input of which only shape and dtype count."""
    return np.empty(tuple(size), like.dtype)


def _max_pool2d_fake(input, *options):
    return input.new_empty(_pooled("max_pool2d", input, *options))


def _max_pool2d_with_indices_fake(input, *options):
    shape = _pooled("max_pool2d", input, *options)
    return input.new_empty(shape), input.new_empty(shape, dtype=torch.int64)


def _like_size(grad_output, *options):
    return grad_output.new_empty(options[0])


def _save_max_pool2d(ctx, inputs, output):
    input, *ctx.options = inputs
    ctx.save_for_backward(input)


def _max_pool2d_gradient(ctx, grad_output):
    (input,) = ctx.saved_tensors
    _, indices = _max_pool2d_with_indices(input, *ctx.options)
    return _max_pool2d_backward(grad_output, indices, input.shape, *ctx.options), *(None,) * 5


def _save_with_indices(ctx, inputs, output):
    input, *ctx.options = inputs
    ctx.size = input.shape
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1])


def _with_indices_gradient(ctx, grad_output, _):
    return _max_pool2d_backward(grad_output, *ctx.saved_tensors, ctx.size, *ctx.options), *(None,) * 5


_max_pool2d_backward = Operator(
    f"max_pool2d_backward(Tensor grad_output, Tensor indices, SymInt[] size, {_MAX}) -> Tensor",
    _max_pool2d_backward_forward,
    lambda grad_output, indices, size, *options: grad_output.new_empty(size),
)
_max_pool2d = Operator(
    f"max_pool2d(Tensor input, {_MAX}) -> Tensor",
    _max_pool2d_forward,
    _max_pool2d_fake,
    _save_max_pool2d,
    _max_pool2d_gradient,
)
_max_pool2d_with_indices = Operator(
    f"max_pool2d_with_indices(Tensor input, {_MAX}) -> (Tensor, Tensor)",
    _max_pool2d_with_indices_forward,
    _max_pool2d_with_indices_fake,
    _save_with_indices,
    _with_indices_gradient,
)


def _avg_pool2d_forward(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    options = tuple(kernel_size), tuple(stride), _sides(padding), ceil_mode, count_include_pad, divisor_override
    return numpy_pool.avg_pool2d(input, *options)


def _avg_pool2d_backward_forward(grad_output, size, kernel_size, stride, padding, *more):
    options = tuple(kernel_size), tuple(stride), _sides(padding), *more
    return numpy_pool.avg_pool2d_backward(grad_output, _of_shape(size, grad_output), *options)


def _avg_pool2d_fake(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    return input.new_empty(_pooled("avg_pool2d", input, kernel_size, stride, padding, (1, 1), ceil_mode))


def _save_size(ctx, inputs, output):
    input, *ctx.options = inputs
    ctx.size = input.shape


def _avg_pool2d_gradient(ctx, grad_output):
    return _avg_pool2d_backward(grad_output, ctx.size, *ctx.options), *(None,) * 6


_avg_pool2d_backward = Operator(
    f"avg_pool2d_backward(Tensor grad_output, SymInt[] size, {_AVG}) -> Tensor",
    _avg_pool2d_backward_forward,
    _like_size,
)
_avg_pool2d = Operator(
    f"avg_pool2d(Tensor input, {_AVG}) -> Tensor",
    _avg_pool2d_forward,
    _avg_pool2d_fake,
    _save_size,
    _avg_pool2d_gradient,
)


def _adaptive_gradient(ctx, grad_output):
    return _adaptive_avg_pool2d_backward(grad_output, ctx.size, *ctx.options), None


_adaptive_avg_pool2d_backward = Operator(
    "adaptive_avg_pool2d_backward(Tensor grad_output, SymInt[] size, SymInt[2] output_size) -> Tensor",
    lambda grad_output, size, output_size: numpy_resize.adaptive_avg_pool2d_backward(
        grad_output, _of_shape(size, grad_output), tuple(output_size)
    ),
    _like_size,
)
_adaptive_avg_pool2d = Operator(
    "adaptive_avg_pool2d(Tensor input, SymInt[2] output_size) -> Tensor",
    lambda input, output_size: numpy_resize.adaptive_avg_pool2d(input, tuple(output_size)),
    lambda input, output_size: input.new_empty((*input.shape[:-2], *output_size)),
    _save_size,
    _adaptive_gradient,
)
