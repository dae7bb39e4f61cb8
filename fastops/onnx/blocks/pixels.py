"""Operators that do the same at each pixel: element by element, or along channels."""

from typing import Any

import numpy as np

from ..inference import Spec
from ..operators import OPERATORS
from ..simplify import listed
from .pieces import Piece, same
from .rule import ONE, New, NotLocal, Rule, Seen, rule


def _pointwise(seen: Seen, broadcasts: bool, stretched: tuple[int, int]) -> Rule:
    """A node that does the same at each pixel: what it makes is seen at one."""
    arrays: list[Any] = []
    for name in seen.node.inputs:
        if not name:
            arrays.append(None)
        elif name in seen.constants:
            array = seen.constants[name]
            place: Any = (..., *(slice(0, 1),) * min(2, array.ndim))
            arrays.append(array[place] if broadcasts else array)
        else:
            spec = seen.specs[name]
            arrays.append(np.zeros((*spec.shape[:-2], 1, 1), spec.dtype))
    call = seen.call(arrays)
    with np.errstate(all="ignore"):
        results = listed(OPERATORS[seen.node.op_type].make(call)(*arrays))
    if call.depends:
        raise NotLocal
    outputs = tuple(Spec((*each.shape[:-2], *stretched), each.dtype) for each in map(np.asarray, results))
    return Rule(outputs, (same, same), (ONE, ONE), broadcasts, seen.unchanged)


@rule(
    "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil", "Celu", "Clip", "Cos",
    "Cosh", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid",
    "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish",
    "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin",
    "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor",
)  # fmt: skip
def _element_wise(seen: Seen) -> Rule:
    shapes = [seen.specs[name].shape for name in seen.images]
    rank = len(shapes[0])
    if rank < 3 or any(len(shape) != rank or shape[0] != shapes[0][0] for shape in shapes):
        raise NotLocal
    given = [seen.constants[name].shape for name in seen.node.inputs if name in seen.constants]
    if any(len(shape) > rank or (len(shape) == rank and shape[0] != 1) for shape in given):
        raise NotLocal
    height, width = np.broadcast_shapes(*(shape[-2:] for shape in (*shapes, *given)))
    return _pointwise(seen, True, (height, width))


def _of_channels(seen: Seen, others: bool = False) -> Rule:
    """A node that joins channels; ``others``: its other inputs may be images, too."""
    images = list(seen.node.inputs) if others else [seen.node.inputs[0]]
    if seen.images != images or len({seen.specs[name].shape[-2:] for name in images}) != 1:
        raise NotLocal
    height, width = seen.shape()[-2:]
    return _pointwise(seen, False, (height, width))


@rule("BatchNormalization", "LRN")
def _normalization(seen: Seen) -> Rule:
    if seen.node.attributes.get("training_mode", 0) or len(seen.shape()) < 4:
        raise NotLocal
    return _of_channels(seen)


@rule("Softmax", "LogSoftmax", "ArgMax", "ArgMin", "Split", "Gather", "Concat")
def _along_channels(seen: Seen) -> Rule:
    attributes, op = seen.node.attributes, seen.node.op_type
    default = {"Concat": 1, "Softmax": -1, "LogSoftmax": -1}.get(op, 0)
    seen.inner([int(attributes.get("axis", default))])
    if attributes.get("flattens") or (op.startswith("Arg") and not attributes.get("keepdims", 1)):
        raise NotLocal
    return _of_channels(seen, others=op == "Concat")


@rule("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
      "ReduceLogSum", "ReduceLogSumExp")  # fmt: skip
def _reduction(seen: Seen) -> Rule:
    axes = seen.ints(1)
    if not axes or not seen.node.attributes.get("keepdims", 1):
        raise NotLocal
    seen.inner(axes)
    return _of_channels(seen)


@rule("Transpose")
def _transpose(seen: Seen) -> Rule:
    rank = len(seen.shape())
    order = [int(axis) % rank for axis in seen.node.attributes.get("perm") or range(rank)[::-1]]
    if order[0] != 0 or order[-2:] != [rank - 2, rank - 1]:
        raise NotLocal
    return _of_channels(seen)


@rule("Squeeze", "Unsqueeze")
def _squeeze(seen: Seen) -> Rule:
    axes = seen.ints(1)
    if not axes:
        raise NotLocal
    rank = len(seen.shape()) + (len(axes) if seen.node.op_type == "Unsqueeze" else 0)
    seen.inner(axes, rank)
    return _of_channels(seen)


@rule("Reshape")
def _reshape(seen: Seen) -> Rule:
    """Channels in another shape: the batch, height and width stay."""
    old, wanted = seen.shape(), seen.ints(1)
    if seen.images != [seen.node.inputs[0]] or len(old) < 3 or len(wanted) < 3:
        raise NotLocal
    call = seen.whole()
    new = OPERATORS["Reshape"].make(call)(*call.arrays).shape
    if new[0] != old[0] or new[-2:] != old[-2:]:
        raise NotLocal

    def rewritten(rows: Piece, columns: Piece) -> New:
        return seen.with_input(1, [-1, *new[1:-2], rows.outputs, columns.outputs], allowzero=0)

    spec = Spec(new, seen.specs[seen.node.inputs[0]].dtype)
    return Rule((spec,), (same, same), (ONE, ONE), False, rewritten)
