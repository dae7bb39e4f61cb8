"""Layers over the functions of fastops: torch.nn's names, arguments, first weights and state_dict keys.

A layer is called with arrays, and its ``backward`` turns the gradient of its output into that of its input::

    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 10))
    criterion = nn.CrossEntropyLoss()

    loss = criterion(model(images), labels)
    model.zero_grad()
    model.backward(criterion.backward())
    for p in model.parameters():
        p.data -= 0.1 * p.grad

``layer.weight`` and ``layer.bias`` are `Parameter` objects: the values are in ``data``, the gradient in ``grad``, where
each ``backward`` adds its own until ``zero_grad``.  Running statistics and a `state_dict` are plain arrays.
"""

from .activation import GELU, Hardsigmoid, Hardswish, Hardtanh, LeakyReLU, PReLU, ReLU, ReLU6, Sigmoid, SiLU, Softmax
from .container import Sequential
from .conv import Conv2d, ConvTranspose2d
from .dropout import Dropout
from .fuse import fuse
from .linear import Linear
from .loss import CrossEntropyLoss, MSELoss, SoftmaxCrossEntropyWithLogits
from .module import Module, Parameter
from .norm import BatchNorm1d, BatchNorm2d
from .pool import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d, RoIPool
from .reshape import Flatten
from .resize import Upsample

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "ConvTranspose2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "GELU",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "Linear",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "PReLU",
    "Parameter",
    "ReLU",
    "ReLU6",
    "RoIPool",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "SoftmaxCrossEntropyWithLogits",
    "Upsample",
    "fuse",
]
