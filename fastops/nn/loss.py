"""CrossEntropyLoss, SoftmaxCrossEntropyWithLogits and MSELoss."""

from .. import _arrays, _options
from .._arrays import Array
from ..loss import (
    cross_entropy,
    cross_entropy_backward,
    softmax_cross_entropy_with_logits,
    softmax_cross_entropy_with_logits_backward,
)
from ..mse_loss import mse_loss, mse_loss_backward
from .module import Module


class _Loss(Module):
    reduction: str

    def _grad(self, grad_output: Array | float | None) -> Array | float:
        """``grad_output``, or the 1 that a gradient starts with."""
        if grad_output is not None:
            return grad_output
        if self.reduction == "none":
            raise TypeError(f"{type(self).__name__}: grad_output expects an array with reduction='none', got None")
        return 1.0


class CrossEntropyLoss(_Loss):
    """Cross-entropy between logits and class numbers or probabilities, as `fastops.cross_entropy`.

    Parameters
    ----------
    weight : (C,) array, optional
        A factor for each class.
    ignore_index : int
        A class number whose places do not count.
    reduction : {'mean', 'sum', 'none'}
        'mean' divides by the sum of the targets' weights; with probabilities by the number of places.
    label_smoothing : float
        The share of the uniform distribution mixed into the targets, from 0 to 1.

    Notes
    -----
    ``backward()`` gives the gradient of the logits; with reduction='none' it needs the gradient of each loss.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> criterion = nn.CrossEntropyLoss()
    >>> round(float(criterion(np.zeros((1, 4)), np.array([2]))), 6)
    1.386294
    >>> criterion.backward()
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """

    _buffers = ("weight",)

    def __init__(
        self, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        op = "CrossEntropyLoss"
        self.weight = weight if weight is None else _arrays.native(_arrays.enter(op, weight=weight)[1])
        self.ignore_index = _options.integer(op, "ignore_index", ignore_index, -(2**63), 2**63 - 1)
        self.reduction = _options.choice(op, "reduction", reduction, _options.REDUCTIONS)
        self.label_smoothing = _options.number(op, "label_smoothing", label_smoothing)

    def forward(self, input: Array, target: Array) -> Array:
        value = cross_entropy(input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing)
        self._saved = input, target
        return value

    def backward(self, grad_output: Array | float | None = None) -> Array:
        input, target = self._remembered()
        return cross_entropy_backward(
            self._grad(grad_output), input, target, self.weight, self.ignore_index, self.reduction,
            self.label_smoothing,
        )  # fmt: skip


class SoftmaxCrossEntropyWithLogits(_Loss):
    """Cross-entropy between logits and labels, as `fastops.softmax_cross_entropy_with_logits`.

    Parameters
    ----------
    sparse : bool
        Whether labels are class numbers, and not one-hot or soft.
    reduction : {'none', 'mean', 'sum'}
        'mean' divides by the number of rows.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> criterion = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    >>> round(float(criterion(np.zeros((1, 4)), np.array([2]))), 6)
    1.386294
    >>> criterion.backward()
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """

    def __init__(self, sparse: bool = False, reduction: str = "none") -> None:
        op = "SoftmaxCrossEntropyWithLogits"
        self.sparse = _options.flag(op, "sparse", sparse)
        self.reduction = _options.choice(op, "reduction", reduction, _options.REDUCTIONS)

    def forward(self, logits: Array, labels: Array) -> Array:
        if hasattr(labels, "dtype") and _arrays.is_float(labels) == self.sparse:
            expected = "class numbers (int64) with sparse=True" if self.sparse else "floats with sparse=False"
            raise TypeError(f"SoftmaxCrossEntropyWithLogits: labels expects {expected}, got dtype {labels.dtype}")
        value = softmax_cross_entropy_with_logits(logits, labels, self.reduction)
        self._saved = logits, labels
        return value

    def backward(self, grad_output: Array | float | None = None) -> Array:
        """The gradient of the logits; with reduction='none' from the gradient of each loss."""
        logits, labels = self._remembered()
        grad = self._grad(grad_output)
        return softmax_cross_entropy_with_logits_backward(grad, logits, labels, self.reduction)


class MSELoss(_Loss):
    """Squared error, as `fastops.mse_loss`.

    Parameters
    ----------
    reduction : {'mean', 'sum', 'none'}
        'mean' divides by the number of elements.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> criterion = nn.MSELoss()
    >>> float(criterion(np.array([1.0, 2.0]), np.array([0.0, 4.0])))
    2.5
    >>> criterion.backward()
    array([ 1., -2.])
    """

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = _options.choice("MSELoss", "reduction", reduction, _options.REDUCTIONS)

    def forward(self, input: Array, target: Array) -> Array:
        value = mse_loss(input, target, self.reduction)
        self._saved = input, target
        return value

    def backward(self, grad_output: Array | float | None = None) -> Array:
        """The gradient of the input; with reduction='none' from the gradient of each error."""
        input, target = self._remembered()
        return mse_loss_backward(self._grad(grad_output), input, target, self.reduction)[0]
