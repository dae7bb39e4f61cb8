"""Every operator at every opset from 7 to 22 that has it, beside ONNX Runtime."""

import numpy as np
import onnx_models as models
import pytest

import fastops.onnx
from fastops.onnx.arity import _ARITIES, MANY, arity_of
from fastops.onnx.operators import OPERATORS
from fastops.onnx.reader import NEWEST, OLDEST

pytest.importorskip("onnxruntime", reason="the extra suite is not installed")

rng = np.random.default_rng(0)
X = rng.standard_normal((2, 4, 6, 6)).astype(np.float32)
POSITIVE = np.abs(X) + np.float32(0.1)
ROW, COLUMN = X[0, 0, 0].copy(), X[0, :, 0, 0].copy()

ALONE = """
    Relu LeakyRelu Sigmoid HardSigmoid HardSwish Gelu Tanh Exp Erf Neg Abs Softmax LogSoftmax Identity GlobalAveragePool
    GlobalMaxPool ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp
    Flatten Transpose Shape Size Dropout Clip Elu Selu Celu Mish Softplus Softsign ThresholdedRelu Floor Ceil Round Sin
    Cos Sign IsNaN IsInf ArgMax NonZero Trilu
"""
PAIRS = "Add Sub Mul Div Max Min Sum Mean Equal Greater Less GreaterOrEqual LessOrEqual PRelu MatMul"
CASES = {
    **{name: ([X], {}) for name in ALONE.split()},
    **{name: ([POSITIVE], {}) for name in ("Log", "Sqrt", "Reciprocal", "ReduceLogSum")},
    **{name: ([X, X[:, :1]], {}) for name in PAIRS.split()},
    **{name: ([X > 0, X > 0.5], {}) for name in ("And", "Or", "Xor")},
    "Not": ([X > 0], {}),
    "Pow": ([POSITIVE, X[:1]], {}),
    "Mod": ([X, POSITIVE], {"fmod": 1}),
    "Concat": ([X, X], {"axis": 1}),
    "Cast": ([X], {"to": 7}),
    "DepthToSpace": ([X], {"blocksize": 2}),
    "SpaceToDepth": ([X], {"blocksize": 2}),
    "LRN": ([X], {"size": 3}),
    "InstanceNormalization": ([X, COLUMN, COLUMN], {}),
    "LayerNormalization": ([X, ROW], {}),
    "BatchNormalization": ([X, *[POSITIVE[0, :, 0, i].copy() for i in range(4)]], {}),
    "MaxPool": ([X], {"kernel_shape": [2, 2]}),
    "AveragePool": ([X], {"kernel_shape": [2, 2]}),
    "Conv": ([X, X[..., :3, :3].copy()], {}),
    "ConvTranspose": ([X, X[[0, 1, 0, 1], :, :3, :3].copy()], {}),
    "Gemm": ([X[0, 0], X[0, 1], ROW], {}),
    "Gather": ([X, np.array([0, 2])], {"axis": 1}),
    "GatherElements": ([X, (X > 0).astype(np.int64)], {"axis": 1}),
    "Expand": ([X[:, :1], np.array([2, 4, 6, 6])], {}),
    "Reshape": ([X, np.array([2, -1])], {}),
    "Where": ([X > 0, X, -X], {}),
    "Tile": ([X, np.array([1, 2, 1, 1])], {}),
    "CumSum": ([X, np.array(1)], {}),
    "ConstantOfShape": ([np.array([2, 3])], {}),
    "Range": ([np.array(1), np.array(9), np.array(2)], {}),
    "EyeLike": ([X[0, 0]], {}),
    "Einsum": ([X, X], {"equation": "abij,abjk->abik"}),
}

LACKING = {("Equal", range(7, 11)), ("Max", range(7, 8)), ("Min", range(7, 8)), ("Sum", range(7, 8)),
           ("Mean", range(7, 8))}  # fmt: skip
"""What ONNX does not have: floats in Equal before opset 11, and broadcasting in these before opset 8."""


def opsets(operator):
    """The opsets that have an operator."""
    found = []
    for opset in range(7, 23):
        try:
            schema = models.onnx.defs.get_schema(operator, opset, "")
        except models.onnx.defs.SchemaError:
            continue
        lacking = any(operator == name and opset in those for name, those in LACKING)
        found += [] if schema.deprecated or lacking else [opset]
    return found


@pytest.mark.parametrize("operator", list(CASES))
def test_an_operator_at_every_opset(operator):
    arrays, attributes = CASES[operator]
    assert opsets(operator)
    for opset in opsets(operator):
        model, feeds = models.one_node(operator, arrays, opset=opset, **attributes)
        model.graph.output[0].type.ClearField("tensor_type")  # of whatever dtype it is
        models.assert_close(fastops.onnx.load(model)(**feeds), models.onnx_runtime(model, feeds))


REWRITTEN = {"Constant", "Upsample"}
"""What no newest opset has, and is read as another operator."""


@pytest.mark.parametrize("name", sorted({*OPERATORS, *REWRITTEN}))
def test_arities_are_those_of_onnx(name):
    compared = 0
    for opset in range(OLDEST, NEWEST + 1):
        try:
            schema = models.onnx.defs.get_schema(name, opset, "")
        except models.onnx.defs.SchemaError:
            assert arity_of(name, opset) is None
            continue
        if schema.deprecated:
            continue
        required = tuple(sorted(each for each, told in schema.attributes.items() if told.required))
        sizes = schema.min_input, schema.max_input, schema.min_output, schema.max_output
        assert arity_of(name, opset)[1:] == (*sizes, required), opset
        compared += 1
    assert compared


def test_arities_are_of_operators_that_there_are():
    assert set(_ARITIES) == {*OPERATORS, *REWRITTEN}
    assert arity_of("LSTM", 17) is None
    assert arity_of("Concat", 17).most_inputs == MANY == 2**31 - 1
