"""The activations, and Softmax."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from .. import _arrays, _options
from .._arrays import Array
from ..activation import (
    gelu,
    gelu_backward,
    hardsigmoid,
    hardsigmoid_backward,
    hardswish,
    hardswish_backward,
    silu,
    silu_backward,
)
from ..elementwise import relu, relu_backward, sigmoid, sigmoid_backward
from ..rectifier import (
    clamp,
    clamp_backward,
    leaky_relu,
    leaky_relu_backward,
    prelu,
    prelu_backward,
    relu6,
    relu6_backward,
)
from ..softmax import softmax, softmax_backward
from .init import float_dtype
from .module import Module, Parameter


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


class ReLU6(Module):
    """min(max(x, 0), 6), as `fastops.relu6`.

    Parameters
    ----------
    inplace : bool
        Taken for torch's sake: the input is never written to.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.ReLU6()
    >>> layer(np.array([-1.0, 2.0, 7.0])), layer.backward(np.ones(3))
    (array([0., 2., 6.]), array([0., 1., 0.]))
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = _options.flag("ReLU6", "inplace", inplace)

    def forward(self, input: Array) -> Array:
        out = relu6(input)
        self._saved = (out,)  # between 0 and 6 where the input is
        return out

    def backward(self, grad_output: Array) -> Array:
        (output,) = self._remembered()
        return relu6_backward(grad_output, output)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardtanh(Module):
    """min(max(x, min_val), max_val), as `fastops.clamp`.

    Parameters
    ----------
    min_val, max_val : float
        The bounds, the second above the first.
    inplace : bool
        Taken for torch's sake: the input is never written to.

    Notes
    -----
    At the bounds themselves the gradient is 0, as in torch, where clamp's is 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.Hardtanh()
    >>> layer(np.array([-2.0, 0.5, 1.0])), layer.backward(np.ones(3))
    (array([-1. ,  0.5,  1. ]), array([0., 1., 0.]))
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        self.min_val = _options.number("Hardtanh", "min_val", min_val)
        self.max_val = _options.number("Hardtanh", "max_val", max_val)
        if not self.max_val > self.min_val:
            raise ValueError(f"Hardtanh: max_val expects a number above min_val {self.min_val}, got {self.max_val}")
        self.inplace = _options.flag("Hardtanh", "inplace", inplace)

    def forward(self, input: Array) -> Array:
        out = clamp(input, self.min_val, self.max_val)
        self._saved = (out,)  # between the bounds where the input is
        return out

    def backward(self, grad_output: Array) -> Array:
        (output,) = self._remembered()
        number = _arrays.enter("Hardtanh", output=output)[1].dtype.type
        inside = (
            np.nextafter(number(self.min_val), number(np.inf)),
            np.nextafter(number(self.max_val), number(-np.inf)),
        )
        return clamp_backward(grad_output, output, *inside)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}{', inplace=True' if self.inplace else ''}"


class PReLU(Module):
    """x where it is above 0, else weight * x, as `fastops.prelu`.

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels.
    init : float
        The first value of the slopes.
    dtype : float32 or float64
        Of the weight, and so of the inputs.
    device : {'cpu', 'cuda', 'cuda:0', ...}, optional
        Where the weight is; see `Module.to`.

    Attributes
    ----------
    weight : Parameter
        (num_parameters,).

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.PReLU(dtype=np.float64)
    >>> layer(np.array([-2.0, 3.0])), layer.backward(np.ones(2)), layer.weight.grad
    (array([-0.5,  3. ]), array([0.25, 1.  ]), array([-2.]))
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, dtype: Any = np.float32, device: Any = None
    ) -> None:
        self.num_parameters = _options.integer("PReLU", "num_parameters", num_parameters, 1)
        self.init, dtype = _options.number("PReLU", "init", init), float_dtype("PReLU", dtype)
        self.weight = Parameter(np.full(self.num_parameters, self.init, dtype))
        if device is not None:
            self.to(device=device)

    def forward(self, input: Array) -> Array:
        out = prelu(input, self.weight.peek())
        self._saved = (input,)
        return out

    def backward(self, grad_output: Array) -> Array:
        (input,) = self._remembered()
        grad_input, grad_weight = prelu_backward(grad_output, input, self.weight.peek())
        self.weight.accumulate(grad_weight)
        return grad_input

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class _OfInput(Module):
    """A function of each element, whose gradient takes the input."""

    _functions: ClassVar[tuple[Callable[..., Any], Callable[..., Any]]]

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = _options.flag(type(self).__name__, "inplace", inplace)

    def _arguments(self) -> tuple[Any, ...]:
        return ()

    def forward(self, input: Array) -> Array:
        out = self._functions[0](input, *self._arguments())
        self._saved = (input,)
        return out

    def backward(self, grad_output: Array) -> Array:
        (input,) = self._remembered()
        return self._functions[1](grad_output, input, *self._arguments())


class LeakyReLU(_OfInput):
    """x where it is above 0, else negative_slope * x, as `fastops.leaky_relu`.

    Parameters
    ----------
    negative_slope : float
        The slope where x <= 0.
    inplace : bool
        Taken for torch's sake: the input is never written to.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.LeakyReLU(0.5)
    >>> layer(np.array([-1.0, 2.0])), layer.backward(np.ones(2))
    (array([-0.5,  2. ]), array([0.5, 1. ]))
    """

    _functions = leaky_relu, leaky_relu_backward

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = _options.number("LeakyReLU", "negative_slope", negative_slope)

    def _arguments(self) -> tuple[Any, ...]:
        return (self.negative_slope,)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}{', inplace=True' if self.inplace else ''}"


class SiLU(_OfInput):
    """x sigmoid(x), as `fastops.silu`.

    Parameters
    ----------
    inplace : bool
        Taken for torch's sake: the input is never written to.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.SiLU()
    >>> layer(np.array([0.0, 1.0])).round(4), layer.backward(np.ones(2)).round(4)
    (array([0.    , 0.7311]), array([0.5   , 0.9277]))
    """

    _functions = silu, silu_backward

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardsigmoid(_OfInput):
    """min(max(x + 3, 0), 6) / 6, as `fastops.hardsigmoid`.

    Parameters
    ----------
    inplace : bool
        Taken for torch's sake: the input is never written to.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.Hardsigmoid()
    >>> layer(np.array([-4.0, 1.5])), layer.backward(np.array([6.0, 6.0]))
    (array([0.  , 0.75]), array([0., 1.]))
    """

    _functions = hardsigmoid, hardsigmoid_backward


class Hardswish(_OfInput):
    """x min(max(x + 3, 0), 6) / 6, as `fastops.hardswish`.

    Parameters
    ----------
    inplace : bool
        Taken for torch's sake: the input is never written to.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.Hardswish()
    >>> layer(np.array([1.5, 4.0])), layer.backward(np.ones(2))
    (array([1.125, 4.   ]), array([1., 1.]))
    """

    _functions = hardswish, hardswish_backward


class GELU(_OfInput):
    """x Phi(x), Phi the standard normal distribution, as `fastops.gelu`.

    Parameters
    ----------
    approximate : {'none', 'tanh'}
        'tanh' takes an approximation by the hyperbolic tangent.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.GELU()
    >>> layer(np.array([-1.0, 1.0])).round(4), layer.backward(np.ones(2)).round(4)
    (array([-0.1587,  0.8413]), array([-0.0833,  1.0833]))
    """

    _functions = gelu, gelu_backward

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = _options.choice("GELU", "approximate", approximate, ("none", "tanh"))

    def _arguments(self) -> tuple[Any, ...]:
        return (self.approximate,)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


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
