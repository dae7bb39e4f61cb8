"""A small network on CUDA's side: numba's simulator runs the kernels, a stand-in for CuPy the rest."""

import numpy as np
import onnx_models as models
import pytest
from agreement import assert_close
from conftest import SIMULATED

pytestmark = pytest.mark.cudasim
if not SIMULATED:
    pytest.skip("for the simulator, by NUMBA_ENABLE_CUDASIM=1", allow_module_level=True)

from fake_cupy import cupy  # noqa: E402, F401

import fastops.onnx  # noqa: E402

rng = np.random.default_rng(5)
X = rng.standard_normal((1, 2, 6, 5)).astype(np.float32)


@pytest.fixture
def put(cupy):  # noqa: F811
    """An array as CuPy's; the stand-in has NumPy's functions, and what they give is its own."""

    def function(name):
        def call(*args, **options):
            result = getattr(np, name)(*args, **options)
            return result.view(cupy.ndarray) if isinstance(result, np.ndarray) else result

        return call

    cupy.__getattr__ = function
    return cupy.asarray


def graph():
    weight = {
        "w": rng.standard_normal((4, 2, 3, 3)),
        "b": rng.standard_normal(4),
        "up": rng.standard_normal((4, 2, 2, 2)),
    }
    constants = {name: array.astype(np.float32) for name, array in weight.items()}
    constants |= {"axes": np.array([2, 3]), "minus": np.array([-1]), "scale": np.full((4, 1, 1), 0.5, np.float32)}
    nodes = [
        models.node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        models.node("Relu", ["c"], ["r"]),
        models.node("Mul", ["r", "scale"], ["m"]),
        models.node("Add", ["m", "c"], ["sum"]),
        models.node("MaxPool", ["sum"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        models.node("ConvTranspose", ["pooled", "up"], ["t"], strides=[2, 2]),
        models.node("Concat", ["t", "t"], ["cat"], axis=1),
        models.node("Shape", ["x"], ["shape"]),
        models.node("Slice", ["shape", "zero", "one"], ["n"]),
        models.node("Concat", ["n", "minus"], ["to"], axis=0),
        models.node("Reshape", ["cat", "to"], ["flat"]),
        models.node("Softmax", ["flat"], ["y"], axis=1),
        models.node("ReduceMean", ["sum", "axes"], ["mean"], keepdims=0),
    ]
    constants |= {"zero": np.array([0]), "one": np.array([1])}
    return models.network(nodes, [("x", X)], ["y", "mean", "c"], constants, opset=18)


def test_a_network_on_cupys_arrays_is_the_cpus(put):
    network = fastops.onnx.load(graph())
    expected = network(X)
    x = put(X)
    for _ in range(2):
        outputs = network(x)
        for got, want in zip(outputs, expected, strict=True):
            assert type(got) is type(x) and not np.shares_memory(got, x)
            assert_close(np.asarray(got), want)
    assert len(network._plans) == 2  # one for each kind of array
    np.testing.assert_array_equal(np.asarray(x), X)


def test_activations_end_convolutions_there_too(put):
    nodes = [
        models.node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        models.node("Relu", ["a"], ["b"]),
        models.node("Conv", ["b", "v"], ["c"]),
        models.node("Sigmoid", ["c"], ["d"]),
        models.node("Mul", ["c", "d"], ["y"]),
    ]
    constants = {"w": rng.standard_normal((3, 2, 3, 3)), "v": rng.standard_normal((2, 3, 1, 1))}
    constants = {name: array.astype(np.float32) for name, array in constants.items()}
    network = fastops.onnx.load(models.network(nodes, [("x", X)], ["y"], constants))
    expected = network(X)
    assert_close(np.asarray(network(put(X))), expected)
    (*_, plan) = network._plans.values()
    assert [step.node.op_type for step in plan.steps] == ["Conv", "Conv"]


def test_kinds_do_not_mix(put):
    network = fastops.onnx.load(models.one_node("Add", [X, X])[0])
    with pytest.raises(TypeError, match="x1 expects a CuPy array on device 0, as the first input is, got a NumPy"):
        network(put(X), X)
    from numba import cuda

    with pytest.raises(TypeError, match="x0 expects a NumPy or CuPy array"):
        network(cuda.to_device(X), cuda.to_device(X))
