"""What `fastops compare --suite` says of each family: geometric mean and worst case beside the ratios to reach."""

import statistics
from collections.abc import Iterable
from typing import Any

from .measure import Row
from .suite import FAMILIES, target

LINE = "{:<17} {:>6} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9}  {}"
HEAD = LINE.format(
    "family", "cases", "wrong", "median", "mean", "target", "worst", "target",
    "onnx", "target", "worst", "target", "functions", "worst case",
)  # fmt: skip


def ratios(rows: Iterable[Row]) -> dict[str, float]:
    """Torch's time / fastops's by name, of the results that are right."""
    return {row.name: row.ratio for row in rows if row.ratio and not row.problem}


def summarise(rows: list[Row]) -> dict[str, Any]:
    found, right = ratios(rows), [row for row in rows if not row.problem]
    onnx = {row.name: row.onnx_ratio for row in right if row.onnx_ratio}
    functions = [row.onnx_function_ratio for row in right if row.onnx_function_ratio]
    worst, worst_onnx = lowest(found), lowest(onnx)
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
        "geometric_mean_onnx_ratio": statistics.geometric_mean(onnx.values()) if onnx else None,
        "worst_onnx_ratio": onnx[worst_onnx] if worst_onnx else None,
        "worst_onnx_case": worst_onnx,
        "geometric_mean_onnx_function_ratio": statistics.geometric_mean(functions) if functions else None,
    }


def lowest(ratios: dict[str, float]) -> str | None:
    """The name of the lowest ratio."""
    return min(ratios, key=lambda name: ratios[name]) if ratios else None


def by_family(rows: list[Row], precision: str, pages: str | None) -> dict[str, dict[str, Any]]:
    """The summary of each family, with its target, in the order of the rows.

    Operators that a family has aside count for its mean, not for its worst case: that of theirs stands apart.
    """
    found = {}
    for family in dict.fromkeys(row.family for row in rows if row.family):
        those, apart = [row for row in rows if row.family == family], FAMILIES[family].aside
        others = summarise([row for row in those if row.operator not in apart])
        aside = {
            name: {"worst_ratio": worst, "target": least}
            for name, least in apart.items()
            if (worst := summarise([row for row in those if row.operator == name])["worst_ratio"])
        }
        found[family] = {
            **summarise(those),
            **{name: others[name] for name in ("worst_ratio", "worst_case")},
            "target": target(family, precision, pages)._asdict(),
            "aside": aside,
        }
    return found


def table(families: dict[str, dict[str, Any]]) -> str:
    """A line for each family; the figures beside ONNX Runtime are of the cases that it has: `onnx` is beside
    convolutions as layers, which keep their weights ready as it does, and `functions` beside them as functions.

    The median tells whether the mean hangs on a few cases, as where one library's threads had to wait for a core.
    """

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    lines = [HEAD]
    for family, found in families.items():
        due = found["target"]
        pairs = {
            "geometric_mean_ratio": "mean",
            "worst_ratio": "worst",
            "geometric_mean_onnx_ratio": "onnx",
            "worst_onnx_ratio": "onnx_worst",
        }
        figures = [number(value) for of, least in pairs.items() for value in (found[of], due[least])]
        functions = number(found["geometric_mean_onnx_function_ratio"])
        counts = (found["rows"], found["wrong"], number(found["median_ratio"]))
        lines += [LINE.format(family, *counts, *figures, functions, found["worst_case"] or "-")]
        lines += [
            f"  its {name}: worst {number(each['worst_ratio'])}, target {number(each['target'])}"
            for name, each in found["aside"].items()
        ]
    return "\n".join(lines)
