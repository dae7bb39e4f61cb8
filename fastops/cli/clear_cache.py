"""Remove every compiled kernel from the cache on disk; they are compiled again when they are called."""

import argparse

from fastops import _jit
from fastops.cli import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`fastops clear-cache` takes none."""


def run(arguments: argparse.Namespace) -> int:
    folder = _jit.cache_folder()
    if folder is None:
        raise UsageError("there is no cache: FASTOPS_CACHE is 0, or no folder can be written to")
    print(f"Removed {_jit.cache.clear() / 1e6:.1f} MB from {folder.parent}")
    return 0
