"""MaxPool2d, AvgPool2d, AdaptiveAvgPool2d and RoIPool."""

from collections.abc import Sequence

from .._arrays import Array
from .._options import Padding, Pair
from ..pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from ..resize import adaptive_avg_pool2d, adaptive_avg_pool2d_backward
from ..roi_pool import roi_pool, roi_pool_backward
from .module import Module


class MaxPool2d(Module):
    """The maximum of each window, as `fastops.max_pool2d`.

    Parameters
    ----------
    kernel_size : int or two ints
        Height and width of the window, in pixels.
    stride : int or two ints, optional
        Step of the window, in pixels; kernel_size where None.
    padding : int, two ints or ((top, bottom), (left, right))
        Rows and columns of -inf on each side, or on each of the four; at most half of kernel_size.
    dilation : int or two ints
        Step between the elements of a window, in pixels.
    return_indices : bool
        Let the layer return (maxima, indices); its ``backward`` still takes the gradient of the maxima.
    ceil_mode : bool
        Let the last window reach beyond the padded input, if it starts above the bottom padding.

    Examples
    --------
    >>> from fastops import nn
    >>> nn.MaxPool2d(2)
    MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """

    def __init__(
        self, kernel_size: Pair, stride: Pair | None = None, padding: Padding = 0, dilation: Pair = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def _options(self) -> tuple[Pair, Pair, Padding, Pair, bool]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode

    def forward(self, input: Array) -> Array | tuple[Array, Array]:
        if not (self.training or self.return_indices):  # most likely no backward will ask for indices
            out, indices = max_pool2d(input, *self._options()), None
        else:
            out, indices = max_pool2d(input, *self._options(), return_indices=True)
        self._saved = input, indices
        return (out, indices) if self.return_indices else out

    def backward(self, grad_output: Array) -> Array:
        input, indices = self._remembered()
        if indices is None:
            _, indices = max_pool2d(input, *self._options(), return_indices=True)
        return max_pool2d_backward(grad_output, input, indices, *self._options())

    def extra_repr(self) -> str:
        names = "kernel_size", "stride", "padding", "dilation", "ceil_mode"
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class AvgPool2d(Module):
    """The mean of each window, as `fastops.avg_pool2d`.

    Parameters
    ----------
    kernel_size : int or two ints
        Height and width of the window, in pixels.
    stride : int or two ints, optional
        Step of the window, in pixels; kernel_size where None.
    padding : int, two ints or ((top, bottom), (left, right))
        Rows and columns of zeros on each side, or on each of the four; at most half of kernel_size.
    ceil_mode : bool
        Let the last window reach beyond the padded input, if it starts above the bottom padding.
    count_include_pad : bool
        Whether the padding counts among the elements of a window.
    divisor_override : int, optional
        What to divide the sums by instead; not 0.

    Examples
    --------
    >>> from fastops import nn
    >>> nn.AvgPool2d(2)
    AvgPool2d(kernel_size=2, stride=2, padding=0)
    """

    def __init__(
        self, kernel_size: Pair, stride: Pair | None = None, padding: Padding = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def _options(self) -> tuple[Pair, Pair, Padding, bool, bool, int | None]:
        return (
            self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override
        )  # fmt: skip

    def forward(self, input: Array) -> Array:
        out = avg_pool2d(input, *self._options())
        self._saved = (input,)
        return out

    def backward(self, grad_output: Array) -> Array:
        (input,) = self._remembered()
        return avg_pool2d_backward(grad_output, input, *self._options())

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """The means of a grid of windows that share an image among them, as `fastops.adaptive_avg_pool2d`.

    Parameters
    ----------
    output_size : int or two ints
        Height and width of the grid; None in the place of one keeps the input's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> nn.AdaptiveAvgPool2d((1, None))(np.ones((2, 3, 4, 5))).shape
    (2, 3, 1, 5)
    """

    def __init__(self, output_size: int | Sequence[int | None]) -> None:
        self.output_size = output_size

    def forward(self, input: Array) -> Array:
        out = adaptive_avg_pool2d(input, self.output_size)
        self._saved = (input,)
        return out

    def backward(self, grad_output: Array) -> Array:
        (input,) = self._remembered()
        return adaptive_avg_pool2d_backward(grad_output, input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class RoIPool(Module):
    """The maxima of a grid of bins in each box, as `fastops.roi_pool`.

    Parameters
    ----------
    output_size : int or two ints
        Bins along height and width.
    spatial_scale : float
        Map pixels per pixel of the image that the boxes are counted in.

    Examples
    --------
    >>> from fastops import nn
    >>> nn.RoIPool(7, 1 / 16)
    RoIPool(output_size=7, spatial_scale=0.0625)
    """

    def __init__(self, output_size: Pair, spatial_scale: float = 1.0) -> None:
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input: Array, rois: Array | Sequence[Array]) -> Array:
        out = roi_pool(input, rois, self.output_size, self.spatial_scale)
        self._saved = input, rois
        return out

    def backward(self, grad_output: Array) -> Array:
        """The gradient of the input; boxes have none."""
        input, rois = self._remembered()
        return roi_pool_backward(grad_output, input, rois, self.output_size, self.spatial_scale)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, spatial_scale={self.spatial_scale}"
