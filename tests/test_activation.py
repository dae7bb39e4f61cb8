"""silu, hardsigmoid, hardswish, gelu, and the normal distribution that gelu takes; every activation beside torch's."""

import math

import numpy as np
import oracle
import pytest
from gradients import check
from numba import njit

import fastops
from fastops.cpu.normal import cumulative, density

SHAPES = [(), (1,), (0,), (7,), (33, 65), (2, 3, 4, 5), (1, 1, 1, 1, 1, 1, 3), (3, 0, 2)]
HARD = [0.0, -0.0, 3, -3, 1e4, -1e4, 88.8, -88.8, 104, -104, 710, -710, 1e-30, -1e-30, 5e-324, 17.5, 13.2, -13.2, -37.7]
INFINITE = [np.inf, -np.inf, np.nan]
CALLS = [("silu", {}), ("hardsigmoid", {}), ("hardswish", {}), ("gelu", {}), ("gelu", {"approximate": "tanh"})]
EVERY = pytest.mark.parametrize("op, options", CALLS, ids=str)


@EVERY
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_shape(agrees, normal, op, options, shape):
    out = agrees(op, np.asarray(normal(*shape) * 5, normal().dtype), **options)
    assert isinstance(out, np.ndarray)


@EVERY
@pytest.mark.parametrize("repeats", [1, 5])
def test_hard_values(agrees, dtype, op, options, repeats):
    limits = INFINITE if op != "gelu" else [np.nan]  # torch's gelu has none
    agrees(op, np.repeat(np.array([*HARD, *limits]).astype(dtype), repeats), **options)


def scale_of(op, grad_output):
    """torch's hardsigmoid multiplies by a sixth in float32, 3e-8 off it, in float64 too."""
    largest = np.abs(grad_output[np.isfinite(grad_output)]).max(initial=0)
    return 100 * largest if op == "hardsigmoid" and grad_output.dtype == np.float64 else None


@EVERY
@pytest.mark.parametrize("shape", [*SHAPES, (100_003,)], ids=str)
def test_gradients(backend, rng, normal, op, options, shape):
    x, grad_output = np.asarray(normal(*shape) * 3, normal().dtype), normal(*shape)
    check(backend, rng, op, x, grad_output=grad_output, scale=scale_of(op, grad_output), **options)


@EVERY
@pytest.mark.parametrize("value", INFINITE)
def test_gradients_of_what_is_not_finite(backend, rng, normal, op, options, value):
    x, grad_output = normal(5, 40), normal(5, 40)
    grad_output[rng.random(x.shape) < 0.3] = value
    check(backend, rng, op, x, grad_output=grad_output, scale=scale_of(op, grad_output), **options)
    if not (op == "gelu" and np.isinf(value)) and not (op in ("hardsigmoid", "hardswish") and np.isnan(value)):
        x[rng.random(x.shape) < 0.3] = value
        grad_output = normal(5, 40)
        check(backend, rng, op, x, grad_output=grad_output, scale=scale_of(op, grad_output), **options)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("repeats", [1, 40])
def test_gelu_has_its_limits_at_the_infinities(backend, dtype, approximate, repeats):
    """torch has NaN there, and for the gradient of the approximation from 1e13 on."""
    x = np.repeat(np.array([-np.inf, -1e30, -100, 100, 1e30, np.inf], dtype), repeats)
    np.testing.assert_array_equal(backend("gelu", x, approximate), np.where(x < 0, 0, x))
    np.testing.assert_array_equal(backend("gelu_backward", np.full_like(x, 2), x, approximate), np.where(x < 0, 0, 2))


@pytest.mark.parametrize("repeats", [1, 40])
def test_pieces_meet_as_in_torch(backend, dtype, repeats):
    x = np.repeat(
        np.array([-4, -3, np.nextafter(dtype(-3), dtype(0)), 0, np.nextafter(dtype(3), dtype(0)), 3, 4]), repeats
    )
    x, six = x.astype(dtype), np.full(x.size, 6, dtype)
    inside = (x > -3) & (x < 3)
    np.testing.assert_array_equal(backend("hardsigmoid_backward", six, x), np.where(inside, 1, 0))
    slopes = backend("hardswish_backward", six, x).reshape(7, -1)
    assert (slopes[:2] == 0).all() and (slopes[5:] == 6).all()
    np.testing.assert_allclose(slopes[2:5, 0], [-3, 3, 9], rtol=1e-6)


def test_a_nan_has_a_gradient_of_nan_or_none(backend, dtype):
    """Whatever its place: torch's depends on whether a vector was filled."""
    x, two = np.full(40, np.nan, dtype), np.full(40, 2, dtype)
    np.testing.assert_array_equal(backend("hardsigmoid_backward", two, x), 0)
    assert np.isnan(backend("hardswish_backward", two, x)).all()


def test_hardswish_of_the_largest_numbers_is_finite(backend, dtype):
    """torch multiplies by 6 before it divides."""
    x = np.array([np.finfo(dtype).max, 1e30], dtype)
    np.testing.assert_array_equal(backend("hardswish", x), x)


# --------------------------------------------------------------------------------- no worse than torch

RANGES = [
    (-13, -8),
    (-8, -5),
    (-5, -3),
    (-3, -1),
    (-1, -0.1),
    (-0.1, -1e-3),
    (-1e-5, 1e-5),
    (1e-3, 0.1),
    (0.1, 1),
    (1, 3),
    (3, 9),
]
RECTIFIERS = [
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.3}),
    ("relu6", {}),
    ("clamp", {"min": -0.7, "max": 2}),
]


def torch_function(op):
    torch = pytest.importorskip("torch")
    return torch, getattr(torch if op == "clamp" else torch.nn.functional, op)


@pytest.mark.parametrize("op, options", CALLS + RECTIFIERS, ids=str)
@pytest.mark.parametrize("low, high", RANGES)
def test_errors_are_at_most_four_times_torchs(backend, rng, op, options, low, high):
    """In ulp of the exact result, in float32; where torch is exact, 1.5 of them."""
    torch, theirs = torch_function(op)
    x = rng.uniform(low, high, 40_000).astype(np.float32)
    exact = getattr(oracle, op)(x.astype(float), **options)
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(float)
    mine = np.abs(backend(op, x, **options) - exact) / unit
    their = np.abs(theirs(torch.from_numpy(x), **options).numpy() - exact) / unit
    assert mine.max() <= max(4 * their.max(), 1.5)
    if op == "gelu" and not options:
        assert (mine < 4 + x * x).all()


@pytest.mark.parametrize("op, options", CALLS + RECTIFIERS, ids=str)
@pytest.mark.parametrize("low, high", RANGES)
def test_errors_of_gradients_are_at_most_four_times_torchs(backend, rng, op, options, low, high):
    torch, theirs = torch_function(op)
    x = rng.uniform(low, high, 40_000).astype(np.float32)

    def by_torch(kind):
        leaf = torch.tensor(x.astype(kind), requires_grad=True)
        return torch.autograd.grad(theirs(leaf, **options).sum(), leaf)[0].numpy()

    exact = by_torch(np.float64)
    mine = np.abs(backend(f"{op}_backward", np.ones_like(x), x, **options) - exact)
    their = np.abs(by_torch(np.float32) - exact)
    assert mine.max() <= max(4 * their.max(), 1.5 * np.spacing(np.abs(exact).max()), 1e-18)  # where float64 ends, too


# ------------------------------------------------------------------------------ the normal distribution


@njit(error_model="numpy", fastmath={"contract"})
def all_normal(x):
    share, slope = np.empty_like(x), np.empty_like(x)
    for i in range(x.size):
        share[i], slope[i] = cumulative(x[i]), density(x[i])
    return share, slope


def assert_within(most, found, exact):
    """That each number is less than so many units in the last place away."""
    assert (np.abs(found - exact) < most * np.spacing(np.abs(exact).astype(found.dtype))).all()


def test_float32s_normal_distribution_is_within_3_and_x_squared_ulp(rng):
    """The right side is within 2; held to math.erfc."""
    x = np.concatenate([np.linspace(-12.9, 9, 60_001), rng.uniform(-12.9, 9, 40_000), rng.uniform(-1, 1, 40_000)])
    x = x.astype(np.float32)
    share, slope = all_normal(x)
    x = x.astype(float)
    exact = np.array([math.erfc(-one / math.sqrt(2)) / 2 for one in x])
    assert_within(np.where(x > 0, 2, 3 + x * x), share, exact)
    assert_within(3 + x * x, slope, np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi))


@pytest.mark.parametrize("low, high", [(-37.4, -8), (-8, 0), (0, 9)])
def test_float64s_normal_distribution_is_within_3_and_x_squared_ulp(rng, low, high):
    mpmath = pytest.importorskip("mpmath")
    x = np.concatenate([np.linspace(low, high, 1001), rng.uniform(low, high, 1000)])
    share, slope = all_normal(x)
    with mpmath.workdps(40):
        numbers = [mpmath.mpf(one) for one in x.tolist()]
        tails = [mpmath.erfc(-one / mpmath.sqrt(2)) / 2 for one in numbers]
        slopes = [mpmath.exp(-(one**2) / 2) / mpmath.sqrt(2 * mpmath.pi) for one in numbers]
        for found, expected, most in ((share, tails, np.where(x > 0, 2, 3 + x * x)), (slope, slopes, 3 + x * x)):
            units = [
                abs(mine - exact) / np.spacing(float(exact))
                for mine, exact in zip(found.tolist(), expected, strict=True)
            ]
            assert (np.array(units, float) < most).all()


def test_the_normal_distribution_beyond_its_range(dtype):
    share, slope = all_normal(np.array([-np.inf, -1e30, -38, 0, -0.0, 38, 1e30, np.inf, np.nan], dtype))
    np.testing.assert_array_equal(share, [0, 0, 0, 0.5, 0.5, 1, 1, 1, np.nan])
    np.testing.assert_array_equal(slope[[0, 1, 2, 5, 6, 7, 8]], [0, 0, 0, 0, 0, 0, np.nan])


def test_small_results_are_right_where_torch_has_none():
    """The left tail of gelu, digits that x (1 + erf) / 2 cannot have."""
    x = np.array([-6, -9, -12], np.float32)
    np.testing.assert_allclose(fastops.gelu(x), oracle.gelu(x), rtol=2e-5)
    assert np.signbit(fastops.gelu(np.array([-np.inf, -100, -0.0], np.float32))).all()
