"""Every bad call of a backward function is refused in one sentence, before any kernel runs.

Wrong kinds and dtypes of every array argument are in test_errors.py, beside the forward's.
"""

import copy
import inspect
import re

import numpy as np
import pytest
from calls import arrays_in
from refusals import (
    BEYOND,
    BOXES,
    GOOD_ARRAYS,
    HALVES,
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

GRADIENTS = [op for op in GOOD_ARRAYS if op.endswith("_backward")]
OF_CONV, OF_TRANSPOSED, OF_ROI = ones(2, 6, 6, 6), ones(2, 6, 10, 10), ones(2, 4, 2, 2)
INDICES = np.zeros(HALVES.shape, np.int64)
REDUCED = ["cross_entropy_backward", "softmax_cross_entropy_with_logits_backward", "mse_loss_backward"]


def good(op: str) -> dict:
    return {**GOOD_ARRAYS[op], **NEEDED_OPTIONS.get(op, {})}


def placed(place: tuple[int, ...], value: int) -> np.ndarray:
    indices = INDICES.copy()
    indices[place] = value
    return indices


def result(op: str) -> np.ndarray:
    return GOOD_ARRAYS[op]["grad_output"]


def test_every_backward_function_is_here():
    named = {name for name in fastops.__all__ if name.endswith("_backward")}
    assert named - set(GRADIENTS) == {"flatten_backward"}  # of arrays of any dtype


@pytest.mark.parametrize("op", [op for op in GRADIENTS if op != "dropout_backward"])
def test_grad_output_of_another_shape(op):
    """dropout_backward has no other array to compare it with."""
    shape = result(op).shape
    others = [(), (1,), shape[1:], (*shape, 1), (1, *shape), (*shape[:-1], shape[-1] + 1), (*shape[:-1], 0)]
    if len(shape) > 1:
        others += [shape[::-1], (int(np.prod(shape)),), (shape[0] + 1, *shape[1:])]
    for other in others:
        if other != shape:
            refused(
                ValueError, ["grad_output", str(shape), str(other)], op, **{**good(op), "grad_output": ones(*other)}
            )


@pytest.mark.parametrize("op", GRADIENTS)
def test_grad_output_of_another_dtype(op):
    for dtype in (np.float64, np.float16, np.int64, np.int32, bool, complex, object):
        if (op, dtype) != ("dropout_backward", np.float64):
            bad = {**good(op), "grad_output": result(op).astype(dtype)}
            refused(TypeError, ["grad_output" if dtype is not np.float64 else "float64"], op, **bad)


@pytest.mark.parametrize("op", REDUCED)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    "bad, error",
    [
        (None, TypeError),
        (True, TypeError),
        (1j, TypeError),
        ("1", TypeError),
        ([1.0], TypeError),
        (np.float64(1), TypeError),
        (np.float16(1), TypeError),
        (np.int64(1), TypeError),
        (np.bool_(True), TypeError),
        (np.array(1.0), TypeError),
        (np.array(1), TypeError),
        (np.array([1.0]), TypeError),
        (10**400, ValueError),
        (ones(1), ValueError),
        (ones(5), ValueError),
        (ones(1, 1), ValueError),
        (ones(5, 3), ValueError),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_gradient_of_a_number(op, reduction, bad, error):
    refused(error, ["grad_output"], op, **{**good(op), "grad_output": bad, "reduction": reduction})


@pytest.mark.parametrize("op", REDUCED)
@pytest.mark.parametrize("bad", [1, 1.0, np.float32(1), np.array(1.0, np.float32)], ids=repr)
def test_a_number_where_the_loss_is_not_reduced(op, bad):
    error = ValueError if isinstance(bad, np.ndarray) else TypeError
    refused(error, ["grad_output"], op, **{**good(op), "grad_output": bad, "reduction": "none"})


def test_torch_tensors_as_the_gradient_of_a_number():
    torch = pytest.importorskip("torch")
    for op in REDUCED:
        bad = {**good(op), "grad_output": torch.tensor(1.0), "reduction": "sum"}
        refused(TypeError, ["grad_output", "torch", ".numpy()"], op, **bad)


@pytest.mark.parametrize("bad", [None, np.random.default_rng(1)], ids=["None", "Generator"])
@pytest.mark.parametrize("options", [{}, dict(p=0.0), dict(training=False)], ids=str)
def test_dropout_needs_the_seed_that_the_forward_had(bad, options):
    refused(TypeError, ["rng", "int", "SeedSequence", type(bad).__name__], "dropout_backward", X, **options, rng=bad)
    with pytest.raises(TypeError, match="rng"):
        fastops.dropout_backward(X)


@pytest.mark.parametrize(
    "bad", [1.5, "7", True, [1], np.array(1), np.random.RandomState(1)], ids=lambda bad: type(bad).__name__
)
def test_what_is_no_seed(bad):
    refused(TypeError, ["rng"], "dropout_backward", X, rng=bad)


@pytest.mark.parametrize("bad", [[1, 2], 1.0, None, "array", np.float32(1)], ids=repr)
def test_flatten_takes_arrays_only(bad):
    refused(TypeError, ["grad_output"], "flatten_backward", bad, X)
    refused(TypeError, ["input"], "flatten_backward", X, bad)


INDEX_DTYPES = [float, np.float32, bool, complex, object, "M8[s]"]


@pytest.mark.parametrize("dtype", INDEX_DTYPES, ids=str)
def test_indices_that_are_no_integers(dtype):
    refused(TypeError, ["indices", "int"], "max_pool2d_backward", HALVES, X, INDICES.astype(dtype), 2)


@pytest.mark.parametrize("bad", [None, 0, [0], INDICES.tolist(), "0"], ids=["None", "int", "list", "lists", "str"])
def test_indices_that_are_no_array(bad):
    refused(TypeError, ["indices"], "max_pool2d_backward", HALVES, X, bad, 2)


@pytest.mark.parametrize("bad", [64, 65, -2, -64, 2**31, 2**32, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (1, 2, 3, 1), (1, 3, 3, 3)], ids=str)
def test_indices_that_are_not_on_the_map(bad, place):
    refused(ValueError, ["indices", str(bad), "63"], "max_pool2d_backward", HALVES, X, placed(place, bad), 2)


def test_unsigned_indices_beyond_every_map():
    for bad in (2**64 - 1, 2**63, 2**64 - 64):
        indices = np.zeros(HALVES.shape, np.uint64)
        indices[1, 1, 1, 1] = bad
        refused(ValueError, ["indices"], "max_pool2d_backward", HALVES, X, indices, 2)


@pytest.mark.parametrize("place", [0, 8191, 8192, 16_384, 19_999])
def test_one_bad_place_among_many(place):
    """Whichever block of them it lies in."""
    indices, labels = np.zeros((1, 2, 100, 100), np.int64), np.zeros(20_000, np.int64)
    indices.ravel()[place] = 40_000
    refused(ValueError, ["indices", "40000"], "max_pool2d_backward", ones(1, 2, 100, 100), ones(1, 2, 200, 200),
            indices, 2)  # fmt: skip
    labels[place] = 3
    refused(ValueError, ["target", "3"], "cross_entropy_backward", 1.0, ones(20_000, 3), labels)
    refused(ValueError, ["target", "3"], "cross_entropy", ones(20_000, 3), labels)


# Everything else: one line a bad call; the words are what the message must hold

CONV, TRANSPOSED = (OF_CONV, X, W), (OF_TRANSPOSED, X, WT)
CALLS = [
    ("conv2d_backward", (OF_CONV, ones(8, 8), W), {}, "input (8, 8)"),
    ("conv2d_backward", (OF_CONV, X, ones(6, 3, 3, 3)), {}, "weight 4 3"),
    ("conv2d_backward", (OF_CONV, X, ones(6, 4, 9, 3)), {}, "weight 9"),
    ("conv2d_backward", (*CONV, ones(5)), {}, "bias (6,) (5,)"),
    ("conv2d_backward", (OF_CONV[0], X, W), {}, "grad_output (2, 6, 6, 6) (6, 6, 6)"),
    ("conv2d_backward", (OF_CONV, X[0], W), {}, "grad_output (6, 6, 6) (2, 6, 6, 6)"),
    ("conv2d_backward", CONV, dict(padding=1), "grad_output (2, 6, 8, 8) (2, 6, 6, 6)"),
    ("conv2d_backward", CONV, dict(stride=2), "grad_output (2, 6, 3, 3) (2, 6, 6, 6)"),
    ("conv2d_backward", CONV, dict(dilation=2), "grad_output (2, 6, 4, 4) (2, 6, 6, 6)"),
    ("conv2d_backward", CONV, dict(padding="same"), "grad_output (2, 6, 8, 8) (2, 6, 6, 6)"),
    ("conv2d_backward", CONV, dict(padding="full"), "padding 'full'"),
    ("conv2d_backward", CONV, dict(groups=3), "groups 3"),
    ("conv2d_backward", (OF_CONV, X, ones(6, 1, 3, 3)), dict(groups=4), "groups 6 4"),
    *((f"{op}_backward", (*arrays,), dict(precision=p), "precision") for p in ("slow", "EXACT", None, 1)
      for op, arrays in (("conv2d", CONV), ("conv_transpose2d", TRANSPOSED))),
    ("conv_transpose2d_backward", (OF_TRANSPOSED, ones(8, 8), WT), {}, "input (8, 8)"),
    ("conv_transpose2d_backward", (OF_TRANSPOSED, X, ones(3, 6, 3, 3)), {}, "weight 4 3"),
    ("conv_transpose2d_backward", (*TRANSPOSED, ones(4)), {}, "bias (6,) (4,)"),
    ("conv_transpose2d_backward", TRANSPOSED, dict(stride=2), "grad_output (2, 6, 17, 17) (2, 6, 10, 10)"),
    ("conv_transpose2d_backward", TRANSPOSED, dict(padding=1), "grad_output (2, 6, 8, 8) (2, 6, 10, 10)"),
    ("conv_transpose2d_backward", TRANSPOSED, dict(padding="same"), "padding 'same'"),
    ("conv_transpose2d_backward", TRANSPOSED, dict(padding=5), "padding (5, 5)"),
    ("conv_transpose2d_backward", TRANSPOSED, dict(output_padding=1), "output_padding (1, 1)"),
    ("conv_transpose2d_backward", TRANSPOSED, dict(dilation=2, output_padding=1), "grad_output (2, 6, 13, 13)"),
    ("conv_transpose2d_backward", TRANSPOSED, dict(groups=3), "groups 3"),
    ("max_pool2d_backward", (HALVES, ones(8, 8), INDICES, 2), {}, "input (8, 8)"),
    ("max_pool2d_backward", (HALVES, X, INDICES, 3), {}, "grad_output (2, 4, 2, 2) (2, 4, 4, 4)"),
    ("max_pool2d_backward", (HALVES, X, INDICES, 2, 1), {}, "grad_output (2, 4, 7, 7) (2, 4, 4, 4)"),
    ("max_pool2d_backward", (HALVES, X, INDICES[0], 2), {}, "indices (2, 4, 4, 4) (4, 4, 4)"),
    ("max_pool2d_backward", (HALVES, X, INDICES[..., :3], 2), {}, "indices (2, 4, 4, 4) (2, 4, 4, 3)"),
    ("max_pool2d_backward", (HALVES, X, INDICES.ravel(), 2), {}, "indices (2, 4, 4, 4) (128,)"),
    ("max_pool2d_backward", (HALVES, ones(2, 4, 7, 8), INDICES, 2), {}, "grad_output (2, 4, 3, 4)"),
    ("max_pool2d_backward", (HALVES, X, INDICES, 3), dict(padding=2), "padding (2, 2)"),
    ("max_pool2d_backward", (HALVES, X, INDICES, 2), dict(ceil_mode=1), "ceil_mode 1"),
    ("avg_pool2d_backward", (HALVES, ones(8, 8), 2), {}, "input (8, 8)"),
    ("avg_pool2d_backward", (HALVES, X, 3), {}, "grad_output (2, 4, 2, 2) (2, 4, 4, 4)"),
    ("avg_pool2d_backward", (HALVES, X, 2), dict(padding=1), "grad_output (2, 4, 5, 5) (2, 4, 4, 4)"),
    ("avg_pool2d_backward", (HALVES, X, 2), dict(count_include_pad=2), "count_include_pad 2"),
    *(("avg_pool2d_backward", (HALVES, X, 2), dict(divisor_override=d), "divisor_override") for d in (0, 1.5, BEYOND)),
    ("roi_pool_backward", (OF_ROI, ones(4, 8, 8), BOXES, 2), {}, "input (4, 8, 8)"),
    ("roi_pool_backward", (OF_ROI, X, BOXES[:1], 2), {}, "grad_output (1, 4, 2, 2) (2, 4, 2, 2)"),
    ("roi_pool_backward", (OF_ROI, X, BOXES, 3), {}, "grad_output (2, 4, 3, 3) (2, 4, 2, 2)"),
    ("roi_pool_backward", (OF_ROI, X, BOXES + np.float32(1), 2), {}, "boxes 2"),
    ("roi_pool_backward", (OF_ROI, X, BOXES * np.float32(NAN), 2), {}, "boxes finite"),
    ("roi_pool_backward", (OF_ROI, X, [ones(1, 4)], 2), {}, "boxes 2 1"),
    ("roi_pool_backward", (OF_ROI, X, [ones(1, 4), ones(1, 5)], 2), {}, "boxes (1, 5)"),
    *(("roi_pool_backward", (OF_ROI, X, BOXES, 2, s), {}, "spatial_scale") for s in (0, -1.0, NAN, INF, "1", None)),
    ("batch_norm_backward", (ROWS, ROWS, ones(4), THREE), {}, "running_mean (3,) (4,)"),
    ("batch_norm_backward", (ROWS, ROWS, THREE, ones(3, 1)), {}, "running_var (3,) (3, 1)"),
    ("batch_norm_backward", (ROWS, ROWS, THREE, THREE, ones(2)), {}, "weight (3,) (2,)"),
    ("batch_norm_backward", (ROWS, ROWS, THREE, THREE, None, ones()), {}, "bias (3,) ()"),
    ("batch_norm_backward", (ROWS, ROWS, None, None), {}, "running_mean"),
    ("batch_norm_backward", (ROWS, ROWS, THREE, None), dict(training=True), "running_var"),
    ("batch_norm_backward", (ones(1, 3), ones(1, 3), None, None), dict(training=True), "one value per channel"),
    *(("batch_norm_backward", (ROWS, ROWS, THREE, THREE), dict(eps=e), "eps") for e in (-1e-5, NAN, "1", None)),
    *(("batch_norm_backward", (ROWS, ROWS, THREE, THREE), dict(training=t), "training") for t in (1, None, "yes")),
    ("batch_norm_backward", (ROWS, ROWS, THREE, THREE), dict(momentum="1"), "momentum"),
    *(("dropout_backward", (X, p), dict(rng=1), "p") for p in (-0.1, 1.1, NAN, "half", None, True)),
    *(("dropout_backward", (X,), dict(training=t, rng=1), "training") for t in (1, None, "yes")),
    ("dropout_backward", (X,), dict(rng=-1), "rng -1"),
    ("flatten_backward", (X, X), {}, "grad_output (512,) (2, 4, 8, 8)"),
    ("flatten_backward", (X.ravel(), X, 1), {}, "grad_output (2, 256) (512,)"),
    ("flatten_backward", (X.ravel(), X, 2, 1), {}, "start_dim 2"),
    ("flatten_backward", (X.ravel(), X, 0, 4), {}, "end_dim 4"),
    *((f"{op}_backward", (X, X, dim), {}, "dim") for op in ("softmax", "log_softmax") for dim in (4, -5, 1.0, None)),
    *((f"{op}_backward", (ones(), ones(), 1), {}, "dim 1") for op in ("softmax", "log_softmax")),
    ("cross_entropy_backward", (1.0, ROWS, LABELS[:4]), {}, "target (4,)"),
    ("cross_entropy_backward", (1.0, ROWS, LABELS + 1), {}, "target 3"),
    ("cross_entropy_backward", (1.0, ROWS, LABELS - 1), {}, "target -1"),
    ("cross_entropy_backward", (1.0, ROWS, LABELS[:, None]), {}, "target (5, 1)"),
    ("cross_entropy_backward", (1.0, ROWS, ROWS), dict(ignore_index=0), "ignore_index 0"),
    ("cross_entropy_backward", (1.0, ROWS, LABELS, ones(4)), {}, "weight (3,) (4,)"),
    *(("cross_entropy_backward", (1.0, ROWS, LABELS), dict(label_smoothing=s), "smoothing") for s in (-0.1, 1.1, NAN)),
    ("softmax_cross_entropy_with_logits_backward", (ones(5), ROWS, LABELS + 1), {}, "labels 3"),
    ("softmax_cross_entropy_with_logits_backward", (ones(5), ROWS, LABELS - 1), {}, "labels -1"),
    ("softmax_cross_entropy_with_logits_backward", (ones(2), ones(2, 3, 4), LABELS), {}, "logits (2, 3, 4)"),
    ("mse_loss_backward", (1.0, ROWS, ones(4)), {}, "target (5, 3) (4,)"),
    ("mse_loss_backward", (1.0, ROWS, ROWS), dict(weight=THREE), "weight (5, 3) (3,)"),
    *((op, (1.0, ROWS, ROWS), dict(reduction=r), "reduction") for op in REDUCED for r in ("foo", "", None, 1, ["sum"])),
]  # fmt: skip


@pytest.mark.parametrize("op, args, options, words", CALLS, ids=readable)
def test_wrong_sizes_options_and_values(op, args, options, words):
    """Words in brackets, such as the shape (5, 3), and those outside them."""
    refused(ValueError, re.findall(r"\([^)]*\)|[^\s(]+", words), op, *args, **options)


PAIRS = [
    (op, name)
    for op in GRADIENTS
    for name in ("kernel_size", "output_size", "stride", "padding", "output_padding", "dilation")
    if name in inspect.signature(getattr(fastops, op)).parameters
]
NO_PAIRS = [(), (1,), (1, 1, 1), "11", 1.5, NAN, "a", Ellipsis, (1, 1.5), (1, None), True, -1, (1, -1), -HUGE, BEYOND]


@pytest.mark.parametrize("op, name", PAIRS)
def test_what_is_no_pair(op, name):
    for bad in NO_PAIRS:
        keeps_a_size = op == "adaptive_avg_pool2d_backward" and bad == (1, None)
        refused(ValueError, ["grad_output" if keeps_a_size else name], op, **{**good(op), name: bad})


@pytest.mark.parametrize("op, name", PAIRS)
@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**32 + 1, HUGE, 2**62, 2**63, BEYOND], ids=hex)
def test_huge_numbers_are_refused(op, name, size):
    """None of them gives a result of grad_output's shape."""
    refused(ValueError, [], op, **{**good(op), name: size})


@pytest.mark.parametrize("op", GRADIENTS)
def test_a_refused_call_writes_nothing(op):
    arguments = copy.deepcopy(good(op))
    before = copy.deepcopy(arguments)
    with pytest.raises(TypeError):
        getattr(fastops, op)(**{**arguments, "grad_output": np.ones((7, 2), np.float16)})
    for after, was in zip(arrays_in(arguments), arrays_in(before), strict=True):
        np.testing.assert_array_equal(after, was)
