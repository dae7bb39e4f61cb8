"""Calls in processes of their own, with a progress bar: for what waits for the compiler."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from fastops.cli import UsageError
from fastops.cli.progress import progress_bar

Share = Sequence[tuple[Any, ...]]


def cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(call: Callable[..., Any], shares: Sequence[Share], processes: int) -> None:
    """Call with each tuple of arguments, one process for those of a share; Ctrl-C stops all at once.

    The strings among the arguments stand beside the bar.
    """
    context = multiprocessing.get_context("spawn")
    queue, total, done = context.SimpleQueue(), sum(map(len, shares)), 0
    with (
        ProcessPoolExecutor(min(processes, len(shares)), context, initializer=_tell, initargs=(queue,)) as pool,
        progress_bar(total, seconds_between_lines=5) as show,
    ):
        try:
            with _interrupt_waits():  # inherited by the workers, for good: this process ends them
                futures = [pool.submit(_run, call, list(share)) for share in shares]
            left: Iterable[Any] = futures
            while left:
                _, left = wait(futures, timeout=0.1, return_when=FIRST_EXCEPTION)
                failed = [each for each in futures if each.done() and each.exception()]
                for each in failed:
                    each.result()
                while not queue.empty():
                    done += 1
                    show(done, queue.get())
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise UsageError("a compiling process died; is there enough memory?") from None
            raise


@contextmanager
def _interrupt_waits() -> Iterator[None]:
    """Ctrl-C is heard at the end of the block, and never by processes that start inside."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_queue: Any = None


def _tell(queue: Any) -> None:
    global _queue
    _queue = queue


def _run(call: Callable[..., Any], share: Share) -> None:
    for arguments in share:
        call(*arguments)
        _queue.put(" ".join(each for each in arguments if isinstance(each, str)))
