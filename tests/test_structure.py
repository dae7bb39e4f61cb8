"""The plan of the house, as CONTRIBUTING tells it, read from the imports: who uses whom, and what the outside sees."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import fastops
from fastops import _jit

PACKAGE = Path(fastops.__file__).parent
FAMILIES = {
    "activation", "conv", "elementwise", "linear", "loss", "mse_loss", "norm", "pool", "rectifier", "reshape", "resize",
    "roi_pool", "softmax",
}  # fmt: skip
SECTIONS = ["Parameters", "Returns", "Raises", "References", "Examples"]
OPTIONAL = {"torch", "skimage", "rich", "matplotlib", "jinja2"}  # the extra `compare`

LATE = {
    ("_arrays", "cuda"), ("_arrays", "dask"), ("cuda._libraries", "cupy"), ("cli.info", "cuda"),
    ("_jit.parts", "numba.np"), ("onnx.profile", "matplotlib.figure"),
    ("onnx.backend", "onnx.backend.test.runner"),
}  # fmt: skip
ONNX = {  # what the modules of fastops.onnx may import of each other, and of the other packages beside numpy
    "dtypes": ([], []),
    "graph": ([], []),
    "versions": (["graph"], []),
    "wire": ([], []),
    "arity": ([], []),
    "pages": (["graph"], []),
    "tensors": (["dtypes", "graph", "wire"], ["onnx"]),
    "reader": (["arity", "dtypes", "graph", "tensors", "versions", "wire"], ["onnx", "google"]),
    "simplify": (["graph", "operators", "operators.table"], []),
    "fusion.rewrite": (["graph"], []),
    "fusion.layer_norm": (["graph", "fusion.rewrite"], []),
    "fusion.patterns": (["graph", "fusion.rewrite"], []),
    "fusion.weights": (["graph", "fusion.rewrite", "pages"], []),
    "fusion": (["graph", "fusion.layer_norm", "fusion.patterns", "fusion.weights"], []),
    "fusion.elementwise": (["graph"], []),
    "fusion.epilogue": (["graph", "fusion.elementwise", "fusion.rewrite", "operators.convolutions"], []),
    "fusion.inverted": (
        ["graph", "fusion.epilogue", "fusion.rewrite", "operators.convolutions", "operators.table"],
        [],
    ),
    "inference": (["fusion.elementwise", "graph", "operators", "operators.table", "simplify"], []),
    "buffers": ([], []),
    "plan": (["graph", "operators", "operators.table", "simplify"], []),
    "schedule": (["graph", "inference", "operators", "simplify"], []),
    "scheduler": (
        [
            "buffers",
            "fusion.elementwise",
            "fusion.epilogue",
            "fusion.inverted",
            "graph",
            "inference",
            "operators",
            "operators.convolutions",
            "operators.table",
            "pages",
            "plan",
            "schedule",
        ],
        [],
    ),
    "blocks.pieces": ([], []),
    "blocks.rule": (["blocks.pieces", "graph", "inference", "operators"], []),
    "blocks.pixels": (["blocks.pieces", "blocks.rule", "inference", "operators", "simplify"], []),
    "blocks.windowed": (
        [
            "blocks.pieces",
            "blocks.rule",
            "inference",
            "operators",
            "operators.convolutions",
            "operators.pools",
            "operators.resize",
            "operators.windows",
        ],
        [],
    ),
    "blocks.local": (["blocks.pieces", "blocks.rule", "graph", "inference", "operators", "simplify"], []),
    "blocks.batch": (["blocks.rule", "graph", "inference"], []),
    "blocks": (
        ["blocks.batch", "blocks.local", "blocks.pixels", "blocks.rule", "blocks.windowed", "graph", "inference"],
        [],
    ),
    "profile": (["plan", "schedule"], ["matplotlib"]),
    "progress": ([], []),
    "network": (
        [
            "blocks",
            "fusion",
            "fusion.epilogue",
            "graph",
            "operators",
            "operators.table",
            "pages",
            "plan",
            "profile",
            "progress",
            "reader",
            "schedule",
            "scheduler",
            "simplify",
        ],
        [],
    ),
    "backend": (["network"], ["onnx"]),
    "": (["backend", "network", "profile"], ["onnx"]),
}
KERNELS = {  # that no public function has
    "fusion.elementwise": ["chain"],
    "fusion.inverted": ["conv"],
    "scheduler": ["chain", "contiguous"],
}
KEEPING = {("nn.conv", "_conv2d"), ("nn.conv", "_conv_transpose2d")}

FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}


class Import(NamedTuple):
    """What one name of an import statement stands for: "cpu.conv" is a module of the package, "numba.core" is not."""

    module: str
    name: str  # what is taken out of the module, or ""
    ours: bool
    inside: bool  # in a function


def module_of(path: Path) -> str:
    """The module's name inside the package; "" is the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports_of(path: Path) -> list[Import]:
    found = []

    def walk(block: ast.AST, inside: bool) -> None:
        for node in ast.iter_child_nodes(block):
            if isinstance(node, ast.Import):
                found.extend(taken(alias.name, "", inside) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                package = ["fastops", *path.relative_to(PACKAGE).parts[:-1]]
                above = package[: len(package) + 1 - node.level] if node.level else []
                source = ".".join([*above, *([node.module] if node.module else [])])
                found.extend(taken(source, alias.name, inside) for alias in node.names)
            elif not isinstance(node, ast.expr):  # no expression holds an import
                walk(node, inside or isinstance(node, ast.FunctionDef))

    walk(TREES[path], False)
    return found


def taken(source: str, name: str, inside: bool) -> Import:
    top, _, rest = source.partition(".")
    if top != "fastops":
        return Import(source, name, False, inside)
    below = f"{rest}.{name}".lstrip(".")
    return Import(below, "", True, inside) if name and below in MODULES else Import(rest, name, True, inside)


IMPORTS = {module_of(path): imports_of(path) for path in FILES}


def may_import(module: str) -> tuple[set[str], set[str]]:
    """The modules of the package and the other packages that this one may import."""
    room, _, name = module.partition(".")
    every = {
        part: {each for each in MODULES if each.split(".")[0] == part}
        for part in ("_jit", "cpu", "cuda", "dask", "nn", "onnx", "torch", "yardstick", "cli")
    }
    if module == "":
        return FAMILIES | {"nn"}, set()
    if module in FAMILIES:
        return {"_arrays", "_backend", "_options", "_shapes"}, {"numpy"}
    if module == "_options":
        return set(), set()
    if module == "_shapes":
        return {"_options"}, set()
    if module == "_backend":
        return every["cpu"] - {"cpu"}, {"numpy"}
    if module == "_arrays":
        return {"_backend", "cpu", "cuda", "dask"}, {"numpy"}
    if room == "_jit":
        below = {"": every["_jit"], "compile": {"_jit.cache", "_jit.parts", "_jit.threads"}}
        return below.get(name, set()) - {module}, {"numpy", "numba", "llvmlite"}
    if room == "cpu":
        wings = {each for each in every["cpu"] if each.count(".") > 1 and not each.startswith("cpu.simd.")}
        ours = {each for each in wings if each.rpartition(".")[0] in (module, module.rpartition(".")[0])}
        return {"_jit", *every["cpu"]} - {"cpu" if name else ""} - (wings - ours), {"numpy", "numba", "llvmlite"}
    if room == "cuda":
        shared = {"cpu.activation", "cpu.exp", "cpu.log", "cpu.softmax", "cpu.windows"}
        scalars = {f"cpu.{name}", f"cpu.{name.partition('_')[0]}", *shared}  # its family's
        scalars = scalars if name else {"_backend"}
        return scalars | every["cuda"] - {"cuda" if name else ""}, {"numpy", "numba", "llvmlite", "cupy"}
    if room == "dask":  # a plug: its tasks call the entries of the CPU, and nothing that families do
        below = {"_backend", "_options", "_shapes", "cpu", *({"_jit"} if name == "workers" else ())}
        others = {"numpy", "dask", *({"numba"} if name == "workers" else ())}
        return below | every["dask"] - {"dask" if name else ""}, others
    if room == "nn":
        return {"_arrays", "_options", "_shapes", *FAMILIES, *every["nn"]} - {"nn" if name else ""}, {"numpy"}
    if room == "torch":  # a plug: nothing of fastops imports it
        below = {"_arrays", "_options", "_shapes", "cpu", "nn.fuse", *FAMILIES}
        return below | every["torch"] - {"torch" if name else ""}, {"numpy", "torch"}
    if room == "onnx":
        if name.partition(".")[0] == "operators":
            below = {"onnx.graph", "onnx.dtypes"} | {each for each in every["onnx"] if "operators." in each}
            return {"_backend", "_shapes", *FAMILIES} | below, {"numpy"}
        below, others = ONNX[name]
        ours = {"_arrays", "_backend", "_options", "cpu"} if name in ("simplify", "plan", "network") else set()
        ours |= {"cpu"} if name in ("inference", "schedule", "scheduler", "blocks.rule", "blocks.local") else set()
        ours |= {"_jit"} if name == "progress" else set()
        ours |= {f"cpu.{each}" for each in KERNELS.get(name, ())}
        return ours | {f"onnx.{each}" for each in below}, {"numpy", *others}
    if module == "__main__":
        return {"", *every["cli"]}, set()
    if room == "yardstick":  # which asv_bench loads, too, beside an older fastops
        return every["yardstick"] - {"yardstick"}, {"numpy", *(("numba", "llvmlite") if name == "limits" else ())}
    if room == "cli":
        below = {"", "_jit", *every["yardstick"], *({"cuda"} if name == "info" else ())}
        below |= {"cpu.chain", "cpu.contiguous", "cpu.conv", "cpu.elementwise"} if name == "warmup" else set()
        return below | every["cli"], {"numpy", *OPTIONAL}
    raise AssertionError(f"{module} has no place in the plan")


def test_the_imports_are_read():
    """The rest is worth nothing if nothing is found."""
    assert Import("_shapes", "", True, False) in IMPORTS["conv"]
    assert Import("_arrays", "Array", True, False) in IMPORTS["conv"]
    assert Import("_jit", "kernel", True, False) in IMPORTS["cpu.conv.direct"]
    assert Import("numba", "prange", False, False) in IMPORTS["cpu.conv.direct"]
    assert Import("cuda", "", True, True) in IMPORTS["_arrays"]
    assert FAMILIES <= set(MODULES)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module or "fastops")
def test_imports_go_downward_only(module):
    ours, others = may_import(module)
    for each in IMPORTS[module]:
        if each.ours:
            assert each.module in ours, f"{module or 'fastops'} imports fastops.{each.module}"
        else:
            top = each.module.split(".")[0]
            assert top in sys.stdlib_module_names or top in others, f"{module or 'fastops'} imports {each.module}"


def test_no_module_imports_itself_through_others():
    uses = {module: {each.module for each in found if each.ours} - {module} for module, found in IMPORTS.items()}
    uses = {module: used for module, used in uses.items() if used}
    while uses:
        free = [module for module, used in uses.items() if not used & set(uses)]
        assert free, f"a cycle among {sorted(uses)}"
        for module in free:
            del uses[module]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module or "fastops")
def test_imports_stand_at_the_top(module):
    """Save those of fastops.cuda and CuPy, when somebody uses CUDA, of packages that the command line may lack, and of
    what numba loads only where it compiles."""
    for each in IMPORTS[module]:
        if each.inside:
            late = (module, each.module) in LATE
            optional = module.startswith("cli.") and not each.ours and each.module.split(".")[0] in OPTIONAL
            assert late or optional, f"{module} imports {each.module or 'fastops'} in a function"
        else:
            optional = OPTIONAL - ({"torch"} if module.split(".")[0] == "torch" else set())
            assert each.ours or each.module.split(".")[0] not in optional
            assert (module, each.module) not in LATE
            assert module.startswith("dask") or each.ours or each.module.split(".")[0] != "dask"


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("cli.")], ids=str)
def test_nothing_is_imported_by_a_name_in_a_string(module):
    names = {node.id for node in ast.walk(TREES[MODULES[module]]) if isinstance(node, ast.Name)}
    assert "__import__" not in names and not any(each.module.startswith("importlib") for each in IMPORTS[module])


def test_the_yardstick_needs_nothing_of_fastops():
    """asv_bench loads its files from its own checkout, under another name, beside an older fastops or none."""
    code = f"""if True:
        import importlib, importlib.util, sys
        sys.modules["fastops"] = None
        spec = importlib.util.spec_from_file_location("apart", {str(MODULES["yardstick"])!r},
            submodule_search_locations=[{str(PACKAGE / "yardstick")!r}])
        sys.modules["apart"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["apart"])
        for name in {sorted(module for module in MODULES if module.startswith("yardstick."))!r}:
            importlib.import_module(name.replace("yardstick", "apart"))
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("nn.")])
def test_layers_use_what_is_public(module):
    """Save that a convolution's layer keeps transformed weights, which the functions do not."""
    for each in IMPORTS[module]:
        if each.module in FAMILIES and (module, each.name) not in KEEPING:
            assert each.name in fastops.__all__, f"{module} imports {each.name} of {each.module}"


# ------------------------------------------------------------------------------------------------ names and docs


def test_all_names_the_public_functions():
    functions = {name for name, value in vars(fastops).items() if inspect.isfunction(value)}
    assert fastops.__all__ == sorted(fastops.__all__)
    assert set(fastops.__all__) - {"nn"} == functions


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_family_defines_what_is_public_and_nothing_else(family):
    names = {node.name for node in TREES[MODULES[family]].body if isinstance(node, ast.FunctionDef)}
    public = {name for name in names if not name.startswith("_")}
    assert public and public <= set(fastops.__all__)


@pytest.mark.parametrize("name", [name for name in fastops.__all__ if name != "nn"])
def test_a_public_docstring_has_its_sections(name):
    doc = inspect.getdoc(getattr(fastops, name)) or ""
    titles = re.findall(r"^(\w+)\n-+\n(?=\S)", doc, re.MULTILINE)
    assert [title for title in titles if title in SECTIONS] == SECTIONS
    assert re.match(r"\S.*\.\n\n", doc), "one line of what it does comes first"
    assert f"fastops.{name}(" in doc.partition("Examples\n")[2]


def test_kernel_names_begin_with_an_underscore():
    kernels = {}
    for module, path in MODULES.items():
        for node in ast.walk(TREES[path]):
            if isinstance(node, ast.FunctionDef) and any("kernel" in ast.dump(each) for each in node.decorator_list):
                kernels[f"{module}.{node.name}"] = node.name
    pytest.importorskip("fastops.cuda", reason="numba.cuda cannot be imported", exc_type=Exception)
    importlib.import_module("fastops.cpu.chain")  # which networks alone have
    known = [*_jit.kernels, *fastops.cuda._launch.kernels]
    names = {kernel.name for kernel in known}  # some more are made for constants, when they are needed
    assert set(kernels) <= names
    assert [name for name in names if not name.rpartition(".")[2].startswith("_")] == []
