"""The memory of a plan: which values share it, that calls do not see each other's, and that it is used again."""

import threading
import tracemalloc

import numpy as np
import onnx_models as models
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import node

import fastops.onnx
from fastops import _jit
from fastops.onnx.buffers import arranged
from fastops.onnx.network import load_plain
from fastops.onnx.schedule import Schedule

RNG = np.random.default_rng(11)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


CONSTANTS = {"w": normal(6, 6, 3, 3) / 6, "v": normal(3, 6, 1, 1), "u": normal(6, 9, 1, 1)}


def conv(x, w, y):
    return node("Conv", [x, w], [y], auto_pad="SAME_UPPER")


def network_of(nodes, outputs=("y",), shape=(1, 6, 8, 8), **more):
    model = models.network(nodes, [("x", normal(*shape))], list(outputs), {**CONSTANTS, **more})
    return fastops.onnx.load(model), load_plain(model)


def schedule_of(network):
    (plan,) = network._plans.values()
    assert isinstance(plan, Schedule)
    return plan


def check(nodes, outputs=("y",), shape=(1, 6, 8, 8), **more):
    """A network whose results are those without fusion, call after call."""
    fused, plain = network_of(nodes, outputs, shape, **more)
    kept = []
    for _ in range(3):
        x = normal(*shape)
        given = x.copy()
        got, want = fused(x), plain(x)
        got, want = (each if isinstance(each, tuple) else (each,) for each in (got, want))
        np.testing.assert_array_equal(x, given)
        models.assert_close(got, want, 3e-6)
        kept.append((got, [each.copy() for each in got]))
    for got, copies in kept:  # no later call has written to them
        for one, two in zip(got, copies, strict=True):
            np.testing.assert_array_equal(one, two)
    every = [each for got, _ in kept for each in got]
    for i, one in enumerate(every):
        assert all(not np.shares_memory(one, other) for other in every[:i])
    return fused


def kinds(network):
    return [step.node.op_type for step in schedule_of(network).steps]


# ------------------------------------------------------------------------------------------------ the arena


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 12), st.integers(0, 12)), max_size=30))
def test_values_that_live_at_one_time_lie_apart(values):
    sizes = {str(i): size for i, (size, _, _) in enumerate(values)}
    lives = {str(i): (min(a, b), max(a, b)) for i, (_, a, b) in enumerate(values)}
    places, total = arranged(sizes, lives)
    for one in sizes:
        assert places[one] % 64 == 0 and places[one] + sizes[one] <= total
        for other in sizes:
            at_once = lives[one][0] <= lives[other][1] and lives[other][0] <= lives[one][1]
            if one < other and at_once and sizes[one] and sizes[other]:
                assert places[one] + sizes[one] <= places[other] or places[other] + sizes[other] <= places[one]
    busiest = max((sum(sizes[n] for n in sizes if lives[n][0] <= t <= lives[n][1]) for t in range(13)), default=0)
    assert total >= busiest


def test_a_row_of_layers_needs_two_buffers():
    nodes = [conv("x", "w", "a"), conv("a", "w", "b"), conv("b", "w", "c"), conv("c", "w", "d"), conv("d", "w", "y")]
    network = check(nodes)
    assert schedule_of(network).arena_bytes == 2 * 6 * 8 * 8 * 4


def test_a_chain_writes_where_it_reads():
    nodes = [node("MaxPool", ["x"], ["a"], kernel_shape=[1, 1]), node("Tanh", ["a"], ["b"]), conv("b", "w", "y")]
    assert schedule_of(check(nodes)).arena_bytes == 6 * 8 * 8 * 4
    kept = [*nodes, node("Add", ["a", "y"], ["z"])]
    assert schedule_of(check(kept, outputs=["z"])).arena_bytes > 6 * 8 * 8 * 4


def test_a_half_that_is_read_is_not_written_over():
    nodes = [
        conv("x", "w", "a"), node("Split", ["a", "parts"], ["b", "c"], axis=1), node("Tanh", ["b"], ["d"]),
        node("Mul", ["d", "c"], ["e"]), node("Concat", ["e", "b"], ["y"], axis=1),
    ]  # fmt: skip
    check(nodes, parts=np.array([3, 3]))
    nodes = [conv("x", "w", "a"), node("Slice", ["a", "zero", "one", "one"], ["b"]), node("Mul", ["a", "b"], ["c"]),
             conv("c", "w", "y")]  # fmt: skip
    check(nodes, zero=np.array([0]), one=np.array([1]))


# ---------------------------------------------------------------------------------------- concat and split


def test_a_concat_of_one_image_is_no_step():
    nodes = [conv("x", "w", "a"), conv("a", "v", "b"), node("Concat", ["a", "b"], ["c"], axis=1), conv("c", "u", "y")]
    assert kinds(check(nodes)) == ["Conv"] * 3
    assert kinds(check(nodes, shape=(2, 6, 8, 8))) == ["Conv", "Conv", "Concat", "Conv"]


def test_concats_of_concats():
    nodes = [conv("x", "w", "a"), conv("a", "v", "b"), node("Concat", ["a", "b"], ["c"], axis=1), conv("c", "u", "d"),
             node("Concat", ["c", "d", "b"], ["y"], axis=1)]  # fmt: skip
    assert kinds(check(nodes)) == ["Conv"] * 3 + ["Concat"]  # of b, which lies in c


@pytest.mark.parametrize("joined", [["x", "a"], ["a", "a"], ["a", "k"], ["a", "y0"]], ids=str)
def test_concats_that_copy(joined):
    nodes = [conv("x", "w", "a"), conv("a", "w", "y0"), node("Concat", joined, ["b"], axis=1), conv("b", "t", "y")]
    network = check(nodes, outputs=["y", "y0"], k=normal(1, 6, 8, 8), t=normal(2, 12, 1, 1))
    assert "Concat" in kinds(network)


def test_a_concat_along_pixels_copies():
    nodes = [conv("x", "w", "a"), conv("a", "w", "b"), node("Concat", ["a", "b"], ["c"], axis=2), conv("c", "w", "y")]
    assert "Concat" in kinds(check(nodes))


def test_a_concat_that_is_an_output():
    nodes = [conv("x", "w", "a"), conv("a", "v", "b"), node("Concat", ["a", "b"], ["y"], axis=1)]
    assert kinds(check(nodes)) == ["Conv", "Conv"]
    assert kinds(check(nodes, outputs=["y", "a"])) == ["Conv", "Conv", "Concat"]  # of a, which is the caller's


def test_a_split_of_one_image_is_no_step():
    nodes = [conv("x", "w", "a"), node("Split", ["a", "parts"], ["b", "c"], axis=1), node("Add", ["b", "c"], ["d"]),
             node("Concat", ["d", "a"], ["e"], axis=1), conv("e", "u", "y")]  # fmt: skip
    assert kinds(check(nodes, parts=np.array([3, 3]))) == ["Conv", "Add", "Conv"]
    assert kinds(check(nodes, shape=(2, 6, 8, 8), parts=np.array([3, 3])))[1] == "Split"


# -------------------------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize("nodes, outputs", [
    ([node("Identity", ["x"], ["y"])], ["y"]),
    ([node("Reshape", ["x", "flat"], ["y"])], ["y"]),
    ([conv("x", "w", "a"), node("Reshape", ["a", "flat"], ["y"])], ["y"]),
    ([conv("x", "w", "a"), node("Reshape", ["a", "flat"], ["y"])], ["a", "y"]),
    ([conv("x", "w", "a"), node("Relu", ["a"], ["y"])], ["a", "y"]),
    ([conv("x", "w", "a"), node("Identity", ["a"], ["b"]), node("Identity", ["a"], ["y"])], ["y", "b", "a"]),
    ([node("Transpose", ["x"], ["y"])], ["y"]),
    ([conv("x", "w", "a"), node("Split", ["a", "parts"], ["b", "y"], axis=1)], ["b", "y"]),
    ([node("Add", ["k", "x"], ["y"])], ["y", "k"]),
], ids=str)  # fmt: skip
def test_outputs_have_memory_of_their_own(nodes, outputs):
    check(nodes, outputs, flat=np.array([-1]), parts=np.array([3, 3]), k=normal(1, 6, 8, 8))


def test_a_second_call_allocates_its_outputs_alone():
    shape = (1, 6, 64, 64)
    nodes = [
        node("Tanh", ["x"], ["a"]), node("MaxPool", ["a"], ["b"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Mul", ["a", "b"], ["c"]), node("Sub", ["c", "x"], ["d"]), node("GlobalAveragePool", ["d"], ["y"]),
    ]  # fmt: skip
    network, _ = network_of(nodes, shape=shape)
    x = normal(*shape)
    for _ in range(2):
        network(x)
    tracemalloc.start()
    try:
        network(x)
        assert tracemalloc.get_traced_memory()[1] < 6 * 64 * 64 * 4 / 4  # a quarter of one value
    finally:
        tracemalloc.stop()


# ------------------------------------------------------------------------------------------- many at a time


BRANCHES = [
    conv("x", "w", "a"), node("Relu", ["a"], ["b"]), conv("b", "v", "c"), conv("b", "w", "d"),
    node("Sigmoid", ["d"], ["e"]), node("Mul", ["e", "b"], ["f"]), node("Concat", ["f", "c"], ["g"], axis=1),
    conv("g", "u", "h"), node("Add", ["h", "x"], ["y"]),
]  # fmt: skip


def test_calls_of_several_shapes_in_turn():
    model = models.network(BRANCHES, [("x", np.float32, ["N", 6, "H", "W"])], ["y"], CONSTANTS)
    network, plain = fastops.onnx.load(model), load_plain(model)
    given = [normal(*shape) for shape in ((1, 6, 8, 8), (2, 6, 5, 7), (1, 6, 8, 8), (3, 6, 4, 4))]
    expected = [plain(x) for x in given]
    for _ in range(2):
        for x, want in zip(given, expected, strict=True):
            models.assert_close(network(x), [want], 3e-6)
    assert len(network._plans) == 3
    assert len({id(kept) for kept in network._kept.values()}) == 3  # weights are prepared once for all shapes


def test_constants_that_follow_the_shape_are_each_plans_own():
    """A row of numbers as long as the image is wide is added; the weights are multiplied by its height."""
    nodes = [
        node("Shape", ["x"], ["s"]), node("Gather", ["s", "two"], ["h"]), node("Gather", ["s", "three"], ["n"]),
        node("Range", ["zero", "n", "one"], ["r"]), node("Cast", ["r"], ["row"], to=1),
        node("Add", ["x", "row"], ["a"]),
        node("Cast", ["h"], ["high"], to=1), node("Mul", ["w", "high"], ["wh"]), conv("a", "wh", "b"),
        node("MatMul", ["b", "m"], ["c"]), node("Concat", ["c", "b"], ["y"], axis=1),
    ]  # fmt: skip
    constants = {name: np.array(value) for name, value in {"zero": 0, "one": 1, "two": 2, "three": 3}.items()}
    constants |= {"w": CONSTANTS["w"], "m": np.eye(8, dtype=np.float32)}
    model = models.network(nodes, [("x", np.float32, ["N", 6, "H", "W"])], ["y"], constants)
    network, plain = fastops.onnx.load(model), load_plain(model)
    for size in ((1, 6, 8, 8), (1, 6, 5, 8), (1, 6, 8, 8), (2, 6, 3, 8)):
        x = normal(*size)
        models.assert_close(network(x), [plain(x)], 1e-5)
    model.graph.node[-1].input[0] = "b"
    del model.graph.node[-2]
    network, plain = fastops.onnx.load(model), load_plain(model)
    for width in (8, 5, 7, 8):
        x = normal(1, 6, 4, width)
        models.assert_close(network(x), [plain(x)], 1e-5)
        models.assert_close(network(x), models.onnx_runtime(model, {"x": x}), 1e-5)


@pytest.mark.parametrize("shape", [(1, 6, 80, 80), (4, 6, 40, 40)], ids=str)
def test_the_bits_do_not_depend_on_threads(shape):
    numba = pytest.importorskip("numba")
    nodes = [*BRANCHES[:-1], node("Add", ["h", "x"], ["i"]), node("MatMul", ["i", "m"], ["y"])]
    network, _ = network_of(nodes, shape=shape, m=normal(shape[-1], 50))
    x, threads = normal(*shape), numba.get_num_threads()
    expected = network(x)
    try:
        numba.set_num_threads(1)
        np.testing.assert_array_equal(network(x), expected)
    finally:
        numba.set_num_threads(threads)
    with _jit.only("serial"):
        np.testing.assert_array_equal(network(x), expected)


def test_eight_threads_call_one_network():
    network, _ = network_of(BRANCHES, shape=(1, 6, 40, 40))
    given = [normal(1, 6, 40, 40) for _ in range(8)]
    expected = [network(x) for x in given]
    wrong = []

    def call(i):
        for _ in range(20):
            if not np.array_equal(network(given[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong
    assert 1 <= len(schedule_of(network)._free) <= 8


def test_what_a_call_brings_is_let_go():
    import weakref

    network, _ = network_of(BRANCHES)
    x = normal(1, 6, 8, 8)
    y = network(x)
    kept = [weakref.ref(x), weakref.ref(y)]
    del x, y
    assert [each() for each in kept] == [None, None]


def test_an_error_leaves_the_network_as_it_was():
    nodes = [conv("x", "w", "a"), node("Cast", ["i"], ["j"], to=7), node("Gather", ["a", "j"], ["y"], axis=1)]
    model = models.network(nodes, [("x", normal(1, 6, 8, 8)), ("i", np.zeros(2, np.int32))], ["y"], CONSTANTS)
    network = fastops.onnx.load(model)
    x = normal(1, 6, 8, 8)
    good = network(x, np.array([1, 2], np.int32))
    with pytest.raises(ValueError, match=r"network: node 'y' \(Gather\) cannot run"):
        network(x, np.array([1, 9], np.int32))
    np.testing.assert_array_equal(network(x, np.array([1, 2], np.int32)), good)
