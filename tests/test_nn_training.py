"""Networks trained on the real digits: beside torch, and by the example."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import fastops
from fastops import nn

EXAMPLE = Path(__file__).parents[1] / "examples" / "train_digits.py"


@pytest.fixture(scope="module")
def digits():
    """The example as a module."""
    for needed in ("sklearn", "matplotlib", "rich"):
        pytest.importorskip(needed)
    spec = importlib.util.spec_from_file_location("train_digits", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def torchs_network(torch, p: float):
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.BatchNorm2d(16),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(16, 32, 3, padding=1),
        torch.nn.BatchNorm2d(32),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Dropout(p),
        torch.nn.Linear(128, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 10),
    )


def smoothed(network, layers):
    """The network with mean for max pools and without ReLUs: no step of it jumps when a last digit differs."""
    kept = [layer for layer in network if not isinstance(layer, layers.ReLU)]
    return layers.Sequential(*[layers.AvgPool2d(2) if isinstance(x, layers.MaxPool2d) else x for x in kept])


@pytest.mark.parametrize("smooth", [False, True], ids=["the example's", "smooth"])
def test_the_losses_of_100_steps_are_torchs(digits, smooth):
    """The example's network in float64, a smooth one in float32.

    Where two pixels tie, or a ReLU is near 0, the last digit decides the way of a gradient: in float32 torch with and
    without oneDNN differ by up to 0.6 in these losses after such a step (seeds 1 to 6), in float64 nothing ties.
    """
    torch = pytest.importorskip("torch")
    training, _ = digits.load(0)
    mine, theirs, dtype = digits.network(1, p=0.0), torchs_network(torch, p=0.0), np.float32
    if smooth:
        mine, theirs = smoothed(mine, nn), smoothed(theirs, torch.nn)
    else:
        mine, theirs, dtype = mine.to(np.float64), theirs.double(), np.float64
    theirs.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in mine.state_dict().items()})
    criterion, optimiser = nn.CrossEntropyLoss(), digits.MomentumSGD(mine)
    their_optimiser = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    rng, losses, expected = np.random.default_rng(2), [], []
    order = [batch for _ in range(3) for batch in digits.batches(len(training.labels), 32, rng)][:100]
    for batch in order:
        images, labels = training.images[batch].astype(dtype), training.labels[batch]
        losses.append(criterion(mine(images), labels))
        mine.zero_grad()
        mine.backward(criterion.backward())
        optimiser.step(0.05)

        their_optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(images)), torch.from_numpy(labels))
        loss.backward()
        their_optimiser.step()
        expected.append(loss.item())
    assert len(losses) == 100 and np.mean(losses[-10:]) < 0.3 < 2 < losses[0]
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-4 if smooth else 1e-9)
    for name, array in theirs.state_dict().items():
        np.testing.assert_allclose(mine.state_dict()[name], array.numpy(), rtol=0, atol=1e-3 if smooth else 1e-9)


def test_the_gradients_of_the_whole_network_are_torchs(digits):
    torch = pytest.importorskip("torch")
    from torch_layers import Twins, assert_near

    training, _ = digits.load(0)
    mine, theirs = digits.network(1, p=0.0).to(np.float64), torchs_network(torch, p=0.0)
    both = Twins(mine, theirs, np.float64)
    for start in range(0, 320, 32):
        both.agree(training.images[start : start + 32].astype(float), rng=np.random.default_rng(start))
    assert mine[1].num_batches_tracked == 10
    images, labels = training.images[:64].astype(float), training.labels[:64]
    criterion = nn.CrossEntropyLoss()
    leaf = torch.from_numpy(images.copy()).requires_grad_()
    torch.nn.functional.cross_entropy(theirs(leaf), torch.from_numpy(labels)).backward()
    criterion(mine(images), labels)
    assert_near(mine.backward(criterion.backward()), leaf.grad.numpy())


def test_the_gradient_with_dropout_is_that_of_central_differences(digits):
    """Every step of the network at once, along one random direction, with the mask held still."""
    training, _ = digits.load(0)
    images, labels, criterion = training.images[:20].astype(float), training.labels[:20], nn.CrossEntropyLoss()
    model, rng = digits.network(1).to(np.float64), np.random.default_rng(3)
    directions = [rng.standard_normal(parameter.data.shape) for parameter in model.parameters()]

    def loss(step: float) -> float:
        model[9].rng = np.random.default_rng(4)
        for parameter, direction in zip(model.parameters(), directions, strict=True):
            parameter.data += step * direction
        value = criterion(model(images), labels)
        for parameter, direction in zip(model.parameters(), directions, strict=True):
            parameter.data -= step * direction
        return float(value)

    loss(0.0)
    model.backward(criterion.backward())
    slope = sum((p.grad * d).sum() for p, d in zip(model.parameters(), directions, strict=True))
    assert slope == pytest.approx((loss(1e-6) - loss(-1e-6)) / 2e-6, rel=1e-4)


def test_a_network_of_the_other_layers_learns(rng, dtype):
    """Transposed convolution, average pooling, sigmoid, softmax, squared error: a small autoencoder."""
    images = fastops.sigmoid(rng.standard_normal((8, 1, 6, 6)).astype(dtype))
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, padding_mode="circular", dtype=dtype, rng=1),
        nn.Sigmoid(),
        nn.AvgPool2d(2),
        nn.ConvTranspose2d(8, 8, 2, stride=2, dtype=dtype, rng=2),
        nn.BatchNorm2d(8, dtype=dtype),
        nn.Softmax(1),
        nn.Conv2d(8, 1, 3, padding="same", dtype=dtype, rng=3),
    )
    criterion, losses = nn.MSELoss(), []
    for _ in range(100):
        losses.append(criterion(model(images), images))
        model.zero_grad()
        assert model.backward(criterion.backward()).shape == images.shape
        for parameter in model.parameters():
            parameter.data -= 0.5 * parameter.grad
    assert losses[-1] < losses[0] / 3


# --------------------------------------------------------------------------------------------------- the example


def test_the_fifth_is_stratified_and_held_out(digits):
    training, test = digits.load(0)
    assert (len(training.labels), len(test.labels)) == (1437, 360)
    share = np.bincount(test.labels) / np.bincount(np.concatenate([training.labels, test.labels]))
    assert (abs(share - 0.2) < 0.004).all()
    assert (digits.load(0)[1].images == test.images).all() and (digits.load(1)[1].labels != test.labels).any()


def test_the_example_trains_draws_and_prints_the_accuracy_last(digits, tmp_path, capsys):
    options = ["--epochs", "3", "--batch-size", "50", "--seed", "3", "--output-dir", str(tmp_path / "new" / "folder")]
    said = []
    for _ in range(2):
        digits.main(options)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    last = re.fullmatch(r"test accuracy: (0\.\d{3})", said[0].splitlines()[-1])
    assert last and float(last[1]) > 0.9
    pictures = sorted((tmp_path / "new" / "folder").iterdir())
    assert [picture.name for picture in pictures] == ["learning_curve.png", "predictions.png"]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.parametrize(
    "bad",
    [["--epochs", "0"], ["--batch-size", "x"], ["--learning-rate", "nan"], ["--learning-rate", "-1"], ["--seed", "-1"]],
)
def test_the_example_refuses_bad_arguments(digits, capsys, bad):
    with pytest.raises(SystemExit) as caught:
        digits.main(bad)
    assert caught.value.code == 2 and f"argument {bad[0]}: " in capsys.readouterr().err
