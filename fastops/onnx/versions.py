"""Nodes of older opsets as the newest one spells them, so that nothing after the reader asks for an opset.

Attributes that became inputs are put among the constants.  What an old node means and no new one can say stays an
attribute of ours: Softmax's `flattens`, and Upsample, which is a Resize with coordinates of its own.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .graph import Array, Constants, Node


def as_newest(node: Node, opset: int, constants: Constants, label: str) -> list[Node]:
    """The node, or what stands for it; new constants go to ``constants`` under names that begin with ``label``."""
    if node.domain:
        return [node]
    if node.op_type == "Constant":
        value = _constant(node)
        if value is None:
            return [node]
        constants[node.outputs[0]] = value
        return []
    for before, change in _CHANGES.get(node.op_type, ()):
        if opset < before:
            node = change(node, constants, label)
    return [node]


def _constant(node: Node) -> Array | None:
    """The value of a node Constant, or None for a sparse one and for strings, which are told with what we lack."""
    (name, value), *more = node.attributes.items() or [("", None)]
    kinds = {"value": None, "value_float": np.float32, "value_floats": np.float32, "value_int": np.int64,
             "value_ints": np.int64}  # fmt: skip
    if more or name not in kinds:
        return None
    array = np.array(value, kinds[name]) if kinds[name] else np.asarray(value)
    array.flags.writeable = False
    return array


def _inputs_from(*names: tuple[str, Any]) -> Callable[[Node, Constants, str], Node]:
    """A change that makes inputs, after the first one, of attributes; each by its name and the kind of its elements."""

    def change(node: Node, constants: Constants, label: str) -> Node:
        attributes, inputs = dict(node.attributes), [node.inputs[0]]
        for name, dtype in names:
            given = attributes.pop(name, None)
            if given is None:
                inputs.append("")
            else:
                inputs.append(f"{label}.{name}")
                constants[inputs[-1]] = np.array(given, dtype)
        while not inputs[-1]:
            inputs.pop()
        return replace(node, inputs=tuple(inputs), attributes=attributes)

    return change


def _with(**more: Any) -> Callable[[Node, Constants, str], Node]:
    """A change that adds attributes, those that are there before."""
    return lambda node, constants, label: replace(node, attributes={**more, **node.attributes})


def _flattened(node: Node, constants: Constants, label: str) -> Node:
    """Softmax over all dimensions from the axis on, which is 1 where nothing is said."""
    return replace(node, attributes={"axis": 1, **node.attributes, "flattens": True})


def _slice(node: Node, constants: Constants, label: str) -> Node:
    return _inputs_from(("starts", np.int64), ("ends", np.int64), ("axes", np.int64))(node, constants, label)


def _upsample(node: Node, constants: Constants, label: str) -> Node:
    """Upsample, and Resize of opset 10: coordinates by the factor alone, the pixel below."""
    if "scales" in node.attributes:
        node = _inputs_from(("scales", np.float32))(node, constants, label)
    attributes = {**node.attributes, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return replace(node, op_type="Resize", inputs=(node.inputs[0], "", *node.inputs[1:]), attributes=attributes)


def _dropout(node: Node, constants: Constants, label: str) -> Node:
    return replace(node, attributes={})  # since opset 7 it is inference's alone


def _batch_norm(node: Node, constants: Constants, label: str) -> Node:
    """Before opset 14 the outputs after the first one say that it trains."""
    if any(node.outputs[1:]):
        return replace(node, attributes={**node.attributes, "training_mode": 1, "old_training": True})
    return replace(node, outputs=node.outputs[:1], attributes={**node.attributes, "training_mode": 0})


_AXES = _inputs_from(("axes", np.int64))
_CHANGES: dict[str, tuple[tuple[int, Callable[[Node, Constants, str], Node]], ...]] = {
    "Clip": ((11, _inputs_from(("min", np.float32), ("max", np.float32))),),
    "Pad": ((11, _inputs_from(("pads", np.int64), ("value", np.float32))),),
    "Slice": ((10, _slice),),
    "Squeeze": ((13, _AXES),),
    "Unsqueeze": ((13, _AXES),),
    "ReduceSum": ((13, _AXES),),
    **dict.fromkeys(
        (
            "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
            "ReduceLogSum", "ReduceLogSumExp",
        ),
        ((18, _AXES),),
    ),
    "Split": ((13, _inputs_from(("split", np.int64))),),
    "Softmax": ((13, _flattened),),
    "LogSoftmax": ((13, _flattened),),
    "Upsample": ((1000, _upsample),),
    "Resize": ((11, _upsample),),
    "Dropout": ((12, _dropout),),
    "BatchNormalization": ((14, _batch_norm),),
}  # fmt: skip
