"""Convolutions bound to their arrays make again what conv2d made, wherever infinities and NaN come in."""

import numpy as np
import pytest

from fastops import _jit, _shapes
from fastops.cpu import conv
from fastops.cpu.conv.choose import choose

# Of each algorithm that has a way of its own: shapes of image and weight, padding, stride, groups.
CASES = {
    "direct": ((2, 64, 14, 14), (96, 64, 1, 1), 0, 1, 1),
    "blocked": ((1, 960, 7, 7), (160, 960, 1, 1), 0, 1, 1),
    "depthwise": ((2, 5, 30, 30), (5, 1, 3, 3), 1, 2, 5),
    "depthwise_channels": ((2, 32, 7, 7), (32, 1, 3, 3), 1, 1, 32),
}


def made(case, activation=None, adds=False, rng=None):
    image, weight, padding, stride, groups = CASES[case]
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in (image, weight, weight[:1]))
    g = _shapes.conv2d("conv2d", image, weight, weight[:1], stride, padding, 1, groups)
    kept = {}
    add = rng.standard_normal(g.output).astype(np.float32) if adds else None
    return np.empty(g.output, np.float32), x, w, b, g, False, kept, add, activation


def expected(arguments):
    out, x, w, b, g, fast, _, add, activation = arguments
    found = np.empty_like(out)
    conv.conv2d(found, x, w, b, g, fast, {}, add, activation)
    return found


def bound(arguments):
    conv.conv2d(*arguments)
    return conv.bound_conv2d(*arguments)


needs_masks = pytest.mark.skipif(_jit.VECTOR_BYTES <= 16, reason="other algorithms are chosen")


@needs_masks
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("activation", [None, ("relu",), ("leaky_relu", 0.1)], ids=str)
@pytest.mark.parametrize("adds", [False, True])
def test_it_makes_the_same_again(case, activation, adds):
    arguments = made(case, activation, adds)
    out, x, *_ = arguments
    again = bound(arguments)
    assert choose(arguments[4], False, 4, False, True).__module__.endswith(f".{case}")
    for scale in (1, -3):
        x *= scale
        out[...] = np.nan
        again()
        assert (out == expected(arguments)).all()


@needs_masks
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("activation", [None, ("relu",)], ids=str)
@pytest.mark.parametrize("where", ["image", "weight"])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_infinities_and_nan_come_out_as_from_conv2d(case, activation, where, value):
    arguments = made(case, activation)
    out, x, w, *_ = arguments
    (x if where == "image" else w).reshape(-1)[7] = value
    again = bound(arguments)
    out[...] = 7
    with np.errstate(all="ignore"):
        again()
        wanted = expected(arguments)
    np.testing.assert_array_equal(out, wanted)
    assert not np.isfinite(wanted).all() or activation


@pytest.mark.parametrize("case", CASES)
def test_a_residual_that_is_overwritten_is_not_bound(case):
    out, x, w, b, g, fast, kept, _, activation = made(case)
    conv.conv2d(out, x, w, b, g, fast, kept)
    assert conv.bound_conv2d(out, x, w, b, g, fast, kept, out, activation) is None


@pytest.mark.parametrize("case", CASES)
def test_what_needs_another_pass_is_not_bound(case):
    arguments = made(case, ("silu",))
    assert bound(arguments) is None
