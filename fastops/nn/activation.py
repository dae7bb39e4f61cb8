"""ReLU, Sigmoid and Softmax."""

from .. import _options
from .._arrays import Array
from ..elementwise import relu, relu_backward, sigmoid, sigmoid_backward
from ..softmax import softmax, softmax_backward
from .module import Module


class ReLU(Module):
    """max(x, 0), as `fastops.relu`.

    Parameters
    ----------
    inplace : bool
        Taken for torch's sake: the input is never written to.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.ReLU()
    >>> layer(np.array([-1.0, 2.0])), layer.backward(np.array([3.0, 4.0]))
    (array([0., 2.]), array([0., 4.]))
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = _options.flag("ReLU", "inplace", inplace)

    def forward(self, input: Array) -> Array:
        out = relu(input)
        self._saved = (out,)  # greater than 0 where the input is, and the next layer keeps it anyway
        return out

    def backward(self, grad_output: Array) -> Array:
        (output,) = self._remembered()
        return relu_backward(grad_output, output)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Sigmoid(Module):
    """1 / (1 + exp(-x)), as `fastops.sigmoid`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.Sigmoid()
    >>> layer(np.zeros(1)), layer.backward(np.ones(1))
    (array([0.5]), array([0.25]))
    """

    def forward(self, input: Array) -> Array:
        out = sigmoid(input)
        self._saved = (out,)
        return out

    def backward(self, grad_output: Array) -> Array:
        (output,) = self._remembered()
        return sigmoid_backward(grad_output, output)


class Softmax(Module):
    """exp(x) over its sum along one dimension, as `fastops.softmax`.

    Parameters
    ----------
    dim : int
        The dimension that sums to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> nn.Softmax(dim=1)(np.zeros((1, 4)))
    array([[0.25, 0.25, 0.25, 0.25]])
    """

    def __init__(self, dim: int) -> None:
        self.dim = _options.integer("Softmax", "dim", dim)

    def forward(self, input: Array) -> Array:
        out = softmax(input, self.dim)
        self._saved = (out,)
        return out

    def backward(self, grad_output: Array) -> Array:
        (output,) = self._remembered()
        return softmax_backward(grad_output, output, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
