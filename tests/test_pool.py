"""max_pool2d, avg_pool2d and roi_pool."""

import numpy as np
import oracle
import pytest
from agreement import assert_close

WINDOWS = [
    # input, kernel_size, options that both pools take
    pytest.param((2, 3, 8, 10), 2, {}, id="halving"),
    pytest.param((3, 8, 10), 2, {}, id="one image"),
    pytest.param((3, 32, 32), 2, dict(stride=1), id="k2 stride 1"),
    pytest.param((2, 3, 9, 11), 3, dict(stride=2, padding=1), id="k3 stride 2 of ResNet"),
    pytest.param((2, 3, 9, 11), (2, 3), dict(stride=(3, 1), padding=(1, 0)), id="pairs"),
    pytest.param((2, 3, 9, 11), 1, {}, id="k1"),
    pytest.param((2, 3, 9, 11), 1, dict(stride=2), id="k1 stride 2"),
    pytest.param((2, 3, 9, 11), (9, 11), {}, id="the whole map"),
    pytest.param((2, 3, 9, 11), 2, dict(stride=5), id="stride beyond the kernel"),
    pytest.param((2, 3, 9, 11), 2, dict(ceil_mode=True), id="ceil"),
    pytest.param((2, 3, 9, 11), 3, dict(stride=2, padding=1, ceil_mode=True), id="ceil, padding"),
    pytest.param((2, 3, 10, 12), 4, dict(stride=3, padding=2, ceil_mode=True), id="ceil, padding of half the kernel"),
    pytest.param((2, 3, 5, 5), 2, dict(stride=3, padding=1, ceil_mode=True), id="ceil drops a window of padding"),
    pytest.param((2, 3, 3, 4), 3, dict(stride=5, ceil_mode=True), id="ceil, stride beyond the map"),
    pytest.param((1, 2, 1, 1), 2, dict(padding=1), id="one pixel"),
    pytest.param((2, 3, 9, 11), 3, dict(stride=2, padding=((0, 1), (1, 0))), id="uneven padding"),
    pytest.param((2, 3, 8, 10), 2, dict(stride=1, padding=((1, 0), (0, 1))), id="uneven padding, stride 1"),
    pytest.param((3, 9, 10), (4, 5), dict(stride=3, padding=((0, 2), (2, 0))), id="uneven padding, one image"),
    pytest.param((2, 3, 7, 9), 4, dict(stride=3, padding=((2, 0), (1, 2)), ceil_mode=True), id="uneven padding, ceil"),
    pytest.param((2, 3, 7, 9), 4, dict(stride=3, padding=((0, 2), (2, 1)), ceil_mode=True), id="uneven, other ceil"),
    pytest.param((2, 3, 9, 12), (7, 6), dict(stride=1, padding=((3, 0), (0, 3))), id="uneven padding, large window"),
    pytest.param((1, 2, 1, 1), 2, dict(padding=((0, 1), (1, 0))), id="one pixel, uneven padding"),
    pytest.param((0, 3, 8, 10), 2, {}, id="empty batch"),
    pytest.param((1, 2, 5, 130), (3, 3), dict(stride=1, padding=1), id="long rows"),
    pytest.param((1, 2, 5, 131), 2, {}, id="long rows, halving"),
]


@pytest.mark.parametrize("input, kernel_size, options", WINDOWS)
def test_max_pool2d(agrees, normal, input, kernel_size, options):
    agrees("max_pool2d", normal(*input), kernel_size, **options)
    agrees("max_pool2d", normal(*input), kernel_size, return_indices=True, **options)


@pytest.mark.parametrize(
    "options",
    [
        dict(kernel_size=2, dilation=2),
        dict(kernel_size=3, dilation=(2, 3), stride=1),
        dict(kernel_size=(2, 3), dilation=(3, 1), stride=2, padding=1),
        dict(kernel_size=(3, 2), dilation=(2, 3), padding=1, stride=2),
        dict(kernel_size=2, dilation=3, stride=2, ceil_mode=True),
        dict(kernel_size=(2, 3), dilation=(3, 2), padding=((0, 1), (1, 0)), ceil_mode=True),
    ],
    ids=str,
)
def test_max_pool2d_dilated(agrees, normal, options):
    agrees("max_pool2d", normal(2, 3, 9, 11), return_indices=True, **options)


def test_the_first_of_equals_wins(agrees, rng, dtype):
    agrees("max_pool2d", rng.integers(0, 3, (2, 3, 9, 11)).astype(dtype), 3, stride=2, padding=1, return_indices=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("share", [0.1, 0.6, 1.0])
@pytest.mark.parametrize("options", [dict(stride=1), dict(padding=1), dict(stride=2, dilation=2)], ids=str)
def test_max_pool2d_of_what_is_not_finite(agrees, rng, normal, value, share, options):
    input = normal(2, 3, 9, 40)
    input[rng.random(input.shape) < share] = value
    agrees("max_pool2d", input, 3, return_indices=True, **options)


def test_the_last_nan_wins_the_index(backend, dtype):
    input = np.array([[[np.nan, 9, np.nan, 1]]], dtype)
    values, indices = backend("max_pool2d", input, (1, 4), return_indices=True)
    assert np.isnan(values).all() and indices.tolist() == [[[2]]] and indices.dtype == np.int64


def test_zeros_of_either_sign_are_equal(backend, dtype):
    values, indices = backend("max_pool2d", np.array([[[-0.0, 0.0]]], dtype), (1, 2), return_indices=True)
    assert np.signbit(values).all() and indices.tolist() == [[[0]]]


def test_a_window_of_padding_alone(backend, dtype):
    """One pixel between the two taps of a dilated kernel: torch gives -inf and an index out of the map, fastops -1."""
    options = dict(kernel_size=2, dilation=2, padding=1, return_indices=True)
    values, indices = backend("max_pool2d", np.ones((1, 1, 1, 1), dtype), **options)
    assert values.tolist() == [[[[-np.inf]]]] and indices.tolist() == [[[[-1]]]]
    input = np.arange(6, dtype=dtype).reshape(1, 1, 2, 3)
    options = dict(kernel_size=2, stride=1, dilation=(2, 3), padding=1, return_indices=True)
    assert_close(backend("max_pool2d", input, **options), oracle.max_pool2d(input, **options), exact=True)


def test_max_pool_by_hand(backend, dtype):
    input = np.arange(1, 13, dtype=dtype).reshape(1, 3, 4)
    assert backend("max_pool2d", input, (2, 2), stride=(1, 2)).tolist() == [[[6, 8], [10, 12]]]
    assert backend("avg_pool2d", input, (2, 2), stride=(1, 2)).tolist() == [[[3.5, 5.5], [7.5, 9.5]]]
    assert backend("max_pool2d", np.zeros((3, 32, 32), dtype), 2, stride=1).shape == (3, 31, 31)


@pytest.mark.parametrize("counting", [{}, dict(count_include_pad=False)], ids=["pad counts", "pad does not"])
@pytest.mark.parametrize("divisor", [{}, dict(divisor_override=7), dict(divisor_override=-3)], ids=str)
@pytest.mark.parametrize("input, kernel_size, options", WINDOWS)
def test_avg_pool2d(agrees, normal, input, kernel_size, options, counting, divisor):
    agrees("avg_pool2d", normal(*input), kernel_size, **options, **counting, **divisor)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_avg_pool2d_of_what_is_not_finite(agrees, normal, value):
    input = normal(2, 3, 9, 11)
    input[1, 1, 4, 5] = value
    out = agrees("avg_pool2d", input, 3, stride=2, padding=1)
    assert (~np.isfinite(out)).sum() == 2  # rows 3 to 5 are one window's, columns 5 two windows'


BOXES = [
    # output_size, spatial_scale, boxes: image, x1, y1, x2, y2
    pytest.param((6, 6), 1.0, [[0, 0, 0, 20, 20]], id="of the book"),
    pytest.param(7, 0.25, [[0, 8, 4, 90, 61], [1, 17.3, 33.1, 80.9, 127]], id="a quarter of the image"),
    pytest.param((2, 3), 0.5, [[0, 1, 3, 5, 7], [0, 9, 11, 13, 15]], id="halves"),
    pytest.param((2, 2), 0.5, [[1, -1, -3, 9, 11], [0, -5, -9, -1, -3]], id="negative halves"),
    pytest.param((3, 3), 1.0, [[1, 5, 5, 5, 5]], id="one pixel, nine bins"),
    pytest.param((3, 3), 1.0, [[1, 9, 9, 4, 2]], id="ends before it starts"),
    pytest.param((3, 3), 1.0, [[0, -20, -20, -10, -10], [1, 40, 40, 50, 50]], id="off the map: empty bins"),
    pytest.param((4, 5), 1.0, [[0, -7, 20, 12, 60], [1, 25, -3, 45, 4]], id="partly off the map"),
    pytest.param((13, 17), 1.0, [[0, 2, 3, 9, 7]], id="more bins than pixels"),
    pytest.param((1, 1), 1.0, [[0, 0, 0, 31, 31], [1, 0.49999997, 0.5, 30.5, 31.4999]], id="one bin"),
    pytest.param((7, 7), 1 / 3, [[1, 0.1, 10.1, 77.7, 88.8], [0, 4.5, 1.5, 7.5, 94.5]], id="a third"),
    pytest.param((2, 2), 1.0, [[0, -1e9, -1e9, 1e9, 1e9]], id="far beyond the map"),
    pytest.param((1, 1), 1.0, [[1, -3e30, -3e30, 3e30, 3e30], [0, 1e30, 0, 2e30, 5]], id="beyond 64-bit integers"),
    pytest.param((2, 2), 1e-30, [[1, 1, 2, 3, 4]], id="a tiny scale"),
    pytest.param((7, 7), 1.0, np.zeros((0, 5)), id="no box"),
]


@pytest.mark.parametrize("output_size, spatial_scale, boxes", BOXES)
def test_roi_pool(agrees, normal, dtype, output_size, spatial_scale, boxes):
    agrees("roi_pool", normal(2, 3, 32, 32), np.array(boxes, dtype), output_size, spatial_scale)


def test_boxes_in_a_list_one_array_per_image(agrees, normal, dtype):
    lists = [np.array(own, dtype).reshape(-1, 4) for own in ([[1, 2, 9, 9], [0, 0, 30, 12]], [], [[5, 5, 20, 20]])]
    agrees("roi_pool", normal(3, 2, 32, 24), lists, (3, 4), spatial_scale=0.7)


def test_nan_is_never_the_largest_in_a_bin(agrees, rng, normal, dtype):
    input = normal(1, 2, 12, 12)
    input[rng.random(input.shape) < 0.3] = np.nan
    input[rng.random(input.shape) < 0.3] = -np.inf
    agrees("roi_pool", input, np.array([[0, 1, 1, 11, 11], [0, 3, 3, 4, 4]], dtype), (4, 4))


def test_roi_pool_by_hand(backend, dtype):
    """Inclusive ends: columns 1 to 4 and rows 1 to 2, in bins of two by one."""
    input = np.arange(24, dtype=dtype).reshape(1, 1, 4, 6)
    out = backend("roi_pool", input, np.array([[0, 1, 1, 4, 2]], dtype), (2, 2))
    assert out.tolist() == [[[[8, 10], [14, 16]]]]
    out = backend("roi_pool", input, np.array([[0, 4.5, 2.5, 40, 40]], dtype), (1, 4))
    assert out.tolist() == [[[[23, 0, 0, 0]]]], "halves round away from zero: from (5, 3); three empty bins"


def test_bins_of_random_boxes(agrees, rng, normal, dtype):
    corners = rng.uniform(-10, 60, (40, 4))
    boxes = np.column_stack([rng.integers(0, 2, 40), corners]).astype(dtype)
    agrees("roi_pool", normal(2, 1, 37, 29), boxes, (5, 3), spatial_scale=0.6180339)


@pytest.mark.parametrize(
    "bad",
    [
        [2, 0, 0, 1, 1],
        [-1, 0, 0, 1, 1],
        [0.5, 0, 0, 1, 1],
        [np.nan, 0, 0, 1, 1],
        [0, 0, np.inf, 1, 1],
        [1, 0, 0, 0, np.nan],
    ],
    ids=str,
)
def test_a_box_that_is_nowhere_is_refused(backend, normal, dtype, bad):
    boxes = np.array([[1, 0, 0, 1, 1], bad, [9, 0, 0, 1, 1]], dtype)
    for op, arrays in (("roi_pool", []), ("roi_pool_backward", [normal(3, 1, 2, 2)])):
        with pytest.raises(ValueError, match=f"^{op}: boxes expects .* image number from 0 to 1, got .* in row 1$"):
            backend(op, *arrays, normal(2, 1, 4, 4), boxes, 2)


@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf, 1e300])
def test_a_scale_that_is_none_is_refused(backend, scale):
    """1e300 is infinite in float32."""
    with pytest.raises(ValueError, match="^roi_pool: spatial_scale expects a number greater than 0 and finite"):
        backend("roi_pool", np.ones((1, 1, 4, 4), np.float32), np.zeros((1, 5), np.float32), 2, scale)
