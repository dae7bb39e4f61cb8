"""Threads that are timed are kept apart, and go where they may afterwards."""

import os
import subprocess
import sys
import threading

import pytest

from fastops.yardstick.cores import apart, restore, spread

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no such masks")
CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}


def masks():
    return {int(each): os.sched_getaffinity(int(each)) for each in os.listdir("/proc/self/task")}


@pytest.mark.skipif(len(CORES) < 2, reason="one core")
def test_each_thread_has_a_core_inside_and_its_own_ones_again_afterwards():
    over = threading.Event()
    waiting = threading.Thread(target=over.wait)
    waiting.start()
    before = masks()
    with apart():
        inside = masks()
        assert all(len(cores) == 1 for cores in inside.values())
        assert inside[os.getpid()].isdisjoint(inside[waiting.native_id])
    assert masks() == before
    over.set()
    waiting.join()


def test_a_process_of_another_one():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = spread(child.pid)
    assert found == {child.pid: CORES} and os.sched_getaffinity(child.pid) == {min(CORES)}
    restore(found)
    assert os.sched_getaffinity(child.pid) == CORES
    child.communicate(b"\n")
    restore(found)  # it is gone
    assert spread(child.pid) == {}
