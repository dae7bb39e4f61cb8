"""The padding of Conv2d that is not of zeros: one step before the convolution, and its gradient."""

from .. import _arrays
from .._arrays import Array
from .._options import Sides
from .sizes import Padding, padding_indices


def pad(
    input: Array, kernel_size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int] | Sides | str,
    dilation: tuple[int, int], mode: str,
) -> tuple[Array, Padding]:  # fmt: skip
    """The input with a margin of its own rows and columns, and where each of them came from."""
    x = _arrays.native(_arrays.enter("Conv2d", input=input)[1])
    step = padding_indices("Conv2d", x.shape, kernel_size, stride, padding, dilation, mode)
    return x.take(step.rows, axis=-2).take(step.columns, axis=-1), step


def pad_backward(grad_output: Array, step: Padding) -> Array:
    """The gradient of the input: the margin's, row by row and column by column, added where it came from."""
    height, width = step.size
    inner = slice(step.top, step.top + height)
    grad = grad_output[..., inner, :].copy()
    for y, source in enumerate(step.rows):
        if not inner.start <= y < inner.stop:
            grad[..., source, :] += grad_output[..., y, :]
    inner = slice(step.left, step.left + width)
    grad_input = grad[..., inner].copy()
    for x, source in enumerate(step.columns):
        if not inner.start <= x < inner.stop:
            grad_input[..., source] += grad[..., x]
    return grad_input
