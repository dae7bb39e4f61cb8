"""What of ONNX runs, and where: `python docs/network_operators.py` writes a table of the page on networks.

It is read from the table of operators and the first sentence of each file; tests/test_docs.py holds the CSV file to it.
"""

import csv
import importlib
import io
from pathlib import Path

from fastops.onnx.operators import OPERATORS

FILE = Path(__file__).with_name("network-operators.csv")
HEADER = ("operators", "how", "file")


def rows() -> list[tuple[str, str, str]]:
    """A row for each file of fastops/onnx/operators that puts operators into the table."""
    by_module: dict[str, list[str]] = {}
    for name, operator in OPERATORS.items():
        by_module.setdefault(operator.make.__module__, []).append(name)
    found = []
    for module, names in sorted(by_module.items()):
        said = (importlib.import_module(module).__doc__ or "").strip().partition("\n\n")[0]
        how = " ".join(said.split()).removesuffix(".")
        found.append((", ".join(sorted(names)), how, f"``{module.replace('.', '/')}.py``"))
    return found


def text() -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([HEADER, *rows()])
    return out.getvalue()


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
