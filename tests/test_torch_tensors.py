"""fastops.torch's functions: memory, layouts and kinds of tensors, and what they refuse."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
import torch_operators as reference  # noqa: E402
from torch_calls import CALLS, FIRST, options_of, result, tensors_of  # noqa: E402

import fastops  # noqa: E402
import fastops.torch as ops  # noqa: E402
from fastops.yardstick.operators import TABLE  # noqa: E402


def test_no_copies(monkeypatch):
    seen = []
    monkeypatch.setattr(ops.elementwise._relu, "_compute", lambda x: seen.append(x) or fastops.relu(x))
    x = torch.randn(4, 5)
    ops.relu(x)
    assert seen[0].__array_interface__["data"][0] == x.data_ptr()


LAYOUTS = {
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
    "sliced": lambda x: torch.cat([x, x], 3)[..., : x.shape[3]],
    "reversed": lambda x: x.flip(3).flip(3).transpose(2, 3).contiguous().transpose(2, 3),
    "expanded": lambda x: x[:, :1].expand(x.shape),
    "negative": lambda x: torch.complex(x, -x).conj().imag,
    "requires grad": lambda x: x.clone().requires_grad_(),
    "parameter": torch.nn.Parameter,
    "empty": lambda x: x[:0],
}


@pytest.mark.parametrize("name", ["conv2d", "max_pool2d", "avg_pool2d", "relu", "softmax", "batch_norm", "dropout"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(name, layout):
    call = next(each for each in CALLS if each.op == name and len(each.makers["input"].shape) == 4)
    tensors, options = tensors_of(call), options_of(call)
    tensors["input"] = LAYOUTS[layout](tensors["input"])
    assert layout != "negative" or tensors["input"].is_neg()
    made = result(getattr(ops, name)(**tensors, **options))
    tensors["input"] = torch.from_numpy(tensors["input"].detach().resolve_neg().numpy().copy())
    torch.testing.assert_close(made, result(getattr(ops, name)(**tensors, **options)), rtol=0, atol=0)
    assert made.is_contiguous()


@pytest.mark.parametrize("name", ["relu", "sigmoid", "silu", "clamp", "leaky_relu"])
def test_no_dimensions(name):
    options = {"min": 0.0} if name == "clamp" else {}
    assert getattr(ops, name)(torch.tensor(2.0), **options).shape == ()


NOT_OURS = [operator.name for operator in TABLE if operator.name not in ("roi_pool",)]


@pytest.mark.parametrize("name", NOT_OURS)
@pytest.mark.parametrize("kind", ["bfloat16", "meta"])
def test_other_tensors_are_torchs(name, kind):
    call = next(each for each in FIRST if each.op == name)
    tensors, options = tensors_of(call, np.float32), options_of(call)
    options.pop("rng", None)
    floats = {k: v for k, v in tensors.items() if v.is_floating_point()}
    tensors |= {k: v.bfloat16() if kind == "bfloat16" else v.to("meta") for k, v in floats.items()}
    if kind == "meta":
        tensors = {k: v.to("meta") for k, v in tensors.items()}
    torch.manual_seed(0)
    made = result(getattr(ops, name)(**tensors, **options))
    torch.manual_seed(0)
    own = (
        torch.flatten
        if name == "flatten"
        else torch.clamp
        if name == "clamp"
        else torch.sigmoid
        if name == "sigmoid"
        else getattr(F, name, F.cross_entropy)
    )
    if name == "softmax_cross_entropy_with_logits":
        options["reduction"] = "none"
    expected = result(own(*tensors.values(), **options) if name == "clamp" else own(**rename(name, tensors), **options))
    assert made.dtype == expected.dtype and made.device == expected.device and made.shape == expected.shape
    if kind == "bfloat16":
        torch.testing.assert_close(made, expected, rtol=0, atol=0)


def rename(name, tensors):
    names = {"logits": "input", "labels": "target"}
    return {names.get(each, each): value for each, value in tensors.items()}


def test_refusals_name_the_function():
    half = torch.ones(1, 1, 4, 4, dtype=torch.bfloat16)
    with pytest.raises(TypeError, match="roi_pool: input and boxes expect CPU tensors"):
        ops.roi_pool(half, torch.zeros(1, 5), 2)
    with pytest.raises(TypeError, match="dropout: input expects a CPU tensor .* got torch.bfloat16 on cpu"):
        ops.dropout(half, rng=3)
    for name in ("max_pool2d", "avg_pool2d"):
        with pytest.raises(TypeError, match=f"{name}: input expects a CPU tensor .* where padding is uneven"):
            getattr(ops, name)(half, 2, padding=((0, 1), (1, 0)))
    with pytest.raises(ValueError, match="conv2d: weight expects 4 input channels per group"):
        ops.conv2d(torch.ones(1, 4, 5, 5), torch.ones(2, 3, 1, 1))
    with pytest.raises(ValueError, match="cross_entropy: target expects class numbers from 0 to 1, got 2"):
        ops.cross_entropy(torch.ones(1, 2), torch.tensor([2]))


def test_autocast_is_torchs():
    x, w = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3)
    with torch.autocast("cpu"):
        assert ops.conv2d(x, w).dtype == torch.bfloat16


def test_uneven_padding_and_same_with_a_stride():
    x, w = torch.randn(1, 2, 6, 7), torch.randn(3, 2, 3, 3)
    for padding in (((1, 0), (2, 1)), "same"):
        made = ops.conv2d(x, w, stride=2, padding=padding)
        torch.testing.assert_close(made, reference.conv2d(x, w, None, 2, padding, 1, 1), rtol=1e-4, atol=1e-5)
    half = ops.conv2d(x.bfloat16(), w.bfloat16(), padding=((1, 0), (2, 1)))
    assert half.shape == (1, 3, 5, 8) and half.dtype == torch.bfloat16


def test_dropout_follows_its_seeds():
    x = torch.ones(1000)
    np.testing.assert_array_equal(ops.dropout(x, rng=7).numpy(), fastops.dropout(x.numpy(), rng=7))
    torch.manual_seed(1)
    first, second = ops.dropout(x), ops.dropout(x)
    torch.manual_seed(1)
    assert torch.equal(ops.dropout(x), first) and not torch.equal(first, second)
    assert ops.dropout(x, training=False) is x
    assert ops.dropout(x, 0.5, True, True) is x and 0 < int((x == 0).sum()) < 1000


def test_in_place_is_torchs():
    for name in ("relu", "relu6", "silu", "hardsigmoid", "hardswish", "leaky_relu"):
        x = torch.randn(5)
        expected = getattr(F, name)(x)
        assert getattr(ops, name)(x, inplace=True) is x
        torch.testing.assert_close(x, expected)
