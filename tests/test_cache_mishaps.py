"""The cache on disk: old folders, damaged files, full disks."""

import json
import os
import pickle
from pathlib import Path

import pytest
from package_copy import RECTIFIED, RELU

from fastops import _jit

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
        pytest.param(damage, id=name, marks=() if name in ("half", "one bit") else pytest.mark.wide)
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
