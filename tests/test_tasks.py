"""Tasks that threads share out among themselves: each is done once, whoever does it."""

import numba
import numpy as np
import pytest
from numba import prange

from fastops.cpu.tasks import LINE, bands_of, in_bands, next_task


@numba.njit(parallel=True)
def run(done, by, workers):
    tasks, taken = done.size, np.zeros(workers * LINE, np.int64)
    for worker in prange(workers):
        task = next_task(taken, np.int64(worker), workers, tasks)
        while task < tasks:
            done[task] += 1
            by[task] = worker
            task = next_task(taken, np.int64(worker), workers, tasks)


@numba.njit
def order(worker, workers, tasks):
    """What a worker takes when the others sleep."""
    taken, found = np.zeros(workers * LINE, np.int64), []
    task = next_task(taken, worker, workers, tasks)
    while task < tasks:
        found.append(task)
        task = next_task(taken, worker, workers, tasks)
    return np.array(found + [tasks])


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("tasks", [0, 1, 2, 3, 5, 8, 63, 64, 1000])
def test_every_task_is_done_once(tasks, workers):
    done, by = np.zeros(tasks, np.int64), np.full(tasks, -1)
    run(done, by, workers)
    assert (done == 1).all()
    assert ((by >= 0) & (by < workers)).all()


@pytest.mark.parametrize("workers, tasks", [(1, 5), (2, 7), (3, 3), (5, 4), (4, 100)])
def test_a_worker_begins_with_its_own_share_and_goes_on_with_the_next_ones(workers, tasks):
    for worker in range(workers):
        *found, end = order(worker, workers, tasks)
        assert end == tasks
        first = worker * tasks // workers
        assert found == [*range(first, tasks), *range(first)]


@pytest.mark.parametrize("pieces, others, bands", [(1, 1, 1), (7, 3, 1), (7, 3, 2), (7, 1, 7), (17, 2, 2), (5, 4, 3)])
def test_bands_hold_all_pieces_for_each_of_the_others(pieces, others, bands):
    found = [in_bands.py_func(task, pieces, others, bands) for task in range(pieces * others)]
    edges = [band * pieces // bands for band in range(bands + 1)]
    expected = [
        (other, piece)
        for first, end in zip(edges[:-1], edges[1:], strict=True)
        for other in range(others)
        for piece in range(first, end)
    ]
    assert found == expected


def test_many_weights_are_shared_out_instead_of_pixels():
    assert bands_of(2, 17, weights=147_456, inputs=401_408) == 2
    assert bands_of(2, 17, weights=2_359_296, inputs=25_088) == 1
    assert bands_of(16, 3, weights=1, inputs=1) == 3
