"""The cache on disk, on a copy of the package in a folder of its own, always in fresh processes."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from itertools import product
from pathlib import Path

import calls
import numpy as np
import oracle
import pytest
from agreement import assert_close

import fastops
from fastops import _jit

# Prefixed to what a process runs; report() is the last thing it prints.
PREAMBLE = """
import json, os, sys
import numpy as np
import fastops
from fastops import _jit

def report(**more):
    found = dict(file=fastops.__file__, folder=str(_jit.cache_folder() or ""), hits=0, misses=0)
    for kernel in _jit.kernels:
        for build in (kernel.parallel, kernel.serial):
            found["hits"] += sum(build.stats.cache_hits.values())
            found["misses"] += sum(build.stats.cache_misses.values())
    print(json.dumps({**found, **more}))

def small(dtype="float32"):
    return np.linspace(-1, 1, 5).astype(dtype)

def large(dtype="float32"):
    return np.linspace(-1, 1, 10**6).astype(dtype)
"""
RELU = "report(result=fastops.relu(small()).tolist())"
RECTIFIED = [0.0, 0.0, 0.0, 0.5, 1.0]
OPS = ("conv2d", "log_softmax", "cross_entropy", "mse_loss")  # which call loops that add up, some of them the same


class Copy:
    """A copy of the package; `run` starts a process that imports it."""

    def __init__(self, folder: Path):
        self.site, self.home = folder / "site", folder / "home"
        self.package = self.site / "fastops"
        shutil.copytree(Path(fastops.__file__).parent, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        self.home.mkdir()

    def start(self, code: str, stdin: bool = False, **environment: str | None) -> subprocess.Popen:
        ours = {name: value for name, value in os.environ.items() if name not in ("FASTOPS_CACHE", "NUMBA_CACHE_DIR")}
        path = os.pathsep.join([str(self.site), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        ours |= dict(PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1", HOME=str(self.home), XDG_CACHE_HOME="")
        ours["OPENBLAS_NUM_THREADS"] = "1"  # numba imports scipy at the first load, and that its threads
        env = {name: value for name, value in {**ours, **environment}.items() if value is not None}
        command, pipes = [sys.executable, "-W", "error", "-c"], dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        pipes |= dict(stdin=subprocess.PIPE) if stdin else {}
        return subprocess.Popen([*command, PREAMBLE + code], cwd=self.site, env=env, text=True, **pipes)

    def run(self, code: str, **environment: str | None) -> dict:
        found = finish(self.start(code, **environment))
        assert Path(found["file"]).is_relative_to(self.site)
        return found

    def files(self) -> dict[Path, bytes]:
        """What the cache in the home folder holds of compiled kernels."""
        return {path: path.read_bytes() for path in sorted(self.home.glob(".cache/fastops/fastops-*/*.nbc"))}

    def everything(self) -> list[Path]:
        return sorted(self.site.parent.rglob("*"))


def finish(process: subprocess.Popen) -> dict:
    """What a process reported; it fails the test by ending badly or by printing a word of complaint."""
    try:
        output, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, ""), f"{process.returncode}\n{output}\n{errors}"
    return json.loads(output.splitlines()[-1])


@pytest.fixture
def copy(tmp_path) -> Copy:
    return Copy(tmp_path)


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


# ------------------------------------------------------------------------------------------------- the old ones go


def keys(copy) -> set[str]:
    return {path.name for path in copy.home.glob(".cache/fastops/*")}


def edit_again(copy, number: int) -> None:
    path = copy.package / "cpu" / "pool.py"
    path.write_text(path.read_text() + f"# {number}\n")


def test_the_latest_used_keys_stay(copy):
    names = []
    for number in range(_jit.cache.KEPT + 2):
        edit_again(copy, number)
        names.append(Path(copy.run("report()")["folder"]).name)
        if number == 2:
            first = copy.home / ".cache" / "fastops" / names[0] / "in-use"
            os.utime(first)  # as a process does that uses it once more
    assert keys(copy) == {names[0], *names[-_jit.cache.KEPT + 1 :]}


def test_what_a_process_uses_stays(copy):
    """However old it is: here the process waits for a line, while others fill the cache with newer keys."""
    old = copy.start("report()\nsys.stdout.flush()\nsys.stdin.readline()\nfastops.relu(small())\nreport()", stdin=True)
    name = Path(json.loads(old.stdout.readline())["folder"]).name
    for number in range(_jit.cache.KEPT + 1):
        edit_again(copy, number)
        copy.run("report()")
    assert name in keys(copy) and len(keys(copy)) == _jit.cache.KEPT + 1
    output, errors = old.communicate("go on\n", timeout=300)
    assert json.loads(output)["misses"] == 1 and errors == ""
    edit_again(copy, -1)
    copy.run("report()")
    assert name not in keys(copy)


def test_a_folder_inside_the_package_is_of_an_earlier_version_and_goes(copy):
    old = copy.package / "__pycache__" / "fastops-0123456789abcdef"
    old.mkdir(parents=True)
    (old / "kernel.nbc").write_bytes(bytes(100))
    copy.run("report()")
    assert not old.exists()


def test_clear_removes_all_keys_and_a_process_that_runs_goes_on(copy):
    copy.run(RELU)
    edit_again(copy, 1)
    code = (
        "fastops.relu(small())\ncleared = _jit.cache.clear()\nfastops.relu(small('float64'))\nreport(cleared=cleared)"
    )
    found = copy.run(code)
    assert found["cleared"] > 10_000 and found["misses"] == 2
    assert keys(copy) == {Path(found["folder"]).name} and len(copy.files()) == 1


# ----------------------------------------------------------------------------------------------------- mishaps


def flipped(content: bytes) -> bytes:
    """One bit of machine code, in the middle, the other way round."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "empty": lambda content: b"",
    "the first byte alone": lambda content: content[:1],
    "half": lambda content: content[: len(content) // 2],
    "all but the last byte": lambda content: content[:-1],
    "garbage": lambda content: b"\x93garbage" * 1000,
    "zeros": lambda content: bytes(len(content)),
    "a pickle of something else": lambda content: pickle.dumps(42),
    "a pickle of a class that is not there": lambda content: b"cno_such_module\nNo\n.",
    "one bit": flipped,
}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(damage, id=name, marks=() if name in ("empty", "half", "one bit") else pytest.mark.wide)
        for name, damage in DAMAGES.items()
    ],
)
def test_a_damaged_file_is_a_miss_and_mended(copy, damage):
    copy.run(RELU)
    files = copy.files()
    for path, content in files.items():
        path.write_bytes(damage(content))
    damaged = copy.run(RELU)
    assert (damaged["hits"], damaged["misses"], damaged["result"]) == (0, 1, RECTIFIED)
    mended = copy.run(RELU)
    assert (mended["hits"], mended["misses"], mended["result"]) == (1, 0, RECTIFIED)


@pytest.mark.wide
def test_each_damaged_file_alone_is_no_error(copy):
    """And the files beside it are still good."""
    both = "fastops.relu(large())\n" + RELU
    copy.run(both)
    files = copy.files()
    for path in files:
        path.write_bytes(b"garbage")
        found = copy.run(both)
        assert (found["hits"], found["misses"], found["result"]) == (1, 1, RECTIFIED)


def test_a_file_of_another_signature_is_a_miss(copy):
    """As when somebody renames files: no kernel may run on a type that it was not compiled for."""
    copy.run("fastops.relu(small('float64'))\nreport()")
    (doubles,) = copy.files().items()
    doubles[0].unlink()
    copy.run(RELU)
    (singles,) = copy.files()
    singles.write_bytes(doubles[1])
    assert copy.run(RELU)["result"] == RECTIFIED


def test_a_folder_that_is_deleted_while_the_process_runs_is_made_again(copy):
    code = """
import shutil
shutil.rmtree(_jit.cache_folder())
fastops.relu(small())
shutil.rmtree(_jit.cache_folder())
fastops.relu(small("float64"))
report(result=fastops.relu(small()).tolist())
"""
    found = copy.run(code)
    assert (found["misses"], found["result"]) == (2, RECTIFIED)
    assert copy.run("fastops.relu(small('float64'))\n" + RELU)["hits"] == 1  # what was stored after the last deletion


def test_a_folder_that_becomes_a_file_is_no_error(copy):
    code = "import shutil\nshutil.rmtree(_jit.cache_folder())\n_jit.cache_folder().touch()\n"
    found = copy.run(code + RELU)
    assert (found["misses"], found["result"]) == (1, RECTIFIED)
    found = copy.run(RELU)  # which has no other candidate
    assert (found["folder"], found["result"]) == ("", RECTIFIED)


def test_a_full_disk_is_no_error(copy):
    """Every write of a large file fails."""
    code = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    assert copy.run(code + RELU)["result"] == RECTIFIED
    assert copy.run(RELU)["result"] == RECTIFIED


# --------------------------------------------------------------------------- serial and parallel, several processes


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_the_serial_build_from_a_warm_cache_launches_no_threads(copy):
    copy.run("fastops.relu(large())\n" + RELU)
    for call, expected in (("small()", False), ("large()", _jit.threading_layer() != "none")):
        found = copy.run(f"""
from numba.np.ufunc import parallel
before = len(os.listdir("/proc/self/task"))
fastops.relu({call})
report(launched=parallel._is_initialized, more=len(os.listdir("/proc/self/task")) - before)
""")
        assert (found["hits"], found["misses"], found["launched"]) == (1, 0, expected)
        assert found["more"] == 0 or expected


@pytest.mark.parametrize("first", ["small()", "large()"])
def test_builds_that_two_processes_stored_stay_apart(copy, first):
    second = {"small()": "large()", "large()": "small()"}[first]
    for call in (first, second):
        assert copy.run(f"fastops.relu({call})\nreport()")["misses"] == 1
    for call in (second, first):
        code = f"report(same=bool((fastops.relu({call}) == np.maximum({call}, 0)).all()))"
        assert copy.run(code)["same"] and copy.run(code)["misses"] == 0


def test_two_processes_that_store_at_once_do_not_disturb_each_other(copy, tmp_path):
    """Each waits, ready to store, for the other: one kernel for two dtypes."""
    code = """
import pathlib, time
store = _jit.cache.Cache.save_overload

def together(self, sig, data):
    pathlib.Path({here!r}, dtype).touch()
    while len(os.listdir({here!r})) < 2:
        time.sleep(0.001)
    store(self, sig, data)

_jit.cache.Cache.save_overload = together
dtype = {dtype!r}
fastops.relu(small(dtype))
report()
"""
    for attempt in range(3):
        here = tmp_path / str(attempt)
        here.mkdir()
        both = [copy.start(code.format(here=str(here), dtype=dtype)) for dtype in ("float32", "float64")]
        assert [finish(process)["misses"] for process in both] == [1, 1]
        found = copy.run("fastops.relu(small('float64'))\n" + RELU)
        assert (found["hits"], found["misses"], found["result"]) == (2, 0, RECTIFIED)
        assert not [path for path in copy.files() if ".tmp" in path.name]
        for path in copy.files():
            path.unlink()


@pytest.mark.wide
def test_what_several_processes_compiled_at_once_and_in_any_order_works_together(copy):
    """Each of four compiles a quarter of OPS, two at a time; a fifth loads everything and gives the same bits.

    Numba tells compiled functions of one name apart by a counter that starts again in each process: kernels cached by
    two processes once called each other's callees. And the linker once took a callee's own code in the process that
    compiled it, the kernel's copy in the others: sums differed in the last bit.
    """
    code = "import test_cache\nreport(bits=test_cache.check_a_share({}, {}))"
    bits = {}
    for pair in ((0, 1), (2, 3)):
        for process in [copy.start(code.format(first, 4)) for first in pair]:
            bits |= finish(process)["bits"]
    together = copy.run(code.format(0, 1))
    assert together["misses"] == 0 and together["hits"] > 10
    assert {call for call, digest in together["bits"].items() if bits[call] != digest} == set()


def test_a_kernel_keeps_its_callees_to_itself(copy):
    """No symbol of a kernel can take, or be taken by, another kernel's of the same name."""
    code = """
for x in (small(), large()):
    fastops.log_softmax(x.reshape(5, -1), 1)
libraries = [result.library for kernel in _jit.kernels for build in (kernel.serial, kernel.parallel)
             for result in build.overloads.values()]
functions = [(function.name, function.linkage.name) for library in libraries
             for function in library.get_defined_functions()]
report(libraries=len(libraries), functions=functions)
"""
    found = copy.run(code)
    assert found["libraries"] == 2 and any("rows_log_sums" in name for name, _ in found["functions"])
    assert {linkage for _, linkage in found["functions"]} == {"external", "internal"}


def check_a_share(first: int, step: int) -> dict[str, str]:
    """Every step-th build of an operator from the first on; the later shares from the end."""
    bits = {}
    share = list(product(OPS, ("parallel", "serial")))[first::step]
    for op, build in reversed(share) if first > 1 else share:
        for call in calls.CALLS:
            finite = all(np.isfinite(array).all() for array in calls.arrays_in(call.arrays(np.float32)))
            if call.op == op and "precision" not in call.options and finite:
                with _jit.only(build):
                    actual = getattr(fastops, op)(**call.arrays(np.float32), **call.options)
                bits[f"{call} {build}"] = hashlib.sha256(b"".join(map(bytes, calls.arrays_in([actual])))).hexdigest()
                assert_close(actual, getattr(oracle, op)(**call.arrays(np.float32), **call.options))
    return bits
