"""The gradients of a convolution's weight and bias on CUDA.

    grad_weight[m, e] = sum over pixels p of all maps of map[m, p] * image[the pixel that p sees through e]

for conv2d (the map is grad_output) and conv_transpose2d (the map is the input) alike; e is an element (channel, ky, kx).
The pixels are split over blocks.  Sums of up to CHUNK products are made in the arrays' dtype and joined in float64, all
in an order that depends on the sizes alone.
"""

import numpy as np
from numba import float64

from . import conv_exact
from ._launch import SIMULATED, THREADS, cuda, kernel
from .conv_tiles import BLOCK, WANTED, added, multiply_add, no_sums
from .conv_window import axes, divide, int32, int64, pads, routine
from .sums import block_sum
from .vectors import load4

ACROSS = 4 if SIMULATED else 8  # threads across a tile's maps, 8 each; the others lie along its elements, 4 each
STEP = 4 if SIMULATED else 8  # pixels that a block reads at once
CHUNK = 8 if SIMULATED else 1024
FEW = 8  # maps that share their images, up to which a tile is not worth its loads

TILE_MAPS, TILE_ELEMENTS = 8 * ACROSS, 4 * BLOCK // ACROSS
PITCH_MAPS, PITCH_ELEMENTS = TILE_MAPS + 4, TILE_ELEMENTS + 4  # threads of a warp write to different banks
ROWS = BLOCK // STEP
_MAPS_ROOM, _ELEMENTS_ROOM = 2 * STEP * PITCH_MAPS, 2 * STEP * PITCH_ELEMENTS
