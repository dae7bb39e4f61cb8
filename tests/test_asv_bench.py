"""The benchmarks of asv_bench: they time every case of the suite, and skip what is missing."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastops
from fastops.yardstick.suite import SUITE

BENCHMARKS = Path(__file__).parents[1] / "asv_bench" / "benchmarks"


@pytest.fixture(scope="module")
def benchmarks():
    sys.path.insert(0, str(BENCHMARKS.parent))
    environment = dict(os.environ)
    try:
        yield importlib.import_module("benchmarks")
    finally:
        sys.path.remove(str(BENCHMARKS.parent))
        os.environ.clear()
        os.environ.update(environment)
        if torch := sys.modules.get("torch"):
            torch.set_grad_enabled(True)
        for name in [name for name in sys.modules if name.split(".")[0] in ("benchmarks", "fastops_yardstick")]:
            del sys.modules[name]


def classes(benchmarks):
    for file in sorted(BENCHMARKS.glob("[!_]*.py")):
        module = importlib.import_module(f"benchmarks.{file.stem}")
        yield from (value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__)


def test_the_list_needs_no_fastops():
    """asv loads it beside older versions, or none."""
    code = """if True:
        import sys
        sys.modules.update(fastops=None, numba=None, torch=None)
        import benchmarks
        assert len(benchmarks.suite.SUITE) > 400 and sum(a.size for a in benchmarks.suite.SUITE[0].arrays()) > 0
    """
    subprocess.run([sys.executable, "-c", code], check=True, cwd=BENCHMARKS.parent, timeout=300)


def test_asv_times_every_case(benchmarks):
    timed = [c for c in classes(benchmarks) if hasattr(c, "time_call")]
    names = [name for each in timed for name in each.params[1]]
    assert sorted(names) == sorted(case.name for case in SUITE)
    assert {each.params[0] for each in timed} == {("fastops", "torch")}
    assert {each.params[2] for each in timed} == {benchmarks.DEVICES}


@pytest.mark.parametrize("library", ["fastops", "torch"])
@pytest.mark.parametrize("name", ["relu on 1x3x32x32", "softmax_backward rows on 1x3x32x32"])
def test_an_asv_benchmark_runs(benchmarks, library, name):
    pytest.importorskip(library)
    chosen = next(c for c in classes(benchmarks) if hasattr(c, "time_call") and name in c.params[1])
    benchmark = chosen()
    benchmark.setup(library, name, "cpu")
    benchmark.time_call(library, name, "cpu")
    assert benchmark.result is not None


def test_shares_of_the_limits(benchmarks, monkeypatch):
    limits = importlib.import_module("benchmarks.limits")
    x, _, bias = arrays = [np.ones(shape, np.float32) for shape in ((1, 3, 8, 8), (5, 3, 3, 3), (5,))]
    forward, backward = (
        next(c for c in SUITE if c.name.startswith(f"{name} ")) for name in ("conv2d", "conv_transpose2d")
    )
    share = limits.Arithmetic()
    share.cases, share.arrays, share.call = {"a": forward, "b": backward}, arrays, int
    share.result = fastops.conv2d(*arrays)
    monkeypatch.setattr(limits.limits, "seconds", lambda call: 1.0)
    monkeypatch.setattr(limits.limits, "peak_operations", lambda: 1e4)
    monkeypatch.setattr(limits.limits, "peak_bytes", lambda: 1e4)
    assert share.track_share_of_peak_gflops("fastops", "a") == 2 * (5 * 6 * 6) * (3 * 3 * 3) / 1e4
    share.arrays = [x, np.ones((3, 5, 2, 2), np.float32), bias]
    share.result = fastops.conv_transpose2d(*share.arrays)
    assert share.track_share_of_peak_gflops("fastops", "b") == 2 * x.size * (5 * 2 * 2) / 1e4
    share = limits.Bandwidth()
    share.arrays, share.result, share.call = [x], fastops.relu(x), int
    assert share.track_share_of_copy_gbs("fastops", "relu") == 2 * x.nbytes / 1e4
    share.result = fastops.max_pool2d(x, 2, return_indices=True)  # float32 and int64, a quarter of the places each
    assert share.track_share_of_copy_gbs("fastops", "indices") == (x.nbytes + x.size / 4 * (4 + 8)) / 1e4


def test_shares_of_torchs_time_for_every_case(benchmarks):
    shares = [c for c in classes(benchmarks) if hasattr(c, "track_share") and issubclass(c, benchmarks.Cases)]
    names = [name for each in shares for name in each.params[0]]
    assert sorted(names) == sorted(case.name for case in SUITE)


def test_a_share_of_torchs_time_is_a_ratio(benchmarks, monkeypatch):
    pytest.importorskip("torch")
    module = importlib.import_module("benchmarks.beside_torch")
    share = module.relu_small_arrays()
    share.setup("relu on 1x3x32x32", "cpu")
    seen = []

    def timings(calls, effort, wait):
        seen.extend(calls)
        return [(2.0, 8.0), (3.0, 8.0), (9.0, 2.0)]

    monkeypatch.setattr(module.timing, "timings", timings)
    assert share.track_share("relu on 1x3x32x32", "cpu") == 3 / 8
    assert seen == [share.made.ours, share.made.theirs]


def test_cases_that_share_a_plot(benchmarks):
    groups = benchmarks.GROUPS
    assert [timed.name for timed in groups["relu"]] == ["relu on 8x64x56x56", "relu on 64x64x56x56"]
    assert [timed.name for timed in groups["relu, small arrays"]] == ["relu on 1x3x32x32", "relu on 1x16x56x56"]
    assert {timed.backward for timed in groups["relu, gradients"]} == {True}
    assert {timed.case.operator for timed in groups["depthwise"]} == {"conv2d"}
    assert sum(map(len, groups.values())) == len(SUITE)


def test_kernels_are_kept_where_the_user_says(benchmarks):
    """And by default beside the benchmarks, for all of asv's environments."""
    code = "import os, benchmarks; print(os.environ['NUMBA_CACHE_DIR'])"
    for given, kept in ((None, str(BENCHMARKS.parent / "kernels")), ("mine", "mine")):
        environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | (
            {"NUMBA_CACHE_DIR": given} if given else {}
        )
        command = [sys.executable, "-c", f"import sys; sys.modules.update(fastops=None, torch=None); {code}"]
        found = subprocess.run(command, env=environment, cwd=BENCHMARKS.parent, capture_output=True, text=True)
        assert found.stdout.strip() == kept, found.stderr


def test_what_is_missing_is_skipped(benchmarks, monkeypatch):
    relu = "relu on 1x3x32x32"
    benchmark = benchmarks.benchmark_of("relu, small arrays", __name__)()
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(NotImplementedError, match="no CUDA device"):
        benchmark.setup("fastops", relu, "cuda")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(NotImplementedError, match="torch is not installed"):
        benchmark.setup("torch", relu)
    monkeypatch.delattr(fastops, "relu")
    with pytest.raises(NotImplementedError, match="fastops lacks it"):
        benchmark.setup("fastops", relu)


def test_networks_are_measured_once_for_all_figures(benchmarks, monkeypatch):
    for package in ("onnx", "onnxruntime", "torch"):
        pytest.importorskip(package)
    networks = importlib.import_module("benchmarks.networks")
    plug = importlib.import_module("fastops.cli.networks")
    monkeypatch.setitem(plug.EFFORT, networks.EFFORT, plug.Effort(0, 0, 0))
    rows = networks.measured(["dcgan, batch 1"])
    benchmark = networks.Network()
    benchmark.setup(rows, "dcgan, batch 1")
    figures = [getattr(benchmark, name) for name in dir(benchmark) if name.startswith("track_")]
    assert len(figures) == 5 and all(figure(rows, "dcgan, batch 1") > 0 and figure.unit for figure in figures)
    with pytest.raises(NotImplementedError):
        benchmark.setup(rows, "unet, batch 1")
    monkeypatch.setitem(sys.modules, "fastops.onnx", None)
    assert networks.measured(["dcgan, batch 1"]) == {}


def test_a_first_answer_of_a_network(benchmarks, monkeypatch, tmp_path):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    startup = importlib.import_module("benchmarks.startup")
    monkeypatch.setattr(startup.tempfile, "gettempdir", lambda: str(tmp_path))
    for library in startup.RUN:
        benchmark = startup.FirstAnswer()
        benchmark.setup(library, "mobilenet_v2")
        code, prepare = benchmark.timeraw_load_and_first_call(library, "mobilenet_v2")
        assert library in code and "import" in prepare and "import" not in code


@pytest.mark.parametrize("way", ["frozen, batch 1", pytest.param("training, batch 8", marks=pytest.mark.wide)])
def test_models_in_torch(benchmarks, way):
    pytest.importorskip("torch")
    each = importlib.import_module("benchmarks.torch_models").Model()
    each.edge = 32
    each.setup("resnet18", way)
    assert each.track_share("resnet18", way) > 0
