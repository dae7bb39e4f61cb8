"""A library in a process of its own: it prepares a call once, and answers how long so many of them take.

peers.py starts this file as a script and asks by a pipe. It imports nothing but the library that it is asked for, whose
memory and first answer are measured here.
"""

import importlib
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[[], Any]
Task = dict[str, Any]  # library; model, a file; inputs, a list; threads; and what a library takes beside


class Prepared:
    """The call that this process is about, and how it came to its first answer."""

    call: Call
    started: int | None = None  # bytes that the process held when it had imported the library

    def prepare(self, task: Task) -> float:
        """Import, then load and call once; the seconds of the latter two."""
        load = {"fastops": of_fastops, "onnxruntime": of_onnxruntime, "torch": of_torch}[task["library"]](task)
        self.started = memory("VmRSS")
        start = time.perf_counter()
        self.call = load()
        self.call()
        return time.perf_counter() - start

    def seconds(self, calls: int) -> float:
        call, start = self.call, time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - start

    def outputs(self) -> list[Any]:
        return list(map(as_array, as_list(self.call())))

    def peak(self) -> tuple[int | None, int | None]:
        """Bytes at most, and when the library was imported."""
        return memory("VmHWM"), self.started


def of_fastops(task: Task) -> Callable[[], Call]:
    onnx: Any = importlib.import_module("fastops.onnx")

    def load() -> Call:
        network = onnx.load(task["model"], precision=task.get("precision", "exact"))
        return lambda: network(*task["inputs"])

    return load


def of_onnxruntime(task: Task) -> Callable[[], Call]:
    onnxruntime: Any = importlib.import_module("onnxruntime")

    def load() -> Call:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = task["threads"], 1
        if not task.get("optimised", True):
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4  # it would warn of every operator that it lacks
        session = onnxruntime.InferenceSession(task["model"], options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]
        fed = dict(zip(names, task["inputs"], strict=True))
        return lambda: session.run(None, fed)

    return load


def of_torch(task: Task) -> Callable[[], Call]:
    """A module that torch.save has written; `accelerate`: None, "live" or "frozen", by fastops.torch, or "inductor", by
    torch.compile; `training`: a step of it, forward, backward and SGD."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(task["threads"])
    how = task.get("accelerate")
    ours: Any = importlib.import_module("fastops.torch") if how in ("live", "frozen") else None

    def load() -> Call:
        module = torch.load(task["model"], weights_only=False).train(task.get("training", False))
        tensors = [torch.from_numpy(each) for each in task["inputs"]]
        if ours:
            module = ours.accelerate(module, frozen=how == "frozen")
        elif how == "inductor":
            module = torch.compile(module)
        if not module.training:
            torch.set_grad_enabled(False)
            return lambda: module(*tensors)
        optimizer = torch.optim.SGD(module.parameters(), 1e-6)  # no weight grows, however long it is timed

        def step() -> Any:
            optimizer.zero_grad()
            loss = sum(each.square().mean() for each in as_list(module(*tensors)))
            loss.backward()
            optimizer.step()
            return loss

        return step

    return load


def as_list(answer: Any) -> list[Any]:
    return list(answer) if isinstance(answer, tuple | list) else [answer]


def as_array(value: Any) -> Any:
    return value.detach().numpy() if hasattr(value, "detach") else value


def memory(field: str) -> int | None:
    """Bytes, as Linux counts them of this program; getrusage's maximum has its parent's in it, after a vfork."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), None)


def serve() -> None:
    """Answer until the pipe is closed; what a library prints goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent ends it
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    prepared = Prepared()
    while True:
        try:
            what, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        answer: tuple[str | None, Any]
        try:
            answer = (None, getattr(prepared, what)(*arguments))
        except Exception as error:
            answer = (type(error).__name__, str(error))
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


if __name__ == "__main__":
    serve()
