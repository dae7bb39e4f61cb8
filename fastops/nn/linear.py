"""Linear."""

from typing import Any

import numpy as np

from .. import _arrays, _options, _shapes
from .._arrays import Array
from .init import float_dtype, generator, uniform
from .module import Module, Parameter


class Linear(Module):
    """x @ weight.T + bias.

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
    The products are NumPy's (or CuPy's): they run in its BLAS, whose number of threads may change the last bits.

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

    def forward(self, input: Array) -> Array:
        _, *entered = _arrays.enter("Linear", input=input, weight=self.weight.peek())
        x, weight = map(_arrays.native, entered)
        if x.shape[-1:] != (self.in_features,):
            raise ValueError(f"Linear: input expects shape (..., {self.in_features}), got {x.shape}")
        with np.errstate(all="ignore"):  # infinities and NaN go through in silence, as they do everywhere else
            out = x @ weight.T
            if self.bias is not None:
                out += self.bias.peek()
        self._saved = (x,)
        return out

    def backward(self, grad_output: Array) -> Array:
        (x,) = self._remembered()
        _, *entered = _arrays.enter("Linear", weight=self.weight.peek(), grad_output=grad_output)
        weight, grad = map(_arrays.native, entered)
        _shapes.same("Linear", "grad_output", grad.shape, (*x.shape[:-1], self.out_features))
        rows = grad.reshape(-1, self.out_features)
        with np.errstate(all="ignore"):
            grad_input = grad @ weight
            self.weight.accumulate(rows.T @ x.reshape(-1, self.in_features))
            if self.bias is not None:
                self.bias.accumulate(rows.sum(0, dtype="float64").astype(grad.dtype))
        return grad_input

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
