"""No kernel touches memory beyond its arrays: they lie between two pages that may not be read.

Not only those of the call: the buffers and results that fastops allocates lie there too. The operators of each module
run, with their gradients, in a process of its own, so that a fault is a failure with a name and not the end of pytest.
"""

import copy
import ctypes
import functools
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import calls
import numpy as np
import pytest
from agreement import assert_close

import fastops
from fastops import _jit, cpu
from fastops.yardstick.calls import Call
from fastops.yardstick.operators import TABLE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")

CALLS = [*calls.CALLS, *(call for width in (1, 2, 3, 5, 7, 8, 9, 15, 17, 31, 33) for call in calls.of_width(width))]
WITH_OUT = {operator.name for operator in TABLE if operator.out}  # and no gradient
PAGE = mmap.PAGESIZE


def module(call: Call) -> str:
    """Where the function stands whose call or gradient this is."""
    return getattr(fastops, call.op.removesuffix("_backward")).__module__


def guarded(array: np.ndarray, at_the_end: bool) -> np.ndarray:
    """A copy that ends where an unreadable page begins, or begins where one ends."""
    if not array.size:
        return array
    room = -(-array.nbytes // PAGE) * PAGE
    region = mmap.mmap(-1, PAGE + room + PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(region))
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    for page in (address, address + PAGE + room):
        if mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), mmap.PROT_NONE if hasattr(mmap, "PROT_NONE") else 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    start = PAGE + (room - array.nbytes if at_the_end else 0)
    twin = np.frombuffer(region, array.dtype, array.size, start).reshape(array.shape)
    twin[...] = array
    return twin


def allocating(make, at_the_end: bool):
    """numpy.empty or numpy.zeros, its arrays between guards."""

    def guarded_make(*args, **options):
        return guarded(make(*args, **options), at_the_end)

    return guarded_make


def call_between_guards(call: Call, dtype: type) -> None:
    run, arrays = getattr(fastops, call.op), call.arrays(dtype)
    expected = run(**copy.deepcopy(arrays), **call.options)  # batch_norm writes into two of them
    for build in ("serial", "parallel"):
        with _jit.only(build):
            run(**copy.deepcopy(arrays), **call.options)  # compiles: numba must find numpy.empty as it is
            for at_the_end in (True, False):
                print(f"{call}, {dtype.__name__}, {build}, guard {'after' if at_the_end else 'before'}", flush=True)
                given = calls.each(functools.partial(guarded, at_the_end=at_the_end), arrays)
                into = {}
                if call.op in WITH_OUT and not call.options.get("return_indices"):
                    into = dict(out=guarded(np.zeros_like(expected), at_the_end))
                empty, zeros = allocating(np.empty, at_the_end), allocating(np.zeros, at_the_end)
                with mock.patch.multiple(np, empty=empty, zeros=zeros), mock.patch.object(cpu, "empty", empty):
                    result = run(**given, **call.options, **into)
                assert_close(result, expected)


def in_a_process(*words: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(Path(fastops.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, __file__, *words]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name", sorted({module(call) for call in CALLS}))
def test_nothing_beyond_the_arrays_is_touched(name):
    done = in_a_process(name)
    last = done.stdout.strip().rpartition("\n")[2]
    assert done.returncode == 0, f"{done.returncode} in: {last}\n{done.stderr}"


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("what", ["argument", "allocation"])
def test_the_guards_guard(side, what):
    assert in_a_process("touch", side, what).returncode == -signal.SIGSEGV


def touch(side: str, what: str) -> None:
    at_the_end = side == "after"
    array = guarded(np.ones(5), at_the_end) if what == "argument" else allocating(np.empty, at_the_end)(5)
    ctypes.string_at(array.ctypes.data + (array.nbytes if side == "after" else -1), 1)


if __name__ == "__main__":
    if sys.argv[1] == "touch":
        touch(*sys.argv[2:])
    for chosen in CALLS:
        if module(chosen) == sys.argv[1]:
            call_between_guards(chosen, np.float32)
            call_between_guards(chosen, np.float64)
