"""Measure how torch's threads and numba's get on, on the same cores of one process.

`python scripts/measure_torch_threads.py` asks, in a process of its own for each setting (numba's threading layer, and
what OpenMP's environment says), how long torch's operator takes alone, ours alone, and both in turn; "waits" is what
the turns take beyond the two alone.  A layer that is not installed is left out.  Run it on a quiet machine.

"pools" counts the copies of GNU OpenMP in the process.  PyTorch's wheel brings its own, and numba's layer "omp" asks
for the system's by another name, so that there are two, unless that is loaded before torch is imported ("one pool"),
perhaps by a kernel of ours, which then has it spin less ("ours first"): torch takes the one that is there.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

LINE = "{:10} {:24} {:>5} {:6} {:>9} {:>9} {:>9} {:>7}"
LAYERS = ("workqueue", "omp", "tbb")
SETTINGS: dict[str, dict[str, str]] = {
    "as it comes": {},
    "one pool": {"BEFORE_TORCH": "library"},
    "ours first": {"BEFORE_TORCH": "kernel"},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
    "GOMP_SPINCOUNT=2000": {"GOMP_SPINCOUNT": "2000"},
    "OMP_PROC_BIND=true": {"OMP_PROC_BIND": "true"},
    "KMP_BLOCKTIME=0": {"KMP_BLOCKTIME": "0"},
}


def measured(seconds: float) -> dict[str, Any]:
    """In the process that is asked: microseconds of each alone, and in turn, by size."""
    import numba
    import numpy as np

    import fastops

    before = os.environ.get("BEFORE_TORCH")
    if before == "library":
        ctypes.CDLL("libgomp.so.1.0.0")
    elif before == "kernel":
        fastops.relu(np.zeros(1 << 20, np.float32))
    import torch

    import fastops.torch

    def microseconds(call: Callable[[], Any]) -> float:
        call()
        times = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return sorted(times)[len(times) // 2] * 1e6

    found: dict[str, Any] = {}
    with torch.no_grad():
        for name, channels, edge in (("small", 32, 28), ("large", 64, 112)):
            x, weight = torch.randn(1, channels, edge, edge), torch.randn(channels, channels, 3, 3)

            def theirs(x: Any = x) -> Any:
                return torch.nn.functional.gelu(x)

            def ours(x: Any = x, weight: Any = weight) -> Any:
                return fastops.torch.conv2d(x, weight, padding=1)

            def both(theirs: Any = theirs, ours: Any = ours) -> None:
                theirs()
                ours()

            found[name] = [microseconds(call) for call in (theirs, ours, both)]
    found["layer"] = numba.threading_layer()
    with open("/proc/self/maps") as maps:
        found["pools"] = len({line.split()[-1] for line in maps if "gomp" in line})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each number")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measured(arguments.seconds)))
        return
    print(LINE.format("layer", "setting", "pools", "size", "torch us", "ours us", "in turn", "waits"))
    for layer in LAYERS:
        for setting, values in SETTINGS.items():
            environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
            environment |= {"NUMBA_THREADING_LAYER": layer, **values}
            command = [sys.executable, __file__, "--child", "--seconds", str(arguments.seconds)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode or "numba cannot load the threading layer" in done.stderr:
                print(f"{layer:10} not there")
                break
            found = json.loads(done.stdout.splitlines()[-1])
            for size in ("small", "large"):
                theirs, ours, both = found[size]
                waits = f"{100 * (both / (theirs + ours) - 1):.0f}%"
                times = map(round, (theirs, ours, both))
                print(LINE.format(found["layer"], setting, found["pools"], size, *times, waits), flush=True)


if __name__ == "__main__":
    main()
