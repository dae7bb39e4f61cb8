"""Accelerated models and their weights: what is seen when they change, and plans of frozen models."""

import copy
import gc
import inspect
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
import torch_models as models  # noqa: E402
from torch import nn  # noqa: E402

import fastops.torch as ft  # noqa: E402
from fastops.torch import planned  # noqa: E402
from fastops.torch.buffers import Buffers  # noqa: E402


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("change", ["data", "numpy"])
def test_weights_that_change_unseen_are_seen_without_frozen(change):
    model = ft.accelerate(models.ResNet().eval())
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        model(x)
        weight = model.stem[0].weight
        if change == "data":
            weight.data.copy_(torch.randn_like(weight))
        else:
            weight.detach().numpy()[:] = 0.25
        torch.testing.assert_close(model(x), ft.restore(copy.deepcopy(model))(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("whole", [True, False], ids=["model", "layer"])
@pytest.mark.parametrize("change", ["in place", "load_state_dict", "new parameter", "double", "statistics"])
def test_weights_that_torch_changes_are_seen_with_frozen(change, whole):
    model = models.ResNet().eval() if whole else nn.Conv2d(3, 40, 3)
    ft.accelerate(model.eval(), frozen=True)
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        model(x)
        layer = model.stem[0] if whole else model
        if change == "in place":
            layer.weight.mul_(0.5)
        elif change == "load_state_dict":
            model.load_state_dict({name: each * 0.5 for name, each in model.state_dict().items()})
        elif change == "new parameter":
            layer.weight = nn.Parameter(torch.randn_like(layer.weight))
        elif change == "double":
            model, x = model.double(), x.double()
        elif whole:
            model.train()(torch.randn(4, 3, 16, 16))
            model.eval()
        torch.testing.assert_close(model(x), ft.restore(copy.deepcopy(model))(x), rtol=1e-4, atol=1e-5)


def test_dropout_follows_the_seed():
    model = ft.accelerate(nn.Dropout(0.4))
    x = torch.ones(100)
    torch.manual_seed(5)
    first = model(x)
    torch.manual_seed(5)
    assert torch.equal(model(x), first) and not torch.equal(model(x), first)
    assert model.eval()(x) is x


# ------------------------------------------------------------------------------------------------ plans


@pytest.mark.parametrize("name", models.MODELS)
def test_a_frozen_model_is_fused(name):
    make, shape, steps = models.MODELS[name]
    own = models.trained(make()).eval()
    model = ft.accelerate(copy.deepcopy(own), frozen=True)
    x = torch.randn(shape)
    with torch.no_grad():
        expected = own.double()(x.double()).float()
        for _ in range(2):
            torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert len(models.steps_of(model)) == steps
    x.requires_grad_()
    assert model(x).requires_grad  # not by the plan


class Control(nn.Module):
    """What no trace can follow; its parts can be traced."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid())

    def forward(self, x):
        return self.first(x) if x.sum() > 0 else self.second(x)


def test_what_cannot_be_traced_has_plans_in_its_parts():
    own = models.trained(Control()).eval()
    model = ft.accelerate(copy.deepcopy(own), frozen=True)
    with torch.no_grad():
        for x in (torch.rand(1, 3, 8, 8), -torch.rand(1, 3, 8, 8)):
            torch.testing.assert_close(model(x), own(x), rtol=1e-4, atol=1e-5)
    assert (
        models.steps_of(model) is None
        and len(models.steps_of(model.first)) == 1
        and len(models.steps_of(model.second)) == 1
    )


class Awkward(nn.Module):
    """Forwards that a careless plan gets wrong."""

    def __init__(self, which):
        super().__init__()
        self.which, self.scale, self.seen = which, 2.0, 0
        self.conv, self.norm, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)
        self.register_buffer("offset", torch.randn(3, 1, 1))

    def forward(self, x, more=None):
        return getattr(self, self.which)(x, more)

    def noise(self, x, more):
        return self.conv(x) + torch.randn(3, 1, 1)

    def counts(self, x, more):
        self.seen += 1
        return self.conv(x)

    def keeps(self, x, more):
        self.features = self.conv(x)
        return self.features

    def optional(self, x, more):
        return self.conv(x) if more is None else self.conv(x) + more

    def used_twice(self, x, more):
        y = self.conv(x)
        return self.relu(self.norm(y)) + y.mean()

    def changed_between(self, x, more):
        x = x * 1
        y = self.conv(x)
        self.relu(x)
        return self.norm(y) + x

    def in_place_from_the_right(self, x, more):
        z = x * self.scale
        kept = z.view(-1)
        z += self.conv(x)
        return z * kept.sum()

    def broadcast(self, x, more):
        return F.relu(self.conv(x) + self.offset)

    def number(self, x, more):
        return F.relu(self.conv(x) + 1)

    def scaled_sum(self, x, more):
        return torch.add(self.conv(x), x, alpha=3)

    def doubled(self, x, more):
        y = self.conv(x)
        return y + y

    def both(self, x, more):
        return F.relu(self.norm(self.conv(x)) + self.conv(x * 2))

    def other_dtype(self, x, more):
        return self.conv(x.double().float()).double()

    def parts(self, x, more):
        a, b = self.conv(x).chunk(2, dim=2)
        return {"a": a, "b": (b, x.shape[0])}


FORWARDS = [name for name in vars(Awkward) if name[0] != "_" and name != "forward"]


@pytest.mark.parametrize("which", FORWARDS)
def test_awkward_forwards(which):
    own = models.trained(Awkward(which)).eval()
    model = ft.accelerate(copy.deepcopy(own), frozen=True)
    with torch.no_grad():
        for _ in range(2):
            x = torch.randn(2, 3, 8, 8)
            before = x.clone()
            torch.manual_seed(1)
            made = model(x)
            torch.manual_seed(1)
            torch.testing.assert_close(made, own(x), rtol=1e-4, atol=1e-5)
            assert torch.equal(x, before)
        more = torch.randn(2, 3, 8, 8)
        if which == "optional":
            torch.testing.assert_close(model(x, more), own(x, more), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(model(x, more=more), own(x, more), rtol=1e-4, atol=1e-5)
        model.scale = own.scale = 3.0
        if which not in ("noise",):
            torch.testing.assert_close(model(x), own(x), rtol=1e-4, atol=1e-5)
    assert model.seen == own.seen
    if which == "keeps":
        assert isinstance(model.features, torch.Tensor)


def test_a_forward_is_called_by_the_names_it_had():
    model = ft.accelerate(models.trained(Awkward("optional")).eval(), frozen=True)
    assert list(inspect.signature(model.forward).parameters) == ["x", "more"]
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(model(x=x, more=x), model(x, x))


def test_a_shallow_copy():
    own = models.trained(Awkward("in_place_from_the_right")).eval()
    model = ft.accelerate(copy.deepcopy(own), frozen=True)
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(model(x), own(x), rtol=1e-4, atol=1e-5)
        twin = copy.copy(model)
        twin.scale = own.scale = 3.0
        torch.testing.assert_close(twin(x), own(x), rtol=1e-4, atol=1e-5)
        own.scale = 2.0
        torch.testing.assert_close(model(x), own(x), rtol=1e-4, atol=1e-5)


def test_what_has_no_plan_is_not_traced_again(monkeypatch):
    model = ft.accelerate(Awkward("counts").eval(), frozen=True)
    traced = []
    monkeypatch.setattr(planned._Tracer, "trace", lambda self, root: traced.append(root))
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(1, 3, 8, 8))
    assert traced == [] and model.seen == 3


def test_results_share_no_memory():
    model = ft.accelerate(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), frozen=True)
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        first, second = model(x), model(x)
        expected = first.clone()
        second.zero_()
        assert torch.equal(first, expected) and torch.equal(model(x), expected)


class Large(nn.Module):
    """Intermediate results of 1 MiB and more, of which one is kept by a view."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(6))

    def forward(self, x):
        views = []
        for conv in self.convs:
            x = conv(x)
            views.append(x.flatten(2)[..., :5])
        return views, x


def test_memory_is_used_again_but_not_what_somebody_has(monkeypatch):
    own = Large().eval()
    model = ft.accelerate(copy.deepcopy(own), frozen=True)
    reused = []
    take = Buffers.take

    def watched(self, shape, dtype):
        waiting = len(self._waiting)
        made = take(self, shape, dtype)
        reused.append(len(self._waiting) < waiting)
        return made

    monkeypatch.setattr(Buffers, "take", watched)
    x = torch.randn(1, 4, 256, 256)
    with torch.no_grad():
        for _ in range(3):
            torch.testing.assert_close(model(x), own(x), rtol=1e-4, atol=1e-5)
        assert reused and not any(reused)  # views of all of them are returned
        plain = nn.Sequential(*copy.deepcopy(own.convs)).eval()
        expected = [plain(x), plain(2 * x)]
        ft.accelerate(plain, frozen=True)
        reused.clear()
        made = [plain(x), plain(2 * x)]
        torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)
        assert reused == [False, False, True, True, True] + 5 * [True]


def test_errors_are_told_with_plans():
    model = ft.accelerate(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), frozen=True)
    with torch.no_grad(), pytest.raises(ValueError, match="conv2d: weight expects"):
        model(torch.randn(1, 2, 8, 8))


def test_compiled_and_exported_when_accelerated():
    for frozen in (False, True):
        model = ft.accelerate(models.trained(models.ResNet()).eval(), frozen=frozen)
        x = torch.randn(2, 3, 16, 16)
        with torch.no_grad():
            expected = model(x)
            torch._dynamo.reset()
            torch.testing.assert_close(torch.compile(model, backend="aot_eager")(x), expected, rtol=1e-4, atol=1e-5)
            exported = torch.export.export(model, (x,)).module()
            torch.testing.assert_close(exported(x), expected, rtol=1e-4, atol=1e-5)


def test_no_arrays_of_the_weights_stay_without_frozen():
    from fastops.torch import layers

    model = ft.accelerate(models.ResNet().eval())
    with torch.no_grad():
        model(torch.randn(1, 3, 16, 16))
    assert not [layer for layer in model.modules() if layer in layers._kept]
    assert not planned.plans_of(model)
    model = ft.accelerate(model, frozen=True)
    with torch.no_grad():
        model(torch.randn(1, 3, 16, 16))
    assert [layer for layer in model.modules() if layer in layers._kept] or planned.plans_of(model)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_model_ends(frozen):
    model = ft.accelerate(models.ResNet().eval(), frozen=frozen)
    with torch.no_grad():
        model(torch.randn(1, 3, 16, 16))
    ends = weakref.ref(model), weakref.ref(model.stem[0])
    del model
    gc.collect()
    assert ends[0]() is None and ends[1]() is None


@pytest.mark.parametrize("frozen", [False, True])
def test_calls_from_several_threads(frozen):
    model = ft.accelerate(models.trained(models.ResNet()).eval(), frozen=frozen)
    inputs = [torch.randn(1 + i % 3, 3, 16, 16) for i in range(12)]

    def call(x):
        with torch.no_grad():
            return model(x)

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(call, inputs))
    for x, each in zip(inputs, made, strict=True):
        assert torch.equal(each, call(x))


def test_arrays_beside():
    """The weights of an accelerated model are the same memory as before."""
    layer = nn.Conv2d(3, 4, 3)
    view = layer.weight.detach().numpy()
    ft.accelerate(layer)
    assert np.shares_memory(view, layer.weight.detach().numpy())


class Wide(nn.Module):
    """Two convolutions around which an inverted residual could be, and somebody who looks in between."""

    def __init__(self, look):
        super().__init__()
        self.look, self.body = look, models.Inverted(4).body

    def forward(self, x):
        between = self.body[0](x)
        after = self.body[1](between)
        out = self.body[2](after)
        if self.look == "reads":
            return out, between.mean()
        if self.look == "changes":
            x.add_(1)
        return out + x


@pytest.mark.parametrize("look, steps", [("nothing", 1), ("reads", 3), ("changes", 3)])
def test_an_inverted_residual_is_one_step_where_nobody_looks_in(look, steps):
    own = models.trained(Wide(look)).eval()
    model = ft.accelerate(copy.deepcopy(own), frozen=True)
    with torch.no_grad():
        for size in ((2, 4, 9, 20), (1, 4, 30, 31), (2, 4, 9, 20)):
            x = torch.randn(size)
            torch.testing.assert_close(model(x.clone()), own(x.clone()), rtol=1e-4, atol=1e-4)
    assert len(models.steps_of(model)) == steps


@pytest.mark.parametrize("change", ["a window of its own", "float64"])
def test_what_is_no_block_runs_as_it_did(change):
    own = models.trained(Wide("nothing")).eval()
    x = torch.randn(2, 4, 9, 20)
    if change == "float64":
        own, x = own.double(), x.double()
    else:
        own.body[1][0] = nn.Conv2d(16, 16, 3, 9, 1, groups=16, bias=False)
        x = torch.randn(2, 4, 1, 1)
    model = ft.accelerate(copy.deepcopy(own), frozen=True)
    with torch.no_grad():
        torch.testing.assert_close(model(x), own(x), rtol=1e-4, atol=1e-4)
