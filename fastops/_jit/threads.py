"""Threads and forks: whether a kernel may run in parallel here, on which of numba's threading layers."""

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numba
from numba.core import config
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel

one_at_a_time = threading.Lock()
"""Held by the parallel kernel that runs on the workqueue layer, which ends the process where two Python threads do."""

_layer: str | None = None
_serial_only = False


class _Thread(threading.local):
    """What holds for one of Python's threads."""

    serial = False


_thread = _Thread()
_forked = False


def thread_count() -> int:
    """How many threads a parallel kernel runs on (the first call starts them)."""
    return int(parallel._get_num_threads()) if usable() else 1  # numba's own way there takes two locks, 1 us


def threading_layer() -> str:
    """The name of numba's threading layer ("tbb", "omp", "workqueue"), or "none" where kernels run serially."""
    return str(_layer) if usable() else "none"


def usable() -> bool:
    """Whether parallel kernels may run; the first call starts the threads."""
    global _layer, _serial_only
    if _thread.serial:
        return False
    if _layer is None and not _serial_only:
        if config.DISABLE_JIT or config.NUMBA_NUM_THREADS == 1:
            _serial_only = True
        else:
            unsafe = _forked and _gnu_openmp_is_loaded()  # before the launch, which loads it
            try:
                with global_compiler_lock, _short_spins():  # a fork waits for the lock
                    parallel._launch_threads()
                _layer = numba.threading_layer()
                _serial_only = unsafe and _layer == "omp"
            except Exception:
                _serial_only = True
                warnings.warn(
                    f"fastops runs on one thread: numba cannot load the threading layer "
                    f"{config.THREADING_LAYER!r} that NUMBA_THREADING_LAYER asks for",
                    RuntimeWarning,
                    stacklevel=2,
                )
    return not _serial_only


@contextlib.contextmanager
def serially() -> Iterator[None]:
    """Kernels that this thread of Python's calls inside run on it alone: others of its kind fill the cores."""
    before, _thread.serial = _thread.serial, True
    try:
        yield
    finally:
        _thread.serial = before


@contextlib.contextmanager
def _short_spins() -> Iterator[None]:
    """Let the threads of a GNU OpenMP that is loaded here wait actively for 4000 rounds, not 300 000.

    A thread that spins for milliseconds at the end of a region keeps from the core the one that it waits for, whenever
    somebody else spins as well: NumPy's own threads after every matrix product did (two 64 x 256 x 256 and two kernels
    took 16 ms instead of 0.5).  A thread that sleeps costs more than it takes to wake it: it may wake on the core of
    the other, and stays there while another core is idle.  With 4000 rounds networks took 0.93 to 0.98 times as long
    as with 2000, where a quarter of them ran on one core after a pause; with 6000 as long as with 4000.  From NumPy's
    threads to these and back take 0.08 ms more than with 2000.  A setting of the user's own stays.
    """
    name, settings = "GOMP_SPINCOUNT", ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    ours = not any(setting in os.environ for setting in settings)
    if ours:
        os.environ[name] = "4000"  # libgomp reads it when it is loaded
    try:
        yield
    finally:
        if ours:
            del os.environ[name]


def _gnu_openmp_is_loaded() -> bool:
    try:
        return "libgomp" in Path("/proc/self/maps").read_text(errors="replace")
    except OSError:  # not Linux
        return False


def _after_fork() -> None:
    """In a forked child: stay serial if threads ran in the parent.

    GNU OpenMP ends the process at its first parallel region or, if it was torch that used it in the parent, hangs.
    """
    global _forked, _serial_only, one_at_a_time
    _forked = True
    one_at_a_time = threading.Lock()
    _serial_only = _serial_only or parallel._is_initialized
    global_compiler_lock.release()


if hasattr(os, "register_at_fork"):
    # A fork waits until no thread compiles: the child would find numba's lock taken, and wait for ever.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=_after_fork,
    )
