"""conv2d and conv_transpose2d: the layers of well-known networks by family, small arrays, and the gradients."""

from . import times

globals().update(times(__name__))
