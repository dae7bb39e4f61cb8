"""Which thread takes which task of a kernel: each its own share first, and then what others have not begun.

Threads are never as fast as each other: another program has half of a core, or a core is of a slower kind.  Shared out
by number alone, all wait for the slowest at the end of each kernel.  A kernel's loop over its tasks becomes

    taken = np.zeros(workers * LINE, np.int64)
    for worker in prange(workers):
        task = next_task(taken, np.int64(worker), workers, tasks)
        while task < tasks:
            ...
            task = next_task(taken, np.int64(worker), workers, tasks)

with ``workers``, the number of threads, as an argument.  Shares are the same in each call: what a thread has written in
one layer of a network it reads in the next, from its own cache.  That is why tasks are counted along bands of pixels
(`in_bands`) and images are copied by them.  Where the cores' caches are far apart (another die, 0.4 us to hand a number
to and fro), to read what the other thread wrote cost a fifth of ResNet-50.  Tasks do not know who runs them, so results
are the same bits.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .._jit import routine
from .simd.emit import array_data

SHARED = True  # whether a worker takes others' tasks, too; scripts/measure_balance.py says no
LINE = 8  # numbers in a line of the cache: threads that count in one would wait for each other
CROSSING = 4  # bytes of weights that are read as fast as a byte that another core has written


@intrinsic
def _claim(typing_context: Any, taken: Any, place: Any) -> Any:
    """The number at a place, which is one more for whoever asks next, in whatever thread."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = builder.gep(array_data(context, builder, signature.args[0], arguments[0]), [arguments[1]])
        return builder.atomic_rmw("add", number, ir.IntType(64)(1), "monotonic")

    return types.int64(taken, types.int64), generate


@intrinsic
def _count(typing_context: Any, taken: Any, place: Any) -> Any:
    """The number at a place as it is now, whoever changes it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = builder.gep(array_data(context, builder, signature.args[0], arguments[0]), [arguments[1]])
        return builder.load_atomic(number, "monotonic", 8)

    return types.int64(taken, types.int64), generate


@routine
def next_task(taken, worker, workers, tasks):
    """A task of a worker's share that nobody has yet, or of the next one's who has some; ``tasks``: none is left."""
    for i in range(worker, worker + workers if SHARED else worker + 1):
        whose = i % workers
        first, end = whose * tasks // workers, (whose + 1) * tasks // workers
        if _count(taken, whose * LINE) < end - first:
            task = first + _claim(taken, whose * LINE)
            if task < end:
                return task
    return tasks


@routine
def in_bands(task, pieces, others, bands):
    """(which of the others, piece) of a task: pieces in bands, and in a band all pieces for one of the others."""
    band = ((task // others + 1) * bands - 1) // pieces
    first, end = band * pieces // bands, (band + 1) * pieces // bands
    rest = task - first * others
    return rest // (end - first), first + rest % (end - first)


def bands_of(threads: int, pieces: int, weights: int, inputs: int) -> int:
    """How many bands the pieces of an image are in: one for each thread, unless it had to read too many weights."""
    return max(1, min(threads, pieces)) if weights <= CROSSING * inputs else 1
