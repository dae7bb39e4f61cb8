"""Whether large outputs stand on fresh pages or on recycled ones: glibc reads that from the environment as it starts.

From fresh pages every first touch of 4 KiB (or 2 MiB, where NumPy asks for huge pages) goes through the kernel.
"""

import os
import platform
import sys
from collections.abc import Collection

from fastops.cli import UsageError

# Every block above 128 KiB comes from the kernel and goes back to it; or none does, and what is freed is kept.
PAGES = {
    "fresh": {"MALLOC_MMAP_THRESHOLD_": "131072"},
    "recycled": {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1000000000"},
}


def start_again_with(pages: str) -> None:
    """Run this very command in this process's place, with the pages asked for; at once if it has them."""
    if platform.libc_ver()[0] != "glibc":
        raise UsageError("--pages sets options of glibc's malloc, and this Python runs on another C library")
    others = {name for settings in PAGES.values() for name in settings}
    start_again(PAGES[pages], others)


def start_again(settings: dict[str, str], without: Collection[str] = ()) -> None:
    """Run this very command in this process's place, with these variables; at once if it has them."""
    environment = {name: value for name, value in os.environ.items() if name not in without} | settings
    if environment != dict(os.environ):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
