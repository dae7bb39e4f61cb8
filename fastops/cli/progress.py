"""A progress bar for people at a terminal; for logs and pipes a line now and then, or nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[int, str], None]


@contextmanager
def progress_bar(total: int, seconds_between_lines: float | None = None) -> Iterator[Show]:
    """Yield `show(done, text)`, which draws the bar with `done` of `total` steps finished and `text` beside it.

    The bar is drawn by `show` alone, never by a thread in the background: nothing runs while something is being timed.
    Where there is no terminal, or no rich, `show` prints a line if so many seconds have passed since the last.
    """
    terminal = next((stream for stream in (sys.stdout, sys.stderr) if stream.isatty()), None)
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        terminal = None
    if terminal is None:
        yield _lines(total, seconds_between_lines)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(
        *columns,
        console=Console(file=terminal),
        transient=True,
        auto_refresh=False,
        redirect_stdout=terminal is sys.stdout,
    ) as progress:
        task = progress.add_task("", total=total)
        yield lambda done, text: progress.update(task, completed=done, description=text, refresh=True)


def _lines(total: int, seconds: float | None) -> Show:
    last = time.monotonic()

    def show(done: int, text: str) -> None:
        nonlocal last
        if seconds is not None and time.monotonic() >= last + seconds:
            last = time.monotonic()
            print(f"  {done} of {total}: {text}", flush=True)

    return show
