"""Measure whole models in torch beside the same models accelerated, each in a process of its own, asked in turn.

`python scripts/measure_torch_models.py` prints, for the networks of fastops/yardstick/networks.py, torch's time / ours:
evaluation at batch 1 and 8, by layers that keep nothing ("live") and frozen, and a training step at batch 8, with the
geometric means and worst cases that were asked for.  `--inductor` sets torch.compile beside them, where there is a
compiler.  `--profile resnet50` tells instead where the time of a call goes.  Run it on a quiet machine.
"""

import argparse
import cProfile
import pstats
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from operator import truediv
from pathlib import Path
from typing import Any, NamedTuple

import torch

import fastops.torch
from fastops._jit import thread_count
from fastops.cli.networks import prepared
from fastops.cli.peers import PeerError
from fastops.yardstick.graphs import to_torch
from fastops.yardstick.networks import NETWORKS
from fastops.yardstick.timing import Effort, median, timings

MODELS = ("resnet18", "resnet50", "mobilenet_v2", "vgg16", "unet", "dcgan")


class Timed(NamedTuple):
    """A way to call a model, and the ratios to reach: of the mean, and of the worst."""

    name: str
    batch: int
    accelerate: str
    training: bool
    mean: float
    worst: float


WAYS = (
    Timed("frozen, batch 1", 1, "frozen", False, 1.8, 1.2),
    Timed("frozen, batch 8", 8, "frozen", False, 1.8, 1.2),
    Timed("live, batch 1", 1, "live", False, 1.4, 1.0),
    Timed("live, batch 8", 8, "live", False, 1.4, 1.0),
    Timed("training, batch 8", 8, "live", True, 1.4, 1.1),
)


def ratios(
    way: Timed, file: str, inputs: list[Any], others: Sequence[str], threads: int, effort: Effort
) -> dict[str, tuple[float, float]]:
    """By who stands beside torch, (torch's time / its, milliseconds): ours, and `others`."""
    found = {}
    with ExitStack() as stack:
        peers = {}
        for name in ("torch", way.accelerate, *others):
            more: Any = {"accelerate": None if name == "torch" else name, "training": way.training}
            peers[name], _ = prepared("torch", threads, file, inputs, more)
            stack.callback(peers[name].close)
        rounds = list(timings((), effort, others=[peer.seconds for peer in peers.values()]))
        times = dict(zip(peers, zip(*rounds, strict=True), strict=True))
        for name in list(peers)[1:]:
            ratio = median(map(truediv, times["torch"], times[name])) or 0.0
            found[name] = ratio, 1e3 * (median(times[name]) or 0.0)
    return found


def profile(name: str, batch: int, edge: int | None, way: str) -> None:
    """Print where the time of ten calls goes, by function."""
    module = to_torch(NETWORKS[name].graph(), torch)
    if way != "torch":
        fastops.torch.accelerate(module, frozen=way == "frozen")
    inputs = [torch.from_numpy(each) for each in NETWORKS[name].inputs(batch, edge)]
    with torch.no_grad():
        module(*inputs)
        profiler = cProfile.Profile()
        profiler.enable()
        for _ in range(10):
            module(*inputs)
        profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each model and way")
    parser.add_argument("--edge", type=int, help="height and width of the images, in place of the model's own")
    parser.add_argument("--threads", type=int, default=thread_count())
    parser.add_argument("--inductor", action="store_true", help="torch.compile beside them")
    parser.add_argument("--profile", choices=MODELS, metavar="MODEL")
    parser.add_argument("--way", choices=("frozen", "live", "torch"), default="frozen", help="what is profiled")
    arguments = parser.parse_args()
    if arguments.profile:
        profile(arguments.profile, 1, arguments.edge, arguments.way)
        return
    others = ["inductor"] if arguments.inductor else []
    effort = Effort(0.1, 0.3, arguments.seconds)
    with tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            found = []
            for name in arguments.models:
                file = Path(folder, f"{name}.pt")
                if not file.exists():
                    torch.save(to_torch(NETWORKS[name].graph(), torch), file)
                edge = arguments.edge if name not in ("dcgan", "vgg16") else None
                inputs = list(NETWORKS[name].inputs(way.batch, edge))
                try:
                    made = ratios(way, str(file), inputs, others, arguments.threads, effort)
                except PeerError as error:
                    print(f"{way.name:18} {name:13} {error}")
                    continue
                found.append(made[way.accelerate][0])
                line = "  ".join(f"{who} {ratio:.2f} ({ms:.3g} ms)" for who, (ratio, ms) in made.items())
                print(f"{way.name:18} {name:13} {line}", flush=True)
            if found:
                mean, worst = statistics.geometric_mean(found), min(found)
                print(f"{way.name:18} mean {mean:.2f} of {way.mean}, worst {worst:.2f} of {way.worst}", flush=True)


if __name__ == "__main__":
    main()
