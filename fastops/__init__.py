"""fastops: the operators of convolutional networks for NumPy arrays, compiled by Numba."""

from .conv import conv2d, conv2d_backward, conv_transpose2d, conv_transpose2d_backward
from .elementwise import dropout, relu, sigmoid
from .loss import cross_entropy, mse_loss, softmax_cross_entropy_with_logits
from .norm import batch_norm
from .pool import avg_pool2d, max_pool2d, roi_pool
from .reshape import flatten
from .softmax import log_softmax, softmax

__version__ = "0.1.0"

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "conv2d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "cross_entropy",
    "dropout",
    "flatten",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "relu",
    "roi_pool",
    "sigmoid",
    "softmax",
    "softmax_cross_entropy_with_logits",
]
