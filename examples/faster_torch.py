"""Make a ResNet-18 in torch faster on a CPU: fastops.torch.accelerate changes its layers, and nothing else.

Prints the time of a call by torch and by fastops, frozen for inference, of a step of training by both, and the largest
difference of what they give; writes faster_torch.png, a bar chart of the times.

    python examples/faster_torch.py --batch 1 --output-dir /tmp
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

import fastops.torch


class Block(nn.Module):
    """Two convolutions, and around them the identity (He et al., arXiv 1512.03385)."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False), nn.BatchNorm2d(filters)
        self.conv2, self.bn2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False), nn.BatchNorm2d(filters)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != filters:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + self.shortcut(x))


def resnet18(classes: int = 1000) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    layers.append(nn.MaxPool2d(3, 2, 1))
    channels = 64
    for filters in (64, 128, 256, 512):
        layers += [Block(channels, filters, 1 if filters == 64 else 2), Block(filters, filters, 1)]
        channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


def inference(model: nn.Module, images: torch.Tensor) -> Callable[[], torch.Tensor]:
    model.eval()

    def call() -> torch.Tensor:
        with torch.no_grad():
            return model(images)

    return call


def training(model: nn.Module, images: torch.Tensor) -> Callable[[], torch.Tensor]:
    """A step of SGD for random labels: its loss."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    labels = torch.arange(len(images)) % 1000

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def times(calls: list[Callable[[], Any]], rounds: int) -> list[float]:
    """The median milliseconds of each call, taken in turn: what slows the machine for a while slows them all."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, seconds in zip(calls, taken, strict=True):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    return [1e3 * statistics.median(seconds) for seconds in taken]


def chart(rows: dict[str, list[float]], file: Path) -> None:
    """Two bars for each row: torch's time and ours."""
    figure = Figure(figsize=(7, 1.2 + 0.9 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for shift, name, color in ((-0.2, "torch", "0.7"), (0.2, "fastops", "tab:blue")):
        values = [both[0 if name == "torch" else 1] for both in rows.values()]
        bars = axes.barh([i + shift for i in range(len(rows))], values, 0.38, label=name, color=color)
        axes.bar_label(bars, [f"{value:.1f} ms" for value in values], padding=3)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("milliseconds of a call")
    axes.set_title(f"ResNet-18 in torch, {torch.get_num_threads()} threads")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(file, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1, help="images of a call (default 1)")
    parser.add_argument("--size", type=int, default=224, help="their height and width (default 224)")
    parser.add_argument("--rounds", type=int, default=20, help="calls that are timed of each (default 20)")
    parser.add_argument("--output-dir", type=Path, default=Path())
    options = parser.parse_args()
    torch.manual_seed(0)
    images = torch.randn(options.batch, 3, options.size, options.size)
    model = resnet18()
    pairs = {
        "inference": [inference(model, images)]
        + [inference(fastops.torch.accelerate(copy.deepcopy(model).eval(), frozen=True), images)],
        "training": [training(copy.deepcopy(model), images)]
        + [training(fastops.torch.accelerate(copy.deepcopy(model)), images)],
    }
    rows = {}
    for name, calls in pairs.items():
        theirs, ours = (call() for call in calls)  # the first call compiles, or loads what was compiled before
        difference = float((ours - theirs).abs().max() / theirs.abs().max())
        rows[name] = taken = times(calls, options.rounds)
        print(
            f"{name:10} torch {taken[0]:7.1f} ms   fastops {taken[1]:7.1f} ms   {taken[0] / taken[1]:.2f} times as fast"
        )
        print(f"{'':10} largest difference {difference:.1e} of the largest value")
    options.output_dir.mkdir(parents=True, exist_ok=True)
    file = options.output_dir / "faster_torch.png"
    chart(rows, file)
    print(f"Wrote {file}.")


if __name__ == "__main__":
    main()
