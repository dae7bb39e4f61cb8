"""Train a small convolutional network on scikit-learn's 1797 handwritten digits, with NumPy and fastops alone.

A fifth of the digits, with as many of each class as the others have, is held out: training never sees it.  Writes
learning_curve.png and predictions.png, and prints the accuracy on the held-out digits last.

    python examples/train_digits.py --epochs 20 --output-dir /tmp/digits
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastops import nn


class Digits(NamedTuple):
    """Images (N, 1, 8, 8) in float32, from 0 to 1, and their classes (N,)."""

    images: np.ndarray
    labels: np.ndarray


def load(seed: int) -> tuple[Digits, Digits]:
    """The digits to train on, and the stratified fifth to test on."""
    digits = load_digits()
    images = (digits.images[:, np.newaxis] / 16).astype(np.float32)
    parts = train_test_split(images, digits.target, test_size=0.2, stratify=digits.target, random_state=seed)
    return Digits(parts[0], parts[2]), Digits(parts[1], parts[3])


def network(rng: Any = None, p: float = 0.25) -> nn.Sequential:
    """LeNet's plan at 8 x 8 pixels: twice convolution and pooling, then two linear layers."""
    rng = np.random.default_rng(rng)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, rng=rng),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, rng=rng),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(p, rng=rng),
        nn.Linear(128, 64, rng=rng),
        nn.ReLU(),
        nn.Linear(64, 10, rng=rng),
    )


class MomentumSGD:
    """velocity = momentum * velocity + gradient; parameter -= learning rate * velocity."""

    def __init__(self, model: nn.Module, momentum: float = 0.9) -> None:
        self.parameters = list(model.parameters())
        self.velocities = [np.zeros_like(parameter.data) for parameter in self.parameters]
        self.momentum = momentum

    def step(self, learning_rate: float) -> None:
        for parameter, velocity in zip(self.parameters, self.velocities, strict=True):
            velocity *= self.momentum
            velocity += parameter.grad
            parameter.data -= learning_rate * velocity


def batches(count: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The numbers 0..count-1 in random order, `size` at a time."""
    order = rng.permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]


def on(device: str, array: np.ndarray) -> Any:
    """The array where the model is: itself, or a copy on the GPU."""
    if device == "cpu":
        return array
    import cupy  # of the extras cuda12 and cuda13

    return cupy.asarray(array)


def accuracy(model: nn.Module, digits: Digits, device: str) -> float:
    return float((predictions(model, digits, device) == digits.labels).mean())


def predictions(model: nn.Module, digits: Digits, device: str) -> np.ndarray:
    model.eval()
    classes = model(on(device, digits.images)).argmax(axis=1)
    return classes if device == "cpu" else classes.get()


class History(NamedTuple):
    """The loss of each step, and the accuracy on both parts after each epoch."""

    losses: list[float]
    training: list[float]
    test: list[float]


def train(
    model: nn.Module, training: Digits, test: Digits, rng: np.random.Generator, epochs: int, batch_size: int,
    learning_rate: float, device: str = "cpu",
) -> History:  # fmt: skip
    """Minimise the cross-entropy of `training`; the learning rate falls along a cosine.  `test` is only looked at."""
    history, criterion, optimiser = History([], [], []), nn.CrossEntropyLoss(), MomentumSGD(model)
    steps = epochs * math.ceil(len(training.labels) / batch_size)
    columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=steps)
        for _ in range(epochs):
            model.train()
            for batch in batches(len(training.labels), batch_size, rng):
                loss = criterion(model(on(device, training.images[batch])), on(device, training.labels[batch]))
                model.zero_grad()
                model.backward(criterion.backward())
                optimiser.step(learning_rate * (1 + math.cos(math.pi * len(history.losses) / steps)) / 2)
                history.losses.append(float(loss))
                progress.advance(task)
            history.training.append(accuracy(model, training, device))
            history.test.append(accuracy(model, test, device))
            progress.update(task, description=f"loss {float(loss):.4f}, test accuracy {history.test[-1]:.3f}")
    return history


# ------------------------------------------------------------------------------------------------------ pictures


def draw_learning_curve(history: History, path: Path) -> None:
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(history.test) + 1)
    per_epoch = np.array(history.losses).reshape(len(epochs), -1)
    steps = np.linspace(0, len(epochs), per_epoch.size, endpoint=False)
    left.semilogy(steps, history.losses, color="0.8", label="each batch")
    left.semilogy(epochs, per_epoch.mean(axis=1), color="C0", label="mean of the epoch")
    left.set(xlabel="epoch", ylabel="cross-entropy", title="Training loss")
    right.plot(epochs, history.training, color="C0", label="training digits, as in evaluation")
    right.plot(epochs, history.test, color="C1", label="held-out digits")
    right.axhline(0.98, color="0.6", linestyle=":", label="0.98")
    right.set(xlabel="epoch", ylabel="accuracy", title=f"Accuracy: {history.test[-1]:.3f} at the end")
    right.set_ylim(min(0.95, *history.training, *history.test) - 0.005, 1.003)
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def draw_predictions(test: Digits, predicted: np.ndarray, path: Path, columns: int = 20, cell: int = 13) -> None:
    """Each held-out digit over its prediction; wrong ones framed in red, with the truth."""
    rows = math.ceil(len(predicted) / columns)
    page = np.zeros((rows * cell, columns * cell))
    figure = Figure(figsize=(columns * 0.55, rows * 0.55 + 0.5), layout="constrained")
    axes = figure.subplots()
    for i, (image, label, guess) in enumerate(zip(test.images, test.labels, predicted, strict=True)):
        y, x = divmod(i, columns)
        y, x = y * cell, x * cell
        page[y + 1 : y + 9, x + 2 : x + 10] = image[0]
        wrong = guess != label
        text = f"{guess}, is {label}" if wrong else str(guess)
        axes.text(x + 5.5, y + 10.6, text, color="red" if wrong else "0.4", size=7, ha="center", va="center")
        if wrong:
            axes.add_patch(
                Rectangle((x - 0.3, y - 0.3), cell - 1.2, cell - 0.6, fill=False, color="red", linewidth=1.5)
            )
    axes.imshow(page, cmap="gray_r")
    axes.set_axis_off()
    axes.set_title(
        f"{len(predicted)} held-out digits and what they were read as: {(predicted != test.labels).sum()} wrong"
    )
    figure.savefig(path, dpi=110)


# ------------------------------------------------------------------------------------------------------- command


def positive(kind: type) -> Any:
    def parse(text: str) -> Any:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"expects a number greater than 0, got {text}")
        return value

    parse.__name__ = kind.__name__
    return parse


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=positive(int), default=20)
    parser.add_argument("--batch-size", type=positive(int), default=32)
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights, the batches and the dropout")
    parser.add_argument("--learning-rate", type=positive(float), default=0.05, help="at the start")
    parser.add_argument("--output-dir", type=Path, default=Path(), help="where the pictures go")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda needs CuPy and a GPU")
    options = parser.parse_args(arguments)
    if not 0 <= options.seed < 2**32:
        parser.error(f"argument --seed: expects a number from 0 to 2**32 - 1, got {options.seed}")

    training, test = load(options.seed)
    rng = np.random.default_rng(options.seed)
    device = options.device
    model = network(rng).to(device=device)
    history = train(model, training, test, rng, options.epochs, options.batch_size, options.learning_rate, device)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    draw_learning_curve(history, options.output_dir / "learning_curve.png")
    draw_predictions(test, predictions(model, test, device), options.output_dir / "predictions.png")
    print(f"pictures: {options.output_dir / 'learning_curve.png'}, {options.output_dir / 'predictions.png'}")
    print(f"test accuracy: {history.test[-1]:.3f}")


if __name__ == "__main__":
    main()
