"""No kernel touches memory beyond its arrays: they lie between two pages that may not be read.

Each operator runs in a process of its own, so that a fault is a failure with a name and not the end of pytest.
"""

import ctypes
import functools
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import calls
import numpy as np
import pytest
from agreement import assert_close

import fastops
from fastops import _jit

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")

CALLS = [*calls.CALLS, *(call for width in (1, 2, 3, 5, 7, 8, 9, 15, 17, 31, 33) for call in calls.of_width(width))]
WITHOUT_OUT = {"flatten", "cross_entropy", "softmax_cross_entropy_with_logits", "mse_loss"}
PAGE = mmap.PAGESIZE


def guarded(array: np.ndarray, at_the_end: bool) -> np.ndarray:
    """A copy that ends where an unreadable page begins, or begins where one ends."""
    room = -(-array.nbytes // PAGE) * PAGE
    region = mmap.mmap(-1, PAGE + room + PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(region))
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    for page in (address, address + PAGE + room):
        if mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), mmap.PROT_NONE if hasattr(mmap, "PROT_NONE") else 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    start = PAGE + (room - array.nbytes if at_the_end else 0)
    copy = np.frombuffer(region, array.dtype, array.size, start).reshape(array.shape)
    copy[...] = array
    return copy


def call_between_guards(call: calls.Call, dtype: type) -> None:
    run = getattr(fastops, call.op)
    expected = run(*call.arrays(dtype), **call.options)
    for build in ("serial", "parallel"):
        for at_the_end in (True, False):
            print(f"{call}, {dtype.__name__}, {build}, guard {'after' if at_the_end else 'before'}", flush=True)
            arrays = calls.each(functools.partial(guarded, at_the_end=at_the_end), call.arrays(dtype))
            into = {}
            if call.op not in WITHOUT_OUT and not call.options.get("return_indices"):
                into = dict(out=guarded(np.zeros_like(expected), at_the_end))
            with _jit.only(build):
                assert_close(run(*arrays, **call.options, **into), expected)


def in_a_process(*words: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(Path(fastops.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, __file__, *words]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("op", sorted({call.op for call in CALLS}))
def test_nothing_beyond_the_arrays_is_touched(op):
    done = in_a_process(op)
    last = done.stdout.strip().rpartition("\n")[2]
    assert done.returncode == 0, f"{done.returncode} in: {last}\n{done.stderr}"


@pytest.mark.parametrize("side", ["before", "after"])
def test_the_guards_guard(side):
    assert in_a_process("touch", side).returncode == -signal.SIGSEGV


def touch(side: str) -> None:
    array = guarded(np.ones(5), at_the_end=side == "after")
    ctypes.string_at(array.ctypes.data + (array.nbytes if side == "after" else -1), 1)


if __name__ == "__main__":
    if sys.argv[1] == "touch":
        touch(sys.argv[2])
    for chosen in CALLS:
        if chosen.op == sys.argv[1]:
            call_between_guards(chosen, np.float32)
            call_between_guards(chosen, np.float64)
