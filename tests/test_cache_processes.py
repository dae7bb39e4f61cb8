"""The cache on disk, of several processes at once, and of both builds."""

import hashlib
import sys
from itertools import product

import calls
import numpy as np
import oracle
import pytest
from agreement import assert_close
from package_copy import OPS, RECTIFIED, RELU, finish

import fastops
from fastops import _jit

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


@pytest.mark.parametrize("first", ["small()", pytest.param("large()", marks=pytest.mark.wide)])
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
_jit.cache._lock = lambda file: None  # as on a file system that has no locks
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
    code = "import test_cache_processes\nreport(bits=test_cache_processes.check_a_share({}, {}))"
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
