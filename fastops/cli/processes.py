"""Calls in processes of their own, a share of them in each, with a progress bar: for what waits for the compiler."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from typing import Any

from fastops.cli import UsageError
from fastops.cli.progress import progress_bar


def cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(call: Callable[..., Any], shares: Sequence[Sequence[tuple[Any, ...]]]) -> None:
    """Call with each tuple of arguments, those of a share in one fresh process; Ctrl-C stops them at once."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pools = [stack.enter_context(ProcessPoolExecutor(1, context)) for _ in shares]
        on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited by the workers: this process ends them
        futures = {pool.submit(call, *each): each for pool, share in zip(pools, shares, strict=True) for each in share}
        signal.signal(signal.SIGINT, on_interrupt)
        try:
            with progress_bar(len(futures)) as show:
                for done, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    show(done, " ".join(map(str, futures[future])))
        except BaseException as error:
            for pool in pools:
                pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise UsageError("a compiling process died; is there enough memory?") from None
            raise
