"""Calls of every function and of its gradient, made of the table's examples: for the tests and for `fastops warmup`."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .examples import Example, Maker
from .operators import OPERATORS, TABLE

WIDTH = 6  # of rows that no vector of the CPU fits into


@dataclass(frozen=True)
class Call:
    """A call ops.<op>(**arrays, **options); `makers` make the arrays, by name."""

    op: str
    makers: dict[str, Maker]
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.op} {' '.join(map(str, self.makers.values()))} {self.options or ''}".strip()

    def arrays(self, dtype: Any) -> dict[str, Any]:
        rng = np.random.default_rng(7)
        return {name: make(rng, dtype) for name, make in self.makers.items()}


@dataclass(frozen=True)
class Gradient(Call):
    """A call ops.<op>_backward(**arrays, **options); `makers` and `options` are the forward's."""

    ops: Any

    @classmethod
    def of(cls, forward: Call, ops: Any) -> "Gradient":
        options = {name: value for name, value in forward.options.items() if name != "return_indices"}
        return cls(f"{forward.op}_backward", forward.makers, options, ops)

    def arrays(self, dtype: Any) -> dict[str, Any]:
        """grad_output, and what <op>_backward takes of the forward's arrays or result."""
        operator, arrays = OPERATORS[self.op.removesuffix("_backward")], super().arrays(dtype)
        forward = getattr(self.ops, operator.name)
        values = forward(**copy.deepcopy(arrays), **self.options, **operator.more)  # batch_norm writes into two of them
        first = arrays.pop(operator.arrays[0])
        given = dict(zip(operator.given_names, operator.given(first, values), strict=True))
        shape = np.shape(values[0] if operator.more else values)
        return {"grad_output": np.asarray(np.random.default_rng(8).standard_normal(shape), dtype), **given, **arrays}


def call(op: str, *makers: Maker, **options: Any) -> Call:
    """call("softmax", normal(2, 3), dim=1)."""
    return Call(op, dict(zip(OPERATORS[op].arrays, makers, strict=False)), options)


def calls_of(op: str, examples: Iterable[Example]) -> list[Call]:
    return [call(op, *each.makers, **each.options) for each in examples]


def of_width(width: int) -> list[Call]:
    """Calls of every function whose rows have this many elements."""
    return [each for operator in TABLE for each in calls_of(operator.name, operator.rows(width))]


EXAMPLES = [each for operator in TABLE for each in calls_of(operator.name, operator.examples)]


def with_gradients(forward: Iterable[Call], ops: Any) -> list[Call]:
    calls = list(forward)
    return [*calls, *(Gradient.of(each, ops) for each in calls)]


def every_call(ops: Any) -> list[Call]:
    """Calls that reach every kernel, with their gradients: the examples, and one width."""
    return with_gradients([*of_width(WIDTH), *EXAMPLES], ops)
