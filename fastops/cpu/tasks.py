"""Which thread takes which task of a kernel: most are dealt out, the rest goes to whoever has done its own.

Threads are never as fast as each other: another program has half of a core, or a core is of a slower kind.  Shared out
by number alone, all wait for the slowest at the end of each kernel.  A kernel's loop over its tasks becomes

    counter = np.zeros(1, np.int64)
    for worker in prange(workers):
        task, last = share_of(np.int64(worker), workers, tasks)
        task = next_task(task, last, tasks, counter)
        while task < tasks:
            ...
            task = next_task(task, last, tasks, counter)

with ``workers``, the number of threads, as an argument.  Whatever is dealt out, is so in each call alike: what a thread
has written in one layer of a network it reads in the next, from its own cache.  Tasks do not know who runs them, so
results are the same bits.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .._jit import routine
from .simd.emit import array_data


@intrinsic
def _claim(typing_context: Any, counter: Any) -> Any:
    """The counter's number, which is one more for whoever asks next, in whatever thread."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = array_data(context, builder, signature.args[0], arguments[0])
        return builder.atomic_rmw("add", place, ir.IntType(64)(1), "monotonic")

    return types.int64(counter), generate


DEALT, OF = 3, 4  # three quarters are dealt out


@routine
def _dealt(tasks):
    """How many tasks are dealt out."""
    return tasks * DEALT // OF


@routine
def share_of(worker, workers, tasks):
    """(the task before a worker's first one, the one after its last one), of those that are dealt out."""
    return worker * _dealt(tasks) // workers - 1, (worker + 1) * _dealt(tasks) // workers


@routine
def next_task(task, last, tasks, counter):
    """The task after ``task``: the next one of a share, or one that nobody has; from ``tasks`` on, none."""
    return task + 1 if task + 1 < last else _dealt(tasks) + _claim(counter)
