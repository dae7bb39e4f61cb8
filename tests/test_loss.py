"""cross_entropy, softmax_cross_entropy_with_logits and mse_loss."""

import warnings

import numpy as np
import pytest
from conftest import itself

SHAPES = [
    (4,),
    (5, 4),
    (1, 4),
    (0, 4),
    (3, 1),
    (2, 4, 3),
    (2, 4, 3, 5),
    (2, 4, 2, 3, 2),
    (67, 33),
    (3, 4, 40),
    (2, 3, 1100),
]
REDUCTIONS = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
SMOOTHING = pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])


def without(shape, axis: int) -> tuple[int, ...]:
    """The target's shape: the input's without its classes."""
    return shape[1:] if len(shape) == 1 else (*shape[:axis], *shape[axis + 1 :])


def classes_of(shape) -> int:
    return shape[0] if len(shape) == 1 else shape[1]


@pytest.fixture
def labels(rng):
    """labels(shape): class numbers for an input of that shape."""
    return lambda shape: np.asarray(rng.integers(0, classes_of(shape), without(shape, 1)))


@REDUCTIONS
@SMOOTHING
@pytest.mark.parametrize("weighted", [True, False], ids=["weights", "no weights"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_class_numbers(agrees, normal, labels, shape, weighted, reduction, smoothing):
    weight = normal(classes_of(shape)) ** 2 if weighted else None
    options = dict(reduction=reduction, label_smoothing=smoothing)
    agrees("cross_entropy", normal(*shape), labels(shape), weight, **options)
    agrees("cross_entropy", normal(*shape), labels(shape), weight, ignore_index=0, **options)


@REDUCTIONS
@SMOOTHING
@pytest.mark.parametrize("weighted", [True, False], ids=["weights", "no weights"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_class_probabilities(agrees, normal, shape, weighted, reduction, smoothing):
    weight = normal(classes_of(shape)) ** 2 if weighted else None
    target = normal(*shape) ** 2
    agrees("cross_entropy", normal(*shape), target, weight, reduction=reduction, label_smoothing=smoothing)


def test_weights_by_the_formula(backend, normal):
    """weight[class] · (-x[class] + log Σ exp x), the mean over the weights (negative ones too)."""
    x, target, weight = normal(5, 3), np.array([0, 2, 1, 1, 2]), np.array([0.5, 2, -0.75], normal(1).dtype)
    losses = weight[target] * (-x[np.arange(5), target] + np.log(np.exp(x).sum(1)))
    np.testing.assert_allclose(backend("cross_entropy", x, target, weight, reduction="none"), losses, rtol=1e-5)
    mean = losses.sum() / weight[target].sum()
    np.testing.assert_allclose(backend("cross_entropy", x, target, weight), mean, rtol=1e-4)


@REDUCTIONS
@SMOOTHING
def test_negative_weights(agrees, labels, normal, reduction, smoothing):
    weight = np.array([1, -2, 0.5, -0.25], normal(1).dtype)
    options = dict(reduction=reduction, label_smoothing=smoothing)
    agrees("cross_entropy", normal(20, 4), labels((20, 4)), weight, **options)
    agrees("cross_entropy", normal(20, 4), normal(20, 4), weight, **options)


@REDUCTIONS
@pytest.mark.parametrize("ignored", [-100, 2, -1, 7])
def test_some_and_all_ignored(agrees, normal, labels, ignored, reduction):
    """The mean of no losses is NaN, as in torch, and no warning says so."""
    some = np.where(np.arange(15).reshape(5, 3) % 2, labels((5, 4, 3)), ignored)
    for target in (some, np.full((5, 3), ignored)):
        with warnings.catch_warnings(action="error"):
            agrees("cross_entropy", normal(5, 4, 3), target, ignore_index=ignored, reduction=reduction)


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_class_numbers_of_any_integer_dtype(agrees, normal, labels, kind):
    agrees("cross_entropy", normal(6, 4), labels((6, 4)).astype(kind))
    agrees("softmax_cross_entropy_with_logits", normal(6, 4), labels((6, 4)).astype(kind))


@pytest.mark.parametrize("scale", [1e4, 1e2])
@pytest.mark.parametrize("offset", [0, 1e4, -1e4])
@SMOOTHING
def test_large_logits(agrees, normal, labels, scale, offset, smoothing):
    x = (normal(6, 5) * scale + offset).astype(normal(1).dtype)
    agrees("cross_entropy", x, labels((6, 5)), reduction="none", label_smoothing=smoothing)
    agrees("cross_entropy", x, normal(6, 5) ** 2, label_smoothing=smoothing)
    agrees("softmax_cross_entropy_with_logits", x, labels((6, 5)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_row(agrees, normal, value):
    x = normal(4, 3)
    x[1, 2] = value
    for number in (0, 2):
        losses = agrees("cross_entropy", x, np.full(4, number), reduction="none")
        assert np.isfinite(losses[[0, 2, 3]]).all()


def test_many_losses_keep_their_digits(backend):
    """The sum runs in float64: 2e6 equal float32 losses, which one float32 accumulator would get wrong."""
    x, target = np.zeros((2_000_000, 2), np.float32), np.zeros(2_000_000, np.int64)
    np.testing.assert_allclose(backend("cross_entropy", x, target), np.log(2), rtol=1e-7)
    np.testing.assert_allclose(backend("mse_loss", x, x + np.float32(0.1)), 0.01, rtol=1e-6)


@pytest.mark.parametrize("op", ["cross_entropy", "softmax_cross_entropy_with_logits", "mse_loss"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_reduced_loss_is_a_numpy_scalar(backend, normal, dtype, op, reduction):
    """On a device an array of shape (), for which nobody has to wait."""
    loss = backend(op, normal(5, 4), normal(5, 4), reduction=reduction)
    assert type(loss) is (dtype if backend.put is itself else np.ndarray) and loss.shape == () and loss.dtype == dtype


@REDUCTIONS
@pytest.mark.parametrize("shape", [(5, 4), (1, 1), (0, 4), (67, 33)], ids=str)
def test_softmax_cross_entropy_with_logits(agrees, normal, labels, shape, reduction):
    numbers = labels(shape)
    one_hot = np.eye(shape[1], dtype=normal(1).dtype)[numbers]
    for target in (numbers, one_hot, normal(*shape) ** 2):
        agrees("softmax_cross_entropy_with_logits", normal(*shape), target, reduction=reduction)


def test_softmax_cross_entropy_with_logits_gives_each_loss(backend, dtype):
    """MindSpore's: no reduction unless asked for."""
    losses = backend("softmax_cross_entropy_with_logits", np.zeros((3, 4), dtype), np.array([0, 1, 2]))
    np.testing.assert_allclose(losses, np.log([4, 4, 4]), rtol=1e-6)


@REDUCTIONS
@pytest.mark.parametrize(
    "input, target",
    [
        pytest.param((3, 4), (3, 4), id="alike"),
        pytest.param((), (), id="numbers"),
        pytest.param((2, 3, 4), (4,), id="one row for all"),
        pytest.param((3, 1), (1, 4), id="both grow"),
        pytest.param((), (3, 4), id="a number for all"),
        pytest.param((0, 4), (0, 4), id="empty"),
        pytest.param((0, 4), (1, 4), id="empty, broadcast"),
        pytest.param((33, 67), (33, 67), id="odd sizes"),
    ],
)
def test_mse_loss(agrees, normal, input, target, reduction):
    with warnings.catch_warnings(action="error"):
        agrees("mse_loss", normal(*input), normal(*target), reduction)


@REDUCTIONS
@pytest.mark.parametrize("shape", [(), (7,), (3, 4), (33, 67)], ids=str)
def test_weighted_mse_loss(agrees, normal, shape, reduction):
    agrees("mse_loss", normal(*shape), normal(*shape), reduction, normal(*shape))


def test_weighted_mean_divides_by_the_weights(backend, dtype):
    input, target, weight = np.array([1, 2, 3], dtype), np.array([0, 0, 0], dtype), np.array([1, 0, 3], dtype)
    assert backend("mse_loss", input, target, weight=weight) == 28 / 4
    assert backend("mse_loss", input, target, "sum", weight) == 28
    assert backend("mse_loss", input, target, "none", weight).tolist() == [1, 0, 27]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_mse_loss_of_what_is_not_finite(agrees, normal, value):
    input = normal(3, 4)
    input[1, 2] = value
    agrees("mse_loss", input, normal(3, 4), "none")
    agrees("mse_loss", input, normal(3, 4))
