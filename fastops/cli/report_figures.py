"""What the page of `fastops report` says: the figures of each run, group by group and case by case."""

import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard

import fastops
from fastops.yardstick import whole
from fastops.yardstick.measure import Row
from fastops.yardstick.targets import summarise

WORST = 20  # rows of the table of the lowest ratios
BUSY = 1  # load average above which the times are to be read with care


@dataclass(frozen=True)
class Run:
    """One file of `fastops compare --json`."""

    letter: str  # "A", "B", …; "" where it is the only one
    file: str
    report: dict[str, Any]
    rows: list[Row]
    networks: Sequence[whole.Row] = ()

    @property
    def kind(self) -> str:
        return "suite" if self.report.get("suite") else "photograph"

    @property
    def busy(self) -> bool:
        load = self.report.get("load_average")
        return is_number(load) and load > BUSY

    def limit(self, name: str) -> float | None:
        """operations_per_second (float32) or bytes_per_second of the machine; None where they were not measured."""
        limits = self.report.get("limits")
        found = limits.get(name) if isinstance(limits, dict) else None
        return found if is_number(found) and found > 0 else None

    def groups(self) -> dict[str, list[Row]]:
        """The rows by family, on the photograph by operator."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.family or row.operator, []).append(row)
        return found


class Result(NamedTuple):
    """A row beside the limits of its machine."""

    run: Run
    row: Row
    arithmetic: float | None  # operations a second / the peak
    memory: float | None  # bytes a second / a copy's
    sources: tuple[str, ...]


def results(run: Run) -> Iterator[Result]:
    operations, moved = run.limit("operations_per_second"), run.limit("bytes_per_second")
    for row in run.rows:
        wide = 2 if row.dtype == "float64" else 1  # a vector holds half as many
        yield Result(
            run,
            row,
            share(row.operations, row.fastops_seconds, operations and operations / wide),
            share(row.bytes_moved, row.fastops_seconds, moved),
            sources(row),
        )


def share(amount: float | None, seconds: float | None, limit: float | None) -> float | None:
    return amount / seconds / limit if amount and seconds and limit else None


def sources(row: Row) -> tuple[str, ...]:
    """The files of the kernels that ran; where that is not known, or none did, the file of the public function."""
    modules = [name.rpartition(".")[0] for name in row.kernels]
    if not modules and row.operator in fastops.__all__:
        modules = [str(getattr(fastops, row.operator).__module__).removeprefix("fastops.")]
    return tuple(dict.fromkeys(f"fastops/{module.replace('.', '/')}.py" for module in modules))


# --------------------------------------------------------------------------------------------------------- the page


def figures(runs: list[Run]) -> dict[str, Any]:
    """Everything that the template shows, but the plots."""
    every = [result for run in runs for result in results(run)]
    right = [result for result in every if not result.row.problem]
    return {
        "runs": [(run, verdict(run)) for run in runs],
        "busy": [run for run in runs if run.busy],
        "facts": facts(runs),
        "families": beside([line for run in runs for line in families(run)]),
        "with_onnx": any(result.row.onnx_ratio for result in right),
        "with_families": any(run.kind == "suite" for run in runs),
        "grouped_by": " or ".join(dict.fromkeys("family" if run.kind == "suite" else "operator" for run in runs)),
        "wrong": [result for result in every if result.row.problem],
        "worst": sorted((r for r in right if r.row.ratio), key=lambda r: r.row.ratio or 0)[:WORST],
        "limits": [run for run in runs if run.limit("operations_per_second") or run.limit("bytes_per_second")],
        "with_shares": any(result.arithmetic or result.memory for result in every),
        "accuracy": sorted(
            beside([line for run in runs for line in accuracy(run)]), key=lambda line: not line["wrong"]
        ),
        "every": every,
    }


def verdict(run: Run) -> str:
    """One sentence."""
    found = summarise(run.rows)
    if run.networks:
        wrong = sum(row.problem is not None for row in run.networks)
        networks = f"{len(run.networks)} whole networks, {wrong or 'none'} wrong"
        if not run.rows:
            return f"{networks}."
    counts = f"{found['rows']} results, {found['checked']} checked, {found['wrong'] or 'none'} wrong"
    counts = f"{networks}; {counts}" if run.networks else counts
    if not found["beside_torch"]:
        return f"{counts}; no times of PyTorch to compare with."
    mean, worst, case = found["geometric_mean_ratio"], found["worst_ratio"], found["worst_case"]
    return f"{counts}; {mean:.2f} times as fast as PyTorch in the geometric mean, {worst:.2f} at worst ({case})."


def facts(runs: list[Run]) -> dict[str, list[str]]:
    """What the figures depend on: a line for each fact that some run tells, with a text for every run."""
    every = [lines(run) for run in runs]
    return {name: [each[name] for each in every] for name in every[0] if any(each[name] for each in every)}


def lines(run: Run) -> dict[str, str]:
    report, machine, versions = run.report, run.report["machine"], run.report["versions"]
    suite, load, vectors = report.get("suite"), report.get("load_average"), machine.get("vector_bits")
    operations, moved = run.limit("operations_per_second"), run.limit("bytes_per_second")
    layer = report.get("threading_layer")
    return {
        "file": run.file,
        "date": text(report.get("date")),
        "inputs": f"suite {', '.join(map(str, suite))}" if isinstance(suite, list) else text(report.get("picture")),
        "size": text(report.get("size")),
        "dtype": text(report.get("dtype")) or "by case",
        "device": text(report.get("device")),
        "precision": text(report.get("precision")),
        "pages": text(report.get("pages")) or "as malloc gives them",
        "processor": text(machine.get("cpu")),
        "cores": text(machine.get("cores")),
        "vectors": f"{vectors} bits ({machine.get('llvm_cpu')})" if vectors else "",
        "threads": text(report.get("threads")) + (f" ({layer})" if layer else ""),
        "load average": f"{load:.1f}{' (busy)' if run.busy else ''}" if is_number(load) else "",
        "peak arithmetic": f"{operations / 1e9:.0f} billion operations a second, float32" if operations else "",
        "copy": f"{moved / 1e9:.1f} GB a second, read and written" if moved else "",
        "system": text(machine.get("system")),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
    }


def beside(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of one name together, in the order in which the names come first."""
    names = list(dict.fromkeys(line["name"] for line in table))
    return sorted(table, key=lambda line: names.index(line["name"]))


def is_number(value: Any) -> TypeGuard[float]:
    """A number that is not negative, and that a float holds."""
    return type(value) in (int, float) and 0 <= value <= sys.float_info.max


def text(value: Any) -> str:
    return "" if value is None else str(value)


def families(run: Run) -> Iterator[dict[str, Any]]:
    """A line for each family, on the photograph for each operator."""
    for name, rows in run.groups().items():
        due, apart = targets(run, name), aside(run, name)
        rest = summarise([row for row in rows if row.operator not in apart])
        found = {**summarise(rows), **{figure: rest[figure] for figure in ("worst_ratio", "worst_case")}}
        pairs = {
            "mean": (found["geometric_mean_ratio"], due["mean"]),
            "worst": (found["worst_ratio"], due["worst"]),
            "ONNX Runtime": (found["geometric_mean_onnx_ratio"], due["onnx"]),
            "ONNX Runtime's worst": (found["worst_onnx_ratio"], due["onnx_worst"]),
        }
        for operator, least in apart.items():
            pairs[operator] = (summarise([row for row in rows if row.operator == operator])["worst_ratio"], least)
        judged = {what: got >= least for what, (got, least) in pairs.items() if got is not None and least is not None}
        missed = [what for what, reached in judged.items() if not reached]
        met = None if not judged else not missed
        yield {"run": run, "name": name, "target": due, "met": met, "missed": ", ".join(missed), **found}


def aside(run: Run, family: str) -> dict[str, float]:
    """The operators of a family that the run has judged apart from its worst case, and what they were to reach."""
    found: Any = run.report.get("families")
    for name in (family, "aside"):
        found = found.get(name) if isinstance(found, dict) else None
    each = found.items() if isinstance(found, dict) else ()
    return {name: due["target"] for name, due in each if isinstance(due, dict) and is_number(due.get("target"))}


def targets(run: Run, family: str) -> dict[str, float | None]:
    """The ratios that the run wrote down for a family: they may have been others than today's."""
    found: Any = run.report.get("families")
    for name in (family, "target"):
        found = found.get(name) if isinstance(found, dict) else None
    due = found if isinstance(found, dict) else {}
    return {name: due[name] if is_number(due.get(name)) else None for name in ("mean", "worst", "onnx", "onnx_worst")}


def accuracy(run: Run) -> Iterator[dict[str, Any]]:
    """A line for each operator."""
    found: dict[str, list[Row]] = {}
    for row in run.rows:
        found.setdefault(row.operator, []).append(row)
    for operator, rows in found.items():
        shares = [row.allowed_share for row in rows if row.allowed_share is not None]
        yield {
            "run": run,
            "name": operator,
            "rows": len(rows),
            "checked": sum(row.problem is not None or row.error is not None for row in rows),
            "exact": sum(row.error == 0 and not row.problem for row in rows),
            "wrong": sum(row.problem is not None for row in rows),
            "error": max((row.error for row in rows if row.error is not None), default=None),
            "share": max(shares, default=None),
            "median": statistics.median(shares) if shares else None,
        }


# ------------------------------------------------------------------------------------------- how numbers are written

MISSING = "–"


def ratio(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}" if value < 99.95 else f"{value:.0f}"


def milliseconds(value: float | None) -> str:
    return MISSING if value is None else f"{1e3 * value:#.3g}".rstrip(".")


def percent(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.2g} %" if 0 < value < 0.1 else f"{100 * value:.0f} %"


def megabytes(value: float | None) -> str:
    return MISSING if value is None else f"{value / 1e6:.0f}"


def error(value: float | None) -> str:
    return MISSING if value is None else "exact" if value == 0 else f"{value:.1e}"


FILTERS = {"ratio": ratio, "milliseconds": milliseconds, "percent": percent, "error": error, "megabytes": megabytes}
