"""The gradients of max_pool2d, avg_pool2d and roi_pool."""

import numpy as np
import pytest
from gradients import assert_near, by_definition, by_fastops, check, compare, random_gradient
from test_pool import BOXES, WINDOWS

import fastops

DILATED = [
    dict(kernel_size=2, dilation=2),
    dict(kernel_size=3, dilation=(2, 3), stride=1),
    dict(kernel_size=(2, 3), dilation=(3, 1), stride=2, padding=1),
    dict(kernel_size=2, dilation=3, stride=2, ceil_mode=True),
    dict(kernel_size=(2, 3), dilation=(3, 2), padding=((0, 1), (1, 0)), ceil_mode=True),
]

# max_pool2d


@pytest.mark.parametrize("input, kernel_size, options", WINDOWS)
def test_max_pool2d(backend, rng, normal, input, kernel_size, options):
    check(backend, rng, "max_pool2d", normal(*input), kernel_size, **options)


@pytest.mark.parametrize("options", DILATED, ids=str)
def test_max_pool2d_dilated(backend, rng, normal, options):
    check(backend, rng, "max_pool2d", normal(2, 3, 9, 11), **options)


@pytest.mark.parametrize("options", [dict(stride=1), dict(stride=2, padding=1, ceil_mode=True), dict(dilation=2)])
def test_the_first_of_equals_gets_the_gradient(backend, rng, dtype, options):
    check(backend, rng, "max_pool2d", rng.integers(0, 3, (2, 3, 9, 11)).astype(dtype), 3, **options)


def test_all_equal(backend, dtype):
    grad_output = np.arange(1, 5, dtype=dtype).reshape(1, 2, 2)
    gradient = by_fastops(backend, grad_output, "max_pool2d", np.zeros((1, 3, 3), dtype), 2, stride=1)["input"]
    assert gradient.tolist() == [[[1, 2, 0], [3, 4, 0], [0, 0, 0]]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("share", [0.1, 0.6, 1.0])
@pytest.mark.parametrize("options", [dict(stride=1), dict(padding=1), dict(stride=2, dilation=2)], ids=str)
def test_max_pool2d_of_what_is_not_finite(backend, rng, normal, value, share, options):
    input = normal(2, 3, 9, 40)
    input[rng.random(input.shape) < share] = value
    check(backend, rng, "max_pool2d", input, 3, **options)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_arrives_not_finite_goes_to_one_place(backend, rng, normal, value):
    grad_output = normal(2, 3, 4, 5)
    grad_output[1, 2, 3, 4] = value
    gradient = check(backend, rng, "max_pool2d", normal(2, 3, 8, 10), 2, grad_output=grad_output)["input"]
    assert np.count_nonzero(~np.isfinite(gradient)) == 1


@pytest.mark.parametrize(
    "shape, options",
    [
        ((1, 1, 1, 1), dict(kernel_size=2, dilation=2, padding=1)),
        ((2, 3, 2, 3), dict(kernel_size=2, stride=1, dilation=(2, 3), padding=1)),
    ],
    ids=str,
)
def test_a_window_of_padding_alone_has_no_gradient(backend, rng, normal, shape, options):
    """torch gives such a window an index that is not on the map, and reads there."""
    input = normal(*shape)
    grad_output = random_gradient(backend, rng, "max_pool2d", input, **options)
    actual = by_fastops(backend, grad_output, "max_pool2d", input, **options)
    compare(actual, by_definition(grad_output, "max_pool2d", input, **options))


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u8"])
def test_the_gradient_goes_where_the_indices_say(backend, dtype, kind):
    """Any indices, of any integer dtype; of the input only the shape counts."""
    grad_output, indices = np.array([[[1, 2], [4, 8]]], dtype), np.array([[[15, 15], [0, 3]]]).astype(kind)
    gradient = backend("max_pool2d_backward", grad_output, np.full((1, 4, 4), np.nan, dtype), indices, 2)
    assert gradient.ravel().tolist() == [4, 0, 0, 8, *[0] * 11, 3]
    none = np.full((1, 2, 2), -1)
    assert not backend("max_pool2d_backward", grad_output, np.ones((1, 4, 4), dtype), none, 2).any()


@pytest.mark.parametrize("bad", [16, -2, 2**40, -(2**62)])
@pytest.mark.parametrize("window", [dict(kernel_size=2), dict(kernel_size=2, dilation=2, stride=2)], ids=str)
def test_an_index_off_the_map_is_refused(backend, normal, bad, window):
    size = 1 if "dilation" in window else 2
    grad_output, indices = normal(3, size, size), np.zeros((3, size, size), np.int64)
    indices[1, 0, 0] = bad
    with pytest.raises(ValueError, match=rf"^max_pool2d_backward: indices expects .* from 0 to 15, or -1, got {bad}$"):
        backend("max_pool2d_backward", grad_output, normal(3, 4, 4), indices, **window)


@pytest.mark.parametrize("window", [dict(kernel_size=3, stride=1, padding=1), dict(kernel_size=5, stride=1, padding=2)])
@pytest.mark.parametrize("indices", ["of the forward", "anywhere", "in one place"])
def test_sums_run_in_the_order_of_the_windows(backend, rng, dtype, window, indices):
    """Numbers so different that every other order has other bits."""
    grad_output = (rng.standard_normal((2, 9, 8)) * 10.0 ** rng.integers(-6, 7, (2, 9, 8))).astype(dtype)
    input = rng.integers(0, 3, (2, 9, 8)).astype(dtype)
    places = backend("max_pool2d", input, return_indices=True, **window)[1]
    if indices != "of the forward":
        places = rng.integers(-1, 72, places.shape) if indices == "anywhere" else np.full(places.shape, 17)
    expected = np.zeros((2, 72), dtype)
    for plane in range(2):
        for share, place in zip(grad_output[plane].ravel(), places[plane].ravel(), strict=True):
            if place >= 0:
                expected[plane, place] += share
    gradient = backend("max_pool2d_backward", grad_output, input, places, **window)
    np.testing.assert_array_equal(gradient.reshape(2, 72), expected)


# avg_pool2d


@pytest.mark.parametrize("counting", [{}, dict(count_include_pad=False)], ids=["pad counts", "pad does not"])
@pytest.mark.parametrize("divisor", [{}, dict(divisor_override=7), dict(divisor_override=-3)], ids=str)
@pytest.mark.parametrize("input, kernel_size, options", WINDOWS)
def test_avg_pool2d(backend, rng, normal, input, kernel_size, options, counting, divisor):
    check(backend, rng, "avg_pool2d", normal(*input), kernel_size, **options, **counting, **divisor)


def test_avg_pool2d_by_hand(backend, dtype):
    """Windows at the corners of a 3 x 3 map, each the mean of what it sees of it: 4, 2, 2 and 1 pixels."""
    options = dict(kernel_size=2, ceil_mode=True, count_include_pad=False)
    gradient = backend("avg_pool2d_backward", np.ones((1, 2, 2), dtype), np.zeros((1, 3, 3), dtype), **options)
    assert gradient.tolist() == [[[0.25, 0.25, 0.5], [0.25, 0.25, 0.5], [0.5, 0.5, 1]]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_avg_pool2d_of_what_is_not_finite(backend, rng, normal, value):
    grad_output, input = normal(2, 3, 5, 6), normal(2, 3, 9, 11)
    grad_output[1, 1, 2, 3] = value
    input[0, 0, 0, 0] = value  # whose values do not count
    options = dict(kernel_size=3, stride=2, padding=1)
    gradient = check(backend, rng, "avg_pool2d", input, grad_output=grad_output, **options)["input"]
    assert np.count_nonzero(~np.isfinite(gradient)) == 9


# roi_pool


@pytest.mark.parametrize("output_size, spatial_scale, boxes", BOXES)
def test_roi_pool(backend, rng, normal, dtype, output_size, spatial_scale, boxes):
    check(backend, rng, "roi_pool", normal(2, 3, 32, 32), np.array(boxes, dtype), output_size, spatial_scale)


def test_boxes_in_a_list_one_array_per_image(backend, rng, normal, dtype):
    lists = [np.array(own, dtype).reshape(-1, 4) for own in ([[1, 2, 9, 9], [0, 0, 30, 12]], [], [[5, 5, 20, 20]])]
    check(backend, rng, "roi_pool", normal(3, 2, 32, 24), lists, (3, 4), spatial_scale=0.7)


def test_overlapping_boxes_add(backend, normal, dtype):
    """The same box three times, and once on the other image."""
    input = normal(2, 2, 9, 8)
    box = [0, 1, 1, 6, 6]
    one = backend("roi_pool_backward", np.full((1, 2, 3, 3), 7, dtype), input, np.array([box], dtype), 3)
    grad_output = np.concatenate([np.full((1, 2, 3, 3), share, dtype) for share in (1, 2, 9, 4)])
    four = backend("roi_pool_backward", grad_output, input, np.array([box, box, [1, 1, 1, 6, 6], box], dtype), 3)
    assert one[0].any() and not one[1].any()
    np.testing.assert_array_equal(four[0], one[0])
    assert four[1].sum() == 9 * 2 * 9


def test_the_first_of_equals_in_scan_order_gets_the_gradient_of_a_bin(backend, rng, dtype):
    input = rng.integers(0, 3, (2, 3, 13, 17)).astype(dtype)
    boxes = np.array([[0, 0, 0, 16, 12], [1, 3, 2, 9, 12], [0, 5, 5, 30, 30], [1, -4, -4, 4, 4]], dtype)
    check(backend, rng, "roi_pool", input, boxes, (3, 4))
    gradient = backend("roi_pool_backward", np.ones((1, 3, 1, 1), dtype), np.zeros_like(input), boxes[1:2], 1)
    assert [tuple(place) for place in np.argwhere(gradient)] == [(1, channel, 2, 3) for channel in range(3)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_roi_pool_of_what_is_not_finite(backend, rng, normal, dtype, value, share):
    """NaN is never a maximum, and a bin of NaN or -inf alone has no gradient."""
    input = normal(2, 3, 13, 17)
    input[rng.random(input.shape) < share] = value
    boxes = np.array([[0, 0, 0, 16, 12], [1, 3, 2, 9, 12], [1, 5, 5, 6, 6]], dtype)
    gradient = check(backend, rng, "roi_pool", input, boxes, (3, 4))["input"]
    assert gradient.any() == (share < 1 or value == np.inf)


def test_boxes_are_added_in_their_order(backend, rng, dtype):
    """Numbers so different that every other order has other bits."""
    grad_output = (rng.standard_normal((60, 1, 2, 2)) * 10.0 ** rng.integers(-6, 7, (60, 1, 2, 2))).astype(dtype)
    boxes = np.column_stack([rng.integers(0, 2, 60), np.tile([2, 2, 2, 2], (60, 1))]).astype(dtype)
    gradient = backend("roi_pool_backward", grad_output, np.ones((2, 1, 5, 5), dtype), boxes, 2)
    expected = np.zeros((2, 1, 5, 5), dtype)
    for share, image in zip(grad_output.reshape(60, 4), boxes[:, 0].astype(int), strict=True):
        for each in share:
            expected[image, 0, 2, 2] += each
    np.testing.assert_array_equal(gradient, expected)


def test_many_boxes(backend, rng, normal, dtype):
    corners = np.sort(rng.uniform(-5, 40, (300, 2, 2)), axis=1).reshape(-1, 4)
    boxes = np.column_stack([rng.integers(0, 2, 300), corners]).astype(dtype)
    check(backend, rng, "roi_pool", normal(2, 3, 32, 36), boxes, 7)


@pytest.mark.parametrize("shape", [(2, 0, 5, 5), (2, 3, 0, 5), (0, 3, 5, 5)], ids=str)
def test_maps_of_nothing(normal, dtype, shape):
    boxes = np.zeros((shape[0] and 1, 5), dtype)
    grad_output = np.ones((len(boxes), shape[1], 2, 2), dtype)
    assert fastops.roi_pool_backward(grad_output, normal(*shape), boxes, 2).shape == shape


def test_an_image_without_boxes_has_a_gradient_of_zeros(backend, normal, dtype):
    gradient = backend("roi_pool_backward", normal(1, 3, 2, 2), normal(3, 3, 8, 8), np.ones((1, 5), dtype), 2)
    assert gradient[1].any() and not gradient[[0, 2]].any()
    assert_near(backend("roi_pool_backward", normal(0, 3, 2, 2), normal(1, 3, 8, 8), np.ones((0, 5), dtype), 2),
                np.zeros((1, 3, 8, 8)))  # fmt: skip
