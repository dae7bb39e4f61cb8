"""prelu and its gradient on CUDA.

A thread owns four neighbouring elements, as in elementwise.py; the slope's gradient is the sum of an array of products.
"""

from ..cpu.activation import sloped, sloped_gradient
from . import arithmetic, sums
from ._launch import cuda, kernel
from .vectors import load4, quads, store4, wide

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _prelu(out, x, weight, inner, wide):
    # Element j has the slope of plane j // inner.
    i, one = 4 * cuda.grid(1), x.dtype.type(1)
    if wide and i + 4 <= x.size and i // inner == (i + 3) // inner:
        a, b, c, d = load4(x, i)
        slope = weight[i // inner % weight.size]
        store4(out, i, sloped(a, slope, one), sloped(b, slope, one), sloped(c, slope, one), sloped(d, slope, one))
    else:
        for j in range(i, i + 4):
            if j < x.size:
                out[j] = sloped(x[j], weight[j // inner % weight.size], one)


@kernel
def _prelu_grad(out, products, gradient, x, weight, inner):
    # One element a thread; its product with the gradient counts for the slope where x has it.
    i, one = cuda.grid(1), x.dtype.type(1)
    if i < x.size:
        g, value = gradient[i], x[i]
        out[i] = sloped_gradient(g, value, weight[i // inner % weight.size], one)
        products[i] = x.dtype.type(0) if value > 0 else g * value


# ------------------------------------------------------------------------------------------------- entries


def prelu(out, input, weight, inner):
    *arrays, by_four = wide(input.place, out, input)
    _prelu.threads(input.place, quads(input), *arrays, weight, inner, by_four)


def prelu_backward(out, grad_weight, grad_output, input, weight, inner):
    place, channels = input.place, weight.size
    shape = (input.size // max(inner * channels, 1), channels, inner)
    products = place.empty(shape, input.dtype)
    _prelu_grad.threads(place, input.size, out, products, grad_output, input, weight, inner)
    if channels == 1:
        total = arithmetic.cast(place.lend(sums.total(place.lend(products))), input.dtype)
    else:
        total = place.lend(arithmetic.sum_to(place, products, (1, channels, 1)))
    arithmetic.copy(place, grad_weight, total)
