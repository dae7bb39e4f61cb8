"""A stand-in for CuPy where there is no GPU: NumPy's arrays under CuPy's names, as far as fastops and its layers go.

With numba's CUDA simulator it runs what fastops does with CuPy's arrays.
"""

import contextlib
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest


class ndarray(np.ndarray):
    """An array that NumPy's functions would not take."""

    number = 0  # of the device

    @property
    def device(self):
        return SimpleNamespace(id=self.number)

    @property
    def data(self):
        return SimpleNamespace(ptr=self.__array_interface__["data"][0])

    @property
    def __cuda_array_interface__(self):
        return {**self.__array_interface__, "stream": 1}

    def get(self):
        return np.array(self)


def asarray(value, dtype=None):
    return np.array(value, dtype, copy=None).view(ndarray)


@pytest.fixture
def cupy(monkeypatch) -> ModuleType:
    """`import cupy` gives the stand-in."""
    module = ModuleType("cupy")
    module.ndarray = ndarray
    module.asarray = asarray
    module.asnumpy = lambda value: np.array(value)
    module.empty = lambda shape, dtype: np.empty(shape, dtype).view(ndarray)
    module.__version__ = "0"
    module.cuda = SimpleNamespace(
        runtime=SimpleNamespace(getDevice=lambda: 0, getDeviceCount=lambda: 1),
        get_current_stream=lambda: SimpleNamespace(ptr=0),
        Device=lambda device: contextlib.nullcontext(),
    )
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module
