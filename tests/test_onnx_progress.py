"""The line at a terminal while kernels are compiled: there when that happens, and nowhere else."""

import contextlib
import io
import os
import subprocess
import sys

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")

import fastops.onnx  # noqa: E402
from fastops import _jit  # noqa: E402
from fastops.onnx import progress  # noqa: E402

MODEL = onnx.parser.parse_model(
    """<ir_version: 8, opset_import: ["" : 17]>
    small (float[N, 4, H, W] x) => (float[N, 4, H, W] y)
    <float[4, 1, 3, 3] w = {0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
                            0, 0, 0, 0, 1, 0, 0, 0, 0}>
    { c = Conv <group = 4, pads = [1, 1, 1, 1]> (x, w) y = Softmax <axis = 1> (c) }"""
)
X = np.ones((1, 4, 5, 6), np.float32)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0.0)


@pytest.fixture
def compiled(monkeypatch):
    """As if this process had no cache, and compiled what it calls."""
    monkeypatch.setattr(_jit, "cache_folder", lambda: None)


def shown(network, stream=None):
    """What a call shows."""
    stream = stream or Terminal()
    with contextlib.redirect_stderr(stream):
        network(X)
    return stream.getvalue()


def test_silent_where_nothing_is_compiled():
    fastops.onnx.load(MODEL)(X)
    assert shown(fastops.onnx.load(MODEL)) == ""


def test_shown_where_kernels_are_compiled_and_wiped_away(compiled):
    network = fastops.onnx.load(MODEL)
    lines = shown(network).split("\r")
    assert lines[0] == "" and lines[1].startswith("small: compiling kernels, this once: step 1 of 2, 'c' (Conv)")
    assert lines[2].startswith("small: compiling kernels, this once: step 2 of 2, 'y' (Softmax)")
    assert lines[3].strip() == "" and len(lines[3]) == max(map(len, lines)) and lines[4:] == [""]
    assert shown(network) == ""  # it has a plan


def test_a_plan_that_runs_the_network_shows_its_nodes(compiled):
    assert "step 2 of 2" in shown(fastops.onnx.network.load_plain(MODEL))


def test_no_line_is_longer_than_the_terminal(compiled, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert max(map(len, shown(fastops.onnx.load(MODEL)).split("\r"))) == 19


def test_silent_without_a_terminal_and_without_stderr(compiled, monkeypatch):
    assert shown(fastops.onnx.load(MODEL), io.StringIO()) == ""
    monkeypatch.setattr(sys, "stderr", None)
    assert fastops.onnx.load(MODEL)(X).shape == X.shape


def test_a_terminal_that_is_gone_stops_nothing(compiled):
    stream = Terminal()

    def write(text):
        written.append(text)
        raise OSError(5, "Input/output error")

    written, stream.write = [], write
    with contextlib.redirect_stderr(stream):
        assert fastops.onnx.load(MODEL)(X).shape == X.shape
    assert written


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="terminals are the system's")
def test_in_a_terminal_with_an_empty_cache(tmp_path):
    """A real compiler and a real terminal, in a process of its own."""
    ours, theirs = os.openpty()
    file = tmp_path / "small.onnx"
    onnx.save(MODEL, file)
    code = (
        "import numpy, fastops.onnx; from fastops.onnx import progress; progress.SECONDS = 0.1; "
        f"fastops.onnx.load({str(file)!r})(numpy.ones((1, 4, 5, 6), numpy.float32))"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "FASTOPS_CACHE": "1", "COLUMNS": "100"}
    environment.pop("NUMBA_CACHE_DIR", None)
    subprocess.run([sys.executable, "-c", code], stderr=theirs, env=environment, check=True, timeout=300)
    os.close(theirs)
    line = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "small.onnx: compiling kernels, this once: step 2 of 2" in line
    assert "step 1 of" not in line  # nothing had been compiled then
