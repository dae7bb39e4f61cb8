"""Convolutions, pools and interpolation over any chunks, strides, paddings and dilations; and the graphs they make."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

da = pytest.importorskip("dask.array")

from lazy import assert_same, chunked  # noqa: E402

import fastops  # noqa: E402
from fastops import nn  # noqa: E402

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
sizes = st.tuples(st.integers(5, 17), st.integers(5, 17))
seeds = st.integers(0, 2**31)


def normal(seed, *shape, dtype=np.float32):
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


@given(seeds, sizes, pairs, pairs, pairs, st.sampled_from([1, 2, 4]), st.integers(1, 6),
       st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)))  # fmt: skip
def test_conv2d(seed, size, kernel, stride, dilation, groups, most, pads):
    rng = np.random.default_rng(seed)
    x, w, b = normal(seed, 2, 4, *size), normal(seed + 1, 4, 4 // groups, *kernel), normal(seed + 2, 4)
    options = {"stride": stride, "padding": (pads[:2], pads[2:]), "dilation": dilation, "groups": groups}
    try:
        expected = fastops.conv2d(x, w, b, **options)
    except ValueError as refusal:
        with pytest.raises(ValueError) as same:
            fastops.conv2d(chunked(x, rng), w, b, **options)
        assert str(same.value) == str(refusal)
        return
    assert_same(fastops.conv2d(chunked(x, rng, most), chunked(w, rng), b, **options), expected)
    grad = normal(seed + 3, *expected.shape)
    assert_same(
        fastops.conv2d_backward(chunked(grad, rng, most), chunked(x, rng, most), w, b, **options),
        fastops.conv2d_backward(grad, x, w, b, **options),
    )


@given(seeds, sizes, pairs, pairs, pairs, st.sampled_from([1, 2]), st.integers(1, 6), pairs)
def test_conv_transpose2d(seed, size, kernel, stride, dilation, groups, most, pads):
    rng = np.random.default_rng(seed)
    x, w = normal(seed, 1, 4, *size), normal(seed + 1, 4, 2, *kernel)
    options = {"stride": stride, "padding": (pads[0] - 1, pads[1] - 1), "dilation": dilation, "groups": groups,
               "output_padding": tuple(max(s, d) - 1 for s, d in zip(stride, dilation, strict=True))}  # fmt: skip
    expected = fastops.conv_transpose2d(x, w, **options)
    assert_same(fastops.conv_transpose2d(chunked(x, rng, most), chunked(w, rng), **options), expected)


@given(seeds, sizes, pairs, pairs, pairs, st.booleans(), st.integers(1, 6), st.booleans())
def test_pools(seed, size, kernel, stride, dilation, ceil, most, include):
    rng, x = np.random.default_rng(seed), normal(seed, 2, 3, *size)
    pads = tuple((int(rng.integers(0, k // 2 + 1)), int(rng.integers(0, k // 2 + 1))) for k in kernel)
    lazy = chunked(x, rng, most)
    options = {"kernel_size": kernel, "stride": stride, "padding": pads, "ceil_mode": ceil}
    values, indices = fastops.max_pool2d(x, **options, dilation=dilation, return_indices=True)
    assert_same(
        fastops.max_pool2d(lazy, **options, dilation=dilation, return_indices=True), (values, indices), exact=True
    )
    grad = normal(seed + 1, *values.shape)
    assert_same(
        fastops.max_pool2d_backward(chunked(grad, rng, most), lazy, indices, **options, dilation=dilation),
        fastops.max_pool2d_backward(grad, x, indices, **options, dilation=dilation),
        exact=True,
    )
    averages = fastops.avg_pool2d(x, **options, count_include_pad=include)
    assert_same(fastops.avg_pool2d(lazy, **options, count_include_pad=include), averages, exact=True)
    grad = normal(seed + 2, *averages.shape)
    assert_same(
        fastops.avg_pool2d_backward(chunked(grad, rng, most), lazy, **options, count_include_pad=include),
        fastops.avg_pool2d_backward(grad, x, **options, count_include_pad=include),
        exact=True,
    )


@given(seeds, sizes, sizes, st.sampled_from(["nearest", "bilinear", "corners"]), st.integers(1, 6), st.booleans())
def test_interpolate(seed, size, wanted, mode, most, doubles):
    rng, x = np.random.default_rng(seed), normal(seed, 1, 2, *size)
    options = {"size": (2 * size[0], 4 * size[1]) if doubles else wanted}
    options |= {"mode": "nearest"} if mode == "nearest" else {"mode": "bilinear", "align_corners": mode == "corners"}
    expected = fastops.interpolate(x, **options)
    assert_same(fastops.interpolate(chunked(x, rng, most), **options), expected, exact=mode == "nearest")
    grad = normal(seed + 1, *expected.shape)
    lazy = fastops.interpolate_backward(chunked(grad, rng, most), chunked(x, rng, most), **options)
    assert_same(lazy, fastops.interpolate_backward(grad, x, **options))


@given(seeds, sizes, sizes, st.integers(1, 6))
def test_adaptive_avg_pool2d(seed, size, wanted, most):
    rng, x = np.random.default_rng(seed), normal(seed, 2, 2, *size)
    assert_same(fastops.adaptive_avg_pool2d(chunked(x, rng, most), wanted), fastops.adaptive_avg_pool2d(x, wanted))


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("activation", [None, "relu", ("gelu", "tanh")])
def test_the_end_of_a_convolution(add, activation, rng):
    x, w = normal(1, 1, 6, 9, 10), normal(2, 4, 6, 3, 3)
    options = {"add": normal(3, 1, 4, 9, 10) if add else None, "activation": activation, "padding": 1}
    assert_same(fastops.conv2d(chunked(x, rng), w, **options), fastops.conv2d(x, w, **options))
    whole = da.from_array(x, chunks=(1, -1, 4, 4))
    assert_same(fastops.conv2d(whole, w, **options), fastops.conv2d(x, w, **options))


# ------------------------------------------------------------------------------------------------------- the graph


def test_chunks_follow_the_input():
    x = da.zeros((2, 3, 40, 60), chunks=(1, 3, (10, 10, 20), 30), dtype=np.float32)
    w = np.ones((5, 3, 3, 3), np.float32)
    assert fastops.conv2d(x, w, padding=1).chunks == ((1, 1), (5,), (10, 10, 20), (30, 30))
    assert fastops.conv2d(x, da.from_array(w, chunks=(2, -1, -1, -1)), padding=1).chunks[1] == (2, 2, 1)
    assert fastops.max_pool2d(x, 2).chunks == ((1, 1), (3,), (5, 5, 10), (15, 15))
    assert fastops.interpolate(x, scale_factor=2).chunks == ((1, 1), (3,), (20, 20, 40), (60, 60))
    assert fastops.conv_transpose2d(x, np.ones((3, 2, 4, 4), np.float32), stride=2, padding=1).chunks[2:] == (
        (20, 20, 40), (60, 60))  # fmt: skip


def test_tasks_are_proportional_to_blocks():
    import dask

    counts = []
    for blocks in (4, 8):
        x = da.zeros((1, 3, 32 * blocks, 32 * blocks), chunks=(1, 3, 32, 32), dtype=np.float32)
        y = fastops.relu(fastops.conv2d(x, np.ones((4, 3, 3, 3), np.float32), padding=1))
        (optimized,) = dask.optimize(y)
        counts.append(len(optimized.__dask_graph__()) / blocks**2)
    assert counts[1] < 1.3 * counts[0] and counts[1] < 16


def test_convolutions_and_their_neighbours_are_one_task_where_blocks_are_whole():
    """1 x 1 convolutions and pools of aligned chunks read one block each: they fuse with what is around them."""
    import dask

    x = da.zeros((1, 3, 64, 64), chunks=(1, 3, 16, 16), dtype=np.float32)
    y = fastops.relu(fastops.max_pool2d(fastops.conv2d(x + 1, np.ones((4, 3, 1, 1), np.float32)), 2)) * 2
    (optimized,) = dask.optimize(y)
    own = [key for key in optimized.__dask_graph__() if isinstance(key, tuple) and len(key) == 5]
    assert len(own) == 16 + 1  # a task for each block, and the weight


def test_a_halo_is_a_slice_and_not_a_block():
    """What goes from one worker to another is the rim that the neighbour needs."""
    x = da.zeros((1, 1, 64, 32), chunks=(1, 1, 32, 32), dtype=np.float32)
    graph = dict(fastops.conv2d(x, np.ones((1, 1, 3, 3), np.float32), padding=1).__dask_graph__())
    pieces = [key for key in graph if key[0].startswith("piece-")]
    assert len(pieces) == 2


# ------------------------------------------------------------------------------------------------------ whole networks


def network():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, rng=0), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 5, padding=2, rng=1), nn.SiLU(),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, rng=2), nn.Upsample(scale_factor=4),
        nn.Conv2d(4, 3, 3, padding=1, rng=3),
    ).eval()  # fmt: skip


@given(seeds, st.integers(1, 40))
def test_a_network_by_blocks_is_the_network(seed, most):
    import fastops.dask

    model, x = network(), normal(seed, 1, 2, 48, 56)
    lazy = chunked(x, np.random.default_rng(seed), most)
    blocks = fastops.dask.by_blocks(model, lazy, halo=20, phase=4, channels=3)
    assert_same(blocks, model(x))


def test_a_network_by_blocks_keeps_nothing_of_a_block(monkeypatch):
    """Each task has the network that it was sent with as long as its result lives: it filled workers' memory."""
    import fastops.dask

    kept, forget = [], nn.Module.forget

    def count(module):
        saved = [each._saved is not None for _, each in module.named_modules()]
        forget(module)
        kept.append((any(saved), any(each._saved is not None for _, each in module.named_modules())))

    monkeypatch.setattr(nn.Module, "forget", count)
    x = da.ones((1, 2, 48, 56), dtype=np.float32, chunks=24)
    fastops.dask.by_blocks(network(), x, halo=20, phase=4, channels=3).compute(scheduler="synchronous")
    assert kept == [(True, False)] * x.npartitions


def test_layers_on_dask_arrays_are_lazy(rng):
    model, x = network(), normal(3, 1, 2, 48, 56)
    assert_same(model(chunked(x, rng, 30)), model(x))


@pytest.mark.parametrize("ratio, layer", [((1, 2), nn.AvgPool2d(2)), (2, nn.Upsample(scale_factor=2))], ids=str)
def test_a_network_that_changes_the_size(ratio, layer, rng):
    import fastops.dask

    x = normal(4, 2, 3, 24, 32)
    lazy = fastops.dask.by_blocks(layer.eval(), chunked(x, rng, 9), halo=2, scale=ratio, phase=2)
    assert_same(lazy, layer(x))


def test_a_function_of_another_size_is_refused_when_it_is_computed():
    import fastops.dask

    x = da.zeros((1, 1, 16, 16), chunks=8, dtype=np.float32)
    lazy = fastops.dask.by_blocks(nn.MaxPool2d(2).eval(), x, halo=1)
    with pytest.raises(ValueError, match=r"by_blocks: function expects to give a shape of at least \(1, 1, 9, 9\)"):
        lazy.compute(scheduler="synchronous")
