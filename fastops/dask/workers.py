"""Blocks in Dask's worker threads: how many threads of its own a kernel gets there."""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import dask
import numba
from dask.system import CPU_COUNT

from .. import _jit

_share: int | None = None  # of the cores, for a kernel in this process; None: found by the scheduler's threads


def computing(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What a task calls: the function of blocks, whose kernels get as many threads as Dask leaves cores for."""
    share = threads_of_a_kernel()
    if share == 1:
        with _jit.serially():
            return function(*args, **options)
    if share < CPU_COUNT and _jit.thread_count() > 1:
        numba.set_num_threads(min(share, _jit.thread_count()))  # of this thread of Python's alone
    return function(*args, **options)


def threads_of_a_kernel() -> int:
    """The cores, shared out among the threads that run tasks."""
    if _share is not None:
        return _share
    worker = _worker()
    if worker is not None:
        # a nanny sets it to 1 where it starts a worker for each core, or each thread; `warmup` knows better
        if os.environ.get("OMP_NUM_THREADS") == "1":
            return 1
        return max(1, CPU_COUNT // worker.state.nthreads)
    if threading.current_thread() is threading.main_thread():  # dask's synchronous scheduler
        return int(CPU_COUNT)
    pool = dask.config.get("pool", None)
    workers = getattr(pool, "_max_workers", None) or dask.config.get("num_workers", None) or CPU_COUNT
    return max(1, CPU_COUNT // workers)


def _worker() -> Any:
    """The worker of dask.distributed that this thread belongs to, or None."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_worker()
    except ValueError:
        return None
