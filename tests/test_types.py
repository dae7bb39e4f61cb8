"""What a type checker, and so an editor, makes of the public functions: mypy reads a small program that uses them."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastops

PROGRAM = """
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastops
from fastops import nn


class Device:  # an array as CuPy's are, which has no stubs of its own
    shape: tuple[int, ...]
    dtype: Any
    ndim: int
    size: int
    __cuda_array_interface__: dict[str, Any]


def numpy(x: NDArray[np.float32], w: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    reveal_type(fastops.relu(x))  # ndarray
    reveal_type(fastops.conv2d(x, w, padding="same"))  # ndarray
    reveal_type(fastops.max_pool2d(x, 2))  # ndarray
    reveal_type(fastops.max_pool2d(x, 2, return_indices=True))  # tuple[ndarray
    reveal_type(fastops.batch_norm(x, None, None, training=True))  # ndarray
    reveal_type(fastops.softmax(x, dim=1))  # ndarray
    reveal_type(fastops.max_pool2d(x, 3, padding=((0, 1), (1, 0))))  # ndarray
    reveal_type(fastops.conv2d(x, w, padding=[[0, 1], [1, 0]]))  # ndarray
    reveal_type(fastops.adaptive_avg_pool2d(x, (None, 2)))  # ndarray
    reveal_type(fastops.interpolate(x, scale_factor=(2, 1.5), mode="bilinear"))  # ndarray
    reveal_type(fastops.linear_backward(x, x, w))  # tuple[ndarray, ndarray
    reveal_type(fastops.conv2d_backward(x, x, w))  # tuple[ndarray, ndarray
    reveal_type(fastops.cross_entropy_backward(1.0, x, labels))  # ndarray
    reveal_type(fastops.relu(np.zeros((1, 3, 8, 8))).reshape(-1))  # ndarray[tuple[
    fastops.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), stride=(1, 2), out=np.ones((1, 1, 2, 1)))
    nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())(x)


def cuda(x: Device, w: Device) -> None:
    reveal_type(fastops.relu(x))  # Device
    reveal_type(fastops.conv2d(x, w))  # Device
    reveal_type(fastops.sigmoid_backward(x, w))  # Device


def wrong(x: NDArray[np.float32]) -> None:
    fastops.relu([1.0, 2.0])  # error: arg-type|type-var
    fastops.conv2d(x, "weight")  # error: arg-type
    fastops.max_pool2d(x, "2")  # error: arg-type|call-overload
    fastops.relu(x, inplace=True)  # error: call-arg
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What mypy says of each line of the program."""
    pytest.importorskip("mypy")
    program = tmp_path_factory.mktemp("types") / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--follow-imports=silent", str(program)]
    environment = {**os.environ, "MYPYPATH": str(Path(fastops.__file__).parents[1])}  # it cannot see an editable one
    out = subprocess.run(command, capture_output=True, text=True, cwd=program.parent, env=environment).stdout
    lines: dict[int, str] = {}
    for line in out.splitlines():
        found = re.match(r"program\.py:(\d+):", line)
        assert found, out
        lines[int(found[1])] = lines.get(int(found[1]), "") + line
    return lines


def test_results_have_the_kind_of_the_arguments(said):
    for number, line in enumerate(PROGRAM.splitlines(), 1):
        if match := re.search(r"reveal_type.*# (.+)", line):
            assert "Revealed type" in said[number]
            told = re.sub(r"numpy\.|program\.|builtins\.", "", said[number])
            for word in match[1].split(", "):
                assert word in told, told


def test_what_is_no_array_is_refused(said):
    wrong = {n: m[1] for n, line in enumerate(PROGRAM.splitlines(), 1) if (m := re.search(r"# error: (.+)", line))}
    assert len(wrong) == 4
    for number, codes in wrong.items():
        assert re.search(rf"\[({codes})\]", said[number]), said[number]
    assert {n for n, text in said.items() if "error:" in text} == set(wrong)


def test_every_public_function_is_annotated():
    for name in fastops.__all__:
        if callable(function := getattr(fastops, name)):
            signature = inspect.signature(function)
            assert signature.return_annotation is not inspect.Signature.empty, name
            assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values()), name


def test_the_wheel_says_that_it_is_typed():
    assert (Path(fastops.__file__).parent / "py.typed").is_file()
