"""`fastops run --compare`: the same network in ONNX Runtime; where the two part, the first node that differs."""

import copy
import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from operator import truediv
from pathlib import Path
from typing import Any

import numpy as np

from fastops import _jit
from fastops.cli import UsageError
from fastops.cli.networks import unoptimised, without_sizes
from fastops.cli.peers import Peer, PeerError
from fastops.yardstick.timing import EFFORT, median, timings
from fastops.yardstick.whole import allowed, largest_error

Array = Any


def compared(plug: Any, network: Any, path: Path, inputs: list[Array], outputs: list[Array], precision: str) -> int:
    """Print the largest difference of each output and the ratio of times; 1 where an output differs too much."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise UsageError("--compare needs ONNX Runtime, to install: pip install onnxruntime onnx")
    onnx: Any = importlib.import_module("onnx")
    model = without_sizes(onnx.load(str(path)))
    with Peer("onnxruntime", _jit.thread_count()) as peer:
        try:
            peer.prepare(as_bytes(model), inputs)
            due = peer.outputs()
            rounds = list(timings((lambda: network(*inputs),), EFFORT["small"], others=[peer.seconds]))
        except PeerError as error:
            raise UsageError(f"ONNX Runtime cannot run {path.name}: {' '.join(str(error).split())}") from None
        limit = allowed(precision, largest_error(unoptimised(as_bytes(model), inputs, peer.threads), due))
        ours, theirs = zip(*rounds, strict=True)
        print(f"ONNX Runtime takes {1e3 * (median(theirs) or 0):.3g} ms, {times(ours, theirs):.2f} times fastops's")
        parted = False
        for value, got, want in zip(network.outputs, outputs, due, strict=True):
            off = largest_error([got], [want])
            apart = not off <= limit
            parted = parted or apart
            verdict = "DIFFERS" if apart else "agrees"
            print(f"{value.name} {verdict}: largest difference {off:.1e} of the largest value, {limit:.1e} allowed")
        if parted:
            print(first_difference(plug, onnx, model, inputs, peer, precision, limit))
    return int(parted)


def times(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return median(map(truediv, theirs, ours)) or 0.0


def as_bytes(model: Any) -> bytes:
    try:
        found: bytes = model.SerializeToString()
    except Exception as error:  # protobuf's own, above 2 GiB
        raise UsageError(f"--compare cannot hand the network to ONNX Runtime: {error}") from None
    return found


# ------------------------------------------------------------------------------------------------ the first node


def first_difference(
    plug: Any, onnx: Any, model: Any, inputs: list[Array], peer: Peer, precision: str, limit: float
) -> str:
    """A sentence on the first node, in the order of the file, whose values are not those of ONNX Runtime.

    Node by node as they stand in the file; where all of those agree, a fusion is to blame: then the network is cut
    after each node, which leaves fusions in front of it as they are.
    """
    nodes = [node for node in model.graph.node if any(node.output)]
    names = [name for node in nodes for name in node.output if name]
    everything = with_outputs(onnx, model, names)
    peer.prepare(as_bytes(everything), inputs)
    due = dict(zip(names, peer.outputs(), strict=True))
    try:
        found = plug.load(everything, precision=precision)(*inputs)
    except (ValueError, NotImplementedError) as error:
        return f"The nodes cannot be compared one by one: {error}"
    alone = dict(zip(names, found if isinstance(found, tuple) else (found,), strict=True))
    for node, name, off in differences(nodes, alone, due, limit):
        return f"The first node that differs: {told(node)}, its {name} by {off:.1e} of the largest value."
    for node in nodes:
        kept = [name for name in node.output if name]
        found = plug.load(with_outputs(onnx, model, kept), precision=precision)(*inputs)
        cut = dict(zip(kept, found if isinstance(found, tuple) else (found,), strict=True))
        for _, name, off in differences([node], cut, due, limit):
            text = f"by {off:.1e} of the largest value, though each node agrees by itself: a fusion differs"
            return f"The first node that differs: {told(node)}, its {name} {text}."
    return "No node differs where the network is cut after it: its last steps differ only together."


def with_outputs(onnx: Any, model: Any, names: Sequence[str]) -> Any:
    """A copy of the model whose outputs are these values."""
    other = copy.deepcopy(model)
    del other.graph.output[:]
    other.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return other


def differences(
    nodes: Sequence[Any], got: dict[str, Array], due: dict[str, Array], limit: float
) -> Iterator[tuple[Any, str, float]]:
    for node in nodes:
        for name in node.output:
            if name:
                off = largest_error([np.asarray(got[name])], [np.asarray(due[name])])
                if not off <= limit:
                    yield node, name, off


def told(node: Any) -> str:
    return f"{node.name or next(filter(None, node.output))} ({node.op_type})"
