"""Good arguments of every function, to put a bad one among, and what a refusal has to say."""

import re
from typing import Any

import numpy as np
import pytest

import fastops
from fastops.yardstick.calls import calls_of, with_gradients
from fastops.yardstick.operators import TABLE

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


# The first example of each function and of its gradient: arrays of floats, and what a call needs beside them.
GOOD_ARRAYS: dict[str, dict[str, np.ndarray]] = {}
NEEDED_OPTIONS: dict[str, dict[str, Any]] = {}
FIRST = [calls_of(operator.name, operator.examples[:1])[0] for operator in TABLE if not operator.any_dtype]
for call in with_gradients(FIRST, fastops):
    arrays = call.arrays(np.float32)
    GOOD_ARRAYS[call.op] = {name: array for name, array in arrays.items() if array.dtype == np.float32}
    NEEDED_OPTIONS[call.op] = {**call.options, **{name: arrays[name] for name in arrays.keys() - GOOD_ARRAYS[call.op]}}


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
