"""Examples of arguments: how to make each array of a call, from its shape, and the options beside them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Maker = Callable[[np.random.Generator, Any], Any]


class Example(NamedTuple):
    """The arguments of a good call."""

    makers: tuple[Maker, ...]  # of the operator's arrays, in their order; those that are left out stay at the default
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"{' '.join(map(str, self.makers))} {self.options or ''}".strip()


def example(*makers: Maker, **options: Any) -> Example:
    """example(normal(2, 3), dim=1)."""
    return Example(makers, options)


class normal:
    """A float array of this shape."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def __call__(self, rng: np.random.Generator, dtype: Any) -> Any:
        return np.asarray(rng.standard_normal(self.shape), dtype)

    def __str__(self) -> str:
        return "x".join(map(str, self.shape)) or "()"


class positive(normal):
    def __call__(self, rng: np.random.Generator, dtype: Any) -> Any:
        return super().__call__(rng, dtype) ** 2 + dtype(0.1)


class infinite(normal):
    """One value is infinite, the last."""

    def __call__(self, rng: np.random.Generator, dtype: Any) -> Any:
        array = super().__call__(rng, dtype)
        array.flat[-1] = np.inf
        return array

    def __str__(self) -> str:
        return f"{super().__str__()} with inf"


class labels(normal):
    """labels(classes, *shape): class numbers."""

    def __call__(self, rng: np.random.Generator, dtype: Any) -> Any:
        return rng.integers(0, self.shape[0], self.shape[1:])


class boxes(normal):
    """boxes(images, count): boxes about the size of a map of 10 x 10, with the image number first."""

    def __call__(self, rng: np.random.Generator, dtype: Any) -> Any:
        corners = np.sort(rng.uniform(-3, 14, (self.shape[1], 2, 2)), axis=1).reshape(-1, 4)
        return np.column_stack([rng.integers(0, self.shape[0], len(corners)), corners]).astype(dtype)


class listed_boxes(boxes):
    """The same in a list of (count, 4), one per image."""

    def __call__(self, rng: np.random.Generator, dtype: Any) -> Any:
        drawn = [super(listed_boxes, self).__call__(rng, dtype) for _ in range(self.shape[0])]
        return [np.ascontiguousarray(own[:, 1:]) for own in drawn]


def statistics(channels: int) -> tuple[Maker, ...]:
    """batch_norm's running_mean, running_var, weight, bias."""
    return normal(channels), positive(channels), normal(channels), normal(channels)
