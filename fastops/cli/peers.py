"""Libraries in processes of their own, asked in turn: the threads of one, even idle ones, spin and stall the others'.

A parallel kernel beside a session of ONNX Runtime in one process waited up to 8 ms for a core (measured on two cores).
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from fastops.yardstick.cores import Masks, restore, spread

SCRIPT = Path(__file__).with_name("peer.py")
# Of every library that may be in such a process, NumPy's own threads included.
THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class PeerError(Exception):
    """What the library raised; `kind` is the name of its class."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Peer:
    """A process, started with the first question; it has one call prepared at a time.

    Of the environment it gets what this process has (so `--pages` holds for it), and the number of threads.
    """

    def __init__(self, library: str, threads: int) -> None:
        self.library, self.threads = library, threads
        self._process: subprocess.Popen[bytes] | None = None
        self._masks: Masks = {}

    def prepare(self, model: str | bytes, inputs: list[Any], **more: Any) -> float:
        """Load the model and call it once: the seconds of both."""
        task = {"library": self.library, "threads": self.threads, "model": model, "inputs": inputs, **more}
        restore(self._masks)
        seconds = float(self._ask("prepare", task))
        assert self._process
        self._masks = spread(self._process.pid)
        return seconds

    def seconds(self, calls: int) -> float:
        """How long so many calls take, by the clock of that process."""
        return float(self._ask("seconds", calls))

    def outputs(self) -> list[Any]:
        found: list[Any] = self._ask("outputs")
        return found

    def peak(self) -> tuple[int | None, int | None]:
        """The most bytes that it has held, and those that it held with the library imported; None where unknown."""
        peak, started = self._ask("peak")
        return peak, started

    def _ask(self, what: str, *arguments: Any) -> Any:
        process = self._process = self._process or self._start()
        assert process.stdin and process.stdout
        try:
            pickle.dump((what, arguments), process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            kind, answer = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            code = process.wait()
            self.close()
            raise PeerError("Ended", f"the process of {self.library} ended by itself (exit code {code})") from None
        if kind is not None:
            raise PeerError(kind, answer)
        return answer

    def _start(self) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, **dict.fromkeys(THREADS, str(self.threads))}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, "-P", str(SCRIPT)]  # -P: without this folder among those it imports from
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process, self._masks = None, {}

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()
