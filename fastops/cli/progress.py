"""A progress bar for people at a terminal, and nothing at all for logs and pipes."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[int, str], None]


@contextmanager
def progress_bar(total: int) -> Iterator[Show]:
    """Yield `show(done, text)`, which draws the bar with `done` of `total` steps finished and `text` beside it.

    The bar is drawn by `show` alone, never by a thread in the background: nothing runs while something is being timed.
    """
    terminal = next((stream for stream in (sys.stdout, sys.stderr) if stream.isatty()), None)
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        terminal = None
    if terminal is None:
        yield lambda done, text: None
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
