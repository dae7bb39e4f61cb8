"""Flatten."""

from .. import _options
from .._arrays import Array
from ..reshape import flatten, flatten_backward
from .module import Module


class Flatten(Module):
    """Make one dimension of several, all but the batch by default, as `fastops.flatten`.

    Parameters
    ----------
    start_dim, end_dim : int
        The first and the last of the dimensions to join.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> nn.Flatten()(np.ones((2, 3, 4, 4))).shape
    (2, 48)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = _options.integer("Flatten", "start_dim", start_dim)
        self.end_dim = _options.integer("Flatten", "end_dim", end_dim)

    def forward(self, input: Array) -> Array:
        out = flatten(input, self.start_dim, self.end_dim)
        self._saved = (input,)
        return out

    def backward(self, grad_output: Array) -> Array:
        (input,) = self._remembered()
        return flatten_backward(grad_output, input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
