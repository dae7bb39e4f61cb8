"""fuse: a network for evaluation, whose convolutions have taken in what follows them."""

import copy
from typing import Any

from .._arrays import Array
from .activation import GELU, Hardsigmoid, Hardswish, Hardtanh, LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU
from .container import Sequential
from .conv import Conv2d, ConvTranspose2d
from .module import Module, Parameter
from .norm import BatchNorm2d

_NAMES = {ReLU: "relu", ReLU6: "relu6", Sigmoid: "sigmoid", SiLU: "silu", Hardsigmoid: "hardsigmoid",
          Hardswish: "hardswish"}  # fmt: skip


def fuse(model: Sequential) -> Sequential:
    """A new network that gives what a Sequential gives in evaluation, in fewer layers.

    Each Conv2d and ConvTranspose2d takes in a BatchNorm2d that follows it, by its weights and bias, and then an
    activation, as ``activation`` of `fastops.conv2d`.  Sequentials within are fused, too.

    Parameters
    ----------
    model : Sequential
        In evaluation, as ``eval()`` leaves it.  It stays as it is, and what is changed in it afterwards changes nothing
        in the new one.

    Returns
    -------
    Sequential
        Its layers are copies; those that took something in have no ``backward``.

    Raises
    ------
    TypeError
        The model is no Sequential.
    ValueError
        A layer of the model is in training.

    Notes
    -----
    The numbers are the model's within the rounding of the dtype.  A BatchNorm2d without running statistics stays.

    References
    ----------
    Jacob et al., Quantization and training of neural networks, arXiv 1712.05877, section 3.2: folding batch
    normalization.

    Examples
    --------
    >>> from fastops import nn
    >>> nn.fuse(nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU6()).eval())
    Sequential(
      (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), activation=relu6)
    )
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"fuse: model expects a Sequential, got {type(model).__name__}")
    for name, module in model.named_modules():
        if module.training:
            where = f"layer {name}" if name else "it"
            raise ValueError(f"fuse: model expects a network in evaluation, but {where} is in training; call eval()")
    return _fused(model)


def _fused(model: Sequential) -> Sequential:
    layers: dict[str, Module] = {}
    last: Module | None = None  # a convolution that can take something in
    for name, layer in model.named_children():
        if isinstance(last, (Conv2d, ConvTranspose2d)) and last.activation is None:
            if type(layer) is BatchNorm2d and layer.running_mean is not None and _channels(last) == layer.num_features:
                _fold(last, layer)
                continue
            activation = _activation(layer)
            if activation is not None:
                last.activation = activation
                continue
        last = _fused(layer) if type(layer) is Sequential else copy.deepcopy(layer)
        layers[name] = last
    return Sequential(layers).eval()


def _channels(layer: Conv2d | ConvTranspose2d) -> int:
    return layer.out_channels


def _activation(layer: Module) -> Any:
    """What a convolution calls this layer, or None."""
    if type(layer) is LeakyReLU:
        return "leaky_relu", layer.negative_slope
    if type(layer) is GELU:
        return "gelu", layer.approximate
    if type(layer) is Hardtanh:
        return "clamp", layer.min_val, layer.max_val
    return _NAMES.get(type(layer))


def _fold(layer: Conv2d | ConvTranspose2d, norm: BatchNorm2d) -> None:
    """Make weight and bias such that the convolution gives what it and the batch norm gave."""
    parameters = layer.bias, norm.weight, norm.bias
    bias, scale, shift = (None if each is None else each.peek() for each in parameters)
    transposed = isinstance(layer, ConvTranspose2d)
    weight, bias = folded(
        layer.weight.peek(), bias, norm.running_mean, norm.running_var, scale, shift, norm.eps, layer.groups, transposed
    )
    layer.weight, layer.bias = Parameter(weight), Parameter(bias)


def folded(
    weight: Array, bias: Array | None, mean: Array, var: Array, norm_weight: Array | None, norm_bias: Array | None,
    eps: float, groups: int, transposed: bool,
) -> tuple[Array, Array]:  # fmt: skip
    """Weight and bias of a convolution that gives what one and a batch norm behind it gave; made in float64."""
    scale = (_float64(var) + eps) ** -0.5
    if norm_weight is not None:
        scale = scale * _float64(norm_weight)
    shift = -_float64(mean)
    if bias is not None:
        shift = shift + _float64(bias)
    shift = shift * scale
    if norm_bias is not None:
        shift = shift + _float64(norm_bias)
    if transposed:  # (groups * channels, outputs of a group, height, width)
        of_groups = weight.reshape(groups, -1, *weight.shape[1:])
        scaled = (_float64(of_groups) * scale.reshape(groups, 1, -1, 1, 1)).reshape(weight.shape)
    else:
        scaled = _float64(weight) * scale.reshape(-1, 1, 1, 1)
    return scaled.astype(weight.dtype), shift.astype(weight.dtype)


def _float64(array: Array) -> Array:
    return array.astype("float64")
