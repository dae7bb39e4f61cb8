"""linear and its gradient."""

import numpy as np
import pytest
from gradients import check

import fastops

SHAPES = [(), (5,), (2, 3), (0,), (2, 0, 3), (2, 3, 4), (70,)]


@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("features", [(1, 1), (7, 3), (3, 40), (50, 9)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_linear(agrees, normal, shape, features, biased):
    inside, outside = features
    agrees("linear", normal(*shape, inside), normal(outside, inside), normal(outside) if biased else None)


@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("features", [(1, 1), (7, 3), (3, 40)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients(backend, rng, normal, shape, features, biased):
    inside, outside = features
    bias = normal(outside) if biased else None
    check(backend, rng, "linear", normal(*shape, inside), normal(outside, inside), bias)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_row(agrees, normal, value):
    input = normal(4, 6)
    input[2, 3] = value
    out = agrees("linear", input, normal(5, 6), normal(5))
    assert not np.isfinite(out[2]).any() and np.isfinite(np.delete(out, 2, 0)).all()


def test_any_layout(rng, dtype):
    input, weight = rng.standard_normal((6, 8)).astype(dtype).T, rng.standard_normal((6, 5)).astype(dtype)[::-1].T
    np.testing.assert_allclose(fastops.linear(input, weight), input @ weight.T, rtol=1e-5, atol=1e-5)


def test_by_hand(backend, dtype):
    out = backend("linear", np.array([[1, 2]], dtype), np.array([[1, 1], [0, 3]], dtype), np.array([1, -1], dtype))
    assert out.tolist() == [[4, 5]]


def test_the_bias_sums_in_float64():
    """2^24 + 2 is more ones than float32 can count."""
    rows = np.full((2**24 + 2, 1), 1, np.float32)
    assert fastops.linear_backward(rows, rows, rows[:1], rows[0])[2].tolist() == [2**24 + 2]
