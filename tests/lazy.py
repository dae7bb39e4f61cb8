"""Dask arrays for tests: of any chunks, and what they have to agree with before and after they are computed."""

import dask.array as da
import numpy as np
from agreement import assert_close


def chunks_of(size: int, rng: np.random.Generator, most: int = 5) -> tuple[int, ...]:
    """Sizes of chunks, of 1 to ``most``, that make up ``size``; larger ones where there would be dozens."""
    chunks: list[int] = []
    most = max(most, size // 4)
    while sum(chunks) < size:
        chunks.append(int(rng.integers(1, min(most, size - sum(chunks)) + 1)))
    return tuple(chunks) or (0,)


def chunked(array: np.ndarray, rng: np.random.Generator, most: int = 5) -> da.Array:
    """The array in chunks of random sizes along every dimension."""
    return da.from_array(array, chunks=tuple(chunks_of(size, rng, most) for size in array.shape))


def assert_same(lazy, expected, exact: bool = False) -> None:
    """Shape, dtype, meta and chunks were right before anything was computed, and the numbers are afterwards."""
    if isinstance(expected, tuple):
        assert isinstance(lazy, tuple) and len(lazy) == len(expected)
        for mine, theirs in zip(lazy, expected, strict=True):
            assert_same(mine, theirs, exact)
        return
    if expected is None:
        assert lazy is None
        return
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype) == (np.shape(expected), expected.dtype)
    assert type(lazy._meta) is np.ndarray and (lazy._meta.ndim, lazy._meta.dtype) == (lazy.ndim, lazy.dtype)
    assert tuple(sum(each) for each in lazy.chunks) == lazy.shape
    computed = lazy.compute(scheduler="synchronous")
    assert np.shape(computed) == lazy.shape and computed.dtype == lazy.dtype
    if exact:
        np.testing.assert_array_equal(computed, expected)
    else:
        assert_close(np.asarray(computed), np.asarray(expected))
