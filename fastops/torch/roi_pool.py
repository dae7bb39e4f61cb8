"""roi_pool on tensors."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from .. import _options
from .._options import Pair
from ..roi_pool import roi_pool as roi_pool_of_arrays
from ..roi_pool import roi_pool_backward
from .registry import Operator, Tensor, ours


def roi_pool(input: Tensor, boxes: Tensor | Sequence[Tensor], output_size: Pair, spatial_scale: float = 1.0) -> Tensor:
    """torchvision.ops.roi_pool.

    Parameters
    ----------
    input : (N, C, H, W) tensor
        On a CPU, float32 or float64.
    boxes : (K, 5) tensor, or a list of N tensors (L, 4)
        As torchvision has them; they have no gradient.
    output_size, spatial_scale
        As torchvision has them.

    Returns
    -------
    (K, C, output height, output width) tensor

    Raises
    ------
    TypeError
        The tensors are not on a CPU, or of another dtype: torch itself has no roi_pool.
    ValueError
        A box is not finite or not on an image, or sizes do not fit together.

    References
    ----------
    https://pytorch.org/vision/stable/generated/torchvision.ops.roi_pool.html

    Examples
    --------
    >>> import torch, fastops.torch
    >>> maps, boxes = torch.arange(16.0).reshape(1, 1, 4, 4), torch.tensor([[0.0, 0.0, 0.0, 3.0, 3.0]])
    >>> fastops.torch.roi_pool(maps, boxes, 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """
    listed: list[Any] = list(boxes) if isinstance(boxes, (list, tuple)) else [boxes]
    if not ours(input, *listed):
        got = ", ".join(f"{each.dtype} on {each.device}" for each in (input, *listed) if isinstance(each, torch.Tensor))
        expected = "CPU tensors of one dtype, float32 or float64, outside of autocast"
        raise TypeError(f"roi_pool: input and boxes expect {expected}, got {got or type(input).__name__}")
    if isinstance(boxes, (list, tuple)):
        if input.dim() == 4 and len(listed) != input.shape[0]:
            count = input.shape[0]
            raise ValueError(f"roi_pool: boxes expects a list of one tensor per image, {count}, got {len(listed)}")
        for i, each in enumerate(listed):
            if each.dim() != 2 or each.shape[1] != 4:
                raise ValueError(f"roi_pool: boxes[{i}] expects shape (L, 4), got {tuple(each.shape)}")
        numbered = [F.pad(each, (1, 0), value=float(i)) for i, each in enumerate(listed)]
        boxes = torch.cat(numbered) if numbered else input.new_empty(0, 5)
    size = _options.pair("roi_pool", "output_size", output_size, 1)
    return _roi_pool(input, boxes, size, float(spatial_scale))


# --------------------------------------------------------------------------------------------- operators


def _save_roi_pool(ctx, inputs, output):
    input, boxes, *ctx.options = inputs
    ctx.save_for_backward(input, boxes)


def _roi_pool_gradient(ctx, grad_output):
    return _roi_pool_backward(grad_output, *ctx.saved_tensors, *ctx.options), None, None, None


_roi_pool_backward = Operator(
    "roi_pool_backward(Tensor grad_output, Tensor input, Tensor boxes, int[2] output_size, float spatial_scale) "
    "-> Tensor",
    lambda grad_output, input, boxes, output_size, spatial_scale: roi_pool_backward(
        grad_output, input, boxes, tuple(output_size), spatial_scale
    ),
    lambda grad_output, input, *options: input.new_empty(input.shape),
)
_roi_pool = Operator(
    "roi_pool(Tensor input, Tensor boxes, int[2] output_size, float spatial_scale) -> Tensor",
    lambda input, boxes, output_size, spatial_scale: roi_pool_of_arrays(
        input, boxes, tuple(output_size), spatial_scale
    ),
    lambda input, boxes, output_size, spatial_scale: input.new_empty((boxes.shape[0], input.shape[1], *output_size)),
    _save_roi_pool,
    _roi_pool_gradient,
)
