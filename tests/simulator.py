"""Cures for numba's CUDA simulator, whose threads are threads of the operating system.

Shared arrays and the module ``cuda`` of device functions were found by each thread for itself: two that asked at once
got two arrays, and one that returned took ``cuda`` away from the others.
"""

import contextlib
import sys
import threading

import numba.cuda
import numpy as np
from numba.cuda.simulator import kernel, kernelapi


def shared_array(self, shape, dtype):
    """``cuda.shared.array``: one for each line of a block's kernel."""
    frame = sys._getframe(1)
    with _asking:
        kind = np.dtype(getattr(dtype, "name", dtype))
        return self._allocations.setdefault((frame.f_code, frame.f_lineno), np.empty(shape, kind))


@contextlib.contextmanager
def simulated_cuda(function, module):
    """``cuda`` in the module of a function that threads run; it stays until the next launch."""
    names = function.__globals__
    for name, value in list(names.items()):
        if value is numba.cuda or isinstance(value, kernelapi.FakeCUDAModule):
            names[name] = module
    yield


def run(self):
    """A thread that divides 0 by 0 in silence, as on a device."""
    with np.errstate(all="ignore"):
        _run(self)


_asking, _run = threading.Lock(), kernel.BlockThread.run


def cure():
    sys.setswitchinterval(1e-4)  # the threads wait for each other
    kernelapi.FakeCUDAShared.array = shared_array
    kernel.swapped_cuda_module = simulated_cuda
    kernel.BlockThread.run = run
