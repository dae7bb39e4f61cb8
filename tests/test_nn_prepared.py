"""Convolution layers in evaluation keep transformed weights, and never answer by weights that are no longer theirs."""

import copy
import pickle

import numpy as np
import pytest
from agreement import assert_close

import fastops
from fastops import _jit, nn

X = np.random.default_rng(3).standard_normal((1, 64, 14, 14)).astype(np.float32)


def conv2d() -> nn.Conv2d:
    return nn.Conv2d(64, 64, 3, padding=1, rng=0)


def transposed() -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(64, 64, 4, stride=2, padding=1, rng=0)


@pytest.fixture(params=[conv2d, transposed], ids=["conv2d", "conv_transpose2d"])
def layer(request):
    made = request.param().eval()
    made(X)
    return made


def expected(layer):
    weight, bias = layer.weight.data.copy(), layer.bias.data.copy()
    if isinstance(layer, nn.Conv2d):
        return fastops.conv2d(X, weight, bias, padding=1)
    return fastops.conv_transpose2d(X, weight, bias, stride=2, padding=1)


def kept(layer) -> list[int]:
    """The transformed weights that the layer has now."""
    return [id(array) for array in layer._kept[2].values()] if layer._kept else []


def test_transformed_weights_are_kept(layer):
    before, winograd = kept(layer), _jit.VECTOR_BYTES > 16  # which needs AVX, and is what conv2d transforms weights for
    layer(X)
    assert len(before) == int(winograd or isinstance(layer, nn.ConvTranspose2d)) and kept(layer) == before
    assert_close(layer(X), expected(layer))


def test_training_keeps_none(layer):
    layer.train()(X)
    assert kept(layer) == []


def test_a_change_in_place_is_seen(layer):
    layer.weight.data[...] *= 2
    assert_close(layer(X), expected(layer))
    layer.weight.data -= 0.5
    assert_close(layer(X), expected(layer))


def test_a_change_through_an_array_or_a_view_held_from_before_is_seen(layer):
    whole, part = layer.weight.data, layer.weight.data[3]
    layer(X)
    whole *= 3
    assert_close(layer(X), expected(layer))
    del whole
    layer(X)
    part += 1
    assert_close(layer(X), expected(layer))


def test_a_change_through_a_tensor_of_torch_is_seen(layer):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(layer.weight.data)
    layer(X)
    tensor.mul_(-1)
    assert_close(layer(X), expected(layer))


def test_a_new_array_is_seen(layer):
    layer.weight.data = layer.weight.data + 1
    assert_close(layer(X), expected(layer))
    layer.load_state_dict({name: 2 * array for name, array in layer.state_dict().items()})
    assert_close(layer(X), expected(layer))


def test_an_array_of_the_users_own_is_not_trusted():
    own = conv2d().weight.data
    layer = conv2d().eval()
    layer.weight = nn.Parameter(own)
    layer(X)
    assert kept(layer) == []
    own *= 2
    assert_close(layer(X), expected(layer))


def test_another_parameter_is_seen(layer):
    layer.weight = nn.Parameter(layer.weight.data * 5)
    assert_close(layer(X), expected(layer))


def test_another_size_of_image_has_the_same_weights(layer):
    weight, small = layer.weight.data.copy(), X[..., :6, :5].copy()
    if isinstance(layer, nn.Conv2d):
        assert_close(layer(small), fastops.conv2d(small, weight, layer.bias.data, padding=1))
    else:
        assert_close(layer(small), fastops.conv_transpose2d(small, weight, layer.bias.data, stride=2, padding=1))


def test_another_dtype_is_seen(layer):
    layer.to(np.float64)
    assert layer(X.astype(np.float64)).dtype == np.float64


@pytest.mark.parametrize(
    "twin", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["copy", "pickle"]
)
def test_a_copy_keeps_its_own(layer, twin):
    other = twin(layer)
    other.weight.data[...] *= 2
    assert_close(other(X), expected(other))
    assert_close(layer(X), expected(layer))
