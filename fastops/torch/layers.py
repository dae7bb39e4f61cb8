"""What an accelerated layer does: the forward of each class of torch.nn that is known, by our functions.

Each of these classes stands before a class of torch.nn in the bases of the class that accelerate.py makes; ``super()``
is torch's own forward, which gets all that our functions do not take.
"""

from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ..conv import _conv2d, _conv_transpose2d
from . import activation, conv, elementwise, loss, norm, pool, rectifier, resize
from .registry import Tensor, array, ours, plain, watched
from .smallest import SMALLEST

Versions = list[tuple[int, int, int]]

_kept: WeakKeyDictionary[nn.Module, tuple[Versions, dict[Any, Any]]] = WeakKeyDictionary()
"""Of frozen convolutions: what their weights were when they were prepared, and how the algorithms want them."""


def versions(tensors: Any) -> Versions:
    """What changes when torch changes one of the tensors, or another takes its place; not when NumPy writes to it.

    `Module.to` gives a parameter other memory, and its version stays.
    """
    return [(id(each), each.data_ptr(), 0 if each.is_inference() else each._version) for each in tensors]


def frozen_call(layer: nn.Module, *inputs: Tensor) -> bool:
    """Whether a call of a layer is one in evaluation and without gradients that nobody traces, of plain tensors."""
    if layer.training or watched() or not plain(inputs):
        return False
    return not torch.is_grad_enabled() or not any(each.requires_grad for each in chain(inputs, layer.parameters()))


def kept(layer: nn.Module) -> dict[Any, Any]:
    """Where a frozen layer keeps its prepared weight."""
    now = versions((layer.weight,))
    found = _kept.get(layer)
    if found is None or found[0] != now:
        _kept[layer] = found = now, {}
    return found[1]


def forget(layer: nn.Module) -> None:
    _kept.pop(layer, None)


# ----------------------------------------------------------------------------------------- convolutions


class Conv2d:
    frozen = False

    def forward(self: Any, input: Tensor) -> Tensor:
        if self.padding_mode != "zeros":
            return super().forward(input)  # type: ignore[misc]
        options = self.stride, self.padding, self.dilation, self.groups
        if self.frozen and ours(input, self.weight, self.bias) and frozen_call(self, input):
            bias = None if self.bias is None else array(self.bias)
            made = _conv2d(kept(self), array(input), array(self.weight), bias, *options, None, "exact")
            return torch.from_numpy(made)
        return conv.conv2d(input, self.weight, self.bias, *options)


class ConvTranspose2d:
    frozen = False

    def forward(self: Any, input: Tensor, output_size: Any = None) -> Tensor:
        if self.padding_mode != "zeros":
            return super().forward(input, output_size)  # type: ignore[misc]
        extra = self._output_padding(input, output_size, self.stride, self.padding, self.kernel_size, 2, self.dilation)
        options = self.stride, self.padding, extra, self.groups, self.dilation
        if self.frozen and ours(input, self.weight, self.bias) and frozen_call(self, input):
            bias = None if self.bias is None else array(self.bias)
            made = _conv_transpose2d(kept(self), array(input), array(self.weight), bias, *options, None, "exact")
            return torch.from_numpy(made)
        return conv.conv_transpose2d(input, self.weight, self.bias, *options)


# -------------------------------------------------------------------------------------- batch norm, pools


class BatchNorm:
    """torch's own steps of batch norm, which are not apart from the function that it calls."""

    def forward(self: Any, input: Tensor) -> Tensor:
        if not ours(input, self.running_mean, self.running_var, self.weight, self.bias):
            return super().forward(input)  # type: ignore[misc]
        self._check_input_dim(input)
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        training = self.training or (self.running_mean is None and self.running_var is None)
        tracks = not self.training or self.track_running_stats
        mean, var = (self.running_mean, self.running_var) if tracks else (None, None)
        return norm.batch_norm(input, mean, var, self.weight, self.bias, training, momentum, self.eps)


class MaxPool2d:
    def forward(self: Any, input: Tensor) -> Any:
        return pool.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class AvgPool2d:
    def forward(self: Any, input: Tensor) -> Tensor:
        options = self.ceil_mode, self.count_include_pad, self.divisor_override
        return pool.avg_pool2d(input, self.kernel_size, self.stride, self.padding, *options)


class AdaptiveAvgPool2d:
    def forward(self: Any, input: Tensor) -> Tensor:
        return pool.adaptive_avg_pool2d(input, self.output_size)


class Upsample:
    def forward(self: Any, input: Tensor) -> Tensor:
        return resize.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )


# --------------------------------------------------------------------------------------- element by element


def _elementwise(name: str, *options: str, keyword: bool = False) -> type:
    """The layer of a function whose options are the layer's attributes of these names."""
    homes = elementwise, rectifier, activation, loss
    function = next(getattr(home, name) for home in homes if hasattr(home, name))

    class Layer:
        def forward(self: Any, input: Tensor) -> Tensor:
            if getattr(self, "inplace", False) or input.numel() < SMALLEST[name]:
                return super().forward(input)  # type: ignore[misc]
            values = {each: getattr(self, each) for each in options}
            return function(input, **values) if keyword else function(input, *values.values())

    Layer.__name__ = Layer.__qualname__ = name
    return Layer


class Hardtanh:
    """clamp, but for the gradient at the bounds."""

    def forward(self: Any, input: Tensor) -> Tensor:
        differentiates = torch.is_grad_enabled() and input.requires_grad
        if self.inplace or differentiates or input.numel() < SMALLEST["clamp"]:
            return super().forward(input)  # type: ignore[misc]
        return rectifier.clamp(input, self.min_val, self.max_val)


class Dropout:
    def forward(self: Any, input: Tensor) -> Tensor:
        return elementwise.dropout(input, self.p, self.training, self.inplace)


LAYERS: dict[type, type] = {
    nn.Conv2d: Conv2d,
    nn.ConvTranspose2d: ConvTranspose2d,
    nn.BatchNorm1d: BatchNorm,
    nn.BatchNorm2d: BatchNorm,
    nn.BatchNorm3d: BatchNorm,
    nn.MaxPool2d: MaxPool2d,
    nn.AvgPool2d: AvgPool2d,
    nn.AdaptiveAvgPool2d: AdaptiveAvgPool2d,
    nn.Upsample: Upsample,
    nn.ReLU: _elementwise("relu"),
    nn.ReLU6: _elementwise("relu6"),
    nn.LeakyReLU: _elementwise("leaky_relu", "negative_slope"),
    nn.PReLU: _elementwise("prelu", "weight"),
    nn.Hardtanh: Hardtanh,
    nn.Sigmoid: _elementwise("sigmoid"),
    nn.SiLU: _elementwise("silu"),
    nn.Hardsigmoid: _elementwise("hardsigmoid"),
    nn.Hardswish: _elementwise("hardswish"),
    nn.GELU: _elementwise("gelu", "approximate", keyword=True),
    nn.Softmax: _elementwise("softmax", "dim"),
    nn.LogSoftmax: _elementwise("log_softmax", "dim"),
    nn.Dropout: Dropout,
}
"""What takes the place of the forward of each class of torch.nn that we know.  Linear is torch's: a matrix product."""
