"""Print, for each case of the suite, how many bytes a call needed beside its inputs and its result.

Run by test_peak_memory.py in a process of its own: what is measured is the largest resident size (Linux alone has a
counter that can be set back).
"""

import ctypes
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fastops
from fastops.yardstick import suite, work

libc = ctypes.CDLL(None)
PR_SET_THP_DISABLE = 41  # linux/prctl.h


def resident(counter: str) -> int:
    """VmRSS, what is resident now, or VmHWM, the most of it since `forget`."""
    return int(re.search(rf"{counter}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def forget() -> None:
    """Give freed memory back, and set the peak to what is resident now."""
    libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def arrays_in(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from arrays_in(item)


def needed(call: Callable[[], Any]) -> tuple[int, int]:
    """(bytes of the result, most bytes that the call had at once, the result among them)."""
    call()  # compiled, threads started, plans remembered
    peaks = []
    for _ in range(3):  # whatever else the process does can only add to it
        forget()
        before = resident("VmRSS")
        result = call()
        peaks.append(resident("VmHWM") - before)
        size = sum(array.nbytes for array in arrays_in(result))
        del result
    return size, min(peaks)


def main() -> None:
    libc.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)  # a page of 2 MiB counts as resident whatever is used of it
    for timed in suite.SUITE:
        made = (work.of_gradient if timed.backward else work.of_operator)(timed.case, timed.arrays(), fastops, None)
        given = list(arrays_in([made.ours.args, list(made.ours.keywords.values())]))
        weights = image = 0
        if timed.case.operator in suite.CONVOLUTIONS:
            weights = timed.arrays()[1].nbytes
            image = max(array.nbytes // max(1, len(array)) for array in given if array.ndim == 4)
        result, peak = needed(made.ours)
        given = sum(array.nbytes for array in given)
        told = dict(name=timed.name, given=given, result=result, weights=weights, image=image, peak=peak)
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
