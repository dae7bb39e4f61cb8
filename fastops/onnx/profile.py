"""Where the time of a call goes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from .plan import Plan
from .schedule import Schedule

TIMES = 3


@dataclass(frozen=True)
class Row:
    """What one step took."""

    name: str
    operator: str
    shape: tuple[int, ...]
    seconds: float
    share: float
    gflops: float | None
    """Billions of operations in a second, of convolutions and products."""


@dataclass(frozen=True)
class Profile:
    """The steps of a network, in their order; prints as a table."""

    network: str
    rows: Sequence[Row]

    @property
    def seconds(self) -> float:
        """All steps together."""
        return sum(row.seconds for row in self.rows)

    def by_operator(self) -> dict[str, float]:
        """The seconds of each operator, the longest first."""
        found: dict[str, float] = {}
        for row in self.rows:
            found[row.operator] = found.get(row.operator, 0.0) + row.seconds
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def __str__(self) -> str:
        lines = [f"{self.network}: {self.seconds * 1e3:.3f} ms in {len(self.rows)} steps"]
        width = max((len(row.name) for row in self.rows), default=0)
        width, kind = min(width, 40), max((len(row.operator) for row in self.rows), default=0)
        for row in self.rows:
            shape, speed = "x".join(map(str, row.shape)), "" if row.gflops is None else f"{row.gflops:8.1f} GFLOP/s"
            lines.append(
                f"{row.name[:width]:{width}}  {row.operator:{kind}}  {shape:>18}  {row.seconds * 1e3:9.3f} ms  "
                f"{row.share:6.1%}  {speed}".rstrip()
            )
        lines += [f"{name:{kind}}  {time * 1e3:9.3f} ms  {time / (self.seconds or 1):6.1%}"
                  for name, time in self.by_operator().items()]  # fmt: skip
        return "\n".join(lines)

    def plot(self, file: str | os.PathLike[str]) -> None:
        """Draw the steps, one after the other, and what each operator takes, into a picture.

        Parameters
        ----------
        file : path
            Its ending says the kind of the picture, such as .png or .svg.

        Raises
        ------
        ImportError
            matplotlib, which the extra ``compare`` brings, is not installed.
        """
        from matplotlib.figure import Figure

        operators = self.by_operator()
        figure = Figure(figsize=(10, 4.5), layout="constrained")
        steps, sums = figure.subplots(1, 2, width_ratios=(3, 1))
        colours = {name: f"C{i % 10}" for i, name in enumerate(operators)}
        places = range(len(self.rows))
        times = [row.seconds * 1e3 for row in self.rows]
        steps.bar(places, times, width=1.0, color=[colours[row.operator] for row in self.rows])
        steps.set(xlabel="step", ylabel="milliseconds", title=f"{self.network}: {self.seconds * 1e3:.2f} ms")
        names = list(operators)[::-1]
        sums.barh(names, [operators[name] * 1e3 for name in names], color=[colours[name] for name in names])
        sums.set(xlabel="milliseconds", title="by operator")
        figure.savefig(file)


def profiled(network: str, plan: Plan | Schedule, arrays: list[Any]) -> Profile:
    """The profile of a plan's steps, each by its fastest of a few calls."""
    steps: list[Any] = list(plan.steps)
    best = [float("inf")] * len(steps)
    for _ in range(TIMES):
        times: list[float] = []

        def timed(step: Any, given: list[Any], times: list[float] = times) -> Any:
            began = perf_counter()
            result = step.run(*given)
            times.append(perf_counter() - began)
            return result

        plan(arrays, timed)
        best = [min(pair) for pair in zip(best, times, strict=True)]
    total = sum(best) or 1.0
    rows = [
        Row(step.node.label, step.node.op_type, step.shapes[0], time, time / total,
            step.operations / time / 1e9 if step.operations and time else None)
        for step, time in zip(steps, best, strict=True)
    ]  # fmt: skip
    return Profile(network, rows)
