"""The cases of `fastops compare`: every operator, with the arguments that networks use.

A case's call is written once: fastops takes the names and arguments of torch.nn.functional, so one lambda runs both,
and tells the arguments of the backward function, too. Cases of the batch alone come from the table of operators.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .operators import OPERATORS

Array = NDArray[Any]
Inputs = Callable[[Array], tuple[Array, ...]]


@dataclass(frozen=True)
class Case:
    """One operator with one choice of arguments."""

    operator: str
    label: str
    inputs: Inputs  # from a batch (N, C, H, W) to the arrays of the call
    call: Callable[..., Any]  # call(fastops, *arrays): an array or a tuple of arrays
    torch: Callable[..., Any] | None = None  # torch(torch.nn.functional, *tensors), where it differs from `call`
    expected: Callable[..., Array] | None = None  # expected(result, *arrays), where torch's numbers are no yardstick
    gradient: Callable[..., Array] | None = None  # gradient(grad_output, result, *arrays), as `expected`
    has_gradient: bool = True  # False: another case has the same one

    def __str__(self) -> str:
        return f"{self.operator} {self.label}".strip()


def alone(x: Array) -> tuple[Array, ...]:
    return (x,)


def filters(
    out_channels: int,
    size: int | tuple[int, int],
    transposed: bool = False,
    groups: int = 1,
    depthwise: bool = False,
) -> Inputs:
    """The batch, random filters that keep its variance, and a bias; depthwise: a group and a filter per channel."""

    def inputs(x: Array) -> tuple[Array, ...]:
        rng = np.random.default_rng(1)
        channels = x.shape[1]
        g, out = (channels, channels) if depthwise else (groups, out_channels)
        height, width = (size, size) if isinstance(size, int) else size
        pair = (channels, out // g) if transposed else (out, channels // g)
        bias = rng.normal(size=out)
        weight = rng.normal(size=(*pair, height, width)) / np.sqrt(height * width * (channels // g))
        return x, weight.astype(x.dtype), bias.astype(x.dtype)

    return inputs


def matrix(features: int) -> Inputs:
    """The pixels' channels as rows, a matrix that keeps their variance, and a bias."""

    def inputs(x: Array) -> tuple[Array, ...]:
        rng = np.random.default_rng(4)
        rows = np.ascontiguousarray(np.moveaxis(x, 1, -1)).reshape(-1, x.shape[1]) if x.ndim == 4 else x
        weight = rng.normal(size=(features, rows.shape[1])) / np.sqrt(rows.shape[1])
        return rows, weight.astype(x.dtype), rng.normal(size=features).astype(x.dtype)

    return inputs


def boxes(count: int) -> Inputs:
    """The batch and boxes (image number, x1, y1, x2, y2) anywhere on it."""

    def inputs(x: Array) -> tuple[Array, ...]:
        rng = np.random.default_rng(2)
        n, _, h, w = x.shape
        number = rng.integers(0, n, (count, 1))
        xs, ys = np.sort(rng.uniform(0, w - 1, (count, 2))), np.sort(rng.uniform(0, h - 1, (count, 2)))
        return x, np.concatenate([number, xs[:, :1], ys[:, :1], xs[:, 1:], ys[:, 1:]], axis=1).astype(x.dtype)

    return inputs


def statistics(x: Array) -> tuple[Array, ...]:
    """The batch and batch_norm's running mean, running variance, weight and bias."""
    rng = np.random.default_rng(3)
    return x, *rng.uniform(0.5, 1.5, (4, x.shape[1])).astype(x.dtype)


def slopes(x: Array) -> tuple[Array, ...]:
    """The batch, and prelu's slope for each channel."""
    rng = np.random.default_rng(4)
    return x, rng.uniform(0.1, 0.4, (x.shape[1],)).astype(x.dtype)


def neighbours(x: Array) -> tuple[Array, ...]:
    """The batch, and the batch moved by one pixel: what mse_loss compares."""
    return x, np.roll(x, 1, axis=-1)


def strongest_channel(x: Array) -> tuple[Array, ...]:
    """The channels as logits; the class of a pixel is the strongest channel of its left neighbour."""
    return x, np.roll(x, 1, axis=-1).argmax(axis=1)


def probabilities(x: Array) -> tuple[Array, ...]:
    """The channels as logits, and class probabilities: the softmax of each pixel's left neighbour."""
    e = np.exp(np.roll(x, 1, axis=-1))
    return x, e / e.sum(axis=1, keepdims=True)


def one_row_per_pixel(inputs: Inputs) -> Inputs:
    """`inputs` of (N, C, H, W) as (N·H·W, C): logits and labels for softmax_cross_entropy_with_logits."""

    def rows(x: Array) -> tuple[Array, ...]:
        logits, labels = inputs(x)
        logits, labels = (
            np.moveaxis(a, 1, -1).reshape(-1, x.shape[1]) if a.ndim == 4 else a.reshape(-1) for a in (logits, labels)
        )
        return np.ascontiguousarray(logits), np.ascontiguousarray(labels)

    return rows


def roi_bins(x: Array, rois: Array) -> Iterator[tuple[int, int, int, int, slice, slice]]:
    """(box, bin's row, bin's column, image, rows, columns) of the bins of a 7x7 roi_pool that are not empty."""
    for k, (image, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (int(float(c) + 0.5) for c in corners)  # never negative here
        bins = np.arange(8, dtype=x.dtype)
        columns, rows = bins * x.dtype.type(max(x2 - x1 + 1, 1) / 7), bins * x.dtype.type(max(y2 - y1 + 1, 1) / 7)
        for i in range(7):
            for j in range(7):
                top, bottom = y1 + int(np.floor(rows[i])), y1 + int(np.ceil(rows[i + 1]))
                left, right = x1 + int(np.floor(columns[j])), x1 + int(np.ceil(columns[j + 1]))
                bottom, right = min(bottom, x.shape[2]), min(right, x.shape[3])
                if top < bottom and left < right:
                    yield k, i, j, int(image), slice(top, bottom), slice(left, right)


def roi_maxima(result: Array, x: Array, rois: Array) -> Array:
    """roi_pool to 7x7 by definition: corners rounded, ends inclusive, the maximum of every bin, 0 where it is empty."""
    out = np.zeros((len(rois), x.shape[1], 7, 7), x.dtype)
    for k, i, j, image, rows, columns in roi_bins(x, rois):
        out[k, :, i, j] = x[image, :, rows, columns].max(axis=(1, 2))
    return out


def roi_gradient(grad_output: Array, result: Array, x: Array, rois: Array) -> Array:
    """roi_pool's gradient by definition: each element of grad_output goes to its bin's maximum, the first of equals."""
    gradient, channels = np.zeros(x.shape), np.arange(x.shape[1])
    for k, i, j, image, rows, columns in roi_bins(x, rois):
        window = x[image, :, rows, columns].reshape(x.shape[1], -1)
        down, right = np.divmod(window.argmax(axis=1), columns.stop - columns.start)
        gradient[image, channels, rows.start + down, columns.start + right] += grad_output[k, :, i, j]
    return gradient.astype(x.dtype)


def survivors_doubled(result: Array, x: Array) -> Array:
    """dropout with p = 0.5 (no pixel is 0): what is left, about half, stands doubled; otherwise all of it should."""
    left = np.count_nonzero(result)
    plausible = abs(left - x.size / 2) < 6 * np.sqrt(x.size / 4)  # six standard deviations of the binomial law
    return np.where(result == 0, 0, 2 * x) if plausible else 2 * x


def same_mask(grad_output: Array, result: Array, x: Array) -> Array:
    """dropout's gradient for p = 0.5: doubled where the result survived (no pixel is 0), 0 elsewhere."""
    return np.where(result == 0, 0, 2 * grad_output)


BATCH_ALONE = [
    Case(operator.name, label, alone, call) for operator in OPERATORS.values() for label, call in operator.timed.items()
]
OTHERS = [
    Case("conv2d", "1x1", filters(64, 1), lambda ops, x, w, b: ops.conv2d(x, w, b)),
    Case("conv2d", "3x3", filters(64, 3), lambda ops, x, w, b: ops.conv2d(x, w, b, padding=1)),
    Case("conv2d", "3x3 stride 2", filters(64, 3), lambda ops, x, w, b: ops.conv2d(x, w, b, stride=2, padding=1)),
    Case(
        "conv2d", "3x3 dilation 2", filters(64, 3), lambda ops, x, w, b: ops.conv2d(x, w, b, padding="same", dilation=2)
    ),
    Case("conv2d", "7x7 stride 2", filters(64, 7), lambda ops, x, w, b: ops.conv2d(x, w, b, stride=2, padding=3)),
    Case(
        "conv2d",
        "3x3 depthwise",
        filters(0, 3, depthwise=True),
        lambda ops, x, w, b: ops.conv2d(x, w, b, padding=1, groups=len(b)),
    ),
    Case(
        "conv_transpose2d",
        "2x2 stride 2",
        filters(16, 2, transposed=True),
        lambda ops, x, w, b: ops.conv_transpose2d(x, w, b, stride=2),
    ),
    Case(
        "conv_transpose2d",
        "4x4 stride 2",
        filters(16, 4, transposed=True),
        lambda ops, x, w, b: ops.conv_transpose2d(x, w, b, stride=2, padding=1),
    ),
    Case(
        "max_pool2d",
        "2x2 indices",
        alone,
        lambda ops, x: ops.max_pool2d(x, 2, return_indices=True),
        has_gradient=False,
    ),
    Case("linear", "to 64", matrix(64), lambda ops, x, w, b: ops.linear(x, w, b)),
    Case(
        "roi_pool",
        "7x7",
        boxes(128),
        lambda ops, x, rois: ops.roi_pool(x, rois, 7),
        expected=roi_maxima,
        gradient=roi_gradient,
    ),
    Case(
        "batch_norm",
        "train",
        statistics,
        lambda ops, x, mean, var, w, b: (ops.batch_norm(x, mean, var, w, b, training=True), mean, var),
    ),
    Case("batch_norm", "eval", statistics, lambda ops, x, mean, var, w, b: ops.batch_norm(x, mean, var, w, b)),
    Case("prelu", "channels", slopes, lambda ops, x, weight: ops.prelu(x, weight)),
    Case("clamp", "-1 to 1", alone, lambda ops, x: ops.clamp(x, -1, 1), torch=lambda ops, x: x.clamp(-1, 1)),
    Case(
        "dropout",
        "p=0.5",
        alone,
        lambda ops, x: ops.dropout(x, 0.5),
        expected=survivors_doubled,
        gradient=same_mask,
    ),
    Case("flatten", "", alone, lambda ops, x: ops.flatten(x, 1), torch=lambda ops, x: x.flatten(1)),
    Case("cross_entropy", "class numbers", strongest_channel, lambda ops, x, target: ops.cross_entropy(x, target)),
    Case("cross_entropy", "probabilities", probabilities, lambda ops, x, target: ops.cross_entropy(x, target)),
    Case(
        "softmax_cross_entropy_with_logits",
        "hard",
        one_row_per_pixel(strongest_channel),
        lambda ops, x, labels: ops.softmax_cross_entropy_with_logits(x, labels),
        torch=lambda ops, x, labels: ops.cross_entropy(x, labels, reduction="none"),
    ),
    Case(
        "softmax_cross_entropy_with_logits",
        "soft",
        one_row_per_pixel(probabilities),
        lambda ops, x, labels: ops.softmax_cross_entropy_with_logits(x, labels),
        torch=lambda ops, x, labels: ops.cross_entropy(x, labels, reduction="none"),
    ),
    Case("mse_loss", "", neighbours, lambda ops, x, target: ops.mse_loss(x, target)),
]
CASES = tuple(sorted([*BATCH_ALONE, *OTHERS], key=lambda case: list(OPERATORS).index(case.operator)))
