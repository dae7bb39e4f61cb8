"""`fastops run`: outputs in words, pictures, the profile, the comparison, and what it refuses in a sentence."""

import subprocess
import sys

import numpy as np
import pytest

from fastops.__main__ import main
from fastops.cli import UsageError, run_compare
from fastops.cli import run as command
from fastops.cli.peers import Peer

onnx = pytest.importorskip("onnx")
plug = pytest.importorskip("fastops.onnx")

CONV = """<ir_version: 8, opset_import: ["" : 17]>
tail (float[N, 3, H, W] image) => (float[N, 2, H, W] map)
<float[2, 3, 1, 1] w = {1, 2, 3, -4, 5, 6}, float[2] b = {0.5, -1}, float[2] half = {0.5, 0.5},
 float[2] zero = {0, 0}, float[2] one = {1, 1}>
{
    c = Conv(image, w, b)
    n = BatchNormalization(c, half, zero, zero, one)
    r = Relu(n)
    map = Sigmoid(r)
}"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tail.onnx"
    onnx.save(onnx.parser.parse_model(CONV), str(path))
    return path


def test_outputs_in_words(file, capsys):
    assert main(["run", str(file), "--shape", "1x3x8x10"]) == 0
    printed = capsys.readouterr().out
    assert "image: float32 1x3x8x10, from " in printed and "first answer in " in printed
    network = plug.load(file)
    out = network(np.random.default_rng(0).standard_normal((1, 3, 8, 10)).astype(np.float32))
    place = tuple(map(int, np.unravel_index(out.argmax(), out.shape)))
    assert f"-> map: float32 1x2x8x10, from 0.5 to {out.max():.4g}" in printed and f"largest at {place}" in printed


def test_words_of_odd_arrays():
    assert command.words(np.empty((0, 3))) == "empty"
    assert command.words(np.array([1, np.nan, np.inf])) == "2 of 3 values are not finite"
    assert command.words(np.array(7)) == "7"


def test_profile_and_its_picture(file, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    chart = tmp_path / "profile.png"
    assert main(["run", str(file), "--shape", "1x3x8x10", "--profile", "--plot", str(chart)]) == 0
    assert " ms in " in capsys.readouterr().out and chart.stat().st_size > 1000


@pytest.mark.parametrize("pixels, low, high", [("255", 0, 200), ("1", 0, 200 / 255), ("standard", -2.2, 2.7)])
def test_a_picture_is_read_and_resized(pixels, low, high, file, tmp_path):
    io = pytest.importorskip("skimage.io")
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[5:, 10:] = 200
    io.imsave(tmp_path / "picture.png", picture, check_contrast=False)
    own = command.picture(tmp_path / "picture.png", None, pixels)
    assert own.shape == (1, 3, 20, 30) and own.dtype == np.float32 and own.flags.c_contiguous
    if pixels != "standard":
        assert (own.min(), own.max()) == pytest.approx((low, high))
    found = command.picture(tmp_path / "picture.png", (1, 3, 10, 12), pixels)
    assert found.shape == (1, 3, 10, 12) and low - 0.01 <= found.min() < found.max() <= high + 0.01
    assert command.picture(tmp_path / "picture.png", (1, 1, 10, 12), pixels).shape == (1, 1, 10, 12)
    assert main(["run", str(file), "--input", str(tmp_path / "picture.png"), "--pixels", pixels]) == 0


@pytest.mark.parametrize(
    "arguments, problem",
    [
        ([], "the file leaves the shape of image open (1x3x?x?): say it by --shape"),
        (["--shape", "1x3x8x8", "--shape", "1x1"], "2 shapes for 1 inputs"),
        (["--shape", "1x3x8"], "image expects 4 dimensions"),
        (["--shape", "1x4x8x8"], "weight expects 4 input channels"),
        (["--input", "none.png"], "no such picture: none.png"),
        (["--shape", "1x3x8x8", "--threads", "0"], "--threads expects 1 or more, got 0"),
        (["--shape", "1x3x8x8", "--plot", "chart.svg"], "--plot writes a PNG picture"),
    ],
)
def test_what_it_refuses(arguments, problem, file, capsys):
    assert main(["run", str(file), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastops run: ") and problem in error and error.count("\n") == 1


def test_files_that_are_none(tmp_path, capsys):
    assert main(["run", str(tmp_path / "none.onnx")]) == 2
    assert "none.onnx" in capsys.readouterr().err
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    assert main(["run", str(broken)]) == 2
    error = capsys.readouterr().err
    assert "broken.onnx" in error and error.count("\n") == 1
    with pytest.raises(SystemExit) as exit:
        main(["run", str(broken), "--shape", "1x0"])
    assert exit.value.code == 2


def test_a_picture_that_is_none(file, tmp_path, capsys):
    pytest.importorskip("skimage")
    (tmp_path / "picture.png").write_bytes(b"no picture")
    assert main(["run", str(file), "--input", str(tmp_path / "picture.png")]) == 2
    assert "as a picture" in capsys.readouterr().err


def test_extras_that_are_missing(file, monkeypatch, capsys):
    monkeypatch.setattr(run_compare.importlib.util, "find_spec", lambda name: None)
    assert main(["run", str(file), "--shape", "1x3x8x8", "--compare"]) == 2
    assert "--compare needs ONNX Runtime, to install: pip install onnxruntime onnx" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "fastops.onnx", None)
    assert main(["run", str(file), "--shape", "1x3x8x8"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_threads(file):
    command = [sys.executable, "-m", "fastops", "run", str(file), "--shape", "1x3x8x8", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and " on 1 threads" in done.stdout, done.stderr


# ------------------------------------------------------------------------------------------------ ONNX Runtime


def test_onnxruntime_agrees(file, capsys):
    pytest.importorskip("onnxruntime")
    assert main(["run", str(file), "--shape", "1x3x8x10", "--compare"]) == 0
    printed = capsys.readouterr().out
    assert "map agrees: largest difference " in printed and "ONNX Runtime takes " in printed


class Wrong:
    """A plug that runs networks rightly, but for what a node gives: alone, or where the network ends with it."""

    def __init__(self, value, fused=False):
        self.value, self.fused = value, fused

    def load(self, model, precision):
        network = plug.load(model, precision=precision)
        names = [each.name for each in model.graph.output]

        def run(*arrays):
            found = network(*arrays)
            found = list(found) if isinstance(found, tuple) else [found]
            if self.value in names and not (self.fused and len(names) > 1):
                found[names.index(self.value)] = found[names.index(self.value)] + 1
            return tuple(found)

        return run


@pytest.mark.parametrize(
    "wrong, said",
    [
        (Wrong("n"), "The first node that differs: n (BatchNormalization), its n by "),
        (Wrong("r", fused=True), "The first node that differs: r (Relu), its r by "),
        (plug, "No node differs where the network is cut after it"),
    ],
    ids=["a node", "a fusion", "none"],
)
def test_the_first_node_that_differs(wrong, said):
    pytest.importorskip("onnxruntime")
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 10)).astype(np.float32)
    with Peer("onnxruntime", 1) as peer:
        told = run_compare.first_difference(wrong, onnx, onnx.parser.parse_model(CONV), [x], peer, "exact", 1e-4)
    assert told.startswith(said)
    assert ("a fusion differs" in told) == (getattr(wrong, "fused", False))


def test_an_output_that_differs_is_told(file, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    network = plug.load(file)
    x = np.ones((1, 3, 8, 10), np.float32)
    assert run_compare.compared(Wrong("map"), network, file, [x], [network(x) + 1], "exact") == 1
    printed = capsys.readouterr().out
    assert "map DIFFERS" in printed and "The first node that differs: map (Sigmoid)" in printed


def test_a_network_that_onnxruntime_lacks_is_told(tmp_path):
    pytest.importorskip("onnxruntime")
    text = CONV.replace("Sigmoid(r)", "strange.Unknown(r)").replace('"" : 17', '"" : 17, "strange" : 1')
    path = tmp_path / "strange.onnx"
    onnx.save(onnx.parser.parse_model(text), str(path))
    network = plug.load(onnx.parser.parse_model(CONV))
    with pytest.raises(UsageError, match=r"ONNX Runtime cannot run strange\.onnx"):
        run_compare.compared(plug, network, path, [np.ones((1, 3, 8, 10), np.float32)], [], "exact")
