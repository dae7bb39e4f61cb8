"""Copies in C order of large arrays, whatever their strides."""

import numpy as np
import pytest

import fastops
from fastops import _jit
from fastops.cpu.contiguous import contiguous, copy_part

LAYOUTS = {
    "channels last": lambda x: x.transpose(0, 2, 3, 1),
    "channels first": lambda x: x.transpose(0, 3, 1, 2),
    "reversed axes": lambda x: x.T,
    "every other": lambda x: x[:, :, ::2],
    "backwards": lambda x: x[::-1, :, ::-1, ::-3],
    "a slice": lambda x: x[:, 1:, 2:, :-1],
    "repeated": lambda x: np.broadcast_to(x[:, :, None, :, :1], (*x.shape[:2], 4, x.shape[2], 7)),
    "one number": lambda x: np.broadcast_to(x[:1, :1, :1, :1], (60, 50, 40, 3)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, np.complex128])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_elements_are_numpys(layout, dtype):
    x = LAYOUTS[layout](np.arange(20 * 24 * 30 * 34).reshape(20, 24, 30, 34).astype(dtype))
    assert x.size > 100_000
    copy = contiguous(x)
    assert copy.flags.c_contiguous and copy.dtype == x.dtype and np.array_equal(copy, x)
    assert np.array_equal(fastops.flatten(x), x.reshape(-1))


@pytest.mark.parametrize(
    "shape", [(400, 1, 400), (1, 160_000), (160_000, 1), (2, 80_001), (317, 317), (7, 11, 13, 17, 11)]
)
def test_odd_sizes(shape):
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    for turned in (x.T, np.swapaxes(x, 0, -1), x[::-1]):
        assert np.array_equal(contiguous(turned), turned)


def test_nothing_is_copied_without_need():
    x = np.zeros((400, 400))
    assert contiguous(x) is x
    assert np.shares_memory(fastops.flatten(x[:, :, None].transpose(2, 0, 1)), x)


def test_objects_and_unaligned_arrays_are_numpys_to_copy():
    objects = np.full((400, 400), None)
    assert contiguous(objects.T)[3, 4] is None
    unaligned = np.zeros(8 * 160_000 + 1, np.uint8)[1:].view(np.float64).reshape(400, 400)
    assert np.array_equal(contiguous(unaligned.T), unaligned.T)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.bool_, np.int16])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 20, 3000), (40, 3, 1000), (2, 1, 90_001)], ids=str)
def test_parts_along_a_dimension(rng, dtype, axis, shape):
    parts = [rng.integers(0, 2, shape).astype(dtype) for _ in range(3)]
    out = np.full([size * 3 if i == axis else size for i, size in enumerate(shape)], 1, dtype)
    for build in ("serial", "parallel"):
        with _jit.only(build):
            for i, part in enumerate(parts):
                copy_part(out, part, axis, i * shape[axis])
        np.testing.assert_array_equal(out, np.concatenate(parts, axis))
