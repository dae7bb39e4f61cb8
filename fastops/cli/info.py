"""Print what fastops runs on: versions, threads, vectors, the cache, CUDA."""

import argparse
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fastops
from fastops import _jit

PACKAGES = (
    "numpy",
    "numba",
    "llvmlite",
    "numba-cuda",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "torch",
)  # asked for by metadata: torch takes seconds to import


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`fastops info` takes none."""


def run(arguments: argparse.Namespace) -> int:
    for name, text in facts().items():
        print(f"{name:<16} {text}")
    return 0


def facts() -> dict[str, str]:
    here = machine()
    return {
        **{name: text or "not installed" for name, text in versions().items()},
        "cpu": f"{here['cpu']} ({here['llvm_cpu']})",
        "vectors": f"{here['vector_bits']} bits",
        "threads": str(_jit.thread_count()),
        "threading layer": _jit.threading_layer(),
        "cache": cache(),
        "cuda": gpu(),
    }


def versions(*more: str) -> dict[str, str | None]:
    """Version by package name, of PACKAGES and more; None where it is not installed."""
    found: dict[str, str | None] = {"fastops": fastops.__version__, "python": platform.python_version()}
    for package in (*PACKAGES, *more):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def machine() -> dict[str, str | int]:
    """What the figures of a run depend on, beside the versions."""
    return {
        "system": platform.platform(),
        "cpu": cpu(),
        "cores": os.cpu_count() or 1,
        "llvm_cpu": _jit.CPU_NAME,
        "vector_bits": 8 * _jit.VECTOR_BYTES,
    }


def cpu() -> str:
    """The processor's name as Linux knows it, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cache() -> str:
    folder = _jit.cache_folder()
    if folder is None:
        return "none (FASTOPS_CACHE=0, or no folder that can be written to): kernels compile anew in every process"
    kernels, every = len(list(folder.glob("*.nbc"))), _jit.cache.all_folders()
    size, total = _jit.cache.size_of(folder), sum(map(_jit.cache.size_of, every))
    older = f"; {total / 1e6:.1f} MB with {len(every) - 1} of other versions" if len(every) > 1 else ""
    return f"{folder} ({kernels} kernels, {size / 1e6:.1f} MB{older}; fastops clear-cache removes all)"


def gpu() -> str:
    """The CUDA devices, or why there are none: their packages may be missing, or broken in ways of their own."""
    try:
        from fastops import cuda
    except Exception as trouble:
        return f"no: {type(trouble).__name__}: {trouble}".splitlines()[0]
    return cuda.found()
