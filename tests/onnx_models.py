"""Small networks for the tests of fastops.onnx, and what ONNX Runtime makes of them."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
from onnx import helper, numpy_helper  # noqa: E402

DTYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7, np.dtype(np.bool_): 9, np.dtype(np.float64): 11,
          np.dtype(np.int32): 6, np.dtype(np.uint8): 2, np.dtype(np.int8): 3}  # fmt: skip


def value(name, array_or_dtype, shape=None):
    """An input or output, declared of any size in each of its dimensions."""
    if isinstance(array_or_dtype, np.ndarray):
        shape = [None] * array_or_dtype.ndim if shape is None else shape
        array_or_dtype = array_or_dtype.dtype
    return helper.make_tensor_value_info(name, DTYPES[np.dtype(array_or_dtype)], shape)


def network(nodes, inputs, outputs, constants=None, opset=17, name="network"):
    """A model of nodes; ``inputs`` are arrays by name, ``outputs`` names, or pairs of a name and a dtype."""
    outputs = [(each, np.float32) if isinstance(each, str) else each for each in outputs]
    graph = helper.make_graph(
        list(nodes),
        name,
        [each if not isinstance(each, tuple) else value(*each) for each in inputs],
        [value(each, dtype) for each, dtype in outputs],
        [numpy_helper.from_array(np.asarray(array), each) for each, array in (constants or {}).items()],
    )
    ir = 10 if opset > 20 else 8
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def node(op_type, inputs, outputs, **attributes):
    return helper.make_node(op_type, inputs, outputs, **attributes)


def one_node(op_type, arrays, opset=17, outputs=("y",), dtypes=None, constant=(), **attributes):
    """(a model of one node, its feeds): inputs are x0, x1, ..., None for one left out; some are constants."""
    names = ["" if array is None else f"x{i}" for i, array in enumerate(arrays)]
    given = {
        name: array for i, (name, array) in enumerate(zip(names, arrays, strict=True)) if name and i not in constant
    }
    constants = {names[i]: arrays[i] for i in constant}
    dtypes = dtypes or [np.float32] * len(outputs)
    model = network(
        [node(op_type, names, list(outputs), name=f"the {op_type}", **attributes)],
        list(given.items()),
        list(zip(outputs, dtypes, strict=True)),
        constants,
        opset,
    )
    return model, given


def onnx_runtime(model, feeds):
    """ONNX Runtime's outputs, in a list."""
    runtime = pytest.importorskip("onnxruntime", reason="the extra suite is not installed")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def assert_close(actual, expected, tolerance=1e-5):
    """Each output within float32's rounding of the largest value."""
    actual = actual if isinstance(actual, tuple) else (actual,)
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert isinstance(a, np.ndarray) and a.dtype == e.dtype and a.shape == e.shape
        if a.dtype.kind == "f":
            largest = np.abs(e[np.isfinite(e)]).max(initial=1e-30)
            np.testing.assert_allclose(a, e, rtol=1e-5 if tolerance < 1e-4 else tolerance, atol=tolerance * largest)
        else:
            np.testing.assert_array_equal(a, e)


def file_of(package, path):
    """A file that a package brings, or skip."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"the package {package} is not installed")
    file = Path(found.origin).parent / path
    if not file.is_file():
        pytest.skip(f"this version of the package {package} has no {path}")
    return file
