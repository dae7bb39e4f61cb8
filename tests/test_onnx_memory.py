"""What of a file stays in memory: its pages go back to the system once weights are folded or laid out."""

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
from onnx import helper, numpy_helper  # noqa: E402

import fastops.onnx  # noqa: E402
from fastops.onnx.pages import PIECE, aligned, let_go  # noqa: E402

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="the counter is Linux's")


def resident(file: Path) -> int:
    """Bytes of a mapped file that are in this process's memory."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith(str(file))
        elif inside and line.startswith("Rss:"):
            found += 1024 * int(line.split()[1])
    return found


def model(tmp_path, *, batch_norm: bool, shift: int = 0) -> tuple[Path, int]:
    """(a file with two convolutions of 2.4 MB each, the bytes of their weights)."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((256, 256, 3, 3), np.float32) / 48 for _ in range(2)]
    tensors = [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
    nodes, name = [], "x"
    for i in range(2):
        nodes.append(helper.make_node("Conv", [name, f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1]))
        name = f"c{i}"
        if batch_norm:
            for part in ("scale", "bias", "mean", "var"):
                tensors.append(numpy_helper.from_array(rng.uniform(0.5, 1, 256).astype(np.float32), f"{part}{i}"))
            parts = [f"{part}{i}" for part in ("scale", "bias", "mean", "var")]
            nodes.append(helper.make_node("BatchNormalization", [name, *parts], [f"b{i}"]))
            name = f"b{i}"
    given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 256, 14, 14))
    made = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [given], [made], tensors)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="y" * (shift + 1))
    file = tmp_path / "model.onnx"
    onnx.save(whole, file)
    return file, sum(w.nbytes for w in weights)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("shift", range(4))
def test_a_files_pages_go_once_its_weights_are_laid_out(tmp_path, batch_norm, shift):
    file, size = model(tmp_path, batch_norm=batch_norm, shift=shift)
    network = fastops.onnx.load(file)
    assert resident(file) < size / 4
    x = np.random.default_rng(1).standard_normal((1, 256, 14, 14), np.float32)
    first = network(x)
    assert resident(file) < size / 4
    np.testing.assert_array_equal(network(x), first)
    for copied in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        np.testing.assert_array_equal(copied(x), first)
    np.testing.assert_array_equal(fastops.onnx.load(onnx.load(file))(x), first)  # of a model that is no file's


def test_the_counter_sees_pages(tmp_path):
    file, size = model(tmp_path, batch_norm=False)
    network = fastops.onnx.load(file)
    (one, other) = network._graph.constants.values()
    assert np.isfinite(one).all() and np.isfinite(other).all()
    assert resident(file) > 0.9 * size
    kept = one.copy()
    let_go(one)
    let_go(other)
    assert resident(file) < size / 4
    np.testing.assert_array_equal(one, kept)


def test_aligned_copies_in_pieces():
    raw = np.zeros(4 * (2 * PIECE + 5) + 1, np.uint8)[1:]
    array = raw.view(np.float32)
    array[:] = np.arange(array.size)
    assert not array.flags.aligned
    copy = aligned(array.reshape(-1, 1))
    assert copy.flags.aligned and copy.shape == (array.size, 1)
    np.testing.assert_array_equal(copy[:, 0], array)
    assert aligned(copy) is copy
