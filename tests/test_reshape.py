"""flatten."""

import numpy as np
import pytest

import fastops


def test_the_values_in_order_and_a_view():
    input = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    out = fastops.flatten(input)
    assert out.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert np.shares_memory(out, input)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5), (0, 3, 4), (2, 0), (1,)], ids=str)
def test_every_range_of_dimensions(agrees, normal, shape):
    for start in range(-len(shape), len(shape)):
        for end in range(-len(shape), len(shape)):
            if start % len(shape) <= end % len(shape):
                agrees("flatten", normal(*shape), start, end)


def test_a_number_becomes_an_array_of_one(agrees, normal):
    for start, end in [(0, -1), (0, 0), (-1, 0), (-1, -1)]:
        assert agrees("flatten", normal(), start, end).shape == (1,)


@pytest.mark.parametrize("shape, dims", [((2, 3, 4), (1, 1)), ((2, 3, 4), (-1, -1)), ((5,), (0, -1)), ((2, 3), (0, 0))])
def test_nothing_to_flatten_gives_the_very_object(backend, normal, shape, dims):
    input = backend.put(normal(*shape))
    assert fastops.flatten(input, *dims) is input


@pytest.mark.parametrize(
    "input",
    [
        pytest.param(np.zeros((4, 6, 8))[:, :, ::2], id="every other column"),
        pytest.param(np.zeros((4, 6, 8))[:, ::-1], id="upside down, outer dims"),
        pytest.param(np.zeros((4, 6, 8)).transpose(2, 0, 1), id="transposed, inner dims"),
    ],
)
def test_a_view_where_numpy_has_one(input):
    for start, end in [(0, 1), (1, 2), (0, 2)]:
        shape = (*input.shape[:start], -1, *input.shape[end + 1 :])
        out, numpys = fastops.flatten(input, start, end), input.reshape(shape)
        assert np.array_equal(out, numpys)
        assert np.shares_memory(out, input) == np.shares_memory(numpys, input)


@pytest.mark.parametrize("kind", ["?", "u1", "i4", "i8", "f2", "f4", "f8", "c8", "U3", "M8[s]", "i4,f8"])
def test_any_dtype(kind):
    input = np.zeros((2, 3, 4), kind)
    out = fastops.flatten(input, 1)
    assert out.shape == (2, 12) and out.dtype == input.dtype


def test_a_view_of_read_only_memory_is_read_only():
    input = np.zeros((2, 3))
    input.flags.writeable = False
    assert not fastops.flatten(input).flags.writeable
