"""An operator needs little memory beside its arguments and its result, on every case of the suite."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MiB = 1 << 20
THREADS = 2

pytestmark = [
    pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the counter is Linux's"),
    pytest.mark.wide,  # the whole suite of timed cases, in half a minute
    pytest.mark.xdist_group("peak memory"),
]


@pytest.fixture(scope="module")
def cases() -> list[dict]:
    script = Path(__file__).with_name("peak_memory.py")
    threads = dict(NUMBA_NUM_THREADS=str(THREADS), MALLOC_ARENA_MAX="1")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env={**os.environ, **threads})
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def allowed(case: dict) -> float:
    """Bytes beside arguments, result and transformed weights: a quarter of them, 8 MiB, or an image for each thread."""
    quarter = (case["given"] + case["result"]) / 4
    return case["result"] + case["weights"] * 16 / 9 + max(quarter, 8 * MiB, THREADS * case["image"])


def test_every_case_stays_below(cases):
    assert len(cases) > 400
    over = [f"{case['name']}: {case['peak'] / MiB:.1f} MiB of {allowed(case) / MiB:.1f}" for case in cases
            if case["peak"] > allowed(case)]  # fmt: skip
    assert over == []


def test_the_measure_sees_the_result(cases):
    """A measure that saw nothing would find everything small."""
    large = [case for case in cases if case["result"] > 16 * MiB and "flatten" not in case["name"]]
    assert len(large) > 20
    assert all(case["peak"] > 0.9 * case["result"] for case in large)
