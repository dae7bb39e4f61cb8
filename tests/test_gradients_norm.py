"""The gradient of batch_norm."""

import numpy as np
import pytest
from gradients import assert_near, by_fastops, by_torch, check, compare
from test_norm import SHAPES

MORE_SHAPES = [
    pytest.param((5000, 5), id="several blocks of rows"),
    pytest.param((3, 2, 5000), id="several blocks of a plane"),
    pytest.param((40, 5, 15), id="planes of 15"),
    pytest.param((40, 5, 16), id="planes of 16"),
    pytest.param((3, 1, 9), id="one channel"),
]


@pytest.fixture
def statistics(normal):
    """statistics(channels): running mean and variance."""
    return lambda channels: (normal(channels), normal(channels) ** 2 + normal(1).dtype.type(0.1))


def largest(grad_output, input, weight) -> float:
    """Of weight / std * grad_output: in training the gradient is what is left of it, next to nothing of two values."""
    axes = (0, *range(2, input.ndim))
    factor = 1 / np.sqrt(input.astype(float).var(axes) + 1e-5) * (1 if weight is None else np.abs(weight))
    return np.abs(grad_output).max(initial=0.0) * factor.max(initial=0.0)


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES])
def test_training(backend, rng, normal, statistics, shape, affine):
    weight, bias = (normal(shape[1]), normal(shape[1])) if affine else (None, None)
    input, grad_output = normal(*shape) * 3 + 2, normal(*shape)
    scale = largest(grad_output, input, weight) if shape[0] == 2 and shape[2:] == (1, 1) else None
    found = check(backend, rng, "batch_norm", input, *statistics(shape[1]), weight, bias, training=True,
                  grad_output=grad_output, scale=scale)  # fmt: skip
    assert (found["weight"] is None, found["bias"] is None) == (not affine, not affine)


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES])
def test_evaluation(backend, rng, normal, statistics, shape, affine):
    weight, bias = (normal(shape[1]), normal(shape[1])) if affine else (None, None)
    check(backend, rng, "batch_norm", normal(*shape), *statistics(shape[1]), weight, bias)
    check(backend, rng, "batch_norm", normal(*shape), *statistics(shape[1]), weight, bias, eps=0.5)


@pytest.mark.parametrize("given", ["weight", "bias"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_weight_or_bias_alone(backend, rng, normal, statistics, given, training):
    check(backend, rng, "batch_norm", normal(4, 3, 5, 5), *statistics(3), training=training, **{given: normal(3)})


def test_training_without_running_statistics(backend, rng, normal):
    check(backend, rng, "batch_norm", normal(4, 3, 5, 5), None, None, normal(3), normal(3), training=True)


def test_running_statistics_do_not_count_in_training_and_stay(backend, normal, statistics):
    """`check` holds that they stay; here that NaN in them is not looked at."""
    arrays = normal(4, 3, 5), normal(4, 3, 5)
    nan = np.full_like(normal(3), np.nan)
    with_them = backend("batch_norm_backward", *arrays, nan, nan, normal(3) * 0 + 2, training=True)
    without = backend("batch_norm_backward", *arrays, None, None, normal(3) * 0 + 2, training=True)
    for one, other in zip(with_them[:2], without[:2], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("momentum", [0.0, 1.0, -3.0, np.nan])
def test_momentum_does_not_count(backend, rng, normal, statistics, momentum):
    arrays = normal(4, 3, 5), normal(4, 3, 5), *statistics(3), normal(3), normal(3)
    expected = backend("batch_norm_backward", *arrays, training=True)
    for one, other in zip(backend("batch_norm_backward", *arrays, True, momentum), expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(
    "shape", [(4096, 3), (16, 3), (4, 3, 5), (4, 3, 32, 32), (2, 3, 4, 5, 6), (70_000, 3)], ids=str
)
def test_a_mean_a_million_deviations_off(backend, rng, dtype, shape, training):
    """1e4 ± 1e-2: the float32 grid is 1e-3 there. Shifted to a mean of about 0, without rounding, torch is right.

    In float64 the mean takes 6 of 16 digits, and the sum of thousands of values one or two more.
    """
    shift = dtype(1e4)
    input = (shift + 1e-2 * rng.standard_normal(shape)).astype(dtype)
    mean, var = np.full(3, 1e4 + 1 / 3, dtype), np.full(3, 1e-4, dtype)
    affine, grad_output = rng.standard_normal((2, 3)).astype(dtype), rng.standard_normal(shape).astype(dtype)
    for eps in (1e-5, 1e-12):
        options = dict(training=training, eps=eps)
        actual = by_fastops(backend, grad_output, "batch_norm", input, mean, var, *affine, **options)
        compare(actual, by_torch(grad_output, "batch_norm", input - shift, mean - shift, var, *affine, **options),
                tolerance=1e-8 if dtype is np.float64 else None)  # fmt: skip


@pytest.mark.parametrize("shape", [(64, 2, 3, 3), (64, 2)], ids=str)
def test_a_constant_channel(backend, rng, normal, dtype, shape):
    """Its deviation is that of eps alone; what its own mean leaves of the values is rounding, and stays small."""
    input = np.full(shape, 1e4 + 1 / 3, dtype)
    grad_output = normal(*shape)
    actual = backend("batch_norm_backward", grad_output, input, None, None, normal(2), normal(2), training=True)
    expected = by_torch(grad_output, "batch_norm", input, None, None, np.ones(2), np.ones(2), training=True)
    assert np.abs(actual[1]).max() < 1e-3
    assert_near(actual[2], expected["bias"])


def test_shifting_all_values_changes_nothing(backend, normal, statistics):
    """The gradient of training sums to 0 over the channel, and is orthogonal to the normalised values."""
    input, grad_output = normal(50, 4, 3) * 3 + 7, normal(50, 4, 3)
    gradient = backend("batch_norm_backward", grad_output, input, None, None, training=True, eps=1e-12)[0]
    gradient = gradient.astype(float)
    z = input.astype(float) - input.astype(float).mean((0, 2), keepdims=True)
    assert np.abs(gradient.sum((0, 2))).max() < 1e-4
    assert np.abs((gradient * z).sum((0, 2))).max() < 1e-3


def test_by_hand(backend, dtype):
    """In evaluation grad_input = weight / std * grad_output, in training the same less its mean and its slope."""
    input, grad_output = np.array([[1], [3], [5]], dtype), np.array([[1], [1], [4]], dtype)
    mean, var, weight = np.array([3], dtype), np.array([4], dtype), np.array([6], dtype)
    found = backend("batch_norm_backward", grad_output, input, mean, var, weight, weight, eps=0.0)
    assert [array.tolist() for array in found] == [[[3], [3], [12]], [3], [6]]
    found = backend("batch_norm_backward", grad_output, input, mean, var, weight, weight, True, eps=1e-30)
    std = np.sqrt(8 / 3)
    assert_near(found[0], 6 / std * np.array([[0.5], [-1], [0.5]]))
    assert_near(found[1], np.array([6 / std]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("which", ["input", "grad_output"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shape", [(4, 3, 5, 5), (6, 3)], ids=str)
def test_what_is_not_finite_stays_in_its_channel(backend, rng, normal, statistics, shape, value, which, training):
    arrays = dict(input=normal(*shape), grad_output=normal(*shape))
    arrays[which][1, 2] = value
    found = check(backend, rng, "batch_norm", arrays["input"], *statistics(3), normal(3), normal(3),
                  training=training, grad_output=arrays["grad_output"])  # fmt: skip
    assert np.isfinite(found["input"][:, :2]).all() and np.isfinite(found["weight"][:2]).all()


def test_a_negative_running_variance_gives_nan_as_in_torch(backend, rng, dtype):
    running = np.zeros(2, dtype), np.array([-1, 1], dtype)
    check(backend, rng, "batch_norm", np.ones((2, 2), dtype), *running, np.ones(2, dtype), np.ones(2, dtype))
