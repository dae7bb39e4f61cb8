"""Tasks that threads share out among themselves: each is done once, whoever does it."""

import numba
import numpy as np
import pytest
from numba import prange

from fastops.cpu.tasks import next_task, share_of


@numba.njit(parallel=True)
def run(done, dealt, workers):
    tasks, counter = done.size, np.zeros(1, np.int64)
    for worker in prange(workers):
        task, last = share_of(np.int64(worker), workers, tasks)
        task = next_task(task, last, tasks, counter)
        while task < tasks:
            done[task] += 1
            if task < last:
                dealt[task] = worker + 1
            task = next_task(task, last, tasks, counter)


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("tasks", [0, 1, 2, 3, 5, 8, 63, 64, 1000])
def test_every_task_is_done_once_and_most_are_dealt_out_in_order(tasks, workers):
    done, dealt = np.zeros(tasks, np.int64), np.zeros(tasks, np.int64)
    run(done, dealt, workers)
    assert (done == 1).all()
    first = dealt[: tasks * 3 // 4]
    assert (np.diff(first) >= 0).all() and (first > 0).all() and not dealt[tasks * 3 // 4 :].any()
    shares = np.bincount(first, minlength=workers + 1)[1:] if first.size else np.zeros(workers)
    assert shares.max() - shares.min() <= 1
