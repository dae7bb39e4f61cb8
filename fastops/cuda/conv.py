"""conv2d and conv_transpose2d on CUDA: which algorithm makes which convolution."""

from . import conv_depthwise, conv_exact, conv_tiles
from .conv_window import axes, pads

# ------------------------------------------------------------------------------------------------- entries


def conv2d(out, input, weight, bias, g, fast=False, kept=None):
    """Map from image; ``fast`` changes nothing."""
    _convolve(out, input, weight, bias, g, False)


def conv_transpose2d(out, input, weight, bias, g, fast=False, kept=None):
    """Image from map; ``fast`` changes nothing."""
    _convolve(out, input, weight, bias, g, True)


def _convolve(out, input, weight, bias, g, transposed):
    if conv_depthwise.suits(g, transposed):
        conv_depthwise.convolve(out, input, weight, bias, g, transposed)
        return
    flags = conv_tiles.convolve(out, input, weight, bias, g, transposed)
    if any(map(pads, axes(g, transposed))):
        conv_exact.convolve(out, input, weight, bias, flags, g, transposed)
