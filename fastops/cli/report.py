"""Make one page of HTML, which needs no network, of the JSON files that `fastops compare --json` has written."""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

from fastops.cli import EXTRA, UsageError, report_figures, report_networks, report_plots
from fastops.cli.report_figures import Run, is_number
from fastops.yardstick.measure import Row

SCHEMA = 1  # of the files; what older files of this schema lack, the page says so
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TEXTS, NUMBERS = ("operator", "case", "batch"), ("error", "allowed_share", "fastops_seconds", "torch_seconds", "ratio")
# Numbers that older files lack.
LATER = ("onnx_seconds", "onnx_ratio", "operations", "bytes_moved", "layer_seconds", "onnx_function_ratio")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN.json", help="what `fastops compare --json` wrote")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("fastops-report.html"),
        metavar="FILE.html",
        help="the page (default: fastops-report.html)",
    )


def run(arguments: argparse.Namespace) -> int:
    for name in ("jinja2", "matplotlib"):
        try:
            importlib.import_module(name)
        except ImportError:
            raise UsageError(f"the page is made with Jinja2 and matplotlib, to install: {EXTRA}") from None
    if len(arguments.runs) > len(LETTERS):
        raise UsageError(f"a page takes {len(LETTERS)} runs, got {len(arguments.runs)}")
    runs = [
        read(path, LETTERS[i] if len(arguments.runs) > 1 else "") for i, path in enumerate(map(Path, arguments.runs))
    ]
    output: Path = arguments.output
    if any(output.exists() and output.samefile(path) for path in arguments.runs):
        raise UsageError(f"--output {output} is one of the files to read, and would be overwritten")
    try:
        # What JSON can hold and UTF-8 cannot, halves of surrogate pairs, becomes a question mark.
        output.write_text(page(runs), encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from None
    results = sum(len(each.rows) + len(each.networks) for each in runs)
    print(f"{output}: {results} results, {output.stat().st_size / 1e3:.0f} kB")
    return 0


def read(path: Path, letter: str) -> Run:
    """A run; UsageError says what is wrong with the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} is not JSON") from None
    if not isinstance(found, dict) or "schema" not in found or not isinstance(found.get("rows"), list):
        raise UsageError(f"{path} is not a report of `fastops compare --json`")
    if found["schema"] != SCHEMA:
        raise UsageError(f"{path} has schema {found['schema']!r}; this fastops reads schema {SCHEMA}")
    for name in ("machine", "versions"):
        if not isinstance(found.get(name), dict):
            raise UsageError(f"{path} is not a report of `fastops compare --json`: it has no {name}")
    rows = [row_of(row, f"{path}, row {number}") for number, row in enumerate(found["rows"], 1)]
    networks = report_networks.rows_of(found, str(path))
    if not rows and not networks:
        raise UsageError(f"{path} has no results")
    return Run(letter, path.name, found, rows, networks)


def row_of(found: Any, where: str) -> Row:
    """A row, each value of the type that the page counts on."""
    if not isinstance(found, dict):
        raise UsageError(f"{where} is not a result of `fastops compare`")
    for name in (*TEXTS, *NUMBERS, "shape", "problem"):
        if name not in found:
            raise UsageError(f"{where} has no {name}")
    wrong = [name for name in TEXTS if not isinstance(found[name], str)]
    wrong += [name for name in (*NUMBERS, *LATER) if found.get(name) is not None and not is_number(found[name])]
    wrong += [name for name in ("problem", "family", "dtype") if not isinstance(found.get(name), str | None)]
    wrong += [name for name in ("shape", "kernels") if not isinstance(found.get(name, []), list)]
    if wrong:
        raise UsageError(f"{where}: {wrong[0]} is {found[wrong[0]]!r:.60}")
    taken = {name: found[name] for name in Row.__dataclass_fields__ if name in found}
    taken |= {name: printable(taken[name]) for name in (*TEXTS, "family") if taken.get(name) is not None}
    taken |= {name: tuple(map(str, taken.get(name, ()))) for name in ("shape", "kernels")}
    return Row(**taken)


def printable(text: str) -> str:
    """The text without control characters, which SVG cannot hold."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def page(runs: list[Run]) -> str:
    """The whole page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fastops.cli"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(report_figures.FILTERS)
    template = environment.get_template("report.html")
    told = {**report_figures.figures(runs), **report_networks.figures(runs)}
    return str(template.render(told, plots=report_plots.plots(runs), several=len(runs) > 1))
