"""Threads kept apart while they are timed: each on a core of its own.

A thread that has slept wakes on the core of the thread that wakes it, and on some systems stays there while another
core is idle: here (Linux 6.18 in a virtual machine of two cores) a parallel kernel of 38 us then took 160 us call after
call, or 4 ms where OpenMP's threads spin while they wait, until something moved one of them.  It hits each library by
chance, and says nothing about it.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

Masks = dict[int, set[int]]  # the cores that each thread may run on, by its number


def spread(process: int | None = None) -> Masks:
    """Give each thread of a process, this one or a child, a core, the first thread the first; the masks they had.

    Pools that are as large as there are cores start their threads one after the other: so each pool has all cores.
    """
    process = process or os.getpid()
    tasks = Path(f"/proc/{process}/task")
    if not hasattr(os, "sched_setaffinity") or not tasks.is_dir():
        return {}
    # numbers begin again at the largest: the first thread, which has the process's number, may be above the others
    threads, before = sorted((int(each.name) for each in tasks.iterdir()), key=lambda i: (i != process, i)), Masks()
    with contextlib.suppress(OSError):  # a thread has ended, or the system does not let us
        cores = sorted(os.sched_getaffinity(threads[0]))
        for i, thread in enumerate(threads):
            before[thread] = os.sched_getaffinity(thread)
            if len(cores) > 1:
                os.sched_setaffinity(thread, {cores[1 + (i - 1) % (len(cores) - 1)] if i else cores[0]})
    return before


def restore(before: Masks) -> None:
    """Let threads go where they could: those that one starts now may only run where it may."""
    for thread, cores in before.items():
        with contextlib.suppress(OSError):
            os.sched_setaffinity(thread, cores)


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Inside, each thread of this process has a core."""
    before = spread()
    try:
        yield
    finally:
        restore(before)
