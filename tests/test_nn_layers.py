"""Each layer beside torch.nn's with the same weights: outputs, gradients, all constructor options."""

import warnings

import numpy as np
import pytest

import fastops
from fastops import nn

torch = pytest.importorskip("torch")

from torch_layers import assert_near, twins  # noqa: E402 - it needs torch


def case(name: str, *args, shape: tuple[int, ...] = (2, 4, 9, 10), **options):
    text = ", ".join([*map(str, args), *(f"{key}={value}" for key, value in options.items())])
    return pytest.param(name, args, options, shape, id=f"{name}({text})")


CONVOLUTIONS = [
    case("Conv2d", 4, 6, 3),
    case("Conv2d", 4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
    case("Conv2d", 4, 6, 3, 2, 1, 1, 2, False),
    case("Conv2d", 4, 8, 3, groups=4),
    case("Conv2d", 4, 6, 3, padding="same"),
    case("Conv2d", 4, 6, (2, 4), padding="same", dilation=(3, 1)),
    case("Conv2d", 4, 6, 3, padding="valid", bias=False),
    case("Conv2d", 4, 6, 3, shape=(4, 9, 10)),
    case("Conv2d", 4, 6, 3, shape=(0, 4, 9, 10)),
    *(
        case("Conv2d", 4, 6, 3, padding_mode=mode, **options)
        for mode in ("reflect", "replicate", "circular")
        for options in (
            dict(padding=1),
            dict(padding=(0, 2), stride=2, groups=2),
            dict(padding=(8, 9), bias=False),
            dict(padding=2, dilation=2, shape=(4, 9, 10)),
            dict(padding="same", dilation=(1, 2)),
            dict(padding="valid"),
        )
    ),
    case("Conv2d", 4, 6, (4, 2), padding="same", padding_mode="reflect"),
    case("Conv2d", 4, 6, (4, 2), padding="same", padding_mode="circular"),
    case("Conv2d", 4, 6, 3, padding=(9, 10), padding_mode="circular"),
    case("Conv2d", 4, 6, 3, padding=(20, 30), padding_mode="replicate"),
    case("ConvTranspose2d", 4, 6, 3),
    case("ConvTranspose2d", 4, 6, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2), dilation=(1, 2)),
    case("ConvTranspose2d", 4, 6, 3, 2, 1, 1, 2, False, 1, "zeros"),
    case("ConvTranspose2d", 4, 6, 3, shape=(4, 9, 10)),
]
OTHERS = [
    case("MaxPool2d", 2),
    case("MaxPool2d", (3, 2), (2, 1), (1, 0), (1, 2), ceil_mode=True),
    case("MaxPool2d", 3, stride=2, padding=1, shape=(4, 9, 10)),
    case("AvgPool2d", 2),
    case("AvgPool2d", (3, 2), (2, 1), (1, 0), True, False),
    case("AvgPool2d", 3, stride=2, padding=1, divisor_override=5),
    case("AdaptiveAvgPool2d", 1),
    case("AdaptiveAvgPool2d", (4, None), shape=(4, 9, 10)),
    case("Upsample", (7, 23)),
    case("Upsample", scale_factor=2, mode="bilinear"),
    case("Upsample", scale_factor=(1.5, 0.7), mode="bilinear", align_corners=True),
    case("ReLU"),
    case("ReLU", shape=(7,)),
    case("Sigmoid"),
    case("ReLU6"),
    case("Hardtanh"),
    case("Hardtanh", -0.5, 0.25),
    case("Hardtanh", 0.0, 2.0),
    case("LeakyReLU"),
    case("LeakyReLU", 0.2),
    case("PReLU"),
    case("PReLU", 4),
    case("PReLU", num_parameters=4, init=-0.5, shape=(9, 4)),
    case("PReLU", shape=(7,)),
    case("SiLU"),
    case("Hardswish"),
    case("GELU"),
    case("GELU", "tanh"),
    case("Softmax", 1),
    case("Softmax", dim=-1),
    case("Dropout", 0.0),
    case("Dropout", 1.0),
    case("Flatten"),
    case("Flatten", 0, -1),
    case("Flatten", 1, 2),
    case("Linear", 10, 3),
    case("Linear", 10, 3, False, shape=(5, 10)),
    case("Linear", 10, 3, shape=(10,)),
    case("Linear", 10, 3, shape=(0, 10)),
]
TRACKING = [dict(track_running_stats=True), dict(track_running_stats=False)]
BATCH_NORMS = [
    case(name, 4, **affine, **momentum, **tracking, shape=shape)
    for name, shape in (("BatchNorm2d", (3, 4, 5, 6)), ("BatchNorm1d", (8, 4)))
    for affine in ({}, dict(affine=False), dict(bias=False))
    for momentum in ({}, dict(momentum=None), dict(momentum=0.7))
    for tracking in TRACKING
] + [
    case("BatchNorm1d", 4, 0.1, shape=(5, 4, 7)),
    case("BatchNorm2d", 4, 1e-3, 0.3, False, False, shape=(5, 4, 7, 3)),
]


@pytest.fixture(autouse=True)
def no_warning_of_torchs():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel", category=UserWarning)
        yield


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("name", "args", "options", "shape"), CONVOLUTIONS + OTHERS)
def test_outputs_and_gradients_are_torchs(normal, rng, dtype, name, args, options, shape, training):
    twins(name, *args, dtype=dtype, **options).train(training).agree(normal(*shape), rng=rng)


@pytest.mark.parametrize(("name", "args", "options", "shape"), BATCH_NORMS)
def test_batch_norm_is_torchs_in_ten_steps_of_training_and_after(normal, rng, dtype, name, args, options, shape):
    both = twins(name, *args, dtype=dtype, **options)
    for _ in range(10):
        both.agree(normal(*shape) * 3 + 5, rng=rng)
        for mine, theirs in zip(both.mine.parameters(), both.theirs.parameters(), strict=True):
            mine.data -= 0.1 * mine.grad
            theirs.data -= 0.1 * theirs.grad
    both.train(False).agree(normal(*shape) * 3 + 5, rng=rng)
    both.train().agree(normal(*shape), rng=rng)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert (getattr(both.mine, name) is None) == (getattr(both.theirs, name) is None)


def test_batch_norm_takes_one_more_step_of_the_mean_after_a_reset(normal, rng, dtype):
    both = twins("BatchNorm2d", 3, momentum=None, dtype=dtype)
    both.agree(normal(2, 3, 4, 4), rng=rng)
    both.mine.reset_running_stats()
    both.theirs.reset_running_stats()
    both.agree(normal(2, 3, 4, 4) + 3, rng=rng)


@pytest.mark.parametrize("name", ["weight", "bias", "running_mean"])
def test_batch_norm_that_fails_is_unchanged(name):
    layer = nn.BatchNorm2d(3, momentum=None)
    before = layer.state_dict()[name]
    for bad in (np.ones((2, 3, 4), np.float32), np.ones((2, 3, 4, 4)), np.ones((1, 3, 1, 1), np.float32), [1.0]):
        with pytest.raises((TypeError, ValueError)):
            layer(bad)
    np.testing.assert_array_equal(layer.state_dict()[name], before)
    assert layer.num_batches_tracked == 0


@pytest.mark.parametrize("size", [(20, 17), (19, 18), [2, 6, 20, 18]], ids=str)
def test_conv_transpose_of_a_given_output_size(normal, rng, dtype, size):
    both = twins("ConvTranspose2d", 4, 6, 3, stride=2, padding=(0, 1), dtype=dtype)
    input = normal(2, 4, 9, 9)
    output, expected = both.mine(input, output_size=size), both.theirs(torch.from_numpy(input), output_size=list(size))
    assert_near(output, expected.detach().numpy())
    grad = normal(*output.shape)
    expected.backward(torch.from_numpy(grad))
    both.mine.backward(grad)
    assert_near(both.mine.weight.grad, both.theirs.weight.grad.numpy())


def test_max_pool_returns_indices(normal, dtype):
    input = normal(2, 3, 8, 8)
    for training in (True, False):
        layer = nn.MaxPool2d(3, 2, return_indices=True).train(training)
        theirs = torch.nn.MaxPool2d(3, 2, return_indices=True)(torch.from_numpy(input))
        for mine, expected in zip(layer(input), theirs, strict=True):
            np.testing.assert_array_equal(mine, expected.numpy())
        assert layer.backward(np.ones((2, 3, 3, 3), dtype)).sum() == 2 * 3 * 9


def test_hardsigmoid_is_the_function(normal):
    """torch's gradient in float64 is a sixth of float32."""
    input, grad, layer = normal(5, 40) * 3, normal(5, 40), nn.Hardsigmoid()
    np.testing.assert_array_equal(layer(input), fastops.hardsigmoid(input))
    np.testing.assert_array_equal(layer.backward(grad), fastops.hardsigmoid_backward(grad, input))
    assert repr(layer) == repr(torch.nn.Hardsigmoid())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "args"), [("ReLU6", ()), ("Hardtanh", (-0.1, 0.1))])
def test_at_the_bounds_of_an_activation_is_no_gradient(dtype, name, args):
    layer, low, high = getattr(nn, name)(*args), *(args or (0, 6))
    x = np.array([low, np.nextafter(dtype(low), dtype(9)), np.nextafter(dtype(high), dtype(-9)), high], dtype)
    layer(x)
    assert layer.backward(np.ones(4, dtype)).tolist() == [0, 1, 1, 0]


def test_roi_pool_is_the_function(normal, dtype):
    input, boxes = normal(2, 3, 12, 12), np.array([[0, 0, 0, 9, 7], [1, 2, 3, 20, 20], [0, 4, 4, 4, 4]], dtype)
    layer = nn.RoIPool((3, 2), 0.5)
    output, grad = layer(input, boxes), normal(3, 3, 3, 2)
    np.testing.assert_array_equal(output, fastops.roi_pool(input, boxes, (3, 2), 0.5))
    expected = fastops.roi_pool_backward(grad, input, boxes, (3, 2), 0.5)
    np.testing.assert_array_equal(layer.backward(grad), expected)
    per_image = [boxes[[0, 2], 1:], boxes[[1], 1:]]
    np.testing.assert_array_equal(layer(input, per_image), output[[0, 2, 1]])


# ------------------------------------------------------------------------------------------------------- dropout


def test_dropout_draws_a_new_mask_each_time_and_takes_it_back(dtype):
    layer, ones = nn.Dropout(0.3, rng=5), np.ones((50, 40), dtype)
    first = layer(ones)
    np.testing.assert_array_equal(layer.backward(ones), first)
    second = layer(ones)
    assert (first != second).any()
    np.testing.assert_array_equal(layer.backward(ones), second)
    assert set(np.unique(first)) == {0, dtype(1 / 0.7)}
    assert 0.25 < (first == 0).mean() < 0.35
    np.testing.assert_array_equal(nn.Dropout(0.3, rng=5)(ones), first)
    layer.eval()
    assert layer(ones) is ones and layer.backward(ones) is ones


@pytest.mark.parametrize(
    "bad", [np.ones((3, 2)), np.ones((2, 3), np.float32), [1.0], None], ids=["shape", "dtype", "list", "None"]
)
def test_dropout_refuses_other_gradients(bad):
    layer = nn.Dropout(rng=1)
    layer(np.ones((2, 3)))
    with pytest.raises((ValueError, TypeError), match="^Dropout: grad_output expects"):
        layer.backward(bad)


# ------------------------------------------------------------------------------------------- how layers look


@pytest.mark.parametrize(("name", "args", "options", "shape"), CONVOLUTIONS + OTHERS + BATCH_NORMS)
def test_repr_is_torchs(name, args, options, shape):
    both = twins(name, *args, **options)
    assert repr(both.mine) == repr(both.theirs)


@pytest.mark.parametrize("name", ["ReLU6", "Hardtanh", "LeakyReLU", "SiLU", "Hardsigmoid", "Hardswish"])
def test_repr_in_place_is_torchs(name):
    assert repr(getattr(nn, name)(inplace=True)) == repr(getattr(torch.nn, name)(inplace=True))


def test_repr_of_layers_in_layers():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Sequential({"fc": nn.Linear(2, 3)}), nn.Sequential())
    inner = torch.nn.Sequential()
    inner.add_module("fc", torch.nn.Linear(2, 3))
    assert repr(model) == repr(torch.nn.Sequential(torch.nn.ReLU(inplace=True), inner, torch.nn.Sequential()))
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss()"
    assert repr(nn.Linear(2, 3).weight) == "Parameter(shape=(3, 2), dtype=float32)"
