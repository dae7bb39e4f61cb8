"""Compile every kernel into the cache on disk, so that no later call waits for the compiler."""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fastops
from fastops import _jit
from fastops.cli import UsageError
from fastops.cli.processes import cores, in_processes

DTYPES = ("float32", "float64")
BUILDS = ("parallel", "serial")

# Each makes one public call of an image batch (2, 4, 8, 8). Together they reach every kernel: tests/test_cli.py counts.
CALLS: dict[str, Callable[[Any], object]] = {
    "conv2d": lambda x: fastops.conv2d(x, x[:, :, :3, :3].copy(), padding=1),
    "conv2d 1x1": lambda x: fastops.conv2d(x, x[:, :, :1, :1].copy(), x[0, 0, 0, :2].copy()),
    "conv2d stride": lambda x: fastops.conv2d(x, x[:, :, :3, :3].copy(), stride=2),
    "conv2d depthwise": lambda x: fastops.conv2d(x, filters(x, 3), groups=4),
    "conv2d depthwise stride 2": lambda x: fastops.conv2d(x, filters(x, 3), stride=2, groups=4),
    "conv2d depthwise 5x5": lambda x: fastops.conv2d(x, filters(x, 5), groups=4),
    "conv2d depthwise 5x5 stride 2": lambda x: fastops.conv2d(x, filters(x, 5), stride=2, groups=4),
    "conv2d depthwise dilation": lambda x: fastops.conv2d(x, filters(x, 3), dilation=2, groups=4),
    "conv2d of many channels": lambda x: fastops.conv2d(wide(x), wide(x, 3)),
    "conv2d of many channels, fast": lambda x: fastops.conv2d(wide(x), wide(x, 3), precision="fast"),
    "conv2d of infinite weights": lambda x: fastops.conv2d(x, np.full((4, 4, 3, 3), np.inf, x.dtype), padding=1),
    "conv_transpose2d": lambda x: fastops.conv_transpose2d(x, x.reshape(4, 2, 8, 8)[:, :, :2, :2].copy(), stride=2),
    "conv_transpose2d gaps": lambda x: fastops.conv_transpose2d(x, x.reshape(4, 2, 8, 8)[..., :1, :1].copy(), stride=2),
    "max_pool2d": lambda x: fastops.max_pool2d(x, 2),
    "max_pool2d stride 1": lambda x: fastops.max_pool2d(x, 3, stride=1, padding=1),
    "max_pool2d indices": lambda x: fastops.max_pool2d(x, 2, return_indices=True),
    "avg_pool2d": lambda x: fastops.avg_pool2d(x, 2),
    "avg_pool2d own divisor": lambda x: fastops.avg_pool2d(x, 2, padding=1, divisor_override=3),
    "roi_pool": lambda x: fastops.roi_pool(x, np.array([[1, 0, 0, 6, 6]], x.dtype), 2),
    "batch_norm train": lambda x: fastops.batch_norm(x, None, None, training=True),
    "batch_norm train (N, C)": lambda x: fastops.batch_norm(x[0, 0], None, None, training=True),
    "batch_norm eval": lambda x: fastops.batch_norm(x, x[0, 0, 0, :4].copy(), x[0, 0, 0, :4].copy()),
    "batch_norm eval (N, C)": lambda x: fastops.batch_norm(x[0, 0], x[0, 0, 0].copy(), x[0, 0, 0].copy()),
    "relu": lambda x: fastops.relu(x),
    "sigmoid": lambda x: fastops.sigmoid(x),
    "dropout": lambda x: fastops.dropout(x),
    "flatten": lambda x: fastops.flatten(x.swapaxes(1, 3)),
    "flatten of many": lambda x: fastops.flatten(x.repeat(256, 0).swapaxes(1, 3)),
    "softmax channels": lambda x: fastops.softmax(x, 1),
    "softmax rows": lambda x: fastops.softmax(x.reshape(16, 32), -1),
    "log_softmax channels": lambda x: fastops.log_softmax(x, 1),
    "log_softmax rows": lambda x: fastops.log_softmax(x.reshape(16, 32), -1),
    "cross_entropy": lambda x: fastops.cross_entropy(x, x.argmax(axis=1)),
    "cross_entropy (N, C)": lambda x: fastops.cross_entropy(x.reshape(16, 32), x.reshape(16, 32).argmax(axis=1)),
    "cross_entropy probabilities": lambda x: fastops.cross_entropy(x, x),
    "cross_entropy probabilities (N, C)": lambda x: fastops.cross_entropy(x.reshape(16, 32), x.reshape(16, 32)),
    "softmax_cross_entropy_with_logits": lambda x: fastops.softmax_cross_entropy_with_logits(
        x.reshape(16, 32), x.reshape(16, 32)
    ),
    "mse_loss": lambda x: fastops.mse_loss(x, x),
    "mse_loss none": lambda x: fastops.mse_loss(x, x, "none"),
    "mse_loss weighted": lambda x: fastops.mse_loss(x, x, weight=x),
    "mse_loss weighted none": lambda x: fastops.mse_loss(x, x, "none", weight=x),
    "conv2d_backward": lambda x: fastops.conv2d_backward(x, x, square(x), x[0, 0, 0, :4].copy()),
    "conv2d_backward of many channels": lambda x: fastops.conv2d_backward(wide(x, 4), wide(x, 4), wide(x, 1)),
    "conv2d of a whole image": lambda x: fastops.conv2d(x, x[:1].repeat(4, 0)),
    "conv2d_backward of a whole image": lambda x: fastops.conv2d_backward(
        x[:, :, :1, :1].copy(), x, x[:1].repeat(4, 0)
    ),
    "conv2d_backward stride": lambda x: fastops.conv2d_backward(x[..., ::2, ::2].copy(), x, square(x), stride=2),
    "conv2d_backward depthwise": lambda x: fastops.conv2d_backward(x, x, square(x)[:, :1].copy(), groups=4),
    "conv2d_backward of NaN": lambda x: fastops.conv2d_backward(x * np.nan, x, square(x)),
    "max_pool2d_backward": lambda x: fastops.max_pool2d_backward(x, x, np.zeros(x.shape, np.int64), 1),
    "avg_pool2d_backward": lambda x: fastops.avg_pool2d_backward(x, x, 1),
    "roi_pool_backward": lambda x: fastops.roi_pool_backward(
        x[:1, :, :2, :2].copy(), x, np.array([[1, 0, 0, 6, 6]], x.dtype), 2
    ),
    "batch_norm_backward train": lambda x: fastops.batch_norm_backward(x, x, None, None, training=True),
    "batch_norm_backward train (N, C)": lambda x: fastops.batch_norm_backward(
        x[0, 0], x[0, 0], None, None, training=True
    ),
    "batch_norm_backward eval": lambda x: fastops.batch_norm_backward(
        x, x, x[0, 0, 0, :4].copy(), x[0, 0, 0, :4].copy()
    ),
    "relu_backward": lambda x: fastops.relu_backward(x, x),
    "sigmoid_backward": lambda x: fastops.sigmoid_backward(x, x),
    "dropout_backward": lambda x: fastops.dropout_backward(x, rng=1),
    "flatten_backward": lambda x: fastops.flatten_backward(x.ravel(), x),
    "softmax_backward channels": lambda x: fastops.softmax_backward(x, x, 1),
    "softmax_backward rows": lambda x: fastops.softmax_backward(x, x, -1),
    "log_softmax_backward channels": lambda x: fastops.log_softmax_backward(x, x, 1),
    "log_softmax_backward rows": lambda x: fastops.log_softmax_backward(x, x, -1),
    "cross_entropy_backward": lambda x: fastops.cross_entropy_backward(1.0, x, x.argmax(axis=1)),
    "cross_entropy_backward none": lambda x: fastops.cross_entropy_backward(
        x[:, 0].copy(), x, x.argmax(axis=1), reduction="none"
    ),
    "cross_entropy_backward (N, C)": lambda x: fastops.cross_entropy_backward(
        1.0, x.reshape(16, 32), x.reshape(16, 32).argmax(axis=1)
    ),
    "cross_entropy_backward (N, C) none": lambda x: fastops.cross_entropy_backward(
        x.ravel()[:16].copy(), x.reshape(16, 32), x.reshape(16, 32).argmax(axis=1), reduction="none"
    ),
    "cross_entropy_backward probabilities": lambda x: fastops.cross_entropy_backward(1.0, x, x),
    "cross_entropy_backward probabilities none": lambda x: fastops.cross_entropy_backward(
        x[:, 0].copy(), x, x, reduction="none"
    ),
    "cross_entropy_backward probabilities (N, C)": lambda x: fastops.cross_entropy_backward(
        1.0, x.reshape(16, 32), x.reshape(16, 32)
    ),
    "cross_entropy_backward probabilities (N, C) none": lambda x: fastops.cross_entropy_backward(
        x.ravel()[:16].copy(), x.reshape(16, 32), x.reshape(16, 32), reduction="none"
    ),
    "mse_loss_backward": lambda x: fastops.mse_loss_backward(1.0, x, x),
    "mse_loss_backward weighted": lambda x: fastops.mse_loss_backward(1.0, x, x, weight=x),
}


def square(x: Any) -> Any:
    """Filters (4, 4, 1, 1) for the batch's four channels."""
    return x.reshape(-1)[:16].reshape(4, 4, 1, 1).copy()


def filters(x: Any, size: int) -> Any:
    """Depthwise filters (4, 1, size, size)."""
    return np.zeros((4, 1, size, size), x.dtype)


def wide(x: Any, size: int = 56) -> Any:
    """An image, or filters, of 64 channels."""
    return np.zeros((1 if size > 3 else 64, 64, size, size), x.dtype)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`fastops warmup` takes none."""


def run(arguments: argparse.Namespace) -> int:
    folder = _jit.cache_folder()
    if folder is None:
        raise UsageError("there is no cache to fill: FASTOPS_CACHE is 0, or no folder can be written to")
    start = time.perf_counter()
    shares = [missing for share in shared_out(cores()) if (missing := [each for each in share if not compiled(*each)])]
    what = f"{len(_jit.kernels)} kernels for {' and '.join(DTYPES)}, {' and '.join(BUILDS)}"
    if not shares:
        print(f"All are there, in {folder}: {what}")
        return 0
    print(f"Compiling {what}, in {len(shares)} processes", flush=True)
    in_processes(compile_one, shares, len(shares))
    print(f"Done in {time.perf_counter() - start:.0f} s, into {folder}")
    return 0


def shared_out(processes: int) -> list[list[tuple[str, str, str]]]:
    """The calls of each process: of one dtype, whose two builds share the functions that they call.

    From four processes on each build has processes of its own, from eight on neighbouring calls of one build.
    """
    names, slices = list(CALLS), max(1, processes // 4)
    groups = [BUILDS] if processes < 4 else [(build,) for build in BUILDS]
    edges = [len(names) * i // slices for i in range(slices + 1)]
    return [
        [(name, dtype, build) for name in names[first:last] for build in builds]
        for dtype in DTYPES
        for builds in groups
        for first, last in zip(edges, edges[1:], strict=False)
    ]


def compiled(call: str, dtype: str, build: str) -> bool:
    """Whether all that the call needs is in the cache."""
    try:
        with _jit.compiled_before():
            compile_one(call, dtype, build)
    except _jit.NotCompiled:
        return False
    return True


def compile_one(call: str, dtype: str, build: str) -> None:
    x = np.linspace(0.1, 0.9, 2 * 4 * 8 * 8).reshape(2, 4, 8, 8).astype(dtype)
    with _jit.only(build):
        CALLS[call](x)
