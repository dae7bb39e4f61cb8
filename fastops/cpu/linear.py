"""linear and its gradient on the CPU: products of NumPy's BLAS, which no loop of ours comes near."""

import numpy as np


def linear(out, input, weight, bias):
    """Rows times the transposed weight."""
    rows = out.reshape(-1, len(weight))
    with np.errstate(all="ignore"):  # infinities and NaN go through in silence, as they do everywhere else
        np.matmul(input.reshape(-1, weight.shape[1]), weight.T, out=rows)
        if bias is not None:
            rows += bias


def linear_backward(grad_input, grad_weight, grad_bias, grad_output, input, weight):
    """Fill the gradients; that of the bias may be None."""
    rows = grad_output.reshape(-1, len(weight))
    with np.errstate(all="ignore"):
        np.matmul(rows, weight, out=grad_input.reshape(-1, weight.shape[1]))
        np.matmul(rows.T, input.reshape(-1, weight.shape[1]), out=grad_weight)
        if grad_bias is not None:
            grad_bias[...] = rows.sum(0, dtype=np.float64)
