"""linear and its gradient on CUDA: products of matrices in the tiles of the convolutions.

A product of matrices is a 1 x 1 convolution of one image: a's rows are the filters, b's rows the channels, b's columns
the pixels.  The filters may lie in columns as well as in rows, so that only one product has to copy a matrix first.
"""

from . import arithmetic
from ._gather import gather
from ._launch import cuda, kernel
from .conv import grad_bias as sum_of_rows
from .conv import tiles
from .conv.window import Convolution, Layout, axis

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _add_to_rows(out, bias):
    # A thread owns an element.
    i = cuda.grid(1)
    if i < out.size:
        out[i] += bias[i % bias.size]


# ------------------------------------------------------------------------------------------------- entries


def linear(out, input, weight, bias):
    """Rows times the transposed weight, which is copied."""
    place, (out_features, in_features) = input.place, weight.shape
    turned = place.lend(place.empty((in_features, out_features), weight.dtype))
    gather(place, turned, weight, 0, (in_features, out_features), (1, in_features))
    rows = input.size // in_features
    _multiply(out, input, (in_features, 1), turned, rows, in_features, out_features)
    if bias is not None:
        _add_to_rows.threads(place, rows * out_features, out, bias)


def linear_backward(grad_input, grad_weight, grad_bias, grad_output, input, weight):
    """Fill the gradients; that of the bias may be None."""
    out_features, in_features = weight.shape
    rows = input.size // in_features
    if rows:
        _multiply(grad_input, grad_output, (out_features, 1), weight, rows, out_features, in_features)
        _multiply(grad_weight, grad_output, (1, out_features), input, out_features, rows, in_features)
    else:
        arithmetic.fill(input.place.lend(grad_weight), 0)
    if grad_bias is not None:
        sum_of_rows(grad_bias, grad_output, rows)


def _multiply(out, a, steps, b, rows, inner, columns):
    """out (rows x columns) = a (rows x inner) times b; ``steps`` lead from one row and one column of a to the next."""
    row_step, column_step = steps
    weights = Layout(inner, rows, column_step, row_step)
    c = Convolution(1, 1, axis(1, 1, 1, 1, 0, 1, 1), axis(columns, columns, 1, 1, 0, 1, 1), weights)
    tiles.convolve(out, b, a, None, c)
