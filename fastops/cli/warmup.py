"""Compile every kernel into the cache on disk, so that no later call waits for the compiler."""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import count

import numpy as np

import fastops
from fastops import _jit
from fastops.cli import UsageError
from fastops.cli.processes import cores, in_processes
from fastops.cpu import chain, contiguous, conv, elementwise
from fastops.yardstick.calls import Call, every_call

DTYPES = ("float32", "float64")
BUILDS = ("parallel", "serial")


def numbered(calls: Iterable[Call]) -> dict[str, Call]:
    """By operator and number."""
    numbers = defaultdict[str, Iterator[int]](lambda: count(1))
    return {f"{call.op} {next(numbers[call.op])}": call for call in calls}


CALLS = numbered(every_call(fastops))
"""Calls of every function and of its gradient: together they reach every kernel, which tests/test_cli.py counts."""

INSIDE = "inside 1"
"""What networks and blocks of Dask's arrays run, and no function of NumPy arrays calls."""
NAMES = [*CALLS, INSIDE]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`fastops warmup` takes none."""


def run(arguments: argparse.Namespace) -> int:
    folder = _jit.cache_folder()
    if folder is None:
        raise UsageError("there is no cache to fill: FASTOPS_CACHE is 0, or no folder can be written to")
    start = time.perf_counter()
    shares = [missing for share in shared_out(cores()) if (missing := [each for each in share if not compiled(*each)])]
    what = f"{len(_jit.kernels)} kernels for {' and '.join(DTYPES)}, {' and '.join(BUILDS)}"
    if not shares:
        print(f"All are there, in {folder}: {what}")
        return 0
    print(f"Compiling {what}, in {len(shares)} processes", flush=True)
    in_processes(compile_one, shares, len(shares))
    print(f"Done in {time.perf_counter() - start:.0f} s, into {folder}")
    return 0


def shared_out(processes: int) -> list[list[tuple[str, str, str]]]:
    """The calls of each process: of one dtype, whose two builds share the functions that they call.

    From four processes on each build has processes of its own, from eight on neighbouring calls of one build.
    """
    names, slices = NAMES, max(1, processes // 4)
    groups = [BUILDS] if processes < 4 else [(build,) for build in BUILDS]
    edges = [len(names) * i // slices for i in range(slices + 1)]
    return [
        [(name, dtype, build) for name in names[first:last] for build in builds]
        for dtype in DTYPES
        for builds in groups
        for first, last in zip(edges, edges[1:], strict=False)
    ]


def compiled(name: str, dtype: str, build: str) -> bool:
    """Whether all that the call needs is in the cache."""
    try:
        with _jit.compiled_before():
            compile_one(name, dtype, build)
    except _jit.NotCompiled:
        return False
    return True


def compile_one(name: str, dtype: str, build: str) -> None:
    if name == INSIDE:
        with _jit.only(build):
            rows = np.zeros((1, 8), dtype)
            elementwise.dropout_rows(rows, rows, 0.5, 0, np.zeros(1, np.int64))  # type: ignore[no-untyped-call]
            chain.Chain([chain.Instruction("relu", 0)], [(1,)], (1,), [1], dtype)(*np.zeros((2, 1), dtype))
            contiguous.copy_part(
                np.zeros((2, 2, _jit.PARALLEL_WORK), dtype), np.zeros((2, 1, _jit.PARALLEL_WORK), dtype), 1, 0
            )
            image, weights = np.zeros((1, 1, 4, 4), dtype), [np.zeros((1, 1, k, k), dtype) for k in (1, 3, 1)]
            block = conv.Block(1, 1, 4, 4, 1, 4, 4, 1, 1, 1, 1, True)
            conv.inverted_residual(image.copy(), image, weights, (None, None, None), block)
        return
    call = CALLS[name]
    with _jit.only(build):
        getattr(fastops, call.op)(**call.arrays(np.dtype(dtype).type), **call.options)
