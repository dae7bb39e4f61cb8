"""prelu and its gradient on the CPU: leaky_relu with a slope for each channel, or one for all.

The slope's gradient is a sum.  Blocks have a fixed size, are summed in float64 and joined in order: the bits do not
depend on the number of threads.
"""

import numpy as np
from numba import prange

from .._jit import kernel, reduction, routine
from .activation import sloped, sloped_gradient

SLOPE_BLOCK = 4096  # elements that an iteration owns: it reads them twice, the second time from L1
COLUMNS = 16  # planes shorter than this are treated as columns of a matrix

# ------------------------------------------------------------------------------------------------ routines


@routine
def _write_gradient(out, gradient, x, slope):
    """out = the gradient of x, where all of it has one slope."""
    one = x.dtype.type(1)
    for i in range(x.size):
        out[i] = sloped_gradient(gradient[i], x[i], slope, one)


@reduction
def _slope_sum(gradient, x):
    """The sum of gradient * x where x has the slope."""
    s = 0.0
    for i in range(x.size):
        product = np.float64(gradient[i]) * np.float64(x[i])
        s += 0.0 if x[i] > 0 else product
    return s


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _prelu_planes(out, x, weight, inner):
    # x is (n, channels, inner); an iteration owns a block of a plane.
    blocks, one = -(-inner // SLOPE_BLOCK), x.dtype.type(1)
    for i in prange(x.size // inner * blocks):
        plane, block = i // blocks, i % blocks
        slope, first = weight[plane % weight.size], plane * inner + block * SLOPE_BLOCK
        end = min(first + SLOPE_BLOCK, (plane + 1) * inner)
        values, results = x[first:end], out[first:end]
        for j in range(end - first):
            results[j] = sloped(values[j], slope, one)


@kernel
def _prelu_columns(out, x, slopes):
    # x is (n, width), slopes has one for each column; an iteration owns a row.
    width, one = slopes.size, x.dtype.type(1)
    for row in prange(x.size // width):
        values, results = x[row * width : (row + 1) * width], out[row * width : (row + 1) * width]
        for j in range(width):
            results[j] = sloped(values[j], slopes[j], one)


@kernel
def _prelu_grad_planes(out, grad_weight, gradient, x, weight, inner):
    # An iteration owns a block of a plane, then a channel.
    blocks, channels = -(-inner // SLOPE_BLOCK), weight.size
    sums = np.empty(x.size // inner * blocks)
    for i in prange(sums.size):
        plane, block = i // blocks, i % blocks
        first = plane * inner + block * SLOPE_BLOCK
        end = min(first + SLOPE_BLOCK, (plane + 1) * inner)
        _write_gradient(out[first:end], gradient[first:end], x[first:end], weight[plane % channels])
        sums[i] = _slope_sum(gradient[first:end], x[first:end])
    for c in prange(channels):
        s = 0.0
        for image in range(x.size // (inner * channels)):
            for block in range(blocks):
                s += sums[(image * channels + c) * blocks + block]
        grad_weight[c] = s


@kernel
def _prelu_grad_columns(out, grad_weight, gradient, x, slopes, inner):
    # An iteration owns a block of rows, then a channel: ``inner`` columns.
    width, one = slopes.size, x.dtype.type(1)
    n = x.size // width
    rows = max(1, 4 * SLOPE_BLOCK // width)
    blocks = -(-n // rows)
    sums = np.empty((blocks, width))
    for block in prange(blocks):
        total = sums[block]
        for j in range(width):
            total[j] = 0.0
        for row in range(block * rows, min(block * rows + rows, n)):
            values, gradients = x[row * width : (row + 1) * width], gradient[row * width : (row + 1) * width]
            results = out[row * width : (row + 1) * width]
            for j in range(width):
                results[j] = sloped_gradient(gradients[j], values[j], slopes[j], one)
            for j in range(width):
                product = np.float64(gradients[j]) * np.float64(values[j])
                total[j] += 0.0 if values[j] > 0 else product
    for c in prange(width // inner):
        s = 0.0
        for block in range(blocks):
            for j in range(c * inner, (c + 1) * inner):
                s += sums[block, j]
        grad_weight[c] = s


# ------------------------------------------------------------------------------------------------- entries


def prelu(out, input, weight, inner):
    """``weight`` repeats along the planes of ``inner`` elements: channels by channels, or one of all elements."""
    slopes = weight.ravel()
    if inner >= COLUMNS:
        _prelu_planes(input.size)(out.ravel(), input.ravel(), slopes, inner)
    elif input.size:
        _prelu_columns(input.size)(out.ravel(), input.ravel(), _wide(slopes, inner))


def prelu_backward(out, grad_weight, grad_output, input, weight, inner):
    """Fill both gradients; see prelu."""
    slopes, total = weight.ravel(), grad_weight.ravel()
    if not input.size:
        total.fill(0)
    elif inner >= COLUMNS:
        _prelu_grad_planes(input.size * 2)(out.ravel(), total, grad_output.ravel(), input.ravel(), slopes, inner)
    else:
        slopes = _wide(slopes, inner)
        _prelu_grad_columns(input.size * 2)(out.ravel(), total, grad_output.ravel(), input.ravel(), slopes, inner)


def _wide(slopes, inner):
    """A slope for each of a channel's columns."""
    return slopes if inner == 1 else np.repeat(slopes, inner)
