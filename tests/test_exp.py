"""The exponential and the logarithm of the CPU kernels, number by number against NumPy's in a wider type."""

import numpy as np
import pytest
from numba import njit

from fastops.cpu.exp import exp
from fastops.cpu.log import log

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant <= np.finfo(np.float64).nmant, reason="no type wider than float64"
)
INF, NAN = np.inf, np.nan


@njit(error_model="numpy", fastmath={"contract"})
def all_exp(x):
    y = np.empty_like(x)
    for i in range(x.size):
        y[i] = exp(x[i])
    return y


@njit(error_model="numpy", fastmath={"contract"})
def all_log(x):
    y = np.empty_like(x)
    for i in range(x.size):
        y[i] = log(x[i])
    return y


@njit(error_model="numpy", fastmath={"contract"})
def square_less(x, y):
    return x * x - y


def fused() -> bool:
    """Whether the CPU has FMA: a product and a sum are rounded at once, and keep what the product alone would lose."""
    x = 1 + 2.0**-30
    return square_less(x, x * x) != 0


def ulps(found, expected):
    """The largest distance in units in the last place."""
    unit = np.spacing(np.abs(expected).astype(found.dtype))
    return float((np.abs(found - expected) / unit).max())


@pytest.mark.parametrize(
    ("dtype", "least", "most", "with_fma", "without"),
    [(np.float32, -86.9, 88.722, 0.98, 1.26), (np.float64, -707.9, 709.78, 1.06, 1.34)],
)
def test_exp_is_within_2_ulp(rng, dtype, least, most, with_fma, without):
    """The bounds are those of every float32 and of 6e8 random float64, measured with AVX-512 and SSE2, rounded up."""
    even = np.concatenate([np.linspace(least, most, 300_001), np.linspace(-1, 1, 100_001)]).astype(dtype)
    random = np.concatenate([rng.uniform(least, most, 300_000), rng.uniform(-1, 1, 100_000)]).astype(dtype)
    errors = [ulps(all_exp(x), np.exp(x.astype(np.longdouble))) for x in (even, random)]
    if fused():
        assert errors[0] < 1 and errors[1] < with_fma
    else:
        assert max(errors) < without


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_is_within_2_ulp(dtype):
    ends = np.finfo(dtype)
    x = [np.geomspace(ends.tiny, ends.max / 2, 200_001), np.linspace(0.5, 2, 100_000), np.linspace(1, 1000, 100_000)]
    x = np.concatenate(x).astype(dtype)
    assert ulps(all_log(x), np.log(x.astype(np.longdouble))) < 1


def test_exp_beyond_its_range(dtype):
    top = 88.72 if dtype is np.float32 else 709.78
    x = np.array([-INF, -1e30, -1000, 0, -0.0, top, top + 0.01, 1000, INF, NAN], dtype)
    found = all_exp(x)
    assert np.array_equal(found[:5], [0, 0, 0, 1, 1]) and np.array_equal(
        found[6:], [INF, INF, INF, NAN], equal_nan=True
    )
    assert np.isfinite(found[5])


def test_exp_of_a_nan_is_a_nan_whatever_its_bits(dtype):
    bits = np.array([0x7FC00001, 0x7FC001FF, 0xFFC00055, 0x7FFFFFFF], np.uint32)
    x = bits.view(np.float32) if dtype is np.float32 else (bits | np.uint64(0x7FF8 << 48)).view(np.float64)
    assert np.isnan(all_exp(x)).all()


def test_log_of_one_and_of_what_is_not_finite(dtype):
    assert np.array_equal(all_log(np.array([1, INF, NAN], dtype)), [0, INF, NAN], equal_nan=True)
