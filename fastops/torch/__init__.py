"""fastops on torch's tensors: the same kernels for those who train and run in torch on a CPU.

The functions are those of torch.nn.functional on CPU tensors of float32 and float64, with gradients, and share memory
with NumPy's arrays; `accelerate` changes the layers of a model to them, and `restore` changes them back.  Nothing else
of torch is touched, and nothing at import.
"""

from .accelerate import accelerate, restore
from .activation import gelu, hardsigmoid, hardswish, silu
from .conv import conv2d, conv_transpose2d
from .elementwise import dropout, relu, sigmoid
from .linear import flatten, linear
from .loss import cross_entropy, log_softmax, mse_loss, softmax, softmax_cross_entropy_with_logits
from .norm import batch_norm
from .pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from .rectifier import clamp, leaky_relu, prelu, relu6
from .resize import interpolate
from .roi_pool import roi_pool

__all__ = [
    "accelerate",
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "clamp",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "flatten",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "interpolate",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "prelu",
    "relu",
    "relu6",
    "restore",
    "roi_pool",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_cross_entropy_with_logits",
]
