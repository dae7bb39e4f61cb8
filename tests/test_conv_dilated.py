"""Dilated convolutions by parts: what the direct sum makes, for every remainder of sizes, padding and kind."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastops import _jit, _shapes
from fastops.cpu import conv
from fastops.cpu.conv import dilated, direct
from fastops.cpu.conv.choose import choose
from fastops.cpu.conv.finish import Finish

pytestmark = pytest.mark.skipif(_jit.VECTOR_BYTES <= 16, reason="Winograd's tiles need masks in the CPU")

CASES = st.fixed_dictionaries({
    "images": st.integers(1, 3), "channels": st.integers(16, 20), "outputs": st.integers(1, 9),
    "height": st.integers(9, 24), "width": st.integers(9, 24), "d": st.integers(1, 4), "e": st.integers(2, 4),
    "top": st.integers(0, 2), "left": st.integers(0, 2), "more": st.integers(0, 3), "transposed": st.booleans(),
    "m": st.sampled_from((2, 4)),
})  # fmt: skip


def arrays(case, dtype, rng):
    """(input, weight, bias, geometry) of a case."""
    d, e, transposed = case["d"], case["e"], case["transposed"]
    channels, outputs = case["channels"], case["outputs"]
    x = rng.standard_normal((case["images"], channels, case["height"], case["width"])).astype(dtype)
    shape = (channels, outputs, 3, 3) if transposed else (outputs, channels, 3, 3)
    w, b = rng.standard_normal(shape).astype(dtype), rng.standard_normal(outputs).astype(dtype)
    if transposed:
        padding = (case["top"] * d, case["left"] * e)
        g = _shapes.conv_transpose2d("c", x.shape, shape, b.shape, 1, padding, 0, 1, (d, e))
    else:
        padding = ((case["top"] * d, case["more"]), (case["left"] * e, case["more"]))
        g = _shapes.conv2d("c", x.shape, shape, b.shape, 1, padding, (d, e), 1)
    return x, w, b, g


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=CASES, double=st.booleans(), large=st.booleans())
def test_it_makes_what_the_direct_convolution_makes(case, double, large, monkeypatch):
    monkeypatch.setattr(dilated, "LARGE_BYTES", 0 if large else 2**20)  # parts of large images go one by one
    dtype = np.float64 if double else np.float32
    try:
        x, w, b, g = arrays(case, dtype, np.random.default_rng(0))
    except ValueError:  # a window that does not fit
        return
    if not dilated.suits(g, case["transposed"], x.itemsize):
        assert double or case["channels"] < 16 or max(case["top"], case["left"]) > 2
        return
    shape = g.output
    found, expected = np.full(shape, np.nan, dtype), np.full(shape, np.nan, dtype)
    outcome = dilated.CONVOLVE[case["m"]](found, x, w, b, g, case["transposed"], None, Finish(b))
    direct.convolve(expected, x, w, b, g, case["transposed"], None, Finish(b))
    assert outcome.finite and not outcome.ended
    tolerance = (1e-4 if case["m"] == 4 else 1e-5) if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_it_is_what_conv2d_chooses_with_a_dilation_of_2():
    g = _shapes.conv2d("conv2d", (1, 64, 56, 56), (64, 64, 3, 3), None, 1, 2, 2, 1)
    assert choose(g, False, 4, False, False) is dilated.CONVOLVE[2]
    assert choose(g._replace(pad_top=1), False, 4, False, False) is not dilated.CONVOLVE[2]


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_infinities_spread_no_further_than_the_window_does(value):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 64, 56, 56)).astype(np.float32), rng.standard_normal((64, 64, 3, 3), np.float32)
    g = _shapes.conv2d("conv2d", x.shape, w.shape, None, 1, 2, 2, 1)
    x[1, 5, 20, 30] = value
    out = np.empty(g.output, np.float32)
    with np.errstate(all="ignore"):
        conv.conv2d(out, x, w, None, g)
    seen = np.zeros((56, 56), bool)
    seen[np.ix_((18, 20, 22), (28, 30, 32))] = True
    assert np.isfinite(out[0]).all()
    assert (np.isfinite(out[1]) == ~seen).all()


def test_the_residual_and_the_activation_come_after_the_parts():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 64, 55, 57), np.float32), rng.standard_normal((32, 64, 3, 3), np.float32)
    g = _shapes.conv2d("conv2d", x.shape, w.shape, None, 1, 2, 2, 1)
    plain, out, add = (np.empty(g.output, np.float32) for _ in range(3))
    add[...] = rng.standard_normal(g.output)
    conv.conv2d(plain, x, w, None, g)
    conv.conv2d(out, x, w, None, g, add=add, activation=("relu",))
    assert (out == np.maximum(plain + add, 0)).all()
