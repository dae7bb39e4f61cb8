"""One list of good calls of every function, for the tests that ask the same question of all of them."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import fastops

WITH_OUTPUT = {"sigmoid", "softmax", "log_softmax"}  # whose gradients take the forward's output in place of its input

Maker = Callable[[np.random.Generator, type], Any]


class Call(NamedTuple):
    """A call fastops.<op>(*arrays, **options); `makers` make the arrays."""

    op: str
    makers: tuple[Maker, ...]
    options: dict[str, Any] = {}

    def __str__(self) -> str:
        return f"{self.op} {' '.join(map(str, self.makers))} {self.options or ''}".strip()

    def arrays(self, dtype: type) -> list:
        rng = np.random.default_rng(7)
        return [make(rng, dtype) for make in self.makers]


class Gradient(Call):
    """A call fastops.<op>_backward(*arrays, **options); `makers` and `options` are the forward's."""

    __slots__ = ()

    @classmethod
    def of(cls, forward: Call) -> "Gradient":
        options = {name: value for name, value in forward.options.items() if name != "return_indices"}
        return cls(f"{forward.op}_backward", forward.makers, options)

    def arrays(self, dtype: type) -> list:
        """grad_output, and what <op>_backward takes of the forward's arrays or result."""
        op, arrays = self.op.removesuffix("_backward"), super().arrays(dtype)
        more = dict(return_indices=True) if op == "max_pool2d" else {}
        result = getattr(fastops, op)(*copy.deepcopy(arrays), **self.options, **more)
        values, *indices = result if isinstance(result, tuple) else (result,)
        given = [values] if op in WITH_OUTPUT else [] if op == "dropout" else [arrays[0], *indices, *arrays[1:]]
        return [np.asarray(np.random.default_rng(8).standard_normal(np.shape(values)), dtype), *given]


def each(act: Callable, value):
    """`value` with `act` done to everything in its tuples, lists and dictionaries."""
    if isinstance(value, dict):
        return {name: each(act, item) for name, item in value.items()}
    return type(value)(each(act, item) for item in value) if isinstance(value, (tuple, list)) else act(value)


def arrays_in(value) -> Iterator[np.ndarray | np.generic]:
    """The arrays and NumPy scalars in its tuples, lists and dictionaries."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from arrays_in(item)
    elif isinstance(value, (np.ndarray, np.generic)):
        yield value


class normal:
    """A float array of this shape."""

    def __init__(self, *shape: int):
        self.shape = shape

    def __call__(self, rng, dtype):
        return np.asarray(rng.standard_normal(self.shape), dtype)

    def __str__(self):
        return "x".join(map(str, self.shape)) or "()"


class positive(normal):
    def __call__(self, rng, dtype):
        return super().__call__(rng, dtype) ** 2 + dtype(0.1)


class labels(normal):
    """labels(classes, *shape): class numbers."""

    def __call__(self, rng, dtype):
        return rng.integers(0, self.shape[0], self.shape[1:])


class boxes(normal):
    """boxes(images, count): boxes about the size of a map of 10 x 10, with the image number first."""

    def __call__(self, rng, dtype):
        corners = np.sort(rng.uniform(-3, 14, (self.shape[1], 2, 2)), axis=1).reshape(-1, 4)
        return np.column_stack([rng.integers(0, self.shape[0], len(corners)), corners]).astype(dtype)


class listed_boxes(boxes):
    """The same in a list of (count, 4), one per image."""

    def __call__(self, rng, dtype):
        drawn = [super(listed_boxes, self).__call__(rng, dtype) for _ in range(self.shape[0])]
        return [np.ascontiguousarray(own[:, 1:]) for own in drawn]


def statistics(channels: int) -> tuple[Maker, ...]:
    """running_mean, running_var, weight, bias."""
    return normal(channels), positive(channels), normal(channels), normal(channels)


def with_gradients(forward: list[Call]) -> list[Call]:
    return [*forward, *map(Gradient.of, forward)]


def of_width(width: int) -> list[Call]:
    """Calls of every function whose rows have this many elements."""
    forward = [
        Call("conv2d", (normal(1, 2, 3, width), normal(3, 2, 3, 3), normal(3)), dict(padding=1)),
        Call("conv2d", (normal(1, width, 3, 3), normal(width, width, 2, 2))),
        Call("conv2d", (normal(1, width, 3, 4), normal(width, 1, 3, 3)), dict(groups=width, padding=1)),
        Call("conv_transpose2d", (normal(1, 2, 3, width), normal(2, 3, 3, 3), normal(3)), dict(stride=2, padding=1)),
        Call("conv_transpose2d", (normal(1, width, 2, 3), normal(width, 2, 2, 2)), dict(stride=2)),
        Call("max_pool2d", (normal(1, 2, 5, width),), dict(kernel_size=3, stride=1, padding=1, return_indices=True)),
        Call("max_pool2d", (normal(1, 2, 5, 2 * width + 1),), dict(kernel_size=2, ceil_mode=True)),
        Call("avg_pool2d", (normal(1, 2, 5, width),), dict(kernel_size=3, stride=2, padding=1)),
        Call("avg_pool2d", (normal(1, 2, 5, 2 * width + 1),), dict(kernel_size=2)),
        Call("roi_pool", (normal(2, 3, 10, width), boxes(2, 6)), dict(output_size=(3, 2))),
        Call("batch_norm", (normal(3, width), *statistics(width)), dict(training=True)),
        Call("batch_norm", (normal(3, 2, width), *statistics(2)), dict(training=True)),
        Call("batch_norm", (normal(3, width), *statistics(width))),
        Call("batch_norm", (normal(3, 2, width), *statistics(2))),
        Call("relu", (normal(width),)),
        Call("sigmoid", (normal(width),)),
        Call("dropout", (normal(width),), dict(p=0.4, rng=5)),
        Call("flatten", (normal(2, 3, width),), dict(start_dim=1)),
        *(Call(op, (normal(3, width),), dict(dim=dim)) for op in ("softmax", "log_softmax") for dim in (0, 1)),
        Call("cross_entropy", (normal(3, width), labels(width, 3), normal(width)), dict(label_smoothing=0.1)),
        Call("cross_entropy", (normal(3, 2, width), labels(2, 3, width)), dict(ignore_index=1)),
        Call("cross_entropy", (normal(3, width), positive(3, width))),
        Call("softmax_cross_entropy_with_logits", (normal(3, width), labels(width, 3))),
        Call("softmax_cross_entropy_with_logits", (normal(3, width), positive(3, width))),
        Call("mse_loss", (normal(3, width), normal(3, width))),
        Call("mse_loss", (normal(3, width), normal(width)), dict(reduction="none")),
        Call("mse_loss", (normal(3, width), normal(3, width)), dict(reduction="sum")),
    ]
    return with_gradients(forward)


FORWARD = [
    Call("conv2d", (normal(2, 4, 9, 10), normal(6, 2, 3, 2), normal(6)), dict(stride=(2, 1), groups=2, padding="same")),
    Call("conv2d", (normal(2, 3, 9, 10), normal(5, 3, 1, 1)), dict(stride=2)),
    Call("conv2d", (normal(3, 9, 10), normal(5, 3, 3, 3), normal(5)), dict(dilation=2, padding=3)),
    Call("conv2d", (normal(1, 24, 20, 21), normal(40, 24, 3, 3), normal(40)), dict(padding=1)),
    Call("conv2d", (normal(1, 3, 9, 10), normal(3, 1, 3, 3)), dict(groups=3, stride=2, padding=1)),
    Call("conv2d", (normal(1, 3, 9, 10), normal(3, 1, 5, 5)), dict(groups=3, padding=2)),
    Call("conv2d", (normal(1, 3, 9, 10), normal(3, 1, 5, 5)), dict(groups=3, stride=2, padding=2)),
    Call("conv2d", (normal(1, 64, 8, 8), normal(40, 64, 3, 3)), dict(padding=1)),
    Call("conv_transpose2d", (normal(2, 4, 5, 6), normal(4, 3, 3, 2), normal(6)), dict(groups=2, dilation=(2, 1))),
    Call("conv_transpose2d", (normal(4, 5, 6), normal(4, 3, 2, 2)), dict(stride=3, output_padding=2)),
    Call("conv2d", (normal(1, 2, 5, 6), normal(2, 2, 2, 2)), dict(padding="same")),
    Call("conv_transpose2d", (normal(1, 2, 5, 6), normal(2, 2, 1, 1)), dict(dilation=2, output_padding=1)),
    Call("conv_transpose2d", (normal(1, 24, 15, 16), normal(24, 40, 3, 3)), dict(stride=2, padding=1)),
    Call("max_pool2d", (normal(2, 3, 9, 10),), dict(kernel_size=2, dilation=3, padding=1)),
    Call("max_pool2d", (normal(3, 9, 10),), dict(kernel_size=(3, 2), stride=2, ceil_mode=True)),
    Call("avg_pool2d", (normal(3, 9, 10),), dict(kernel_size=3, padding=1, ceil_mode=True, count_include_pad=False)),
    Call("avg_pool2d", (normal(2, 3, 9, 10),), dict(kernel_size=(9, 10), divisor_override=-2)),
    Call("max_pool2d", (normal(2, 3, 9, 10),), dict(kernel_size=(9, 8), padding=(2, 1), return_indices=True)),
    Call("avg_pool2d", (normal(2, 3, 9, 10),), dict(kernel_size=(4, 3), stride=2, padding=1)),
    Call("roi_pool", (normal(1, 2, 40, 60), boxes(1, 2)), dict(output_size=1, spatial_scale=4.0)),
    Call("roi_pool", (normal(2, 3, 10, 10), listed_boxes(2, 4)), dict(output_size=7, spatial_scale=0.8)),
    Call("batch_norm", (normal(8, 5, 20, 21), *statistics(5)), dict(training=True, momentum=0.7)),
    Call("batch_norm", (normal(5000, 5), *statistics(5)), dict(training=True)),
    Call("batch_norm", (normal(2, 3, 33, 34), *statistics(3)), dict(training=True)),
    Call("batch_norm", (normal(2, 5, 3, 4, 2), *statistics(5)), dict(eps=0.1)),
    Call("relu", (normal(),)),
    Call("sigmoid", (normal(2, 3, 4, 5),)),
    Call("sigmoid", (normal(20_001),)),
    Call("dropout", (normal(3, 4, 5),), dict(p=1.0, rng=5)),
    Call("dropout", (normal(20_001),), dict(rng=5)),
    Call("flatten", (normal(2, 3, 4, 5),), dict(end_dim=2)),
    Call("softmax", (normal(3, 40, 50),), dict(dim=1)),
    Call("log_softmax", (normal(300, 70),), dict(dim=-1)),
    Call("cross_entropy", (normal(4), labels(4))),
    Call("cross_entropy", (normal(2, 5, 33, 34), labels(5, 2, 33, 34), positive(5))),
    Call("cross_entropy", (normal(3000, 11), labels(11, 3000)), dict(label_smoothing=0.2)),
    Call("cross_entropy", (normal(2, 4, 5, 6), positive(2, 4, 5, 6), normal(4)), dict(label_smoothing=0.2)),
    Call("softmax_cross_entropy_with_logits", (normal(3000, 11), labels(11, 3000)), dict(reduction="mean")),
    Call("mse_loss", (normal(20_001), normal(20_001))),
    Call("mse_loss", (normal(50, 1, 60), normal(40, 1))),
]
CALLS = [*of_width(6), *with_gradients(FORWARD)]
