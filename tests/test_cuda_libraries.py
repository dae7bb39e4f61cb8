"""Whose CUDA arrays come in: kinds and devices that do not mix, layouts, results of the kind that came."""

import sys

import numpy as np
import pytest
from conftest import SIMULATED

import fastops

pytestmark = pytest.mark.cudasim
if not SIMULATED:
    pytest.skip("for the simulator, by NUMBA_ENABLE_CUDASIM=1", allow_module_level=True)

from fake_cupy import cupy  # noqa: E402, F401
from numba import cuda  # noqa: E402

X = np.random.default_rng(1).standard_normal((5, 6)).astype(np.float32)


@pytest.fixture(params=["numba", "cupy"])
def put(request, cupy):  # noqa: F811
    return cuda.to_device if request.param == "numba" else cupy.asarray


def host(array):
    return array.copy_to_host() if hasattr(array, "copy_to_host") else np.array(array)


def test_the_result_is_of_the_kind_that_came_in(put):
    x = put(X)
    out = fastops.relu(x)
    assert type(out) is type(x) and out.dtype == np.float32 and out.shape == (5, 6)
    assert np.array_equal(host(out), np.maximum(X, 0))


LAYOUTS = {
    "transposed": lambda a: a.T,
    "backwards": lambda a: a[::-1, ::-2],
    "every other": lambda a: a[1::2, ::3],
    "one column": lambda a: a[:, 2],
    "an axis of one": lambda a: a[:, None, 1:],
    "empty": lambda a: a[:0],
    "a number": lambda a: a[2, 3:4].reshape(()),
    "repeated": lambda a: np.broadcast_to(a[:, :1], (2, 5, 3)) if type(a) is np.ndarray else None,
    "8 dimensions": lambda a: a.reshape(5, 1, 3, 1, 2, 1, 1, 1).transpose(7, 4, 1, 2, 3, 0, 5, 6),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(put, layout):
    given = LAYOUTS[layout](X)
    x = put(X)
    if hasattr(x, "_ary"):
        mine = type(x)(LAYOUTS[layout](x._ary))
    else:
        mine = LAYOUTS[layout](np.asarray(x)).view(type(x))
    for op in ("relu", "sigmoid"):
        got = host(getattr(fastops, op)(mine))
        assert got.shape == given.shape
        assert np.allclose(got, getattr(fastops, op)(given), rtol=1e-6)


def test_a_mask_is_the_cpus(put):
    assert np.array_equal(host(fastops.dropout(put(X), 0.4, rng=9)), fastops.dropout(X, 0.4, rng=9))


def test_out(put):
    x, out = put(X), put(np.zeros_like(X))
    assert fastops.relu(x, out=out) is out and np.array_equal(host(out), np.maximum(X, 0))
    assert fastops.relu(x, out=x) is x and np.array_equal(host(x), np.maximum(X, 0))


@pytest.mark.parametrize("bad, error, words", [
    (lambda put: put(np.zeros((6, 5), np.float32)), ValueError, "out expects shape (5, 6), got (6, 5)"),
    (lambda put: put(np.zeros((5, 6))), TypeError, "out expects dtype float32, got float64"),
    (lambda put: np.zeros((5, 6), np.float32), TypeError, "out expects a"),
], ids=["shape", "dtype", "kind"])  # fmt: skip
def test_out_is_refused(put, bad, error, words):
    with pytest.raises(error) as caught:
        fastops.relu(put(X), out=bad(put))
    assert words in str(caught.value)


def test_out_that_overlaps_is_refused(put):
    if put is cuda.to_device:
        both = cuda.to_device(np.zeros(20, np.float32))
        x, out = type(both)(both._ary[:12]), type(both)(both._ary[8:])
    else:
        both = put(np.zeros(20, np.float32))
        x, out = both[:12], both[8:]
    with pytest.raises(ValueError, match="out expects memory of its own"):
        fastops.relu(x, out=out)


def test_kinds_do_not_mix(cupy):  # noqa: F811
    kinds = {"NumPy array": X, "simulated device array": cuda.to_device(X), "CuPy array": cupy.asarray(X)}
    for first, a in kinds.items():
        for second, b in kinds.items():
            if first != second:
                with pytest.raises(TypeError) as caught:
                    fastops.relu_backward(a, b)
                told = str(caught.value)
                assert told.startswith("relu_backward: input expects a") and first in told and second in told


def test_devices_do_not_mix(cupy):  # noqa: F811
    here, there = cupy.asarray(X), cupy.asarray(X)
    there.number = 1
    words = "input expects a CuPy array on device 0, as grad_output is, got a CuPy array on device 1"
    with pytest.raises(TypeError, match=words):
        fastops.relu_backward(here, there)
    with pytest.raises(
        TypeError, match="out expects a CuPy array on device 0, as input is, got a CuPy array on device 1"
    ):
        fastops.relu(here, out=there)


@pytest.mark.parametrize("dtype", [np.int64, np.float16, np.complex64, bool])
def test_other_dtypes_are_refused(put, dtype):
    with pytest.raises(TypeError, match="relu: input expects dtype float32 or float64, got"):
        fastops.relu(put(X.astype(dtype)))


def test_an_unaligned_array_is_refused(cupy):  # noqa: F811
    memory = np.zeros(17, np.uint8)
    with pytest.raises(ValueError, match="unaligned"):
        fastops.relu(memory[1:].view(np.float32).view(cupy.ndarray))


def test_flatten_keeps_the_kind(put):
    x = put(X)
    assert type(fastops.flatten(x)) is type(x) and fastops.flatten(x).shape == (30,)
    assert fastops.flatten(x, 1) is x


def test_nobody_imports_cupy_to_look():
    assert "cupy" not in sys.modules
    fastops.relu(cuda.to_device(X))
    assert "cupy" not in sys.modules
