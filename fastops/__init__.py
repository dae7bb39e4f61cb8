"""fastops: the operators of convolutional networks for NumPy arrays, compiled by Numba."""

from . import nn
from .activation import (
    gelu,
    gelu_backward,
    hardsigmoid,
    hardsigmoid_backward,
    hardswish,
    hardswish_backward,
    silu,
    silu_backward,
)
from .conv import (
    conv2d,
    conv2d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
)
from .elementwise import (
    dropout,
    dropout_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
)
from .linear import (
    linear,
    linear_backward,
)
from .loss import (
    cross_entropy,
    cross_entropy_backward,
    softmax_cross_entropy_with_logits,
    softmax_cross_entropy_with_logits_backward,
)
from .mse_loss import (
    mse_loss,
    mse_loss_backward,
)
from .norm import (
    batch_norm,
    batch_norm_backward,
)
from .pool import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from .rectifier import (
    clamp,
    clamp_backward,
    leaky_relu,
    leaky_relu_backward,
    prelu,
    prelu_backward,
    relu6,
    relu6_backward,
)
from .reshape import (
    flatten,
    flatten_backward,
)
from .resize import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    interpolate,
    interpolate_backward,
)
from .roi_pool import (
    roi_pool,
    roi_pool_backward,
)
from .softmax import (
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)

__version__ = "0.1.0"

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "clamp",
    "clamp_backward",
    "conv2d",
    "conv2d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout",
    "dropout_backward",
    "flatten",
    "flatten_backward",
    "gelu",
    "gelu_backward",
    "hardsigmoid",
    "hardsigmoid_backward",
    "hardswish",
    "hardswish_backward",
    "interpolate",
    "interpolate_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "mse_loss",
    "mse_loss_backward",
    "nn",
    "prelu",
    "prelu_backward",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "roi_pool",
    "roi_pool_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy_with_logits",
    "softmax_cross_entropy_with_logits_backward",
]
