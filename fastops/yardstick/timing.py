"""Times of calls taken in turn, fastops, torch, fastops, torch: what slows the machine down for a while slows both.

Times alone say little on a shared machine; `fastops compare` and asv_bench take the median of the pairs' ratios.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

Call = Callable[[], Any]
Clock = Callable[[int], float]  # seconds that so many calls take


class Effort(NamedTuple):
    """How long to time, in seconds: calls before and in one timing, and all timings of a case."""

    untimed: float
    timed: float
    case: float


EFFORT = {
    "small": Effort(0.005, 0.005, 0.25),
    "full": Effort(0.01, 0.01, 0.25),  # of the photograph: a visitor waits
    "suite": Effort(0.02, 0.02, 1.2),
}
# Seconds without a call before each timing: an idle OpenMP pool spins for milliseconds and takes a core from the other.
QUIET = 0.02
# Seconds that a library's threads go on spinning after a call, and take a core from whoever is asked next: 40 ms were
# counted of onnxruntime 1.31, and fastops beside it looked 50 times slower than it is.
SPINNING = 0.06


def timings(
    calls: Sequence[Call | None], effort: Effort, wait: Call | None = None, others: Sequence[Clock] = ()
) -> Iterator[tuple[float, ...]]:
    """Seconds per call of each, taken in turn: at least three rounds, and as many more as the effort has time for.

    `others` are asked last in each round: they run in processes of their own, and come to rest.
    """
    clocks = [clock(call, wait) if call else None for call in calls]
    end = time.perf_counter() + effort.case
    done = 0
    while done < 3 or time.perf_counter() < end:
        seconds = [seconds_per_call(each, effort) if each else math.nan for each in clocks]
        for each in others:
            seconds.append(seconds_per_call(each, effort))
            time.sleep(SPINNING)
        yield tuple(seconds)
        done += 1


def clock(call: Call, wait: Call | None = None) -> Clock:
    """`wait`, for the device that the call runs on, counts as part of it."""

    def seconds(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        if wait:
            wait()
        return time.perf_counter() - start

    return seconds


def seconds_per_call(seconds: Clock, effort: Effort) -> float:
    """The mean time of a call, after untimed ones: one, two, four, ... of them."""
    time.sleep(QUIET)
    calls, before, last = 1, 0.0, seconds(1)
    while before + last < effort.untimed:
        before, calls = before + last, 2 * calls
        last = seconds(calls)
    calls = max(1, round(calls * effort.timed / max(last, 1e-9)))  # a coarse clock may say 0
    return seconds(calls) / calls


def median(values: Iterable[float]) -> float | None:
    """None of nothing, and of a call that was not there (its times are NaN)."""
    found = [value for value in values if not math.isnan(value)]
    return statistics.median(found) if found else None
