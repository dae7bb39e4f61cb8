"""The third line of `fastops compare --suite`: the same call in ONNX Runtime, where it has the operator."""

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from fastops.cli.peers import Peer, PeerError
from fastops.yardstick.cases import Array, Case
from fastops.yardstick.work import Noted

EXTRA = "pip install onnxruntime onnx"
MODULES = ("onnxruntime", "onnx")
OPSET, IR_VERSION = 17, 8  # old enough for every onnxruntime of the last years

Node = tuple[str, dict[str, Any], Sequence[Array]]  # its type, its attributes, the constants after the input


def installed() -> bool:
    try:
        for module in MODULES:
            importlib.import_module(module)
    except ImportError:
        return False
    return True


class OnnxRuntime:
    """ONNX Runtime in a process of its own, for one case after the other."""

    def __init__(self, threads: int) -> None:
        self.peer = Peer("onnxruntime", threads)

    def __call__(self, case: Case, arrays: Sequence[Array]) -> Peer | None:
        """The process with the case prepared, weights as constants; None where ONNX Runtime has no such operator."""
        make = NODES.get(case.operator)
        if make is None or not arrays[0].flags.c_contiguous:
            return None
        noted = Noted(case, arrays)
        node = make(*noted.args, **noted.options)
        if node is None:
            return None
        try:
            self.peer.prepare(model(node, arrays[0]), [arrays[0]])
        except PeerError as error:
            if error.kind in ("NotImplemented", "Fail", "InvalidGraph"):  # convolutions in float64, for one
                return None
            raise
        return self.peer

    def __enter__(self) -> "OnnxRuntime":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.peer.close()


def model(node: Node, x: Array) -> bytes:
    """One node, its input and its constants."""
    helper, numpy_helper = importlib.import_module("onnx.helper"), importlib.import_module("onnx.numpy_helper")
    kind, attributes, constants = node
    names = [f"constant {i}" for i in range(len(constants))]
    outputs = ["output", "indices"] if attributes.pop("indices", False) else ["output"]
    number = helper.np_dtype_to_tensor_dtype(x.dtype)
    types = (number, helper.np_dtype_to_tensor_dtype(np.dtype(np.int64)))
    graph = helper.make_graph(
        [helper.make_node(kind, ["input", *names], outputs, **attributes)],
        "case",
        [helper.make_tensor_value_info("input", number, x.shape)],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in zip(outputs, types, strict=False)],
        [numpy_helper.from_array(value, name) for name, value in zip(names, constants, strict=True)],
    )
    opset = [helper.make_opsetid("", OPSET)]
    made: bytes = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION).SerializeToString()
    return made


# ---------------------------------------------------------------------------- from fastops's arguments to ONNX's


def pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def around(padding: Any) -> list[int]:
    """The padding at the top and left, then at the bottom and right."""
    return pair(padding) * 2


def convolution(
    kind: str,
    x: Array,
    weight: Array,
    bias: Array,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    output_padding: Any = None,
) -> Node:
    attributes: dict[str, Any] = {"strides": pair(stride), "dilations": pair(dilation), "group": groups}
    if padding == "same":  # with a stride of 1; ONNX Runtime's own 'same' has no dilation
        whole = [d * (size - 1) for d, size in zip(pair(dilation), weight.shape[2:], strict=True)]
        attributes["pads"] = [total // 2 for total in whole] + [total - total // 2 for total in whole]
    else:
        attributes["pads"] = around(padding)
    attributes |= {"output_padding": pair(output_padding)} if output_padding else {}
    return kind, attributes, (weight, bias)


def pool(
    kind: str,
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    return_indices: bool = False,
) -> Node:
    more: dict[str, Any] = {"indices": return_indices} if kind == "MaxPool" else {"count_include_pad": 1}
    window = {"kernel_shape": pair(kernel_size), "strides": pair(kernel_size if stride is None else stride)}
    return kind, {**window, "pads": around(padding), **more}, ()


def batch_norm(
    x: Array, mean: Array, var: Array, weight: Array, bias: Array, training: bool = False, eps: float = 1e-5
) -> Node | None:
    return None if training else ("BatchNormalization", {"epsilon": eps}, (weight, bias, mean, var))


def along(kind: str, x: Array, dim: int) -> Node:
    return kind, {"axis": dim}, ()


def alone(kind: str, x: Array) -> Node:
    return kind, {}, ()


def clamp(x: Array, min: float, max: float) -> Node:
    return "Clip", {}, (np.array(min, x.dtype), np.array(max, x.dtype))


def hardsigmoid(x: Array) -> Node:
    return "HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, ()


def prelu(x: Array, weight: Array) -> Node:
    return "PRelu", {}, (weight.reshape(-1, 1, 1),)


def flatten(x: Array, start_dim: int) -> Node | None:
    return ("Flatten", {"axis": 1}, ()) if start_dim == 1 else None


NODES: dict[str, Callable[..., Node | None]] = {
    "conv2d": partial(convolution, "Conv"),
    "conv_transpose2d": partial(convolution, "ConvTranspose"),
    "max_pool2d": partial(pool, "MaxPool"),
    "avg_pool2d": partial(pool, "AveragePool"),
    "batch_norm": batch_norm,
    "relu": partial(alone, "Relu"),
    "relu6": lambda x: clamp(x, 0, 6),
    "leaky_relu": partial(alone, "LeakyRelu"),
    "prelu": prelu,
    "clamp": clamp,
    "sigmoid": partial(alone, "Sigmoid"),
    "hardsigmoid": hardsigmoid,
    "hardswish": partial(alone, "HardSwish"),
    "flatten": flatten,
    "softmax": partial(along, "Softmax"),
    "log_softmax": partial(along, "LogSoftmax"),
}
