"""The gradients of conv2d and conv_transpose2d."""

import numpy as np
import pytest
from gradients import assert_near, by_torch, check, random_gradient
from test_conv import CONV2D, CONV_TRANSPOSE2D

import fastops
from fastops.cpu.conv import blocked, direct_plan, grad_channels, grad_rows, winograd

MORE_CONV2D = [
    pytest.param((1, 3, 60, 61), (17, 3, 3, 3), {}, id="more pixels than one dot takes"),
    pytest.param((3, 3, 47, 45), (5, 3, 2, 3), dict(padding=1), id="a dot that ends with a row"),
    pytest.param((5, 4, 200, 210), (3, 4, 3, 3), dict(padding=1), id="several buffers"),
    pytest.param((1, 7, 9, 11), (18, 7, 3, 3), dict(padding=1), id="63 elements, 18 maps"),
    pytest.param((2, 34, 5, 6), (34, 17, 2, 2), dict(groups=2), id="17 channels of 2 groups"),
    pytest.param((40, 2, 3, 3), (3, 2, 3, 3), {}, id="maps of one pixel"),
    pytest.param((2, 3, 1, 40), (4, 3, 1, 5), dict(stride=(1, 3)), id="one row"),
    pytest.param((2, 3, 40, 1), (4, 3, 5, 1), dict(stride=(3, 1)), id="one column"),
    pytest.param((2, 3, 10, 12), (4, 3, 3, 3), dict(stride=2), id="a stride that leaves the last pixels out"),
    pytest.param((2, 3, 30, 31), (4, 3, 2, 2), dict(stride=7, dilation=5, padding=3), id="stride and dilation"),
    pytest.param((1, 2, 3, 40), (2, 2, 3, 3), dict(dilation=(1, 30), padding=(0, 25)), id="windows without overlap"),
]
MORE_CONV_TRANSPOSE2D = [
    pytest.param((1, 3, 60, 61), (3, 17, 3, 3), {}, id="more pixels than one dot takes"),
    pytest.param((5, 4, 100, 110), (4, 3, 3, 3), dict(stride=2), id="several buffers"),
    pytest.param((2, 34, 5, 6), (34, 17, 2, 2), dict(groups=2), id="17 channels of 2 groups"),
    pytest.param((40, 2, 1, 1), (2, 3, 3, 3), {}, id="maps of one pixel"),
    pytest.param((2, 4, 5, 6), (4, 2, 3, 3), dict(stride=3, dilation=2, groups=2, output_padding=2), id="everything"),
]


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("input, weight, options", [*CONV2D, *MORE_CONV2D])
def test_conv2d(backend, rng, normal, input, weight, options, bias):
    found = check(backend, rng, "conv2d", normal(*input), normal(*weight), normal(weight[0]) if bias else None,
                  **options)  # fmt: skip
    assert [None if array is None else array.shape for array in found.values()] == [
        input,
        weight,
        (weight[0],) if bias else None,
    ]


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("input, weight, options", [*CONV_TRANSPOSE2D, *MORE_CONV_TRANSPOSE2D])
def test_conv_transpose2d(backend, rng, normal, input, weight, options, bias):
    channels = weight[1] * options.get("groups", 1)
    check(backend, rng, "conv_transpose2d", normal(*input), normal(*weight), normal(channels) if bias else None,
          **options)  # fmt: skip


def test_by_hand(backend, dtype):
    """grad_weight is the correlation of the input with grad_output, grad_input the full one of the turned kernel."""
    input, weight = np.arange(9, dtype=dtype).reshape(1, 1, 3, 3), np.array([[[[1, 2], [3, 4]]]], dtype)
    grad_output = np.array([[[[1, 0], [0, 10]]]], dtype)
    grad_input, grad_weight, grad_bias = backend("conv2d_backward", grad_output, input, weight, np.zeros(1, dtype))
    assert grad_input.tolist() == [[[[1, 2, 0], [3, 14, 20], [0, 30, 40]]]]
    assert grad_weight.tolist() == [[[[40, 51], [73, 84]]]]
    assert grad_bias.tolist() == [11]


def test_an_empty_batch_has_gradients_of_zeros(backend, normal):
    for op, out_channels in (("conv2d", 4), ("conv_transpose2d", 3)):
        found = backend(f"{op}_backward", normal(0, out_channels, *((7, 7) if op == "conv2d" else (11, 11))),
                        normal(0, 4, 9, 9) if op == "conv_transpose2d" else normal(0, 3, 9, 9), normal(4, 3, 3, 3),
                        normal(out_channels))  # fmt: skip
        assert found[0].shape[0] == 0
        assert not found[1].any() and not found[2].any()


def test_precision_is_taken(backend, normal):
    arrays = normal(2, 4, 7, 7), normal(2, 3, 9, 9), normal(4, 3, 3, 3)
    exact = backend("conv2d_backward", *arrays, precision="exact")
    fast = backend("conv2d_backward", *arrays, precision="fast")
    for one, other in zip(exact[:2], fast[:2], strict=True):
        assert_near(one, other.astype(float), tolerance=1e-3)


@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
def test_pairs_may_be_lists_and_numpy_integers(backend, rng, normal, op):
    input, weight = normal(1, 3, 7, 8), normal(3, 3, 3, 3)
    options = dict(stride=(2, 2), padding=(1, 1), dilation=(1, 1))
    grad_output = random_gradient(backend, rng, op, input, weight, **options)
    expected = backend(f"{op}_backward", grad_output, input, weight, **options)
    for two, one in (([2, 2], [1, 1]), (np.int64(2), np.uint8(1))):
        actual = backend(f"{op}_backward", grad_output, input, weight, stride=two, padding=one, dilation=one)
        for mine, same in zip(actual[:2], expected[:2], strict=True):
            np.testing.assert_array_equal(mine, same)


# What is not finite spreads to where its window reaches, and no further. Torch multiplies it with the zeros of the
# padding, in some of its algorithms and not in others; it is deterministic about where a single 1 would spread.

NOT_FINITE = [
    pytest.param("conv2d", (2, 2, 9, 11), (3, 2, 3, 3), {}, id="conv2d"),
    pytest.param("conv2d", (2, 2, 9, 11), (3, 2, 3, 3), dict(padding=1), id="conv2d, padding"),
    pytest.param("conv2d", (2, 2, 10, 12), (3, 2, 3, 3), dict(stride=2), id="conv2d, pixels left out"),
    pytest.param("conv2d", (2, 2, 9, 11), (3, 2, 3, 3), dict(stride=2, padding="same"), id="conv2d, same"),
    pytest.param("conv2d", (2, 2, 9, 11), (3, 2, 3, 3), dict(dilation=2), id="conv2d, dilation"),
    pytest.param("conv2d", (2, 4, 9, 11), (6, 2, 3, 3), dict(groups=2, padding=1), id="conv2d, groups"),
    pytest.param("conv2d", (2, 4, 9, 11), (4, 1, 3, 3), dict(groups=4), id="conv2d, depthwise"),
    pytest.param("conv2d", (2, 3, 9, 11), (4, 3, 1, 1), {}, id="conv2d, k1"),
    pytest.param("conv_transpose2d", (2, 3, 5, 6), (3, 2, 3, 3), {}, id="conv_transpose2d"),
    pytest.param("conv_transpose2d", (2, 3, 5, 6), (3, 2, 3, 3), dict(stride=2, padding=1), id="transposed, padding"),
    pytest.param("conv_transpose2d", (2, 3, 5, 6), (3, 2, 2, 2), dict(stride=3), id="transposed, holes"),
    pytest.param("conv_transpose2d", (2, 4, 5, 6), (4, 2, 3, 3), dict(groups=2, padding=1), id="transposed, groups"),
]


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("which", ["input", "grad_output"])
@pytest.mark.parametrize("op, input, weight, options", NOT_FINITE)
def test_what_is_not_finite_stays_in_its_window(backend, rng, normal, op, input, weight, options, which, where):
    x, w = normal(*input), normal(*weight)
    b = normal(weight[0] if op == "conv2d" else weight[1] * options.get("groups", 1))
    arrays = {"grad_output": random_gradient(backend, rng, op, x, w, b, **options), "input": x}
    hit = arrays[which]
    place = tuple({"first": 0, "middle": size // 2, "last": size - 1}[where] for size in hit.shape)
    hit[place] = 0
    rest = by_torch(arrays["grad_output"], op, x, w, b, **options)
    alone = {**arrays, which: np.zeros_like(hit)}
    alone[which][place] = 1
    spread = by_torch(alone["grad_output"], op, alone["input"], w, b, **options)
    if which == "input":  # of which these two are no functions
        spread |= {name: np.zeros(rest[name].shape) for name in ("input", "bias")}
    for value in (np.nan, np.inf, -np.inf):
        hit[place] = value
        actual = backend(f"{op}_backward", arrays["grad_output"], x, w, b, **options)
        for name, mine in zip(rest, actual, strict=True):
            with np.errstate(invalid="ignore"):
                assert_near(mine, np.where(spread[name] != 0, value * np.sign(spread[name]), rest[name]))


@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_torchs_without_padding(backend, rng, normal, op, which, value):
    x, w, b = normal(2, 3, 7, 8), normal(3, 3, 2, 3), normal(3)
    grad_output = random_gradient(backend, rng, op, x, w, b, stride=2)
    for array in (grad_output, x)[which:]:
        array[rng.random(array.shape) < 0.01] = value
    check(backend, rng, op, x, w, b, grad_output=grad_output, stride=2)


@pytest.mark.parametrize("channels", [3, 16, 40], ids="{} channels".format)
@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
def test_images_that_no_buffer_holds_together(backend, rng, normal, monkeypatch, op, channels):
    """The forward and the gradients, one image at a time."""
    for module in (blocked, direct_plan, grad_channels, grad_rows, winograd):
        monkeypatch.setattr(module, "BUFFER_BYTES", 1)
    x, w, b = normal(3, channels, 9, 11), normal(channels, channels, 3, 3), normal(channels)
    check(backend, rng, op, x, w, b, padding=1)
    check(backend, rng, op, x, w, b, stride=2)


# Numbers


@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
def test_sums_of_many_pixels_keep_their_digits(backend, op):
    """200 000 products of 1 + 1e-4 steps: the sum that one float32 accumulator makes is off in the fourth digit."""
    rng = np.random.default_rng(0)
    grad_output, input = (rng.random((2, 1, 320, 320), np.float32) + np.float32(1) for _ in range(2))
    weight = np.ones((1, 1, 1, 1), np.float32)
    _, grad_weight, grad_bias = backend(f"{op}_backward", grad_output, input, weight, np.ones(1, np.float32))
    np.testing.assert_allclose(grad_weight, (grad_output.astype(float) * input).sum().reshape(1, 1, 1, 1), rtol=1e-6)
    np.testing.assert_allclose(grad_bias, grad_output.sum(dtype=float).reshape(1), rtol=1e-6)


@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
def test_exact_is_within_four_times_torchs_own_error(backend, rng, op):
    torch = pytest.importorskip("torch")
    x, w = rng.standard_normal((4, 32, 14, 14)), rng.standard_normal((32, 32, 3, 3))
    x, w = x.astype(np.float32), w.astype(np.float32)
    grad_output = random_gradient(backend, rng, op, x, w, padding=1)
    exact = by_torch(grad_output, op, x, w, padding=1)
    leaves = [torch.tensor(array, requires_grad=True) for array in (x, w)]
    result = getattr(torch.nn.functional, op)(*leaves, padding=1)
    theirs = torch.autograd.grad(result, leaves, torch.tensor(grad_output))
    ours = backend(f"{op}_backward", grad_output, x, w, padding=1)
    for name, our, their in zip(("input", "weight"), ours, theirs, strict=False):
        error = np.abs(their.numpy() - exact[name]).max()
        assert np.abs(our - exact[name]).max() <= 4 * error


def test_channels_of_nothing():
    """torch refuses a weight without input channels; where fastops takes one, its gradients are empty and zero."""
    input, weight = np.zeros((2, 0, 5, 5), np.float32), np.zeros((3, 0, 3, 3), np.float32)
    grad_output = np.ones((2, 3, 3, 3), np.float32)
    found = fastops.conv2d_backward(grad_output, input, weight, np.zeros(3, np.float32))
    assert found[0].shape == input.shape and found[1].shape == weight.shape and found[2].tolist() == [18, 18, 18]
