"""The activations, clamp, dropout and their gradients on CUDA.

A thread owns four neighbouring elements, one access of 128 bits in float32: memory is what these operators wait for.
"""

import numpy as np

from ..cpu import activation
from ..cpu.elementwise import philox
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


def _map_numbers(name, value):
    """The same for a formula of two numbers beside the element."""

    def each(out, x, a, b, wide):
        i = 4 * cuda.grid(1)
        if wide and i + 4 <= x.size:
            x0, x1, x2, x3 = load4(x, i)
            store4(out, i, value(x0, a, b), value(x1, a, b), value(x2, a, b), value(x3, a, b))
        else:
            for j in range(i, i + 4):
                if j < x.size:
                    out[j] = value(x[j], a, b)

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


def _map_gradient_numbers(name, value):
    """The same for a formula of two numbers beside them."""

    def each(out, gradient, x, a, b, wide):
        i = 4 * cuda.grid(1)
        if wide and i + 4 <= x.size:
            g0, g1, g2, g3 = load4(gradient, i)
            x0, x1, x2, x3 = load4(x, i)
            store4(out, i, value(g0, x0, a, b), value(g1, x1, a, b), value(g2, x2, a, b), value(g3, x3, a, b))
        else:
            for j in range(i, i + 4):
                if j < x.size:
                    out[j] = value(gradient[j], x[j], a, b)

    each.__name__ = each.__qualname__ = name
    return kernel(each)


_relu = _map("_relu", activation.relu)
_sigmoid = _map("_sigmoid", activation.sigmoid)
_silu = _map("_silu", activation.silu)
_hardsigmoid = _map("_hardsigmoid", activation.hardsigmoid)
_hardswish = _map("_hardswish", activation.hardswish)
_gelu = _map("_gelu", activation.gelu)
_gelu_tanh = _map("_gelu_tanh", activation.gelu_tanh)
_clamp = _map_numbers("_clamp", activation.clamp)
_leaky_relu = _map_numbers("_leaky_relu", activation.sloped)

_relu_grad = _map_gradient("_relu_grad", activation.relu_gradient)
_relu6_grad = _map_gradient("_relu6_grad", activation.relu6_gradient)
_sigmoid_grad = _map_gradient("_sigmoid_grad", activation.sigmoid_gradient)
_silu_grad = _map_gradient("_silu_grad", activation.silu_gradient)
_hardsigmoid_grad = _map_gradient("_hardsigmoid_grad", activation.hardsigmoid_gradient)
_hardswish_grad = _map_gradient("_hardswish_grad", activation.hardswish_gradient)
_gelu_grad = _map_gradient("_gelu_grad", activation.gelu_gradient)
_gelu_tanh_grad = _map_gradient("_gelu_tanh_grad", activation.gelu_tanh_gradient)
_clamp_grad = _map_gradient_numbers("_clamp_grad", activation.clamp_gradient)
_leaky_relu_grad = _map_gradient_numbers("_leaky_relu_grad", activation.sloped_gradient)


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


def _each(kernel, out, input):
    kernel.threads(input.place, quads(input), *wide(input.place, out, input))


def _each_gradient(kernel, out, grad_output, input):
    kernel.threads(input.place, quads(input), *wide(input.place, out, grad_output, input))


def _numbers(input, *numbers):
    """Numbers of the input's type, which may be infinite there."""
    with np.errstate(over="ignore"):
        return [input.dtype.type(number) for number in numbers]


def relu(out, input):
    _each(_relu, out, input)


def sigmoid(out, input):
    _each(_sigmoid, out, input)


def silu(out, input):
    _each(_silu, out, input)


def hardsigmoid(out, input):
    _each(_hardsigmoid, out, input)


def hardswish(out, input):
    _each(_hardswish, out, input)


def gelu(out, input, tanh):
    _each(_gelu_tanh if tanh else _gelu, out, input)


def clamp(out, input, low, high):
    *arrays, by_four = wide(input.place, out, input)
    _clamp.threads(input.place, quads(input), *arrays, *_numbers(input, low, high), by_four)


def leaky_relu(out, input, negative_slope):
    *arrays, by_four = wide(input.place, out, input)
    _leaky_relu.threads(input.place, quads(input), *arrays, *_numbers(input, negative_slope, 1), by_four)


def relu_backward(out, grad_output, input):
    _each_gradient(_relu_grad, out, grad_output, input)


def relu6_backward(out, grad_output, input):
    _each_gradient(_relu6_grad, out, grad_output, input)


def sigmoid_backward(out, grad_output, output):
    _each_gradient(_sigmoid_grad, out, grad_output, output)


def silu_backward(out, grad_output, input):
    _each_gradient(_silu_grad, out, grad_output, input)


def hardsigmoid_backward(out, grad_output, input):
    _each_gradient(_hardsigmoid_grad, out, grad_output, input)


def hardswish_backward(out, grad_output, input):
    _each_gradient(_hardswish_grad, out, grad_output, input)


def gelu_backward(out, grad_output, input, tanh):
    _each_gradient(_gelu_tanh_grad if tanh else _gelu_grad, out, grad_output, input)


def clamp_backward(out, grad_output, input, low, high):
    *arrays, by_four = wide(input.place, out, grad_output, input)
    _clamp_grad.threads(input.place, quads(input), *arrays, *_numbers(input, low, high), by_four)


def leaky_relu_backward(out, grad_output, input, negative_slope):
    *arrays, by_four = wide(input.place, out, grad_output, input)
    _leaky_relu_grad.threads(input.place, quads(input), *arrays, *_numbers(input, negative_slope, 1), by_four)


def dropout(out, input, p, key):
    threshold, kind = round(p * 2**32), input.dtype.type
    with np.errstate(all="ignore"):
        scale = kind(0) if threshold == 2**32 else kind(1.0 / (1.0 - p))
    *arrays, by_four = wide(input.place, out, input)
    word = np.uint64(0xFFFFFFFF)
    _dropout.threads(input.place, quads(input), *arrays, np.uint64(threshold), scale, np.uint64(key) & word,
                     np.uint64(key >> 32), by_four)  # fmt: skip
