"""Blocks in Dask's worker threads: how many threads of its own a kernel gets there."""

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

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


def warmup(client: Any, function: Callable[..., Any] | None = None, *args: Any) -> dict[str, int]:
    """Prepare the workers of a cluster: share out the cores among them, and compile what a call needs.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    function : callable, optional
        A network or another function, called once on each worker, so that its kernels are compiled, or loaded: on
        each machine one worker compiles a kernel, and the others wait for it.
    *args : NumPy arrays
        What it is called with: a small image of the dtype that is to come.

    Returns
    -------
    dict
        For each worker's address the number of threads that a kernel has there: the cores of a machine over the threads
        of all its workers.

    Notes
    -----
    Without it a worker that a nanny started, as those of a LocalCluster are, runs each kernel on one thread.  A worker
    that starts later does so, too.

    Examples
    --------
    >>> import numpy as np, fastops.dask
    >>> from distributed import Client
    >>> with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
    ...     shares = fastops.dask.warmup(client, fastops.relu, np.ones((1, 3, 8, 8), np.float32))
    >>> len(shares)
    1
    """
    threads = client.nthreads()
    of_host: Counter[str] = Counter()
    for address, count in threads.items():
        of_host[_host(address)] += count
    cores = client.run(_cores)
    shares = {address: max(1, cores[address] // of_host[_host(address)]) for address in threads}
    warmed = [
        client.submit(_warm, share, function, args, workers=[address], pure=False) for address, share in shares.items()
    ]
    client.gather(warmed)
    return shares


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def _cores() -> int:
    return int(CPU_COUNT)


def _warm(share: int, function: Callable[..., Any] | None, args: tuple[Any, ...]) -> None:
    global _share
    _share = share
    if function is not None:
        computing(function, *args)


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
    pool, _, number = threading.current_thread().name.rpartition("_")
    if not number.isdigit():  # no pool's: dask's synchronous scheduler
        return int(CPU_COUNT)
    threads = len([thread for thread in threading.enumerate() if thread.name.startswith(f"{pool}_")])
    return max(1, CPU_COUNT // max(threads, 1))


def _worker() -> Any:
    """The worker of dask.distributed that this thread belongs to, or None."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_worker()
    except ValueError:
        return None
