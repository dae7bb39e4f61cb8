"""relu, sigmoid and dropout."""

import numpy as np
import pytest
from agreement import assert_close

from fastops.cpu import elementwise

SHAPES = [(), (1,), (0,), (7,), (33, 65), (2, 3, 4, 5), (1, 1, 1, 1, 1, 1, 3), (3, 0, 2)]
HARD = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e4, -1e4, 88.8, -88.8, 104, -104, 710, -710, 1e-30, -1e-30, 5e-324, 17.5]


@pytest.mark.parametrize("op", ["relu", "sigmoid"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_shape(agrees, normal, op, shape):
    out = agrees(op, np.asarray(normal(*shape) * 5, normal().dtype))
    assert isinstance(out, np.ndarray)


@pytest.mark.parametrize("op", ["relu", "sigmoid"])
@pytest.mark.parametrize("repeats", [1, 5])
def test_hard_values(agrees, dtype, op, repeats):
    agrees(op, np.repeat(np.array(HARD).astype(dtype), repeats))


def test_relu_keeps_the_sign_of_zero_and_nan(backend, dtype):
    out = backend("relu", np.array([-0.0, 0.0, -1.0, -np.inf], dtype))
    assert np.signbit(out).tolist() == [True, False, False, False]


def test_sigmoid_keeps_small_values(backend, dtype):
    """Relative accuracy in the left tail, where 1e-5 of the largest value would hide anything."""
    x = np.linspace(-80, -10, 57).astype(dtype)
    np.testing.assert_allclose(backend("sigmoid", x), 1 / (1 + np.exp(-x.astype(float))), rtol=1e-5)


# Dropout


def kept(mask: np.ndarray) -> np.ndarray:
    return mask != 0


def test_survivors_are_scaled_and_the_rest_is_zero(backend, normal):
    input = normal(40, 50)
    out = backend("dropout", input, 0.2, rng=1)
    assert_close(out[kept(out)], input[kept(out)] / 0.8)
    assert out.dtype == input.dtype and 0 < kept(out).sum() < out.size


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1, 2**63])
def test_the_rate_is_right_and_neighbours_are_independent(backend, p, seed):
    count = 100_000
    mask = kept(backend("dropout", np.ones(count, np.float32), p, rng=seed))
    deviation = np.sqrt(p * (1 - p) / count)
    assert abs(mask.mean() - (1 - p)) < 5 * deviation
    for lag in (1, 2, 3, 4, 8, 1024):
        both = (mask[lag:] & mask[:-lag]).mean()
        assert abs(both - (1 - p) ** 2) < 8 * deviation, f"elements {lag} apart"


@pytest.mark.parametrize("shape", [(), (7,), (3, 5)], ids=str)
def test_p_0_and_p_1_and_evaluation(backend, normal, shape):
    input = normal(*shape)
    assert_close(backend("dropout", input, 0.0, rng=3), input, exact=True)
    assert_close(backend("dropout", input, 0.5, False), input, exact=True)
    assert_close(backend("dropout", input, 1.0, training=False), input, exact=True)
    assert_close(backend("dropout", input, 1.0, rng=3), np.zeros(shape), exact=True)
    assert_close(backend("dropout", input, 1, rng=3), np.zeros(shape), exact=True)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("p", [0.5, 1.0])
def test_dropped_elements_are_zero_whatever_they_held(backend, dtype, value, p):
    out = backend("dropout", np.full(200, value, dtype), p, rng=5)
    mask = kept(backend("dropout", np.ones(200, dtype), p, rng=5))
    assert_close(out, np.where(mask, value, 0), exact=True)


SEEDS = [0, 7, 2**32 + 1, 2**64 - 1, 2**127, np.random.SeedSequence(99), np.random.SeedSequence([1, 2], spawn_key=(3,))]


@pytest.mark.parametrize("seed", SEEDS, ids=str)
def test_equal_seeds_give_equal_masks(backend, seed):
    ones = np.ones(500, np.float32)
    first = backend("dropout", ones, rng=seed)
    assert_close(backend("dropout", ones, rng=seed), first, exact=True)
    assert (backend("dropout", ones, rng=1234) != first).any()


def test_different_seeds_give_different_masks(backend):
    ones = np.ones(500, np.float32)
    masks = {backend("dropout", ones, rng=seed).tobytes() for seed in [*range(20), *SEEDS[2:]]}
    assert len(masks) == 20 + len(SEEDS[2:])


def test_a_seed_sequence_is_not_used_up(backend):
    """Its spawn counter stays, and an equal sequence made elsewhere means the same mask."""
    sequence, ones = np.random.SeedSequence(11), np.ones(500, np.float32)
    first = backend("dropout", ones, rng=sequence)
    assert sequence.n_children_spawned == 0
    assert_close(backend("dropout", ones, rng=np.random.SeedSequence(11)), first, exact=True)


def test_a_generator_advances_and_equal_states_give_equal_masks(backend):
    one, other, ones = np.random.default_rng(3), np.random.default_rng(3), np.ones(500, np.float32)
    first, second = backend("dropout", ones, rng=one), backend("dropout", ones, rng=one)
    assert (first != second).any()
    assert_close(backend("dropout", ones, rng=other), first, exact=True)
    assert_close(backend("dropout", ones, rng=other), second, exact=True)
    assert one.bit_generator.state == other.bit_generator.state


def test_no_rng_means_a_new_mask_each_time(backend):
    ones = np.ones(500, np.float32)
    assert len({backend("dropout", ones).tobytes() for _ in range(5)}) == 5


def test_the_mask_is_a_function_of_seed_and_element(backend):
    """The same for every dtype and shape, and a longer array's mask begins with a shorter one's."""
    long = kept(backend("dropout", np.ones(100_003, np.float32), 0.3, rng=9))
    for size in (1, 2, 3, 4, 5, 1023, 1024, 1025, 65_537):
        assert_close(kept(backend("dropout", np.ones(size, np.float32), 0.3, rng=9)), long[:size], exact=True)
    assert_close(kept(backend("dropout", np.ones(4097), 0.3, rng=9)), long[:4097], exact=True)
    square = kept(backend("dropout", np.ones((64, 64), np.float32), 0.3, rng=9))
    assert_close(square.ravel(), long[:4096], exact=True)


def test_a_larger_p_drops_more_of_the_same(backend):
    """One random number an element, whatever p: the survivors of a larger p survive a smaller one."""
    some = kept(backend("dropout", np.ones(5000, np.float32), 0.3, rng=9))
    few = kept(backend("dropout", np.ones(5000, np.float32), 0.8, rng=9))
    assert not (few & ~some).any()


def test_elements_are_counted_in_c_order(backend, normal):
    input = normal(30, 40)
    expected = backend("dropout", input, 0.4, rng=2)
    assert_close(backend("dropout", np.asfortranarray(input), 0.4, rng=2), expected, exact=True)


def test_the_generator_of_dropouts_masks_is_philox():
    """Counter 0 and key 0: the first of Random123's known answers for philox4x32-10 (its file kat_vectors)."""
    zero = np.uint64(0)
    words = tuple(hex(word) for word in elementwise.philox(zero, zero, zero))
    assert words == ("0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8")
