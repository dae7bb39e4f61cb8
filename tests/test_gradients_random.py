"""Random shapes and parameters: the gradients against torch.autograd, and what algebra says about them."""

import numpy as np
import pytest
from gradients import assert_near, by_definition, by_fastops, check, compare, names, random_gradient
from hypothesis import assume, given
from hypothesis import strategies as st
from test_properties import convolutions, corners, divisors, dtypes, paddings, pairs, seeds, shapes, values, windows

reductions = st.sampled_from(["mean", "sum", "none"])
smoothings = st.sampled_from([0.0, 0.1, 1.0])


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed + 99)


@given(convolutions(), dtypes, seeds, st.booleans(), st.booleans())
def test_conv2d(backend, convolution, dtype, seed, batched, biased):
    shape, kernel, options = convolution
    arrays = [values(seed, dtype, *(shape if batched else shape[1:])), values(seed + 1, dtype, *kernel)]
    check(backend, generator(seed), "conv2d", *arrays, values(seed, dtype, kernel[0]) if biased else None, **options)


@st.composite
def transposed_convolutions(draw):
    """(input shape, weight shape, options) of a conv_transpose2d whose output is not empty."""
    (batch, _, height, width), kernel, options = draw(convolutions())
    options["padding"] = draw(paddings)
    limits = [max(options["stride"][i], options["dilation"][i]) - 1 for i in range(2)]
    options["output_padding"] = tuple(draw(st.integers(0, limit)) for limit in limits)
    for i, size in enumerate((height, width)):
        span = (size - 1) * options["stride"][i] + options["dilation"][i] * (kernel[2 + i] - 1) + 1
        assume(span + options["output_padding"][i] > 2 * options["padding"][i])
    return (batch, kernel[0], height, width), kernel, options


@given(transposed_convolutions(), dtypes, seeds, st.booleans(), st.booleans())
def test_conv_transpose2d(backend, convolution, dtype, seed, batched, biased):
    shape, kernel, options = convolution
    arrays = [values(seed, dtype, *(shape if batched else shape[1:])), values(seed + 1, dtype, *kernel)]
    bias = values(seed, dtype, kernel[1] * options["groups"]) if biased else None
    check(backend, generator(seed), "conv_transpose2d", *arrays, bias, **options)


@given(windows(), dtypes, seeds, st.sampled_from([None, np.nan, -np.inf, np.inf]))
def test_max_pool2d(backend, window, dtype, seed, special):
    """Of values on a coarse grid, so that many are equal; torch reads beyond the map for a window of padding alone."""
    shape, options = window
    input = np.round(values(seed, dtype, *shape), 1)
    if special is not None:
        input[values(seed + 1, dtype, *shape) > 0.8] = special
    grad_output = random_gradient(backend, generator(seed), "max_pool2d", input, **options)
    actual = by_fastops(backend, grad_output, "max_pool2d", input, **options)
    compare(actual, by_definition(grad_output, "max_pool2d", input, **options))
    if (backend("max_pool2d", input, **options, return_indices=True)[1] >= 0).all():
        check(backend, generator(seed), "max_pool2d", input, **options)


@given(windows(), dtypes, seeds, st.booleans(), divisors)
def test_avg_pool2d(backend, window, dtype, seed, count_include_pad, divisor):
    shape, options = window
    del options["dilation"]
    options |= dict(count_include_pad=count_include_pad, divisor_override=divisor)
    check(backend, generator(seed), "avg_pool2d", values(seed, dtype, *shape), **options)


@given(st.lists(corners, max_size=4), pairs, st.sampled_from([1.0, 0.5, 0.25, 1 / 16, 0.3]), dtypes, seeds)
def test_roi_pool(backend, rois, output_size, scale, dtype, seed):
    boxes = np.array([(i % 2, *roi) for i, roi in enumerate(rois)], dtype).reshape(-1, 5)
    input = np.round(values(seed, dtype, 2, 2, 13, 17), 1)
    check(backend, generator(seed), "roi_pool", input, boxes, output_size, scale)


@given(shapes(least=2), dtypes, seeds, st.booleans(), st.booleans(), st.sampled_from([0.0, 100.0]))
def test_batch_norm(backend, shape, dtype, seed, training, affine, mean):
    channels = shape[1]
    assume(np.prod(shape) > 2 * channels)  # of two values, the gradient is what rounding leaves of a difference
    running = values(seed, dtype, channels), values(seed + 1, dtype, channels) ** 2 + dtype(0.1)
    input = values(seed + 2, dtype, *shape) + dtype(mean)
    more = [values(seed + i, dtype, channels) if affine else None for i in (3, 4)]
    check(backend, generator(seed), "batch_norm", input, *running, *more, training=training)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@given(shapes(least=1), dtypes, seeds, st.sampled_from([1, 30, 1e4]), st.data())
def test_softmax(backend, op, shape, dtype, seed, scale, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    check(backend, generator(seed), op, values(seed, dtype, *shape) * dtype(scale), dim, scale=1)


@given(shapes(least=1), dtypes, seeds, reductions, smoothings, st.data())
def test_cross_entropy(backend, shape, dtype, seed, reduction, smoothing, data):
    classes = shape[0] if len(shape) == 1 else shape[1]
    options = dict(reduction=reduction, label_smoothing=smoothing)
    options["weight"] = data.draw(st.sampled_from([None, values(seed + 1, dtype, classes)]))
    target = np.abs(values(seed + 2, dtype, *shape))
    if data.draw(st.booleans()):
        places = shape[1:] if len(shape) == 1 else (shape[0], *shape[2:])
        target = np.asarray(np.random.default_rng(seed).integers(0, classes, places))
        options["ignore_index"] = data.draw(st.integers(-1, classes))
    scale = 1 if classes == 1 else None
    check(backend, generator(seed), "cross_entropy", values(seed, dtype, *shape), target, scale=scale, **options)


@given(shapes(least=0), dtypes, seeds, reductions, st.data())
def test_mse_loss(backend, shape, dtype, seed, reduction, data):
    """Each of the two may lack leading dimensions, and have 1 in place of any other; not both at one place."""
    ones = data.draw(st.lists(st.sampled_from([0, 1, None]), min_size=len(shape), max_size=len(shape)))
    sides = [tuple(1 if one == side else size for size, one in zip(shape, ones, strict=True)) for side in (0, 1)]
    first = data.draw(st.integers(0, len(shape)))
    sides[1] = sides[1][first:]
    check(backend, generator(seed), "mse_loss", *(values(seed + i, dtype, *side) for i, side in enumerate(sides)),
          reduction=reduction)  # fmt: skip


# What algebra says


@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
@given(data=st.data(), seed=seeds)
def test_gradients_of_a_convolution_are_its_adjoints(backend, op, data, seed):
    """<op(x, w), y> = <x, grad_input> = <w, grad_weight>: op is linear in both."""
    shape, kernel, options = data.draw(convolutions() if op == "conv2d" else transposed_convolutions())
    x, w = values(seed, float, *shape), values(seed + 1, float, *kernel)
    out = backend(op, x, w, **options)
    y = values(seed + 2, float, *out.shape)
    found = by_fastops(backend, y, op, x, w, **options)
    product, size = (out * y).sum(), np.abs(out * y).sum() + 1
    assert abs((x * found["input"]).sum() - product) < 1e-12 * size
    assert abs((w * found["weight"]).sum() - product) < 1e-12 * size


@given(windows(), seeds, st.booleans(), divisors)
def test_the_gradient_of_avg_pool2d_is_its_adjoint(backend, window, seed, count_include_pad, divisor):
    shape, options = window
    del options["dilation"]
    options |= dict(count_include_pad=count_include_pad, divisor_override=divisor)
    x = values(seed, float, *shape)
    out = backend("avg_pool2d", x, **options)
    y = values(seed + 1, float, *out.shape)
    gradient = by_fastops(backend, y, "avg_pool2d", x, **options)["input"]
    assert abs((x * gradient).sum() - (out * y).sum()) < 1e-12 * (np.abs(out * y).sum() + 1)


@given(windows(), dtypes, seeds)
def test_max_pool2d_hands_all_of_the_gradient_on(backend, window, dtype, seed):
    shape, options = window
    input = values(seed, dtype, *shape)
    indices = backend("max_pool2d", input, **options, return_indices=True)[1]
    whole = np.asarray(generator(seed).integers(-9, 9, indices.shape), dtype)  # whose sums are exact
    gradient = by_fastops(backend, whole, "max_pool2d", input, **options)["input"]
    assert gradient.sum() == whole[indices >= 0].sum()


@pytest.mark.parametrize("op", ["relu", "sigmoid", "softmax", "batch_norm", "cross_entropy"])
@given(dtypes, seeds, st.floats(-3, 3))
def test_gradients_are_linear_in_grad_output(backend, op, dtype, seed, factor):
    arrays = {
        "softmax": (1,),
        "batch_norm": (None, None, values(seed, dtype, 5), values(seed, dtype, 5), True),
        "cross_entropy": (np.array([0, 4, 2]), None, -100, "none"),
    }.get(op, ())
    x = values(seed, dtype, 3, 5)
    one, other = (random_gradient(backend, generator(seed + i), op, x, *arrays) for i in (1, 2))
    both, first, second = (by_fastops(backend, g, op, x, *arrays) for g in (one + dtype(factor) * other, one, other))
    for name in names(op):
        apart = first[name].astype(float) + factor * second[name].astype(float)
        scale = max(np.abs(first[name]).max(), 3 * np.abs(second[name]).max(), 1e-3)
        assert_near(both[name], apart, scale=scale)
