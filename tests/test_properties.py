"""Random shapes and parameters against the oracle, and what algebra says about the operators."""

import numpy as np
import oracle
import pytest
from agreement import EXACT, assert_close
from hypothesis import assume, given
from hypothesis import strategies as st

sizes, few = st.integers(1, 9), st.integers(1, 4)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.tuples(st.integers(0, 3), st.integers(0, 3))
uneven_paddings = st.tuples(paddings, paddings)
dtypes = st.sampled_from([np.float32, np.float64])
seeds = st.integers(0, 2**32)


def values(seed: int, dtype: type, *shape: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def check(backend, op: str, *args, **options):
    """fastops gives what the oracle gives."""
    theirs = [np.copy(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
    actual = backend(op, *args, **options)
    assert_close(actual, getattr(oracle, op)(*theirs, **options), exact=op in EXACT)
    return actual


@st.composite
def convolutions(draw):
    """(input shape, weight shape, options) of a conv2d whose kernel fits."""
    groups, kernel = draw(st.integers(1, 3)), (draw(few), draw(few))
    options = dict(stride=draw(pairs), dilation=draw(pairs), groups=groups)
    options["padding"] = draw(st.one_of(paddings, uneven_paddings, st.sampled_from(["same", "valid"])))
    shape = (draw(st.integers(0, 3)), groups * draw(few), draw(sizes), draw(st.one_of(sizes, st.integers(10, 40))))
    pads = oracle.sides(options["padding"] if isinstance(options["padding"], tuple) else 0)
    for i in range(2 if options["padding"] != "same" else 0):
        assume(shape[2 + i] + sum(pads[i]) > options["dilation"][i] * (kernel[i] - 1))
    return shape, (groups * draw(st.integers(1, 5)), shape[1] // groups, *kernel), options


@given(convolutions(), dtypes, seeds)
def test_conv2d(backend, convolution, dtype, seed):
    shape, kernel, options = convolution
    arrays = values(seed, dtype, *shape), values(seed + 1, dtype, *kernel), values(seed + 2, dtype, kernel[0])
    check(backend, "conv2d", *arrays, **options)


@given(convolutions(), dtypes, seeds, st.data())
def test_conv_transpose2d(backend, convolution, dtype, seed, data):
    (batch, _, height, width), kernel, options = convolution
    options["padding"] = data.draw(paddings)
    limits = [max(options["stride"][i], options["dilation"][i]) - 1 for i in range(2)]
    options["output_padding"] = tuple(data.draw(st.integers(0, limit)) for limit in limits)
    for i, size in enumerate((height, width)):
        span = (size - 1) * options["stride"][i] + options["dilation"][i] * (kernel[2 + i] - 1) + 1
        assume(span + options["output_padding"][i] > 2 * options["padding"][i])
    arrays = values(seed, dtype, batch, kernel[0], height, width), values(seed + 1, dtype, *kernel)
    check(backend, "conv_transpose2d", *arrays, values(seed, dtype, kernel[1] * options["groups"]), **options)


@st.composite
def windows(draw):
    """(input shape, options) of a max_pool2d whose window fits, with at most half of it padding."""
    options = dict(kernel_size=(draw(few), draw(few)), dilation=draw(pairs), ceil_mode=draw(st.booleans()))
    options["stride"] = draw(st.one_of(st.none(), pairs))
    halves = [st.integers(0, kernel // 2) for kernel in options["kernel_size"]]
    options["padding"] = draw(st.one_of(st.tuples(*halves), st.tuples(*(st.tuples(half, half) for half in halves))))
    shape = (draw(st.integers(0, 2)), draw(few), draw(sizes), draw(st.one_of(sizes, st.integers(10, 70))))
    for i in range(2):
        room = shape[2 + i] + sum(oracle.sides(options["padding"])[i])
        assume(room > options["dilation"][i] * (options["kernel_size"][i] - 1))
    return shape, options


@given(windows(), dtypes, seeds, st.sampled_from([None, np.nan, -np.inf, np.inf]))
def test_max_pool2d(backend, window, dtype, seed, special):
    shape, options = window
    input = np.round(values(seed, dtype, *shape), 1)
    if special is not None:
        input[values(seed + 1, dtype, *shape) > 0.8] = special
    check(backend, "max_pool2d", input, return_indices=True, **options)


divisors = st.one_of(st.none(), st.integers(-5, -1), st.integers(1, 5))


@given(windows(), dtypes, seeds, st.booleans(), divisors)
def test_avg_pool2d(backend, window, dtype, seed, count_include_pad, divisor):
    shape, options = window
    del options["dilation"]
    options |= dict(count_include_pad=count_include_pad, divisor_override=divisor)
    check(backend, "avg_pool2d", values(seed, dtype, *shape), **options)


corners = st.tuples(*[st.floats(-40, 120, width=32) | st.integers(-80, 240).map(lambda half: half / 2)] * 4)


@given(st.lists(corners, max_size=4), pairs, st.sampled_from([1.0, 0.5, 0.25, 1 / 16, 0.3]), dtypes, seeds)
def test_roi_pool(backend, rois, output_size, scale, dtype, seed):
    boxes = np.array([(i % 2, *roi) for i, roi in enumerate(rois)], dtype).reshape(-1, 5)
    check(backend, "roi_pool", values(seed, dtype, 2, 2, 13, 17), boxes, output_size, scale)


@st.composite
def shapes(draw, least: int):
    return tuple(draw(st.lists(st.integers(1, 6), min_size=least, max_size=5)))


@given(shapes(least=1), dtypes, seeds, st.sampled_from([1, 30, 1e4]), st.data())
def test_softmax_and_log_softmax(backend, shape, dtype, seed, scale, data):
    input = values(seed, dtype, *shape) * dtype(scale)
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    probabilities = check(backend, "softmax", input, dim)
    check(backend, "log_softmax", input, dim)
    np.testing.assert_allclose(probabilities.sum(dim), 1, rtol=1e-5)


@given(shapes(least=1), dtypes, seeds, st.data())
def test_cross_entropy(backend, shape, dtype, seed, data):
    classes = shape[0] if len(shape) == 1 else shape[1]
    options = dict(reduction=data.draw(st.sampled_from(["mean", "sum", "none"])))
    options["label_smoothing"] = data.draw(st.sampled_from([0.0, 0.1, 1.0]))
    options["weight"] = data.draw(st.sampled_from([None, np.abs(values(seed + 1, dtype, classes))]))
    target = np.abs(values(seed + 2, dtype, *shape))
    if data.draw(st.booleans()):
        places = shape[1:] if len(shape) == 1 else (shape[0], *shape[2:])
        target = np.asarray(np.random.default_rng(seed).integers(0, classes, places))
        options["ignore_index"] = data.draw(st.integers(-1, classes))
    check(backend, "cross_entropy", values(seed, dtype, *shape), target, **options)


@given(shapes(least=2), dtypes, seeds, st.booleans(), st.floats(0, 1), st.sampled_from([0.0, 100.0]))
def test_batch_norm(backend, shape, dtype, seed, training, momentum, mean):
    channels = shape[1]
    assume(np.prod(shape) > channels)
    running = values(seed, dtype, channels), values(seed + 1, dtype, channels) ** 2 + dtype(0.1)
    copies = running[0].copy(), running[1].copy()
    input = values(seed + 2, dtype, *shape) + dtype(mean)
    options = dict(weight=values(seed + 3, dtype, channels), training=training, momentum=momentum)
    placed = backend.put(running[0]), backend.put(running[1])
    actual = backend("batch_norm", input, *placed, **options)
    assert_close(actual, oracle.batch_norm(input, *copies, **options))
    assert_close((backend.take(placed[0]), backend.take(placed[1])), copies)


# What algebra says


@given(convolutions(), seeds, st.floats(-3, 3))
def test_conv2d_is_linear(backend, convolution, seed, factor):
    shape, kernel, options = convolution
    one, other, weight = values(seed, float, *shape), values(seed + 1, float, *shape), values(seed + 2, float, *kernel)
    both = backend("conv2d", one + factor * other, weight, **options)
    apart = backend("conv2d", one, weight, **options) + factor * backend("conv2d", other, weight, **options)
    assert_close(both, apart)


@given(convolutions(), seeds)
def test_conv_transpose2d_is_the_adjoint_of_conv2d(backend, convolution, seed):
    """<conv2d(x, w), y> = <x, conv_transpose2d(y, w)>, where the sizes are such that every pixel is in some window."""
    shape, kernel, options = convolution
    assume(options["padding"] not in ("same", "valid") and not oracle.uneven(options["padding"]))
    x, weight = values(seed, float, *shape), values(seed + 1, float, *kernel)
    there = backend("conv2d", x, weight, **options)
    y = values(seed + 2, float, *there.shape)
    rest = [
        (shape[2 + i] + 2 * options["padding"][i] - options["dilation"][i] * (kernel[2 + i] - 1) - 1)
        % options["stride"][i]
        for i in range(2)
    ]
    back = backend("conv_transpose2d", y, weight, output_padding=rest, **options)
    assert back.shape == x.shape
    np.testing.assert_allclose((there * y).sum(), (x * back).sum(), rtol=1e-9, atol=1e-9)


@given(windows(), dtypes, seeds)
def test_max_pool2d_commutes_with_rising_functions(backend, window, dtype, seed):
    shape, options = window
    input = values(seed, dtype, *shape)
    pooled = backend("max_pool2d", input, **options)
    assert_close(backend("max_pool2d", input * 2 + 1, **options), pooled * 2 + 1, exact=True)


@given(windows(), dtypes, seeds)
def test_the_indices_point_at_the_values(backend, window, dtype, seed):
    shape, options = window
    input = values(seed, dtype, *shape)
    pooled, indices = backend("max_pool2d", input, return_indices=True, **options)
    for n, c, y, x in np.ndindex(indices.shape):
        index = indices[n, c, y, x]
        assert pooled[n, c, y, x] == (input[n, c].ravel()[index] if index >= 0 else -np.inf)


@given(windows(), dtypes, seeds)
def test_pooling_lies_between_the_smallest_and_the_largest(backend, window, dtype, seed):
    shape, options = window
    del options["dilation"]
    options["padding"] = 0
    assume(all(shape[2 + i] >= options["kernel_size"][i] for i in range(2)))
    input = values(seed, dtype, *shape)
    smallest, largest = -backend("max_pool2d", -input, **options), backend("max_pool2d", input, **options)
    average = backend("avg_pool2d", input, **options)
    slack = 1e-5
    assert ((smallest - slack <= average) & (average <= largest + slack)).all()


@given(shapes(least=1), seeds, st.floats(-1e3, 1e3), st.data())
def test_softmax_ignores_a_shift(backend, shape, seed, shift, data):
    input, dim = values(seed, float, *shape), data.draw(st.integers(0, len(shape) - 1))
    assert_close(backend("softmax", input + shift, dim), backend("softmax", input, dim))


@pytest.mark.parametrize("op", ["relu", "sigmoid"])
@given(shapes(least=1), dtypes, seeds)
def test_x_and_minus_x(backend, op, shape, dtype, seed):
    """relu(x) - relu(-x) = x and sigmoid(x) + sigmoid(-x) = 1."""
    x = values(seed, dtype, *shape)
    there, back = backend(op, x), backend(op, -x)
    assert_close(there - back if op == "relu" else there + back, x if op == "relu" else np.ones(shape))
