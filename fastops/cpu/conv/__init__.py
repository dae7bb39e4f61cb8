"""conv2d, conv_transpose2d and the gradients of their parameters on the CPU: the entries.

Which algorithm makes which convolution is said in choose.py; every algorithm has a file and one signature:

    convolve(out, input, weight, bias, g, transposed, kept, finish) -> Outcome

conv2d makes the map of a geometry ``g`` from its image, conv_transpose2d (``transposed``) the image from the map.
Networks run three of them in one pass, as inverted.py says.
"""

import numpy as np

from . import bound, direct, exact
from .choose import choose, choose_grad_weight
from .finish import Finish, activate, finish_all, finish_of
from .grad_bias import grad_bias
from .inverted import Block, block_of, inverted_residual

__all__ = [
    "Block",
    "block_of",
    "bound_conv2d",
    "conv2d",
    "conv_transpose2d",
    "grad_bias",
    "grad_weight",
    "inverted_residual",
]


def conv2d(out, input, weight, bias, g, fast=False, kept=None, add=None, activation=None):
    """Map from image.  ``kept``, if given, holds transformed weights from one call to the next."""
    _convolve(out, input, weight, bias, g, False, fast, kept, add, activation)


def bound_conv2d(out, input, weight, bias, g, fast=False, kept=None, add=None, activation=None):
    """What makes this very map again, in any number of calls; or None.  The first was made by conv2d."""
    return bound.bound_conv2d(conv2d, out, input, weight, bias, g, fast, kept, add, activation)


def conv_transpose2d(out, input, weight, bias, g, fast=False, kept=None, add=None, activation=None):
    """Image from map."""
    _convolve(out, input, weight, bias, g, True, fast, kept, add, activation)


def grad_weight(out, map, image, g):
    """The gradient of a weight of shape (map channels, image channels / groups, height, width)."""
    if not choose_grad_weight(g, out.itemsize)(out, map, image, g):
        exact.grad_weight(out, map, image, g)


def _convolve(out, input, weight, bias, g, transposed, fast, kept, add, activation):
    bias = np.zeros(g.image_channels if transposed else g.map_channels, out.dtype) if bias is None else bias
    algorithm = choose(g, transposed, out.itemsize, fast, kept is not None)
    finishes = add is not None or activation is not None
    if finishes:
        finish, activation = finish_of(bias, add, activation)
    else:
        finish = Finish(bias)
    outcome = algorithm(out, input, weight, bias, g, transposed, kept, finish)
    if outcome.spread:
        outcome = direct.convolve(out, input, weight, bias, g, transposed, kept, finish)
    # The end hides what was not finite: then all is made again without it.
    if finishes and outcome.ended and outcome.pads and not outcome.finite and not exact.finite(weight.reshape(-1)):
        outcome = direct.convolve(out, input, weight, bias, g, transposed, kept, Finish(bias))._replace(ended=False)
    uncertain = outcome.pads and not outcome.finite and not (finishes and outcome.ended)
    if uncertain and exact.weight_met_padding(out, weight):
        exact.convolve(out, input, weight, bias, g, transposed)
    if finishes and not outcome.ended:
        finish_all(out, finish)
    if activation is not None:
        activate(out, activation)
