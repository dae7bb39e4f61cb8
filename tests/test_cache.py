"""The cache on disk: what compiles again and what does not, and where the files are."""

import shutil
import zipfile
from pathlib import Path

import pytest
from package_copy import RECTIFIED, RELU

# --------------------------------------------------------------------------------------- one process after another


def test_the_second_process_compiles_nothing(copy):
    code = """
from fastops.cpu.activation import relu as formula
results = [fastops.relu(small()).tolist(), int((fastops.relu(large()) == np.maximum(large(), 0)).sum())]
report(result=results, callees=len(formula.signatures))
"""
    first = copy.run(code)
    files = copy.files()
    assert (first["hits"], first["misses"], first["callees"]) == (0, 2, 1)
    assert first["result"] == [RECTIFIED, 10**6]
    assert len(files) >= 2 and Path(first["folder"]) == next(iter(files)).parent
    second = copy.run(code)
    assert (second["hits"], second["misses"], second["callees"]) == (2, 0, 0)
    assert second["result"] == first["result"] and copy.files() == files


def test_a_kernel_is_loaded_without_what_compiles(copy):
    """Neither numba's runtime, which each process would compile, nor the modules of the functions linked into it."""
    code = """
import sys
from numba.core.runtime import rtsys
before = set(sys.modules)
fastops.relu(large()), fastops.max_pool2d(np.ones((2, 4, 16, 16), "f4"), 2)
imported = {name for name in set(sys.modules) - before if name.startswith(("numba.np.arrayobj", "numba.cpython"))}
report(imported=sorted(imported), initialized=rtsys._init)
"""
    assert copy.run(code)["initialized"]
    second = copy.run(code)
    assert second["misses"] == 0 and second["imported"] == [] and not second["initialized"]


@pytest.mark.wide
def test_dtypes_share_a_folder_and_not_a_file(copy):
    copy.run(RELU)
    both = copy.run("for dtype in ('float32', 'float64'): fastops.relu(small(dtype))\nreport()")
    assert (both["hits"], both["misses"]) == (1, 1)
    assert copy.run("for dtype in ('float64', 'float32'): fastops.relu(small(dtype))\nreport()")["hits"] == 2


def edit_a_callee(package: Path) -> list[float]:
    path, head = package / "cpu" / "activation.py", "def relu(x):\n"
    source = path.read_text()
    assert head in source
    path.write_text(source.replace(head, f"{head}    return x + type(x)(7)\n\n\ndef formerly(x):\n"))
    return [x + 7 for x in (-1, -0.5, 0, 0.5, 1)]


def edit_the_flags(package: Path) -> list[float]:
    path = package / "_jit" / "compile.py"
    source = path.read_text()
    assert 'fastmath": {"contract"}' in source
    path.write_text(source.replace('fastmath": {"contract"}', 'fastmath": {"contract", "nsz"}'))
    return RECTIFIED


def edit_another_kernel(package: Path) -> list[float]:
    path = package / "cpu" / "pool.py"
    path.write_text(path.read_text() + "# a comment\n")
    return RECTIFIED


def add_a_file(package: Path) -> list[float]:
    (package / "cpu" / "more.py").touch()
    return RECTIFIED


@pytest.mark.parametrize(
    "edit",
    [
        edit_a_callee,
        edit_the_flags,
        *(pytest.param(e, marks=pytest.mark.wide) for e in (edit_another_kernel, add_a_file)),
    ],
    ids=lambda edit: edit.__name__.replace("_", " "),
)
def test_an_edited_package_is_compiled_again(copy, edit):
    before = copy.run(RELU)
    expected = edit(copy.package)
    after = copy.run(RELU)
    assert after["folder"] != before["folder"]
    assert (after["hits"], after["misses"]) == (0, 1)
    assert (before["result"], after["result"]) == (RECTIFIED, expected)


def test_what_no_kernel_uses_may_change(copy):
    before = copy.run(RELU)
    for place in ("reshape.py", "cuda/pool.py", "cli/chart.py"):
        path = copy.package / place
        path.write_text(path.read_text() + "# a comment\n")
    after = copy.run(RELU)
    assert (after["folder"], after["hits"], after["misses"]) == (before["folder"], 1, 0)


def test_the_folders_name_depends_on_the_compiler(copy):
    keys = {
        copy.run(f"import {module}; {module}.__version__ += 'x'; report(key=_jit.cache._source_key())")["key"]
        for module in ("numba", "llvmlite")
    }
    here = copy.run("report(key=_jit.cache._source_key())")
    assert len(keys | {here["key"]}) == 3 and Path(here["folder"]).name == f"fastops-{here['key']}"


def test_the_cpu_is_part_of_the_key(copy):
    copy.run(RELU)
    other = copy.run(RELU, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert (other["hits"], other["misses"], other["result"]) == (0, 1, RECTIFIED)
    assert copy.run(RELU)["hits"] == 1


# ------------------------------------------------------------------------------------------------------- where


def test_the_variable_turns_it_off(copy):
    before = copy.everything()
    found = copy.run("fastops.relu(large())\n" + RELU, FASTOPS_CACHE="0")
    assert (found["folder"], found["hits"], found["result"]) == ("", 0, RECTIFIED)
    assert copy.everything() == before


def test_numbas_cache_folder_comes_first(copy, tmp_path):
    found = copy.run(RELU, NUMBA_CACHE_DIR=str(tmp_path / "numba"))
    assert Path(found["folder"]).parent == tmp_path / "numba" / "fastops" and list(Path(found["folder"]).iterdir())
    assert not copy.files()


def test_the_users_cache_is_in_the_home_folder(copy):
    found = copy.run(RELU, XDG_CACHE_HOME=None)
    assert Path(found["folder"]).parent == copy.home / ".cache" / "fastops" and copy.files()


def test_the_users_cache_is_where_the_user_says(copy, tmp_path):
    found = copy.run(RELU, XDG_CACHE_HOME=str(tmp_path / "xdg"))
    assert Path(found["folder"]).parent == tmp_path / "xdg" / "fastops" and not copy.files()
    assert copy.run(RELU, XDG_CACHE_HOME=str(tmp_path / "xdg"))["hits"] == 1


def test_a_relative_folder_does_not_count(copy):
    """The specification of XDG_CACHE_HOME says so; it would be another one in each working directory."""
    found = copy.run(RELU, XDG_CACHE_HOME="relative")
    assert Path(found["folder"]).is_relative_to(copy.home) and not (copy.site / "relative").exists()


def test_nothing_is_written_beside_the_package(copy):
    before = {path: path.stat().st_mtime_ns for path in copy.site.rglob("*")}
    copy.run("fastops.relu(large())\n" + RELU)
    assert {path: path.stat().st_mtime_ns for path in copy.site.rglob("*")} == before


@pytest.mark.parametrize("below_a_file", ["HOME", "XDG_CACHE_HOME"])
def test_nothing_writable_is_no_cache_and_no_error(copy, below_a_file):
    before = copy.everything()
    nowhere = str(copy.package / "__init__.py" / "below")
    found = copy.run(RELU, **{below_a_file: nowhere})
    assert (found["folder"], found["misses"], found["result"]) == ("", 1, RECTIFIED)
    assert copy.everything() == before


def test_no_home_is_no_cache_and_no_error(copy):
    """Neither HOME nor an entry in the list of users."""
    (copy.site / "sitecustomize.py").write_text("import pwd\npwd.getpwuid = {}.__getitem__\n")
    found = copy.run(RELU, HOME=None, XDG_CACHE_HOME=None)
    assert (found["folder"], found["result"]) == ("", RECTIFIED)


def test_a_package_in_an_archive_has_no_cache(copy):
    archive = copy.site / "fastops.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in copy.package.rglob("*.py"):
            file.write(path, path.relative_to(copy.site))
    shutil.rmtree(copy.package)
    found = copy.run(RELU, PYTHONPATH=str(archive))
    assert (found["folder"], found["result"]) == ("", RECTIFIED)
