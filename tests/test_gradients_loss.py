"""The gradients of cross_entropy, softmax_cross_entropy_with_logits and mse_loss."""

import warnings

import numpy as np
import pytest
from gradients import assert_near, by_torch, check
from test_loss import REDUCTIONS, SHAPES, SMOOTHING, classes_of, labels

import fastops

__all__ = ["labels"]  # a fixture: pytest looks for it here


# cross_entropy


@REDUCTIONS
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [True, False], ids=["weights", "no weights"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_class_numbers(backend, rng, normal, labels, shape, weighted, reduction, smoothing):
    weight = normal(classes_of(shape)) ** 2 if weighted else None
    options = dict(weight=weight, reduction=reduction, label_smoothing=smoothing, scale=None if shape[-1] > 1 else 1)
    check(backend, rng, "cross_entropy", normal(*shape), labels(shape), **options)
    check(backend, rng, "cross_entropy", normal(*shape), labels(shape), ignore_index=0, **options)


@REDUCTIONS
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [True, False], ids=["weights", "no weights"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_class_probabilities(backend, rng, normal, shape, weighted, reduction, smoothing):
    options = dict(reduction=reduction, label_smoothing=smoothing, scale=None if shape[-1] > 1 else 1)
    weight = normal(classes_of(shape)) ** 2 if weighted else None
    check(backend, rng, "cross_entropy", normal(*shape), normal(*shape) ** 2, weight, **options)


@REDUCTIONS
@pytest.mark.parametrize(
    "shape", [(20_000, 3), (5, 1100), (1, 3, 20_001), (300, 3, 2), (2, 150, 7), (1, 300, 260)], ids=str
)
def test_several_blocks(backend, rng, normal, labels, shape, reduction):
    options = dict(weight=normal(shape[1]) ** 2, reduction=reduction, label_smoothing=0.1)
    check(backend, rng, "cross_entropy", normal(*shape), labels(shape), ignore_index=1, **options)
    check(backend, rng, "cross_entropy", normal(*shape), normal(*shape) ** 2, **options)


@REDUCTIONS
@SMOOTHING
def test_negative_weights(backend, rng, labels, normal, reduction, smoothing):
    weight = np.array([1, -2, 0.5, -0.25], normal(1).dtype)
    options = dict(reduction=reduction, label_smoothing=smoothing)
    for shape in ((20, 4), (5, 4, 7)):
        check(backend, rng, "cross_entropy", normal(*shape), labels(shape), weight, **options)
        check(backend, rng, "cross_entropy", normal(*shape), normal(*shape), weight, **options)


@SMOOTHING
@pytest.mark.parametrize("shape", [(6, 4), (2, 4, 3)], ids=str)
def test_a_large_gradient_meets_small_weights(backend, normal, labels, shape, smoothing):
    """Their product is finite; the gradient alone, divided by the sum of the weights, is not in float32."""
    logits, weight = normal(*shape), np.full(4, 1e-30, normal(1).dtype)
    for target in (labels(shape), np.abs(normal(*shape))):
        options = dict(weight=weight, label_smoothing=smoothing)
        for reduction, gradient in (("mean", 1e20), ("sum", 1e38)):
            found = backend("cross_entropy_backward", gradient, logits, target, reduction=reduction, **options)
            one = backend("cross_entropy_backward", 1.0, logits, target, reduction=reduction, **options)
            np.testing.assert_allclose(found.astype(float), one.astype(float) * gradient, rtol=1e-3)


@REDUCTIONS
@SMOOTHING
@pytest.mark.parametrize("ignored", [-100, 2, 7])
@pytest.mark.parametrize("shape", [(5, 4, 3), (15, 4)], ids=str)
def test_some_and_all_ignored(backend, rng, normal, labels, ignored, reduction, smoothing, shape):
    """An ignored place has gradient 0, even where the mean of no losses is NaN, as in torch."""
    places = np.arange(15).reshape(5, 3) if len(shape) == 3 else np.arange(15)
    options = dict(ignore_index=ignored, reduction=reduction, label_smoothing=smoothing)
    for target in (np.where(places % 2, labels(shape), ignored), np.full(places.shape, ignored)):
        for weight in (None, normal(4)):
            with warnings.catch_warnings(action="error"):
                found = check(backend, rng, "cross_entropy", normal(*shape), target, weight, **options)
            assert not np.moveaxis(found["input"], 1, -1)[target == ignored].any()


@REDUCTIONS
def test_an_ignored_place_has_gradient_zero_whatever_it_holds(backend, dtype, reduction):
    x = np.array([[np.nan, 1], [0, 0], [np.inf, np.inf], [-np.inf, -np.inf]], dtype)
    target, grad_output = np.array([-100, 1, -100, -100]), np.ones(4 if reduction == "none" else (), dtype)
    for logits, numbers, upstream in (
        (x, target, grad_output),
        (x.T[None].copy(), target[None], grad_output[None] if reduction == "none" else grad_output),
    ):
        gradient = backend("cross_entropy_backward", upstream, logits, numbers, reduction=reduction)
        gradient = gradient if logits.ndim == 2 else gradient[0].T
        assert gradient.tolist() == [[0, 0], [0.5, -0.5], [0, 0], [0, 0]]


def test_weights_that_sum_to_zero(backend, rng, dtype):
    """The mean divides by zero: infinite where the gradient of the sum is not 0, and no warning."""
    weight, target = np.array([1, -1], dtype), np.array([0, 1])
    with warnings.catch_warnings(action="error"):
        check(backend, rng, "cross_entropy", np.zeros((2, 2), dtype), target, weight)


@SMOOTHING
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_weights_that_are_not_finite(backend, rng, dtype, value, smoothing):
    weight = np.array([1, value, -value], dtype)
    with warnings.catch_warnings(action="error"):
        for target in (np.array([0, 1]), np.full((2, 3), 0.25, dtype)):
            check(backend, rng, "cross_entropy", np.zeros((2, 3), dtype), target, weight, label_smoothing=smoothing)


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_class_numbers_of_any_integer_dtype(backend, rng, normal, labels, kind):
    check(backend, rng, "cross_entropy", normal(6, 4), labels((6, 4)).astype(kind))
    check(backend, rng, "softmax_cross_entropy_with_logits", normal(6, 4), labels((6, 4)).astype(kind))


@pytest.mark.parametrize("scale", [1e4, 1e2])
@pytest.mark.parametrize("offset", [0, 1e4, -1e4])
@SMOOTHING
@pytest.mark.parametrize("shape", [(6, 5), (2, 5, 9)], ids=str)
def test_large_logits(backend, rng, normal, labels, scale, offset, smoothing, shape):
    x = (normal(*shape) * scale + offset).astype(normal(1).dtype)
    check(backend, rng, "cross_entropy", x, labels(shape), reduction="none", label_smoothing=smoothing, scale=1)
    check(backend, rng, "cross_entropy", x, normal(*shape) ** 2, label_smoothing=smoothing, scale=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("target", ["numbers", "probabilities"])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2)], ids=str)
def test_what_is_not_finite_stays_in_its_row(backend, rng, normal, value, target, shape):
    x = normal(*shape)
    x[1, 2] = value
    for number in (0, 2):
        numbers = np.full((4, *shape[2:]), number)
        shares = np.zeros_like(x)
        shares[:, number] = 1
        given = numbers if target == "numbers" else shares
        gradient = check(backend, rng, "cross_entropy", x, given, reduction="none")["input"]
        assert np.isfinite(gradient[[0, 2, 3]]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_arrives_not_finite_stays_in_its_row(backend, rng, normal, labels, value):
    grad_output = normal(4)
    grad_output[1] = value
    gradient = check(backend, rng, "cross_entropy", normal(4, 3), labels((4, 3)), reduction="none",
                     grad_output=grad_output)["input"]  # fmt: skip
    assert np.isfinite(gradient[[0, 2, 3]]).all() and not np.isfinite(gradient[1]).any()


def test_by_hand(backend, dtype):
    """softmax - 1 at the class, softmax elsewhere; of x = 0 the softmax is 1 / 4."""
    x, target = np.zeros((2, 4), dtype), np.array([3, 0])
    gradient = backend("cross_entropy_backward", 8.0, x, target)
    assert gradient.tolist() == [[1, 1, 1, -3], [-3, 1, 1, 1]]
    gradient = backend("cross_entropy_backward", np.array([4, 8], dtype), x, target, reduction="none")
    assert gradient.tolist() == [[1, 1, 1, -3], [-6, 2, 2, 2]]
    smooth = backend("cross_entropy_backward", 4.0, x, target, reduction="sum", label_smoothing=1.0)
    assert_near(smooth, np.zeros((2, 4)), scale=1e-3)


# The gradient of a loss that reduces

NUMBERS = [1, 2.0, np.float64(2), np.array(2.0), np.array(-0.5)]


@pytest.mark.parametrize("op", ["cross_entropy", "softmax_cross_entropy_with_logits", "mse_loss"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_gradient_of_a_number_may_be_any_kind_of_number(backend, normal, dtype, op, reduction):
    x, target = normal(5, 4), normal(5, 4)
    once = backend(f"{op}_backward", 1.0, x, target, reduction=reduction)
    for number in NUMBERS:
        given = number if isinstance(number, (int, float)) and type(number) is not np.float64 else dtype(number)
        for upstream in (given, np.asarray(given, dtype)):
            found = backend(f"{op}_backward", upstream, x, target, reduction=reduction)
            for more, one in zip(*(f if isinstance(f, tuple) else (f,) for f in (found, once)), strict=True):
                assert more.dtype == dtype
                assert_near(more, one.astype(float) * float(number))


@pytest.mark.parametrize("op", ["cross_entropy", "mse_loss"])
def test_the_forwards_own_result_is_a_gradient(backend, normal, op):
    x, target = normal(5, 4), normal(5, 4) ** 2
    assert isinstance(backend(f"{op}_backward", backend(op, x, target), x, target), (np.ndarray, tuple))


# softmax_cross_entropy_with_logits


@REDUCTIONS
@pytest.mark.parametrize("shape", [(5, 4), (1, 1), (0, 4), (67, 33), (20_000, 3)], ids=str)
def test_softmax_cross_entropy_with_logits(backend, rng, normal, labels, shape, reduction):
    numbers = labels(shape)
    one_hot = np.eye(shape[1], dtype=normal(1).dtype)[numbers]
    scale = 1 if shape[1] == 1 else None
    for target in (numbers, one_hot, normal(*shape) ** 2):
        check(backend, rng, "softmax_cross_entropy_with_logits", normal(*shape), target, reduction, scale=scale)


def test_the_default_is_mindspores_one_gradient_a_row(backend, dtype):
    gradient = backend("softmax_cross_entropy_with_logits_backward", np.array([1, 2], dtype), np.zeros((2, 2), dtype),
                       np.array([0, 1]))  # fmt: skip
    assert gradient.tolist() == [[-0.5, 0.5], [1, -1]]


# mse_loss


@REDUCTIONS
@pytest.mark.parametrize(
    "input, target",
    [
        pytest.param((3, 4), (3, 4), id="alike"),
        pytest.param((), (), id="numbers"),
        pytest.param((2, 3, 4), (4,), id="one row for all"),
        pytest.param((3, 1), (1, 4), id="both grow"),
        pytest.param((), (3, 4), id="a number for all"),
        pytest.param((1,), (3, 4), id="one for all"),
        pytest.param((2, 1, 3, 1), (5, 1, 4), id="four dimensions"),
        pytest.param((0, 4), (0, 4), id="empty"),
        pytest.param((0, 4), (1, 4), id="empty, broadcast"),
        pytest.param((33, 67), (33, 67), id="odd sizes"),
        pytest.param((100_003,), (100_003,), id="many"),
    ],
)
def test_mse_loss(backend, rng, normal, input, target, reduction):
    with warnings.catch_warnings(action="error"):
        found = check(backend, rng, "mse_loss", normal(*input), normal(*target), reduction)
        assert (found["input"].shape, found["target"].shape) == (input, target)
        check(backend, rng, "mse_loss", normal(*target), normal(*input), reduction)


@REDUCTIONS
@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (0, 4), (33, 67)], ids=str)
def test_weighted_mse_loss(backend, rng, normal, shape, reduction):
    check(backend, rng, "mse_loss", normal(*shape), normal(*shape), reduction, normal(*shape))


@REDUCTIONS
def test_weighted_mse_loss_of_shapes_that_broadcast(backend, rng, normal, reduction):
    """torch refuses them; the definition is that of the repeated arrays, summed again."""
    x, target, weight, grad_output = normal(3, 1), normal(1, 4), normal(3, 4), normal(3, 4)
    upstream = grad_output if reduction == "none" else grad_output[0, 0]
    found = backend("mse_loss_backward", upstream, x, target, reduction, weight)
    wide = np.broadcast_arrays(x, target)
    expected = by_torch(upstream, "mse_loss", *(np.ascontiguousarray(a) for a in wide), reduction, weight)
    assert_near(found[0], expected["input"].sum(1, keepdims=True))
    assert_near(found[1], expected["target"].sum(0, keepdims=True))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@REDUCTIONS
def test_mse_loss_of_what_is_not_finite(backend, rng, normal, value, reduction):
    x = normal(3, 4)
    x[1, 2] = value
    check(backend, rng, "mse_loss", x, normal(3, 4), reduction)
    with warnings.catch_warnings(action="error"):
        check(backend, rng, "mse_loss", x, normal(4), reduction)


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e30])
def test_weighted_mse_loss_without_warnings(backend, rng, normal, dtype, value):
    """What arrives times the weight may overflow, or be infinity times zero."""
    grad_output, weight = np.array([value, 1, 2], dtype), np.array([0, value, 1], dtype)
    with warnings.catch_warnings(action="error"):
        check(backend, rng, "mse_loss", normal(3), normal(3), "none", weight, grad_output=grad_output)


def test_weights_of_zero(backend, rng, dtype):
    with warnings.catch_warnings(action="error"):
        check(backend, rng, "mse_loss", np.ones(3, dtype), np.zeros(3, dtype), "mean", np.zeros(3, dtype))


def test_mse_loss_by_hand(backend, dtype):
    x, target, weight = np.array([1, 2, 3], dtype), np.array([0, 4, 3], dtype), np.array([1, 2, 1], dtype)
    assert [a.tolist() for a in backend("mse_loss_backward", 2.0, x, target, weight=weight)] == [[1, -4, 0], [-1, 4, 0]]


def test_the_two_gradients_of_mse_loss_are_arrays_of_their_own(normal):
    grad_input, grad_target = fastops.mse_loss_backward(1.0, normal(3), normal(3))
    assert not np.shares_memory(grad_input, grad_target)
