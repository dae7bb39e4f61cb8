"""State of layers: state_dict and loading, parameters and their gradients, dtypes, random weights, copies."""

import copy
import io
import math
import pickle

import numpy as np
import pytest

from fastops import nn


def network(dtype=np.float32, rng=0) -> nn.Sequential:
    rng = np.random.default_rng(rng)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, dtype=dtype, rng=rng),
        nn.BatchNorm2d(4, dtype=dtype),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2, rng=rng),
        nn.Linear(36, 5, dtype=dtype, rng=rng),
    )


@pytest.fixture
def images(normal):
    return normal(6, 1, 8, 8)


def assert_same_state(a: nn.Module, b: nn.Module) -> None:
    states = a.state_dict(), b.state_dict()
    assert list(states[0]) == list(states[1])
    for key, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][key])
        assert array.dtype == states[1][key].dtype


# ------------------------------------------------------------------------------------------------ state_dict

NAMES = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked",
         "6.weight", "6.bias"]  # fmt: skip


def test_a_torch_model_loads_as_it_is(images, dtype):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
        torch.nn.Dropout(0.2), torch.nn.Linear(36, 5),
    ).to(torch.from_numpy(images).dtype)  # fmt: skip
    with torch.no_grad():
        for _ in range(3):
            theirs(torch.from_numpy(images) * 2 + 1)
        expected = theirs.eval()(torch.from_numpy(images)).numpy()
    mine = network(dtype).eval()
    assert mine.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()}) == ([], [])
    assert mine[1].num_batches_tracked == 3
    np.testing.assert_allclose(mine(images), expected, rtol=1e-4, atol=1e-5)
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in mine.state_dict().items()})  # and back
    assert list(mine.state_dict()) == list(theirs.state_dict()) == NAMES


def test_a_state_is_a_copy_and_goes_through_a_file(dtype):
    model, file = network(dtype), io.BytesIO()
    state = model.state_dict()
    np.savez(file, **state)
    for parameter in model.parameters():
        parameter.data += 1
    assert all((state[name] != model.state_dict()[name]).all() for name in ("0.bias", "6.weight"))
    file.seek(0)
    other = network(dtype, rng=1)
    other.load_state_dict(np.load(file))
    assert [*other.state_dict()] == NAMES
    for name, array in state.items():
        np.testing.assert_array_equal(other.state_dict()[name], array)


def test_loading_copies_into_the_arrays_that_are_there():
    model, other = network(), network(rng=1)
    before = [parameter.data for parameter in model.parameters()]
    state = other.state_dict()
    model.load_state_dict(state)
    assert all(parameter.data is array for parameter, array in zip(model.parameters(), before, strict=True))
    assert_same_state(model, other)
    state["0.weight"][...] = 7
    assert (model[0].weight.data != 7).all()


def test_loading_rounds_to_the_dtype_of_the_layer():
    model = network(np.float32)
    model.load_state_dict(network(np.float64).state_dict())
    assert_same_state(model, network(np.float32))


def test_two_entries_may_be_loaded_from_each_other():
    model = nn.Sequential(nn.Linear(2, 2, rng=0), nn.Linear(2, 2, rng=1))
    first, second = (layer.weight.data.copy() for layer in model)
    state = dict(model.state_dict(), **{"0.weight": model[1].weight.data, "1.weight": model[0].weight.data})
    model.load_state_dict(state)
    np.testing.assert_array_equal(model[0].weight.data, second)
    np.testing.assert_array_equal(model[1].weight.data, first)


ONES = np.ones(4, np.float32)
BAD_STATES = [
    (lambda s: s.pop("1.bias"), KeyError, "state_dict expects this layer's names, got missing '1.bias'"),
    (lambda s: s.update(new=ONES), KeyError, "state_dict expects this layer's names, got unexpected 'new'"),
    (lambda s: (s.pop("0.bias"), s.update(new=ONES)), KeyError, "got missing '0.bias' and unexpected 'new'"),
    (lambda s: s.update({"6.bias": ONES}), ValueError, r"6.bias expects shape \(5,\), got \(4,\)"),
    (
        lambda s: s.update({"1.num_batches_tracked": np.zeros(1, int)}),
        ValueError,
        r"tracked expects shape \(\), got \(1",
    ),
    (lambda s: s.update({"6.bias": np.ones(5, int)}), TypeError, "6.bias expects floats, got dtype int64"),
    (lambda s: s.update({"6.bias": np.ones(5, complex)}), TypeError, "6.bias expects floats, got dtype complex128"),
    (lambda s: s.update({"6.bias": np.array(["x"] * 5)}), TypeError, "6.bias expects floats, got dtype <U1"),
    (lambda s: s.update({"1.num_batches_tracked": np.array(1.0)}), TypeError, "tracked expects integers, got dtype fl"),
    (lambda s: s.update({"6.bias": [1.0] * 5}), TypeError, "6.bias expects a NumPy or CUDA array, got list"),
    (lambda s: s.update({"6.bias": None}), TypeError, "6.bias expects a NumPy or CUDA array, got NoneType"),
]


@pytest.mark.parametrize(("spoil", "error", "message"), BAD_STATES, ids=[message for *_, message in BAD_STATES])
def test_a_bad_state_leaves_the_layer_unchanged(spoil, error, message):
    model, state = network(), network(rng=1).state_dict()
    spoil(state)
    with pytest.raises(error, match=message) as caught:
        model.load_state_dict(state)
    assert str(caught.value).strip("'\"").startswith("load_state_dict: ") and "\n" not in str(caught.value)
    assert_same_state(model, network())


def test_a_bad_entry_leaves_the_layer_unchanged_where_names_may_differ():
    model = network()
    with pytest.raises(ValueError, match="6.bias expects shape"):
        model.load_state_dict({"0.bias": ONES, "6.bias": ONES}, strict=False)
    assert_same_state(model, network())


def test_a_tensor_is_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(
        TypeError, match=r"weight expects a NumPy or CUDA array, got torch.Tensor; call .numpy\(\) on it first"
    ):
        nn.Linear(2, 2).load_state_dict(torch.nn.Linear(2, 2).state_dict())


@pytest.mark.parametrize("bad", [None, [("weight", ONES)], "weight"])
def test_what_is_no_mapping_is_refused(bad):
    with pytest.raises(TypeError, match="^load_state_dict: state_dict expects a mapping of arrays, got"):
        nn.Linear(2, 2).load_state_dict(bad)


def test_names_may_differ_where_not_strict():
    model = network()
    loaded = model.load_state_dict({"0.bias": ONES, "new": ONES}, strict=False)
    assert loaded.missing_keys == [name for name in NAMES if name != "0.bias"] and loaded.unexpected_keys == ["new"]
    assert (model[0].bias.data == 1).all()
    with pytest.raises(ValueError, match="strict expects True or False"):
        model.load_state_dict({}, strict=0)


def test_the_weights_of_a_loss_are_state():
    criterion, weight = nn.CrossEntropyLoss(ONES), np.arange(4, dtype=np.float32)
    criterion.load_state_dict({"weight": weight})
    np.testing.assert_array_equal(criterion.state_dict()["weight"], weight)
    assert not list(criterion.parameters()) and not nn.CrossEntropyLoss().state_dict()


# --------------------------------------------------------------------------- parameters, gradients, modules


class Residual(nn.Module):
    """A layer as a user writes it: two convolutions with a way around them."""

    def __init__(self, channels: int, dtype: type):
        self.first = nn.Conv2d(channels, channels, 3, padding=1, dtype=dtype, rng=1)
        self.body = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, channels, 3, padding="same", dtype=dtype, rng=2))
        self.scale = nn.Parameter(np.array(0.5, dtype))

    def forward(self, input):
        self.branch = self.body(self.first(input))
        return input + self.scale.data * self.branch

    def backward(self, grad_output):
        self.scale.accumulate((grad_output * self.branch).sum())
        return grad_output + self.first.backward(self.body.backward(self.scale.data * grad_output))


def test_a_layer_of_ones_own(normal, dtype):
    layer = Residual(3, dtype)
    names = ["scale", "first.weight", "first.bias", "body.1.weight", "body.1.bias"]
    assert sorted(name for name, _ in layer.named_parameters()) == sorted(names)
    assert sorted(layer.state_dict()) == sorted(names)
    assert [name for name, _ in layer.named_modules()] == ["", "first", "body", "body.0", "body.1"]
    assert not layer.eval().body[1].training and layer.train().body[1].training
    input, direction, step = normal(2, 3, 6, 6), normal(2, 3, 6, 6), 1e-3
    layer = layer.to(np.float64)
    input, direction = input.astype(float), direction.astype(float)
    layer(input)
    slope = (layer.backward(np.ones_like(input)) * direction).sum()
    ahead, behind = (layer(input + sign * step * direction).sum() for sign in (1, -1))
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=0.05)
    assert "(body): Sequential(\n    (0): ReLU()" in repr(layer)


def test_gradients_add_up_until_zero_grad(normal, images, dtype):
    model, grad = network(dtype), normal(6, 5)
    model(images)
    model.backward(grad)
    once = {name: parameter.grad.copy() for name, parameter in model.named_parameters()}
    model.backward(grad)
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.grad, 2 * once[name])
        assert parameter.grad.shape == parameter.data.shape and parameter.grad.dtype == dtype
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_shared_parameter_is_one_and_gathers_both_gradients(normal, dtype):
    first, second = nn.Linear(3, 3, dtype=dtype, rng=0), nn.Linear(3, 3, dtype=dtype, rng=1)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    x, grad, w = normal(4, 3), normal(4, 3), first.weight.data
    hidden = first(x)
    second(hidden)
    model.backward(grad)
    np.testing.assert_allclose(first.weight.grad, grad.T @ hidden + (grad @ w).T @ x, rtol=1e-4, atol=1e-4)


def test_sequential_is_a_sequence():
    model = network()
    assert len(model) == 7 and [type(layer).__name__ for layer in model][::3] == ["Conv2d", "MaxPool2d", "Linear"]
    assert model[-1] is list(model)[6] and [name for name, _ in model[4:].named_children()] == ["4", "5", "6"]
    assert model.append(nn.Softmax(1)) is model and list(dict(model.named_children())) == list("01234567")
    named = nn.Sequential({"conv": nn.Conv2d(1, 2, 3), "act": nn.ReLU()})
    assert named.conv is named[0] and list(named.state_dict()) == ["conv.weight", "conv.bias"]
    ones = np.ones((2, 2))
    empty = nn.Sequential()
    assert empty(ones) is ones and empty.backward(ones) is ones
    with pytest.raises(IndexError):
        model[8]


# ------------------------------------------------------------------------------- dtypes, random numbers, copies


def test_to_another_dtype(normal, images, dtype):
    model = network(dtype)
    model(images)
    model.backward(normal(6, 5))
    other = np.float64 if dtype == np.float32 else np.float32
    assert model.to(other) is model
    floats = {name: array for name, array in model.state_dict().items() if name != "1.num_batches_tracked"}
    assert {array.dtype for array in floats.values()} == {np.dtype(other)}
    assert model[1].num_batches_tracked.dtype == np.int64 and model[1].num_batches_tracked == 1
    assert {parameter.grad.dtype for parameter in model.parameters()} == {np.dtype(other)}
    with pytest.raises(RuntimeError):
        model.backward(normal(6, 5))
    assert model(images.astype(other)).dtype == other


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("make", "fan_in"),
    [
        (lambda **options: nn.Conv2d(8, 32, (5, 3), groups=2, **options), 4 * 15),
        (lambda **options: nn.ConvTranspose2d(8, 32, (5, 3), groups=2, **options), 16 * 15),
        (lambda **options: nn.Linear(40, 300, **options), 40),
    ],
    ids=["Conv2d", "ConvTranspose2d", "Linear"],
)
def test_first_weights_are_torchs_distribution(make, fan_in, bias, dtype):
    layer, bound = make(rng=0, dtype=dtype, bias=bias), 1 / math.sqrt(fan_in)
    for parameter in layer.parameters():
        assert parameter.data.dtype == dtype
        assert np.abs(parameter.data).max() <= bound
    values = layer.weight.data
    assert abs(values.mean()) < 4 * bound / math.sqrt(3 * values.size)
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert (layer.bias is not None) == bias


@pytest.mark.parametrize("seed", [3, np.int64(3), np.random.SeedSequence(3)], ids=["int", "NumPy int", "SeedSequence"])
def test_a_seed_gives_the_same_weights_and_masks(seed, dtype):
    ones = np.ones(200, dtype)
    a, b = nn.Linear(3, 4, rng=seed, dtype=dtype), nn.Linear(3, 4, rng=3, dtype=dtype)
    assert_same_state(a, b)
    np.testing.assert_array_equal(nn.Dropout(rng=seed)(ones), nn.Dropout(rng=3)(ones))


def test_a_generator_advances_and_none_is_always_new():
    rng = np.random.default_rng(0)
    for source in (rng, None):
        a, b = nn.Linear(3, 4, rng=source), nn.Linear(3, 4, rng=source)
        assert (a.weight.data != b.weight.data).any()
        ones = np.ones(200)
        assert (nn.Dropout(rng=source)(ones) != nn.Dropout(rng=source)(ones)).any()
    equal = np.random.default_rng(0)
    assert_same_state(nn.Linear(3, 4, rng=equal), nn.Linear(3, 4, rng=np.random.default_rng(0)))


def test_weights_are_the_same_in_both_dtypes_but_for_rounding():
    np.testing.assert_allclose(*(nn.Conv2d(2, 3, 3, rng=1, dtype=d).weight.data for d in "fd"), rtol=1e-6)


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"]
)
def test_copies_go_their_own_way(clone, normal, images):
    model = network(images.dtype)
    model(images)
    model.backward(normal(6, 5))
    twin = clone(model)
    assert_same_state(model, twin)
    for mine, its in zip(model.parameters(), twin.parameters(), strict=True):
        assert mine is not its and not np.shares_memory(mine.data, its.data)
        np.testing.assert_array_equal(mine.grad, its.grad)
    with pytest.raises(RuntimeError, match="^Linear: backward expects a forward call before it"):
        twin.backward(normal(6, 5))
    np.testing.assert_array_equal(model(images), twin(images))  # the same mask: the generator was copied too
    twin[0].weight.data += 1
    assert (model[0].weight.data != twin[0].weight.data).all()


def test_a_call_goes_on_while_another_thread_calls_and_forgets():
    model = nn.Sequential(nn.ReLU(), nn.Flatten())
    children = iter(model)
    next(children)
    model(np.ones((1, 1, 2, 2), np.float32))
    model.forget()
    assert len(list(children)) == 1
    modules = model.named_modules()
    next(modules)
    for module in (model, *model):
        module._saved = ()
    assert [name for name, _ in modules] == ["0", "1"]


def test_forget_lets_go_of_every_layers_arrays():
    model, images = network(), np.ones((6, 1, 8, 8), np.float32)
    model(images)
    model.forget()
    assert all(module._saved is None for _, module in model.named_modules())
    with pytest.raises(RuntimeError, match="backward expects a forward call before it"):
        model.backward(np.ones((6, 5), np.float32))
