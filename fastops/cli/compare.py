"""Run every operator on a photograph, or a suite of layers, beside PyTorch: are the numbers right, and how fast?"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import fastops
from fastops import _jit
from fastops.cli import EXTRA, UsageError, networks, onnx_models
from fastops.cli.ahead import compile_ahead, not_compiled
from fastops.cli.chart import draw
from fastops.cli.info import machine, versions
from fastops.cli.pages import PAGES, start_again_with
from fastops.cli.photograph import batches
from fastops.cli.processes import cores
from fastops.cli.progress import progress_bar
from fastops.yardstick import limits
from fastops.yardstick.cases import CASES, Array, Case
from fastops.yardstick.devices import CPU, Device, cuda
from fastops.yardstick.measure import HEAD, ONNX, TOLERANCE, Row, measure
from fastops.yardstick.networks import NETWORKS
from fastops.yardstick.operators import OPERATORS
from fastops.yardstick.suite import FAMILIES, SUITE
from fastops.yardstick.targets import by_family, summarise, table
from fastops.yardstick.timing import EFFORT
from fastops.yardstick.whole import MODELS, by_group
from fastops.yardstick.whole import table as network_table
from fastops.yardstick.work import with_precision

DOORS = """
More: fastops compare --suite all times the layers of well-known networks; fastops compare --json FILE, then fastops
report FILE, makes a page of plots; docs/ tells how it works. --help lists what a command takes."""
SCHEMA = 1  # of the --json file: raised when a name in it goes or changes its meaning


class Job(NamedTuple):
    """What gives one line."""

    case: Case
    batch: str
    input: Callable[[], Array]
    backward: bool
    family: str | None

    def __str__(self) -> str:
        return f"{'gradient of ' if self.backward else ''}{self.case} on {self.batch}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    operators = sorted(OPERATORS)
    families = "; ".join(f"{name}: {family.about}" for name, family in FAMILIES.items())
    parser.add_argument(
        "--suite",
        action="append",
        choices=[*FAMILIES, "networks", "all"],
        metavar="NAME",
        help="time the layers of a family in place of the photograph; may be repeated. all of them, networks for whole "
        f"networks, or {families}",
    )
    parser.add_argument(
        "--network",
        action="append",
        choices=[*NETWORKS, *MODELS],
        metavar="NAME",
        help=f"of the suite networks this one alone; may be repeated: {', '.join([*NETWORKS, *MODELS])}",
    )
    parser.add_argument(
        "--size",
        choices=("small", "full"),
        default="full",
        help="small: a check of seconds (of the whole suite: minutes); full (default): about a second for each case",
    )
    parser.add_argument(
        "--op",
        action="append",
        choices=operators,
        metavar="NAME",
        help=f"only this one; may be repeated: {', '.join(operators)}",
    )
    parser.add_argument("--backward", action="store_true", help="the gradients too, beside torch.autograd's")
    parser.add_argument("--dtype", choices=TOLERANCE, help="of every input (default: float32)")
    parser.add_argument(
        "--precision", choices=("exact", "fast"), default="exact", help="of the convolutions (default: exact)"
    )
    parser.add_argument(
        "--pages",
        choices=PAGES,
        help="fresh: large outputs on pages new from the system; recycled: on pages used before "
        "(default: as malloc does)",
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="cuda: CuPy's arrays, beside torch on the same GPU"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the ratios as a bar chart into FILE.png")


def run(arguments: argparse.Namespace) -> int:
    if arguments.pages:
        start_again_with(arguments.pages)
    device = on_device(arguments.device)
    ops = with_precision(fastops, arguments.precision)
    dtype = None if arguments.suite else arguments.dtype or "float32"
    torch = optional("torch")
    picture, jobs = jobs_of(arguments)
    drawable = torch is not None and any(OPERATORS[job.case.operator].in_torch for job in jobs)
    check_files(arguments.json, arguments.plot, drawable)
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": versions(*(["onnxruntime"] if arguments.suite else [])),
        "threads": agree_on_threads(torch),
        "threading_layer": _jit.threading_layer(),
        "size": arguments.size,
        "dtype": dtype,
        "device": arguments.device,
        "precision": arguments.precision,
        "pages": arguments.pages,
        "suite": arguments.suite,
        "picture": picture,
    }
    beside_onnx = arguments.suite and device is CPU and onnx_models.installed()
    onnx = onnx_models.OnnxRuntime(report["threads"]) if beside_onnx else None
    effort = EFFORT["suite" if arguments.suite and arguments.size == "full" else arguments.size]
    print(introduction(report))
    if jobs:
        seconds = len(jobs) * (effort.case * (1.75 if onnx else 1) + 0.3)  # of what ONNX Runtime has, turns with it
        print(f"{len(jobs)} cases, each checked and timed beside torch: about {duration(seconds)}.")
    if device is CPU and _jit.cache_folder() and (missing := not_compiled(jobs, arguments.precision)):
        print(f"Kernels of {len(missing)} of them are compiled first, in {cores()} processes, this once.", flush=True)
        compile_ahead(missing, jobs, jobs_of, arguments)
    if jobs:
        print(HEAD + ONNX.format("onnx", "function") if arguments.suite else HEAD)
    rows = []
    with onnx or nullcontext(), progress_bar(len(jobs)) as show:
        for number, job in enumerate(jobs):
            show(number, str(job))
            with torch.inference_mode(not job.backward) if torch else nullcontext():
                row = measure(
                    job.case, job.batch, job.input(), ops, torch, effort, job.backward, onnx, device, _jit.noting
                )
            rows.append(replace(row, family=job.family))
            print(coloured(rows[-1]), flush=True)
    report["summary"] = summarise(rows)
    if arguments.suite and rows:
        report["families"] = by_family(rows, arguments.precision, arguments.pages)
        print(table(report["families"]))
    report["rows"] = [asdict(row) for row in rows]
    if rows:
        print(conclusion(report["summary"]))
    whole = networks.run(arguments.network, report["threads"], arguments.size) if of_networks(arguments) else []
    if whole:
        report["networks"] = {"rows": [asdict(row) for row in whole], "groups": by_group(whole)}
        print(network_table(report["networks"]["groups"]))
    if not arguments.suite:
        print(DOORS)
    if arguments.json:
        report["limits"] = limits.measured() if device is CPU else None
        arguments.json.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    if arguments.plot and report["summary"]["beside_torch"]:
        draw(report, arguments.plot)
    return 1 if report["summary"]["wrong"] or any(row.problem for row in whole) else 0


def jobs_of(arguments: argparse.Namespace) -> tuple[str | None, list[Job]]:
    """The picture's name, if there is one, and what gives the lines."""
    if arguments.network and not of_networks(arguments):
        raise UsageError("--network belongs to --suite networks")
    if arguments.suite:
        return of_the_suite(arguments)
    return on_the_photograph(arguments, arguments.dtype or "float32")


def on_the_photograph(arguments: argparse.Namespace, dtype: str) -> tuple[str, list[Job]]:
    """The picture's name; every operator on every batch of it, then the gradients."""
    picture, inputs = batches(arguments.size, dtype)

    def jobs(backward: bool) -> Iterator[Job]:
        for case in CASES:
            if (not arguments.op or case.operator in arguments.op) and (case.has_gradient or not backward):
                yield from (Job(case, batch, partial(inputs.__getitem__, batch), backward, None) for batch in inputs)

    return picture, [*jobs(False), *(jobs(True) if arguments.backward else ())]


def of_the_suite(arguments: argparse.Namespace) -> tuple[None, list[Job]]:
    """The cases of the families asked for."""
    if arguments.backward:
        raise UsageError("--backward belongs to the photograph; the gradients are a suite of their own: backward")
    if of_networks(arguments) and arguments.device != "cpu":
        raise UsageError("--suite networks runs on the CPU, where ONNX Runtime and torch are its peers")
    if arguments.dtype:
        raise UsageError("--dtype belongs to the photograph; the cases of a suite have dtypes of their own")
    chosen = [each for each in SUITE if "all" in arguments.suite or each.family in arguments.suite]
    found = [each for each in chosen if not arguments.op or each.case.operator in arguments.op]
    if not found and not (of_networks(arguments) and not arguments.op):
        raise UsageError(f"no case of {' or '.join(arguments.op)} is in {' or '.join(arguments.suite)}")
    return None, [Job(each.case, each.batch, each.input, each.backward, each.family) for each in found]


def of_networks(arguments: argparse.Namespace) -> bool:
    return bool(arguments.suite) and "networks" in arguments.suite


def on_device(name: str) -> Device:
    """The device to run on; torch's float32 there means float32, as fastops's does."""
    if name == "cpu":
        return CPU
    cupy, torch = optional("cupy"), optional("torch")
    if cupy is None:
        raise UsageError("--device cuda needs CuPy: install fastops with its extra cuda13 (or cuda12)")
    try:
        cupy.zeros(1)
    except Exception as trouble:  # no driver, no device, or a broken toolkit
        raise UsageError(f"--device cuda: CuPy finds no device ({type(trouble).__name__}: {trouble})") from None
    if torch:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        if not torch.cuda.is_available():
            raise UsageError("--device cuda: torch finds no device; a torch built for CUDA is its peer")
    return cuda(cupy)


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
    threads = _jit.thread_count()
    if torch:
        torch.set_num_threads(threads)
    return threads


def introduction(report: dict[str, Any]) -> str:
    """What the figures below it depend on."""
    versions, load, suite = report["versions"], report["load_average"], report["suite"]
    torch = f"torch {versions['torch']}" if optional("torch") else "no torch"
    onnx = f", onnxruntime {versions['onnxruntime']}" if suite and onnx_models.installed() else ""
    what = [f"{report['threads']} threads ({report['threading_layer']})"]
    if report["device"] != "cpu":
        what = [f"device {report['device']}"]
    what += [f"pages {report['pages']}"] if report["pages"] else []
    what += [f"precision {report['precision']}"] if suite or report["precision"] != "exact" else []
    what += [report["dtype"]] if report["dtype"] else []
    lines = [f"fastops {versions['fastops']}, {torch}{onnx}; {'; '.join(what)}"]
    lines += [f"{report['machine']['cpu']}; " + (f"suite {', '.join(suite)}" if suite else report["picture"])]
    packages = {"torch": "torch", **({} if suite else {"skimage": "scikit-image"}), "rich": "rich"}
    missing = [package for module, package in packages.items() if not optional(module)]
    if missing:
        lines += [f"Not installed: {', '.join(missing)}. To install: {EXTRA}"]
    if suite and not onnx and report["device"] == "cpu":
        lines += [f"Without ONNX Runtime, which is not installed. To install: {onnx_models.EXTRA}"]
    if load and load > 1:
        lines += [f"This machine was busy in the last minute (load average {load:.1f}): read the times with care."]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """In words, as good as such a guess is."""
    return f"{10 * max(1, round(seconds / 10))} seconds" if seconds < 100 else f"{round(seconds / 60)} minutes"


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
