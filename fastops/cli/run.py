"""Run a trained network from its ONNX file: what it gives, where the time goes, whether ONNX Runtime agrees."""

import argparse
import importlib
import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastops import _jit
from fastops.cli import EXTRA, UsageError
from fastops.cli.pages import start_again
from fastops.cli.peers import THREADS
from fastops.cli.run_compare import compared

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's photographs, channel by channel
CALLS = 5  # timed, after the first

Array = Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="the network")
    parser.add_argument(
        "--input", type=Path, metavar="PICTURE", help="a picture for its input; without one it gets random values"
    )
    parser.add_argument(
        "--shape",
        action="append",
        type=shape,
        metavar="1x3x480x640",
        help="of an input, where the file leaves it open; repeated, of the next one. A picture is resized to it",
    )
    parser.add_argument(
        "--pixels",
        choices=("255", "1", "standard"),
        default="255",
        help="the picture's values: from 0 to 255 (default) or to 1, or those less ImageNet's mean, by its deviation",
    )
    parser.add_argument(
        "--precision", choices=("exact", "fast"), default="exact", help="of the convolutions (default: exact)"
    )
    parser.add_argument("--profile", action="store_true", help="the time and share of each step")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the profile into FILE.png")
    parser.add_argument("--compare", action="store_true", help="the same in ONNX Runtime, and where the two part")
    parser.add_argument("--threads", type=int, metavar="N", help="how many (default: as many as there are cores)")


def shape(text: str) -> tuple[int, ...]:
    sizes = tuple(map(int, text.lower().split("x"))) if text else ()
    if not sizes or min(sizes) < 1:
        raise ValueError
    return sizes


def run(arguments: argparse.Namespace) -> int:
    if arguments.threads is not None:
        if arguments.threads < 1:
            raise UsageError(f"--threads expects 1 or more, got {arguments.threads}")
        start_again(dict.fromkeys(THREADS, str(arguments.threads)))
    if arguments.plot and arguments.plot.suffix.lower() != ".png":
        raise UsageError(f"--plot writes a PNG picture: its name must end in .png, got {arguments.plot}")
    try:
        onnx: Any = importlib.import_module("fastops.onnx")
    except ImportError as error:
        raise UsageError(str(error)) from None
    try:
        network = onnx.load(arguments.model, precision=arguments.precision)
        inputs = inputs_of(network, arguments)
        outputs, first, later = timed(network, inputs)
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        raise UsageError(" ".join(str(error).split())) from None
    for value, array in zip(network.inputs, inputs, strict=True):
        print(f"{value.name}: {array.dtype} {'x'.join(map(str, array.shape))}, {words(array)}")
    print(f"first answer in {first:.2f} s, then {1e3 * later:.3g} ms a call on {_jit.thread_count()} threads")
    for value, array in zip(network.outputs, outputs, strict=True):
        print(f"-> {value.name}: {array.dtype} {'x'.join(map(str, array.shape)) or 'a number'}, {words(array)}")
    if arguments.profile or arguments.plot:
        profile = network.profile(*inputs)
        if arguments.profile:
            print(profile)
        if arguments.plot:
            draw(profile, arguments.plot)
    if arguments.compare:
        return compared(onnx, network, arguments.model, inputs, list(outputs), arguments.precision)
    return 0


def timed(network: Any, inputs: Sequence[Array]) -> tuple[tuple[Array, ...], float, float]:
    """The outputs, the seconds of the first call, and of a later one."""
    start = time.perf_counter()
    try:
        with _jit.compiled_before():
            outputs = network(*inputs)
    except _jit.NotCompiled:
        print("Kernels of this network are compiled first, this once.", flush=True)
        outputs = network(*inputs)
    first, seconds = time.perf_counter() - start, []
    for _ in range(CALLS):
        start = time.perf_counter()
        network(*inputs)
        seconds.append(time.perf_counter() - start)
    return outputs if isinstance(outputs, tuple) else (outputs,), first, sorted(seconds)[CALLS // 2]


def words(array: Array) -> str:
    """The range of the values, and where the largest one is."""
    if array.size == 0:
        return "empty"
    if not np.isfinite(array).all():
        return f"{np.count_nonzero(~np.isfinite(array))} of {array.size} values are not finite"
    place = tuple(map(int, np.unravel_index(array.argmax(), array.shape)))
    low, high, mean = (f"{float(each):.4g}" for each in (array.min(), array.max(), array.mean()))
    return f"from {low} to {high}, mean {mean}; largest at {place}" if array.ndim else high


def draw(profile: Any, path: Path) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(f"--plot needs matplotlib, to install: {EXTRA}")
    try:
        profile.plot(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


# ------------------------------------------------------------------------------------------------------------ inputs


def inputs_of(network: Any, arguments: argparse.Namespace) -> list[Array]:
    """The picture or random values, in the shapes that were asked for, else in those that the file declares."""
    shapes = arguments.shape or []
    if len(shapes) > len(network.inputs):
        raise UsageError(f"{len(shapes)} shapes for {len(network.inputs)} inputs of {network.name}")
    if arguments.input:
        if len(network.inputs) != 1:
            raise UsageError(f"--input is for a network with one input; {network.name} has {len(network.inputs)}")
        wanted = shapes[0] if shapes else None
        return [picture(arguments.input, wanted, arguments.pixels).astype(network.inputs[0].dtype, copy=False)]
    rng, found = np.random.default_rng(0), []
    for number, value in enumerate(network.inputs):
        sizes = shapes[number] if number < len(shapes) else declared(value)
        dtype = np.dtype(value.dtype or np.float32)
        random = rng.standard_normal(sizes) if dtype.kind == "f" else np.zeros(sizes)
        found.append(random.astype(dtype))
    return found


def declared(value: Any) -> tuple[int, ...]:
    """What the file says; a free first size is a batch of 1."""
    sizes = value.shape
    if sizes is not None and sizes and not isinstance(sizes[0], int):
        sizes = (1, *sizes[1:])
    if sizes is None or not all(isinstance(each, int) and each > 0 for each in sizes):
        shown = "any shape" if sizes is None else "x".join("?" if isinstance(s, str) else str(s) for s in sizes)
        raise UsageError(f"the file leaves the shape of {value.name} open ({shown}): say it by --shape")
    return tuple(sizes)


def picture(path: Path, wanted: tuple[int, ...] | None, pixels: str) -> Array:
    """A picture as an array (1, C, H, W), in as many channels as the shape has, RGB without one."""
    channels = wanted[1] if wanted and len(wanted) == 4 else 3
    if wanted and (len(wanted) != 4 or wanted[0] != 1 or channels not in (1, 3)):
        raise UsageError(f"--shape of a picture is 1x3xHxW or 1x1xHxW, got {'x'.join(map(str, wanted))}")
    if not path.is_file():
        raise UsageError(f"no such picture: {path}")
    try:
        pictures: Any = importlib.import_module("PIL.Image")  # which scikit-image brings
        transform: Any = importlib.import_module("skimage.transform")
    except ImportError:
        raise UsageError(f"--input reads pictures by scikit-image, to install: {EXTRA}") from None
    try:
        with pictures.open(path) as opened:
            bytes_ = np.asarray(opened.convert("RGB" if channels == 3 else "L"))
    except OSError:
        raise UsageError(f"cannot read {path} as a picture") from None
    found = np.atleast_3d(bytes_) / 255
    if wanted:
        found = transform.resize(found, wanted[2:], anti_aliasing=True)
    if pixels == "standard":
        found = (found - MEAN) / DEVIATION if channels == 3 else (found - np.mean(MEAN)) / np.mean(DEVIATION)
    elif pixels == "255":
        found = 255 * found
    return np.ascontiguousarray(found.transpose(2, 0, 1)[None], np.float32)
