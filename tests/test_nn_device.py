"""Layers on a CUDA device hold CuPy's arrays, compute what they do on the CPU, and save NumPy's."""

import sys

import numpy as np
import pytest
from agreement import assert_close
from conftest import SIMULATED

from fastops import nn
from fastops.nn import mindspore

if SIMULATED:
    from fake_cupy import cupy  # noqa: F401

in_simulator = pytest.mark.skipif(not SIMULATED, reason="for the simulator, by NUMBA_ENABLE_CUDASIM=1")

X = np.random.default_rng(2).standard_normal((2, 1, 6, 6)).astype(np.float32)


def network() -> nn.Sequential:
    rng = np.random.default_rng(1)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, padding_mode="reflect", bias=False, rng=rng),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.ConvTranspose2d(3, 2, 2, rng=rng),
        nn.Flatten(),
        nn.Dropout(0.3, rng=3),
        nn.Linear(32, 4, rng=rng),
    )


@in_simulator
@pytest.mark.cudasim
def test_a_training_step_is_the_cpus(cupy):
    mine, theirs = network(), network().to(device="cuda")
    labels = np.array([3, 1])
    losses, gradients = [], []
    for model, put in ((mine, np.asarray), (theirs, cupy.asarray)):
        criterion = nn.CrossEntropyLoss()
        losses.append(criterion(model(put(X)), put(labels)))
        gradients.append(model.backward(criterion.backward()))
        assert type(gradients[-1]) is type(put(X))
    assert_close(np.asarray(losses[1]), np.asarray(losses[0]))
    assert_close(np.asarray(gradients[1]), gradients[0])
    for (name, a), (_, b) in zip(mine.named_parameters(), theirs.named_parameters(), strict=True):
        assert type(b.data) is type(b.grad) is cupy.ndarray, name
        assert_close(np.asarray(b.grad), a.grad)
    for name, array in theirs.state_dict().items():
        assert_close(array, mine.state_dict()[name])


@in_simulator
@pytest.mark.cudasim
def test_states_are_numpys_and_load_anywhere(cupy):
    model = network().to("cuda", np.float64)
    state = model.state_dict()
    assert {type(array) for array in state.values()} == {np.ndarray}
    assert state["0.weight"].dtype == np.float64 and state["1.num_batches_tracked"].dtype == np.int64
    other = network().to("cuda")
    other.load_state_dict({name: np.asarray(2 * array) for name, array in state.items()})
    parameter = dict(other.named_parameters())["0.weight"]
    assert type(parameter.data) is cupy.ndarray
    assert_close(np.asarray(parameter.data), (2 * state["0.weight"]).astype(np.float32))
    back = other.to("cpu")
    assert {type(p.data) for p in back.parameters()} == {np.ndarray}


@in_simulator
@pytest.mark.cudasim
@pytest.mark.parametrize("make", [
    lambda **on: nn.Conv2d(2, 3, 2, rng=0, **on), lambda **on: nn.ConvTranspose2d(2, 3, 2, rng=0, **on),
    lambda **on: nn.Linear(2, 3, rng=0, **on), lambda **on: nn.BatchNorm1d(2, **on),
    lambda **on: nn.BatchNorm2d(2, **on),
    lambda **on: mindspore.Conv2d(2, 3, 2, rng=0, **on), lambda **on: mindspore.BatchNorm2d(2, **on),
])  # fmt: skip
def test_layers_are_made_on_a_device(make, cupy):
    layer, own = make(device="cuda:0"), make(device="cpu", dtype=np.float64)
    assert {type(p.data) for p in layer.parameters()} == {cupy.ndarray}
    assert {p.data.dtype for p in own.parameters()} == {np.dtype(np.float64)}
    for name, array in make().state_dict().items():
        assert_close(layer.state_dict()[name], array)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:", 0, ["cpu"], "cuda:-1"])
def test_another_device_is_refused(device):
    with pytest.raises(ValueError, match=r"Linear: device expects 'cpu', 'cuda' or 'cuda:0', 'cuda:1', ..., got"):
        nn.Linear(2, 3).to(device=device)


def test_without_cupy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(TypeError, match=r"Linear: device=.cuda. needs CuPy.*its extra cuda13"):
        nn.Linear(2, 3, device="cuda")


def test_nothing_to_do_is_refused():
    with pytest.raises(TypeError, match="Linear: to expects a device or a dtype, got neither"):
        nn.Linear(2, 3).to()


def test_the_cpu_is_where_they_are():
    layer = nn.Linear(2, 3)
    weight = layer.weight.data
    assert layer.to("cpu") is layer and layer.weight.data is weight
