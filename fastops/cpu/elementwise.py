"""relu, sigmoid and dropout on the CPU."""

import numpy as np
from numba import prange

from .._jit import VECTOR_BYTES, inlined, kernel, scalar
from .exp import exp
from .simd.values import (
    chosen,
    counters,
    first_lanes,
    half,
    lanes,
    load,
    masked_load,
    masked_store,
    pairs_high,
    pairs_low,
    pointer,
    repeated,
    store,
    words,
)  # fmt: skip

BLOCK = 4096  # elements that an iteration of dropout owns
COUNTERS = VECTOR_BYTES // 8  # of a vector

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def rectified(x):
    """max(x, 0); NaN stays NaN and -0.0 stays -0.0, as in torch."""
    return type(x)(0) if x < 0 else x


@scalar
def logistic(x):
    """1 / (1 + exp(-x))."""
    one = type(x)(1)
    return one / (one + exp(-x))


@scalar
def rectified_gradient(gradient, x):
    """The gradient where x > 0 (or NaN), else 0."""
    return type(gradient)(0) if x <= 0 else gradient


@scalar
def logistic_gradient(gradient, y):
    """The gradient of logistic, given its value y."""
    return gradient * (type(y)(1) - y) * y


@scalar
def philox(counter, key0, key1):
    """Four random 32-bit words, a pure function of counter and key: Philox4x32-10 (Salmon et al., SC 2011).

    All are 64-bit unsigned numbers, and may be vectors of them.
    """
    word, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1 = counter & word, counter >> shift
    c2 = c3 = counter ^ counter
    for _ in range(10):
        product0, product1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1 = (product1 >> shift) ^ c1 ^ key0, product1 & word
        c2, c3 = (product0 >> shift) ^ c3 ^ key1, product0 & word
        key0, key1 = (key0 + np.uint64(0x9E3779B9)) & word, (key1 + np.uint64(0xBB67AE85)) & word
    return c0, c1, c2, c3


# ------------------------------------------------------------------------------------------------ routines


@inlined
def _drop(to, x, i, end, keep, scale):
    """to[j] = x[j] * scale where ``keep`` says so, else 0, for a vector of j from i, but before ``end``."""
    zero = repeated(x, 0)
    if i + lanes(x) <= end:
        store(to, i, chosen(keep, load(x, i) * scale, zero))
    elif i < end:
        here = first_lanes(x, end - i)
        masked_store(to, i, chosen(keep, masked_load(x, i, here, zero) * scale, zero), here)


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _relu(out, x):
    for i in prange(x.size):
        out[i] = rectified(x[i])


@kernel
def _sigmoid(out, x):
    for i in prange(x.size):
        out[i] = logistic(x[i])


@kernel
def _relu_grad(out, gradient, x):
    for i in prange(x.size):
        out[i] = rectified_gradient(gradient[i], x[i])


@kernel
def _sigmoid_grad(out, gradient, y):
    for i in prange(y.size):
        out[i] = logistic_gradient(gradient[i], y[i])


@kernel
def _dropout(out, x, threshold, scale, key0, key1):
    # Element i takes word i % 4 of counter i // 4, and stays where that reaches the threshold.  An iteration owns a
    # block.
    scale = out.dtype.type(scale)
    width = lanes(x)
    for block in prange(-(-x.size // BLOCK)):
        to, values, first, end = pointer(out), pointer(x), block * BLOCK, min(block * BLOCK + BLOCK, x.size)
        for i in range(first, end, 4 * COUNTERS):
            w0, w1, w2, w3 = philox(counters(i // 4), np.uint64(key0), np.uint64(key1))
            even, odd = words(w0, w1), words(w2, w3)
            low, high = pairs_low(even, odd) >= threshold, pairs_high(even, odd) >= threshold
            j, of_high = i, i + 2 * COUNTERS
            _drop(to, values, j, end, half(low, values, False), scale)
            _drop(to, values, of_high, end, half(high, values, False), scale)
            if width < 2 * COUNTERS:
                _drop(to, values, j + width, end, half(low, values, True), scale)
                _drop(to, values, of_high + width, end, half(high, values, True), scale)


# ------------------------------------------------------------------------------------------------- entries


def relu(out, input):
    _relu(input.size)(out.ravel(), input.ravel())


def sigmoid(out, input):
    _sigmoid(input.size * 4)(out.ravel(), input.ravel())


def relu_backward(out, grad_output, input):
    _relu_grad(input.size)(out.ravel(), grad_output.ravel(), input.ravel())


def sigmoid_backward(out, grad_output, output):
    _sigmoid_grad(output.size)(out.ravel(), grad_output.ravel(), output.ravel())


def dropout(out, input, p, key):
    threshold = round(p * 2**32)
    if threshold == 2**32:
        out.fill(0)
        return
    _dropout(input.size * 2)(out.ravel(), input.ravel(), threshold, 1.0 / (1.0 - p), key & 0xFFFFFFFF, key >> 32)
