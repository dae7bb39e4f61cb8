"""Convolutions an output at a time, from the products of its own window alone: for values that are not finite.

The tiles multiply the zeros around an image, too, and 0 * inf is NaN.  Only what came out infinite or NaN is made
again, as on the CPU; nobody waits to hear whether there is any.
"""

import numpy as np

from .._launch import SIMULATED, THREADS, cuda, kernel
from .window import output_at, window_sum

BLOCKS = 2 if SIMULATED else 1024

# ------------------------------------------------------------------------------------------------- kernels


@kernel(float64=True)
def _convolve_exact(out, x, w, bias, biased, flags, groups, vertical, horizontal, weights):
    # Nothing to do where every part of the weights was finite; else a thread owns every so many-th output.
    clean = 1
    for i in range(cuda.threadIdx.x, flags.size, THREADS):
        if flags[i] == 0:
            clean = 0
    if cuda.syncthreads_and(np.int32(clean)):
        return
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        if out[i] * out.dtype.type(0) != 0:  # true of NaN
            channel, x_at, w_at, y, x_ = output_at(i, groups, vertical, horizontal, weights)
            s = window_sum(0.0, x, w, x_at, w_at, y, x_, vertical, horizontal, weights)
            out[i] = s + bias[channel] if biased else s


# ------------------------------------------------------------------------------------------------- entries


def convolve_again(out, input, weight, bias, c, flags):
    """Make the outputs again that are not finite, if a flag says that a weight is not."""
    biased = bias is not None
    blocks = min(BLOCKS, -(-out.size // THREADS))
    _convolve_exact.blocks(input.place, blocks, THREADS, out, input, weight, bias if biased else weight, biased, flags,
                           c.groups, tuple(c.vertical), tuple(c.horizontal), tuple(c.weights))  # fmt: skip
