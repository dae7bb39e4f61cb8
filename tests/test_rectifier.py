"""relu6, leaky_relu, prelu and clamp."""

import numpy as np
import pytest
from agreement import assert_close
from gradients import check

import fastops
from fastops import _jit

SHAPES = [(), (1,), (0,), (7,), (33, 65), (2, 3, 4, 5), (1, 1, 1, 1, 1, 1, 3), (3, 0, 2)]
HARD = [0.0, -0.0, 6, np.inf, -np.inf, np.nan, 1e30, -1e30, 1e-30, -1e-30, 5e-324, 5.999999, 1, -1, 0.5]
CALLS = [
    ("relu6", {}),
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0}),
    ("leaky_relu", {"negative_slope": -2.5}),
    ("clamp", {"min": -1, "max": 0.5}),
    ("clamp", {"min": 0}),
    ("clamp", {"max": np.float32(0.25)}),
    ("clamp", {"min": 1, "max": -1}),
    ("clamp", {"min": -np.inf, "max": np.inf}),
    ("clamp", {"min": 0.0, "max": np.nan}),
    ("clamp", {"min": np.nan}),
]
EVERY = pytest.mark.parametrize("op, options", CALLS, ids=str)


@EVERY
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_shape(agrees, normal, op, options, shape):
    out = agrees(op, np.asarray(normal(*shape) * 5, normal().dtype), **options)
    assert isinstance(out, np.ndarray)


@EVERY
@pytest.mark.parametrize("repeats", [1, 5, 40])
def test_hard_values(agrees, dtype, op, options, repeats):
    agrees(op, np.repeat(np.array(HARD).astype(dtype), repeats), **options)


def test_the_sign_of_zero_is_torchs(backend, dtype):
    x = np.repeat(np.array([-0.0, 0.0], dtype), 20)
    for op, options in (("relu6", {}), ("clamp", {"min": 0}), ("clamp", {"max": 0}), ("leaky_relu", {})):
        np.testing.assert_array_equal(np.signbit(backend(op, x, **options)), np.signbit(x))


@EVERY
@pytest.mark.parametrize("shape", [*SHAPES, (100_003,)], ids=str)
def test_gradients(backend, rng, normal, op, options, shape):
    check(backend, rng, op, np.asarray(normal(*shape) * 4, normal().dtype), **options)


@EVERY
@pytest.mark.parametrize("repeats", [1, 40])
def test_gradients_where_pieces_meet(backend, rng, dtype, op, options, repeats):
    places = [-np.inf, -1, -0.0, 0, 0.25, 0.5, 1, 6, np.inf, *np.nextafter([-1, 0, 0.5, 6], 100)]
    check(backend, rng, op, np.repeat(np.array(places).astype(dtype), repeats), **options)


def test_open_and_closed_intervals(backend, dtype):
    x, two = np.array([-1, 0, 3, 6, 7, np.nan], dtype), np.full(6, 2, dtype)
    assert backend("relu6_backward", two, x).tolist() == [0, 0, 2, 0, 0, 0]
    assert backend("clamp_backward", two, x, 0, 6).tolist() == [0, 2, 2, 2, 0, 0]
    assert backend("leaky_relu_backward", two, x, 0.5).tolist() == [1, 1, 2, 2, 2, 1]


def test_bounds_of_a_wider_type(backend):
    x = np.array([-3, 0.5, 3], np.float32)
    assert backend("clamp", x, -1e300, 1e300).tolist() == x.tolist()
    third = backend("clamp", x, max=1 / 3)
    assert third[2] == np.float32(1 / 3) and third.dtype == np.float32


# ------------------------------------------------------------------------------------------------ prelu

SLOPES = [
    *(((2, 3, *rest), 3) for rest in [(), (1,), (2, 4), (5, 7), (64, 65), (0,), (2, 2, 2, 2)]),
    *((shape, 1) for shape in [*SHAPES, (2, 1, 4, 4), (100_003,)]),
    *((shape, shape[1]) for shape in [(5, 40), (40, 5), (3000, 7), (700, 3, 9), (0, 4), (2, 1, 3)]),
]


def slopes(normal, size):
    slopes = normal(size)
    slopes[: size // 3] *= -1
    return slopes


@pytest.mark.parametrize("shape, size", SLOPES, ids=str)
def test_prelu(agrees, normal, shape, size):
    agrees("prelu", normal(*shape), slopes(normal, size))


@pytest.mark.parametrize("shape, size", SLOPES, ids=str)
def test_gradients_of_prelu(backend, rng, normal, shape, size):
    check(backend, rng, "prelu", normal(*shape), slopes(normal, size))


def test_a_slope_of_no_dimensions(agrees, backend, normal):
    x, slope = normal(2, 3, 4), np.asarray(0.5, normal().dtype)
    agrees("prelu", x, slope)
    _, gradient = backend("prelu_backward", x, x, slope)
    assert gradient.shape == ()


@pytest.mark.parametrize("shape", [(60, 4), (4, 4, 30)], ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_prelu_of_what_is_not_finite(agrees, backend, rng, normal, shape, value):
    x, slope = normal(*shape), slopes(normal, 4)
    x[rng.random(shape) < 0.1] = value
    agrees("prelu", x, slope)
    check(backend, rng, "prelu", x, slope)
    x = normal(*shape)
    x[0] = 0.0
    slope[1] = value
    agrees("prelu", x, slope)
    grad_output = normal(*shape)
    check(backend, rng, "prelu", x, slope, grad_output=grad_output)


@pytest.mark.parametrize("shape, size", [((3, 5, 90, 91), 5), ((8000, 6), 6), ((50_001,), 1)], ids=str)
def test_the_slopes_gradient_has_the_same_bits_in_either_build(normal, shape, size):
    x, grad_output, slope = normal(*shape), normal(*shape), normal(size)
    bits = []
    for build in ("serial", "parallel"):
        with _jit.only(build):
            bits.append([each.tobytes() for each in fastops.prelu_backward(grad_output, x, slope)])
    assert bits[0] == bits[1]


def test_the_slopes_gradient_is_summed_in_float64():
    x = np.full((1, 1, 1 << 22), -1, np.float32)
    x[..., 0] = -(2.0**24)
    _, gradient = fastops.prelu_backward(np.ones_like(x), x, np.ones(1, np.float32))
    assert gradient[0] == -np.float32(2**24 + 2**22 - 1)


def test_prelu_with_one_slope_is_leaky_relu(backend, normal):
    x = normal(3, 4, 50)
    expected = backend("leaky_relu", x, 0.25)
    assert_close(backend("prelu", x, np.full(1, 0.25, x.dtype)), expected, exact=True)
    assert_close(backend("prelu", x, np.full(4, 0.25, x.dtype)), expected, exact=True)
