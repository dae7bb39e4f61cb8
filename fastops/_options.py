"""Options: flags, numbers, choices and pairs, as plain Python values.  Every error here is a ValueError."""

import operator
from collections.abc import Sequence
from math import inf
from typing import Any

Pair = int | Sequence[int]
"""An argument for height and width: an int for both, or two ints."""

Padding = int | Sequence[int] | Sequence[Sequence[int]]
"""An argument for the rows and columns around an image: as a Pair, or ((top, bottom), (left, right))."""

Factors = float | Sequence[float]
"""An argument for what height and width are multiplied by: a number for both, or two numbers."""

Sides = tuple[tuple[int, int], tuple[int, int]]
"""((top, bottom), (left, right))."""

REDUCTIONS = ("none", "mean", "sum")

LARGEST = 2**31 - 1
"""The largest size, stride, padding or dilation: sums and products of two of them fit in 64 bits."""


def integer(op: str, name: str, value: Any, least: int = -LARGEST, most: int = LARGEST) -> int:
    """An int (Python's or NumPy's, not a bool) from ``least`` to ``most``."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{op}: {name} expects an int, got {told(value)}") from None
    if not least <= number <= most:
        expected = f"an int of at least {least}" if number < least else f"an int of at most {most}"
        raise ValueError(f"{op}: {name} expects {expected}, got {told(number)}")
    return number


def pair(op: str, name: str, value: Any, least: int) -> tuple[int, int]:
    """(height, width) from an int or a sequence of two."""
    if _listed(value):
        if len(value) != 2:
            raise ValueError(f"{op}: {name} expects an int or two ints, got {len(value)} values: {told(value)}")
        return integer(op, name, value[0], least), integer(op, name, value[1], least)
    try:
        if isinstance(value, bool):
            raise TypeError
        operator.index(value)
    except TypeError:
        raise ValueError(f"{op}: {name} expects an int or two ints, got {told(value)}") from None
    both = integer(op, name, value, least)
    return both, both


def padding(op: str, value: Any) -> Sides:
    """((top, bottom), (left, right)) from an int, two ints or two pairs of ints."""
    if _listed(value) and (len(value) != 2 or any(map(_listed, value))):
        if len(value) != 2 or not all(_listed(each) and len(each) == 2 for each in value):
            expected = "an int, two ints or ((top, bottom), (left, right))"
            raise ValueError(f"{op}: padding expects {expected}, got {told(value)}")
        (top, bottom), (left, right) = ([integer(op, "padding", each, 0) for each in sides] for sides in value)
        return (top, bottom), (left, right)
    height, width = pair(op, "padding", value, 0)
    return (height, height), (width, width)


def flag(op: str, name: str, value: Any) -> bool:
    """True or False, and nothing that merely counts as such."""
    if value is True or value is False:
        return value
    if type(value).__name__ in ("bool", "bool_") and getattr(value, "shape", None) == ():
        return bool(value)  # NumPy's
    raise ValueError(f"{op}: {name} expects True or False, got {told(value)}")


def number(op: str, name: str, value: Any) -> float:
    """A real number as a float (NaN and infinities too)."""
    if type(value) is float:
        return value
    try:
        if type(value) is not int and isinstance(value, (str, bytes, bool)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{op}: {name} expects a number, got {told(value)}") from None


def factors(op: str, name: str, value: Any) -> tuple[float, float]:
    """(of the height, of the width) from a number or a sequence of two, greater than 0."""
    both = value if _listed(value) else (value, value)
    if len(both) != 2:
        raise ValueError(f"{op}: {name} expects a number or two numbers, got {len(both)} values: {told(value)}")
    down, across = (number(op, name, each) for each in both)
    if not (0 < down < float("inf") and 0 < across < float("inf")):
        raise ValueError(f"{op}: {name} expects numbers greater than 0 and finite, got {told(value)}")
    return down, across


def choice(op: str, name: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of the words in ``choices``."""
    if isinstance(value, str) and value in choices:
        return value
    raise ValueError(f"{op}: {name} expects {_either(choices)}, got {told(value)}")


Activation = str | tuple[Any, ...]
"""The name of an activation, or (name, numbers...)."""

_PLAIN = ("relu", "sigmoid", "silu", "hardsigmoid", "hardswish")
ACTIVATIONS = (*_PLAIN, "relu6", "leaky_relu", "gelu", "clamp")


def activation(op: str, value: Any) -> tuple[Any, ...] | None:
    """What a backend's element-wise entries have for an activation: (entry, numbers...).

    ``value`` is a name of ACTIVATIONS, or a tuple of a name and the numbers that the function of that name takes.
    """
    if value is None:
        return None
    name, *numbers = value if isinstance(value, tuple) and value else (value,)
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(
            f"{op}: activation expects {_either(ACTIVATIONS)}, or a tuple of one and numbers, got {told(value)}"
        )
    least, most = {"leaky_relu": (0, 1), "gelu": (0, 1), "clamp": (1, 2)}.get(name, (0, 0))
    if not least <= len(numbers) <= most:
        counts = " or ".join(map(str, range(least, most + 1)))
        raise ValueError(f"{op}: activation expects {counts} numbers after {name!r}, got {len(numbers)}")
    if name == "relu6":
        return "clamp", 0.0, 6.0
    if name == "leaky_relu":
        return name, number(op, "activation's negative_slope", numbers[0]) if numbers else 0.01
    if name == "gelu":
        form = choice(op, "activation's approximate", numbers[0], ("none", "tanh")) if numbers else "none"
        return name, form == "tanh"
    if name == "clamp":
        low, high = (*numbers, None)[:2]
        return name, *bounds(op, low, high)
    return (name,)


def bounds(op: str, min: Any, max: Any) -> tuple[float, float]:
    """clamp's bounds as floats; None is none, but not both."""
    if min is None and max is None:
        raise ValueError(f"{op}: min and max expect a number for at least one of them, got None for both")
    return -inf if min is None else number(op, "min", min), inf if max is None else number(op, "max", max)


def dimension(op: str, name: str, value: Any, ndim: int) -> int:
    """A dimension of an array of ``ndim`` dimensions (0 counts as 1, as in torch), counted from 0."""
    ndim = max(ndim, 1)
    if type(value) is int and -ndim <= value < ndim:  # at once: 0.2 us of a small array's 2
        return value % ndim
    dim = integer(op, name, value)
    if not -ndim <= dim < ndim:
        raise ValueError(f"{op}: {name} expects a dimension from {-ndim} to {ndim - 1}, got {dim}")
    return dim % ndim


def told(value: Any) -> str:
    """A bad value as an error shows it: briefly, and with its type where that is the trouble."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an int of {value.bit_length()} bits"  # Python refuses to print the largest
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    text = text if len(text) <= 40 and "\n" not in text else f"a {type(value).__name__}"
    return text if isinstance(value, (int, float, str, tuple, list, type(None))) else f"{text} ({type(value).__name__})"


def _listed(value: Any) -> bool:
    """Whether a value is a sequence of others."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def _either(choices: tuple[str, ...]) -> str:
    words = [repr(c) for c in choices]
    return f"{', '.join(words[:-1])} or {words[-1]}"
