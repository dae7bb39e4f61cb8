"""Conv2d and ConvTranspose2d."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .. import _options
from .._arrays import Array
from .._options import Padding, Pair, Sides
from ..conv import _conv2d, _conv_transpose2d, conv2d_backward, conv_transpose2d_backward
from . import sizes
from .init import float_dtype, generator, uniform
from .module import Module, Parameter
from .pad import pad, pad_backward

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What the two convolutions share: options, weights and how they look."""

    output_padding: tuple[int, int]
    activation: Any = None  # that `fuse` has it end with, as fastops.conv2d spells it
    _kept: tuple[Parameter, int, dict[Any, Array]] | None = None

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Pair, stride: Pair, padding: Padding | str,
        dilation: Pair, groups: int, bias: bool, padding_mode: str, dtype: Any, rng: Any, precision: str, device: Any,
        transposed: bool,
    ) -> None:  # fmt: skip
        op = type(self).__name__
        self.in_channels = _options.integer(op, "in_channels", in_channels, 1)
        self.out_channels = _options.integer(op, "out_channels", out_channels, 1)
        self.kernel_size = _options.pair(op, "kernel_size", kernel_size, 1)
        self.stride = _options.pair(op, "stride", stride, 1)
        self.padding: tuple[int, int] | Sides | str
        if transposed:
            self.padding = _options.pair(op, "padding", padding, 0)
        elif isinstance(padding, str):
            self.padding = _options.choice(op, "padding", padding, ("valid", "same"))
        else:
            (top, bottom), (left, right) = sides = _options.padding(op, padding)
            self.padding = (top, left) if (top, left) == (bottom, right) else sides
        self.dilation = _options.pair(op, "dilation", dilation, 1)
        self.groups = _options.integer(op, "groups", groups, 1)
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                raise ValueError(f"{op}: {name} expects a multiple of groups={self.groups}, got {channels}")
        self.padding_mode = _options.choice(op, "padding_mode", padding_mode, PADDING_MODES)
        self.precision = _options.choice(op, "precision", precision, ("exact", "fast"))
        first, second = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        shape = (first, second // self.groups, *self.kernel_size)
        fan_in = prod(shape[1:])
        biased, dtype, rng = _options.flag(op, "bias", bias), float_dtype(op, dtype), generator(op, rng)
        self.weight = Parameter(uniform(rng, shape, fan_in, dtype))
        self.bias = Parameter(uniform(rng, (out_channels,), fan_in, dtype)) if biased else None
        if device is not None:
            self.to(device=device)

    def _arrays(self) -> tuple[Array, Array | None]:
        return self.weight.peek(), None if self.bias is None else self.bias.peek()

    def _prepared(self) -> dict[Any, Array] | None:
        """Where evaluation keeps the weights as the algorithms want them, until somebody may have changed them."""
        if self.training or not self.weight.alone():
            self._kept = None
            return None
        kept, weight = self._kept, self.weight
        if kept is None or kept[0] is not weight or kept[1] != weight.version:
            self._kept = kept = weight, weight.version, {}
        return kept[2]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_kept"}

    def _refuse_gradient(self) -> None:
        if self.activation is not None:
            name = type(self).__name__
            raise RuntimeError(
                f"{name}: backward expects a layer of its own, got one that fuse has given an activation"
            )

    def _accumulate(self, grad_weight: Array, grad_bias: Array | None) -> None:
        self.weight.accumulate(grad_weight)
        if self.bias is not None:
            self.bias.accumulate(grad_bias)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, default in _SHOWN.items():
            value = getattr(self, name, default)
            if value != default:
                text += f", {name}={value}"
        if self.bias is None:
            text += ", bias=False"
        if self.activation is not None:
            text += f", activation={self.activation}"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


_SHOWN = {"padding": (0, 0), "dilation": (1, 1), "output_padding": (0, 0), "groups": 1}


class Conv2d(_Conv):
    """Two-dimensional convolution, as `fastops.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride : int or two ints
        Size and step of the window, in pixels, height first.
    padding : int, two ints, ((top, bottom), (left, right)), 'valid' or 'same'
        Rows and columns on each side, or on each of the four; 'same' also with a stride.
    dilation : int or two ints
        Step between the elements of the window, in pixels, height first.
    groups : int
        Output channels of a group see its input channels alone.
    bias : bool
        Whether there is a ``bias``.
    padding_mode : {'zeros', 'reflect', 'replicate', 'circular'}
        What the padding holds.
    dtype : float32 or float64
        Of weight and bias, and so of the inputs.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Where the weights come from.
    precision : {'exact', 'fast'}
        As `fastops.conv2d` has it.
    device : {'cpu', 'cuda', 'cuda:0', ...}, optional
        Where weight and bias are; see `Module.to`.

    Attributes
    ----------
    weight : Parameter
        (out_channels, in_channels / groups, kernel height, kernel width).
    bias : Parameter or None
        (out_channels,).

    Notes
    -----
    In evaluation the layer keeps its weights as the algorithm wants them (up to 36 / 9 of their size) from one call to
    the next, for as long as nobody else holds ``weight.data``: whoever does could change it unseen.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.Conv2d(3, 8, 5, padding="same", padding_mode="reflect", rng=0)
    >>> layer
    Conv2d(3, 8, kernel_size=(5, 5), stride=(1, 1), padding=same, padding_mode=reflect)
    >>> layer(np.ones((2, 3, 16, 16), np.float32)).shape
    (2, 8, 16, 16)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Pair, stride: Pair = 1, padding: Padding | str = 0,
        dilation: Pair = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", *,
        dtype: Any = np.float32, rng: Any = None, precision: str = "exact", device: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, dtype, rng,
            precision, device, transposed=False,
        )  # fmt: skip

    def forward(self, input: Array) -> Array:
        step = None
        if self.padding_mode != "zeros":
            input, step = pad(input, self.kernel_size, self.stride, self.padding, self.dilation, self.padding_mode)
        padding = self.padding if step is None else 0
        out = _conv2d(
            self._prepared(), input, *self._arrays(), self.stride, padding, self.dilation, self.groups, None,
            self.precision, activation=self.activation,
        )  # fmt: skip
        self._saved = input, step, padding
        return out

    def backward(self, grad_output: Array) -> Array:
        self._refuse_gradient()
        input, step, padding = self._remembered()
        grad_input, *grads = conv2d_backward(
            grad_output, input, *self._arrays(), self.stride, padding, self.dilation, self.groups,
            precision=self.precision,
        )  # fmt: skip
        self._accumulate(*grads)
        return grad_input if step is None else pad_backward(grad_input, step)


class ConvTranspose2d(_Conv):
    """Transposed two-dimensional convolution, as `fastops.conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride : int or two ints
        Size of the window and step between windows, in output pixels, height first.
    padding : int or two ints
        Rows and columns cut off on each side of the output.
    output_padding : int or two ints
        Rows and columns added at the bottom and right; less than stride or dilation.
    groups : int
        Output channels of a group see its input channels alone.
    bias : bool
        Whether there is a ``bias``.
    dilation : int or two ints
        Step between the elements of a window, in output pixels, height first.
    padding_mode : {'zeros'}
    dtype, rng, precision, device
        As `Conv2d` has them.

    Attributes
    ----------
    weight : Parameter
        (in_channels, out_channels / groups, kernel height, kernel width).
    bias : Parameter or None
        (out_channels,).

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.ConvTranspose2d(8, 3, 3, stride=2, padding=1, rng=0)
    >>> maps = np.ones((1, 8, 10, 10), np.float32)
    >>> layer(maps).shape, layer(maps, output_size=(20, 20)).shape
    ((1, 3, 19, 19), (1, 3, 20, 20))
    """

    padding: tuple[int, int]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Pair, stride: Pair = 1, padding: Pair = 0,
        output_padding: Pair = 0, groups: int = 1, bias: bool = True, dilation: Pair = 1, padding_mode: str = "zeros",
        *, dtype: Any = np.float32, rng: Any = None, precision: str = "exact", device: Any = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f"ConvTranspose2d: padding_mode expects 'zeros', got {_options.told(padding_mode)}")
        self.output_padding = _options.pair("ConvTranspose2d", "output_padding", output_padding, 0)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, dtype, rng,
            precision, device, transposed=True,
        )  # fmt: skip

    def forward(self, input: Array, output_size: Sequence[int] | None = None) -> Array:
        """The output; ``output_size`` (H, W) takes the place of output_padding, for one of the sizes that fit."""
        extra = self.output_padding
        if output_size is not None:
            extra = sizes.output_padding(
                "ConvTranspose2d", np.shape(input), output_size, self.kernel_size, self.stride, self.padding,
                self.dilation,
            )  # fmt: skip
        out = _conv_transpose2d(
            self._prepared(), input, *self._arrays(), self.stride, self.padding, extra, self.groups, self.dilation,
            None, self.precision, activation=self.activation,
        )  # fmt: skip
        self._saved = input, extra
        return out

    def backward(self, grad_output: Array) -> Array:
        self._refuse_gradient()
        input, extra = self._remembered()
        grad_input, *grads = conv_transpose2d_backward(
            grad_output, input, *self._arrays(), self.stride, self.padding, extra, self.groups, self.dilation,
            precision=self.precision,
        )  # fmt: skip
        self._accumulate(*grads)
        return grad_input
