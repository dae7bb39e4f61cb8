"""softmax, log_softmax and the losses on tensors."""

import torch
import torch.nn.functional as F

from .. import loss as numpy_loss
from ..mse_loss import mse_loss as mse_loss_of_arrays
from ..mse_loss import mse_loss_backward
from ..softmax import log_softmax as log_softmax_of_arrays
from ..softmax import log_softmax_backward, softmax_backward
from ..softmax import softmax as softmax_of_arrays
from .registry import Operator, Tensor, ours

_CROSS_ENTROPY = "Tensor input, Tensor target, Tensor? weight, int ignore_index, str reduction, float label_smoothing"


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Tensor:
    """torch.nn.functional.softmax.

    Parameters
    ----------
    input : tensor of any shape
        On a CPU, float32 or float64; anything else is torch's.
    dim, dtype
        As torch has them.

    Returns
    -------
    tensor of the input's shape

    Raises
    ------
    ValueError
        There is no such dimension.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.softmax(torch.zeros(1, 2), 1)
    tensor([[0.5000, 0.5000]])
    """
    if not ours(input) or dim is None or dtype not in (None, input.dtype):
        return F.softmax(input, dim, _stacklevel + 1, dtype)
    return _softmax(input, dim)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> Tensor:
    """torch.nn.functional.log_softmax.

    Parameters
    ----------
    input : tensor of any shape
        On a CPU, float32 or float64; anything else is torch's.
    dim, dtype
        As torch has them.

    Returns
    -------
    tensor of the input's shape

    Raises
    ------
    ValueError
        There is no such dimension.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.log_softmax(torch.zeros(1, 2), 1)
    tensor([[-0.6931, -0.6931]])
    """
    if not ours(input) or dim is None or dtype not in (None, input.dtype):
        return F.log_softmax(input, dim, _stacklevel + 1, dtype)
    return _log_softmax(input, dim)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """torch.nn.functional.cross_entropy.

    Parameters
    ----------
    input : (C,), (N, C) or (N, C, d1, ..., dk) tensor
        On a CPU, float32 or float64; anything else is torch's.
    target, weight, size_average, ignore_index, reduce, reduction, label_smoothing
        As torch has them; a target or weight that requires a gradient is torch's.

    Returns
    -------
    0-d tensor, or tensor of the target's places with reduction='none'

    Raises
    ------
    ValueError
        A label is neither a class nor ignore_index, or shapes or options do not fit together.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.cross_entropy(torch.zeros(1, 2), torch.tensor([0]))
    tensor(0.6931)
    """
    if not _known(input, target, weight) or size_average is not None or reduce is not None:
        return F.cross_entropy(input, target, weight, size_average, ignore_index, reduce, reduction, label_smoothing)
    return _cross_entropy(input, target, weight, ignore_index, reduction, float(label_smoothing))


def softmax_cross_entropy_with_logits(logits: Tensor, labels: Tensor, reduction: str = "none") -> Tensor:
    """fastops.softmax_cross_entropy_with_logits.

    Parameters
    ----------
    logits : (N, C) tensor
        On a CPU, float32 or float64; of anything else torch's cross_entropy is taken.
    labels : (N, C) tensor of the logits' dtype, or (N,) tensor of integers
    reduction : {'none', 'mean', 'sum'}

    Returns
    -------
    (N,) tensor, or a 0-d one where it reduces

    Raises
    ------
    TypeError
        One-hot labels are not of the logits' dtype.
    ValueError
        A label is not a class, or shapes or options do not fit together.

    References
    ----------
    https://www.mindspore.cn/docs/en/master/api_python/nn/mindspore.nn.SoftmaxCrossEntropyWithLogits.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.softmax_cross_entropy_with_logits(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    tensor([0.6931])
    """
    if not _known(logits, labels, None):
        return F.cross_entropy(logits, labels, reduction=reduction)
    return _with_logits(logits, labels, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """torch.nn.functional.mse_loss.

    Parameters
    ----------
    input, target : tensors whose shapes broadcast
        On a CPU, float32 or float64; anything else is torch's.
    size_average, reduce, reduction, weight
        As torch has them; a weight that requires a gradient is torch's.

    Returns
    -------
    0-d tensor, or tensor of the common shape with reduction='none'

    Raises
    ------
    ValueError
        Shapes or options do not fit together.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> fastops.torch.mse_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0]))
    tensor(2.5000)
    """
    known = ours(input, target, weight) and size_average is None and reduce is None
    if not known or (weight is not None and weight.requires_grad):
        more = {} if weight is None else {"weight": weight}
        return F.mse_loss(input, target, size_average, reduce, reduction, **more)
    return _mse_loss(input, target, reduction, weight)


def _known(input: Tensor, target: Tensor, weight: Tensor | None) -> bool:
    """Whether logits and target are for our kernels, and what has no gradient there requires none."""
    if not isinstance(target, torch.Tensor) or target.requires_grad or (weight is not None and weight.requires_grad):
        return False
    if target.is_floating_point():
        return ours(input, target, weight)
    whole = target.dtype in (torch.int64, torch.uint8)  # torch refuses other integers
    return ours(input, weight) and whole and target.is_cpu


# --------------------------------------------------------------------------------------------- operators


def _save_output(ctx, inputs, output):
    ctx.dim = inputs[1]
    ctx.save_for_backward(output)


_softmax_backward = Operator(
    "softmax_backward(Tensor grad_output, Tensor output, int dim) -> Tensor",
    softmax_backward,
    lambda grad_output, output, dim: output.new_empty(output.shape),
)
_softmax = Operator(
    "softmax(Tensor input, int dim) -> Tensor",
    softmax_of_arrays,
    lambda input, dim: input.new_empty(input.shape),
    _save_output,
    lambda ctx, grad_output: (_softmax_backward(grad_output, *ctx.saved_tensors, ctx.dim), None),
)
_log_softmax_backward = Operator(
    "log_softmax_backward(Tensor grad_output, Tensor output, int dim) -> Tensor",
    log_softmax_backward,
    lambda grad_output, output, dim: output.new_empty(output.shape),
)
_log_softmax = Operator(
    "log_softmax(Tensor input, int dim) -> Tensor",
    log_softmax_of_arrays,
    lambda input, dim: input.new_empty(input.shape),
    _save_output,
    lambda ctx, grad_output: (_log_softmax_backward(grad_output, *ctx.saved_tensors, ctx.dim), None),
)


def _save_cross_entropy(ctx, inputs, output):
    input, target, weight, *ctx.options = inputs
    ctx.save_for_backward(input, target, weight)


def _cross_entropy_gradient(ctx, grad_output):
    return _cross_entropy_backward(grad_output, *ctx.saved_tensors, *ctx.options), *(None,) * 5


def _cross_entropy_fake(input, target, weight, ignore_index, reduction, label_smoothing):
    return _losses_fake(input, reduction)


def _losses_fake(input, reduction):
    """One loss for each place: what is left of the logits without the classes."""
    batched = input.dim() > 1
    places = (*input.shape[:1], *input.shape[2:]) if batched else ()
    return input.new_empty(places if reduction == "none" else ())


_cross_entropy_backward = Operator(
    f"cross_entropy_backward(Tensor grad_output, {_CROSS_ENTROPY}) -> Tensor",
    numpy_loss.cross_entropy_backward,
    lambda grad_output, input, *options: input.new_empty(input.shape),
)
_cross_entropy = Operator(
    f"cross_entropy({_CROSS_ENTROPY}) -> Tensor",
    numpy_loss.cross_entropy,
    _cross_entropy_fake,
    _save_cross_entropy,
    _cross_entropy_gradient,
)


def _save_with_logits(ctx, inputs, output):
    *saved, ctx.reduction = inputs
    ctx.save_for_backward(*saved)


_with_logits_backward = Operator(
    "softmax_cross_entropy_with_logits_backward(Tensor grad_output, Tensor logits, Tensor labels, str reduction) "
    "-> Tensor",
    numpy_loss.softmax_cross_entropy_with_logits_backward,
    lambda grad_output, logits, labels, reduction: logits.new_empty(logits.shape),
)
_with_logits = Operator(
    "softmax_cross_entropy_with_logits(Tensor logits, Tensor labels, str reduction) -> Tensor",
    numpy_loss.softmax_cross_entropy_with_logits,
    lambda logits, labels, reduction: _losses_fake(logits, reduction),
    _save_with_logits,
    lambda ctx, grad_output: (_with_logits_backward(grad_output, *ctx.saved_tensors, ctx.reduction), None, None),
)


def _save_mse_loss(ctx, inputs, output):
    input, target, ctx.reduction, weight = inputs
    ctx.save_for_backward(input, target, weight)


def _mse_loss_gradient(ctx, grad_output):
    input, target, weight = ctx.saved_tensors
    grad_input, grad_target = _mse_loss_backward(grad_output, input, target, ctx.reduction, weight)
    needed = ctx.needs_input_grad
    return grad_input if needed[0] else None, grad_target if needed[1] else None, None, None


_mse_loss_backward = Operator(
    "mse_loss_backward(Tensor grad_output, Tensor input, Tensor target, str reduction, Tensor? weight) "
    "-> (Tensor, Tensor)",
    mse_loss_backward,
    lambda grad_output, input, target, *more: (input.new_empty(input.shape), target.new_empty(target.shape)),
)
_mse_loss = Operator(
    "mse_loss(Tensor input, Tensor target, str reduction, Tensor? weight) -> Tensor",
    mse_loss_of_arrays,
    lambda input, target, reduction, weight: input.new_empty(
        torch.broadcast_shapes(input.shape, target.shape) if reduction == "none" else ()
    ),
    _save_mse_loss,
    _mse_loss_gradient,
)
