"""BatchNorm1d and BatchNorm2d."""

from typing import Any, ClassVar

import numpy as np

from .. import _options
from .._arrays import Array
from ..norm import batch_norm, batch_norm_backward
from .init import float_dtype
from .module import Module, Parameter


class _BatchNorm(Module):
    """Both batch norms; they differ in the inputs that they take."""

    _buffers = ("running_mean", "running_var", "num_batches_tracked")
    _inputs: ClassVar[dict[int, str]]  # number of dimensions: how the shape is spelled

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, *, bias: bool = True, dtype: Any = np.float32, device: Any = None,
    ) -> None:  # fmt: skip
        op = type(self).__name__
        self.num_features = features = _options.integer(op, "num_features", num_features, 1)
        self.eps = _options.number(op, "eps", eps)
        self.momentum = None if momentum is None else _options.number(op, "momentum", momentum)
        self.affine = _options.flag(op, "affine", affine)
        self.track_running_stats = track = _options.flag(op, "track_running_stats", track_running_stats)
        dtype = float_dtype(op, dtype)
        shifted = _options.flag(op, "bias", bias) and self.affine
        self.weight = Parameter(np.ones(features, dtype)) if self.affine else None
        self.bias = Parameter(np.zeros(features, dtype)) if shifted else None
        self.running_mean: Array | None = np.zeros(features, dtype) if track else None
        self.running_var: Array | None = np.ones(features, dtype) if track else None
        self.num_batches_tracked: Array | None = np.array(0, np.int64) if track else None
        if device is not None:
            self.to(device=device)

    def reset_running_stats(self) -> None:
        """Set the running statistics back to mean 0 and variance 1 of no batches."""
        for name, value in zip(self._buffers, (0, 1, 0), strict=True):
            if getattr(self, name) is not None:
                getattr(self, name)[...] = value

    def _statistics(self) -> tuple[bool, bool]:
        """Whether to normalise by the batch's own statistics, and whether to update the running ones."""
        return self.training or self.running_mean is None, self.training and self.track_running_stats

    def _arguments(self, of_batch: bool, update: bool) -> dict[str, Any]:
        """Arguments that batch_norm and batch_norm_backward share."""
        running = update or not of_batch
        return {
            "running_mean": self.running_mean if running else None,
            "running_var": self.running_var if running else None,
            "weight": None if self.weight is None else self.weight.peek(),
            "bias": None if self.bias is None else self.bias.peek(),
            "training": of_batch,
            "eps": self.eps,
        }

    def forward(self, input: Array) -> Array:
        shape = getattr(input, "shape", None)  # what is no array, batch_norm refuses
        if shape is not None and (len(shape) not in self._inputs or shape[1] != self.num_features):
            expected = " or ".join(self._inputs.values()).replace("C", str(self.num_features))
            raise ValueError(f"{type(self).__name__}: input expects shape {expected}, got {tuple(shape)}")
        of_batch, update = self._statistics()
        counter = self.num_batches_tracked if update else None
        share = self.momentum
        if share is None:  # the mean of all batches so far
            share = 0.0 if counter is None else 1 / (int(counter) + 1)
        out = batch_norm(input, **self._arguments(of_batch, update), momentum=share)
        if counter is not None:
            counter += 1
        self._saved = input, of_batch
        return out

    def backward(self, grad_output: Array) -> Array:
        input, of_batch = self._remembered()
        arguments = self._arguments(of_batch, update=False)
        grad_input, *grads = batch_norm_backward(grad_output, input, **arguments)
        for parameter, grad in zip((self.weight, self.bias), grads, strict=True):
            if parameter is not None:
                parameter.accumulate(grad)
        return grad_input

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L) arrays, as `fastops.batch_norm`.

    Parameters
    ----------
    num_features : int
        C, the number of channels.
    eps : float
        Added to the variance.
    momentum : float or None
        The share of the new batch in the running statistics; None makes them the mean of all batches.
    affine : bool
        Whether there are a factor ``weight`` and a summand ``bias`` for each channel.
    track_running_stats : bool
        False leaves running_mean and running_var None: every batch is normalised by its own statistics, in evaluation
        too.
    bias : bool
        False leaves out ``bias`` alone.
    dtype : float32 or float64
        Of parameters and running statistics, and so of the inputs.
    device : {'cpu', 'cuda', 'cuda:0', ...}, optional
        Where parameters and running statistics are; see `Module.to`.

    Attributes
    ----------
    weight, bias : Parameter or None
        (C,).
    running_mean, running_var : (C,) array or None
    num_batches_tracked : 0-d int64 array or None
        On the host, whatever the device.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> layer = nn.BatchNorm1d(2, momentum=0.5)
    >>> layer(np.array([[1, 10], [3, 30]], np.float32)).round(3)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> layer.running_mean, layer.running_var
    (array([ 1., 10.], dtype=float32), array([  1.5, 100.5], dtype=float32))
    """

    _inputs = {2: "(N, C)", 3: "(N, C, L)"}


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W) arrays, as `fastops.batch_norm`.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, bias, dtype, device
        As `BatchNorm1d` has them.

    Examples
    --------
    >>> from fastops import nn
    >>> nn.BatchNorm2d(6)
    BatchNorm2d(6, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    _inputs = {4: "(N, C, H, W)"}
