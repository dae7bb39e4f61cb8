"""Where CUDA is missing or broken the CPU side does not notice, and a CUDA array gets the extra's name."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import SIMULATED, has_gpu

import fastops

if SIMULATED or has_gpu():
    pytest.skip("for a process without CUDA", allow_module_level=True)


class OnCuda:
    __cuda_array_interface__ = dict(shape=(2, 3), typestr="<f4", data=(4096, False), version=3)


CALLS = [
    lambda a: fastops.relu(a),
    lambda a: fastops.relu_backward(np.ones((2, 3), np.float32), a),
    lambda a: fastops.relu(np.ones((2, 3), np.float32), out=a),
    lambda a: fastops.flatten(a),
    lambda a: fastops.cross_entropy(np.ones((2, 3), np.float32), a),
    lambda a: fastops.mse_loss_backward(a, np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)),
]


@pytest.mark.parametrize("call", CALLS)
def test_without_a_driver(call):
    with pytest.raises(TypeError, match=r"is a CUDA array, and .*; CUDA needs a driver and fastops.s extra cuda13"):
        call(OnCuda())


@pytest.mark.parametrize("call", CALLS)
def test_with_packages_that_cannot_be_imported(call, monkeypatch):
    monkeypatch.delattr(fastops, "cuda", raising=False)
    monkeypatch.setitem(sys.modules, "fastops.cuda", None)
    with pytest.raises(TypeError, match=r"is a CUDA array, .* cannot be imported .*with its extra cuda13"):
        call(OnCuda())
    assert fastops.relu(np.array([-1.0, 2.0])).tolist() == [0, 2]


def test_nothing_of_cuda_is_imported_for_numpy_arrays():
    code = """if True:
        import sys, numpy, fastops
        fastops.relu(numpy.ones(3))
        assert not [name for name in sys.modules if name.startswith(("numba.cuda", "fastops.cuda", "cupy"))]
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
