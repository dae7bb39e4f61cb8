"""The suite: its list of cases, and `fastops compare --suite`."""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from math import prod

import numpy as np
import pytest

import fastops
from fastops import _jit
from fastops.__main__ import main
from fastops.cli import compare, onnx_models, pages
from fastops.yardstick import limits, measure, timing, work
from fastops.yardstick.cases import CASES
from fastops.yardstick.operators import OPERATORS
from fastops.yardstick.suite import CONVOLUTIONS, FAMILIES, FORWARD, SUITE, Family, Target, target
from fastops.yardstick.targets import by_family, summarise, table
from fastops.yardstick.timing import Effort

NO_TIME = Effort(untimed=0, timed=0, case=0)
SMALL = [timed for timed in FORWARD if timed.family == "small"]
PUBLIC = {name for name in fastops.__all__ if callable(getattr(fastops, name))}


@pytest.fixture(autouse=True)
def in_no_time(monkeypatch):
    monkeypatch.setattr(timing, "QUIET", 0)
    monkeypatch.setitem(timing.EFFORT, "small", NO_TIME)


# ------------------------------------------------------------------------------------------------ the list


def test_names_are_unique():
    names = [timed.name for timed in SUITE]
    assert len(names) == len(set(names))


def test_every_family_has_cases_and_every_function_is_in_it():
    assert list(dict.fromkeys(timed.family for timed in SUITE)) == list(FAMILIES)
    assert {timed.case.operator for timed in FORWARD} == {name for name in PUBLIC if not name.endswith("_backward")}
    backward = [timed for timed in SUITE if timed.backward]
    assert {f"{timed.case.operator}_backward" for timed in backward} == PUBLIC - {c.operator for c in CASES}
    assert {timed.family for timed in backward} == {"backward"}
    for family in ("small", "middle"):
        assert {timed.case.operator for timed in FORWARD if timed.family == family} == {c.operator for c in CASES}


def sizes(timed):
    """The arguments of a convolution: input, weight, and the options."""
    x = np.broadcast_to(np.float32(0), timed.shape)  # a view of one number
    noted = work.Noted(timed.case, timed.case.inputs(x)[:3])
    return noted.args, noted.options


@pytest.mark.parametrize(
    "family, fits",
    [
        ("conv2d-3x3", lambda w, o: w[2:] == (3, 3) and o.get("stride", 1) == o.get("groups", 1) == 1 and w[1] > 3),
        ("conv2d-1x1", lambda w, o: w[2:] == (1, 1) and o.get("groups", 1) == 1),
        ("depthwise", lambda w, o: w[0] == o["groups"] and w[1] == 1),
        ("conv_transpose2d", lambda w, o: o.get("groups", 1) == 1),
    ],
)
def test_convolutions_are_in_their_families(family, fits):
    chosen = [timed for timed in FORWARD if timed.family == family]
    for timed in chosen:
        operator = "conv_transpose2d" if family == "conv_transpose2d" else "conv2d"
        _, options = sizes(timed)
        assert timed.case.operator == operator and fits(sizes(timed)[0][1].shape, options), timed.name


@pytest.mark.parametrize(
    "name",
    [
        *(f"conv2d 3x3 {c} to {c} on {n}x{c}x{s}x{s}" for c, s in ((64, 56), (128, 28), (512, 7)) for n in (1, 8)),
        "conv2d 3x3 64 to 128 on 1x64x112x112",
        "conv2d 1x1 1024 to 2048, stride 2 on 1x1024x14x14",
        "conv2d 1x1 512 to 2048 on 1x512x7x7",
        "conv2d 7x7 3 to 64, stride 2 on 1x3x224x224",
        "conv2d 3x3 128 to 128, dilation 4 on 1x128x28x28",
        "conv2d 3x3 128 to 128, groups 32 on 1x128x56x56",
        "conv2d 1x7 128 to 192 on 1x128x17x17",
        "conv2d 3x3 128 to 128 on 1x128x28x28 float64",
        "conv2d 3x3 32 to 32, groups 32 on 1x32x112x112",
        "conv_transpose2d 2x2 1024 to 512, stride 2 on 1x1024x16x16",
        "conv_transpose2d 4x4 512 to 256, stride 2 on 8x512x4x4",
        "conv2d 2x2 3 to 6, stride 2 on 1x3x32x32",
        "max_pool2d 3x3 stride 1 on 64x64x56x56",
        "flatten copy on 64x64x56x56",
        "cross_entropy class numbers on 4096x1000",
        "cross_entropy class numbers on 8x21x256x256",
        "roi_pool 7x7, 512 boxes on 2x256x50x68",
        "batch_norm_backward train on 64x64x56x56",
    ],
)
def test_the_cases_to_win_are_there(name):
    assert name in {timed.name for timed in SUITE}


@pytest.mark.parametrize(
    "timed", [timed for timed in FORWARD if timed.case.operator in CONVOLUTIONS], ids=lambda t: t.name
)
def test_a_convolution_can_be_called(timed, monkeypatch):
    """Shapes and options fit together: with the kernels left out."""
    x = np.broadcast_to(np.zeros((), timed.dtype), timed.shape)
    called = []
    monkeypatch.setattr(fastops.cpu.conv, timed.case.operator, lambda out, *_: called.append(out.shape))
    assert timed.case.call(fastops, *timed.case.inputs(x)).shape == called[0]
    assert called[0][0] == timed.shape[0] and prod(called[0]) > 0


@pytest.mark.parametrize("timed", SMALL, ids=lambda timed: timed.name)
def test_every_small_case_is_right(timed):
    check(timed, backward=False)


# tests/test_cli.py has the gradients of the photograph's cases
@pytest.mark.parametrize("timed", [each for each in SMALL if each.case not in CASES], ids=lambda timed: timed.name)
def test_the_gradients_of_more_small_cases_are_right(timed):
    check(timed, backward=True)


def check(timed, backward):
    torch = compare.optional("torch")
    row = measure.measure(timed.case, timed.batch, timed.input(), fastops, torch, NO_TIME, backward)
    assert row.problem is None and row.fastops_seconds > 0 and row.name.endswith(f"on {timed.batch}")
    assert (row.ratio is not None) == bool(torch and OPERATORS[timed.case.operator].in_torch)


def test_inputs_are_what_is_written():
    for timed in (SMALL[0], next(timed for timed in FORWARD if timed.dtype == "float64")):
        assert timed.input().shape == timed.shape and timed.input().dtype == timed.dtype
        assert {a.dtype for a in timed.arrays()} == {np.dtype(timed.dtype)}


# ------------------------------------------------------------------------------------------------ targets


PLAIN, FAST = Target(3.25, 0.75, 1.5, 0.625), Target(6.5, 0.875, 1.75, 0.75)
RECYCLED = Target(2.25, 0.5, 1.25, 0.375)


@pytest.mark.parametrize(
    "family, with_fast, with_recycled",
    [
        (Family("", PLAIN), PLAIN, PLAIN),
        (Family("", PLAIN, fast=FAST), FAST, PLAIN),
        (Family("", PLAIN, recycled=RECYCLED), PLAIN, RECYCLED),
        (Family("", PLAIN, fast=FAST, recycled=RECYCLED), FAST, RECYCLED),
    ],
    ids=["one for all", "fast", "recycled", "fast and recycled"],
)
def test_targets_follow_pages_and_then_precision(family, with_fast, with_recycled, monkeypatch):
    """Where a family has a target of its own for either."""
    monkeypatch.setitem(FAMILIES, "small", family)
    assert target("small") == target("small", "exact", "fresh") == PLAIN
    assert target("small", "fast") == target("small", "fast", "fresh") == with_fast
    assert target("small", "exact", "recycled") == with_recycled
    assert target("small", "fast", "recycled") == (with_recycled if family.recycled else with_fast)
    for how in ("exact", None), ("fast", None), ("fast", "recycled"):
        assert by_family([row("relu", 2.0)], *how)["small"]["target"] == target("small", *how)._asdict()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_targets_of_a_family_fit_together(name):
    """No worst case is asked to be better than the mean.

    Precision is an option of convolutions, of which "fast" asks for no less, as recycled pages ask for no more. ONNX
    Runtime has no gradients to be beside.
    """

    def asked(of: Target) -> list[float]:
        return [ratio for ratio in of if ratio is not None]

    _, plain, fast, recycled, _ = FAMILIES[name]
    for found in filter(None, (plain, fast, recycled)):
        assert 0 < found.worst <= found.mean
    if fast:
        assert {timed.case.operator for timed in SUITE if timed.family == name} <= set(CONVOLUTIONS)
        assert all(more >= less for more, less in zip(asked(fast), asked(plain), strict=True))
    if recycled:
        assert all(less <= more for less, more in zip(recycled, plain, strict=True) if less and more)
    assert name != "backward" or plain.onnx is None
    for found in filter(None, (plain, fast, recycled)):
        assert (found.onnx is None) == (found.onnx_worst is None) and (found.onnx or 0) >= (found.onnx_worst or 0)
    operators = {f"{timed.case.operator}_backward" if timed.backward else timed.case.operator for timed in SUITE
                 if timed.family == name}  # fmt: skip
    assert set(FAMILIES[name].aside) <= operators


def row(name, ratio, onnx=None, problem=None):
    return measure.Row(name, "", "x", (1,), 0.0, 0.0, problem, 1.0, ratio, ratio, 3, onnx, onnx, "small")


def test_a_wrong_result_counts_for_no_mean(monkeypatch):
    monkeypatch.setitem(FAMILIES, "small", Family("", PLAIN))
    rows = [
        row("relu", 2.0, 3.0),
        row("sigmoid", 8.0),
        row("dropout", 0.1, 0.1, "2 of 2 elements differ"),
        row("x", None),
    ]
    found = summarise(rows)
    assert found["geometric_mean_ratio"] == pytest.approx(4) and found["worst_case"] == "relu on x"
    assert (found["rows"], found["wrong"], found["beside_torch"], found["beside_onnx"]) == (4, 1, 2, 1)
    printed = table(by_family(rows, "exact", None)).splitlines()[1].split()
    beside_torch, beside_onnx = ["4.00", "3.25", "2.00", "0.75"], ["3.00", "1.50", "3.00", "0.62"]
    assert printed == ["small", "4", "1", "5.00", *beside_torch, *beside_onnx, "-", "relu", "on", "x"]


def test_an_operator_aside_has_a_worst_case_of_its_own(monkeypatch):
    monkeypatch.setitem(FAMILIES, "small", Family("", PLAIN, aside={"dropout": 0.5, "linear": 0.25}))
    rows = [row("relu", 2.0), row("dropout", 0.5)]
    found = by_family(rows, "exact", None)
    assert found["small"]["geometric_mean_ratio"] == pytest.approx(1)
    assert (found["small"]["worst_ratio"], found["small"]["worst_case"]) == (2.0, "relu on x")
    assert found["small"]["aside"] == {"dropout": {"worst_ratio": 0.5, "target": 0.5}}
    assert table(found).splitlines()[-1] == "  its dropout: worst 0.50, target 0.50"


def test_functions_and_layers_have_columns_of_their_own():
    rows = [replace(row("conv2d", 2.0, 3.0), onnx_function_ratio=1.5), row("relu", 2.0, 0.75)]
    found = summarise(rows)
    assert found["geometric_mean_onnx_ratio"] == pytest.approx(1.5)
    assert (found["worst_onnx_ratio"], found["worst_onnx_case"]) == (0.75, "relu on x")
    assert found["geometric_mean_onnx_function_ratio"] == 1.5
    assert str(rows[0]).split()[-2:] == ["3.00", "1.50"] and str(rows[1]).split()[-2:] == ["0.75", "-"]


# ---------------------------------------------------------------------------------------- compare --suite


def test_json_and_table(tmp_path, capsys):
    file = tmp_path / "figures.json"
    arguments = ["--size", "small", "--op", "relu", "--op", "softmax", "--op", "roi_pool", "--json", str(file)]
    assert main(["compare", "--suite", "small", "--suite", "middle", *arguments]) == 0
    report = json.loads(file.read_text())
    assert report["schema"] == 1 and report["suite"] == ["small", "middle"]
    assert (report["dtype"], report["picture"], report["pages"], report["precision"]) == (None, None, None, "exact")
    assert [row["operator"] for row in report["rows"]] == [
        *["roi_pool", "relu", "softmax", "softmax", "softmax"],
        *["roi_pool", "relu", "softmax", "softmax"],
    ]
    assert [row["family"] for row in report["rows"]] == ["small"] * 5 + ["middle"] * 4
    assert all(row["fastops_seconds"] > 0 and row["problem"] is None for row in report["rows"])
    assert list(report["families"]) == ["small", "middle"]
    assert report["families"]["small"]["rows"] == 5
    assert report["families"]["small"]["target"] == target("small")._asdict()
    relu = report["rows"][1]
    assert (relu["onnx_ratio"] is not None) == onnx_models.installed()
    printed = capsys.readouterr().out
    assert "suite small, middle" in printed and "\nmiddle " in printed and "9 results, " in printed
    assert ("Without ONNX Runtime" in printed) != onnx_models.installed()


def test_all_is_every_family():
    chosen = compare.of_the_suite(arguments_of("--suite", "all"))[1]
    assert [str(job) for job in chosen] == [
        f"{'gradient of ' if timed.backward else ''}{timed.case} on {timed.batch}" for timed in SUITE
    ]


def arguments_of(*words):
    parser = argparse.ArgumentParser()
    compare.add_arguments(parser)
    return parser.parse_args(words)


def test_plot_of_a_suite(tmp_path):
    image = pytest.importorskip("matplotlib.image")
    pytest.importorskip("torch")
    file = tmp_path / "chart.png"
    arguments = ["--suite", "small", "--op", "relu", "--op", "flatten", "--size", "small", "--plot", str(file)]
    assert main(["compare", *arguments]) == 0
    height, width, _ = image.imread(file).shape
    assert height > 300 and width > 1000


def test_without_onnxruntime_a_word(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    file = tmp_path / "figures.json"
    assert main(["compare", "--suite", "small", "--size", "small", "--op", "relu", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["rows"][0]["onnx_ratio"] is None
    assert "Without ONNX Runtime, which is not installed. To install: pip install onnxruntime onnx" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize("name", ["no_such_suite", "conv2d", "Small"])
def test_a_bad_name_is_refused(name, capsys):
    with pytest.raises(SystemExit) as exit:
        main(["compare", "--suite", name])
    assert exit.value.code == 2 and "argument --suite: invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["--suite", "depthwise", "--op", "relu"], "no case of relu is in depthwise"),
        (["--suite", "small", "--backward"], "the gradients are a suite of their own: backward"),
        (["--suite", "small", "--dtype", "float64"], "the cases of a suite have dtypes of their own"),
    ],
)
def test_what_does_not_go_with_a_suite(arguments, problem, capsys):
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastops compare: ") and problem in error and error.count("\n") == 1


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_precision_reaches_the_convolutions_alone(precision, monkeypatch):
    seen = {}
    for name in ("conv2d", "conv_transpose2d", "conv2d_backward", "relu"):

        def note(*args, name=name, **options):
            seen[name] = options

        monkeypatch.setattr(fastops, name, note)
    ops = work.with_precision(fastops, precision)
    for name in ("conv2d", "conv_transpose2d", "conv2d_backward", "relu"):
        getattr(ops, name)()
    told = {} if precision == "exact" else {"precision": "fast"}
    assert seen == {"conv2d": told, "conv_transpose2d": told, "conv2d_backward": told, "relu": {}}


def test_fast_runs(capsys):
    arguments = ["--suite", "small", "--op", "conv2d", "--size", "small", "--precision", "fast"]
    assert main(["compare", *arguments]) == 0
    assert "precision fast" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ pages


@pytest.mark.parametrize("kind", pages.PAGES)
def test_pages_start_the_process_again_once(kind, monkeypatch):
    started = []
    monkeypatch.setattr(pages.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(pages.os, "execve", lambda *args: started.append(args))
    for other in pages.PAGES.values():
        for name in other:
            monkeypatch.setenv(name, "0")
    pages.start_again_with(kind)
    ((program, words, environment),) = started
    assert program == words[0] == sys.executable and words[1:] == sys.orig_argv[1:]
    malloc = {name: value for name, value in environment.items() if name.startswith("MALLOC_")}
    assert malloc == pages.PAGES[kind]
    monkeypatch.setattr(pages.os, "environ", environment)
    pages.start_again_with(kind)
    assert len(started) == 1


def test_pages_need_glibc(monkeypatch, capsys):
    monkeypatch.setattr(pages.platform, "libc_ver", lambda: ("", ""))
    assert main(["compare", "--pages", "fresh"]) == 2
    assert "glibc" in capsys.readouterr().err


@pytest.mark.skipif(pages.platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_pages_from_end_to_end():
    """Arguments survive, and so does the answer to a mistake among them."""
    words = ["compare", "--pages", "recycled", "--suite", "depthwise", "--op", "relu"]
    done = subprocess.run([sys.executable, "-m", "fastops", *words], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (2, "fastops compare: no case of relu is in depthwise\n")


# ------------------------------------------------------------------------------------------------ ONNX Runtime


@pytest.fixture(scope="module")
def onnxruntime():
    if not onnx_models.installed():
        pytest.skip("no onnxruntime")
    with onnx_models.OnnxRuntime(threads=1) as found:
        yield found


@pytest.mark.parametrize("timed", SMALL, ids=lambda timed: timed.name)
def test_onnxruntime_computes_the_same(timed, onnxruntime):
    """In its own process; a convolution's layer does, too."""
    case, arrays = timed.case, timed.arrays()
    other = onnxruntime(case, arrays)
    if other is None:
        assert case.operator not in onnx_models.NODES or case.label == "train"
        return
    result = case.call(fastops, *arrays)
    beside = {"ONNX Runtime": other.outputs, "the layer": work.of_layer(case, arrays, fastops)}
    assert (beside["the layer"] is not None) == (case.operator in CONVOLUTIONS)
    assert measure.disagreement(result, beside) is None
    assert other.seconds(3) > 0


def test_onnxruntime_is_asked_for_nothing_else(onnxruntime):
    copied = next(timed for timed in FORWARD if timed.name == "flatten copy on 8x64x56x56")
    assert onnxruntime(copied.case, copied.arrays()) is None


def test_who_differs_is_named():
    x = np.ones(3, np.float32)
    assert measure.disagreement((x, x), {"the layer": None, "ONNX Runtime": lambda: [x + 1e-7]}) is None
    told = measure.disagreement(x, {"the layer": lambda: x, "ONNX Runtime": lambda: [x + 1]})
    assert told.startswith("ONNX Runtime differs: ")


@pytest.mark.parametrize(
    "name",
    [
        "conv2d 3x3 128 to 128, groups 32 on 1x128x56x56",
        "conv_transpose2d 4x4 512 to 256, stride 2 on 1x512x4x4",
    ],
)
def test_a_layer_has_the_precision_and_the_options(name):
    timed = next(each for each in FORWARD if each.name == name)
    layer = work.of_layer(timed.case, timed.arrays(), work.with_precision(fastops, "fast")).func
    options = work.Noted(timed.case, timed.arrays()).options
    assert layer.precision == "fast" and not layer.training
    assert (layer.groups, layer.stride[0]) == (options.get("groups", 1), options.get("stride", 1))


# ------------------------------------------------------------------------------------------------ limits


def test_the_machine_has_limits(monkeypatch):
    monkeypatch.setattr(limits, "STEPS", 1000)
    monkeypatch.setattr(limits, "COPIED", 1 << 20)
    assert 1e6 < limits.peak_operations.__wrapped__() < 1e15
    assert 1e6 < limits.peak_bytes.__wrapped__() < 1e14


def test_limits_that_cannot_be_measured(monkeypatch):
    def fails():
        raise ValueError("No threading layer could be loaded.")

    monkeypatch.setattr(limits, "peak_operations", fails)
    assert limits.measured() is None


def test_a_view_moves_nothing():
    x = np.ones((2, 3), np.float32)
    assert limits.bytes_moved([x], [x.reshape(6)]) is None
    assert limits.bytes_moved([x], [x.reshape(6).copy()]) == 48


def test_what_a_gradient_needs():
    """As many operations for the input and for the weight; nothing is read of an input whose shape alone counts."""
    conv, pool = (next(c for c in CASES if c.operator == name) for name in ("conv2d", "max_pool2d"))
    x = np.ones((1, 3, 4, 4), np.float32)
    run = partial(measure.measure, batch="", x=x, ops=fastops, torch=None, effort=NO_TIME, noting=_jit.noting)
    forward, backward = (run(conv, backward=gradient) for gradient in (False, True))
    assert forward.operations == 2 * (64 * 4 * 4) * 3 and backward.operations == 2 * forward.operations
    assert forward.bytes_moved == 4 * (x.size + 64 * 3 + 64 + 64 * 4 * 4)
    assert any(name.startswith("cpu.conv.") for name in forward.kernels) and len(backward.kernels) > len(
        forward.kernels
    )
    forward, backward = (run(pool, backward=gradient) for gradient in (False, True))
    assert forward.operations is None and forward.kernels == ("cpu.pool_apart._max_pool2d_apart",)
    assert forward.bytes_moved == 4 * (x.size + x.size / 4)
    assert backward.bytes_moved == (4 + 8) * x.size / 4 + 4 * x.size  # grad_output, indices; grad_input
