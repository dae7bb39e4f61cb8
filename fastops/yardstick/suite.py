"""The cases of `fastops compare --suite` and of asv_bench, by family, with the ratios to reach.

A timed case is a case of `fastops compare`, or one of the layers below, on an input of a given shape.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from .cases import CASES, Array, Case, alone, boxes, filters
from .operators import OPERATORS

Shape = tuple[int, ...]


class Target(NamedTuple):
    """Ratios to reach, the other's time / fastops's."""

    mean: float  # the geometric one, beside torch
    worst: float
    onnx: float | None = None  # the geometric mean beside ONNX Runtime
    onnx_worst: float | None = None


class Family(NamedTuple):
    about: str
    target: Target
    fast: Target | None = None  # with precision='fast'
    recycled: Target | None = None  # with --pages recycled
    aside: Mapping[str, float] = MappingProxyType({})  # operators whose worst case has a target of its own


FAMILIES = {
    "conv2d-3x3": Family("3x3, stride 1", Target(1.7, 1.0, 1.25, 1.0), fast=Target(1.9, 1.0, 1.45, 1.0)),
    "conv2d-1x1": Family("1x1", Target(1.4, 1.0, 1.1, 0.95), fast=Target(1.4, 1.0, 1.1, 0.95)),
    "conv2d-others": Family(
        "first layers, strided, dilated, grouped, 5x5, 1x7, float64",
        Target(1.5, 1.0, 1.1, 0.95),
        fast=Target(1.5, 1.0, 1.1, 0.95),
    ),
    "depthwise": Family("a filter for each channel", Target(2.3, 1.2, 1.15, 0.95), fast=Target(2.3, 1.2, 1.15, 0.95)),
    "conv_transpose2d": Family("U-Net's and DCGAN's", Target(1.6, 1.0)),
    "large": Family("up to 12 M elements", Target(4.5, 1.1), recycled=Target(3.3, 0.95, 1.2, 0.9)),
    "small": Family("every operator on (1, 3, 32, 32)", Target(2, 0.95, 1.7, 1.0)),
    "middle": Family("every operator on about 50 000 elements", Target(2.3, 0.95, 1.5, 0.95)),
    "backward": Family(
        "the gradients of all of them",
        Target(2, 0.95),
        aside={"dropout_backward": 0.6},  # which makes its mask again in place of keeping it
    ),
}
LAYERS = ("conv2d-3x3", "conv2d-1x1", "conv2d-others", "depthwise", "conv_transpose2d")  # of well-known networks


def target(family: str, precision: str = "exact", pages: str | None = None) -> Target:
    """What a family has to reach; glibc's own settings give the largest outputs fresh pages."""
    found = FAMILIES[family]
    return (pages == "recycled" and found.recycled) or (precision == "fast" and found.fast) or found.target


@dataclass(frozen=True)
class Timed:
    """A case on an input of one shape."""

    family: str
    case: Case
    shape: Shape
    dtype: str = "float32"
    backward: bool = False

    @property
    def batch(self) -> str:
        """The input in words."""
        shape = "x".join(map(str, self.shape))
        return shape if self.dtype == "float32" else f"{shape} {self.dtype}"

    @property
    def name(self) -> str:
        operator = f"{self.case.operator}_backward" if self.backward else self.case.operator
        return " ".join(filter(None, (operator, self.case.label, "on", self.batch)))

    def input(self) -> Array:
        return normal(self.shape, self.dtype)

    def arrays(self) -> tuple[Array, ...]:
        return self.case.inputs(self.input())


@lru_cache(maxsize=1)  # the cases of one shape stand together; no case writes to its input
def normal(shape: Shape, dtype: str) -> Array:
    """Standard normal values."""
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    return x.astype(dtype, copy=False)


# ------------------------------------------------------------------------------------------------ convolutions


def layer(
    operator: str,
    channels: int,
    edge: int,
    out_channels: int,
    size: int | tuple[int, int],
    batch: int = 1,
    groups: int = 1,
    **options: Any,
) -> tuple[Case, Shape]:
    """A convolution of square images, called with these options, and the shape of its input."""
    height, width = (size, size) if isinstance(size, int) else size
    told = {"groups": groups, **options} if groups > 1 else options
    text = [f"{height}x{width} {channels} to {out_channels}"]
    text += [
        f"{name} {value}" for name, value in told.items() if name in ("stride", "dilation", "groups") and value != 1
    ]
    if (height, width, options.get("padding", 0)) == (4, 4, 0):
        text += ["no padding"]
    inputs = filters(out_channels, size, transposed=operator == "conv_transpose2d", groups=groups)

    def call(ops: Any, x: Any, weight: Any, bias: Any) -> Any:
        return getattr(ops, operator)(x, weight, bias, **told)

    return Case(operator, ", ".join(text), inputs, call), (batch, channels, edge, edge)


def conv(*sizes: Any, **options: Any) -> tuple[Case, Shape]:
    """conv(channels, edge, out_channels, size, …)."""
    return layer("conv2d", *sizes, **options)


def transposed(*sizes: Any, **options: Any) -> tuple[Case, Shape]:
    """transposed(channels, edge, out_channels, size, …)."""
    return layer("conv_transpose2d", *sizes, **options)


def depthwise(channels: int, edge: int, size: int = 3, **options: Any) -> tuple[Case, Shape]:
    return conv(channels, edge, channels, size, groups=channels, padding=size // 2, **options)


RESNET = ((64, 56), (128, 28), (256, 14), (512, 7))  # channels and edge of the four stages of ResNet-50


def conv2d_3x3() -> Iterator[tuple[Case, Shape]]:
    for batch in (1, 8):
        yield from (conv(c, edge, c, 3, padding=1, batch=batch) for c, edge in RESNET)
        # VGG-16's first two blocks, without the first layer
        yield from (
            conv(*sizes, 3, padding=1, batch=batch) for sizes in ((64, 224, 64), (64, 112, 128), (128, 112, 128))
        )


def conv2d_1x1() -> Iterator[tuple[Case, Shape]]:
    yield conv(64, 56, 64, 1)
    for (c, edge), below in zip(RESNET, (64, 256, 512, 1024), strict=True):
        yield from (conv(c, edge, 4 * c, 1, batch=batch) for batch in (1, 8))
        yield from (conv(4 * c, edge, c, 1, batch=batch) for batch in (1, 8))
        if c > 64:  # into the stage
            yield conv(below, 2 * edge, c, 1)
            yield conv(below, 2 * edge, 4 * c, 1, stride=2)


def conv2d_others() -> Iterator[tuple[Case, Shape]]:
    for batch in (1, 8):
        yield conv(3, 224, 64, 7, stride=2, padding=3, batch=batch)  # ResNet
        yield conv(3, 224, 64, 3, padding=1, batch=batch)  # VGG
        yield conv(3, 224, 32, 3, stride=2, padding=1, batch=batch)  # MobileNet
        yield from (conv(c, 2 * edge, c, 3, stride=2, padding=1, batch=batch) for c, edge in RESNET[1:])
        yield from (conv(128, 28, 128, 3, padding=d, dilation=d, batch=batch) for d in (2, 4))
        yield from (conv(c, edge, c, 3, padding=1, groups=32, batch=batch) for c, edge in ((128, 56), (256, 28)))
        yield conv(64, 56, 64, 3, padding=1, groups=8, batch=batch)
        yield conv(64, 28, 64, 5, padding=2, batch=batch)
    yield conv(128, 17, 192, (1, 7), padding=(0, 3))  # Inception
    yield conv(128, 17, 192, (7, 1), padding=(3, 0))


def conv2d_float64() -> Iterator[tuple[Case, Shape]]:
    yield conv(128, 28, 128, 3, padding=1)
    yield conv(64, 56, 256, 1)
    yield conv(3, 224, 64, 7, stride=2, padding=3)


def conv2d_depthwise() -> Iterator[tuple[Case, Shape]]:
    """MobileNet's, and one 5x5 of EfficientNet's."""
    yield from (depthwise(c, edge) for c, edge in ((32, 112), (128, 56), (256, 28), (512, 14), (1024, 7)))
    yield from (depthwise(c, edge, stride=2) for c, edge in ((64, 112), (128, 56), (256, 28), (512, 14)))
    yield from (depthwise(c, edge, batch=8) for c, edge in ((32, 112), (512, 14)))
    yield depthwise(64, 112, stride=2, batch=8)
    yield depthwise(240, 28, 5)


def conv_transpose2d() -> Iterator[tuple[Case, Shape]]:
    yield from (transposed(c, edge, c // 2, 2, stride=2) for c, edge in ((1024, 16), (512, 32), (256, 64), (128, 128)))
    yield transposed(256, 28, 128, 2, stride=2, batch=8)
    yield transposed(100, 1, 512, 4, batch=8)
    for batch in (1, 8):
        layers = ((512, 4, 256), (256, 8, 128), (128, 16, 64), (64, 32, 3))
        yield from (transposed(*sizes, 4, stride=2, padding=1, batch=batch) for sizes in layers)
    yield transposed(64, 56, 64, 3, padding=1)
    yield transposed(128, 28, 64, 3, stride=2, padding=1, output_padding=1)


# --------------------------------------------------------------------------------------------- other operators

SMALL, MIDDLE, LARGE = (1, 3, 32, 32), (1, 16, 56, 56), ((8, 64, 56, 56), (64, 64, 56, 56))
ROWS, PIXELS, ATTENTION, FEATURES = (4096, 1000), (8, 21, 256, 256), (8, 12, 197, 197), (4096, 256)
MAPS = (2, 256, 50, 68)

POOLS = (
    Case("max_pool2d", "3x3 stride 1", alone, lambda ops, x: ops.max_pool2d(x, 3, stride=1, padding=1)),
    Case("avg_pool2d", "2x2 stride 1", alone, lambda ops, x: ops.avg_pool2d(x, 2, stride=1)),
    Case("avg_pool2d", "3x3 stride 1", alone, lambda ops, x: ops.avg_pool2d(x, 3, stride=1, padding=1)),
)
EVERY = sorted((*CASES, *POOLS), key=lambda case: list(OPERATORS).index(case.operator))
CONVOLUTIONS = ("conv2d", "conv_transpose2d")
TOO_LARGE = [(case, LARGE[1]) for case in EVERY if case.operator == "interpolate"]  # whose results are four times that


def of_channels_last(x: Array) -> tuple[Array, ...]:
    """The batch with W for C: flatten has to copy it."""
    return (x.swapaxes(1, 3),)


def find(operator: str, *labels: str) -> list[Case]:
    return [case for case in CASES if case.operator == operator and (case.label in labels or not labels)]


def large() -> Iterator[tuple[Case, Shape]]:
    (flatten,), (roi_pool,) = find("flatten"), find("roi_pool")
    copied = replace(flatten, label="copy", inputs=of_channels_last)
    for shape in LARGE:
        for case in EVERY:
            if case.operator not in (*CONVOLUTIONS, "roi_pool", "linear") and (case, shape) not in TOO_LARGE:
                yield (copied if case is flatten else case), shape
    softmax = (*find("softmax"), *find("log_softmax"))
    yield from ((case, ROWS) for case in (*(c for c in softmax if c.label == "rows"), *find("cross_entropy")))
    yield from ((case, PIXELS) for case in (*(c for c in softmax if c.label == "channels"), *find("cross_entropy")))
    yield from ((case, ATTENTION) for case in find("softmax", "rows"))
    yield from ((case, FEATURES) for case in find("batch_norm"))
    yield replace(roi_pool, label="7x7, 512 boxes", inputs=boxes(512)), MAPS


def small() -> Iterator[tuple[Case, Shape]]:
    yield from ((case, SMALL) for case in EVERY)
    _, channels, edge, _ = SMALL
    yield from (conv(channels, edge, 6, size, stride=stride) for size in (2, 3) for stride in (1, 2))
    yield from ((case, (1, 1000)) for case in find("softmax", "rows"))
    yield from ((case, (32, 10)) for case in (*find("log_softmax", "rows"), *find("cross_entropy", "class numbers")))


def middle() -> Iterator[tuple[Case, Shape]]:
    yield from ((case, MIDDLE) for case in EVERY)


def timed(family: str, cases: Iterable[tuple[Case, Shape]], dtype: str = "float32") -> tuple[Timed, ...]:
    return tuple(Timed(family, case, shape, dtype) for case, shape in cases)


FORWARD = (
    *timed("conv2d-3x3", conv2d_3x3()),
    *timed("conv2d-1x1", conv2d_1x1()),
    *timed("conv2d-others", conv2d_others()),
    *timed("conv2d-others", conv2d_float64(), "float64"),
    *timed("depthwise", conv2d_depthwise()),
    *timed("conv_transpose2d", conv_transpose2d()),
    *timed("large", large()),
    *timed("small", small()),
    *timed("middle", middle()),
)
SUITE = (*FORWARD, *(replace(each, family="backward", backward=True) for each in FORWARD if each.case.has_gradient))
