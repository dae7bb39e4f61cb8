"""The activations, clamp and dropout on the CPU; activation.py has the formulas.

A call of ten elements takes a microsecond, so that kernels of formulas without numbers are called without.
"""

from typing import Any

import numpy as np
from numba import carray, prange

from .._jit import VECTOR_BYTES, inlined, kernel, routine
from . import activation
from .simd.emit import never_inlined, stack_memory
from .simd.values import (
    chosen,
    counters,
    first_lanes,
    half,
    lanes_of,
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

MASK_BLOCK = 4096  # elements that an iteration of dropout owns
COUNTERS = VECTOR_BYTES // 8  # of a vector
# Elements that an iteration of a map owns, in a loop of its own: among the kernel's LLVM loads each constant again for
# every vector, and gelu took 1.15 times as long.  A map in place takes them from a copy: LLVM's test whether input and
# output share memory else sends it to a loop without vectors (50 000 elements of hardswish took 40 us so, apart 5).
BLOCK = 4096
_values_of_a_block = stack_memory(BLOCK * 8)

# ------------------------------------------------------------------------------------------------- scalars


@inlined  # a call passes vectors through memory and makes the keys of all rounds again: 1.6 times the time
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
    if i + lanes_of(x) <= end:
        store(to, i, chosen(keep, load(x, i) * scale, zero))
    elif i < end:
        here = first_lanes(x, end - i)
        masked_store(to, i, chosen(keep, masked_load(x, i, here, zero) * scale, zero), here)


# ------------------------------------------------------------------------------------------------- kernels


def _map(name: str, value: Any) -> Any:
    """The kernel that takes ``value`` of each element."""

    def some(out, x):
        never_inlined()
        for i in range(x.size):
            out[i] = value(x[i])

    some = _routine(name, some)

    def each(out, x):
        apart = out.ctypes.data != x.ctypes.data
        for block in prange(-(-x.size // BLOCK)):
            first, last = block * BLOCK, min(block * BLOCK + BLOCK, x.size)
            if apart:
                some(out[first:last], x[first:last])
            else:
                values, results = carray(_values_of_a_block(), (BLOCK,), x.dtype), out[first:last]
                for i in range(results.size):
                    values[i] = results[i]
                some(results, values[: results.size])

    return _named(name, each)


def _map_numbers(name: str, value: Any) -> Any:
    """The same for a formula of two numbers beside the element."""

    def each(out, x, a, b):
        a, b = x.dtype.type(a), x.dtype.type(b)
        if out.ctypes.data == x.ctypes.data:
            for block in prange(-(-x.size // BLOCK)):
                first, last = block * BLOCK, min(block * BLOCK + BLOCK, x.size)
                values, results = carray(_values_of_a_block(), (BLOCK,), x.dtype), out[first:last]
                for i in range(results.size):
                    values[i] = results[i]
                for i in range(results.size):
                    results[i] = value(values[i], a, b)
        else:
            for i in prange(x.size):
                out[i] = value(x[i], a, b)

    return _named(name, each)


def _map_gradient(name: str, value: Any) -> Any:
    """The kernel that takes ``value`` of each gradient and element."""

    def some(out, gradient, x):
        never_inlined()
        for i in range(x.size):
            out[i] = value(gradient[i], x[i])

    some = _routine(name, some)

    def each(out, gradient, x):
        for block in prange(-(-x.size // BLOCK)):
            first, last = block * BLOCK, min(block * BLOCK + BLOCK, x.size)
            some(out[first:last], gradient[first:last], x[first:last])

    return _named(name, each)


def _map_gradient_numbers(name: str, value: Any) -> Any:
    """The same for a formula of two numbers beside them."""

    def each(out, gradient, x, a, b):
        a, b = x.dtype.type(a), x.dtype.type(b)
        for i in prange(x.size):
            out[i] = value(gradient[i], x[i], a, b)

    return _named(name, each)


def _routine(name: str, some: Any) -> Any:
    some.__qualname__ = f"{name}.some"
    return routine(some)


def _named(name: str, each: Any) -> Any:
    each.__name__ = each.__qualname__ = name
    return kernel(each)


_relu = _map("_relu", activation.relu)
_sigmoid = _map("_sigmoid", activation.sigmoid)
_silu = _map("_silu", activation.silu)
_hardsigmoid = _map("_hardsigmoid", activation.hardsigmoid)
_hardswish = _map("_hardswish", activation.hardswish)
_gelu = _map("_gelu", activation.gelu)
_gelu_tanh = _map("_gelu_tanh", activation.gelu_tanh)
_clamp = _map_numbers("_clamp", activation.between)
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
def _dropout(out, x, threshold, scale, key0, key1):
    # Element i takes word i % 4 of counter i // 4, and stays where that reaches the threshold.  An iteration owns a
    # block.
    scale = out.dtype.type(scale)
    lane_count = lanes_of(x)
    for block in prange(-(-x.size // MASK_BLOCK)):
        to, values, first, end = (
            pointer(out),
            pointer(x),
            block * MASK_BLOCK,
            min(block * MASK_BLOCK + MASK_BLOCK, x.size),
        )
        for i in range(first, end, 4 * COUNTERS):
            w0, w1, w2, w3 = philox(counters(i // 4), np.uint64(key0), np.uint64(key1))
            even, odd = words(w0, w1), words(w2, w3)
            low, high = pairs_low(even, odd) >= threshold, pairs_high(even, odd) >= threshold
            j, of_high = i, i + 2 * COUNTERS
            _drop(to, values, j, end, half(low, values, False), scale)
            _drop(to, values, of_high, end, half(high, values, False), scale)
            if lane_count < 2 * COUNTERS:
                _drop(to, values, j + lane_count, end, half(low, values, True), scale)
                _drop(to, values, of_high + lane_count, end, half(high, values, True), scale)


@kernel
def _dropout_rows(out, x, firsts, width, threshold, scale, key0, key1):
    # Row r is the elements firsts[r], firsts[r] + 1, ... of a larger array, and has its mask.  An iteration owns a row.
    scale, zero = out.dtype.type(scale), out.dtype.type(0)
    for row in prange(firsts.size):
        values, results = x[row * width : (row + 1) * width], out[row * width : (row + 1) * width]
        word, w1, w2, w3 = philox(np.uint64(firsts[row] >> 2), np.uint64(key0), np.uint64(key1))
        for _ in range(firsts[row] & 3):
            word, w1, w2 = w1, w2, w3
        for i in range(width):
            results[i] = values[i] * scale if word >= threshold else zero
            word, w1, w2 = w1, w2, w3
            if (firsts[row] + i) & 3 == 3:
                word, w1, w2, w3 = philox(np.uint64((firsts[row] + i + 1) >> 2), np.uint64(key0), np.uint64(key1))


# ------------------------------------------------------------------------------------------------- entries


def relu(out, input):
    _relu(input.size)(out.ravel(), input.ravel())


def sigmoid(out, input):
    _sigmoid(input.size * 4)(out.ravel(), input.ravel())


def silu(out, input):
    _silu(input.size * 4)(out.ravel(), input.ravel())


def hardsigmoid(out, input):
    _hardsigmoid(input.size)(out.ravel(), input.ravel())


def hardswish(out, input):
    _hardswish(input.size)(out.ravel(), input.ravel())


def gelu(out, input, tanh):
    (_gelu_tanh if tanh else _gelu)(input.size * 8)(out.ravel(), input.ravel())


def clamp(out, input, low, high):
    if low != low or high != high:  # the kernel's comparisons would pass over a NaN
        with np.errstate(all="ignore"):
            np.add(input, low + high, out=out)
        return
    _clamp(input.size)(out.ravel(), input.ravel(), low, high)


def leaky_relu(out, input, negative_slope):
    _leaky_relu(input.size)(out.ravel(), input.ravel(), negative_slope, 1.0)


def relu_backward(out, grad_output, input):
    _relu_grad(input.size)(out.ravel(), grad_output.ravel(), input.ravel())


def relu6_backward(out, grad_output, input):
    _relu6_grad(input.size)(out.ravel(), grad_output.ravel(), input.ravel())


def sigmoid_backward(out, grad_output, output):
    _sigmoid_grad(output.size)(out.ravel(), grad_output.ravel(), output.ravel())


def silu_backward(out, grad_output, input):
    _silu_grad(input.size * 4)(out.ravel(), grad_output.ravel(), input.ravel())


def hardsigmoid_backward(out, grad_output, input):
    _hardsigmoid_grad(input.size)(out.ravel(), grad_output.ravel(), input.ravel())


def hardswish_backward(out, grad_output, input):
    _hardswish_grad(input.size)(out.ravel(), grad_output.ravel(), input.ravel())


def gelu_backward(out, grad_output, input, tanh):
    (_gelu_tanh_grad if tanh else _gelu_grad)(input.size * 8)(out.ravel(), grad_output.ravel(), input.ravel())


def clamp_backward(out, grad_output, input, low, high):
    _clamp_grad(input.size)(out.ravel(), grad_output.ravel(), input.ravel(), low, high)


def leaky_relu_backward(out, grad_output, input, negative_slope):
    _leaky_relu_grad(input.size)(out.ravel(), grad_output.ravel(), input.ravel(), negative_slope, 1.0)


def dropout(out, input, p, key):
    threshold = round(p * 2**32)
    if threshold == 2**32:
        out.fill(0)
        return
    _dropout(input.size * 2)(out.ravel(), input.ravel(), threshold, 1.0 / (1.0 - p), key & 0xFFFFFFFF, key >> 32)


def dropout_rows(out, input, p, key, firsts):
    """The same for rows of a larger array: row r of ``out`` begins with the element ``firsts[r]`` of it."""
    threshold = round(p * 2**32)
    if threshold == 2**32 or not input.size:
        out.fill(0)
        return
    width = input.size // firsts.size
    _dropout_rows(input.size * 8)(
        out.ravel(), input.ravel(), firsts, width, threshold, 1.0 / (1.0 - p), key & 0xFFFFFFFF, key >> 32
    )
