"""Upsample."""

from collections.abc import Sequence

from .. import _options
from .._arrays import Array
from .._options import Factors, Pair
from ..resize import interpolate, interpolate_backward
from .module import Module


class Upsample(Module):
    """Images in another size, as `fastops.interpolate`.

    Parameters
    ----------
    size : int or two ints, optional
        Height and width of the output, in pixels; this or ``scale_factor``.
    scale_factor : number or two numbers, optional
        What height and width are multiplied by.
    mode : {'nearest', 'bilinear'}
        'nearest' copies pixels, 'bilinear' mixes the four around a place.
    align_corners : bool, optional
        With 'bilinear': whether the centres of the corner pixels lie on each other.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> nn.Upsample(scale_factor=2)(np.ones((1, 3, 4, 5))).shape
    (1, 3, 8, 10)
    """

    def __init__(
        self, size: Pair | None = None, scale_factor: Factors | None = None, mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:  # fmt: skip
        self.size, self.mode, self.align_corners = size, mode, align_corners
        self.scale_factor: Factors | None = None
        if scale_factor is not None:  # floats, as torch keeps them
            both = _options.factors("Upsample", "scale_factor", scale_factor)
            self.scale_factor = both if isinstance(scale_factor, Sequence) else both[0]

    def _options(self) -> tuple[Pair | None, Factors | None, str, bool | None]:
        return self.size, self.scale_factor, self.mode, self.align_corners

    def forward(self, input: Array) -> Array:
        out = interpolate(input, *self._options())
        self._saved = (input,)
        return out

    def backward(self, grad_output: Array) -> Array:
        (input,) = self._remembered()
        return interpolate_backward(grad_output, input, *self._options())

    def extra_repr(self) -> str:
        size = f"size={self.size}" if self.scale_factor is None else f"scale_factor={self.scale_factor}"
        return f"{size}, mode={self.mode!r}"
