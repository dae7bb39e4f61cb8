"""batch_norm."""

import numpy as np
import pytest
from agreement import assert_close

SHAPES = [
    pytest.param((16, 5), id="features"),
    pytest.param((4, 5, 7), id="sequences"),
    pytest.param((2, 5, 6, 7), id="maps"),
    pytest.param((2, 5, 3, 4, 2), id="volumes"),
    pytest.param((2, 5, 1, 1), id="maps of one pixel"),
    pytest.param((1, 5, 3, 3), id="one image"),
    pytest.param((300, 67), id="many rows, odd channels"),
    pytest.param((2, 3, 33, 35), id="odd maps"),
    pytest.param((2, 3, 70, 83), id="large maps"),
    pytest.param((3, 20_001), id="many features"),
    pytest.param((0, 5), id="empty batch of features"),
    pytest.param((0, 5, 3, 3), id="empty batch of maps"),
]


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("shape", SHAPES)
def test_evaluation(agrees, normal, shape, affine):
    mean, var = normal(shape[1]), normal(shape[1]) ** 2 + 0.1
    weight, bias = (normal(shape[1]), normal(shape[1])) if affine else (None, None)
    agrees("batch_norm", normal(*shape), mean, var, weight, bias)
    agrees("batch_norm", normal(*shape), mean, var, weight, bias, eps=0.5)


@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0, 0.37, -0.5, 2.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_training_moves_the_running_statistics(agrees, normal, shape, momentum):
    """`agrees` compares running_mean and running_var after the call as well."""
    mean, var = normal(shape[1]), normal(shape[1]) ** 2 + 0.1
    weight, bias = normal(shape[1]), normal(shape[1])
    agrees("batch_norm", normal(*shape) * 3 + 2, mean, var, weight, bias, True, momentum)


@pytest.mark.parametrize("shape", SHAPES)
def test_training_without_running_statistics(agrees, normal, shape):
    agrees("batch_norm", normal(*shape), None, None, training=True)


@pytest.mark.parametrize("given", ["weight", "bias"])
def test_weight_or_bias_alone(agrees, normal, given):
    agrees("batch_norm", normal(4, 3, 5, 5), normal(3), normal(3) ** 2 + 1, training=True, **{given: normal(3)})


def test_its_own_mean_and_deviation_give_the_input_back(backend, normal, dtype):
    input = normal(50, 4) * 3 + 7
    mean, deviation = input.mean(0), input.std(0)
    assert_close(backend("batch_norm", input, None, None, deviation, mean, training=True, eps=1e-30), input)
    assert_close(backend("batch_norm", input, mean, deviation**2, deviation, mean, eps=0.0), input)


def test_the_output_takes_the_biased_variance_and_the_running_one_the_unbiased(backend, dtype):
    input, mean, var = np.array([[1], [3]], dtype), np.zeros(1, dtype), np.ones(1, dtype)
    placed = backend.put(mean), backend.put(var)
    out = backend("batch_norm", input, *placed, training=True, momentum=0.5, eps=3.0)
    assert out.tolist() == [[-0.5], [0.5]]  # the variance of 1 and 3 is 1, biased, and 2, unbiased
    assert [backend.take(array).tolist() for array in placed] == [[1.0], [1.5]]


@pytest.mark.parametrize("shape", [(4096, 3), (4, 3, 32, 32)], ids=["features", "maps"])
def test_a_mean_a_million_deviations_off(backend, rng, dtype, shape):
    """1e4 ± 1e-2: the float32 grid is 1e-3 there, so the exact answer for the given numbers is in float64."""
    input = (1e4 + 1e-2 * rng.standard_normal(shape)).astype(dtype)
    axes = (0, *range(2, len(shape)))
    exact = input.astype(float) - input.astype(float).mean(axes, keepdims=True)
    variance = (exact**2).mean(axes)
    running = np.zeros(3, dtype), np.ones(3, dtype)
    placed = backend.put(running[0]), backend.put(running[1])
    out = backend("batch_norm", input, *placed, training=True, momentum=1.0)
    deviation = np.sqrt(variance + 1e-5).reshape(1, 3, *[1] * (len(shape) - 2))
    assert_close(out, exact / deviation)
    assert_close(backend.take(placed[1]), variance * input[:, 0].size / (input[:, 0].size - 1))


def test_a_constant_channel_is_zero(backend, dtype):
    input = np.full((64, 2, 3, 3), 1e4 + 1 / 3, dtype)
    assert np.abs(backend("batch_norm", input, None, None, training=True)).max() < 1e-6


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_what_is_not_finite_stays_in_its_channel(agrees, normal, value, training):
    input = normal(4, 3, 5, 5)
    input[1, 2, 3, 4] = value
    out = agrees("batch_norm", input, normal(3), normal(3) ** 2 + 1, training=training)
    assert np.isfinite(out[:, :2]).all()


def test_a_negative_running_variance_gives_nan_as_in_torch(agrees, dtype):
    agrees("batch_norm", np.ones((2, 2), dtype), np.zeros(2, dtype), np.array([-1, 1], dtype))
