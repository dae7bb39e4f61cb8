"""ONNX's own tests of its operators, run by our backend: which operators, and how many cases each has.

A case in a dtype that we do not take (halves, strings, sequences) is excluded by `excluded`, and counted; one that the
backend declines is named in DECLINED.
"""

import collections
import warnings

import pytest

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
from onnx.backend.test.runner import BackendIsNotSupposedToImplementIt, Runner, _normalize_tensor  # noqa: E402

import fastops.onnx  # noqa: E402
from fastops.onnx.dtypes import DTYPES  # noqa: E402

COUNTED = "1.23"
"""The release of the package onnx whose cases are counted here."""

RUN = {
    "Abs": 1, "Acos": 2, "Acosh": 2, "Add": 8, "And": 8, "ArgMax": 16, "ArgMin": 16, "Asin": 2, "Asinh": 2, "Atan": 2,
    "Atanh": 2, "AveragePool": 20, "BatchNormalization": 4, "BitShift": 28, "BitwiseAnd": 4, "BitwiseOr": 4,
    "BitwiseXor": 4, "Cast": 4, "CastLike": 2, "Ceil": 2, "Celu": 1, "Clip": 12, "Concat": 12, "Constant": 1,
    "ConstantOfShape": 3, "Conv": 6, "ConvTranspose": 11, "Cos": 2, "Cosh": 2, "CumSum": 9, "DepthToSpace": 2,
    "Div": 10, "Dropout": 12, "Einsum": 6, "Elu": 3, "Equal": 8, "Erf": 1, "Exp": 2, "Expand": 2, "EyeLike": 3,
    "Flatten": 9, "Floor": 2, "Gather": 4, "GatherElements": 3, "Gelu": 4, "Gemm": 11, "GlobalAveragePool": 2,
    "GlobalMaxPool": 2, "Greater": 8, "GreaterOrEqual": 8, "GroupNormalization": 2, "HardSigmoid": 3, "HardSwish": 1,
    "Identity": 3, "InstanceNormalization": 2, "IsInf": 3, "IsNaN": 1, "LRN": 2, "LayerNormalization": 19,
    "LeakyRelu": 3, "Less": 8, "LessOrEqual": 8, "Log": 2, "LogSoftmax": 7, "MatMul": 7, "Max": 13, "MaxPool": 19,
    "Mean": 3, "Min": 13, "Mish": 1, "Mod": 16, "Mul": 9, "Neg": 2, "NonZero": 1, "Not": 3, "Or": 8, "PRelu": 2,
    "Pad": 6, "Pow": 12, "Range": 2, "Reciprocal": 2, "ReduceL1": 9, "ReduceL2": 9, "ReduceLogSum": 5,
    "ReduceLogSumExp": 9, "ReduceMax": 11, "ReduceMean": 8, "ReduceMin": 10, "ReduceProd": 9, "ReduceSum": 12,
    "ReduceSumSquare": 9, "Relu": 1, "Reshape": 10, "Resize": 39, "Round": 1, "Selu": 3, "Shape": 11, "Sigmoid": 2,
    "Sign": 1, "Sin": 2, "Sinh": 2, "Size": 2, "Slice": 8, "Softmax": 7, "Softplus": 2, "Softsign": 2,
    "SpaceToDepth": 4, "Split": 16, "Sqrt": 2, "Squeeze": 2, "Sub": 9, "Sum": 3, "Swish": 1, "Tan": 2, "Tanh": 2,
    "ThresholdedRelu": 3, "Tile": 2, "Transpose": 7, "Trilu": 18, "Unsqueeze": 7, "Upsample": 1, "Where": 2, "Xor": 8,
}  # fmt: skip
"""Cases of each operator that run, or are declined."""

EXCLUDED = {
    "Cast": 112, "CastLike": 54, "Celu": 2, "Einsum": 3, "Equal": 2, "Identity": 2, "IsInf": 1, "IsNaN": 1, "Max": 1,
    "Min": 1, "Mod": 3, "Range": 2,
}  # fmt: skip
"""Cases of the same operators in dtypes that we do not take."""

FUNCTIONS = 337
"""Cases of operators written as several others, all of which we have, and that are not excluded."""

DECLINED = {
    "test_convtranspose_3d",  # images of three dimensions
    "test_training_dropout_default", "test_training_dropout_default_mask", "test_training_dropout",
    "test_training_dropout_mask",
}  # fmt: skip


def excluded(case) -> bool:
    """Whether a case has another dtype than ours."""
    values = [*case.model.graph.input, *case.model.graph.output]
    tensors = [attribute.t for node in case.model.graph.node for attribute in node.attribute if attribute.HasField("t")]
    kinds = [value.type.tensor_type.elem_type if value.type.HasField("tensor_type") else None for value in values]
    return any(kind not in DTYPES for kind in [*kinds, *(tensor.data_type for tensor in tensors)])


@pytest.fixture(scope="module")
def cases():
    """(the cases of each single operator, those of several operators)."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    single, several = collections.defaultdict(list), []
    for case in found:
        operators = {node.op_type for node in case.model.graph.node}
        if len(operators) == 1:
            single[operators.pop()].append(case)
        elif operators <= set(RUN):
            several.append(case)
    return single, several


def runs(case) -> bool:
    """Whether our backend runs a case, with the results that ONNX has; False where it declines."""
    try:
        prepared = fastops.onnx.Backend.prepare(case.model)
        for inputs, outputs in case.data_sets:
            for _ in range(2):  # the second time by the plan of the first
                got = prepared.run([_normalize_tensor(each) for each in inputs])
                expected = [_normalize_tensor(each) for each in outputs]
                Runner.assert_similar_outputs(expected, got, case.rtol, case.atol)
    except BackendIsNotSupposedToImplementIt:
        return False
    return True


def check(found) -> tuple[int, int]:
    """(how many cases ran or were declined, how many are excluded)."""
    ours = [case for case in found if not excluded(case)]
    for case in ours:
        assert runs(case) == (case.name not in DECLINED), case.name
    return len(ours), len(found) - len(ours)


def counted(got, expected):
    if onnx.__version__.startswith(COUNTED + "."):
        assert got == expected


@pytest.mark.parametrize("operator", list(RUN))
def test_an_operator(cases, operator):
    counted(check(cases[0][operator]), (RUN[operator], EXCLUDED.get(operator, 0)))


def test_operators_written_as_several(cases):
    several = [case for case in cases[1] if not excluded(case)]
    counted(check(several), (FUNCTIONS, 0))


def test_every_operator_that_we_have_is_in_the_list(cases):
    tested = {operator for operator in cases[0] if operator in fastops.onnx.operators.OPERATORS}
    assert tested <= set(RUN)
