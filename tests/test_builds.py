"""The parallel and the serial build of every kernel compute the same bits."""

import copy

import calls
import numpy as np
import pytest

import fastops
from fastops import _jit


@pytest.mark.parametrize("call", [*calls.CALLS, *calls.of_width(37)], ids=str)
def test_both_builds_give_the_same_bits(call, dtype):
    bits = []
    for build in ("serial", "parallel"):
        arrays = copy.deepcopy(call.arrays(dtype))
        with _jit.only(build):
            result = getattr(fastops, call.op)(**arrays, **call.options)
        written = arrays if call.op == "batch_norm" else {}  # running statistics, in training
        bits.append([np.asarray(array).tobytes() for array in calls.arrays_in((result, written))])
    assert bits[0] and bits[0] == bits[1]


def test_kernels_are_noted_in_either_build_and_no_longer():
    x = np.ones(3)
    with _jit.noting() as seen:
        fastops.relu(x)
        with _jit.only("parallel"), _jit.noting() as inside:
            fastops.sigmoid(x)
            fastops.sigmoid(x)
        fastops.relu(x)
    fastops.dropout(x)
    assert list(seen) == ["cpu.elementwise._relu", "cpu.elementwise._sigmoid"]
    assert list(inside) == ["cpu.elementwise._sigmoid"]
    kernel = _jit.kernels[0]
    with _jit.only("parallel"), _jit.noting():
        assert kernel(1) is kernel.parallel
    assert kernel(1) is kernel.serial
