"""Uneven padding, ((top, bottom), (left, right)): the same as numpy.pad and then none, by every algorithm."""

import numpy as np
import oracle
import pytest
from agreement import assert_close
from conftest import SIMULATED
from gradients import assert_near

import fastops
from fastops import _jit, _shapes, cpu, nn
from fastops.cpu.conv import blocked, depthwise, direct, winograd
from fastops.nn import mindspore

PADDINGS = [((0, 1), (0, 1)), ((1, 0), (1, 0)), ((0, 3), (2, 0)), ((2, 0), (0, 5)), ((4, 1), (0, 0)), ((1, 1), (2, 2))]
LAYERS = [
    # input, weight, options
    pytest.param((2, 3, 9, 11), (5, 3, 3, 3), {}, id="3x3"),
    pytest.param((3, 9, 11), (5, 3, 2, 4), dict(stride=(2, 3)), id="one image, stride"),
    pytest.param((2, 3, 9, 11), (5, 3, 3, 2), dict(dilation=(2, 3)), id="dilation"),
    pytest.param((1, 4, 9, 11), (6, 2, 3, 3), dict(groups=2, stride=2, dilation=2), id="groups"),
    pytest.param((1, 4, 9, 11), (4, 1, 3, 3), dict(groups=4), id="depthwise 3x3"),
    pytest.param((1, 4, 9, 11), (8, 1, 3, 3), dict(groups=4, stride=2), id="depthwise 3x3, stride 2"),
    pytest.param((1, 4, 9, 11), (4, 1, 5, 5), dict(groups=4), id="depthwise 5x5"),
    pytest.param((1, 4, 9, 11), (4, 1, 5, 5), dict(groups=4, stride=2), id="depthwise 5x5, stride 2"),
    pytest.param((2, 3, 9, 11), (4, 3, 1, 1), dict(stride=2), id="1x1"),
    pytest.param((2, 3, 6, 7), (4, 3, 6, 7), {}, id="kernel of the image's size"),
    pytest.param((2, 3, 6, 7), (4, 3, 6, 7), dict(stride=9), id="kernel of the image's size, one window"),
    pytest.param((1, 64, 14, 20), (64, 64, 3, 3), {}, id="64 channels"),
    pytest.param((1, 64, 14, 20), (64, 64, 3, 3), dict(precision="fast"), id="64 channels, fast"),
]


def padded(input, padding, **options):
    return np.pad(input, [(0, 0)] * (input.ndim - 2) + [*padding], **options)


def without(gradient, padding):
    """The gradient of an image, of that of the padded one."""
    (top, _), (left, _) = padding
    height, width = (size - sum(sides) for size, sides in zip(gradient.shape[-2:], padding, strict=True))
    return gradient[..., top : top + height, left : left + width]


@pytest.mark.parametrize("padding", PADDINGS, ids=str)
@pytest.mark.parametrize("input, weight, options", LAYERS)
def test_conv2d(backend, normal, input, weight, options, padding):
    arrays = normal(*input), normal(*weight), normal(weight[0])
    out = backend("conv2d", *arrays, padding=padding, **options)
    assert_close(out, backend("conv2d", padded(arrays[0], padding), *arrays[1:], **options))


@pytest.mark.parametrize("padding", PADDINGS, ids=str)
@pytest.mark.parametrize("input, weight, options", LAYERS)
def test_conv2d_backward(backend, normal, input, weight, options, padding):
    arrays = normal(*input), normal(*weight), normal(weight[0])
    image = padded(arrays[0], padding)
    grad_output = normal(*np.shape(backend("conv2d", image, *arrays[1:], **options)))
    mine = backend("conv2d_backward", grad_output, *arrays, padding=padding, **options)
    theirs = backend("conv2d_backward", grad_output, image, *arrays[1:], **options)
    for gradient, expected in zip(mine, (without(theirs[0], padding), *theirs[1:]), strict=True):
        assert_near(gradient, expected)


ALGORITHMS = {
    "direct": direct.convolve,
    "blocked": blocked.convolve,
    "depthwise": depthwise.convolve,
    "winograd 2x2": winograd.CONVOLVE[2],
    "winograd 4x4": winograd.CONVOLVE[4],
}


@pytest.mark.skipif(SIMULATED, reason="the CPU's")
@pytest.mark.parametrize("build", ["parallel", "serial"])
@pytest.mark.parametrize("padding", PADDINGS, ids=str)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm(normal, dtype, monkeypatch, algorithm, padding, build):
    channels, groups = (6, 6) if algorithm == "depthwise" else (20, 1)
    input, weight, bias = normal(2, channels, 9, 30), normal(channels, channels // groups, 3, 3), normal(channels)
    g = _shapes.conv2d("conv2d", input.shape, weight.shape, bias.shape, 1, padding, 1, groups)
    able = {
        "depthwise": lambda g, t: depthwise.suits(g, t),
        "winograd": lambda g, t: winograd.suits(g, t, dtype().itemsize),
    }
    suits = able.get(algorithm.partition(" ")[0], lambda g, t: True)
    if not suits(g, False):
        pytest.skip("not on this machine")
    monkeypatch.setattr(
        cpu.conv,
        "choose",
        lambda g, transposed, *rest: ALGORITHMS[algorithm] if suits(g, transposed) else direct.convolve,
    )
    options = dict(padding=padding, groups=groups)
    with _jit.only(build):
        assert_close(fastops.conv2d(input, weight, bias, **options), oracle.conv2d(input, weight, bias, **options))
        grad_output = normal(*g.output)
        mine = fastops.conv2d_backward(grad_output, input, weight, **options)[0]
    image = padded(input, padding)
    theirs = fastops.conv2d_backward(
        grad_output.astype(float), image.astype(float), weight.astype(float), groups=groups
    )
    assert_near(mine, without(theirs[0], padding))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("channels", [2, 20])
def test_what_is_not_finite_meets_no_padding(backend, normal, value, channels):
    """Neither a pixel beyond its window, nor a weight that lies beyond the image."""
    input, weight, padding = normal(1, channels, 7, 8), normal(3, channels, 3, 3), ((0, 2), (0, 1))
    weight[1, 0, 2, 1] = value
    out = backend("conv2d", input, weight, padding=padding)
    assert (
        np.isfinite(out[:, [0, 2]]).all() and np.isfinite(out[0, 1, -2:]).all() and not np.isfinite(out[0, 1, 0]).any()
    )


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_the_layer_of_a_convolution(normal, dtype, mode):
    padding, spelled = ((0, 2), (3, 1)), {"zeros": "constant", "replicate": "edge", "circular": "wrap"}
    mine = nn.Conv2d(3, 4, 3, stride=2, padding=padding, padding_mode=mode, dtype=dtype, rng=1)
    plain = nn.Conv2d(3, 4, 3, stride=2, dtype=dtype, rng=1)
    input = normal(2, 3, 9, 10)
    output, expected = mine(input), plain(padded(input, padding, mode=spelled.get(mode, mode)))
    assert_close(output, expected)
    grad = normal(*output.shape)
    mine.backward(grad), plain.backward(grad)
    assert_near(mine.weight.grad, plain.weight.grad)
    assert "padding=((0, 2), (3, 1))" in repr(mine)


def test_even_padding_may_be_spelled_as_uneven():
    layer = nn.Conv2d(3, 4, 3, padding=((1, 1), (2, 2)))
    assert layer.padding == (1, 2) and repr(layer) == repr(nn.Conv2d(3, 4, 3, padding=[1, 2]))
    assert "padding" not in repr(nn.Conv2d(3, 4, 3, padding=((0, 0), [0, 0])))


@pytest.mark.parametrize("layer", [nn.MaxPool2d, nn.AvgPool2d])
def test_the_layers_of_pools(normal, layer):
    padding = ((0, 1), (1, 0))
    mine, function = layer(3, stride=2, padding=padding), layer.__name__.replace("Pool2d", "_pool2d").lower()
    input = normal(2, 3, 9, 10)
    assert_close(mine(input), getattr(oracle, function)(input, 3, 2, padding))
    assert mine.backward(normal(*mine(input).shape)).shape == input.shape
    assert "padding=((0, 1), (1, 0))" in repr(mine)


def test_mindspore_takes_four_paddings(normal, dtype):
    mine = mindspore.Conv2d(3, 4, 3, pad_mode="pad", padding=(0, 2, 3, 1), dtype=dtype, rng=1)
    input = normal(2, 3, 9, 10)
    assert_close(mine(input), fastops.conv2d(input, mine.weight.data, padding=((0, 2), (3, 1))), exact=True)


def test_numpy_integers_and_lists(normal):
    input, weight = normal(1, 2, 6, 7), normal(3, 2, 3, 3)
    expected = fastops.conv2d(input, weight, padding=((0, 1), (2, 0)))
    for padding in ([[0, 1], [2, 0]], ([0, 1], (2, 0)), tuple(map(tuple, np.array([[0, 1], [2, 0]])))):
        assert_close(fastops.conv2d(input, weight, padding=padding), expected, exact=True)


@pytest.mark.parametrize("make", [nn.Conv2d, mindspore.Conv2d])
def test_a_layer_refuses_mixed_forms(make):
    pad = dict(pad_mode="pad") if make is mindspore.Conv2d else {}
    with pytest.raises(ValueError, match="^Conv2d: padding expects an int"):
        make(3, 4, 3, padding=(1, (1, 0)), **pad)
