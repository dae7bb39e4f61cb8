"""Operators beside ONNX Runtime: the options that networks use, and the spellings of older opsets."""

import numpy as np
import onnx_models as models
import pytest

import fastops.onnx


def check(op_type, arrays, tolerance=1e-5, **more):
    model, feeds = models.one_node(op_type, arrays, **more)
    network = fastops.onnx.load(model)
    expected = models.onnx_runtime(model, feeds)
    models.assert_close(network(**feeds), expected, tolerance)
    models.assert_close(network(**feeds), expected, tolerance)  # by the plan that the first call made


@pytest.fixture
def normal(rng):
    return lambda *shape: rng.standard_normal(shape).astype(np.float32)


# ------------------------------------------------------------------------------------------------------ windows


@pytest.mark.parametrize("constant", [(), (1, 2)], ids=["weights in", "weights constant"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pads": [1, 0, 2, 1]},
        {"strides": [2, 1], "pads": [1, 1, 1, 1]},
        {"dilations": [2, 3], "pads": [2, 2, 2, 2]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 3]},
        {"auto_pad": "VALID"},
        {"kernel_shape": [3, 2]},
        {"group": 2},
    ],
    ids=str,
)
def test_conv(normal, options, constant):
    check("Conv", [normal(2, 4, 11, 10), normal(6, 4 // options.get("group", 1), 3, 2), normal(6)], constant=constant,
          **options)  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"pads": [2, 1], "strides": [2]}, {"auto_pad": "SAME_LOWER"}], ids=str)
def test_conv_of_one_dimension(normal, options):
    check("Conv", [normal(2, 3, 12), normal(4, 3, 4), normal(4)], constant=(1, 2), **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strides": [2, 2], "pads": [1, 0, 0, 1]},
        {"strides": [3, 2], "output_padding": [2, 1]},
        {"strides": [2, 3], "output_shape": [13, 15]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"strides": [5, 7], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "VALID"},
        {"output_shape": [1, 2]},
        {"strides": [2, 2], "output_padding": [1, 1], "output_shape": [12, 11]},
        {"pads": [6, 3, 0, 0]},
        {"dilations": [2, 1], "pads": [1, 1, 2, 0]},
        {"group": 2, "strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"strides": [3, 3], "output_padding": [1, 2], "pads": [2, 1, 0, 1]},
    ],
    ids=str,
)
def test_conv_transpose(normal, options):
    check("ConvTranspose", [normal(2, 4, 6, 5), normal(4, 3, 3, 4), normal(3 * options.get("group", 1))],
          constant=(1, 2), **options)  # fmt: skip


def test_conv_transpose_of_one_dimension(normal):
    check("ConvTranspose", [normal(2, 4, 6), normal(4, 3, 3)], strides=[2], pads=[1, 0])


POOLS = [
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [3, 3], "pads": [2, 2, 2, 2]},
]


@pytest.mark.parametrize("options", [*POOLS, {"kernel_shape": [2, 2], "dilations": [2, 1]}], ids=str)
def test_max_pool(normal, options):
    x = normal(2, 3, 10, 9)
    check("MaxPool", [x], **options)
    check("MaxPool", [x], outputs=("y", "i"), dtypes=[np.float32, np.int64], **options)


@pytest.mark.parametrize("with_padding", [0, 1])
@pytest.mark.parametrize("options", POOLS, ids=str)
def test_average_pool(normal, options, with_padding):
    check("AveragePool", [normal(2, 3, 10, 9)], count_include_pad=with_padding, opset=19, **options)


@pytest.mark.parametrize("shape", [(2, 3, 9), (2, 3, 4, 5, 6)], ids=str)
def test_pools_of_other_dimensions(normal, shape):
    kernel = [3] * (len(shape) - 2)
    for op_type in ("MaxPool", "AveragePool"):
        check(op_type, [normal(*shape)], kernel_shape=kernel, strides=[2] * len(kernel), pads=[1] * 2 * len(kernel))
    check("GlobalAveragePool", [normal(*shape)])
    check("GlobalMaxPool", [normal(*shape)])


def test_max_pool_of_columns(normal):
    check("MaxPool", [normal(2, 3, 8, 7)], kernel_shape=[3, 3], storage_order=1, outputs=("y", "i"),
          dtypes=[np.float32, np.int64])  # fmt: skip


# ------------------------------------------------------------------------------------- attributes of older opsets


def test_clip_of_opset_10(normal):
    check("Clip", [normal(3, 4)], opset=10, min=-0.5, max=0.25)
    check("Clip", [normal(3, 4)], opset=10, max=0.25)
    check("Clip", [normal(3, 4), None, np.float32(0.1) * np.ones((), np.float32)], opset=13, constant=(2,))


def test_pad_of_opset_10(normal):
    check("Pad", [normal(2, 3, 4)], opset=10, pads=[0, 1, 2, 0, -1, 1], value=1.5)
    check("Pad", [normal(2, 3, 4)], opset=10, pads=[0, 1, 2, 0, 0, 1], mode="reflect")


@pytest.mark.parametrize("axes", [None, [1], [-1, 0]])
def test_slice_of_opset_9(normal, axes):
    starts = [1, -3, 0][: len(axes or [0, 1, 2])]
    more = {} if axes is None else {"axes": axes}
    check("Slice", [normal(4, 5, 6)], opset=9, starts=starts, ends=[100, -1, 2][: len(starts)], **more)


@pytest.mark.parametrize("start, end, step", [(4, 0, -1), (-1, -100, -2), (100, -100, -1), (2, 2, 1), (0, 100, 3)])
def test_slice_by_steps(normal, start, end, step):
    arrays = [normal(3, 7), *(np.array([each]) for each in (start, end, 1, step))]
    check("Slice", arrays, constant=(1, 2, 3, 4))


def test_squeeze_and_unsqueeze_of_opset_11(normal):
    check("Squeeze", [normal(1, 3, 1, 2)], opset=11, axes=[0, -2])
    check("Squeeze", [normal(1, 3, 1, 2)], opset=11)
    check("Unsqueeze", [normal(3, 2)], opset=11, axes=[0, 2, 4])


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("op_type", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"])
def test_reductions(normal, op_type, opset):
    x, axes = normal(2, 3, 4, 5), [2, 3]
    as_input = opset >= (13 if op_type == "ReduceSum" else 18)
    for keep in (0, 1):
        if as_input:
            check(op_type, [x, np.array(axes)], opset=opset, constant=(1,), keepdims=keep)
        else:
            check(op_type, [x], opset=opset, axes=axes, keepdims=keep)
        check(op_type, [x], opset=opset, keepdims=keep)


def test_split_of_opset_11(normal):
    check("Split", [normal(6, 4)], opset=11, outputs=("a", "b"), split=[2, 4])
    check("Split", [normal(6, 4)], opset=11, outputs=("a", "b"), axis=1)
    check("Split", [normal(7, 4)], opset=18, outputs=("a", "b", "c"), num_outputs=3)


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, None])
@pytest.mark.parametrize("opset", [9, 13])
def test_softmax_flattens_before_opset_13(normal, op_type, axis, opset):
    check(op_type, [normal(2, 3, 4)], opset=opset, **({} if axis is None else {"axis": axis}))


def test_dropout_of_opset_10_is_nothing(normal):
    check("Dropout", [normal(3, 4)], opset=10, ratio=0.4)


@pytest.mark.parametrize("opset", [7, 9])
def test_upsample(normal, opset):
    x, scales = normal(1, 2, 3, 4), [1.0, 1.0, 2.0, 3.0]
    for mode in ("nearest", "linear"):
        if opset == 7:
            check("Upsample", [x], opset=opset, mode=mode, scales=scales)
        else:
            check("Upsample", [x, np.array(scales, np.float32)], opset=opset, mode=mode, constant=(1,))


def test_resize_of_opset_10(normal):
    for scales in ([1, 1, 2, 2], [1, 1, 0.5, 1.5]):
        for mode in ("nearest", "linear"):
            check("Resize", [normal(1, 2, 6, 4), np.array(scales, np.float32)], opset=10, mode=mode, constant=(1,))


COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]


@pytest.mark.parametrize("size", [(12, 14), (7, 20), (3, 4), (6, 7), (1, 1)], ids=str)
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_resize_by_size(normal, coordinates, size):
    arrays = [normal(2, 3, 6, 7), None, None, np.array([2, 3, *size])]
    check("Resize", arrays, opset=13, mode="linear", constant=(3,), coordinate_transformation_mode=coordinates)
    for nearest in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
        check("Resize", arrays, opset=13, mode="nearest", constant=(3,), coordinate_transformation_mode=coordinates,
              nearest_mode=nearest)  # fmt: skip


@pytest.mark.parametrize("scales", [(2, 2), (2, 3), (0.5, 0.5), (1.5, 2.5)], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric"])
def test_resize_by_scales(normal, scales, mode, coordinates):
    arrays = [normal(2, 3, 6, 8), None, np.array([1, 1, *scales], np.float32)]
    check("Resize", arrays, opset=13, mode=mode, constant=(2,), coordinate_transformation_mode=coordinates)


# ------------------------------------------------------------------------------------------------------ the rest


@pytest.mark.parametrize("slope", [(1,), (3, 1, 1), (3, 1, 5), (4, 5), (2, 3, 4, 5)], ids=str)
def test_prelu(normal, slope):
    check("PRelu", [normal(2, 3, 4, 5), normal(*slope)], constant=(1,))


@pytest.mark.parametrize("alpha, beta", [(0.2, 0.5), (1 / 6, 0.5), (0.3, 0.1)])
def test_hard_sigmoid(normal, alpha, beta):
    check("HardSigmoid", [3 * normal(5, 7)], alpha=alpha, beta=beta)


def test_hard_sigmoid_as_it_is_by_default(normal):
    check("HardSigmoid", [3 * normal(5, 7)])


def test_erf(normal):
    x = np.concatenate(
        [4 * normal(200), normal(200) * np.float32(1e-4), np.float32([0, -0.0, np.inf, -np.inf, np.nan])]
    )
    check("Erf", [x])


def test_batch_norm_of_opset_9_and_14(normal):
    arrays = [normal(2, 3, 4, 5), normal(3), normal(3), normal(3), np.abs(normal(3))]
    for opset in (7, 9, 14, 15):
        check("BatchNormalization", arrays, opset=opset, constant=(1, 2, 3, 4), epsilon=1e-3)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 7), (1, 2, 1, 6)], ids=str)
def test_instance_norm(normal, shape):
    check("InstanceNormalization", [normal(*shape) + 3, normal(shape[1]), normal(shape[1])], constant=(1, 2))


def test_layer_norm(normal):
    x = normal(2, 5, 8) * 3 + 1
    check("LayerNormalization", [x, normal(8), normal(8)], constant=(1, 2))
    check("LayerNormalization", [x, normal(5, 8)], constant=(1,), axis=1)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_lrn(normal, size):
    check("LRN", [normal(2, 6, 3, 4)], size=size, alpha=0.3, beta=0.6, bias=2.0)


@pytest.mark.parametrize("across_a", [0, 1])
@pytest.mark.parametrize("across_b", [0, 1])
@pytest.mark.parametrize("third", [None, (), (5,), (4, 1), (4, 5)], ids=str)
def test_gemm(normal, across_a, across_b, third):
    a, b = normal(*((3, 4) if across_a else (4, 3))), normal(*((5, 3) if across_b else (3, 5)))
    arrays = [a, b] + ([] if third is None else [np.asarray(normal(*third))])
    for factors in ({}, {"alpha": 0.5, "beta": 2.0}):
        check("Gemm", arrays, transA=across_a, transB=across_b, **factors)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum"])
def test_arithmetic_of_integers_and_floats(rng, op_type, dtype):
    a, b = rng.integers(-9, 9, (3, 1, 4)).astype(dtype), rng.integers(1, 9, (2, 1)).astype(dtype)
    if op_type == "Sum" and dtype is not np.float32:
        pytest.skip("ONNX adds many arrays of floats alone")
    check(op_type, [a, b], dtypes=[dtype])
    check(op_type, [a, -b], dtypes=[dtype])


@pytest.mark.parametrize("exponent", [2.0, 0.5, 3.0, -1.0])
def test_pow(normal, exponent):
    check("Pow", [np.abs(normal(4, 5)) + 0.1, np.array(exponent, np.float32)], constant=(1,))


def test_depth_to_space(normal):
    for mode in ("DCR", "CRD"):
        check("DepthToSpace", [normal(2, 8, 3, 4)], blocksize=2, mode=mode)
    check("SpaceToDepth", [normal(2, 3, 4, 6)], blocksize=2)


def test_gather_by_negative_and_many_indices(normal):
    x = normal(4, 5, 6)
    for indices in (np.array(-1), np.array([0, -2, 3]), np.array([[1, 2], [-1, 0]])):
        check("Gather", [x, indices], axis=1, constant=(1,))
        check("Gather", [x, indices], axis=-2)
