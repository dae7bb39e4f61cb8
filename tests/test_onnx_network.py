"""What a network promises beside its numbers: inputs, outputs of their own, plans, threads, copies, profiles."""

import copy
import pickle
import threading
import tracemalloc

import numpy as np
import onnx_models as models
import pytest

import fastops.onnx
from fastops.onnx import network as network_module

rng = np.random.default_rng(3)
X = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
W = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)


def two_inputs():
    """A convolution with a residual: a + (b + 1) and the sum's mean."""
    return models.network(
        [
            models.node("Conv", ["input.1", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            models.node("Relu", ["c"], ["r"]),
            models.node("Add", ["r", "b"], ["sum"]),
            models.node("GlobalAveragePool", ["sum"], ["mean"]),
        ],
        [("input.1", X), ("b", X)],
        ["sum", "mean"],
        {"w": W},
    )


B = rng.standard_normal((2, 4, 8, 8)).astype(np.float32)


def test_inputs_come_in_order_or_by_name():
    network = fastops.onnx.load(two_inputs())
    expected = models.onnx_runtime(two_inputs(), {"input.1": X, "b": B})
    for outputs in (network(X, B), network(X, b=B), network(b=B, **{"input.1": X})):
        assert isinstance(outputs, tuple)
        models.assert_close(outputs, expected)


def test_one_output_comes_alone():
    model, feeds = models.one_node("Relu", [X])
    assert isinstance(fastops.onnx.load(model)(X), np.ndarray)


def test_inputs_and_outputs_are_told():
    network = fastops.onnx.load(two_inputs())
    assert [value.name for value in network.inputs] == ["input.1", "b"]
    assert network.inputs[0] == ("input.1", np.dtype(np.float32), (None,) * 4)
    assert [value.name for value in network.outputs] == ["sum", "mean"]
    assert network.outputs[0].shape is None
    assert "'conv' (Conv)" in str(network)
    network(X, B)
    assert "2x4x8x8" in str(network) and "Network" in repr(network)


def test_initializers_that_are_inputs_too_are_not_asked_for():
    model = models.network(
        [models.node("Add", ["x", "w"], ["y"])], [("x", X), ("w", X)], ["y"], {"w": np.ones_like(X)}
    )  # fmt: skip
    network = fastops.onnx.load(model)
    assert [value.name for value in network.inputs] == ["x"]
    np.testing.assert_array_equal(network(X), X + 1)


def test_a_declared_shape_may_be_a_leftover():
    model = models.network(
        [models.node("Conv", ["x", "w"], ["y"])], [models.value("x", np.float32, [10, 3, 32, 32])], ["y"], {"w": W}
    )  # fmt: skip
    network = fastops.onnx.load(model)
    assert network.inputs[0].shape == (10, 3, 32, 32)
    assert network(X).shape == (2, 4, 6, 6)


# ------------------------------------------------------------------------------------------------ memory of its own


def aliasing():
    """Outputs that are an input, a constant, views, and one value twice."""
    nodes = [
        models.node("Identity", ["x"], ["same"]),
        models.node("Identity", ["w"], ["weight"]),
        models.node("Relu", ["x"], ["r"]),
        models.node("Identity", ["r"], ["again"]),
        models.node("Flatten", ["r"], ["flat"]),
        models.node("Transpose", ["x"], ["turned"]),
        models.node("Slice", ["r", "0", "2"], ["part"]),
        models.node("Split", ["r"], ["a", "b"], axis=3),
    ]
    outputs = ["same", "weight", "r", "again", "flat", "turned", "part", "a", "b"]
    return models.network(nodes, [("x", X)], outputs, {"w": W, "0": np.array([0]), "2": np.array([2])}, opset=13)


def test_outputs_alias_nothing():
    network = fastops.onnx.load(aliasing())
    expected = models.onnx_runtime(aliasing(), {"x": X})
    x = X.copy()
    calls = [network(x), network(x), network(x)]
    arrays = [x, *(array for call in calls for array in call)]
    for i, one in enumerate(arrays):
        assert one.flags.writeable and one.flags.c_contiguous
        for other in arrays[:i]:
            assert not np.shares_memory(one, other)
    for array in calls[0]:
        array[...] = 7
    np.testing.assert_array_equal(x, X)
    for outputs in (*calls[1:], network(x)):
        for got, want in zip(outputs, expected, strict=True):
            np.testing.assert_array_equal(got, want)


def test_an_input_may_be_an_output():
    model = models.network([models.node("Relu", ["x"], ["y"])], [("x", X)], ["x", "y"])
    same, _ = fastops.onnx.load(model)(X)
    assert same is not X and not np.shares_memory(same, X)


@pytest.mark.parametrize("layout", ["turned", "strided", "read-only", "unaligned", "big-endian"])
def test_inputs_of_any_layout(layout):
    model, _ = models.one_node("Conv", [X, W], constant=(1,))
    network = fastops.onnx.load(model)
    if layout == "turned":
        x = np.asfortranarray(X)
    elif layout == "strided":
        x = np.repeat(X, 2, -1)[..., ::2]
    elif layout == "unaligned":
        x = np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(X.shape)
    elif layout == "big-endian":
        with pytest.raises(TypeError, match="float32"):
            network(X.astype(">f4"))
        return
    else:
        x = X.copy()
        x.flags.writeable = False
    np.testing.assert_array_equal(network(x), network(X))


# ----------------------------------------------------------------------------------------------------------- plans


def test_a_few_plans_are_kept():
    network = fastops.onnx.load(two_inputs())
    for height in range(4, 4 + 2 * network_module.PLANS):
        network(X[:, :, :4].repeat(height, 2)[:, :, :height], rng.standard_normal((2, 4, height, 8)).astype(np.float32))
    assert len(network._plans) == network_module.PLANS
    network(X, B)
    assert len(network._plans) == network_module.PLANS


def test_shapes_are_folded_away():
    """x.reshape(x.shape[0], -1), as exporters write it."""
    nodes = [
        models.node("Shape", ["x"], ["shape"]),
        models.node("Gather", ["shape", "zero"], ["n"]),
        models.node("Unsqueeze", ["n", "axes"], ["n1"]),
        models.node("Concat", ["n1", "minus"], ["to"], axis=0),
        models.node("Reshape", ["x", "to"], ["y"]),
    ]
    constants = {"zero": np.array(0), "axes": np.array([0]), "minus": np.array([-1])}
    network = fastops.onnx.load(models.network(nodes, [("x", X)], ["y"], constants))
    np.testing.assert_array_equal(network(X), X.reshape(2, -1))
    (plan,) = network._plans.values()
    assert [step.node.op_type for step in plan.steps] == ["Copy"]  # of a view of the input
    np.testing.assert_array_equal(network(X[:1]), X[:1].reshape(1, -1))


def test_a_shape_that_is_an_input_is_read_at_each_call():
    model, _ = models.one_node("Reshape", [X, np.array([2, -1])])
    network = fastops.onnx.load(model)
    for shape in ([2, -1], [-1, 4], [6, 64]):
        np.testing.assert_array_equal(network(X, np.array(shape)), X.reshape(shape))
    assert not network._plans


def test_nodes_that_nothing_reads_do_not_run():
    nodes = [
        models.node("Relu", ["x"], ["y"]),
        models.node("Nonsense", ["x"], ["z"]),
        models.node("Dropout", ["y"], ["out", "mask"]),
        models.node("Identity", ["out"], ["last"]),
    ]
    network = fastops.onnx.load(models.network(nodes, [("x", X)], ["last"]))
    np.testing.assert_array_equal(network(X), np.maximum(X, 0))
    (plan,) = network._plans.values()
    assert len(plan.steps) <= 2


def test_dropout_in_inference_is_nothing():
    model, _ = models.one_node("Dropout", [X, np.array(0.9, np.float32)], constant=(1,))
    np.testing.assert_array_equal(fastops.onnx.load(model)(X), X)


def test_batch_norm_in_training_with_and_without_its_statistics():
    rng = np.random.default_rng(1)
    arrays = [X, *rng.uniform(0.5, 1.5, (4, 3)).astype(np.float32)]
    model = models.one_node("BatchNormalization", arrays, opset=15, outputs=("y", "m", "v"), training_mode=1,
                            constant=(1, 2, 3, 4))[0]  # fmt: skip
    network = fastops.onnx.load(model)
    y, mean, var = network(X)
    kept = network(X)
    np.testing.assert_allclose(mean, 0.9 * arrays[3] + 0.1 * X.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(var, 0.9 * arrays[4] + 0.1 * X.var((0, 2, 3)), rtol=1e-5)
    del model.graph.output[1:]
    alone = fastops.onnx.load(model)
    for got in (kept[0], alone(X), alone(X)):
        np.testing.assert_array_equal(got, y)


def test_an_input_may_have_any_name():
    model = models.network([models.node("Add", ["self", "arrays"], ["y"])], [("self", X), ("arrays", X)], ["y"])
    np.testing.assert_array_equal(fastops.onnx.load(model)(self=X, arrays=X), X + X)


def test_the_first_call_frees_what_nobody_reads_any_more():
    """As later ones do: a chain of 40 values takes the memory of a few."""
    names = ["x", *(f"v{i}" for i in range(40))]
    nodes = [models.node("Relu", [a], [b]) for a, b in zip(names[:-1], names[1:], strict=True)]
    model = models.network(nodes, [("x", X)], [names[-1]])
    x = np.ones((1, 1, 1000, 1000), np.float32)
    fastops.onnx.load(model)(x)  # compiling a kernel takes memory, too, and so large an array another than a small one
    network = fastops.onnx.load(model)
    peaks = []
    for _ in range(2):
        tracemalloc.start()
        network(x)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 4 * x.nbytes


def test_an_empty_batch():
    assert fastops.onnx.load(two_inputs())(X[:0], B[:0])[0].shape == (0, 4, 8, 8)


def test_weights_are_read_only():
    network = fastops.onnx.load(two_inputs())
    for each in (network, pickle.loads(pickle.dumps(network)), copy.deepcopy(network)):
        assert not any(array.flags.writeable for array in each._graph.constants.values())


# ------------------------------------------------------------------------------------------- threads, copies, pages


def test_eight_threads_may_call_one_network():
    network = fastops.onnx.load(two_inputs())
    shapes = [8, 6, 7]
    inputs = [(X[:, :, :h].copy(), B[:, :, :h].copy()) for h in shapes]
    expected = [network(*pair) for pair in inputs]
    wrong: list = []
    fresh = fastops.onnx.load(two_inputs())  # whose plans the threads make

    def work(seed):
        order = np.random.default_rng(seed).permutation(24) % 3
        for i in order:
            for got, want in zip(fresh(*inputs[i]), expected[i], strict=True):
                if not np.array_equal(got, want):
                    wrong.append(i)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("copied", [lambda network: pickle.loads(pickle.dumps(network)), copy.deepcopy, copy.copy])
def test_copies_compute_the_same(copied):
    network = fastops.onnx.load(two_inputs(), precision="fast")
    before = network(X, B)
    other = copied(network)
    for got, want in zip(other(X, B), before, strict=True):
        np.testing.assert_array_equal(got, want)
    assert str(other) == str(network)


def test_a_profile_is_a_table_and_a_picture(tmp_path):
    network = fastops.onnx.load(two_inputs())
    profile = network.profile(X, B)
    assert [row.operator for row in profile.rows] == ["Conv + relu", "Add", "GlobalAveragePool"]
    assert sum(row.share for row in profile.rows) == pytest.approx(1)
    assert profile.rows[0].gflops == pytest.approx(2 * 2 * 4 * 64 * 27 / profile.rows[0].seconds / 1e9)
    assert profile.rows[1].gflops is None
    assert "conv" in str(profile) and "GFLOP/s" in str(profile)
    pytest.importorskip("matplotlib")
    profile.plot(tmp_path / "profile.png")
    assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG")


def test_the_backend_runs_a_node():
    node = models.node("Concat", ["a", "b"], ["c"], axis=0)
    (out,) = fastops.onnx.Backend.run_node(node, [X, X])
    np.testing.assert_array_equal(out, np.concatenate([X, X]))
    assert fastops.onnx.Backend.supports_device("CPU") and not fastops.onnx.Backend.supports_device("CUDA")
    assert fastops.onnx.Backend.is_compatible(two_inputs())
    (out,) = fastops.onnx.Backend.run_model(models.one_node("Relu", [X])[0], [X])
    np.testing.assert_array_equal(out, np.maximum(X, 0))
