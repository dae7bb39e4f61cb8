"""Where each operator is: `python docs/sources.py` writes docs/sources.csv, the table of the page on dashboards.

All of it is read from the source; tests/test_docs.py holds the file to this script.
"""

import ast
import csv
import io
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHARED = {"arithmetic", "check", "contiguous", "sums"}  # what many families use beside their own kernels
COPIES = {"cpu": "contiguous", "cuda": "_gather"}
HEADER = ("operator", "promise", "kernels on the CPU", "kernels on CUDA", "benchmark", "tests")

GUESTS = {"roi_pool": "pool", "mse_loss": "loss"}  # whose tests and benchmarks stand in the files of another family

FAMILIES = (
    "conv", "pool", "resize", "linear", "roi_pool", "norm", "elementwise", "rectifier", "activation", "softmax", "loss",
    "mse_loss", "reshape",
)  # fmt: skip


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(module: ast.Module) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}


def entries(family: str, names: tuple[str, ...]) -> set[str]:
    """The modules ``on.<module>`` that functions of a family use, themselves or through others of their file."""
    defined, found, seen = functions(tree(ROOT / "fastops" / f"{family}.py")), set(), set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in defined and name not in seen:
            seen.add(name)
            for node in ast.walk(defined[name]):
                if isinstance(node, ast.Name):
                    todo.append(node.id)
                elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "on":
                    found.add(node.attr)
    return found


def file_of(room: Path, module: str) -> Path:
    """The file of a module, which may be a package."""
    return room / module / "__init__.py" if (room / module).is_dir() else room / f"{module}.py"


def imported(room: Path, module: str) -> set[str]:
    """The modules of the same room that one imports; those of a package inside are ``package/module``."""
    path, found = file_of(room, module), set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.level and room in path.parents[node.level - 1 :]:
            above = path.parents[node.level - 1].relative_to(room)
            names = [node.module.replace(".", "/")] if node.module else [alias.name for alias in node.names]
            found |= {(above / name).as_posix() for name in names}
    return {name for name in found if file_of(room, name).is_file()}


def has_kernels(path: Path) -> bool:
    """Whether a file defines kernels, or makes them."""
    nodes = list(ast.walk(tree(path)))
    decorators = [each for node in nodes if isinstance(node, ast.FunctionDef) for each in node.decorator_list]
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    return any("'kernel'" in ast.dump(each) for each in decorators + calls)


def kernels(room: Path, first: set[str]) -> str:
    """The files with kernels that are reached by imports from the entries, these first."""
    seen: set[str] = set()
    todo = {name for name in first - SHARED if file_of(room, name).is_file()}
    start = set(todo)
    while todo:
        name = todo.pop()
        if name not in seen and name not in SHARED and not name.startswith("_"):
            seen.add(name)
            todo |= imported(room, name)
    named = sorted(start) + sorted(name for name in seen - start if has_kernels(file_of(room, name)))
    return ", ".join(named) or f"a view, or a copy by {COPIES[room.name]}"


def benchmark(family: str, operator: str) -> str:
    """The benchmark of the operator: the file in asv_bench/benchmarks of its family, and the class made of the name."""
    family = GUESTS.get(family, family)
    nodes = ast.walk(tree(ROOT / "asv_bench" / "benchmarks" / f"{family}.py"))
    assert any(isinstance(node, ast.alias) and node.name == "times" for node in nodes)
    return f"{family}.{operator}"


def tests(family: str) -> str:
    """The test files of a family."""
    family = GUESTS.get(family, family)
    own = f"test_gradients_{family}"
    if family in ("linear", "resize"):  # which have the gradients with the operators
        return f"test_{family}"
    return f"test_{family}, {own if (ROOT / 'tests' / f'{own}.py').is_file() else 'test_gradients'}"


def rows() -> list[tuple[str, ...]]:
    """A row for each operator, in the order of the reference."""
    table = []
    for family in FAMILIES:
        for name in functions(tree(ROOT / "fastops" / f"{family}.py")):
            if not name.startswith("_") and not name.endswith("_backward"):
                first = entries(family, (name, f"{name}_backward"))
                rooms = (kernels(ROOT / "fastops" / room, first) for room in ("cpu", "cuda"))
                table.append((f"`{name} <fastops.{name}>`", family, *rooms, benchmark(family, name), tests(family)))
    return table


def text() -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([HEADER, *rows()])
    return file.getvalue()


if __name__ == "__main__":
    Path(__file__).with_name("sources.csv").write_text(text(), encoding="utf-8")
