"""How many inputs and outputs each operator has from which opset on, and which attributes it must have.

The package onnx knows the same, but makes the schemas of all its operators when it is first asked for one: 18 of the
26 ms that loading MobileNetV2 took.  tests/test_onnx_opsets.py holds this table to it.
"""

from typing import NamedTuple

MANY = 2**31 - 1


class Arity(NamedTuple):
    """What a node of an operator has, from an opset on."""

    since: int
    least_inputs: int
    most_inputs: int
    least_outputs: int
    most_outputs: int
    required: tuple[str, ...]


_OPERATORS: list[tuple[tuple[int, int, int, int, int, tuple[str, ...]], str]] = [
    ((7, 0, 0, 1, 1, ("value",)), "Constant"),
    ((11, 0, 0, 1, 1, ()), "Constant"),
    ((7, 1, 1, 1, 1, ()), (
        "Abs Acos ArgMax ArgMin Asin Atan Ceil Clip Cos Elu Exp Flatten Floor GlobalAveragePool GlobalMaxPool "
        "HardSigmoid Identity LeakyRelu Log LogSoftmax Neg Not Reciprocal ReduceL1 ReduceL2 ReduceLogSum "
        "ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Selu Shape Sigmoid "
        "Sin Size Softmax Softplus Softsign Sqrt Squeeze Tan Tanh Transpose"
    )),
    ((9, 1, 1, 1, 1, ()), "Acosh Asinh Atanh ConstantOfShape Cosh Erf EyeLike IsNaN NonZero Sign Sinh"),
    ((10, 1, 1, 1, 1, ()), "IsInf ThresholdedRelu"),
    ((11, 1, 1, 1, 1, ()), "Round"),
    ((12, 1, 1, 1, 1, ()), "Celu"),
    ((14, 1, 1, 1, 1, ()), "HardSwish"),
    ((18, 1, 1, 1, 1, ()), "Mish"),
    ((20, 1, 1, 1, 1, ()), "Gelu"),
    ((24, 1, 1, 1, 1, ()), "Swish"),
    ((7, 1, 1, 1, 1, ("axes",)), "Unsqueeze"),
    ((7, 1, 1, 1, 1, ("blocksize",)), "DepthToSpace SpaceToDepth"),
    ((7, 1, 1, 1, 1, ("ends", "starts")), "Slice"),
    ((7, 1, 1, 1, 1, ("kernel_shape",)), "AveragePool MaxPool"),
    ((7, 1, 1, 1, 1, ("pads",)), "Pad"),
    ((7, 1, 1, 1, 1, ("size",)), "LRN"),
    ((7, 1, 1, 1, 1, ("to",)), "Cast"),
    ((7, 1, 1, 1, 1, ("scales",)), "Upsample"),
    ((7, 1, 1, 1, 2, ()), "Dropout"),
    ((8, 1, 1, 1, 2, ("kernel_shape",)), "MaxPool"),
    ((7, 1, 1, 1, MANY, ()), "Split"),
    ((13, 1, 2, 1, 1, ()), "ReduceSum Squeeze"),
    ((14, 1, 2, 1, 1, ()), "Trilu"),
    ((18, 1, 2, 1, 1, ()), (
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSumSquare"
    )),
    ((13, 1, 2, 1, MANY, ()), "Split"),
    ((11, 1, 3, 1, 1, ()), "Clip"),
    ((12, 1, 3, 1, 2, ()), "Dropout"),
    ((13, 1, 4, 1, 1, ()), "Resize"),
    ((7, 1, MANY, 1, 1, ()), "Max Mean Min Sum"),
    ((7, 1, MANY, 1, 1, ("axis",)), "Concat"),
    ((12, 1, MANY, 1, 1, ("equation",)), "Einsum"),
    ((7, 2, 2, 1, 1, ()), "Add And Div Equal Gather Greater Less MatMul Mul Or PRelu Pow Reshape Sub Tile Xor"),
    ((8, 2, 2, 1, 1, ()), "Expand"),
    ((9, 2, 2, 1, 1, ()), "Upsample"),
    ((10, 2, 2, 1, 1, ()), "Mod Resize"),
    ((11, 2, 2, 1, 1, ()), "CumSum GatherElements"),
    ((12, 2, 2, 1, 1, ()), "GreaterOrEqual LessOrEqual"),
    ((13, 2, 2, 1, 1, ()), "Unsqueeze"),
    ((15, 2, 2, 1, 1, ()), "CastLike"),
    ((18, 2, 2, 1, 1, ()), "BitwiseAnd BitwiseOr BitwiseXor"),
    ((11, 2, 2, 1, 1, ("direction",)), "BitShift"),
    ((7, 2, 3, 1, 1, ()), "Conv ConvTranspose"),
    ((11, 2, 3, 1, 1, ()), "Gemm Pad"),
    ((17, 2, 3, 1, 3, ()), "LayerNormalization"),
    ((18, 2, 4, 1, 1, ()), "Pad"),
    ((7, 3, 3, 1, 1, ()), "Gemm InstanceNormalization"),
    ((9, 3, 3, 1, 1, ()), "Where"),
    ((11, 3, 3, 1, 1, ()), "Range"),
    ((18, 3, 3, 1, 1, ("num_groups",)), "GroupNormalization"),
    ((11, 3, 4, 1, 1, ()), "Resize"),
    ((10, 3, 5, 1, 1, ()), "Slice"),
    ((14, 5, 5, 1, 3, ()), "BatchNormalization"),
    ((7, 5, 5, 1, 5, ()), "BatchNormalization"),
]  # fmt: skip

_ARITIES: dict[str, list[Arity]] = {}
for _arity, _names in _OPERATORS:
    for _name in _names.split():
        _ARITIES.setdefault(_name, []).append(Arity(*_arity))


def arity_of(op_type: str, opset: int) -> Arity | None:
    """That of the newest opset up to this one; None where the operator is none of ours, or newer."""
    known = [each for each in _ARITIES.get(op_type, ()) if each.since <= opset]
    return max(known) if known else None
