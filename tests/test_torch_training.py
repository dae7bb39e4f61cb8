"""Training with accelerated layers: the same steps as torch's own."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
import torch_models as models  # noqa: E402
from torch import nn  # noqa: E402

import fastops.torch as ft  # noqa: E402

MODELS = {
    "ResNet": (models.ResNet, (4, 3, 16, 16)),
    "MobileNetV2": (lambda: nn.Sequential(models.conv_norm(3, 4, 3, 2), models.Inverted(4)), (4, 3, 16, 16)),
    "U-Net": (models.UNet, (2, 3, 16, 16)),
    "DCGAN": (models.generator, (4, 12, 1, 1)),
    "VGG": (models.vgg, (4, 3, 8, 8)),
}


def no_dropout(model):
    """Whose masks are not torch's own."""
    for each in model.modules():
        if isinstance(each, nn.Dropout):
            each.p = 0.0
    return model


def five_steps(model, shape, dtype):
    """Losses, parameters and running statistics after five steps of SGD with momentum."""
    generator = torch.Generator().manual_seed(7)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    losses = []
    for _ in range(5):
        x = torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)
        optimizer.zero_grad()
        out = model(x)
        loss = (out - 0.3).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses), {name: each.clone() for name, each in model.state_dict().items()}


def difference(mine, theirs):
    """The largest difference of losses and state, as a share of the largest value of each."""
    pairs = [(mine[0], theirs[0]), *((mine[1][name], each) for name, each in theirs[1].items())]
    found = [float((a - b).abs().max() / b.abs().max().clamp(min=1e-3)) for a, b in pairs if b.is_floating_point()]
    return max(found)


@pytest.mark.parametrize("name", MODELS)
def test_five_steps_in_float64(name):
    make, shape = MODELS[name]
    torch.manual_seed(2)
    own = no_dropout(make()).double().train()
    ours = ft.accelerate(copy.deepcopy(own))
    mine, theirs = five_steps(ours, shape, torch.float64), five_steps(own, shape, torch.float64)
    assert difference(mine, theirs) < 1e-9
    for key, value in theirs[1].items():
        if "num_batches" in key:
            assert torch.equal(mine[1][key], value)


@pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN:UserWarning")  # of torch's flags
@pytest.mark.parametrize("name", MODELS)
def test_five_steps_in_float32(name):
    """Within what rounding makes of torch's own steps: by oneDNN, without, and in float64 (four times, as `exact`)."""
    make, shape = MODELS[name]
    torch.manual_seed(2)
    own = no_dropout(make()).train()
    exact = five_steps(copy.deepcopy(own).double(), shape, torch.float64)

    theirs = five_steps(copy.deepcopy(own), shape, torch.float32)
    with torch.backends.mkldnn.flags(enabled=False):
        other = five_steps(copy.deepcopy(own), shape, torch.float32)
    mine = five_steps(ft.accelerate(copy.deepcopy(own)), shape, torch.float32)
    rounding = max(difference(theirs, other), difference(theirs, exact), difference(other, exact))
    assert 0 < rounding < 0.01
    assert difference(mine, theirs) <= 4 * rounding and difference(mine, exact) <= 4 * rounding


def test_frozen_layers_can_be_trained_all_the_same():
    torch.manual_seed(2)
    own = no_dropout(models.ResNet()).double()
    ours = ft.accelerate(copy.deepcopy(own), frozen=True)
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        ours.eval()(x)
    mine = five_steps(ours.train(), (4, 3, 16, 16), torch.float64)
    assert difference(mine, five_steps(own.train(), (4, 3, 16, 16), torch.float64)) < 1e-9
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), own.eval()(x), rtol=1e-9, atol=1e-9)


def test_a_resnet_learns_digits_as_well():
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    x = torch.from_numpy((images / 16).astype(np.float32)).reshape(-1, 1, 8, 8)
    y = torch.from_numpy(labels)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(5))
    x, y = x[order], y[order]

    def accuracy(accelerated):
        torch.manual_seed(0)
        model = no_dropout(models.ResNet(1, 10, 8))
        if accelerated:
            ft.accelerate(model)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        generator = torch.Generator().manual_seed(1)
        for _ in range(4):
            for batch in torch.randperm(1400, generator=generator).split(50):
                optimizer.zero_grad()
                F.cross_entropy(model(x[batch]), y[batch]).backward()
                optimizer.step()
        with torch.no_grad():
            return float((model.eval()(x[1400:]).argmax(1) == y[1400:]).float().mean())

    theirs, ours = accuracy(False), accuracy(True)
    assert theirs > 0.9 and abs(ours - theirs) < 0.02
