"""accelerate and restore: what a model keeps, what it computes, and what is left to torch."""

import copy
import pickle

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
import torch_models as models  # noqa: E402
from torch import nn  # noqa: E402

import fastops.torch as ft  # noqa: E402


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def small(monkeypatch):
    """Element-wise layers call our kernels however few the elements are."""
    from fastops.torch import layers

    for name in layers.SMALLEST:
        monkeypatch.setitem(layers.SMALLEST, name, 0)


CASES = {
    "Conv2d": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 10)),
    "Conv2d same": (lambda: nn.Conv2d(4, 4, 3, padding="same", groups=2, bias=False), (4, 9, 10)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1), (2, 4, 5, 6)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), (5, 4)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4, momentum=None), (2, 4, 5, 6)),
    "BatchNorm2d untracked": (lambda: nn.BatchNorm2d(4, track_running_stats=False), (2, 4, 5, 6)),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(4, affine=False), (2, 4, 3, 4, 2)),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), (2, 4, 9, 10)),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 4, 9, 10)),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((2, None)), (2, 4, 9, 10)),
    "Upsample": (lambda: nn.Upsample(scale_factor=2), (2, 4, 5, 6)),
    "UpsamplingBilinear2d": (lambda: nn.UpsamplingBilinear2d(scale_factor=2), (2, 4, 5, 6)),
    "ReLU": (nn.ReLU, (2, 3, 4)),
    "ReLU6": (nn.ReLU6, (2, 3, 4)),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.2), (2, 3, 4)),
    "PReLU": (lambda: nn.PReLU(3), (2, 3, 4)),
    "Sigmoid": (nn.Sigmoid, (2, 3, 4)),
    "SiLU": (nn.SiLU, (2, 3, 4)),
    "Hardsigmoid": (nn.Hardsigmoid, (2, 3, 4)),
    "Hardswish": (nn.Hardswish, (2, 3, 4)),
    "Hardtanh": (lambda: nn.Hardtanh(-0.5, 0.7), (2, 3, 4)),
    "GELU": (lambda: nn.GELU(approximate="tanh"), (2, 3, 4)),
    "Softmax": (lambda: nn.Softmax(1), (2, 3, 4)),
    "LogSoftmax": (lambda: nn.LogSoftmax(1), (2, 3, 4)),
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", CASES)
def test_a_layer_does_what_it_did(name, training, small, monkeypatch):
    make, shape = CASES[name]
    own = make().double().train(training)
    ours = ft.accelerate(copy.deepcopy(own))
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    seen = models.calls(monkeypatch)
    made = ours(x)
    assert seen or name == "Hardtanh"  # whose gradient at the bounds is not clamp's
    made.square().sum().backward()
    gradient, x.grad = x.grad, None
    expected = own(x)
    expected.square().sum().backward()
    near = 1e-7 if name == "Hardsigmoid" else 1e-9  # its gradient in torch has 1 / 6 of float32
    torch.testing.assert_close((made, gradient), (expected, x.grad), rtol=near, atol=near)
    for (key, mine), theirs in zip(ours.named_parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-9, atol=1e-9, msg=key)
    torch.testing.assert_close(ours.state_dict(), own.state_dict(), rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), own(x), rtol=1e-9, atol=1e-9)


# -------------------------------------------------------------------------------------- what a model keeps


@pytest.mark.parametrize("frozen", [False, True])
def test_what_is_kept(frozen):
    model = models.ResNet().train()
    names, text, state = [name for name, _ in model.named_modules()], str(model), model.state_dict()
    parameters = list(model.parameters())
    before = {name: (type(each), dict(vars(each))) for name, each in model.named_modules()}
    assert ft.accelerate(model, frozen=frozen) is model
    assert [name for name, _ in model.named_modules()] == names and str(model) == text
    assert all(mine is own for mine, own in zip(model.parameters(), parameters, strict=True))
    assert list(model.state_dict()) == list(state)
    assert isinstance(model, models.ResNet) and isinstance(model.stem[0], nn.Conv2d) and model.training
    assert all(each.training is False for each in model.eval().modules())
    model.train()
    model(torch.randn(2, 3, 16, 16)).sum().backward()
    with torch.no_grad():
        model.eval()(torch.randn(2, 3, 16, 16))
    model.train()
    assert ft.restore(model) is model
    after = {name: (type(each), dict(vars(each))) for name, each in model.named_modules()}
    assert {name: each[0] for name, each in after.items()} == {name: each[0] for name, each in before.items()}
    for name, (_, attributes) in after.items():
        assert attributes.keys() == before[name][1].keys()
        assert all(value is before[name][1][key] for key, value in attributes.items())


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_copies(frozen, way):
    model = ft.accelerate(models.ResNet().eval(), frozen=frozen)
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        expected = model(x)
        twin = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))
        assert type(twin) is type(model) and type(twin.stem[0]) is type(model.stem[0])
        torch.testing.assert_close(twin(x), expected, rtol=0, atol=0)
        twin.stem[0].weight.zero_()
        assert not torch.equal(twin(x), expected) and torch.equal(model(x), expected)
    assert type(ft.restore(twin).stem[0]) is nn.Conv2d and type(model.stem[0]) is not nn.Conv2d


def test_state_dicts_go_round(tmp_path):
    model, other = ft.accelerate(models.ResNet().eval()), models.ResNet().eval()
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt"))
    x = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(model(x), other(x), rtol=1e-4, atol=1e-5)
    changed = models.ResNet().eval()
    model.load_state_dict(changed.state_dict())
    torch.testing.assert_close(model(x), changed(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_hooks_are_called(frozen):
    model = models.ResNet().eval()
    seen = []
    model.layers[0].conv1.register_forward_hook(lambda *args: seen.append("forward"))
    ft.accelerate(model, frozen=frozen)
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        expected = ft.restore(copy.deepcopy(model))(x)
        seen.clear()
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
        assert seen == ["forward"]
        handle = model.layers[1].bn2.register_forward_pre_hook(lambda *args: seen.append("before"))  # later
        model(x)
        assert seen == ["forward", "forward", "before"]
        handle.remove()
        register = nn.modules.module.register_module_forward_hook
        everywhere = register(lambda module, *args: seen.append(type(module).__name__))
        try:
            model(x)
        finally:
            everywhere.remove()
        assert "BatchNorm2d" in seen
    model.stem[0].register_full_backward_hook(lambda *args: seen.append("backward"))
    model(x.requires_grad_()).sum().backward()
    assert seen[-1] == "backward"


def test_shared_and_repeated():
    layer = nn.Conv2d(3, 3, 3, padding=1)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    x = torch.randn(1, 3, 8, 8)
    expected = model(x)
    for _ in range(2):
        ft.accelerate(model)
        assert model[0] is model[2]
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
    ft.accelerate(model, frozen=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
    assert type(ft.restore(model)[0]) is nn.Conv2d and type(model) is nn.Sequential


# -------------------------------------------------------------------------------------- what is left to torch


class Doubled(nn.Conv2d):
    def forward(self, input):
        return 2 * super().forward(input)


class Named(nn.Conv2d):
    """A subclass that works as its base does."""


class Padded(nn.Conv2d):
    def _conv_forward(self, input, weight, bias):
        return super()._conv_forward(F.pad(input, (1, 1, 1, 1)), weight, bias)


def test_subclasses(monkeypatch):
    x = torch.randn(1, 3, 8, 8)
    for cls in (Doubled, Padded):
        layer = cls(3, 4, 3)
        expected = layer(x)
        assert type(ft.accelerate(layer)) is cls
        assert torch.equal(layer(x), expected)
    layer = ft.accelerate(Named(3, 4, 3))
    seen = models.calls(monkeypatch)
    layer(x)
    assert seen == ["conv2d"] and isinstance(layer, Named)
    twin = pickle.loads(pickle.dumps(layer))
    assert type(twin) is type(layer) and type(ft.restore(twin)) is Named


def test_a_forward_of_the_instance_is_left():
    layer = nn.ReLU()
    layer.forward = lambda input: input
    assert type(ft.accelerate(layer)) is nn.ReLU


def test_scripted_models_are_left():
    with pytest.warns(DeprecationWarning):
        inner = torch.jit.script(nn.Conv2d(3, 4, 3))
    model = nn.Sequential(inner, nn.Conv2d(4, 4, 3)).eval()
    x = torch.randn(1, 3, 8, 8)
    expected = model(x)
    ft.accelerate(model, frozen=True)
    assert type(inner) is type(model[0])
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
    assert ft.accelerate(inner) is inner


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("frozen", [False, True])
def test_torch_jit(frozen):
    model = ft.accelerate(models.trained(models.ResNet()).eval(), frozen=frozen)
    x = torch.randn(1, 3, 16, 16)
    with pytest.raises(RuntimeError, match="torch.jit.script cannot compile an accelerated"):
        torch.jit.script(model)
    traced = torch.jit.trace(model, x)
    assert "fastops::conv2d" in str(traced.inlined_graph)
    ft.restore(model)
    for made in (traced, torch.jit.script(model)):
        torch.testing.assert_close(made(x), model(x), rtol=1e-4, atol=1e-5)


def test_lazy_modules():
    model = ft.accelerate(nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU()))
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 4, 6, 6)
    assert type(model[0]) is nn.Conv2d
    assert type(ft.accelerate(model)[0]) is not nn.Conv2d


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", ["parametrize", "hook"])
def test_weights_that_are_computed(how, when, frozen):
    def normalise(model):
        if how == "parametrize":
            nn.utils.parametrizations.weight_norm(model[0])
        else:
            with pytest.warns(FutureWarning):
                nn.utils.weight_norm(model[0])

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    own = copy.deepcopy(model)
    if when == "before":
        normalise(model)
        ft.accelerate(model, frozen=frozen)
    else:
        ft.accelerate(model, frozen=frozen)
        normalise(model)
    normalise(own)
    x = torch.randn(2, 3, 8, 8)
    for mine, theirs in ((model, own), (model.eval(), own.eval())):
        mine.zero_grad()
        theirs.zero_grad()
        torch.testing.assert_close(mine(x), theirs(x), rtol=1e-4, atol=1e-5)
        mine(x).square().sum().backward()
        theirs(x).square().sum().backward()
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-3)
            with torch.no_grad():
                a.sub_(0.01)
                b.sub_(0.01)
        with torch.no_grad():
            torch.testing.assert_close(mine(x), theirs(x), rtol=1e-4, atol=1e-5)
    ft.restore(model)
    torch.testing.assert_close(model(x), own(x), rtol=0, atol=0)
    assert not any(base.__module__.startswith("fastops") for each in model.modules() for base in type(each).__mro__)
    if how == "parametrize":
        nn.utils.parametrize.remove_parametrizations(model[0], "weight")
        assert type(model[0]) is nn.Conv2d


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_modes_are_torchs(mode, monkeypatch):
    layer = ft.accelerate(nn.Conv2d(2, 3, 3, padding=1, padding_mode=mode))
    seen = models.calls(monkeypatch)
    x = torch.randn(1, 2, 6, 6)
    assert torch.equal(layer(x), ft.restore(copy.deepcopy(layer))(x)) and seen == []


@pytest.mark.parametrize("kind", ["bfloat16", "autocast", "meta"])
@pytest.mark.parametrize("frozen", [False, True])
def test_other_tensors_are_torchs(kind, frozen, monkeypatch):
    own = models.ResNet().eval()
    x = torch.randn(2, 3, 16, 16)
    if kind != "autocast":
        to = {"bfloat16": dict(dtype=torch.bfloat16), "meta": dict(device="meta")}[kind]
        own, x = own.to(**to), x.to(**to)
    model = ft.accelerate(copy.deepcopy(own), frozen=frozen)
    seen = models.calls(monkeypatch)
    with torch.no_grad(), torch.autocast("cpu", enabled=kind == "autocast"):
        made, expected = model(x), own(x)
    assert seen == [] and made.dtype == expected.dtype and made.device == expected.device
    if kind != "meta":
        assert torch.equal(made, expected)


def test_bad_arguments():
    with pytest.raises(TypeError, match="accelerate: model expects a torch.nn.Module, got function"):
        ft.accelerate(F.relu)
    with pytest.raises(TypeError, match="restore: model expects a torch.nn.Module, got int"):
        ft.restore(3)
    with pytest.raises(ValueError, match="accelerate: frozen expects True or False, got 1"):
        ft.accelerate(nn.ReLU(), frozen=1)


def test_nothing_changes_elsewhere():
    before = {name: getattr(F, name) for name in dir(F)} | {name: getattr(nn, name) for name in dir(nn)}
    classes = {name: each for name, each in vars(nn).items() if isinstance(each, type)}
    forwards = {name: each.forward for name, each in classes.items() if hasattr(each, "forward")}
    ft.accelerate(models.ResNet(), frozen=True)
    after = {name: getattr(F, name) for name in dir(F)} | {name: getattr(nn, name) for name in dir(nn)}
    assert before == after
    assert forwards == {name: getattr(nn, name).forward for name in forwards}
