#!/usr/bin/env python
"""Check fastops on this machine's GPU and time it beside torch and CuPy: one command, ten minutes at most.

    python scripts/check_gpu.py --output gpu

writes gpu/check.txt (what is printed here) and gpu/check.json: the tests on the device, the device's own copy speed,
every memory-bound operator on 64 million elements as a share of it, the layers of ResNet-50 beside cuDNN in float32,
and what a call on a small array costs.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastops
from fastops.cli import UsageError
from fastops.cli.compare import on_device
from fastops.cli.info import facts
from fastops.yardstick.cases import Case
from fastops.yardstick.devices import Device
from fastops.yardstick.measure import measure
from fastops.yardstick.suite import CONVOLUTIONS, EVERY, RESNET, SMALL, conv, normal
from fastops.yardstick.timing import Effort

LARGE = (64, 64, 128, 128)  # 67 M elements
EFFORT = Effort(untimed=0.05, timed=0.1, case=0.5)
COPIED = 1 << 30  # bytes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("gpu"), help="the folder of the results (default: gpu)")
    parser.add_argument("--minutes", type=float, default=10, help="stop after so many (default: 10)")
    parser.add_argument("--no-tests", action="store_true", help="leave the tests out")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    try:
        device = on_device("cuda")
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    import torch

    arguments.output.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"facts": facts(), "device": torch.cuda.get_device_name(), "rows": []}
    with (arguments.output / "check.txt").open("w") as text:

        def tell(line: str) -> None:
            print(line, flush=True)
            print(line, file=text, flush=True)

        for name, value in report["facts"].items():
            tell(f"{name:<16} {value}")
        if not arguments.no_tests:
            report["tests"] = tests(end)
            tell(f"\ntests on the device: {report['tests']['last']}")
        report["copy_bytes_per_second"] = copy = copy_speed(device)
        tell(f"\ncopy on the device: {copy / 1e12:.2f} TB/s, bytes read and written")
        for title, jobs in (("64 M elements", memory_bound()), ("ResNet-50", resnet()), ("small calls", small())):
            columns = f"{'error':>8} {'fastops us':>11} {'torch us':>10} {'ratio':>6} {'of copy':>8}"
            tell(f"\n{title}\n{'operator':<58} {columns}")
            for case, x, backward in jobs:
                if time.monotonic() > end:
                    tell("out of time")
                    break
                with torch.inference_mode(not backward):
                    batch = "x".join(map(str, x.shape))
                    row = measure(case, batch, x, fastops, torch, EFFORT, backward, device=device)
                share = moved(case, x, backward) / row.fastops_seconds / copy if row.fastops_seconds else None
                report["rows"].append({"title": title, **vars(row), "share_of_copy": share})
                tell(line_of(row, share if title == "64 M elements" else None))
    (arguments.output / "check.json").write_text(json.dumps(report, indent=1) + "\n")
    wrong = [row for row in report["rows"] if row["problem"]]
    return 1 if wrong or report.get("tests", {}).get("failed") else 0


def tests(end: float) -> dict[str, Any]:
    """The tests marked gpu, in a process of their own, in half of the time that is left."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    limit = (end - time.monotonic()) / 2
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, cwd=Path(__file__).parents[1])
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode(errors="replace")
        return {"failed": True, "last": f"stopped after {limit:.0f} s", "output": output[-20_000:]}
    lines = done.stdout.strip().splitlines() or [done.stderr[-2000:]]
    return {"failed": done.returncode != 0, "last": lines[-1], "output": done.stdout[-20_000:]}


def copy_speed(device: Device) -> float:
    """Bytes that a copy on the device reads and writes in a second."""
    import torch

    source = torch.empty(COPIED // 4, device="cuda")
    target = torch.empty_like(source)
    found = []
    for _ in range(20):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        target.copy_(source)
        stop.record()
        stop.synchronize()
        found.append(start.elapsed_time(stop) / 1e3)
    return 2 * COPIED / min(found)


Job = tuple[Case, Any, bool]


def memory_bound() -> Iterator[Job]:
    x = normal(LARGE, "float32")
    for case in EVERY:
        if case.operator not in (*CONVOLUTIONS, "roi_pool", "flatten"):
            yield case, x, False
            if case.has_gradient:
                yield case, x, True
    rows = normal((65536, 1000), "float32")
    yield from ((case, rows, False) for case in EVERY if case.operator in ("softmax", "log_softmax", "cross_entropy"))


def resnet() -> Iterator[Job]:
    for batch in (1, 32):
        layers = [conv(3, 224, 64, 7, stride=2, padding=3, batch=batch)]
        for channels, edge in RESNET:
            layers += [conv(channels, edge, channels, 3, padding=1, batch=batch)]
            layers += [conv(channels, edge, 4 * channels, 1, batch=batch)]
            layers += [conv(4 * channels, edge, channels, 1, batch=batch)]
        for case, shape in layers:
            yield case, normal(shape, "float32"), False
            if batch > 1:
                yield replace(case, label=f"{case.label}, gradients"), normal(shape, "float32"), True


def small() -> Iterator[Job]:
    x = normal(SMALL, "float32")
    yield from ((case, x, False) for case in EVERY)


def moved(case: Case, x: Any, backward: bool) -> int:
    """The bytes that the operator cannot avoid: its float arguments and results, each once."""
    pooled = {"max_pool2d", "avg_pool2d"}
    arrays = 3 if backward else 1 if "loss" in case.operator or "entropy" in case.operator else 2
    if backward and case.operator == "dropout":
        arrays = 2
    if case.operator in pooled and not backward:
        return int(x.nbytes * 1.25) if "stride 1" not in case.label else 2 * x.nbytes
    return arrays * x.nbytes


def line_of(row: Any, share: float | None) -> str:
    error = "WRONG" if row.problem else "-" if row.error is None else f"{row.error:.0e}"
    times = [f"{1e6 * s:.1f}" if s else "-" for s in (row.fastops_seconds, row.torch_seconds)]
    ratio = f"{row.ratio:.2f}" if row.ratio else "-"
    line = f"{row.name:<58} {error:>8} {times[0]:>11} {times[1]:>10} {ratio:>6} "
    return f"{line}{f'{share:.0%}' if share else '-':>8}{f'  {row.problem}' if row.problem else ''}"


if __name__ == "__main__":
    sys.exit(main())
