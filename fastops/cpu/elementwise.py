"""relu, sigmoid and dropout on the CPU."""

import numpy as np
from numba import prange

from .._jit import kernel, scalar
from .exp import exp

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
    """Four random 32-bit words, a pure function of counter and key: Philox4x32-10 (Salmon et al., SC 2011)."""
    c0 = np.uint32(counter & 0xFFFFFFFF)
    c1 = np.uint32(counter >> 32)
    c2 = np.uint32(0)
    c3 = np.uint32(0)
    k0 = np.uint32(key0)
    k1 = np.uint32(key1)
    for _ in range(10):
        product0 = np.uint64(c0) * np.uint64(0xD2511F53)
        product1 = np.uint64(c2) * np.uint64(0xCD9E8D57)
        c0 = np.uint32(np.uint32(product1 >> np.uint64(32)) ^ c1 ^ k0)
        c1 = np.uint32(product1 & np.uint64(0xFFFFFFFF))
        c2 = np.uint32(np.uint32(product0 >> np.uint64(32)) ^ c3 ^ k1)
        c3 = np.uint32(product0 & np.uint64(0xFFFFFFFF))
        k0 = np.uint32(np.uint64(k0) + np.uint64(0x9E3779B9) & np.uint64(0xFFFFFFFF))
        k1 = np.uint32(np.uint64(k1) + np.uint64(0xBB67AE85) & np.uint64(0xFFFFFFFF))
    return c0, c1, c2, c3


@scalar
def survivor(x, word, threshold, scale):
    """x * scale where the random word reaches the threshold, else 0 whatever x is."""
    return x * scale if np.int64(word) >= threshold else type(x)(0)


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
    # Element i takes word i % 4 of counter i // 4.
    scale = out.dtype.type(scale)
    for q in prange(x.size // 4):
        i = q * 4
        w0, w1, w2, w3 = philox(q, key0, key1)
        out[i] = survivor(x[i], w0, threshold, scale)
        out[i + 1] = survivor(x[i + 1], w1, threshold, scale)
        out[i + 2] = survivor(x[i + 2], w2, threshold, scale)
        out[i + 3] = survivor(x[i + 3], w3, threshold, scale)
    last = x.size // 4
    words = philox(last, key0, key1)
    for lane in range(x.size - last * 4):
        out[last * 4 + lane] = survivor(x[last * 4 + lane], words[lane], threshold, scale)


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
    scale = 1.0 / (1.0 - p) if p < 1.0 else 0.0
    threshold = round(p * 2**32)
    _dropout(input.size * 8)(out.ravel(), input.ravel(), threshold, scale, key & 0xFFFFFFFF, key >> 32)
