"""Measure what the parts of a convolution cost here: the numbers of fastops/cpu/conv/costs.py.

`python scripts/measure_costs.py` times convolutions of many sizes by each algorithm, on all cores, and fits the costs
of their parts to the times of the cores (least squares of the relative error, no cost below 0).  Before each run L2 is
filled with something else, as the layers of a network do to each other.  Run it on a quiet machine.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import fastops
from fastops import _jit, _shapes
from fastops._jit import thread_count
from fastops.cpu.conv import blocked, direct, winograd
from fastops.cpu.conv.finish import Finish

Parts = dict[str, float]

SIZES = [  # channels, height and width, output channels, kernel, stride, dilation
    (channels, size, filters, kernel, stride, dilation)
    for channels, size, filters in [
        (3, 6, 6), (3, 32, 64), (16, 56, 32), (3, 112, 32), (3, 224, 32), (3, 224, 64), (64, 28, 64), (64, 56, 64),
        (256, 56, 64), (128, 14, 128), (128, 28, 128), (256, 28, 128), (256, 7, 256), (256, 14, 64), (512, 7, 128),
        (256, 14, 256), (20, 20, 200),
    ]
    for kernel, stride, dilation in [(1, 1, 1), (1, 2, 1), (3, 1, 1), (3, 1, 2), (3, 2, 1), (5, 1, 1), (7, 2, 1)]
    if channels * filters * kernel**2 < 3_000_000
]  # fmt: skip


def geometry(channels: int, size: int, filters: int, kernel: int, stride: int, dilation: int, batch: int) -> Any:
    input, weight = (batch, channels, size, size), (filters, channels, kernel, kernel)
    return _shapes.conv2d("conv2d", input, weight, None, stride, kernel // 2 * dilation, dilation, 1)


OTHERS = np.ones(2**21, np.float32)  # 8 MiB


def seconds(run: Callable[[], Any], least: float) -> float:
    """The shortest of several runs."""
    run()
    best, end = np.inf, time.perf_counter() + least
    while time.perf_counter() < end:
        fastops.relu(OTHERS, out=OTHERS)
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def samples(convolve: Any, parts: Callable[..., Parts], least: float, suits: Any) -> Iterator[tuple[Parts, float]]:
    """(parts, nanoseconds) of convolutions by one algorithm: both ways, with weights kept or not."""
    for batch, size in itertools.product((1, 4), SIZES):
        g = geometry(*size, batch)
        image = np.zeros((batch, g.image_channels, g.image_height, g.image_width), np.float32)
        map = np.zeros(g.output, np.float32)
        w = np.zeros((g.map_channels, g.image_channels, g.kernel_height, g.kernel_width), np.float32)
        for transposed in (False, True):
            if not suits(g, transposed, 4):
                continue
            out, x = (image, map) if transposed else (map, image)
            for kept in (False, True):
                bias, memory = np.zeros(out.shape[1], np.float32), {} if kept else None
                run = partial(convolve, out, x, w, bias, g, transposed, memory, Finish(bias))
                yield parts(g, transposed, 4, kept), 1e9 * thread_count() * seconds(run, least)


def fit(found: list[tuple[Parts, float]]) -> tuple[dict[str, float], float]:
    """The costs of the parts, and the mean relative error of the times that they predict."""
    names = sorted({name for parts, _ in found for name in parts})
    while True:
        matrix = np.array([[parts.get(name, 0) / time for name in names] for parts, time in found])
        costs, *_ = np.linalg.lstsq(matrix, np.ones(len(found)))
        if costs.min() >= 0:
            return dict(zip(names, costs, strict=True)), float(np.abs(matrix @ costs - 1).mean())
        names.pop(int(costs.argmin()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.1, help="for each timing")
    least = parser.parse_args().seconds
    algorithms: list[tuple[str, Any, Any, Any]] = [
        ("DIRECT", direct.convolve, direct.parts, lambda *g: True),
        ("BLOCKED", blocked.convolve, blocked.parts, lambda *g: True),
        *((f"WINOGRAD[{m}]", run, partial(winograd.parts, m), winograd.suits) for m, run in winograd.CONVOLVE.items()),
    ]
    with _jit.only("parallel"):
        for name, convolve, parts, suits in algorithms:
            costs, error = fit(list(samples(convolve, parts, least, suits)))
            print(f"{name}: times within {error:.0%} on the mean")
            for part, cost in costs.items():
                print(f'    "{part}": {cost:.3g},')


if __name__ == "__main__":
    main()
