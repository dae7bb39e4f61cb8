"""Good arguments of every function, to put a bad one among, and what a refusal has to say."""

import re

import numpy as np
import pytest

import fastops

NAN, INF, HUGE, BEYOND = float("nan"), float("inf"), 2**40, 2**70
X = np.ones((2, 4, 8, 8), np.float32)
HALVES = np.ones((2, 4, 4, 4), np.float32)
W = np.ones((6, 4, 3, 3), np.float32)
WT = np.ones((4, 6, 3, 3), np.float32)
ROWS = np.ones((5, 3), np.float32)
THREE = np.ones(3, np.float32)
LABELS = np.array([0, 1, 2, 1, 0])
BOXES = np.array([[0, 1, 1, 5, 5], [1, 0, 0, 7, 7]], np.float32)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


GOOD_ARRAYS = {
    "conv2d": dict(input=X, weight=W, bias=ones(6)),
    "conv_transpose2d": dict(input=X, weight=WT, bias=ones(6)),
    "max_pool2d": dict(input=X),
    "avg_pool2d": dict(input=X),
    "roi_pool": dict(input=X, boxes=BOXES),
    "batch_norm": dict(input=ROWS, running_mean=THREE, running_var=THREE, weight=THREE, bias=THREE),
    "relu": dict(input=X),
    "sigmoid": dict(input=X),
    "dropout": dict(input=X),
    "softmax": dict(input=X),
    "log_softmax": dict(input=X),
    "cross_entropy": dict(input=ROWS, target=ROWS, weight=THREE),
    "softmax_cross_entropy_with_logits": dict(logits=ROWS, labels=ROWS),
    "mse_loss": dict(input=ROWS, target=ROWS, weight=ROWS),
    "conv2d_backward": dict(grad_output=ones(2, 6, 6, 6), input=X, weight=W, bias=ones(6)),
    "conv_transpose2d_backward": dict(grad_output=ones(2, 6, 10, 10), input=X, weight=WT, bias=ones(6)),
    "max_pool2d_backward": dict(grad_output=HALVES, input=X),
    "avg_pool2d_backward": dict(grad_output=HALVES, input=X),
    "roi_pool_backward": dict(grad_output=ones(2, 4, 2, 2), input=X, boxes=BOXES),
    "batch_norm_backward": dict(
        grad_output=ROWS, input=ROWS, running_mean=THREE, running_var=THREE, weight=THREE, bias=THREE
    ),
    "relu_backward": dict(grad_output=X, input=X),
    "sigmoid_backward": dict(grad_output=X, output=X),
    "dropout_backward": dict(grad_output=X),
    "softmax_backward": dict(grad_output=X, output=X),
    "log_softmax_backward": dict(grad_output=X, output=X),
    "cross_entropy_backward": dict(grad_output=ones(5), input=ROWS, target=ROWS, weight=THREE),
    "softmax_cross_entropy_with_logits_backward": dict(grad_output=ones(5), logits=ROWS, labels=ROWS),
    "mse_loss_backward": dict(grad_output=ROWS, input=ROWS, target=ROWS, weight=ROWS),
}
NEEDED_OPTIONS = {
    "max_pool2d": dict(kernel_size=2),
    "avg_pool2d": dict(kernel_size=2),
    "roi_pool": dict(output_size=2),
    "softmax": dict(dim=0),
    "log_softmax": dict(dim=0),
    "max_pool2d_backward": dict(indices=np.zeros(HALVES.shape, np.int64), kernel_size=2),
    "avg_pool2d_backward": dict(kernel_size=2),
    "roi_pool_backward": dict(output_size=2),
    "dropout_backward": dict(rng=1),
    "softmax_backward": dict(dim=0),
    "log_softmax_backward": dict(dim=0),
    "cross_entropy_backward": dict(reduction="none"),
    "mse_loss_backward": dict(reduction="none"),
}


def refused(error: type[Exception], words: list[str], op: str, *args, **options) -> None:
    with pytest.raises(error) as caught:
        getattr(fastops, op)(*args, **options)
    message = str(caught.value)
    assert type(caught.value) is error, message
    assert re.match(rf"{op}: ", message) and "\n" not in message and "numba" not in message.lower(), message
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"


def readable(value) -> str:
    """An argument in a test's name: arrays by their shapes."""
    if isinstance(value, (tuple, list)):
        return " ".join(map(readable, value))
    return str(value.shape) if isinstance(value, np.ndarray) else str(value)[:20]
