"""When two results are the same.

Operators that copy or choose numbers give the reference's own. The others sum and round in an order of their own: they
may differ from the reference by a small part of it, and, where a sum nearly cancels, of the largest number of the
result. NaN and infinities stand in the same places.
"""

import numpy as np

from fastops.yardstick.operators import TABLE

EXACT = {operator.name for operator in TABLE if operator.exact}
RELATIVE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-7}
OF_LARGEST = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-7}


def assert_close(actual, expected, exact: bool = False) -> None:
    """|actual - expected| <= 1e-4 |expected| + 1e-5 max |expected| in float32 (1e-7, 1e-7 in float64), or equality.

    NaN equals NaN, an infinity itself and None None; the tolerance is that of actual's dtype.
    """
    if expected is None:
        assert actual is None
        return
    if isinstance(expected, tuple):
        assert isinstance(actual, tuple) and len(actual) == len(expected)
        for mine, theirs in zip(actual, expected, strict=True):
            assert_close(mine, theirs, exact)
        return
    assert np.shape(actual) == np.shape(expected)
    if exact or actual.dtype not in RELATIVE:
        np.testing.assert_array_equal(actual, expected)
        return
    with np.errstate(over="ignore"):
        expected = np.asarray(expected).astype(actual.dtype)
    finite = np.abs(expected[np.isfinite(expected)])
    largest = finite.max(initial=0.0)
    np.testing.assert_allclose(
        actual, expected, rtol=RELATIVE[actual.dtype], atol=OF_LARGEST[actual.dtype] * largest, equal_nan=True
    )
