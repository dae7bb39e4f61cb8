"""The losses of fastops.nn beside torch.nn's, and the layers as MindSpore spells them."""

import numpy as np
import pytest

import fastops
from fastops import nn
from fastops.nn import mindspore

torch = pytest.importorskip("torch")

from torch_layers import assert_near, twins  # noqa: E402 - it needs torch

LOSSES = [
    pytest.param("CrossEntropyLoss", {}, "numbers", id="cross entropy"),
    pytest.param("CrossEntropyLoss", dict(ignore_index=2, label_smoothing=0.2), "numbers", id="ignoring and smoothing"),
    pytest.param("CrossEntropyLoss", dict(weight=True), "numbers", id="weighted"),
    pytest.param("CrossEntropyLoss", dict(weight=True, label_smoothing=0.1), "shares", id="probabilities"),
    pytest.param("MSELoss", {}, "values", id="squared error"),
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "options", "kind"), LOSSES)
def test_losses_are_torchs(normal, rng, dtype, name, options, kind, reduction):
    input = normal(6, 5, 3)
    target = {"numbers": rng.integers(0, 5, (6, 3)), "values": normal(6, 5, 3)}.get(kind)
    if kind == "shares":
        target = fastops.softmax(normal(6, 5, 3), 1)
    options = {**options, "reduction": reduction}
    theirs = dict(options)
    if "weight" in options:
        options["weight"] = np.abs(normal(5)) + dtype(0.1)
        theirs["weight"] = torch.from_numpy(options["weight"])
    mine, expected = getattr(nn, name)(**options), getattr(torch.nn, name)(**theirs)
    leaf = torch.from_numpy(input.copy()).requires_grad_()
    loss, their_loss = mine(input, target), expected(leaf, torch.from_numpy(target))
    assert_near(loss, their_loss.detach().numpy())
    if reduction == "none":
        with pytest.raises(TypeError, match="grad_output expects an array with reduction='none', got None"):
            mine.backward()
        grad = normal(*loss.shape)
        their_loss.backward(torch.from_numpy(grad))
        assert_near(mine.backward(grad), leaf.grad.numpy())
    else:
        their_loss.backward()
        assert_near(mine.backward(), leaf.grad.numpy())
        assert_near(mine.backward(dtype(3)), 3 * leaf.grad.numpy())


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("sparse", [True, False])
def test_softmax_cross_entropy_with_logits(normal, rng, dtype, sparse, reduction):
    logits, numbers = normal(6, 5), rng.integers(0, 5, 6)
    labels = numbers if sparse else np.eye(5, dtype=dtype)[numbers]
    mine = nn.SoftmaxCrossEntropyWithLogits(sparse, reduction)
    leaf = torch.from_numpy(logits.copy()).requires_grad_()
    expected = torch.nn.functional.cross_entropy(leaf, torch.from_numpy(numbers), reduction=reduction)
    assert_near(mine(logits, labels), expected.detach().numpy())
    grad = normal(6) if reduction == "none" else np.asarray(1, dtype)
    expected.backward(torch.from_numpy(grad))
    assert_near(mine.backward(*[grad] if reduction == "none" else []), leaf.grad.numpy())
    with pytest.raises(TypeError, match="labels expects"):
        mine(logits, np.eye(5, dtype=dtype)[numbers] if sparse else numbers)


def test_softmax_cross_entropy_with_logits_is_by_default_mindspores():
    criterion = nn.SoftmaxCrossEntropyWithLogits()
    assert (criterion.sparse, criterion.reduction) == (False, "none")
    assert mindspore.SoftmaxCrossEntropyWithLogits is nn.SoftmaxCrossEntropyWithLogits
    assert mindspore.ReLU is nn.ReLU


# ----------------------------------------------------------------------------------------------------- mindspore


@pytest.mark.parametrize(
    ("options", "same_as"),
    [
        ({}, dict(padding="same", bias=False)),
        (dict(stride=2), dict(padding="same", stride=2, bias=False)),
        (dict(pad_mode="valid", has_bias=True), dict(padding="valid")),
        (dict(pad_mode="pad", padding=2, dilation=2, group=2), dict(padding=2, dilation=2, groups=2, bias=False)),
        (dict(pad_mode="pad", padding=(2, 2, 1, 1)), dict(padding=(2, 1), bias=False)),
        (dict(pad_mode="pad", padding=(2, 0, 1, 3)), dict(padding=((2, 0), (1, 3)), bias=False)),
    ],
    ids=["same", "same with a stride", "valid", "pad", "four paddings", "four others"],
)
def test_mindspore_conv2d(normal, dtype, options, same_as):
    mine = mindspore.Conv2d(4, 6, 3, **options, dtype=dtype, rng=1)
    expected = nn.Conv2d(4, 6, 3, **same_as, dtype=dtype, rng=1)
    input = normal(2, 4, 9, 10)
    output = mine(input)
    np.testing.assert_array_equal(output, expected(input))
    grad = normal(*output.shape)
    np.testing.assert_array_equal(mine.backward(grad), expected.backward(grad))


def test_mindspore_same_padding_keeps_the_ceiling_of_the_size(normal, dtype):
    assert mindspore.Conv2d(4, 6, 4, stride=3, dtype=dtype)(normal(1, 4, 10, 11)).shape == (1, 6, 4, 4)


def test_mindspore_batch_norm_counts_momentum_the_other_way_round(normal, rng, dtype):
    mine = mindspore.BatchNorm2d(3, momentum=0.8, dtype=dtype)
    theirs = twins("BatchNorm2d", 3, momentum=0.2, dtype=dtype).theirs
    for _ in range(10):
        input = normal(4, 3, 5, 5) + 2
        assert_near(mine(input), theirs(torch.from_numpy(input)).detach().numpy())
    state = mine.state_dict()
    assert list(state) == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert_near(state["moving_mean"], theirs.running_mean.numpy())
    assert_near(state["moving_variance"], theirs.running_var.numpy())
    assert "momentum=0.8" in repr(mine)
    mine.eval()
    assert_near(mine(input), theirs.eval()(torch.from_numpy(input)).detach().numpy())


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("use", [True, False])
def test_mindspore_batch_norm_with_chosen_statistics(normal, dtype, use, training):
    layer = mindspore.BatchNorm2d(3, use_batch_statistics=use, dtype=dtype).train(training)
    input, grad = normal(4, 3, 5, 5) + 2, normal(4, 3, 5, 5)
    zeros, ones = np.zeros(3, dtype), np.ones(3, dtype)
    np.testing.assert_array_equal(layer(input), fastops.batch_norm(input, zeros.copy(), ones.copy(), ones, zeros, use))
    expected = fastops.batch_norm_backward(grad, input, zeros, ones, ones, zeros, use)
    np.testing.assert_array_equal(layer.backward(grad), expected[0])
    assert (layer.running_mean != 0).any() == use
