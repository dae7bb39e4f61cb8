"""conv2d and conv_transpose2d: the layers of well-known networks by family, small arrays, and the gradients."""

from . import times

globals().update(
    times(__name__, "conv2d-3x3", "conv2d-1x1", "conv2d-others", "depthwise", "conv_transpose2d", "conv2d")
)
