"""`fastops compare --suite networks`: whole networks beside ONNX Runtime and torch, each in a process of its own."""

import importlib
import importlib.util
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fastops import _jit
from fastops.cli import UsageError
from fastops.cli.peers import Peer, PeerError
from fastops.cli.progress import progress_bar
from fastops.yardstick.graphs import to_onnx, to_torch
from fastops.yardstick.networks import NETWORKS, Shape
from fastops.yardstick.timing import Effort
from fastops.yardstick.whole import HEAD, MODELS, Ready, Row, Timed, every, measure

EFFORT = {"small": Effort(0.0, 0.0, 1.0), "full": Effort(0.1, 0.3, 10.0)}
# How each library is asked to prepare a network: its name for peer.py, and what it takes beside the model.
LIBRARIES: dict[str, tuple[str, dict[str, str]]] = {
    "exact": ("fastops", {"precision": "exact"}),
    "fast": ("fastops", {"precision": "fast"}),
    "onnxruntime": ("onnxruntime", {}),
    "torch": ("torch", {}),
}


def chosen(names: Sequence[str] | None) -> list[Timed]:
    """The cases of these networks, or all; those whose package is missing are left out with a word."""
    found = [timed for timed in every() if not names or timed.name in names]
    absent = sorted({MODELS[each.name].package for each in found if each.name in MODELS and not model_file(each.name)})
    if absent:
        print(f"Not installed, and left out: the models of {', '.join(absent)}.")
    found = [each for each in found if each.name in NETWORKS or model_file(each.name)]
    if not found:
        raise UsageError("no network is left to measure")
    return found


def model_file(name: str) -> Path | None:
    """A trained model's file, inside its package, which is not imported."""
    model = MODELS[name]
    spec = importlib.util.find_spec(model.package)
    folders = (spec.submodule_search_locations if spec else None) or []
    return next((path for folder in folders if (path := Path(folder, model.file)).is_file()), None)


def run(names: Sequence[str] | None, threads: int, size: str) -> list[Row]:
    """Measure, and print a line for each."""
    if not installed("onnx"):
        raise UsageError("--suite networks writes its networks with onnx, to install: pip install onnx onnxruntime")
    jobs, rows = chosen(names), []
    print(HEAD, flush=True)
    with progress_bar(len(jobs)) as show, tempfile.TemporaryDirectory() as folder:
        for number, timed in enumerate(jobs):
            show(number, f"{timed.name}, batch {timed.batch}")
            rows.append(row_of(timed, threads, EFFORT[size], Path(folder)))
            print(rows[-1], flush=True)
    return rows


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def row_of(timed: Timed, threads: int, effort: Effort, folder: Path) -> Row:
    """A network's figures; what a library raises is the row's problem."""
    models, inputs = files(timed, folder)
    shapes = tuple(each.shape for each in inputs)
    peers: dict[str, Peer] = {}
    ready, name = {}, ""
    with ExitStack() as stack:
        try:
            for name, (library, more) in LIBRARIES.items():
                if library in models and installed(library):
                    peers[name], seconds = prepared(library, threads, models[library], inputs, more)
                    stack.callback(peers[name].close)
                    ready[name] = Ready(peers[name], seconds)
            plain = partial(unoptimised, models["onnxruntime"], inputs, threads) if "onnxruntime" in ready else None
            name = "a library"  # which one, the sentence says
            return measure(timed, shapes, ready, effort, lambda name: peers[name].peak(), plain)
        except PeerError as error:
            return Row(timed.name, timed.group, timed.batch, shapes, None, f"{name}: {error}".splitlines()[0])


def unoptimised(model: str | bytes, inputs: list[Any], threads: int) -> list[Any]:
    """What ONNX Runtime gives of the graph as it stands: how far from its other answer tells float32's rounding."""
    with Peer("onnxruntime", threads) as peer:
        peer.prepare(model, inputs, optimised=False)
        return peer.outputs()


def prepared(library: str, threads: int, model: str, inputs: list[Any], more: dict[str, str]) -> tuple[Peer, float]:
    """A process that has called the network, and the seconds to its first answer with all kernels in the cache."""
    before = kernels()
    peer, seconds = started(library, threads, model, inputs, more)
    if kernels() != before:  # it has compiled some: a new process finds them
        peer.close()
        peer, seconds = started(library, threads, model, inputs, more)
    return peer, seconds


def started(library: str, threads: int, model: str, inputs: list[Any], more: dict[str, str]) -> tuple[Peer, float]:
    peer = Peer(library, threads)
    try:
        return peer, peer.prepare(model, inputs, **more)
    except BaseException:
        peer.close()
        raise


def kernels() -> set[str]:
    """Those in the cache on disk."""
    folder = _jit.cache_folder()
    return {path.name for path in folder.glob("*.nbc")} if folder else set()


def files(timed: Timed, folder: Path) -> tuple[dict[str, str], list[Any]]:
    """The network's file for each library that can read one, and its inputs."""
    onnx: Any = importlib.import_module("onnx")
    onnx_file, torch_file = (folder / f"{timed.name}.{suffix}" for suffix in ("onnx", "pt"))
    models = {"fastops": str(onnx_file), "onnxruntime": str(onnx_file)}
    if timed.name in MODELS:
        found = model_file(timed.name)
        if not onnx_file.exists():
            onnx.save(without_sizes(onnx.load(str(found))), str(onnx_file))
        return models, [normal((timed.batch, *MODELS[timed.name].shape))]
    network = NETWORKS[timed.name]
    if not onnx_file.exists():
        graph = network.graph()
        onnx.save(to_onnx(graph, onnx), str(onnx_file))
        if installed("torch"):
            torch: Any = importlib.import_module("torch")
            torch.save(to_torch(graph, torch), str(torch_file))
    if torch_file.exists():
        models["torch"] = str(torch_file)
    return models, list(network.inputs(timed.batch))


def normal(shape: Shape) -> Any:
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def without_sizes(model: Any) -> Any:
    """The model as it serves ONNX Runtime best, which holds callers to the sizes that an export declared, and folds no
    constant that is an input, too."""
    constants = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for value in (*model.graph.input, *model.graph.output):
        for number, size in enumerate(value.type.tensor_type.shape.dim):
            size.dim_param = f"{value.name}_{number}"
    return model
