"""How layers are made: where random numbers come from, which dtypes there are, how weights are drawn."""

from math import sqrt
from typing import Any

import numpy as np

from .. import _options
from .._arrays import Array


def generator(op: str, rng: Any) -> np.random.Generator:
    """A Generator from None (fresh entropy), an int, a SeedSequence or a Generator (itself), as SPEC 7 has it."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"{op}: rng expects a seed of at least 0, got {_options.told(rng)}")
        rng = int(rng)
    elif rng is not None and not isinstance(rng, np.random.SeedSequence):
        expected = "None, an int, a numpy.random.SeedSequence or a numpy.random.Generator"
        raise TypeError(f"{op}: rng expects {expected}, got {type(rng).__name__}")
    return np.random.default_rng(rng)


def float_dtype(op: str, dtype: Any) -> np.dtype[Any]:
    """float32 or float64, as a dtype."""
    try:
        found: np.dtype[Any] | None = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.char not in "fd" or not found.isnative:
        got = _options.told(dtype) if found is None else found
        raise TypeError(f"{op}: dtype expects float32 or float64, got {got}")
    return found


def uniform(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, dtype: np.dtype[Any]) -> Array:
    """Numbers from -1 / sqrt(fan_in) to 1 / sqrt(fan_in), drawn in float64 whatever the dtype.

    It is torch's initialisation of convolutions and linear layers, kaiming_uniform with a = sqrt(5).
    """
    bound = 1 / sqrt(fan_in)
    return rng.uniform(-bound, bound, shape).astype(dtype)
