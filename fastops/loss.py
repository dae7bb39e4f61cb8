"""cross_entropy, softmax_cross_entropy_with_logits and mse_loss: what is promised."""

from typing import Any

from . import _arrays, _shapes
from ._arrays import Array

REDUCTIONS = ("none", "mean", "sum")


def cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """Cross-entropy between logits and class numbers or class probabilities.

    Parameters
    ----------
    input : (C,), (N, C) or (N, C, d1, ..., dk) array
        Logits; float32 or float64.
    target : (), (N,) or (N, d1, ..., dk) array of integers, or array of the input's shape and dtype
        Class numbers in [0, C), or class probabilities.
    weight : (C,) array, optional
        A factor for each class; may be negative.
    ignore_index : int
        A class number whose places count neither in the sum nor in the mean (class numbers only).
    reduction : {'mean', 'sum', 'none'}
        'mean' divides by the sum of the targets' weights; with probabilities by the number of places.
    label_smoothing : float
        The share of the uniform distribution mixed into the targets, from 0 to 1.

    Returns
    -------
    NumPy scalar of the input's dtype, or array of the shape of class numbers with reduction='none'

    Raises
    ------
    TypeError
        An argument is not an array of the right dtype.
    ValueError
        A label is neither a class nor ignore_index, or shapes or options do not fit together.

    Notes
    -----
    Sums run in float64.  With nothing left to average, 'mean' is NaN.  A 0-d target may also be a NumPy integer.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html; label smoothing: Szegedy et al.,
    arXiv 1512.00567.

    Examples
    --------
    >>> import numpy as np, fastops
    >>> logits = np.log(np.array([[0.25, 0.75], [0.5, 0.5]]))
    >>> round(float(fastops.cross_entropy(logits, np.array([1, 0]))), 6)
    0.490415
    """
    op = "cross_entropy"
    probabilities = _arrays.is_float(target)
    if probabilities:
        on, x, t, w = _arrays.enter(op, ("weight",), input=input, target=target, weight=weight)
    else:
        on, x, w = _arrays.enter(op, ("weight",), input=input, weight=weight)
        t = _arrays.integers(op, "target", target)
    view = _shapes.classes(op, x.shape)
    places = x.shape[:-1] if len(x.shape) == 1 else x.shape[:1] + x.shape[2:]
    if w is not None:
        _shapes.same(op, "weight", w.shape, (view.size,))
    ignored = _shapes.integer(op, "ignore_index", ignore_index, -(2**63), 2**63 - 1)
    _shapes.choice(op, "reduction", reduction, REDUCTIONS)
    smoothing = _shapes.number(op, "label_smoothing", label_smoothing)
    if not 0 <= smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing expects a number from 0 to 1, got {smoothing}")
    _shapes.same(op, "target", t.shape, x.shape if probabilities else places)
    if probabilities and ignored >= 0:
        raise ValueError(
            f"cross_entropy: ignore_index expects class numbers for target, got {ignored} and probabilities"
        )
    return _cross_entropy(op, on, x, t, w, view, places, ignored, reduction, smoothing)


def softmax_cross_entropy_with_logits(logits: Array, labels: Array, reduction: str = "none") -> Array:
    """Cross-entropy between logits and one-hot, soft or numbered labels.

    Parameters
    ----------
    logits : (N, C) array
        float32 or float64.
    labels : (N, C) array of the logits' dtype, or (N,) array of integers
        A distribution over the classes for each row, or the row's class number in [0, C).
    reduction : {'none', 'mean', 'sum'}
        'mean' divides by N.

    Returns
    -------
    (N,) array, or a NumPy scalar of the logits' dtype where it reduces

    Raises
    ------
    TypeError
        An argument is not an array of the right dtype.
    ValueError
        A label is not a class, or shapes or options do not fit together.

    References
    ----------
    https://www.mindspore.cn/docs/en/master/api_python/nn/mindspore.nn.SoftmaxCrossEntropyWithLogits.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> logits = np.log(np.array([[0.25, 0.75], [0.5, 0.5]]))
    >>> fastops.softmax_cross_entropy_with_logits(logits, np.eye(2)).round(6)
    array([1.386294, 0.693147])
    """
    op = "softmax_cross_entropy_with_logits"
    soft = _arrays.is_float(labels)
    if soft:
        on, x, t = _arrays.enter(op, logits=logits, labels=labels)
    else:
        on, x = _arrays.enter(op, logits=logits)
        t = _arrays.integers(op, "labels", labels)
        if len(t.shape) == 2:
            raise TypeError(f"{op}: labels expects dtype {x.dtype} where one-hot or soft, got {labels.dtype}")
    if len(x.shape) != 2:
        raise ValueError(f"{op}: logits expects shape (N, C), got {x.shape}")
    _shapes.choice(op, "reduction", reduction, REDUCTIONS)
    _shapes.same(op, "labels", t.shape, x.shape if soft else x.shape[:1])
    return _cross_entropy(op, on, x, t, None, _shapes.around(x.shape, 1), x.shape[:1], None, reduction, 0.0)


def mse_loss(input: Array, target: Array, reduction: str = "mean", weight: Array | None = None) -> Array:
    """Squared error.

    Parameters
    ----------
    input, target : arrays whose shapes broadcast
        float32 or float64, both the same.
    reduction : {'mean', 'sum', 'none'}
        'mean' divides by the number of elements, or by the sum of the weights.
    weight : array of the common shape, optional
        A factor for each squared error.

    Returns
    -------
    NumPy scalar of the input's dtype, or array of the common shape with reduction='none'

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes or options do not fit together.

    Notes
    -----
    Sums run in float64.  The mean of nothing is NaN.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.mse_loss(np.array([1.0, 2.0]), np.array([0.0, 4.0]), reduction="none")
    array([1., 4.])
    """
    op = "mse_loss"
    on, x, t, w = _arrays.enter(op, ("weight",), input=input, target=target, weight=weight)
    _shapes.choice(op, "reduction", reduction, REDUCTIONS)
    shape = _shapes.broadcast(op, x.shape, t.shape)
    if w is not None:
        _shapes.same(op, "weight", w.shape, shape)
    x, t = on.broadcast(x, shape), on.broadcast(t, shape)
    if reduction == "none":
        out = on.empty(shape, x.dtype)
        on.loss.mse_loss(out, x, t, w)
        return out
    total, divisor = on.loss.mse_loss_sums(x, t, w)
    return on.loss.scalar_loss(total, divisor if reduction == "mean" else 1.0, x.dtype)


def _cross_entropy(
    op: str, on: Any, x: Array, t: Array, w: Array | None, view: _shapes.Channels, places: tuple[int, ...],
    ignored: int | None, reduction: str, smoothing: float,
) -> Array:  # fmt: skip
    """Losses of labels that are numbers (int64), ``ignored`` or not, or distributions (x's dtype), reduced."""
    numbers = t.dtype != x.dtype
    if numbers:
        bad = on.loss.first_bad_label(t, view.size, ignored)
        if bad >= 0:
            name = "target" if op == "cross_entropy" else "labels"
            raise ValueError(f"{op}: {name} expects class numbers from 0 to {view.size - 1}, got {t.reshape(-1)[bad]}")
    w = on.ones(view.size, x.dtype) if w is None else w
    out = on.empty(places if reduction == "none" else (0,), x.dtype)
    if numbers:
        total, divisor = on.loss.cross_entropy(out, x, t, w, view, -1 if ignored is None else ignored, smoothing)
    else:
        total, divisor = on.loss.cross_entropy_probabilities(out, x, t, w, view, smoothing)
    if reduction == "none":
        return out
    return on.loss.scalar_loss(total, divisor if reduction == "mean" else 1.0, x.dtype)
