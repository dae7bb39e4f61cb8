"""A line at a terminal while the first call of a network waits for the compiler, which with an empty cache is a minute.

It is for people alone: it goes to stderr where that is a terminal, once a kernel has really been compiled and a second
has passed, and is wiped away at the end.  Logs, pipes and notebooks see nothing, nor does who has all kernels on disk.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Any

from .. import _jit

SECONDS = 1.0
"""What nobody minds to wait for."""


class Line:
    """The line of one call."""

    def __init__(self, network: str, stream: Any) -> None:
        self._network, self._stream = network, stream
        self._begin, self._before = time.monotonic(), _kernels()
        self._width = 0

    def show(self, number: int, total: int, node: Any) -> None:
        """Say which step comes, if kernels have been compiled since the call began."""
        if time.monotonic() < self._begin + SECONDS or not (self._width or _kernels() != self._before):
            return
        columns = shutil.get_terminal_size().columns
        text = f"{self._network}: compiling kernels, this once: step {number} of {total}, {node}"[: columns - 1]
        self._write(text.ljust(self._width))
        self._width = max(self._width, len(text))

    def wipe(self) -> None:
        """Leave the terminal as it was."""
        if self._width:
            self._write(" " * self._width + "\r")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a terminal that is gone stops no network
            self._stream.write(f"\r{text}")
            self._stream.flush()


@contextlib.contextmanager
def first_call(network: str) -> Iterator[Line | None]:
    """The line for what happens inside, None where no terminal is."""
    stream = sys.stderr
    if stream is None or not stream.isatty():
        yield None
        return
    line = Line(network, stream)
    try:
        yield line
    finally:
        line.wipe()


def _kernels() -> int:
    """How many compiled kernels are on disk, and never the same twice where each process compiles its own."""
    folder = _jit.cache_folder()
    return -time.monotonic_ns() if folder is None else sum(path.suffix == ".nbc" for path in folder.iterdir())
