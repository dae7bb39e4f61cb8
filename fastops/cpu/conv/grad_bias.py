"""The gradient of a convolution's bias: the sum of each channel."""

from numba import prange

from ..._jit import kernel
from ..sums import total


@kernel
def _grad_bias(grad, x, images, plane):
    # An iteration owns a channel.
    channels = grad.size
    for c in prange(channels):
        s = 0.0
        for n in range(images):
            start = (n * channels + c) * plane
            s += total(x[start : start + plane])
        grad[c] = s


def grad_bias(out, grad_output, batch):
    """The sum over images and pixels."""
    _grad_bias(grad_output.size)(out, grad_output.reshape(-1), batch, grad_output.size // max(1, batch * out.size))
