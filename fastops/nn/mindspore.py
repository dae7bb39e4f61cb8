"""Four layers as MindSpore spells them, over those of fastops.nn.

They start in training mode, as fastops's do, and `train` and `eval` switch them; MindSpore's start in evaluation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _options
from .._options import Pair, Sides
from . import conv, norm
from .activation import ReLU
from .loss import SoftmaxCrossEntropyWithLogits

__all__ = ["BatchNorm2d", "Conv2d", "ReLU", "SoftmaxCrossEntropyWithLogits"]


class Conv2d(conv.Conv2d):
    """`fastops.nn.Conv2d` by the arguments of mindspore.nn.Conv2d.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride : int or two ints
        Size and step of the window, in pixels, height first.
    pad_mode : {'same', 'valid', 'pad'}
        'same' makes the output ceil(H / stride) high, an odd row or column of padding at the bottom and right; 'valid'
        pads nothing; 'pad' as ``padding`` says.
    padding : int, or four ints
        With 'pad', rows and columns of zeros: on each side, or (top, bottom, left, right).  0 with the other modes.
    dilation : int or two ints
        Step between the elements of the window, in pixels, height first.
    group : int
        Output channels of a group see its input channels alone.
    has_bias : bool
        Whether there is a ``bias``.
    dtype, rng, precision, device
        As `fastops.nn.Conv2d` has them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops.nn import mindspore
    >>> mindspore.Conv2d(3, 8, 3, stride=2)(np.ones((1, 3, 9, 9), np.float32)).shape
    (1, 8, 5, 5)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Pair, stride: Pair = 1, pad_mode: str = "same",
        padding: int | Sequence[int] = 0, dilation: Pair = 1, group: int = 1, has_bias: bool = False, *,
        dtype: Any = np.float32, rng: Any = None, precision: str = "exact", device: Any = None,
    ) -> None:  # fmt: skip
        pad_mode = _options.choice("Conv2d", "pad_mode", pad_mode, ("same", "valid", "pad"))
        pads = _sides(padding)
        if pad_mode != "pad" and pads != ((0, 0), (0, 0)):
            raise ValueError(f"Conv2d: padding expects 0 with pad_mode {pad_mode!r}, got {_options.told(padding)}")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, pads if pad_mode == "pad" else pad_mode, dilation, group,
            has_bias, dtype=dtype, rng=rng, precision=precision, device=device,
        )  # fmt: skip


def _sides(padding: Any) -> Sides:
    """((top, bottom), (left, right)) from an int or these four."""
    if not isinstance(padding, Sequence) or isinstance(padding, str):
        return _options.padding("Conv2d", padding)
    sides = [_options.integer("Conv2d", "padding", side, 0) for side in padding]
    if len(sides) != 4:
        expected = "an int or (top, bottom, left, right)"
        raise ValueError(f"Conv2d: padding expects {expected}, got {_options.told(padding)}")
    top, bottom, left, right = sides
    return (top, bottom), (left, right)


class BatchNorm2d(norm.BatchNorm2d):
    """`fastops.nn.BatchNorm2d` by the arguments of mindspore.nn.BatchNorm2d.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    eps : float
        Added to the variance.
    momentum : float
        The share that the running statistics keep: new = (1 - momentum) * observed + momentum * old, the other way
        round from torch's.
    affine : bool
        Whether there are ``gamma`` and ``beta``, a factor and a summand for each channel.
    use_batch_statistics : bool or None
        None: the batch's own statistics in training, the running ones in evaluation.  True: always the batch's own,
        which also move the running ones.  False: always the running ones, as they are.
    dtype, device
        As `fastops.nn.BatchNorm2d` has them.

    Notes
    -----
    The state has MindSpore's names: gamma, beta, moving_mean and moving_variance.

    Examples
    --------
    >>> from fastops.nn import mindspore
    >>> list(mindspore.BatchNorm2d(6).state_dict())
    ['gamma', 'beta', 'moving_mean', 'moving_variance']
    """

    _state_names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.9, affine: bool = True,
        use_batch_statistics: bool | None = None, *, dtype: Any = np.float32, device: Any = None,
    ) -> None:  # fmt: skip
        kept = _options.number("BatchNorm2d", "momentum", momentum)
        if not 0 <= kept <= 1:
            raise ValueError(f"BatchNorm2d: momentum expects a number from 0 to 1, got {kept}")
        super().__init__(num_features, eps, 1 - kept, affine, dtype=dtype, device=device)
        self.num_batches_tracked = None
        if use_batch_statistics is not None:
            use_batch_statistics = _options.flag("BatchNorm2d", "use_batch_statistics", use_batch_statistics)
        self.use_batch_statistics = use_batch_statistics

    def _statistics(self) -> tuple[bool, bool]:
        use = self.use_batch_statistics
        return super()._statistics() if use is None else (use, use)

    def extra_repr(self) -> str:
        assert self.momentum is not None
        return (
            f"{self.num_features}, eps={self.eps}, momentum={1 - self.momentum:g}, affine={self.affine}, "
            f"use_batch_statistics={self.use_batch_statistics}"
        )
