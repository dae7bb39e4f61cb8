"""cross_entropy, softmax_cross_entropy_with_logits and their gradients: what is promised."""

from math import prod
from typing import Any, NamedTuple

from . import _arrays, _options, _shapes
from ._arrays import AnyArray, Array, ArrayT
from ._backend import Backend


def cross_entropy(
    input: AnyArray,
    target: AnyArray,
    weight: AnyArray | None = None,
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
    case = _cross_entropy_case(
        "cross_entropy", input, target, weight, ignore_index, reduction, label_smoothing
    )  # fmt: skip
    return _cross_entropy("cross_entropy", "target", case)


def softmax_cross_entropy_with_logits(logits: AnyArray, labels: AnyArray, reduction: str = "none") -> Array:
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
    return _cross_entropy(op, "labels", _with_logits_case(op, logits, labels, reduction))


def cross_entropy_backward(
    grad_output: AnyArray | float,
    input: ArrayT,
    target: AnyArray,
    weight: AnyArray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> ArrayT:
    """The gradient of cross_entropy with respect to the logits.

    Parameters
    ----------
    grad_output : number, or array of the losses' shape
        The gradient of the result: a number or 0-d array, with reduction='none' an array of the input's dtype.
    input, target, weight, ignore_index, reduction, label_smoothing
        As cross_entropy had them.

    Returns
    -------
    array of the input's shape and dtype
        softmax(input) * sum(q) - q, where q are the target probabilities times the class weights, scaled as the
        reduction does; 0 where ignored.

    Raises
    ------
    TypeError
        An argument is not an array of the right dtype.
    ValueError
        A label is neither a class nor ignore_index, or shapes or options do not fit together.

    Notes
    -----
    Softmax and loss are one pass: no probabilities are kept from the forward.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.cross_entropy_backward(1.0, np.zeros((1, 2)), np.array([0]))
    array([[-0.5,  0.5]])
    """
    op = "cross_entropy_backward"
    case = _cross_entropy_case(op, input, target, weight, ignore_index, reduction, label_smoothing)
    return _cross_entropy_backward(op, "target", grad_output, case)


def softmax_cross_entropy_with_logits_backward(
    grad_output: AnyArray | float, logits: ArrayT, labels: AnyArray, reduction: str = "none"
) -> ArrayT:
    """The gradient of softmax_cross_entropy_with_logits with respect to the logits.

    Parameters
    ----------
    grad_output : (N,) array, or number where the loss reduces
        The gradient of the result.
    logits, labels, reduction
        As softmax_cross_entropy_with_logits had them.

    Returns
    -------
    (N, C) array
        softmax(logits) * sum(labels) - labels, scaled as the reduction does.

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
    >>> fastops.softmax_cross_entropy_with_logits_backward(np.ones(1), np.zeros((1, 2)), np.array([0]))
    array([[-0.5,  0.5]])
    """
    op = "softmax_cross_entropy_with_logits_backward"
    return _cross_entropy_backward(op, "labels", grad_output, _with_logits_case(op, logits, labels, reduction))


class _CrossEntropy(NamedTuple):
    """The checked arguments of a cross-entropy."""

    on: Backend
    logits: Array
    target: Array  # class numbers (int64) or probabilities (the logits' dtype)
    numbers: bool
    weight: Array  # empty where all are 1
    view: _shapes.Channels
    places: tuple[int, ...]
    exempts: bool  # whether ``ignored`` is a label
    ignored: int
    reduction: str
    smoothing: float


def _cross_entropy_case(
    op: str, input: Array, target: Array, weight: Array | None, ignore_index: Any, reduction: Any, label_smoothing: Any
) -> _CrossEntropy:
    numbers = not _arrays.is_float(target)
    if not numbers:
        on, x, t, w = _arrays.enter(op, ("weight",), input=input, target=target, weight=weight)
    else:
        if weight is None:
            (on, x), w = _arrays.enter_one(op, "input", input), None
        else:
            on, x, w = _arrays.enter(op, input=input, weight=weight)
        t = _arrays.integers(op, "target", target, on, "input")
    smoothing = _options.number(op, "label_smoothing", label_smoothing)
    view, places, ignored = _shapes.cross_entropy(
        op, x.shape, t.shape, None if w is None else w.shape, numbers, ignore_index, reduction
    )
    if not 0 <= smoothing <= 1:
        raise ValueError(f"{op}: label_smoothing expects a number from 0 to 1, got {smoothing}")
    w = on.empty(0, x.dtype) if w is None else w
    return _CrossEntropy(on, x, t, numbers, w, view, places, True, ignored, reduction, smoothing)


def _with_logits_case(op: str, logits: Array, labels: Array, reduction: Any) -> _CrossEntropy:
    soft = _arrays.is_float(labels)
    if soft:
        on, x, t = _arrays.enter(op, logits=logits, labels=labels)
    else:
        on, x = _arrays.enter(op, logits=logits)
        t = _arrays.integers(op, "labels", labels, on, "logits")
        if len(t.shape) == 2:
            raise TypeError(f"{op}: labels expects dtype {x.dtype} where one-hot or soft, got {labels.dtype}")
    if len(x.shape) != 2:
        raise ValueError(f"{op}: logits expects shape (N, C), got {x.shape}")
    _options.choice(op, "reduction", reduction, _options.REDUCTIONS)
    _shapes.same(op, "labels", t.shape, x.shape if soft else x.shape[:1])
    view = _shapes.around(x.shape, 1)
    return _CrossEntropy(on, x, t, not soft, on.empty(0, x.dtype), view, x.shape[:1], False, -1, reduction, 0.0)


def _refuse_labels(op: str, name: str, case: _CrossEntropy) -> None:
    """Refuse labels that are neither a class nor the ignored one."""
    check, classes = case.on.check, case.view.size
    bad = check.first_outside(case.target, classes, case.ignored if case.exempts else None)
    if bad >= 0:
        raise ValueError(
            f"{op}: {name} expects class numbers from 0 to {classes - 1}, got {check.value_at(case.target, bad)}"
        )


def _cross_entropy(op: str, name: str, case: _CrossEntropy) -> Array:
    on, x, reduction = case.on, case.logits, case.reduction
    out = on.empty(case.places if reduction == "none" else 0, x.dtype)
    if case.numbers:
        total, divisor, bad = on.loss.cross_entropy(
            out, x, case.target, case.weight, case.view, case.exempts, case.ignored, case.smoothing
        )  # fmt: skip
        if bad:
            _refuse_labels(op, name, case)
    else:
        total, divisor = on.loss.cross_entropy_probabilities(
            out, x, case.target, case.weight, case.view, case.smoothing
        )  # fmt: skip
    if reduction == "none":
        return out
    return on.loss.scalar_loss(total, divisor if reduction == "mean" else 1.0, x.dtype)


def _cross_entropy_backward(op: str, name: str, grad_output: Array | float, case: _CrossEntropy) -> Array:
    on, x = case.on, case.logits
    if case.numbers and case.reduction != "mean":
        _refuse_labels(op, name, case)
    if case.reduction == "none":
        scales = _arrays.enter_like(op, "grad_output", grad_output, on, x)
        _shapes.same(op, "grad_output", scales.shape, case.places)
        scales = on.float64(scales)
    else:
        scale = _arrays.gradient_number(op, grad_output, on, x)
        if case.reduction == "mean" and case.numbers:
            weight, bad = on.loss_grad.label_weight(
                case.target, case.weight, case.view.size, case.exempts, case.ignored
            )  # fmt: skip
            if bad:
                _refuse_labels(op, name, case)
            scale = on.quotient(scale, weight)
        elif case.reduction == "mean":
            scale = on.quotient(scale, float(prod(case.places)))
        scales = on.full(1, scale, "float64")
    grad_input = on.empty(x.shape, x.dtype)
    if not grad_input.size:
        return grad_input
    if case.numbers:
        on.loss_grad.cross_entropy_backward(
            grad_input, scales, x, case.target, case.weight, case.view, case.ignored, case.smoothing
        )
    else:
        on.loss_grad.cross_entropy_probabilities_backward(
            grad_input, scales, x, case.target, case.weight, case.view, case.smoothing
        )
    return grad_input
