"""Blocks on threads and on a cluster of processes: the same numbers, no abort, no deadlock, a worker that dies.

Run as a script, this file computes in 8 worker threads on the threading layer that the environment names.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

dask = pytest.importorskip("dask")

import dask.array as da  # noqa: E402
from agreement import assert_close  # noqa: E402

import fastops  # noqa: E402
from fastops import _jit  # noqa: E402

LIMIT = 300  # seconds
LAYERS = ("omp", "tbb", "workqueue")


def work(chunk: int = 64):
    """(lazy, expected) of a few operators that are enough work for parallel kernels."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 8, 256, 256), np.float32), rng.standard_normal((8, 8, 3, 3), np.float32)

    def network(image):
        return fastops.max_pool2d(fastops.relu(fastops.conv2d(image, w, padding=1)), 3, stride=2, padding=1)

    return network(da.from_array(x, chunks=(1, -1, chunk, chunk))), network(x)


def in_threads():
    lazy, expected = work()
    for _ in range(5):
        assert_close(lazy.compute(scheduler="threads", num_workers=8), expected)
    # what a scheduler's thread leaves to a kernel is for that thread alone
    assert_close(lazy.compute(scheduler="synchronous"), expected)
    print("computed")


@pytest.mark.parametrize("layer", LAYERS)
def test_eight_threads_on_each_threading_layer(layer):
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=LIMIT)
    if layer == "tbb" and "cannot load the threading layer" in done.stderr:
        pytest.skip("tbb is not installed")
    assert (done.returncode, done.stdout) == (0, "computed\n"), done.stderr


def test_a_thread_can_ask_for_serial_kernels():
    threads = _jit.thread_count()
    with _jit.serially():
        assert _jit.thread_count() == 1
        with _jit.serially():
            pass
        assert _jit.thread_count() == 1
    assert _jit.thread_count() == threads


def test_cores_are_shared_out_among_the_threads_of_the_scheduler():
    from fastops.dask import workers

    cores = workers.CPU_COUNT

    def share(block):
        time.sleep(0.1)
        return np.full_like(block, workers.threads_of_a_kernel())

    shares = da.zeros(4 * cores, chunks=1).map_blocks(share, meta=np.empty(0))
    assert set(shares.compute(scheduler="synchronous")) == {cores}
    assert set(shares.compute(scheduler="threads", num_workers=1)) == {cores}
    assert shares.compute(scheduler="threads", num_workers=2 * cores)[-1] == 1


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """What distributed leaves to the collector when a cluster closes is not ours."""
    import warnings

    warnings.simplefilter("ignore", ResourceWarning)


@pytest.mark.filterwarnings("default")
def test_two_processes(client):
    lazy, expected = work()
    assert_close(client.compute(lazy).result(timeout=LIMIT), expected)


@pytest.mark.filterwarnings("default")
def test_warmup_shares_out_the_cores(client):
    import fastops.dask
    from fastops.dask import workers

    shares = fastops.dask.warmup(client, fastops.relu, np.ones(10, np.float32))
    assert list(shares.values()) == [max(1, workers.CPU_COUNT // 2)] * 2
    seen = client.run(lambda: fastops.dask.workers._share)
    assert seen == shares


@pytest.mark.filterwarnings("default")
def test_a_bad_label_in_a_worker_gives_the_operators_sentence(client):
    labels = da.from_array(np.array([0, 1, 2, 7]), chunks=2)
    lazy = fastops.cross_entropy(da.ones((4, 3), chunks=2, dtype=np.float32), labels)
    with pytest.raises(ValueError, match="^cross_entropy: target expects class numbers from 0 to 2, got 7$"):
        client.compute(lazy).result(timeout=LIMIT)


def slowly(block):
    time.sleep(0.05)
    return block


@pytest.mark.filterwarnings("default")
def test_a_worker_that_dies_changes_nothing(client):
    lazy, expected = work(chunk=32)
    future = client.compute(lazy.map_blocks(slowly, meta=lazy._meta))
    time.sleep(0.7)
    victim = next(iter(client.run(os.getpid).values()))
    assert not future.done()
    os.kill(victim, signal.SIGKILL)
    assert_close(future.result(timeout=LIMIT), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="looks at Linux's locks")
def test_processes_that_start_together_compile_a_kernel_once(tmp_path):
    """One of them compiles, the others wait and load what it has made."""
    code = """if True:
        import time, numpy as np, fastops
        from fastops._jit.parts import KernelCompiler
        compiled, compile = [], KernelCompiler.compile_extra
        def counting(self, function):
            compiled.append(function.__qualname__)
            return compile(self, function)
        KernelCompiler.compile_extra = counting
        fastops.relu(np.ones(10, np.float32))
        print(len(compiled))
    """
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) for _ in range(3)
    ]
    counts = [int(each.communicate(timeout=LIMIT)[0]) for each in started]
    assert sorted(counts) == [0, 0, 1]


def test_a_lock_goes_with_its_holder(tmp_path):
    """A process that is killed while it compiles keeps nobody waiting."""
    holder = f"""if True:
        import os, sys
        os.environ["XDG_CACHE_HOME"] = {str(tmp_path)!r}
        from fastops._jit import cache
        with cache.compiling("kernel"):
            print("held", flush=True)
            sys.stdin.read()
    """
    first = subprocess.Popen([sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert first.stdout.readline() == b"held\n"
    second = subprocess.Popen([sys.executable, "-c", holder], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    time.sleep(3)
    assert second.poll() is None
    first.kill()
    first.communicate()
    assert second.communicate(timeout=LIMIT)[0] == b"held\n"


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    in_threads()
