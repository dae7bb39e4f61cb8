"""What `fastops compare --suite` says of each family: geometric mean and worst case beside the ratios to reach."""

import statistics
from collections.abc import Iterable
from typing import Any

from .measure import Row
from .suite import target

LINE = "{:<17} {:>6} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}  {}"
HEAD = LINE.format(
    "family", "cases", "wrong", "median", "mean", "target", "worst", "target", "onnx", "target  worst case"
)


def ratios(rows: Iterable[Row]) -> dict[str, float]:
    """Torch's time / fastops's by name, of the results that are right."""
    return {row.name: row.ratio for row in rows if row.ratio and not row.problem}


def summarise(rows: list[Row]) -> dict[str, Any]:
    found, onnx = ratios(rows), [row.onnx_ratio for row in rows if row.onnx_ratio and not row.problem]
    worst = min(found, key=lambda name: found[name]) if found else None
    return {
        "rows": len(rows),
        "checked": sum(row.problem is not None or row.error is not None for row in rows),
        "wrong": sum(row.problem is not None for row in rows),
        "beside_torch": len(found),
        "geometric_mean_ratio": statistics.geometric_mean(found.values()) if found else None,
        "median_ratio": statistics.median(found.values()) if found else None,
        "worst_ratio": found[worst] if worst else None,
        "worst_case": worst,
        "beside_onnx": len(onnx),
        "geometric_mean_onnx_ratio": statistics.geometric_mean(onnx) if onnx else None,
    }


def by_family(rows: list[Row], precision: str, pages: str | None) -> dict[str, dict[str, Any]]:
    """The summary of each family, with its target, in the order of the rows."""
    families = dict.fromkeys(row.family for row in rows if row.family)
    return {
        family: {
            **summarise([row for row in rows if row.family == family]),
            "target": target(family, precision, pages)._asdict(),
        }
        for family in families
    }


def table(families: dict[str, dict[str, Any]]) -> str:
    """A line for each family; the mean beside ONNX Runtime is of the cases that it has.

    The median tells whether the mean hangs on a few cases, as where one library's threads had to wait for a core.
    """

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    lines = [HEAD]
    for family, found in families.items():
        due = found["target"]
        mean = (number(found["geometric_mean_ratio"]), number(due["mean"]))
        worst = (number(found["worst_ratio"]), number(due["worst"]))
        onnx = f"{number(due['onnx']):>6}  {found['worst_case'] or '-'}"
        counts = (found["rows"], found["wrong"], number(found["median_ratio"]))
        lines += [LINE.format(family, *counts, *mean, *worst, number(found["geometric_mean_onnx_ratio"]), onnx)]
    return "\n".join(lines)
