"""The second oracle: the same operators by PyTorch, NumPy arrays in and out, in the dtype they came in."""

import functools
import warnings

import numpy as np
import oracle
import pytest
import torch
import torch.nn.functional as F


def tensor(value):
    """The tensor over the same memory (batch_norm writes its running statistics there); class numbers become int64."""
    if not isinstance(value, np.ndarray):
        return value
    return torch.from_numpy(value.astype(np.int64) if value.dtype.kind in "iu" else value)


def array(result):
    return tuple(map(array, result)) if isinstance(result, tuple) else result.numpy()


def by(function):
    """`function` of torch, as a function of NumPy arrays."""

    @functools.wraps(function)
    def call(*args, **options):
        with warnings.catch_warnings(action="ignore"):  # broadcasting in mse_loss, 'same' with an even kernel
            return array(function(*map(tensor, args), **{name: tensor(value) for name, value in options.items()}))

    return call


def refuses_uneven_padding(function):
    """`function` of torch, or skip: it has no ((top, bottom), (left, right))."""

    @functools.wraps(function)
    def call(*args, padding=0, **options):
        if oracle.uneven(padding):
            pytest.skip("torch has no uneven padding")
        return function(*args, padding=padding, **options)

    return call


max_pool2d = refuses_uneven_padding(by(F.max_pool2d))
avg_pool2d = refuses_uneven_padding(by(F.avg_pool2d))


@refuses_uneven_padding
def conv2d(input, weight, bias=None, stride=1, padding=0, **options):
    if padding == "same" and stride not in (1, (1, 1)):
        pytest.skip("torch has no 'same' with a stride")
    return by(F.conv2d)(input, weight, bias, stride, padding, **options)


flatten = by(torch.flatten)
clamp = by(torch.clamp)


def cross_entropy(input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    options = dict(ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing)
    return by(F.cross_entropy)(input, target, weight, **options)


def mse_loss(input, target, reduction="mean", weight=None):
    return by(F.mse_loss)(input, target, reduction=reduction, weight=weight)


def softmax_cross_entropy_with_logits(logits, labels, reduction="none"):
    return cross_entropy(logits, labels, reduction=reduction)


def __getattr__(name):
    """All others are the same in torch; roi_pool is not there."""
    return by(getattr(F, name))
