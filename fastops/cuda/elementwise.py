"""relu, sigmoid, dropout and their gradients on CUDA.

A thread owns four neighbouring elements, one access of 128 bits in float32: memory is what these operators wait for.
"""

import numpy as np

from ..cpu.elementwise import logistic, logistic_gradient, philox, rectified, rectified_gradient
from ._launch import cuda, device, kernel
from .vectors import load4, quads, store4, wide

# ------------------------------------------------------------------------------------------------- routines


@device
def _kept(word, threshold, x, scale):
    """An element where its word reaches the threshold, else 0."""
    return x * scale if word >= threshold else type(x)(0)


# ------------------------------------------------------------------------------------------------- kernels


def _map(name, value):
    """The kernel that takes ``value`` of each element."""

    def each(out, x, wide):
        i = 4 * cuda.grid(1)
        if wide and i + 4 <= x.size:
            a, b, c, d = load4(x, i)
            store4(out, i, value(a), value(b), value(c), value(d))
        else:
            for j in range(i, i + 4):
                if j < x.size:
                    out[j] = value(x[j])

    each.__name__ = each.__qualname__ = name
    return kernel(each)


def _map_gradient(name, value):
    """The kernel that takes ``value`` of each gradient and element."""

    def each(out, gradient, x, wide):
        i = 4 * cuda.grid(1)
        if wide and i + 4 <= x.size:
            g0, g1, g2, g3 = load4(gradient, i)
            a, b, c, d = load4(x, i)
            store4(out, i, value(g0, a), value(g1, b), value(g2, c), value(g3, d))
        else:
            for j in range(i, i + 4):
                if j < x.size:
                    out[j] = value(gradient[j], x[j])

    each.__name__ = each.__qualname__ = name
    return kernel(each)


_relu = _map("_relu", rectified)
_sigmoid = _map("_sigmoid", logistic)
_relu_grad = _map_gradient("_relu_grad", rectified_gradient)
_sigmoid_grad = _map_gradient("_sigmoid_grad", logistic_gradient)


@kernel
def _dropout(out, x, threshold, scale, key0, key1, wide):
    # The four elements of a thread are the four words of one counter, as on the CPU.
    counter = cuda.grid(1)
    i = 4 * counter
    if i < x.size:
        w0, w1, w2, w3 = philox(np.uint64(counter), key0, key1)
        if wide and i + 4 <= x.size:
            a, b, c, d = load4(x, i)
            store4(out, i, _kept(w0, threshold, a, scale), _kept(w1, threshold, b, scale),
                   _kept(w2, threshold, c, scale), _kept(w3, threshold, d, scale))  # fmt: skip
        else:
            out[i] = _kept(w0, threshold, x[i], scale)
            if i + 1 < x.size:
                out[i + 1] = _kept(w1, threshold, x[i + 1], scale)
            if i + 2 < x.size:
                out[i + 2] = _kept(w2, threshold, x[i + 2], scale)
            if i + 3 < x.size:
                out[i + 3] = _kept(w3, threshold, x[i + 3], scale)


# ------------------------------------------------------------------------------------------------- entries


def relu(out, input):
    _relu.threads(input.place, quads(input), *wide(input.place, out, input))


def sigmoid(out, input):
    _sigmoid.threads(input.place, quads(input), *wide(input.place, out, input))


def relu_backward(out, grad_output, input):
    _relu_grad.threads(input.place, quads(input), *wide(input.place, out, grad_output, input))


def sigmoid_backward(out, grad_output, output):
    _sigmoid_grad.threads(output.place, quads(output), *wide(output.place, out, grad_output, output))


def dropout(out, input, p, key):
    threshold, kind = round(p * 2**32), input.dtype.type
    with np.errstate(all="ignore"):
        scale = kind(0) if threshold == 2**32 else kind(1.0 / (1.0 - p))
    *arrays, by_four = wide(input.place, out, input)
    word = np.uint64(0xFFFFFFFF)
    _dropout.threads(input.place, quads(input), *arrays, np.uint64(threshold), scale, np.uint64(key) & word,
                     np.uint64(key >> 32), by_four)  # fmt: skip
