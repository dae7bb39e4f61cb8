"""Run every operator on a photograph beside PyTorch: are the numbers right, and how fast are they?"""

import argparse
import importlib
import json
import os
import statistics
import sys
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastops import _jit
from fastops.cli import EXTRA, UsageError
from fastops.cli.cases import CASES
from fastops.cli.chart import draw
from fastops.cli.info import machine, versions
from fastops.cli.measure import EFFORT, HEAD, TOLERANCE, Row, measure
from fastops.cli.photograph import batches
from fastops.cli.progress import progress_bar

SCHEMA = 1  # of the --json file: raised when a name in it goes or changes its meaning


def add_arguments(parser: argparse.ArgumentParser) -> None:
    operators = sorted({case.operator for case in CASES})
    parser.add_argument(
        "--size",
        choices=EFFORT,
        default="full",
        help="small: a check of seconds; full (default): two minutes, four with --backward",
    )
    parser.add_argument(
        "--op",
        action="append",
        choices=operators,
        metavar="NAME",
        help=f"only this one; may be repeated: {', '.join(operators)}",
    )
    parser.add_argument("--backward", action="store_true", help="the gradients too, beside torch.autograd's")
    parser.add_argument("--dtype", choices=TOLERANCE, default="float32", help="of every input (default: float32)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the ratios as a bar chart into FILE.png")


def run(arguments: argparse.Namespace) -> int:
    torch = optional("torch")
    cases = [case for case in CASES if not arguments.op or case.operator in arguments.op]
    check_files(arguments.json, arguments.plot, drawable=torch is not None and any(case.in_torch for case in cases))
    picture, inputs = batches(arguments.size, arguments.dtype)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": versions(),
        "threads": agree_on_threads(torch),
        "threading_layer": _jit.threading_layer(),
        "size": arguments.size,
        "dtype": arguments.dtype,
        "picture": picture,
    }
    print(introduction(report))
    print(HEAD)
    work = [(case, batch, False) for case in cases for batch in inputs]
    if arguments.backward:
        work += [(case, batch, True) for case in cases if case.has_gradient for batch in inputs]
    rows = []
    with progress_bar(len(work)) as show:
        for number, (case, batch, backward) in enumerate(work):
            show(number, f"{'gradient of ' if backward else ''}{case} on {batch}")
            with torch.inference_mode(not backward) if torch else nullcontext():
                rows.append(measure(case, batch, inputs[batch], torch, EFFORT[arguments.size], backward))
            print(coloured(rows[-1]), flush=True)
    report["summary"] = summarise(rows)
    report["rows"] = [asdict(row) for row in rows]
    print(conclusion(report["summary"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    if arguments.plot and report["summary"]["beside_torch"]:
        draw(report, arguments.plot)
    return 1 if report["summary"]["wrong"] else 0


def optional(module: str) -> Any:
    """The module, or None where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def check_files(json_file: Path | None, plot: Path | None, drawable: bool) -> None:
    """Refuse before the long run what could not be written after it."""
    if plot and plot.suffix.lower() != ".png":
        raise UsageError(f"--plot writes a PNG picture: its name must end in .png, got {plot}")
    if plot and not optional("matplotlib"):
        raise UsageError(f"--plot needs matplotlib, to install: {EXTRA}")
    if plot and not drawable:
        raise UsageError(f"--plot draws ratios of times to torch's, which lacks this operator or is missing: {EXTRA}")
    for path in filter(None, (json_file, plot)):
        existed = path.exists()
        try:
            path.open("a").close()
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
        if not existed:
            path.unlink()


def agree_on_threads(torch: Any) -> int:
    """Give torch as many threads as fastops uses, and return that number.

    In this order: starting numba's threads sets torch's number too, where both use the same OpenMP.
    """
    threads = _jit.threads()
    if torch:
        torch.set_num_threads(threads)
    return threads


def introduction(report: dict[str, Any]) -> str:
    """What the figures below it depend on."""
    versions, load = report["versions"], report["load_average"]
    torch = f"torch {versions['torch']}" if optional("torch") else "no torch"
    threads = f"{report['threads']} threads ({report['threading_layer']})"
    lines = [f"fastops {versions['fastops']}, {torch}; {threads}; {report['dtype']}"]
    lines += [f"{report['machine']['cpu']}; {report['picture']}"]
    packages = {"torch": "torch", "skimage": "scikit-image", "rich": "rich"}
    missing = [package for module, package in packages.items() if not optional(module)]
    if missing:
        lines += [f"Not installed: {', '.join(missing)}. To install: {EXTRA}"]
    if load and load > 1:
        lines += [f"This machine was busy in the last minute (load average {load:.1f}): read the times with care."]
    return "\n".join(lines)


def summarise(rows: list[Row]) -> dict[str, Any]:
    ratios = {row.name: row.ratio for row in rows if row.ratio}
    worst = min(ratios, key=lambda name: ratios[name]) if ratios else None
    return {
        "rows": len(rows),
        "checked": sum(row.problem is not None or row.error is not None for row in rows),
        "wrong": sum(row.problem is not None for row in rows),
        "beside_torch": len(ratios),
        "geometric_mean_ratio": statistics.geometric_mean(ratios.values()) if ratios else None,
        "worst_ratio": ratios[worst] if worst else None,
        "worst_case": worst,
    }


def conclusion(summary: dict[str, Any]) -> str:
    counts = f"{summary['rows']} results, {summary['checked']} checked, {summary['wrong']} wrong."
    if not summary["beside_torch"]:
        return counts
    mean, worst = summary["geometric_mean_ratio"], summary["worst_ratio"]
    return f"{counts} Torch's time / fastops's: geometric mean {mean:.2f}, worst {worst:.2f} ({summary['worst_case']})."


def coloured(row: Row) -> str:
    """On a terminal red for a wrong result, yellow for one slower than torch's."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return str(row)
    colour = "31" if row.problem else "33" if row.ratio and row.ratio < 1 else "0"
    return f"\033[{colour}m{row}\033[0m"
