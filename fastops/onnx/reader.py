"""From an ONNX file, its bytes or a ModelProto to a Graph; the package onnx reads, everything is copied out of it."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from . import versions
from .arity import arity_of
from .dtypes import DTYPES
from .graph import Array, Graph, Node, Value, ordered
from .tensors import Source, array_of, line, text, type_name
from .wire import Broken, without_data

OLDEST, NEWEST = 7, 28
"""Opsets that are read.  What is promised is 7 to 22; of the newer ones only types are new in what we have, and of the
older ones those operators are read that have not changed until 7."""


def read(model: Any) -> Graph:
    """The graph of a path, of a file's bytes or of an onnx.ModelProto."""
    if isinstance(model, onnx.ModelProto):
        return _graph(_name_of(model), model, Source(None, None, ()))
    if isinstance(model, (bytes, bytearray, memoryview)):
        proto, source = _parsed("the model", np.frombuffer(bytes(model), np.uint8), None)
        return _graph(_name_of(proto), proto, source)
    if not isinstance(model, (str, os.PathLike)):
        got = f"{type(model).__module__}.{type(model).__qualname__}".removeprefix("builtins.")
        raise TypeError(f"load: model expects a path, bytes or an onnx.ModelProto, got {got}")
    path = Path(model)
    if not path.is_file():
        raise FileNotFoundError(f"load: model expects an ONNX file, and there is none at {str(path)!r}")
    data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    return _graph(path.name, *_parsed(path.name, np.asarray(data), path))


def _name_of(model: onnx.ModelProto) -> str:
    return " ".join(text("the model", model.graph.name).split()) or "the model"


def _parsed(network: str, data: Array, file: Path | None) -> tuple[onnx.ModelProto, Source]:
    """The model as protobuf reads it, but for the large data of its initializers."""
    try:
        rest, places = without_data(data)
    except Broken:
        rest, places = data.tobytes(), []  # protobuf finds the same, or knows better
    try:
        return onnx.ModelProto.FromString(rest), Source(data, file, places)
    except DecodeError:
        raise ValueError(f"{network}: it is no ONNX model, or it is broken: protobuf cannot read it") from None


def _graph(network: str, model: onnx.ModelProto, source: Source) -> Graph:
    folder = source.file.parent if source.file else None
    if not model.HasField("graph") or not model.graph.output:
        raise ValueError(f"{network}: expects an ONNX model with a graph that has outputs, got none")
    opset = _opset(network, model)
    proto = model.graph
    constants: dict[str, Array] = {}
    if proto.sparse_initializer:
        raise NotImplementedError(f"{network}: sparse initializers are not supported")
    for i, tensor in enumerate(proto.initializer):
        if not tensor.name or tensor.name in constants:
            raise ValueError(f"{network}: initializers expect names of their own, got {tensor.name!r} twice or empty")
        constants[tensor.name] = array_of(network, tensor, folder, source, source.place(i))
    inputs = tuple(_value(network, each) for each in proto.input if each.name not in constants)
    if len({value.name for value in inputs}) != len(inputs):
        raise ValueError(f"{network}: inputs expect names of their own, got {[value.name for value in inputs]}")
    nodes: list[Node] = []
    for number, each in enumerate(proto.node):
        names = [each.op_type, each.name, each.domain, *each.input, *each.output, *(a.name for a in each.attribute)]
        for name in names:
            text(network, name)
        node = Node(
            each.op_type, each.name, tuple(each.input), tuple(each.output),
            {attribute.name: _attribute(network, attribute, folder) for attribute in each.attribute},
            "" if each.domain == "ai.onnx" else each.domain,
        )  # fmt: skip
        if not any(node.outputs):
            continue
        _check(network, node, opset)
        nodes += versions.as_newest(node, opset, constants, f"{node.label}/{number}")
    given = [*constants, *(value.name for value in inputs)]
    nodes = list(ordered(network, tuple(nodes), given))
    made = {name for node in nodes for name in node.outputs}
    outputs = tuple(_value(network, each) for each in proto.output)
    for output in outputs:
        if output.name not in made and output.name not in given:
            raise ValueError(f"{network}: nothing makes its output {output.name!r}")
    return Graph(network, inputs, outputs, constants, tuple(nodes), opset).with_nodes(nodes)


def _opset(network: str, model: onnx.ModelProto) -> int:
    opsets = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    if not model.opset_import and model.ir_version >= 3:
        raise ValueError(f"{network}: expects an ONNX model that says its opset, got none")
    if not opsets and model.opset_import:
        return NEWEST  # nodes of other domains alone, which are told with the others
    opset = opsets[0] if opsets else 1
    if opset > NEWEST:
        raise NotImplementedError(f"{network}: expects an opset from {OLDEST} to {NEWEST}, got {opset}")
    return int(opset)


def _check(network: str, node: Node, opset: int) -> None:
    """Refuse a node that ONNX's own definition of the operator does not know: too many inputs, a missing attribute."""
    if node.domain:
        return
    if opset < OLDEST and _changed(node, opset):
        raise NotImplementedError(f"{network}: node {node} expects an opset from {OLDEST} to {NEWEST}, got {opset}")
    arity = arity_of(node.op_type, max(opset, OLDEST))
    if arity is None:
        return  # an operator that nobody knows is told with the others that we lack
    if not (arity.least_inputs <= len(node.inputs) <= arity.most_inputs):
        expected = f"{arity.least_inputs} to {arity.most_inputs} inputs"
        raise ValueError(f"{network}: node {node} expects {expected}, got {len(node.inputs)}")
    if not (arity.least_outputs <= len(node.outputs) <= arity.most_outputs):
        expected = f"{arity.least_outputs} to {arity.most_outputs} outputs"
        raise ValueError(f"{network}: node {node} expects {expected}, got {len(node.outputs)}")
    for name in arity.required:
        if name not in node.attributes:
            raise ValueError(f"{network}: node {node} expects an attribute {name!r}, and it has none")


def _changed(node: Node, opset: int) -> bool:
    """Whether an operator of an opset older than ours is another one in ours."""
    try:
        schemas = [onnx.defs.get_schema(node.op_type, each, "") for each in (opset, OLDEST)]
    except onnx.defs.SchemaError:
        return False
    return bool(schemas[0].since_version != schemas[1].since_version)


def _value(network: str, info: onnx.ValueInfoProto) -> Value:
    text(network, info.name)
    kind = info.type.tensor_type
    if not info.type.HasField("tensor_type"):
        if info.type.WhichOneof("value") is None:
            return Value(info.name, None, None)
        raise NotImplementedError(f"{network}: {info.name!r} expects a tensor, got another type")
    if kind.elem_type and kind.elem_type not in DTYPES:
        raise NotImplementedError(
            f"{network}: {info.name!r} expects dtype float32, float64, bool or an integer's, "
            f"got {type_name(kind.elem_type)}"
        )
    shape: tuple[int | str | None, ...] | None = None
    if kind.HasField("shape"):
        shape = tuple(_size(network, size) for size in kind.shape.dim)
    return Value(info.name, DTYPES.get(kind.elem_type), shape)


def _size(network: str, size: onnx.TensorShapeProto.Dimension) -> int | str | None:
    """A declared size: a number, a name, or None where nothing is said, for which exporters write 0 and -1 too."""
    if size.HasField("dim_value") and size.dim_value > 0:
        return int(size.dim_value)
    return text(network, size.dim_param) or None


def _attribute(network: str, attribute: onnx.AttributeProto, folder: Path | None) -> Any:
    """A number, a string, an array, or a list of such; graphs inside a graph are kept as they are, to be refused."""
    try:
        value = onnx.helper.get_attribute_value(attribute)
    except ValueError as trouble:
        raise ValueError(f"{network}: attribute {attribute.name!r} is broken: {line(trouble)}") from None
    if isinstance(value, onnx.TensorProto):
        return array_of(network, value, folder)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Iterable) and not isinstance(value, (str, onnx.SparseTensorProto, onnx.GraphProto)):
        return [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in value]
    return value
