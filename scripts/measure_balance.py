"""Measure how evenly operators share their work among more threads than this machine has cores.

`python scripts/measure_balance.py` runs the suite's cases as 1 to 64 threads would, but every thread's share of each
parallel region one after the other on one core, and times each, in memory that is used again.  A region takes as long
as its longest share; what is outside of regions takes what it takes.  Printed is the speedup that this allows over the
number of threads, for calls of more than half a millisecond.  Caches and memory shared by many cores, and waking the
threads, are not in it; above 100 % are shares that fit a cache that the whole does not fit.  Here nobody takes tasks of
another's share (fastops/cpu/tasks.py): where they do it is no worse.
"""

import argparse
import ctypes
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from fastops.cli.pages import PAGES, start_again

THREADS = (2, 4, 8, 16, 32, 64)
SHORTEST = 500e-6  # seconds of one core that a call has to take: less is hardly worth sharing among many
GOAL = 0.85  # at 16 threads
SIZES, POINTERS = ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_void_p)
Share = ctypes.CFUNCTYPE(None, POINTERS, SIZES, SIZES, ctypes.c_void_p)
Region = list[float]  # seconds of each thread's share


class Regions:
    """Takes the place of numba's threads: the shares of a region run here, one by one."""

    def __init__(self) -> None:
        import llvmlite.binding
        from numba.np.ufunc import parallel

        parallel._launch_threads()  # type: ignore[no-untyped-call]
        self.found: list[Region] = []
        self.inside = 0.0  # seconds in regions, with what it takes to time them
        arguments = [ctypes.c_void_p, POINTERS, SIZES, SIZES, ctypes.c_void_p, *[ctypes.c_size_t] * 3]
        self._kept = ctypes.CFUNCTYPE(None, *arguments)(self._run)
        address = ctypes.cast(self._kept, ctypes.c_void_p).value
        llvmlite.binding.add_symbol("numba_parallel_for", address)  # before the first kernel is loaded

    def _run(
        self, function: int, arrays: Any, counts: Any, steps: Any, data: int, inner: int, array_count: int, threads: int
    ) -> None:
        start = time.perf_counter()
        call = Share(function)
        its_counts = (ctypes.c_size_t * (inner + 1))(*counts[: inner + 1])
        its_counts[0] = 1
        shares = []
        for share in range(counts[0]):
            places = (ctypes.c_void_p * array_count)(*((arrays[j] or 0) + share * steps[j] for j in range(array_count)))
            begin = time.perf_counter()
            call(places, its_counts, steps, data)
            shares.append(time.perf_counter() - begin)
        self.found.append(shares)
        self.inside += time.perf_counter() - start

    def of(self, call: Callable[[], Any], calls: int) -> tuple[float, list[Region]]:
        """(seconds outside of regions, the regions) of a call, the least of several."""
        call()
        outside, least = [], []
        for _ in range(calls):
            self.found, self.inside, start = [], 0.0, time.perf_counter()
            call()
            outside.append(time.perf_counter() - start - self.inside)
            least.append(self.found)
        regions = [[min(share) for share in zip(*same, strict=True)] for same in zip(*least, strict=True)]
        return min(outside), regions


def speedups(regions: Regions, call: Callable[[], Any], calls: int) -> dict[int, float] | None:
    """By the number of threads the speedup over that number; None of what is too short."""
    import numba

    numba.set_num_threads(1)
    outside, alone = regions.of(call, calls)
    work = outside + sum(map(sum, alone))
    if work < SHORTEST:
        return None
    found = {}
    for threads in THREADS:
        numba.set_num_threads(threads)
        _, shared = regions.of(call, calls)
        found[threads] = work / (threads * (outside + sum(map(max, shared))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", action="append", help="of the suite, more than once for several [all]")
    parser.add_argument("--calls", type=int, default=3, help="whose least is taken")
    parser.add_argument("--each", action="store_true", help="print every case, not only those under the goal")
    args = parser.parse_args()
    folder = os.environ.get("NUMBA_CACHE_DIR") or tempfile.mkdtemp(prefix="fastops-balance-")
    start_again(
        PAGES["recycled"]
        | {"NUMBA_NUM_THREADS": str(max(THREADS)), "OMP_WAIT_POLICY": "passive", "NUMBA_CACHE_DIR": folder}
    )

    import fastops
    from fastops.cpu import tasks
    from fastops.yardstick.suite import SUITE
    from fastops.yardstick.work import of_gradient, of_operator

    tasks.SHARED = False  # before a kernel is compiled, into a folder that no other process reads
    regions = Regions()
    found: dict[str, list[dict[int, float]]] = defaultdict(list)
    for each in SUITE:
        if args.family and each.family not in args.family:
            continue
        call = (of_gradient if each.backward else of_operator)(each.case, each.arrays(), fastops, None).ours
        if (of_threads := speedups(regions, call, args.calls)) is None:
            continue
        found[each.family].append(of_threads)
        if args.each or of_threads[16] < GOAL:
            cells = "".join(f"{share:6.0%}" for share in of_threads.values())
            print(f"{cells}  {each.family} {each.name}", flush=True)
    print("family".ljust(20) + "".join(f"{threads:>3} threads   " for threads in THREADS) + " (mean, worst)")
    for family, cases in found.items():
        columns = ([case[threads] for case in cases] for threads in THREADS)
        print(family.ljust(20) + "".join(f"{statistics.mean(c):4.0%}{min(c):5.0%}    " for c in columns))


if __name__ == "__main__":
    main()
