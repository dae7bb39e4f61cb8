"""softmax and log_softmax."""

import warnings

import numpy as np
import pytest

BOTH = pytest.mark.parametrize("op", ["softmax", "log_softmax"])
SHAPES = [
    (7,),
    (1,),
    (3, 5),
    (5, 1),
    (1, 5),
    (2, 3, 4),
    (2, 3, 4, 5),
    (3, 130),
    (130, 3),
    (2, 17, 33),
    (0, 5),
    (5, 0),
    (3, 2, 1100),
]
INF = np.inf


@BOTH
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_dim(agrees, normal, op, shape):
    for dim in range(-len(shape), len(shape)):
        agrees(op, normal(*shape) * 4, dim)


@BOTH
@pytest.mark.parametrize(
    "shape", [(300, 3, 2), (2, 150, 7), (2, 700, 3), (1, 300, 260), (2, 3, 5000), (300, 40)], ids=str
)
def test_every_way_to_cut(agrees, normal, op, shape):
    """Images side by side, several classes side by side, many runs of lines, several strips, rows."""
    agrees(op, normal(*shape) * 4, 1)


@BOTH
@pytest.mark.parametrize("dim", [0, -1])
def test_a_single_number(agrees, normal, op, dim):
    agrees(op, normal(), dim)


@BOTH
@pytest.mark.parametrize("offset", [0, 1e4, -1e4])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_large_logits(agrees, normal, op, offset, dim):
    agrees(op, normal(3, 11, 5) * 1e4, dim)
    agrees(op, normal(3, 11, 5) + normal(1).dtype.type(offset), dim)


@BOTH
@pytest.mark.parametrize(
    "row",
    [
        pytest.param([1, -INF, 2], id="-inf is never chosen"),
        pytest.param([-INF, -INF, -INF], id="nothing but -inf"),
        pytest.param([1, INF, 2], id="inf"),
        pytest.param([INF, INF, -INF], id="two infs"),
        pytest.param([1, np.nan, 2], id="nan"),
        pytest.param([np.nan, INF, -INF], id="nan and infs"),
        pytest.param([3e38, -3e38, 3e38], id="the ends of float32"),
    ],
)
def test_what_is_not_finite(agrees, dtype, op, row):
    """A row of its own, beside rows that stay as they were; along the last dimension and across it."""
    with warnings.catch_warnings(action="error"):
        rows = np.array([[0, 1, 2], row, [2, 1, 0]]).astype(dtype)
        agrees(op, rows, 1)
        agrees(op, np.ascontiguousarray(rows.T), 0)
        agrees(op, np.tile(rows, (1, 11)), 1)


def test_log_softmax_keeps_small_values(backend, dtype):
    """Where one class is all but certain its log-probability is tiny: -log(1 + 2 exp(-a))."""
    for a in (3, 6, 9, 12):
        out = backend("log_softmax", np.array([[a, 0, 0]], dtype), 1)
        tolerance = 4e-7 if dtype is np.float32 else 1e-15
        np.testing.assert_allclose(out[0, 0], -np.log1p(2 * np.exp(-float(a))), rtol=1e-3, atol=tolerance)


@BOTH
def test_dim_may_be_a_numpy_integer(backend, normal, op):
    input = normal(3, 4)
    assert np.array_equal(backend(op, input, np.int32(1)), backend(op, input, 1))
