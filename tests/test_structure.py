"""The plan of the house: who imports whom, read from the source; and what every public function must have."""

import ast
import inspect
from pathlib import Path

import pytest

import fastops
from fastops import _jit

PACKAGE = Path(fastops.__file__).parent
FAMILIES = ("conv", "elementwise", "loss", "norm", "pool", "reshape", "softmax")
EXTRAS = {"matplotlib", "rich", "skimage", "torch"}  # imported by the command line where they are needed

# What the files of a room may import of the package; a trailing dot stands for the room itself.
ALLOWED = {
    "_shapes": set(),
    "_jit": set(),
    "_arrays": {"cpu", "cuda"},
    "cpu.": {"cpu.", "_jit"},
    "cuda.": {"cuda.", "cpu.", "_jit"},
    **{family: {"_shapes", "_arrays"} for family in FAMILIES},
    "nn.": {"nn.", "_shapes", "_arrays", *FAMILIES},
    "cli.": {"cli.", "", "_jit", "nn."},
    "__main__": {"", "cli."},
    "": {*FAMILIES, "nn."},
}
NUMBA_ROOMS = {"_jit", "cpu.", "cuda.", "cli."}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def room(module):
    """The key of ALLOWED for a module's name without "fastops."."""
    first = module.partition(".")[0]
    return f"{first}." if f"{first}." in ALLOWED else first


def imports(module, path):
    """(name, whether inside a function) of each import; names in the package begin with "fastops"."""
    tree = ast.parse(path.read_text())
    inner = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    package = ["fastops", *module.split(".")] if module else ["fastops"]
    package = package if path.name == "__init__.py" else package[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in inner
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                whole = ".".join([*base, alias.name])
                known = (PACKAGE.parent / whole.replace(".", "/")).with_suffix(".py").exists()
                known = known or (PACKAGE.parent / whole.replace(".", "/")).is_dir()
                yield whole if known else ".".join(base), id(node) in inner


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_run_downward(module, path):
    allowed = {a.rstrip(".") for a in ALLOWED[room(module)]}
    for name, inside_function in imports(module, path):
        top, _, rest = name.partition(".")
        if top == "fastops":
            target = room(rest).rstrip(".")
            assert target in allowed, f"fastops.{module} imports {name}"
            late = (module, target) == ("_arrays", "cuda") or room(module) == "cli."
            assert late or not inside_function, f"{module} imports {name} late"
        else:
            assert top not in ("numba", "llvmlite") or room(module) in NUMBA_ROOMS, f"{module} imports {name}"
            assert top != "cupy", f"{module} imports cupy: look for it in sys.modules"
            assert top not in EXTRAS or (inside_function and room(module) == "cli."), f"{module} imports {name}"


def test_there_are_no_cycles():
    edges = {m: {n.removeprefix("fastops").lstrip(".") for n, _ in imports(m, p) if n.startswith("fastops")}
             for m, p in modules()}  # fmt: skip
    done: set[str] = set()

    def visit(module, path):
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for following in edges.get(module, ()):
                if following != "cuda":  # late, and at a CUDA array only
                    visit(following, (*path, module))
            done.add(module)

    for module in edges:
        if module and not module.startswith(("cli", "__main__")):  # the command line stands above the package
            edges[module].discard("")
            visit(module, ())


def test_all_is_what_is_public():
    public = {n for n, v in vars(fastops).items() if inspect.isfunction(v) and not n.startswith("_")}
    assert set(fastops.__all__) == public | {"nn"}


@pytest.mark.parametrize("name", sorted(set(fastops.__all__) - {"nn"}))
def test_docstrings_are_complete(name):
    doc = inspect.getdoc(getattr(fastops, name))
    sections = ("Parameters", "Returns", "Raises", "References", "Examples")
    missing = [s for s in sections if f"\n{s}\n{'-' * len(s)}\n" not in doc]
    assert not missing
    parameters = inspect.signature(getattr(fastops, name)).parameters
    undocumented = [p for p in parameters if p not in doc.partition("Returns")[0]]
    assert not undocumented


def test_kernels_are_private():
    assert all(kernel.name.rpartition(".")[2].startswith("_") for kernel in _jit.kernels)
    assert len({kernel.name for kernel in _jit.kernels}) == len(_jit.kernels)
