"""Measure how evenly operators share their work among more threads than this machine has cores.

`python scripts/measure_balance.py` runs the suite's cases with 4 to 64 threads and reads from Linux how long each
thread was on a core.  What is told is the share of so many cores' time that would be work if each thread had a core of
its own: the mean thread's time over the longest thread's.  Caches and memory shared by many cores are not in it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

THREADS = (4, 8, 16, 32, 64)
SHORTEST = 300e-6  # seconds of one core that a call has to take: less is not shared among many
TASKS = Path("/proc/self/task")


def busy() -> dict[str, int]:
    """Nanoseconds that each thread of the process has been on a core."""
    return {thread.name: int((thread / "schedstat").read_text().split()[0]) for thread in TASKS.iterdir()}


def measure(families: list[str], seconds: float) -> None:
    """Print one line of JSON for each case, in a process that has its number of threads."""
    import numba

    import fastops
    from fastops.yardstick.suite import SUITE
    from fastops.yardstick.work import of_gradient, of_operator

    threads = numba.config.NUMBA_NUM_THREADS
    for each in SUITE:
        if each.family not in families or each.shape[0] > 8:
            continue
        call = (of_gradient if each.backward else of_operator)(each.case, each.arrays(), fastops, None).ours
        call()
        before, calls, end = busy(), 0, time.perf_counter() + seconds
        while calls < 3 or time.perf_counter() < end:
            call()
            calls += 1
        times = [(after - before.get(thread, 0)) / calls * 1e-9 for thread, after in busy().items()]
        if sum(times) > SHORTEST:
            print(json.dumps([each.family, each.name, sum(times) / threads / max(times)]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--family", action="append", help="of the suite, more than once for several [all of many pixels]"
    )
    parser.add_argument("--seconds", type=float, default=0.3, help="for each case and number of threads")
    parser.add_argument("--each", action="store_true", help="print every case, too")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    families = args.family or [
        "conv2d-3x3", "conv2d-1x1", "conv2d-others", "depthwise", "conv_transpose2d", "large", "backward",
    ]  # fmt: skip
    if args.here:
        measure(families, args.seconds)
        return
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for threads in THREADS:
        command = [sys.executable, __file__, "--here", "--seconds", str(args.seconds)]
        for family in families:
            command += ["--family", family]
        environment = {**os.environ, "NUMBA_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
        for line in subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout.split("\n"):
            if line:
                family, name, share = json.loads(line)
                found[family][threads].append(share)
                if args.each:
                    print(f"{threads:3} threads  {share:4.0%}  {family} {name}", flush=True)
    print("family".ljust(20) + "".join(f"{threads:>3} threads     " for threads in THREADS) + " (mean, worst)")
    for family, of_threads in found.items():
        cells = (f"{statistics.mean(shares):4.0%}{min(shares):5.0%}      " for shares in of_threads.values())
        print(family.ljust(20) + "".join(cells))


if __name__ == "__main__":
    main()
