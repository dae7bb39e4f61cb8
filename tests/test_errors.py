"""Every bad call is refused, before any kernel runs, in one sentence that names the operator and the argument."""

import inspect
import re

import numpy as np
import pytest
from refusals import (
    BEYOND,
    BOXES,
    GOOD_ARRAYS,
    HUGE,
    INF,
    LABELS,
    NAN,
    NEEDED_OPTIONS,
    ROWS,
    THREE,
    WT,
    W,
    X,
    ones,
    readable,
    refused,
)

import fastops


def boxes(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


class OnCuda:
    """What CuPy, numba and torch put on their arrays."""

    __cuda_array_interface__ = dict(shape=(2, 4, 8, 8), typestr="<f4", data=(0, False), version=3)


# Arrays: each of these in the place of each array argument

ARRAY_ARGUMENTS = [(op, name) for op, arrays in GOOD_ARRAYS.items() for name in arrays]
NOT_FLOAT_ARRAYS = [
    pytest.param(lambda a: a.tolist(), "list", id="list"),
    pytest.param(lambda a: tuple(a.tolist()), "tuple", id="tuple"),
    pytest.param(lambda a: a.ravel()[0], "float32", id="NumPy scalar"),
    pytest.param(lambda a: 1.0, "float", id="float"),
    pytest.param(lambda a: "array", "str", id="str"),
    pytest.param(lambda a: memoryview(a), "memoryview", id="memoryview"),
    pytest.param(lambda a: np.ma.masked_array(a), "masked", id="masked array"),
    pytest.param(lambda a: OnCuda(), "CUDA", id="CUDA array"),
    pytest.param(lambda a: a.astype(object), "object", id="object"),
    pytest.param(lambda a: a.astype(np.float16), "float16", id="float16"),
    pytest.param(lambda a: a.astype(np.longdouble), str(np.dtype(np.longdouble)), id="longdouble"),
    pytest.param(lambda a: a.astype(np.complex64), "complex64", id="complex"),
    pytest.param(lambda a: a.astype(bool), "bool", id="bool"),
    pytest.param(lambda a: a.astype(str), "U", id="strings"),
    pytest.param(lambda a: a.astype("M8[s]"), "datetime", id="dates"),
    pytest.param(lambda a: a.astype(">f4"), ">f4", id="big-endian"),
    pytest.param(lambda a: np.zeros(a.shape, "f4,f4"), "f4", id="records"),
]
INTEGERS = pytest.param(lambda a: a.astype(np.int64), "int64", id="int64")
CLASS_NUMBERS = [(op, "target") for op in ("cross_entropy", "cross_entropy_backward")]  # a wrong shape: see CALLS


def with_bad(op: str, name: str, bad) -> tuple[list, dict]:
    arrays = {**GOOD_ARRAYS[op], name: bad(GOOD_ARRAYS[op][name])}
    return [], {**arrays, **NEEDED_OPTIONS.get(op, {})}


def test_the_good_arrays_are_good():
    for op, arrays in GOOD_ARRAYS.items():
        getattr(fastops, op)(**arrays, **NEEDED_OPTIONS.get(op, {}))


@pytest.mark.parametrize("op, name", ARRAY_ARGUMENTS)
@pytest.mark.parametrize("bad, got", [*NOT_FLOAT_ARRAYS, INTEGERS])
def test_what_is_no_float_array(op, name, bad, got):
    if got == "int64" and (op, name) in CLASS_NUMBERS:
        pytest.skip("integers are class numbers")
    args, options = with_bad(op, name, bad)
    inside_a_list = name == "boxes" and got in ("list", "tuple")  # where arrays (L, 4) are due
    refused(TypeError, [name] if inside_a_list else [name, got], op, *args, **options)


@pytest.mark.parametrize("op, name", [(op, name) for op, name in ARRAY_ARGUMENTS if len(GOOD_ARRAYS[op]) > 1])
def test_float64_among_float32(op, name):
    args, options = with_bad(op, name, lambda array: array.astype(np.float64))
    refused(TypeError, ["float32", "float64"], op, *args, **options)


@pytest.mark.parametrize("op, name", [(op, name) for op, name in ARRAY_ARGUMENTS if len(GOOD_ARRAYS[op]) == 1])
def test_float64_alone_is_good(op, name):
    args, options = with_bad(op, name, lambda array: array.astype(np.float64))
    assert getattr(fastops, op)(*args, **options).dtype == np.float64


@pytest.mark.parametrize("op, name", ARRAY_ARGUMENTS)
def test_torch_tensors(op, name):
    torch = pytest.importorskip("torch")
    args, options = with_bad(op, name, torch.from_numpy)
    refused(TypeError, [name, "torch", ".numpy()"], op, *args, **options)


@pytest.mark.parametrize("op, name", ARRAY_ARGUMENTS)
def test_none_where_an_array_is_due(op, name):
    if inspect.signature(getattr(fastops, op)).parameters[name].default is None or name.startswith("running"):
        pytest.skip("None is allowed")
    args, options = with_bad(op, name, lambda array: None)
    refused(TypeError, [name, "None"], op, *args, **options)


@pytest.mark.parametrize(
    "bad", [[1, 2], 1.0, None, "array", OnCuda(), np.float32(1)], ids=lambda bad: type(bad).__name__
)
def test_flatten_takes_arrays_only(bad):
    refused(TypeError, ["input"], "flatten", bad)


@pytest.mark.parametrize(
    "bad", [1.5, "7", True, [1], np.array(1), np.random.RandomState(1)], ids=lambda bad: type(bad).__name__
)
def test_what_is_no_source_of_random_numbers(bad):
    refused(TypeError, ["rng"], "dropout", X, rng=bad)


# Everything else: one line a bad call; the words are what the message must hold

CALLS = [
    # conv2d: shapes
    ("conv2d", (ones(8, 8), W), {}, "input (8, 8)"),
    ("conv2d", (ones(1, 1, 4, 8, 8), W), {}, "input (1, 1, 4, 8, 8)"),
    ("conv2d", (ones(2, 4, 0, 8), W), {}, "input (2, 4, 0, 8)"),
    ("conv2d", (ones(), W), {}, "input ()"),
    ("conv2d", (X, ones(6, 4, 3)), {}, "weight (6, 4, 3)"),
    ("conv2d", (X, ones(6, 3, 3, 3)), {}, "weight 4 3"),
    ("conv2d", (X, ones(0, 4, 3, 3)), {}, "weight"),
    ("conv2d", (X, ones(6, 4, 0, 3)), {}, "weight"),
    ("conv2d", (X, ones(6, 4, 9, 3)), {}, "weight 9"),
    ("conv2d", (X, W, ones(5)), {}, "bias (6,) (5,)"),
    ("conv2d", (X, W, ones(6, 1)), {}, "bias (6,) (6, 1)"),
    ("conv2d", (X, W, ones()), {}, "bias (6,) ()"),
    ("conv2d", (ones(2, 8, 8, 8), ones(6, 3, 3, 3)), dict(groups=2), "weight expects 4 groups=2 got 3"),
    ("conv2d", (X, ones(6, 1, 3, 3)), dict(groups=4), "groups 6 4"),
    ("conv2d", (X, W), dict(groups=3), "groups 3"),
    ("conv2d", (X, W), dict(padding=7, dilation=12), "weight (22, 22) (25, 25)"),
    ("conv2d", (X, W), dict(dilation=4), "weight 9"),
    ("conv2d", (X, W), dict(padding="full"), "padding 'full'"),
    ("conv2d", (X, W), dict(padding="SAME"), "padding 'SAME'"),
    ("conv2d", (X, W), dict(padding=("same", "same")), "padding 'same'"),
    ("conv2d", (X, W), dict(padding=None), "padding None"),
    *(("conv2d", (X, W), dict(precision=p), "precision") for p in ("slow", "EXACT", None, 1)),
    # conv_transpose2d
    *(("conv_transpose2d", (X, WT), dict(precision=p), "precision") for p in ("slow", "EXACT", None, 1)),
    ("conv_transpose2d", (ones(8, 8), WT), {}, "input (8, 8)"),
    ("conv_transpose2d", (ones(2, 4, 8, 0), WT), {}, "input (2, 4, 8, 0)"),
    ("conv_transpose2d", (X, ones(3, 6, 3, 3)), {}, "weight 4 3"),
    ("conv_transpose2d", (X, ones(4, 6, 3)), {}, "weight (4, 6, 3)"),
    ("conv_transpose2d", (X, ones(4, 0, 3, 3)), {}, "weight"),
    ("conv_transpose2d", (X, ones(4, 6, 3, 0)), {}, "weight"),
    ("conv_transpose2d", (X, WT, ones(4)), {}, "bias (6,) (4,)"),
    ("conv_transpose2d", (X, WT, ones(6)), dict(groups=2), "bias (12,) (6,)"),
    ("conv_transpose2d", (X, WT), dict(groups=3), "groups 3"),
    ("conv_transpose2d", (X, WT), dict(padding="same"), "padding 'same'"),
    ("conv_transpose2d", (X, WT), dict(padding=5), "padding (5, 5)"),
    ("conv_transpose2d", (X, WT), dict(output_padding=1), "output_padding (1, 1)"),
    ("conv_transpose2d", (X, WT), dict(stride=(2, 3), output_padding=2), "output_padding (2, 2)"),
    ("conv_transpose2d", (X, WT), dict(stride=2, output_padding=-1), "output_padding -1"),
    # pools
    ("max_pool2d", (ones(8, 8), 2), {}, "input (8, 8)"),
    ("max_pool2d", (ones(2, 0, 8, 8), 2), {}, "input (2, 0, 8, 8)"),
    ("avg_pool2d", (ones(2, 4, 8, 0), 2), {}, "input (2, 4, 8, 0)"),
    *((op, (X, 9), {}, "kernel_size 9") for op in ("max_pool2d", "avg_pool2d")),
    *((op, (X, 3), dict(padding=2), "padding (2, 2)") for op in ("max_pool2d", "avg_pool2d")),
    *((op, (X, (4, 1)), dict(padding=(0, 1)), "padding (0, 1)") for op in ("max_pool2d", "avg_pool2d")),
    *((op, (X, 3), dict(padding=((0, 2), (1, 0))), "padding ((0, 2), (1, 0))") for op in ("max_pool2d", "avg_pool2d")),
    *((op, (X, 2), dict(padding="same"), "padding 'same'") for op in ("max_pool2d", "avg_pool2d")),
    *((op, (X, 2), dict(ceil_mode=1), "ceil_mode 1") for op in ("max_pool2d", "avg_pool2d")),
    *((op, (X, 2), dict(ceil_mode=None), "ceil_mode None") for op in ("max_pool2d", "avg_pool2d")),
    *((op, (X, None), {}, "kernel_size None") for op in ("max_pool2d", "avg_pool2d")),
    ("max_pool2d", (X, 3), dict(dilation=2, padding=2), "padding (2, 2)"),
    ("max_pool2d", (X, 3), dict(dilation=5), "kernel_size 11"),
    ("avg_pool2d", (X, 2), dict(divisor_override=0), "divisor_override 0"),
    ("avg_pool2d", (X, 2), dict(divisor_override=1.5), "divisor_override 1.5"),
    ("avg_pool2d", (X, 2), dict(divisor_override=True), "divisor_override True"),
    ("avg_pool2d", (X, 2), dict(divisor_override=BEYOND), "divisor_override"),
    ("avg_pool2d", (X, 2), dict(count_include_pad=2), "count_include_pad 2"),
    ("max_pool2d", (X, 2), dict(return_indices="yes"), "return_indices 'yes'"),
    # adaptive_avg_pool2d, interpolate and linear
    ("adaptive_avg_pool2d", (ones(8, 8), 2), {}, "input (8, 8)"),
    ("adaptive_avg_pool2d", (ones(1, 2, 0, 8), 2), {}, "input (1, 2, 0, 8)"),
    *(
        ("adaptive_avg_pool2d", (X, bad), {}, "output_size")
        for bad in (None, (1, 2, 3), (None,), (0, None), (None, -1), 1.5)
    ),
    ("interpolate", (ones(4, 8, 8), 2), {}, "input (4, 8, 8)"),
    ("interpolate", (ones(1, 0, 8, 8), 2), {}, "input (1, 0, 8, 8)"),
    ("interpolate", (X,), {}, "size scale_factor neither"),
    ("interpolate", (X, 2, 2), {}, "size=2 scale_factor=2"),
    *(("interpolate", (X, bad), {}, "size") for bad in (0, -1, (2, 2, 2), 1.5, "2", True, (2, None), HUGE)),
    *(
        ("interpolate", (X,), dict(scale_factor=bad), "scale_factor")
        for bad in (0, -1.0, NAN, INF, "2", (2, 2, 2), (2, None), True, 0.01, (1, 0.1), {2: 2})
    ),
    *(("interpolate", (X, 4), dict(mode=bad), "mode") for bad in ("bicubic", "area", "", None, 1)),
    ("interpolate", (X,), dict(scale_factor=1e30), "output memory"),
    ("interpolate", (X, 4), dict(align_corners=False), "align_corners None 'nearest' False"),
    *(("interpolate", (X, 4, None, "bilinear", bad), {}, "align_corners") for bad in (1, "yes", 0.0)),
    ("linear", (ROWS, ones(4, 2)), {}, "input 2 (5, 3)"),
    ("linear", (ROWS, ones(3)), {}, "weight (3,)"),
    ("linear", (ROWS, ones(4, 3, 1)), {}, "weight (4, 3, 1)"),
    ("linear", (ones(5, 0), ones(4, 0)), {}, "weight (4, 0)"),
    ("linear", (ROWS, ones(0, 3)), {}, "weight (0, 3)"),
    ("linear", (ROWS, ones(4, 3), ones(3)), {}, "bias (4,) (3,)"),
    ("linear", (ones(), ones(4, 3)), {}, "input ()"),
    # roi_pool
    ("roi_pool", (ones(4, 8, 8), BOXES, 2), {}, "input (4, 8, 8)"),
    ("roi_pool", (X, ones(2, 4), 2), {}, "boxes (2, 4)"),
    ("roi_pool", (X, ones(5), 2), {}, "boxes (5,)"),
    ("roi_pool", (X, boxes(2, 0, 0, 5, 5), 2), {}, "boxes 2"),
    ("roi_pool", (X, boxes(-1, 0, 0, 5, 5), 2), {}, "boxes -1"),
    ("roi_pool", (X, boxes(1e30, 0, 0, 5, 5), 2), {}, "boxes image number"),
    ("roi_pool", (X, boxes(NAN, 0, 0, 5, 5), 2), {}, "boxes"),
    ("roi_pool", (X, boxes(0, NAN, 0, 5, 5), 2), {}, "boxes finite"),
    ("roi_pool", (X, boxes(0, 0, 0, INF, 5), 2), {}, "boxes finite"),
    ("roi_pool", (X, boxes(0, 0, -INF, 5, 5), 2), {}, "boxes finite"),
    ("roi_pool", (ones(0, 4, 8, 8), BOXES, 2), {}, "boxes"),
    ("roi_pool", (X, [ones(1, 4)], 2), {}, "boxes 2 1"),
    ("roi_pool", (X, [ones(1, 4)] * 3, 2), {}, "boxes 2 3"),
    ("roi_pool", (X, [], 2), {}, "boxes 2 0"),
    ("roi_pool", (X, [ones(1, 4), ones(1, 5)], 2), {}, "boxes (1, 5)"),
    ("roi_pool", (X, [ones(1, 4), ones(4)], 2), {}, "boxes (4,)"),
    ("roi_pool", (X, [ones(1, 4), ones(1, 4) * NAN], 2), {}, "boxes finite"),
    *(("roi_pool", (X, BOXES, 2, scale), {}, "spatial_scale") for scale in (0, 0.0, -1.0, NAN, INF, "1", None, True)),
    ("roi_pool", (X, BOXES, 2, BEYOND**20), {}, "spatial_scale"),
    ("roi_pool", (X, boxes(0, 0, 0, 5, 5), 2, 1e300), {}, "spatial_scale"),
    # batch_norm
    ("batch_norm", (THREE, THREE, THREE), {}, "input (3,)"),
    ("batch_norm", (ROWS, ones(4), THREE), {}, "running_mean (3,) (4,)"),
    ("batch_norm", (ROWS, THREE, ones(3, 1)), {}, "running_var (3,) (3, 1)"),
    ("batch_norm", (ROWS, THREE, THREE, ones(2)), {}, "weight (3,) (2,)"),
    ("batch_norm", (ROWS, THREE, THREE, None, ones()), {}, "bias (3,) ()"),
    ("batch_norm", (ROWS, None, None), {}, "running_mean"),
    ("batch_norm", (ROWS, None, THREE), {}, "running_mean"),
    ("batch_norm", (ROWS, THREE, None), {}, "running_var"),
    ("batch_norm", (ROWS, THREE, None), dict(training=True), "running_var"),
    ("batch_norm", (ROWS, None, THREE), dict(training=True), "running_mean"),
    ("batch_norm", (ones(1, 3), None, None), dict(training=True), "one value per channel (1, 3)"),
    ("batch_norm", (ones(1, 3, 1, 1), None, None), dict(training=True), "one value per channel"),
    *(("batch_norm", (ROWS, None, None), dict(training=True, eps=e), "eps") for e in (0, -1e-5, NAN, "1", None)),
    *(("batch_norm", (ROWS, THREE, THREE), dict(eps=e), "eps") for e in (-1e-5, NAN, "1", None)),
    *(("batch_norm", (ROWS, THREE, THREE), dict(momentum=m, training=True), "momentum") for m in (None, "1", [0.1])),
    *(("batch_norm", (ROWS, THREE, THREE), dict(training=t), "training") for t in (1, None, "yes")),
    # activations
    *(("leaky_relu", (X, slope), {}, "negative_slope number") for slope in ("1", None, [0.1], True, 10**400)),
    *(("gelu", (X, form), {}, "approximate 'none' or 'tanh'") for form in ("Tanh", "", None, True, 1)),
    ("clamp", (X,), {}, "min and max at least one None"),
    *(("clamp", (X, bound, 1), {}, "min number") for bound in ("0", [0], True, ones(2, 4, 8, 8), 1j)),
    *(("clamp", (X, 0, bound), {}, "max number") for bound in ("0", [0], True, ones(2, 4, 8, 8), 1j)),
    ("prelu", (X, ones(3)), {}, "weight 1 or 4 values (2, 4, 8, 8) (3,)"),
    ("prelu", (X, ones(8)), {}, "weight 1 or 4 values (8,)"),
    ("prelu", (X, ones(4, 1)), {}, "weight (4, 1)"),
    ("prelu", (X, ones(1, 1)), {}, "weight (1, 1)"),
    ("prelu", (X, ones(0)), {}, "weight (0,)"),
    ("prelu", (ones(5), ones(5)), {}, "weight 1 value (5,)"),
    ("prelu", (ones(), ones(2)), {}, "weight 1 value () (2,)"),
    ("prelu", (ones(2, 1, 3), ones(3)), {}, "weight 1 value (2, 1, 3) (3,)"),
    # dropout
    *(("dropout", (X, p), {}, "p") for p in (-0.1, 1.1, NAN, INF, "half", None, [0.5], True)),
    *(("dropout", (X,), dict(training=t), "training") for t in (1, None, "yes")),
    ("dropout", (X,), dict(rng=-1), "rng -1"),
    # flatten, softmax
    ("flatten", (X, 4), {}, "start_dim 4"),
    ("flatten", (X, 0, -5), {}, "end_dim -5"),
    ("flatten", (X, 2, 1), {}, "start_dim 2"),
    ("flatten", (X, 1.0), {}, "start_dim 1.0"),
    ("flatten", (X, 0, None), {}, "end_dim None"),
    ("flatten", (ones(), 1), {}, "start_dim 1"),
    *((op, (X, dim), {}, "dim") for op in ("softmax", "log_softmax") for dim in (4, -5, 1.0, "1", None, True, BEYOND)),
    *((op, (ones(), 1), {}, "dim 1") for op in ("softmax", "log_softmax")),
    # losses
    ("cross_entropy", (ones(), LABELS), {}, "input ()"),
    ("cross_entropy", (ROWS, LABELS[:4]), {}, "target (4,)"),
    ("cross_entropy", (ROWS, LABELS[:, None]), {}, "target (5, 1)"),
    ("cross_entropy", (ROWS, np.array(1)), {}, "target ()"),
    ("cross_entropy", (THREE, LABELS), {}, "target (5,)"),
    ("cross_entropy", (ones(2, 3, 4), np.zeros((2, 3), int)), {}, "target (2, 3)"),
    ("cross_entropy", (ROWS, ones(5, 4)), {}, "target (5, 4)"),
    ("cross_entropy", (ROWS, ones(5)), {}, "target (5,)"),
    ("cross_entropy", (ROWS, LABELS + 1), {}, "target 3"),
    ("cross_entropy", (ROWS, LABELS - 1), {}, "target -1"),
    ("cross_entropy", (ROWS, np.full(5, 2**63 - 1)), {}, "target"),
    ("cross_entropy", (ROWS, np.full(5, 2**64 - 1, np.uint64)), dict(ignore_index=-1), "target"),
    ("cross_entropy", (ROWS, np.full(5, 2**64 - 100, np.uint64)), {}, "target"),
    ("cross_entropy", (ones(5, 0), np.zeros(5, int)), {}, ""),
    ("cross_entropy", (ROWS, LABELS, ones(4)), {}, "weight (3,) (4,)"),
    ("cross_entropy", (ROWS, ROWS, ones(3, 1)), {}, "weight (3,) (3, 1)"),
    ("cross_entropy", (ROWS, ROWS), dict(ignore_index=0), "ignore_index 0"),
    *(("cross_entropy", (ROWS, LABELS), dict(ignore_index=i), "ignore_index") for i in (1.0, None, "1", True)),
    *(("cross_entropy", (ROWS, LABELS), dict(label_smoothing=s), "smoothing") for s in (-0.1, 1.1, NAN, "0", None)),
    ("softmax_cross_entropy_with_logits", (THREE, THREE), {}, "logits (3,)"),
    ("softmax_cross_entropy_with_logits", (ones(2, 3, 4), ones(2, 3, 4)), {}, "logits (2, 3, 4)"),
    ("softmax_cross_entropy_with_logits", (ROWS, ones(5, 4)), {}, "labels (5, 4)"),
    ("softmax_cross_entropy_with_logits", (ROWS, ones(5)), {}, "labels (5,)"),
    ("softmax_cross_entropy_with_logits", (ROWS, LABELS[:4]), {}, "labels (4,)"),
    ("softmax_cross_entropy_with_logits", (ROWS, LABELS + 1), {}, "labels 3"),
    ("softmax_cross_entropy_with_logits", (ROWS, LABELS - 1), {}, "labels -1"),
    ("softmax_cross_entropy_with_logits", (ROWS, np.full(5, -100)), {}, "labels -100"),
    ("mse_loss", (ROWS, ones(4)), {}, "target (5, 3) (4,)"),
    ("mse_loss", (ROWS, ones(0, 3)), {}, "target (5, 3) (0, 3)"),
    ("mse_loss", (ROWS, ROWS), dict(weight=THREE), "weight (5, 3) (3,)"),
    ("mse_loss", (ROWS, THREE), dict(weight=THREE), "weight (5, 3) (3,)"),
    *(
        (op, (ROWS, ROWS), dict(reduction=reduction), "reduction")
        for op in ("cross_entropy", "softmax_cross_entropy_with_logits", "mse_loss")
        for reduction in ("foo", "Mean", "", None, 1, b"mean", ["mean"])
    ),
]


@pytest.mark.parametrize("op, args, options, words", CALLS, ids=readable)
def test_wrong_sizes_options_and_values(op, args, options, words):
    """Words in brackets, such as the shape (5, 3), and those outside them."""
    refused(ValueError, re.findall(r"\([^)]*\)|[^\s(]+", words), op, *args, **options)


# Integers: each of these in the place of each integer or pair

TAKE_PAIRS = {
    "conv2d": (X, W),
    "conv_transpose2d": (X, WT),
    "max_pool2d": (X,),
    "avg_pool2d": (X,),
    "roi_pool": (X, BOXES),
    "adaptive_avg_pool2d": (X,),
}
PAIRS = [
    (op, name)
    for op in TAKE_PAIRS
    for name in ("kernel_size", "output_size", "stride", "padding", "output_padding", "dilation")
    if name in inspect.signature(getattr(fastops, op)).parameters
]
NOT_TWO = [(), (1,), (1, 1, 1), [1, 1, 1], ((1, 1), 1), range(3), np.array([1, 1, 1]), "11", b"11"]
NOT_INTEGERS = [1.5, 1.0, NAN, INF, 1j, "a", np.float32(1), Ellipsis, {1, 2}, {1: 1, 2: 2}, np.array([0.5, 0.5])]
NOT_TWO_INTEGERS = [(1, 1.5), (1, "a"), (1, None), (True, 1), True, np.bool_(True)]
OUT_OF_RANGE = [-1, (1, -1), np.int8(-1), (-HUGE, 1), -BEYOND, (BEYOND, BEYOND), 10**5000]
NOT_PAIRS = [*NOT_TWO, *NOT_INTEGERS, *NOT_TWO_INTEGERS, *OUT_OF_RANGE]


@pytest.mark.parametrize("bad", NOT_PAIRS, ids=lambda bad: "10**5000" if bad is OUT_OF_RANGE[-1] else repr(bad)[:24])
@pytest.mark.parametrize("op, name", PAIRS)
def test_what_is_no_pair(op, name, bad):
    if op == "adaptive_avg_pool2d" and isinstance(bad, tuple) and bad[1:] == (None,):
        pytest.skip("None keeps a size")
    refused(ValueError, [name], op, *TAKE_PAIRS[op], **{**NEEDED_OPTIONS.get(op, {}), name: bad})


MIXED = [
    (1, (1, 0)),
    ((1, 0), 1),
    ((1, 0),),
    ((1, 0), (1, 0), (1, 0)),
    ((1,), (1, 0)),
    ((1, 0), (1, 0, 1)),
    (1, 1, 1, 1),
]


@pytest.mark.parametrize("bad", MIXED, ids=str)
@pytest.mark.parametrize("op", ["conv2d", "max_pool2d", "avg_pool2d"])
def test_mixed_forms_of_padding(op, bad):
    expected = f"{op}: padding expects an int, two ints or ((top, bottom), (left, right)), got {bad}"
    refused(ValueError, [expected], op, *TAKE_PAIRS[op], **{**NEEDED_OPTIONS.get(op, {}), "padding": bad})


@pytest.mark.parametrize(
    "bad", [((1, -1), (0, 0)), ((0, 0), (0, 1.5)), ((True, 0), (0, 0)), ((0, BEYOND), (0, 0))], ids=str
)
@pytest.mark.parametrize("op", ["conv2d", "max_pool2d", "avg_pool2d"])
def test_uneven_padding_of_what_is_no_size(op, bad):
    refused(ValueError, ["padding"], op, *TAKE_PAIRS[op], **{**NEEDED_OPTIONS.get(op, {}), "padding": bad})


@pytest.mark.parametrize("op, name", [pair for pair in PAIRS if "padding" not in pair[1]])
def test_zero_is_no_size(op, name):
    for zero in (0, (0, 1), (1, 0), np.int8(0)):
        refused(ValueError, [name, "0"], op, *TAKE_PAIRS[op], **{**NEEDED_OPTIONS.get(op, {}), name: zero})


@pytest.mark.parametrize("bad", [0, -1, HUGE, BEYOND, 1.0, "1", None, (1, 1), True])
@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
def test_wrong_groups(op, bad):
    refused(ValueError, ["groups"], op, *TAKE_PAIRS[op], groups=bad)


@pytest.mark.parametrize("op, name", PAIRS)
@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**32 + 1, HUGE, 2**62, 2**63, BEYOND], ids=hex)
def test_huge_numbers_are_refused_or_right(op, name, size):
    """A stride beyond the map is a good one; nothing may wrap around and pass for a small number."""
    try:
        result = getattr(fastops, op)(*TAKE_PAIRS[op], **{**NEEDED_OPTIONS.get(op, {}), name: size})
    except (ValueError, MemoryError) as refusal:
        assert isinstance(refusal, MemoryError) or str(refusal).startswith(f"{op}: ")
    else:
        assert name == "stride" and result.shape[-2:] == (1, 1)


@pytest.mark.parametrize("op, arrays", [("conv2d", (X, W)), ("avg_pool2d", (X, 2))])
def test_huge_strides_take_the_first_window(op, arrays):
    first = getattr(fastops, op)(*arrays)[..., :1, :1]
    assert np.array_equal(getattr(fastops, op)(*arrays, stride=2**31 - 1), first)


def test_read_only_running_statistics_are_refused_in_training_only():
    fixed = np.zeros(3, np.float32)
    fixed.flags.writeable = False
    fastops.batch_norm(ROWS, fixed, fixed)
    refused(ValueError, ["running_mean"], "batch_norm", ROWS, fixed, THREE.copy(), training=True)
    refused(ValueError, ["running_var"], "batch_norm", ROWS, THREE.copy(), fixed, training=True)


def test_a_refused_call_writes_nothing():
    mean, var = np.zeros(3, np.float32), np.ones(3, np.float32)
    for bad in (dict(eps=-1.0), dict(weight=ones(4)), dict(out=ones(4)), dict(momentum="1")):
        with pytest.raises(ValueError):
            fastops.batch_norm(ROWS, mean, var, **{"training": True, **bad})
    assert not mean.any() and (var == 1).all()
