"""Whole networks on the page of `fastops report`: what `fastops compare --suite networks --json` wrote of them."""

from dataclasses import fields
from typing import Any, NamedTuple

from fastops.cli import UsageError
from fastops.cli.report_figures import Run, is_number
from fastops.yardstick.whole import GROUPS, Due, Row, by_group

TEXTS = ("network", "group")
NUMBERS = [each.name for each in fields(Row) if each.name not in (*TEXTS, "shapes", "problem")]


class Line(NamedTuple):
    """A network of a run, or a group of them with what it was to reach."""

    run: Run
    found: Any
    missed: str = ""


def rows_of(report: dict[str, Any], file: str) -> list[Row]:
    """The rows of a report, each value of the type that the page counts on; none of a run without networks."""
    found = report.get("networks")
    if found is None:
        return []
    if not isinstance(found, dict) or not isinstance(found.get("rows"), list):
        raise UsageError(f"{file}: networks has no rows")
    return [row_of(row, f"{file}, network {number}") for number, row in enumerate(found["rows"], 1)]


def row_of(found: Any, where: str) -> Row:
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in TEXTS):
        raise UsageError(f"{where} is not a result of `fastops compare --suite networks`")
    if found["group"] not in GROUPS:
        raise UsageError(f"{where}: group is {found['group']!r:.60}")
    wrong = [name for name in NUMBERS if found.get(name) is not None and not is_number(found[name])]
    wrong += [name for name in ("problem",) if not isinstance(found.get(name), str | None)]
    if not is_number(found.get("batch")):
        wrong += ["batch"]
    if wrong:
        raise UsageError(f"{where}: {wrong[0]} is {found.get(wrong[0])!r:.60}")
    taken: dict[str, Any] = {name: found.get(name) for name in (*TEXTS, *NUMBERS, "problem")}
    return Row(shapes=(), **taken)


def figures(runs: list[Run]) -> dict[str, list[Line]]:
    """Lines for both tables: groups, and every network."""
    groups = [Line(run, (name, found), missed(found)) for run in runs for name, found in by_group(run.networks).items()]
    return {"network_groups": groups, "networks": [Line(run, row) for run in runs for row in run.networks]}


def missed(found: dict[str, Any]) -> str:
    """The names of the targets that a group has missed."""
    words = {"fast_mean": "fast", "first": "first answer"}
    pairs = {name: (found[name], found["target"][name]) for name in Due._fields}
    below = [name for name, (got, least) in pairs.items() if got is not None and least is not None and got < least]
    return ", ".join(words.get(name, name) for name in below)
