"""Inverted residuals in one pass: what three convolutions one after the other make."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastops
from fastops import _shapes
from fastops.cpu.conv import inverted

CLAMP = ("clamp", -0.5, 1.0)


def arrays(rng, dtype, images, channels, height, width, filters, outputs, expands):
    def normal(*shape):
        return rng.standard_normal(shape).astype(dtype)

    x = normal(images, channels if expands else filters, height, width)
    weights = (normal(filters, channels, 1, 1) if expands else None, normal(filters, 1, 3, 3),
               normal(outputs, filters, 1, 1))  # fmt: skip
    return x, weights, (normal(filters), normal(filters), normal(outputs))


def one_by_one(x, weights, biases, stride, padding, add, activations):
    first, second, third = activations
    if weights[0] is not None:
        x = fastops.conv2d(x, weights[0], biases[0], activation=first)
    x = fastops.conv2d(x, weights[1], biases[1], stride, padding, groups=x.shape[1], activation=second)
    return fastops.conv2d(x, weights[2], biases[2], add=add, activation=third)


def block_of(x, weights, stride, padding):
    images, channels, height, width = x.shape
    (_, depthwise, project), expands = weights, weights[0] is not None
    g = _shapes.conv2d("conv2d", (images, len(depthwise), height, width), depthwise.shape, None, stride, padding, 1,
                       len(depthwise))  # fmt: skip
    return inverted.Block(images, channels if expands else 0, height, width, len(depthwise), g.map_height, g.map_width,
                          len(project), stride, g.pad_top, g.pad_left, expands)  # fmt: skip


def check(x, weights, biases, stride, padding, adds=False, activations=(CLAMP, CLAMP, None), rng=None):
    block = block_of(x, weights, stride, padding)
    out = np.full((block.images, block.outputs, block.out_height, block.out_width), np.nan, x.dtype)
    add = rng.standard_normal(out.shape).astype(x.dtype) if adds else None
    inverted.inverted_residual(out, x, weights, biases, block, add, activations)
    expected = one_by_one(x, weights, biases, stride, padding, add, activations)
    tolerance = 1e-5 if x.dtype == np.float32 else 1e-13
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
    return out


SIZES = st.fixed_dictionaries({
    "images": st.integers(1, 3), "channels": st.integers(1, 40), "height": st.integers(3, 40),
    "width": st.integers(3, 40), "filters": st.integers(1, 100), "outputs": st.integers(1, 40),
    "expands": st.booleans(),
})  # fmt: skip


@pytest.mark.skipif(not inverted.PLANES or fastops._jit.VECTOR_BYTES <= 16, reason="no masks in this CPU")
@settings(max_examples=60, deadline=None)
@given(SIZES, st.sampled_from([np.float32, np.float64]), st.sampled_from([1, 2]),
       st.sampled_from([0, 1, 2, ((0, 1), (0, 1)), ((2, 0), (1, 2))]), st.booleans(), st.integers(0, 99))  # fmt: skip
def test_the_three_convolutions_in_one_pass(sizes, dtype, stride, padding, adds, seed):
    rng = np.random.default_rng(seed)
    x, weights, biases = arrays(rng, dtype, **sizes)
    check(x, weights, biases, stride, padding, adds, rng=rng)


@pytest.mark.parametrize(
    "activations", [(None, None, None), (("relu",), CLAMP, ("relu",)), (CLAMP, None, ("clamp", 0, 6))]
)
def test_each_has_its_own_end(activations):
    rng = np.random.default_rng(1)
    check(*arrays(rng, np.float32, 2, 5, 9, 20, 40, 7, True), 1, 1, True, activations, rng)


@pytest.mark.parametrize("stride", [1, 2])
def test_many_bands_of_large_maps_have_no_seams(stride):
    rng = np.random.default_rng(2)
    x, weights, biases = arrays(rng, np.float32, 1, 16, 120, 160, 70, 12, True)
    block = block_of(x, weights, stride, 1)
    assert inverted._plan(block, 4, 1)[0].bands > 4
    check(x, weights, biases, stride, 1)


def test_each_thread_has_a_band_of_a_map_that_fits_into_one():
    rng = np.random.default_rng(6)
    x, weights, biases = arrays(rng, np.float32, 1, 8, 28, 28, 48, 8, True)
    block = block_of(x, weights, 1, 1)
    bands = [inverted._plan(block, 4, threads)[0].bands for threads in (1, 2, 4, 64)]
    assert bands == [1, 2, 4, 7]
    check(x, weights, biases, 1, 1)


def test_biases_may_be_absent():
    rng = np.random.default_rng(3)
    x, weights, _ = arrays(rng, np.float32, 1, 4, 8, 17, 33, 5, True)
    check(x, weights, (None, None, None), 1, 1)


@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_what_is_not_finite_goes_as_far_as_its_window(special):
    rng = np.random.default_rng(4)
    x, weights, biases = arrays(rng, np.float32, 1, 4, 12, 40, 10, 3, True)
    x[0, 1, 5, 20] = special
    block, out = block_of(x, weights, 1, 1), np.empty((1, 3, 12, 40), np.float32)
    with np.errstate(all="ignore"):
        inverted.inverted_residual(out, x, weights, biases, block)
        expected = one_by_one(x, weights, biases, 1, 1, None, (None, None, None))
    near = np.zeros(out.shape, bool)
    near[:, :, 4:7, 19:22] = True
    assert (np.isfinite(out) == ~near).all()
    assert (np.isfinite(expected) == ~near).all()


def test_the_bits_are_the_same_for_every_number_of_threads():
    numba = pytest.importorskip("numba")
    rng = np.random.default_rng(5)
    x, weights, biases = arrays(rng, np.float32, 2, 16, 60, 64, 96, 24, True)
    found, most = [], numba.get_num_threads()
    for count in sorted({1, most}):
        numba.set_num_threads(count)
        found.append(check(x, weights, biases, 1, 1))
    numba.set_num_threads(most)
    assert all(np.array_equal(each, found[0]) for each in found)


def sizes_of(channels, height, width, filters, outputs, stride=1):
    def g(x, w, *options):
        return _shapes.conv2d("conv2d", x, w, None, *options)

    out = [-(-each // stride) for each in (height, width)]
    expand = g((1, channels, height, width), (filters, channels, 1, 1), 1, 0, 1, 1)
    depthwise = g((1, filters, height, width), (filters, 1, 3, 3), stride, 1, 1, filters)
    return expand, depthwise, g((1, filters, *out), (outputs, filters, 1, 1), 1, 0, 1, 1)


def test_what_pays():
    assert inverted.block_of(*sizes_of(24, 56, 56, 144, 24), itemsize=4)
    assert inverted.block_of(*sizes_of(64, 112, 112, 384, 64), itemsize=4), "large"
    assert not inverted.block_of(*sizes_of(64, 14, 14, 384, 64), itemsize=4), "many products of few pixels"
    _, depthwise, project = sizes_of(1, 56, 56, 144, 24)
    assert inverted.block_of(None, depthwise, project, itemsize=4), "large, too"
    _, depthwise, project = sizes_of(1, 28, 28, 144, 24)
    assert not inverted.block_of(None, depthwise, project, itemsize=4), "what is between stays in caches"


def test_what_is_no_inverted_residual():
    expand, depthwise, project = sizes_of(24, 56, 56, 144, 24)
    for changed in (
        (expand._replace(stride_h=2), depthwise, project), (expand, depthwise._replace(dilation_h=2), project),
        (expand, depthwise._replace(stride_w=2), project), (expand, depthwise._replace(kernel_height=5), project),
        (expand, depthwise._replace(groups=72), project), (expand, depthwise, project._replace(groups=2)),
        (expand, depthwise, project._replace(pad_top=1)),
    ):  # fmt: skip
        assert inverted.block_of(*changed, itemsize=4) is None
