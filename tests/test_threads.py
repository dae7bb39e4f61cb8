"""Threads and forks on each of numba's threading layers, in processes of their own: a hang there is a failure here.

Run as a script, this file is such a process: `test_threads.py threads` does what the function of that name says.
"""

import contextlib
import copy
import functools
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import calls
import numpy as np
import oracle
import pytest
from agreement import EXACT, assert_close

import fastops
from fastops import _jit
from fastops.yardstick.calls import Call, call, calls_of
from fastops.yardstick.examples import boxes, labels, normal, positive, statistics
from fastops.yardstick.operators import TABLE

LIMIT = 300  # seconds; with a cold cache a process may compile everything
LAYERS = ("omp", "tbb", "workqueue")
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

# Each is enough work for several threads.
LARGE = [
    call("relu", normal(10**6)),
    call("conv2d", normal(2, 16, 40, 41), normal(24, 16, 3, 3), normal(24), padding=1),
    call("batch_norm", normal(8, 8, 50, 51), *statistics(8), training=True),
    call("softmax", normal(500, 501), dim=1),
    call("softmax", normal(3, 40, 1001), dim=1),
]
LARGER = [
    call("conv2d", normal(1, 64, 14, 14), normal(96, 64, 3, 3), padding=1),  # few tiles: channels are shared out
    call("conv2d", normal(1, 3, 300, 301), normal(8, 3, 5, 5), stride=2, padding=2),
    call("conv2d", normal(2, 32, 50, 51), normal(32, 1, 3, 3), groups=32, padding=2, dilation=2),
    call("conv_transpose2d", normal(2, 12, 40, 41), normal(12, 8, 4, 4), normal(8), stride=2, padding=1),
    call("max_pool2d", normal(2, 16, 100, 101), kernel_size=3, stride=2, padding=1, return_indices=True),
    call("avg_pool2d", normal(2, 16, 100, 101), kernel_size=3, stride=2, padding=1),
    call("roi_pool", normal(2, 32, 60, 61), boxes(2, 300), output_size=7, spatial_scale=4.0),
    call("batch_norm", normal(100_001, 7), *statistics(7), training=True),
    *(made for each in TABLE if each.in_place for made in calls_of(each.name, each.rows(200_003))),
    call("prelu", normal(40_001, 5), normal(5)),
    call("prelu", normal(3, 5, 100, 101), normal(5)),
    call("flatten", normal(200, 3, 401), start_dim=1),
    call("log_softmax", normal(70, 5003), dim=1),
    call("log_softmax", normal(3, 70, 1001), dim=1),
    call("cross_entropy", normal(20_001, 11), labels(11, 20_001), label_smoothing=0.2),
    call("cross_entropy", normal(4, 11, 80, 81), labels(11, 4, 80, 81), positive(11)),
    call("cross_entropy", normal(4, 11, 80, 81), positive(4, 11, 80, 81)),
    call("softmax_cross_entropy_with_logits", normal(3001, 101), labels(101, 3001), reduction="mean"),
    call("mse_loss", normal(300_001), normal(300_001)),
]

# ----------------------------------------------------------------------------------------------- what a process does


def run(library: Any, one: Call) -> Any:
    return getattr(library, one.op)(**one.arrays(np.float32), **one.options)


def check(number: int) -> None:
    actual = run(fastops, LARGE[number])
    assert_close(actual, expected(number), exact=LARGE[number].op in EXACT)


@functools.cache
def expected(number: int) -> np.ndarray:
    return run(oracle, LARGE[number])


def check_all() -> None:
    for number in range(len(LARGE)):
        check(number)


def check_all_in_parallel() -> None:
    check_all()
    with _jit.noting() as ran:
        check(1)
    assert not [name for name in ran if "exact" in name]  # which computes again what did not come out finite
    assert _jit.threading_layer() == os.environ["NUMBA_THREADING_LAYER"]
    assert any(kernel.parallel.signatures for kernel in _jit.kernels)


def forked(act, *args) -> int:
    """A child that does this and then leaves as any process does, through the interpreter's end."""
    child = os.fork()
    if child == 0:
        act(*args)
        sys.exit()
    return child


def wait_for(child: int) -> None:
    assert os.waitpid(child, 0)[1] == 0


def threads() -> None:
    """Eight at once, from the first call on, each in an order of its own."""
    together = threading.Barrier(8)

    def work(number: int) -> None:
        together.wait()
        for step in range(2 * len(LARGE)):
            check((number + step * (1 + number % 3)) % len(LARGE))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    check_all_in_parallel()


def fork_after_a_parallel_kernel() -> None:
    check_all_in_parallel()
    for _ in range(2):
        wait_for(forked(lambda: (check_all(), wait_for(forked(check_all)))))
    check_all_in_parallel()


def fork_before_any_kernel() -> None:
    children = [forked(check_all_in_parallel) for _ in range(2)]
    check_all_in_parallel()
    for child in children:
        wait_for(child)


def fork_after_torch() -> None:
    """As in a DataLoader's workers: torch has run OpenMP in the parent, fastops nothing."""
    import torch

    torch.nn.functional.conv2d(torch.ones(2, 8, 64, 64), torch.ones(8, 8, 3, 3)).relu().sum()
    torch.ones(10**6).relu()
    wait_for(forked(check_all))
    check_all_in_parallel()
    wait_for(forked(check_all))


def fork_while_threads_run_kernels() -> None:
    check_all_in_parallel()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            check_all()

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(work) for _ in range(2)]
        try:
            for _ in range(4):
                wait_for(forked(check_all))
        finally:
            stop.set()
        for each in done:
            each.result()
    check_all_in_parallel()


def fork_while_a_thread_compiles() -> None:
    """The child compiles as well: the compiler must not have been left locked, or half-way through something."""
    small = np.linspace(-1, 1, 5)
    with ThreadPoolExecutor(1) as pool:
        compiling = pool.submit(lambda: (check(0), check(2)))
        while not compiling.done():
            wait_for(forked(lambda: np.testing.assert_array_equal(fastops.relu(small), np.maximum(small, 0))))
        compiling.result()


def pool(method: str) -> None:
    check_all_in_parallel()
    with multiprocessing.get_context(method).Pool(2) as workers:
        workers.map(check, [*range(len(LARGE))] * 3, chunksize=1)
    check_all_in_parallel()


def without_the_layer() -> None:
    for name in ("tbbpool", "omppool"):
        sys.modules[f"numba.np.ufunc.{name}"] = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        check_all()
    sentence = (
        "fastops runs on one thread: numba cannot load the threading layer {!r} that NUMBA_THREADING_LAYER asks for"
    )
    assert [str(each.message) for each in said] == [sentence.format(os.environ["NUMBA_THREADING_LAYER"])]
    assert _jit.threading_layer() == "none"
    assert not any(kernel.parallel.signatures for kernel in _jit.kernels)


def bits() -> None:
    """Print a digest of every result; each kernel runs in parallel where there are threads, however little it does."""
    _jit.compile.PARALLEL_WORK = 0
    digests = {}
    for each in [*calls.CALLS, *LARGE, *LARGER]:
        for dtype in (np.float32, np.float64):
            arrays = copy.deepcopy(each.arrays(dtype))
            result = getattr(fastops, each.op)(**arrays, **each.options)
            written = list(calls.arrays_in(arrays)) if each.op == "batch_norm" else []
            digest = hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in (*calls.arrays_in([result]), *written)))
            digests[f"{each} {dtype.__name__}"] = digest.hexdigest() + repr(result)[:40]
    builds = {build for kernel in _jit.kernels for build in ("parallel", "serial") if getattr(kernel, build).signatures}
    print(json.dumps(dict(layer=_jit.threading_layer(), builds=sorted(builds), digests=digests)))


# ------------------------------------------------------------------------------------------------- the tests of it


def in_a_process(*command: str, **environment: str) -> str:
    """What the command prints; its children end with it."""
    path = os.pathsep.join([str(Path(fastops.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    libraries = os.pathsep.join([os.path.join(sys.prefix, "lib"), os.environ.get("LD_LIBRARY_PATH", "")])  # pip's tbb
    environment = {**os.environ, "PYTHONPATH": path, "LD_LIBRARY_PATH": libraries, **environment}
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    process = subprocess.Popen([sys.executable, *command], env=environment, **pipes)
    try:
        output, errors = process.communicate(timeout=LIMIT)
        left = ""
    except subprocess.TimeoutExpired:
        left = f"hangs after {LIMIT} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if left:
        output, errors = process.communicate()
    assert (left, process.returncode) == ("", 0), f"{output}\n{errors}"
    return output


@functools.cache
def why_not(layer: str) -> str:
    code = (
        "from numba.np.ufunc.parallel import _launch_threads as launch\ntry: launch()\nexcept Exception as e: print(e)"
    )
    return in_a_process("-c", code, NUMBA_THREADING_LAYER=layer).strip()


@pytest.fixture(params=LAYERS)
def layer(request) -> str:
    if why_not(request.param):
        pytest.skip(f"{request.param} cannot be loaded: {why_not(request.param)}")
    return request.param


def scenario(*words: str, layer: str, **environment: str) -> str:
    return in_a_process(__file__, *words, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2", **environment)


def test_eight_threads_at_once(layer):
    scenario("threads", layer=layer)


@FORKS
@pytest.mark.parametrize("when", ["before_any_kernel", "after_a_parallel_kernel", "while_threads_run_kernels"])
def test_forked_children_compute(layer, when):
    scenario(f"fork_{when}", layer=layer)


@FORKS
@pytest.mark.parametrize(
    "layer", ["omp", *(pytest.param(layer, marks=pytest.mark.wide) for layer in ("tbb", "workqueue"))], indirect=True
)
def test_forked_children_compute_after_torch(layer):
    pytest.importorskip("torch")
    scenario("fork_after_torch", layer=layer)


@FORKS
@pytest.mark.wide
def test_forked_children_compile_though_the_parent_was_compiling(layer):
    scenario("fork_while_a_thread_compiles", layer=layer, FASTOPS_CACHE="0")


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(method, marks=() if method == "fork" else pytest.mark.wide)
        for method in multiprocessing.get_all_start_methods()
    ],
)
def test_multiprocessing_pool(layer, method):
    scenario("pool", method, layer=layer)


@pytest.mark.parametrize("name", ["tbb", "omp", "no_such_layer"])
def test_a_layer_that_cannot_be_loaded_means_serial(name):
    scenario("without_the_layer", layer=name)


@functools.cache
def bits_of_one_thread() -> dict:
    return json.loads(in_a_process(__file__, "bits", NUMBA_NUM_THREADS="1"))


@pytest.mark.parametrize("count", [2, *(pytest.param(count, marks=pytest.mark.wide) for count in (5, 64))])
def test_every_number_of_threads_gives_the_same_bits(layer, count):
    one = bits_of_one_thread()
    several = json.loads(in_a_process(__file__, "bits", NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS=str(count)))
    assert (one["layer"], one["builds"]) == ("none", ["serial"])
    assert (several["layer"], several["builds"]) == (layer, ["parallel"])
    assert {call for call, digest in one["digests"].items() if several["digests"][call] != digest} == set()


def test_import_launches_no_threads():
    code = """
import os, numpy, numba
from numba.np.ufunc import parallel
before = os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else []
import fastops
after = os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else []
assert not parallel._is_initialized and before == after
"""
    in_a_process("-W", "error", "-c", code)


@pytest.mark.parametrize("layer", ["omp", *(pytest.param(each, marks=pytest.mark.wide) for each in LAYERS[1:])])
def test_import_leaves_torchs_threads_alone(layer):
    pytest.importorskip("torch")
    code = """
import torch
for count in (torch.get_num_threads(), 3):
    torch.set_num_threads(count)
    import fastops
    assert torch.get_num_threads() == count
"""
    in_a_process("-c", code, NUMBA_THREADING_LAYER=layer)


@pytest.mark.parametrize("setting", [None, ("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", "active")], ids=str)
def test_waiting_threads_spin_briefly_unless_the_user_says_otherwise(monkeypatch, setting):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    if setting:
        monkeypatch.setenv(*setting)
    before = dict(os.environ)
    with _jit.threads._short_spins():
        during = os.environ.get("GOMP_SPINCOUNT")
    assert during == ("4000" if setting is None else before.get("GOMP_SPINCOUNT"))
    assert dict(os.environ) == before


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
