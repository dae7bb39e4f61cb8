"""conv2d and conv_transpose2d on the CPU: which algorithm makes which convolution."""

import numpy as np

from . import conv_depthwise, conv_direct, conv_exact, conv_whole, conv_winograd
from .conv_plan import conv2d_plan, conv_transpose2d_plan

# ------------------------------------------------------------------------------------------------- entries


def conv2d(out, input, weight, bias, g, fast=False, kept=None):
    """Map from image.  ``kept``, if given, holds transformed weights from one call to the next."""
    bias = np.zeros(g.map_channels, out.dtype) if bias is None else bias
    padded, finite = True, False
    if conv_whole.suits(g):
        conv_whole.conv2d(out, input, weight, bias, g)
        padded = False
    elif conv_depthwise.suits(g):
        conv_depthwise.conv2d(out, input, weight, bias, g)
    elif m := conv_winograd.tile_size(g, out.itemsize, fast, kept=kept is not None):
        maps, images = _maps_and_images(out, input, g)
        finite = conv_winograd.conv2d(maps, images, weight, bias, (g.pad_top, g.pad_left), m, kept)
        if not finite:  # an infinity has spread through a tile
            _direct(out, input, weight, bias, g)
    else:
        padded, finite = _direct(out, input, weight, bias, g)
    if padded and not finite and conv_exact.weight_met_padding(out, weight):
        maps, images = _maps_and_images(out, input, g)
        conv_exact.conv2d(maps, images, weight, bias, g)


def conv_transpose2d(out, input, weight, bias, g, fast=False, kept=None):
    """Image from map."""
    bias = np.zeros(g.image_channels, out.dtype) if bias is None else bias
    padded, finite = True, False
    if conv_whole.suits(g):
        conv_whole.conv_transpose2d(out, input, weight, bias, g)
        padded = False
    elif conv_depthwise.suits_transposed(g):
        conv_depthwise.conv_transpose2d(out, input, weight, bias, g)
    elif m := conv_winograd.tile_size(g, out.itemsize, fast, True, kept is not None):
        maps, images = _maps_and_images(input, out, g)
        pad = 2 - g.pad_top, 2 - g.pad_left
        finite = conv_winograd.conv2d(images, maps, weight, bias, pad, m, kept, flipped=True)
        if not finite:
            _direct_transpose(out, input, weight, bias, g, kept)
    else:
        padded, finite = _direct_transpose(out, input, weight, bias, g, kept)
    if padded and not finite and conv_exact.weight_met_padding(out, weight):
        maps, images = _maps_and_images(input, out, g)
        conv_exact.conv_transpose2d(images, maps, weight, bias, g)


def _maps_and_images(map, image, g):
    """Both with four axes."""
    return (map.reshape(g.batch, g.map_channels, g.map_height, g.map_width),
            image.reshape(g.batch, g.image_channels, g.image_height, g.image_width))  # fmt: skip


def _direct(out, input, weight, bias, g):
    """(whether outputs may have seen padding, whether every value is finite)."""
    plan = conv2d_plan(g, out.itemsize)
    return plan.pads, conv_direct.convolve(out.reshape(-1), input.reshape(-1), weight.reshape(-1), bias, plan, g.groups,
                                           g.batch, (g.image_height, g.image_width), g.map_width)  # fmt: skip


def _direct_transpose(out, input, weight, bias, g, kept):
    plan = conv_transpose2d_plan(g, out.itemsize)
    order = plan.order.tobytes()
    w = kept.get(order) if kept else None
    if w is None:
        w = conv_direct.transposed_weights(weight.reshape(-1), plan, g)
        if kept is not None:
            kept[order] = w
    return plan.pads, conv_direct.convolve(out.reshape(-1), input.reshape(-1), w, bias, plan, g.groups, g.batch,
                                           (g.map_height, g.map_width), g.image_width)  # fmt: skip
