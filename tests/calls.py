"""Good calls of every function, from fastops's table of operators, for the tests that ask the same of all of them."""

from collections.abc import Callable, Iterator

import numpy as np

import fastops
from fastops.yardstick import calls

CALLS = calls.every_call(fastops)


def of_width(width: int) -> list[calls.Call]:
    """Calls of every function whose rows have this many elements, and of the gradients."""
    return calls.with_gradients(calls.of_width(width), fastops)


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
