"""The gradients of elementwise functions, flatten and softmax; central differences for every function.

The other functions' are in test_gradients_conv.py, ..._pool.py, ..._norm.py and ..._loss.py.
"""

import numpy as np
import pytest
from calls import arrays_in
from gradients import OF_LARGEST_DIFFERENCE, assert_near, by_differences, by_fastops, check, compare, random_gradient

import fastops
from fastops.yardstick.calls import EXAMPLES

SHAPES = [(), (1,), (7,), (3, 4), (2, 3, 4, 5), (0,), (0, 3), (67, 33), (100_003,)]


# Central differences: every function, its forward and its gradient seen from outside

SMALL = [call for call in EXAMPLES if sum(array.size for array in arrays_in(call.arrays(float))) <= 260]


@pytest.mark.parametrize("call", SMALL, ids=str)
def test_central_differences(backend, rng, call):
    first, *names = call.makers
    arrays = call.arrays(np.float64)
    more = {**{name: arrays[name] for name in names}, **call.options}
    grad_output = random_gradient(backend, rng, call.op, arrays[first], **more)
    actual = by_fastops(backend, grad_output, call.op, arrays[first], **more)
    expected = by_differences(backend, grad_output, call.op, arrays[first], **more)
    compare(actual, expected, tolerance=OF_LARGEST_DIFFERENCE)


@pytest.mark.parametrize("weighted_by", [1, -0.5], ids=str)
def test_central_differences_of_the_weighted_squared_error(backend, rng, weighted_by):
    arrays = dict(input=rng.standard_normal((3, 4)), target=rng.standard_normal((3, 4)))
    for reduction in ("mean", "sum", "none"):
        options = dict(reduction=reduction, weight=rng.random((3, 4)) * weighted_by)
        grad_output = random_gradient(backend, rng, "mse_loss", *arrays.values(), **options)
        actual = by_fastops(backend, grad_output, "mse_loss", *arrays.values(), **options)
        expected = by_differences(backend, grad_output, "mse_loss", *arrays.values(), **options)
        compare(actual, expected, tolerance=OF_LARGEST_DIFFERENCE)


def test_every_operator_has_a_gradient():
    operators = [name for name in fastops.__all__ if f"{name}_backward" in fastops.__all__]
    assert sorted(operators) == sorted({call.op for call in SMALL})
    functions = [name for name in fastops.__all__ if callable(getattr(fastops, name))]
    assert len(functions) == 2 * len(operators)


# relu, sigmoid


@pytest.mark.parametrize("op", ["relu", "sigmoid"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_elementwise(backend, rng, normal, op, shape):
    check(backend, rng, op, normal(*shape))


def test_relu_has_no_gradient_at_zero(backend, dtype):
    x = np.array([0.0, -0.0, -1e-300, 1e-300, -np.inf, np.inf, np.nan]).astype(dtype)
    gradient = backend("relu_backward", np.full(7, 2, dtype), x)
    small = 2 if dtype is np.float64 else 0  # 1e-300 is 0 in float32
    np.testing.assert_array_equal(gradient, [0, 0, 0, small, 0, 2, 2])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_relu_of_what_is_not_finite_is_torchs(backend, rng, normal, value):
    x, grad_output = normal(5, 40), normal(5, 40)
    x[rng.random(x.shape) < 0.3] = value
    check(backend, rng, "relu", x, grad_output=grad_output)
    grad_output[rng.random(x.shape) < 0.3] = value
    check(backend, rng, "relu", x, grad_output=grad_output)


def test_sigmoid_far_out(backend, rng, dtype):
    x = np.array([-800, -100, -20, -1, 0, 1, 20, 100, 800, -np.inf, np.inf, np.nan], dtype)
    check(backend, rng, "sigmoid", x)


def test_sigmoid_by_hand(backend, dtype):
    gradient = backend("sigmoid_backward", np.array([1, 2, -4], dtype), np.array([0.5, 0.25, 1], dtype))
    assert gradient.tolist() == [0.25, 0.375, 0]


# dropout

SEEDS = [0, 7, 2**64 - 1, np.int32(3), np.random.SeedSequence(99), np.random.SeedSequence([1, 2], spawn_key=(3,))]


@pytest.mark.parametrize("seed", SEEDS, ids=str)
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 1.0])
def test_dropout_has_the_mask_of_the_forward(backend, normal, p, seed):
    grad_output = normal(13, 41)
    expected = grad_output * backend("dropout", np.ones_like(grad_output), p, rng=seed)
    gradient = backend("dropout_backward", grad_output, p, rng=seed)
    assert gradient.dtype == grad_output.dtype
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("p", [0.5, 1.0])
def test_a_dropped_element_has_gradient_zero_whatever_arrives(backend, dtype, value, p):
    mask = backend("dropout", np.ones(200, dtype), p, rng=5) != 0
    gradient = backend("dropout_backward", np.full(200, value, dtype), p, rng=5)
    np.testing.assert_array_equal(gradient, np.where(mask, value, 0))


@pytest.mark.parametrize("options", [dict(p=0.0), dict(training=False), dict(p=1.0, training=False)], ids=str)
def test_where_dropout_is_the_identity_so_is_its_gradient(normal, options):
    grad_output = normal(3, 4)
    assert fastops.dropout_backward(grad_output, **options, rng=1) is grad_output


# flatten


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int8, bool, complex])
@pytest.mark.parametrize("dims", [(), (0,), (1,), (0, 0), (1, 2), (-2, -1), (1, 1)], ids=str)
def test_flatten(backend, rng, kind, dims):
    x = rng.integers(0, 2, (2, 3, 4)).astype(kind)
    grad_output = backend("flatten", x, *dims)[...].copy()
    gradient = backend("flatten_backward", grad_output, x, *dims)
    assert gradient.dtype == x.dtype
    np.testing.assert_array_equal(gradient, x)


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 0, 3)], ids=str)
def test_flatten_of_a_number_and_of_nothing(backend, rng, normal, shape):
    check(backend, rng, "flatten", normal(*shape))


def test_the_gradient_of_flatten_is_a_view():
    x, grad_output = np.zeros((2, 3, 4)), np.arange(24.0)
    gradient = fastops.flatten_backward(grad_output, x)
    assert gradient.base is grad_output and np.shares_memory(gradient, grad_output)
    same = np.zeros((2, 3, 4))
    assert fastops.flatten_backward(same, x, 1, 1) is same


# softmax, log_softmax

DIMENSIONS = [
    *(((3, 4, 5), dim) for dim in (-3, -1, 0, 1, 2)),
    *((shape, 0) for shape in [(), (1,), (9,), (0, 3), (67, 33), (5, 1100), (2000, 3)]),
    *(
        (shape, 1)
        for shape in [
            (0, 3),
            (3, 0),
            (67, 33),
            (2, 21, 33, 17),
            (2, 3, 1100),
            (5, 3001),
            (4, 1),
            (300, 3, 2),
            (1, 300, 260),
        ]
    ),
]


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape, dim", DIMENSIONS, ids=str)
def test_softmax(backend, rng, normal, op, shape, dim):
    x, grad_output = normal(*shape), normal(*shape)
    check(backend, rng, op, x, dim, grad_output=grad_output, scale=np.abs(grad_output).max(initial=0))


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("scale", [30, 1e4])
def test_softmax_of_large_logits(backend, rng, normal, op, dim, scale):
    x = (normal(20, 30) * scale).astype(normal(1).dtype)
    check(backend, rng, op, x, dim, scale=1)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_softmax_of_what_is_not_finite(backend, rng, normal, op, dim, value):
    """-inf has probability 0; the others spread along the dimension and no further."""
    x = normal(6, 7)
    x[2, 3] = value
    gradient = check(backend, rng, op, x, dim)["input"]
    spread = np.zeros(x.shape, bool)
    if value != -np.inf:
        spread[:, 3] |= dim == 0
        spread[2] |= dim == 1
    np.testing.assert_array_equal(np.isnan(gradient), spread)
    grad_output = normal(6, 7)
    grad_output[2, 3] = value
    check(backend, rng, op, normal(6, 7), dim, grad_output=grad_output)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_the_gradient_of_softmax_sums_to_zero(backend, normal, op, dtype):
    """Probabilities go on summing to 1, whatever is done to the logits."""
    y = backend(op, normal(40, 50), 1)
    gradient = backend(f"{op}_backward", normal(40, 50), y, 1)
    assert_near(gradient.sum(1).astype(dtype), np.zeros(40), scale=1)


def test_arrays_are_told_from_other_things():
    """What `check` compares after a call."""
    assert [np.shape(a) for a in arrays_in((np.ones(2), {"a": [np.float32(1), None, 3]}))] == [(2,), ()]
