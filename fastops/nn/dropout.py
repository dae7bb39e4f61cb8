"""Dropout."""

from typing import Any

from .. import _arrays, _options, _shapes
from .._arrays import Array
from ..elementwise import dropout, dropout_backward
from .init import generator
from .module import Module


class Dropout(Module):
    """Zero each element with probability p while training, as `fastops.dropout`.

    Parameters
    ----------
    p : float
        The probability to drop an element, from 0 to 1.
    inplace : bool
        Taken for torch's sake: the input is never written to.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Where the masks come from; each call draws a new one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.Dropout(rng=1)
    >>> bool((layer(np.ones(100)) == layer.backward(np.ones(100))).all())
    True
    """

    def __init__(self, p: float = 0.5, inplace: bool = False, *, rng: Any = None) -> None:
        self.p = _options.number("Dropout", "p", p)
        if not 0 <= self.p <= 1:
            raise ValueError(f"Dropout: p expects a probability from 0 to 1, got {self.p}")
        self.inplace = _options.flag("Dropout", "inplace", inplace)
        self.rng = generator("Dropout", rng)

    def forward(self, input: Array) -> Array:
        seed = int(self.rng.integers(2**63)) if self.training else 0
        out = dropout(input, self.p, self.training, rng=seed)
        self._saved = out, self.p, self.training, seed
        return out

    def backward(self, grad_output: Array) -> Array:
        output, p, training, seed = self._remembered()
        _, grad = _arrays.enter("Dropout", grad_output=grad_output)
        _arrays.same_dtype("Dropout", "grad_output", grad, output)
        _shapes.same("Dropout", "grad_output", grad.shape, output.shape)
        return dropout_backward(_arrays.native(grad), p, training, rng=seed)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
