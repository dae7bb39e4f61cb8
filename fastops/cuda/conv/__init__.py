"""conv2d and conv_transpose2d on CUDA: which algorithm makes which convolution.

Every algorithm is a function ``convolve(out, input, weight, bias, c)`` that fills ``out``; ``c`` is the convolution as
window.py sees it, the same for conv2d and its transpose.
"""

from .. import arithmetic, elementwise
from . import depthwise, tiles
from .weight import grad_bias, grad_weight
from .window import seen

__all__ = ["choose", "conv2d", "conv_transpose2d", "grad_bias", "grad_weight"]

PRODUCTS = 256  # of a sum that needs no second one to be exact enough
FEW = 8  # outputs that share their inputs, up to which a tile is not worth its loads


def choose(c):
    """The algorithm for a convolution."""
    elements = c.weights.channels * c.vertical.kernel * c.horizontal.kernel
    if c.groups > 1 and c.weights.out_channels <= FEW and elements <= PRODUCTS:
        return depthwise.convolve
    return tiles.convolve


# ------------------------------------------------------------------------------------------------- entries


def conv2d(out, input, weight, bias, g, fast=False, kept=None, add=None, activation=None):
    """Map from image; ``fast`` changes nothing."""
    _convolve(out, input, weight, bias, seen(g, transposed=False), add, activation)


def conv_transpose2d(out, input, weight, bias, g, fast=False, kept=None, add=None, activation=None):
    """Image from map; ``fast`` changes nothing."""
    _convolve(out, input, weight, bias, seen(g, transposed=True), add, activation)


def _convolve(out, input, weight, bias, c, add, activation):
    choose(c)(out, input, weight, bias, c)
    if add is not None:
        arithmetic.add(input.place.lend(out), add)
    if activation is not None:
        name, *numbers = activation
        getattr(elementwise, name)(out, input.place.lend(out), *numbers)
