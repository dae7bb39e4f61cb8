"""adaptive_avg_pool2d and interpolate, and their gradients."""

import numpy as np
import pytest
from agreement import assert_close
from gradients import assert_near, check
from hypothesis import assume, given
from hypothesis import strategies as st
from test_properties import dtypes, seeds, sizes, values

import fastops

GRIDS = [
    # input, output_size
    pytest.param((2, 3, 8, 10), 1, id="one"),
    pytest.param((2, 3, 8, 10), (4, 5), id="halves"),
    pytest.param((2, 3, 7, 11), (3, 4), id="overlapping"),
    pytest.param((2, 3, 4, 5), (7, 9), id="up"),
    pytest.param((3, 7, 11), (None, 4), id="one image, height kept"),
    pytest.param((2, 3, 7, 11), [2, None], id="width kept"),
    pytest.param((2, 3, 7, 11), (None, None), id="both kept"),
    pytest.param((1, 2, 1, 1), (3, 2), id="one pixel"),
    pytest.param((0, 3, 8, 10), 2, id="empty batch"),
    pytest.param((1, 1, 3, 70), (2, 33), id="long rows"),
]


@pytest.mark.parametrize("input, output_size", GRIDS)
def test_adaptive_avg_pool2d(agrees, normal, input, output_size):
    agrees("adaptive_avg_pool2d", normal(*input), output_size)


@pytest.mark.parametrize("input, output_size", GRIDS)
def test_the_gradient_of_adaptive_avg_pool2d(backend, rng, normal, input, output_size):
    check(backend, rng, "adaptive_avg_pool2d", normal(*input), output_size)


def test_the_mean_of_what_is_constant(backend, dtype):
    for size in (3, 7, (5, 6)):
        assert (backend("adaptive_avg_pool2d", np.full((1, 2, 11, 9), 3, dtype), size) == 3).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_windows(agrees, normal, value):
    input = normal(2, 3, 9, 11)
    input[1, 1, 4, 5] = value
    out = agrees("adaptive_avg_pool2d", input, (3, 4))
    assert (~np.isfinite(out)).sum() == 2  # rows 3 to 5 are one window's, column 5 is two windows'


@given(sizes, st.integers(1, 70), st.integers(1, 12), st.integers(1, 12), dtypes, seeds)
def test_grids_of_every_size(backend, height, width, rows, columns, dtype, seed):
    input = values(seed, dtype, 1, 2, height, width)
    check(backend, np.random.default_rng(seed), "adaptive_avg_pool2d", input, (rows, columns))


# interpolate

SIZES = [
    # input, size or scale_factor
    pytest.param((2, 3, 5, 7), dict(scale_factor=2), id="doubled"),
    pytest.param((2, 3, 5, 37), dict(scale_factor=(1, 2)), id="long rows doubled"),
    pytest.param((2, 3, 5, 7), dict(size=(11, 3)), id="down and up"),
    pytest.param((2, 3, 5, 7), dict(size=(5, 7)), id="as it is"),
    pytest.param((2, 3, 8, 10), dict(scale_factor=0.5), id="halved"),
    pytest.param((2, 3, 8, 10), dict(scale_factor=(0.3, 1.7)), id="two factors"),
    pytest.param((2, 3, 10, 10), dict(scale_factor=(1.05, 2.04)), id="factors that round to 1 and 2"),
    pytest.param((1, 1, 100, 3), dict(scale_factor=(0.29, 1.5)), id="28 of 100"),
    pytest.param((2, 3, 5, 7), dict(size=1), id="one pixel"),
    pytest.param((1, 2, 1, 1), dict(size=(3, 5)), id="of one pixel"),
    pytest.param((1, 2, 1, 1), dict(scale_factor=2), id="of one pixel, doubled"),
    pytest.param((0, 3, 5, 7), dict(size=(4, 4)), id="empty batch"),
    pytest.param((1, 1, 3, 40), dict(size=(7, 90)), id="long rows"),
]
MODES = [dict(mode="nearest"), dict(mode="bilinear"), dict(mode="bilinear", align_corners=True)]
in_every_mode = pytest.mark.parametrize("mode", MODES, ids=["nearest", "bilinear", "corners"])


@in_every_mode
@pytest.mark.parametrize("input, size", SIZES)
def test_interpolate(agrees, normal, input, size, mode):
    given = normal(*input)
    out = agrees("interpolate", given, **size, **mode)
    assert mode["mode"] == "bilinear" or np.isin(out, given).all()


@in_every_mode
@pytest.mark.parametrize("input, size", SIZES)
def test_the_gradient_of_interpolate(backend, rng, normal, input, size, mode):
    check(backend, rng, "interpolate", normal(*input), **size, **mode)


@in_every_mode
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "size", [dict(scale_factor=2), dict(size=(5, 4)), dict(size=(3, 8)), dict(size=(6, 10))], ids=str
)
@pytest.mark.parametrize("place", [(0, 0), (1, 1), (2, 3)], ids=str)
def test_what_is_not_finite_reaches_its_neighbours(agrees, normal, mode, size, value, place):
    """As in torch even where the share is 0."""
    input = normal(1, 2, 3, 5)
    input[0, 1, *place] = value
    agrees("interpolate", input, **size, **mode)


def test_nearest_copies_every_bit(backend, dtype):
    input = np.array([[[[-0.0, np.nan], [np.inf, 5e-324]]]]).astype(dtype)
    for factor in (2, 3, 1.5):
        out = backend("interpolate", input, scale_factor=factor)
        where = np.arange(out.shape[2]) * 2 // out.shape[2]
        assert out.tobytes() == input[:, :, where][..., where].tobytes()


@in_every_mode
@given(sizes, st.integers(1, 50), st.integers(1, 30), st.integers(1, 60), dtypes, seeds)
def test_every_size(backend, mode, height, width, rows, columns, dtype, seed):
    beside_torch(backend, values(seed, dtype, 1, 2, height, width), dict(size=(rows, columns)), mode, seed)


factors = st.tuples(*[st.one_of(st.integers(1, 3), st.floats(0.1, 4), st.integers(1, 40).map(lambda i: i / 10))] * 2)


@in_every_mode
@given(sizes, st.integers(1, 25), factors, dtypes, seeds)
def test_every_factor(backend, mode, height, width, factors, dtype, seed):
    assume(height * factors[0] >= 1 and width * factors[1] >= 1)
    beside_torch(backend, values(seed, dtype, 1, 2, height, width), dict(scale_factor=factors), mode, seed)


def beside_torch(backend, input, size, mode, seed):
    """The result and its gradient; beyond 128 rows and columns torch's 'nearest' has other places in some cases."""
    torch_oracle = pytest.importorskip("torch_oracle")
    expected = torch_oracle.interpolate(input, **size, **mode)
    out = backend("interpolate", input, **size, **mode)
    assert_close(out, expected, exact=mode["mode"] == "nearest" and sum(out.shape[2:]) <= 128)
    check(backend, np.random.default_rng(seed), "interpolate", input, **size, **mode)


@pytest.mark.parametrize("corners", [False, True])
def test_large_images_are_torchs(normal, corners):
    """Places are in the input's dtype, with torch's own rounding: near 1000 that is a share of 6e-5 in float32."""
    torch_oracle = pytest.importorskip("torch_oracle")
    input, options = normal(1, 1, 3, 1000), dict(size=(5, 1733), mode="bilinear", align_corners=corners)
    assert_close(fastops.interpolate(input, **options), torch_oracle.interpolate(input, **options))


def test_bands_of_rows_join_without_a_seam(normal):
    """Rows are made in bands, each of which stretches its own first row."""
    torch_oracle = pytest.importorskip("torch_oracle")
    input = normal(2, 2, 90, 100)
    for options in (dict(size=(311, 203)), dict(scale_factor=2), dict(scale_factor=0.4)):
        options["mode"] = "bilinear"
        assert_close(fastops.interpolate(input, **options), torch_oracle.interpolate(input, **options))
        grad = normal(*fastops.interpolate(input, **options).shape)
        gradient = fastops.interpolate_backward(grad, input, **options)
        assert_near(gradient.sum(dtype=float), grad.sum(dtype=float), scale=np.abs(grad).sum(), tolerance=1e-6)


def test_the_gradient_is_the_transpose(backend, normal):
    """<interpolate(x), y> = <x, interpolate_backward(y)>."""
    x = normal(1, 2, 6, 9).astype(float)
    for mode in MODES:
        out = backend("interpolate", x, (11, 5), **mode)
        y = normal(*out.shape).astype(float)
        back = backend("interpolate_backward", y, x, (11, 5), **mode)
        np.testing.assert_allclose((out * y).sum(), (x * back).sum(), rtol=1e-9, atol=1e-9)
