"""What a test, a benchmark or `fastops warmup` has to know of a public function beside its signature."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .examples import Example


@dataclass(frozen=True)
class Operator:
    """What is true of every call of a public function."""

    name: str
    family: str  # the file of its benchmarks; the public function is in one of this name, or of its own
    arrays: tuple[str, ...]  # the arguments that are arrays, in their order
    # Good calls, which together reach every kernel. The first has all arrays, of floats, and the options it needs.
    examples: tuple[Example, ...]
    rows: Callable[[int], Sequence[Example]]  # good calls on arrays whose rows have so many elements
    # By label: timed cases, beside torch, of an operator that takes nothing but a batch. All others are in cases.py.
    timed: dict[str, Callable[..., Any]] = field(default_factory=dict)
    out: bool = False  # has out=
    in_place: bool = False  # which may be the input itself: element by element
    exact: bool = False  # the values are the input's own: every bit has to agree with torch's
    any_dtype: bool = False
    in_torch: bool = True
    # What the gradient takes of the forward call: its input, that and the indices, its output, or its rng alone.
    takes: Literal["input", "indices", "output", "rng"] = "input"
    differentiated: tuple[str, ...] = ("input",)  # the arrays that have a gradient, in the order in which they come
    exact_gradient: bool = False  # the values are grad_output's own
    shape_alone: bool = False  # the gradient reads nothing of the input

    @property
    def more(self) -> dict[str, Any]:
        """What the forward call has to be asked for its gradient's sake."""
        return {"return_indices": True} if self.takes == "indices" else {}

    @property
    def given_names(self) -> tuple[str, ...]:
        """What the gradient takes for the forward's first array, by name."""
        first = self.arrays[0]
        return {"input": (first,), "indices": (first, "indices"), "output": ("output",), "rng": ()}[self.takes]

    def given(self, first: Any, values: Any) -> tuple[Any, ...]:
        """The same of one call: of its first array, and of what the forward gave."""
        indices = values[1] if self.takes == "indices" else None
        return {"input": (first,), "indices": (first, indices), "output": (values,), "rng": ()}[self.takes]
