"""Linear."""

from typing import Any

import numpy as np

from .. import _options
from .._arrays import Array
from ..linear import linear, linear_backward
from .init import float_dtype, generator, uniform
from .module import Module, Parameter


class Linear(Module):
    """x @ weight.T + bias, as `fastops.linear`.

    Parameters
    ----------
    in_features, out_features : int
        The last dimension of the input, and of the output.
    bias : bool
        Whether there is a ``bias``.
    dtype : float32 or float64
        Of weight and bias, and so of the inputs.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Where the weights come from.
    device : {'cpu', 'cuda', 'cuda:0', ...}, optional
        Where weight and bias are; see `Module.to`.

    Attributes
    ----------
    weight : Parameter
        (out_features, in_features).
    bias : Parameter or None
        (out_features,).

    Notes
    -----
    On the CPU fewer than 8 rows times more than 16384 weights are a product of NumPy's, and the number of its BLAS's
    threads may change the last bits.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> nn.Linear(4, 3, rng=0)(np.ones((2, 5, 4), np.float32)).shape
    (2, 5, 3)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, dtype: Any = np.float32, rng: Any = None,
        device: Any = None,
    ) -> None:  # fmt: skip
        self.in_features = _options.integer("Linear", "in_features", in_features, 1)
        self.out_features = _options.integer("Linear", "out_features", out_features, 1)
        biased, dtype = _options.flag("Linear", "bias", bias), float_dtype("Linear", dtype)
        rng = generator("Linear", rng)
        shape = self.out_features, self.in_features
        self.weight = Parameter(uniform(rng, shape, self.in_features, dtype))
        self.bias = Parameter(uniform(rng, shape[:1], self.in_features, dtype)) if biased else None
        if device is not None:
            self.to(device=device)

    def _arrays(self) -> tuple[Array, Array | None]:
        return self.weight.peek(), None if self.bias is None else self.bias.peek()

    def forward(self, input: Array) -> Array:
        out = linear(input, *self._arrays())
        self._saved = (input,)
        return out

    def backward(self, grad_output: Array) -> Array:
        (input,) = self._remembered()
        grad_input, grad_weight, grad_bias = linear_backward(grad_output, input, *self._arrays())
        self.weight.accumulate(grad_weight)
        if self.bias is not None:
            self.bias.accumulate(grad_bias)
        return grad_input

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
