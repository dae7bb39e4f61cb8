"""Every operator and gradient on dask arrays of random chunks gives what it gives on NumPy arrays."""

import copy

import numpy as np
import pytest

da = pytest.importorskip("dask.array")

from calls import CALLS  # noqa: E402
from lazy import assert_same, chunked  # noqa: E402

import fastops  # noqa: E402
from fastops.yardstick.operators import OPERATORS  # noqa: E402

SAME_BITS = {each.name for each in OPERATORS.values() if each.in_place} | {"max_pool2d", "avg_pool2d", "flatten"}
"""Element by element or window by window; prelu's gradient sums."""


def arguments(call, dtype):
    """Arrays as dask can take them: in training without running statistics, which nothing lazy can update."""
    arrays = call.arrays(dtype)
    if call.options.get("training"):
        arrays["running_mean"] = arrays["running_var"] = None
    return arrays


def lazily(call, arrays, rng, only=()):
    """The arrays in random chunks; images of roi_pool whole along height and width, and its boxes where they are."""
    lazy = {}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or (only and name not in only):
            lazy[name] = array
        elif call.op.startswith("roi_pool") and name == "input":
            lazy[name] = da.from_array(array, chunks=(1, 2, -1, -1))
        else:
            lazy[name] = chunked(array, rng)
    return lazy


def check(call, dtype, rng, only=()):
    arrays = arguments(call, dtype)
    expected = getattr(fastops, call.op)(**copy.deepcopy(arrays), **call.options)
    actual = getattr(fastops, call.op)(**lazily(call, arrays, rng, only), **call.options)
    base = call.op.removesuffix("_backward")
    assert_same(actual, expected, exact=base in SAME_BITS and call.op != "prelu_backward")


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_all_arrays_in_chunks(call, dtype, rng):
    check(call, dtype, rng)


@pytest.mark.parametrize("op", [name for name, each in OPERATORS.items() if len(each.arrays) > 1])
def test_a_numpy_weight_beside_a_dask_input(op, dtype, rng):
    call = next(each for each in CALLS if each.op == op)
    check(call, dtype, rng, only=OPERATORS[op].arrays[:1])


@pytest.mark.parametrize("op", ["conv2d", "linear", "prelu"])
def test_a_dask_weight_beside_a_numpy_input(op, dtype, rng):
    call = next(each for each in CALLS if each.op == op)
    check(call, dtype, rng, only=("weight",))


@pytest.mark.parametrize("most", [1, 2, 3, 50])
@pytest.mark.parametrize("shape", [(7,), (3, 5, 4), (2, 3, 6, 7), ()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_has_the_mask_of_the_whole_array(shape, most, dtype, rng):
    x = np.asarray(rng.standard_normal(shape), dtype)
    assert_same(fastops.dropout(chunked(x, rng, most), 0.4, rng=5), fastops.dropout(x, 0.4, rng=5), exact=True)


def test_dropout_keeps_its_mask_from_one_computation_to_the_next(rng):
    lazy = fastops.dropout(chunked(np.ones((50, 60), np.float32), rng, 20))
    np.testing.assert_array_equal(lazy.compute(scheduler="synchronous"), lazy.compute(scheduler="synchronous"))


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize(
    "values", [[1e4, -1e4, 0.0], [-np.inf, 1.0, 2.0], [-np.inf] * 3, [np.inf, 1.0, 2.0], [np.nan] * 3]
)
def test_softmax_over_chunks_of_extreme_logits(op, values):
    x = np.array([values, [1.0, 2.0, 3.0]], np.float32)
    assert_same(getattr(fastops, op)(da.from_array(x, chunks=(1, 1)), 1), getattr(fastops, op)(x, 1))


def test_batch_norm_of_a_mean_much_larger_than_the_deviation(rng):
    x = (1e4 + 1e-2 * rng.standard_normal((4, 3, 10, 11))).astype(np.float32)
    options = {"running_mean": None, "running_var": None, "training": True}
    assert_same(fastops.batch_norm(chunked(x, rng), **options), fastops.batch_norm(x, **options))


def test_the_same_call_makes_the_same_graph(rng):
    x, w = chunked(np.ones((1, 3, 9, 9), np.float32), rng), np.ones((2, 3, 3, 3), np.float32)
    assert fastops.conv2d(x, w).name == fastops.conv2d(x, w).name != fastops.conv2d(x, w, padding=1).name
