"""What dask arrays cannot do is refused in a sentence: at the call, or by the block whose values are bad."""

import numpy as np
import pytest

da = pytest.importorskip("dask.array")

from refusals import FIRST, refused  # noqa: E402

import fastops  # noqa: E402
from fastops.yardstick.operators import TABLE  # noqa: E402

X = da.ones((2, 4, 8, 8), chunks=(1, 2, 4, 4), dtype=np.float32)
W = np.ones((6, 4, 3, 3), np.float32)
FOUR = np.ones(4, np.float32)


@pytest.mark.parametrize("op", [each.name for each in TABLE if each.out])
@pytest.mark.parametrize("lazy", [False, True])
def test_out_is_refused(op, lazy):
    call = next(each for each in FIRST if each.op == op)
    arrays = call.arrays(np.float32)
    first = next(iter(arrays))
    arrays[first] = da.from_array(arrays[first], chunks=-1)
    out = da.zeros(3, dtype=np.float32) if lazy else np.zeros(3, np.float32)
    refused(TypeError, ["out expects"], op, **arrays, **call.options, out=out)


def test_running_statistics_are_not_updated():
    words = ["running_mean", "running_var", "None in training", "dask arrays"]
    refused(ValueError, words, "batch_norm", X, FOUR, FOUR, training=True)
    assert fastops.batch_norm(X, FOUR, FOUR).shape == X.shape
    assert fastops.batch_norm_backward(X, X, FOUR, FOUR, training=True)[0].shape == X.shape


def test_roi_pool_needs_whole_images():
    boxes = np.array([[0, 1, 1, 5, 5]], np.float32)
    refused(ValueError, ["one chunk along height and width", "2 x 2"], "roi_pool", X, boxes, 2)
    refused(ValueError, ["2 x 2"], "roi_pool_backward", np.ones((1, 4, 2, 2), np.float32), X, boxes, 2)


def test_unknown_chunk_sizes():
    refused(ValueError, ["input expects chunks of known sizes", "compute_chunk_sizes"], "relu", X[X > 0])


def test_blocks_of_another_library():
    masked = da.ma.masked_array(X, mask=False)
    refused(TypeError, ["input expects a dask array of NumPy arrays"], "relu", masked)


def test_another_kind_beside_a_dask_array():
    refused(TypeError, ["target expects a NumPy array, as input is, got a dask array"], "cross_entropy",
            np.ones((4, 3), np.float32), da.zeros(4, dtype=int))  # fmt: skip


@pytest.mark.parametrize(
    "error, words, call",
    [
        (ValueError, ["weight expects 4 input channels per group"], lambda: ("conv2d", X, W[:, :3])),
        (TypeError, ["input expects dtype float32 or float64, got int64"], lambda: ("relu", X.astype(int))),
        (TypeError, ["weight expects dtype float32"], lambda: ("conv2d", X, W.astype(np.float64))),
        (ValueError, ["padding expects at most half"], lambda: ("max_pool2d", X, 2, 2, 2)),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else None,
)
def test_a_bad_call_is_refused_at_once_with_the_sentence_of_numpy_arrays(error, words, call):
    op, first, *more = call()
    refused(error, words, op, first, *more)
    with pytest.raises(error) as theirs:
        getattr(fastops, op)(first.compute(scheduler="synchronous"), *more)
    with pytest.raises(error) as ours:
        getattr(fastops, op)(first, *more)
    assert str(ours.value) == str(theirs.value)


LOGITS = da.ones((6, 3), chunks=(2, 3), dtype=np.float32)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    "op, name", [("cross_entropy", "target"), ("softmax_cross_entropy_with_logits", "labels")], ids=lambda each: each
)
@pytest.mark.parametrize("backward", [False, True])
def test_a_bad_label_is_refused_by_its_block(op, name, reduction, lazy, backward):
    labels = np.array([0, 1, 2, 1, 7, 0])
    given = da.from_array(labels, chunks=2) if lazy else labels
    gradient = [LOGITS[:, 0] if reduction == "none" else 1.0] if backward else []
    op += "_backward" if backward else ""
    with pytest.raises(ValueError, match=rf"^{op}: {name} expects class numbers from 0 to 2, got 7$"):
        getattr(fastops, op)(*gradient, LOGITS, given, reduction=reduction).compute(scheduler="synchronous")


def test_a_bad_index_is_refused_by_its_block():
    values, indices = fastops.max_pool2d(X, 2, return_indices=True)
    lazy = fastops.max_pool2d_backward(values, X, indices + 60, 2)
    with pytest.raises(ValueError, match="max_pool2d_backward: indices expects places from 0 to 63, or -1, got "):
        lazy.compute(scheduler="synchronous")


def test_a_bad_box_is_refused_at_the_call_or_by_its_block():
    x, boxes = X.rechunk((1, 2, -1, -1)), np.array([[2, 1, 1, 5, 5]], np.float32)
    refused(ValueError, ["boxes expects", "from 0 to 1"], "roi_pool", x, boxes, 2)
    with pytest.raises(ValueError, match="roi_pool: boxes expects .* from 0 to 1"):
        fastops.roi_pool(x, da.from_array(boxes), 2).compute(scheduler="synchronous")
