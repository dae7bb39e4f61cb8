"""What fastops.onnx refuses, in one sentence each."""

import re

import numpy as np
import onnx_models as models
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

import fastops.onnx

X = np.zeros((1, 2, 4, 4), np.float32)
RELU = models.one_node("Relu", [X])[0]


def refuses(error, pattern, call, *args, **options):
    """One sentence, of one line."""
    with pytest.raises(error, match=pattern) as caught:
        call(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refused(error, pattern, model, **options):
    return refuses(error, pattern, fastops.onnx.load, model, **options)


# ----------------------------------------------------------------------------------------------------------- files


def test_files_that_are_none(tmp_path):
    refused(FileNotFoundError, "there is none at", tmp_path / "absent.onnx")
    refused(FileNotFoundError, "there is none at", str(tmp_path))
    refused(TypeError, "expects a path, bytes or an onnx.ModelProto, got int", 3)
    refused(TypeError, "got numpy.ndarray", X)
    refused(ValueError, "precision expects 'exact' or 'fast', got 'half'", RELU, precision="half")


@pytest.mark.parametrize("data", [b"", b"not a model", RELU.SerializeToString()[:-20], b"\xff" * 99], ids=repr)
def test_broken_files(tmp_path, data):
    refused(ValueError, "expects an ONNX model|no ONNX model", data)
    (tmp_path / "broken.onnx").write_bytes(data)
    refused(ValueError, "broken.onnx", tmp_path / "broken.onnx")


@pytest.mark.parametrize("size", [2**40, 2**62])
def test_a_window_of_channels_far_larger_than_there_are(size):
    x = np.ones((1, 4, 2, 2), np.float32)
    whole, large = (fastops.onnx.load(models.one_node("LRN", [x], size=each)[0])(x) for each in (7, size + 1))
    assert large.shape == whole.shape and np.isfinite(large).all()  # alpha / size is less, the sum is of all channels


@pytest.mark.parametrize("size", [0, -5])
def test_a_window_of_no_channels(size):
    network = fastops.onnx.load(models.one_node("LRN", [X], size=size)[0])
    refuses(ValueError, f"size expects at least 1, got {size}", network, X)


def test_memory_that_there_is_none_of(monkeypatch):
    def bind():
        raise MemoryError("Unable to allocate 768. GiB")

    network = fastops.onnx.load(RELU)
    network(X)
    (plan,) = network._plans.values()
    monkeypatch.setattr(plan, "_buffers", bind)
    assert refuses(MemoryError, "768", network, X) == f"{network.name}: Unable to allocate 768. GiB"


def test_every_file_cut_short_is_a_value_error():
    data = models.one_node("Conv", [X, np.ones((1, 2, 3, 3), np.float32)], constant=(1,))[0].SerializeToString()
    for end in range(len(data)):
        with pytest.raises((ValueError, NotImplementedError)):
            fastops.onnx.load(data[:end])


def changed(change, *args, **options):
    """A model of a Conv, changed."""
    w = np.ones((1, 2, 3, 3), np.float32)
    model = models.one_node("Conv", [X, w], *args, constant=(1,), **options)[0]
    change(model.graph)
    return model


def test_initializers_that_do_not_fit():
    def dims(*sizes):
        def change(graph):
            graph.initializer[0].ClearField("dims")
            graph.initializer[0].dims.extend(sizes)

        return change

    refused(ValueError, "'x1' expects 36 bytes for shape", changed(dims(1, 1, 3, 3)))
    refused(ValueError, "sizes of at least 0", changed(dims(1, -2, 3, 3)))
    refused(ValueError, "bytes for shape", changed(dims(2**40, 2**40, 3, 3)))
    refused(ValueError, "missing|no input, initializer or node", changed(lambda graph: graph.ClearField("initializer")))
    refused(ValueError, "names of their own", changed(lambda graph: graph.initializer.append(graph.initializer[0])))


def test_tensors_of_the_wrong_number_of_elements():
    tensor = TensorProto(name="w", dims=[2, 3], data_type=1, float_data=[1.0, 2.0])
    model = models.network([models.node("Add", ["x", "w"], ["y"])], [("x", X)], ["y"])
    model.graph.initializer.append(tensor)
    refused(ValueError, "'w'", model)


def test_graphs_that_cannot_be_put_in_order():
    nodes = [models.node("Add", ["x", "b"], ["a"]), models.node("Relu", ["a"], ["b"])]
    refused(ValueError, "in a circle", models.network(nodes, [("x", X)], ["b"]))
    nodes = [models.node("Relu", ["x"], ["y"]), models.node("Relu", ["x"], ["y"])]
    refused(ValueError, "'y' expects one node", models.network(nodes, [("x", X)], ["y"]))
    refused(ValueError, "nothing makes its output 'z'", models.network(nodes[:1], [("x", X)], ["z"]))
    nodes = [models.node("Relu", ["nowhere"], ["y"])]
    refused(ValueError, "'nowhere'", models.network(nodes, [("x", X)], ["y"]))


def test_nodes_in_another_order_are_put_right():
    nodes = [models.node("Relu", ["a"], ["y"]), models.node("Neg", ["x"], ["a"])]
    network = fastops.onnx.load(models.network(nodes, [("x", X)], ["y"]))
    np.testing.assert_array_equal(network(X - 1), X + 1)


def test_a_node_of_the_wrong_number_of_inputs():
    refused(ValueError, "expects 1 to 1 inputs, got 2", models.network(
        [models.node("Relu", ["x", "x"], ["y"])], [("x", X)], ["y"]))  # fmt: skip
    refused(ValueError, "attribute 'axis'", models.network(
        [models.node("Concat", ["x", "x"], ["y"])], [("x", X)], ["y"]))  # fmt: skip


# ---------------------------------------------------------------------------------------------- what we do not have


def test_all_that_is_lacking_is_told_at_once():
    nodes = [
        models.node("GRU", ["x", "x", "x"], ["a"], name="first", hidden_size=3),
        models.node("Relu", ["a"], ["r"]),
        models.node("Resize", ["r", "", "s"], ["b"], name="second", mode="linear",
                    coordinate_transformation_mode="strange"),
        models.node("FancyNorm", ["b"], ["c"], domain="com.example"),
        models.node("NonMaxSuppression", ["c", "c"], ["y"], name="last"),
    ]  # fmt: skip
    model = models.network(nodes, [("x", X)], ["y"], {"s": np.ones(4, np.float32)})
    told = refused(NotImplementedError, "4 nodes", model)
    for each in ("'first' (GRU)", "'second' (Resize)", "'strange'", "'c' (com.example.FancyNorm)",
                 "'last' (NonMaxSuppression)"):  # fmt: skip
        assert each in told
    assert "Relu" not in told


def test_graphs_inside_graphs_are_lacking():
    inside = helper.make_graph([models.node("Relu", ["x"], ["z"])], "inside", [], [models.value("z", X)])
    nodes = [models.node("If", ["c"], ["y"], then_branch=inside, else_branch=inside)]
    model = models.network(nodes, [("x", X), ("c", np.array(True))], ["y"])
    refused(NotImplementedError, r"'y' \(If\)", model)


@pytest.mark.parametrize("opset, told", [(6, "opset from 7 to 28, got 6"), (99, "opset from 7 to 28, got 99")])
def test_opsets(opset, told):
    model = models.one_node("Conv", [X, np.ones((1, 2, 3, 3), np.float32)])[0]
    model.opset_import[0].version = opset
    if opset == 6:
        model = models.one_node("Add", [X, X])[0]
        model.opset_import[0].version = opset
    refused(NotImplementedError, told, model)


def test_dtypes_that_we_do_not_take():
    model = models.network([models.node("Relu", ["x"], ["y"])],
                           [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1])], ["y"])  # fmt: skip
    refused(NotImplementedError, "'x' expects dtype float32.*got float16", model)
    model = models.network([models.node("Add", ["x", "h"], ["y"])], [("x", X)], ["y"])
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float16), "h"))
    refused(NotImplementedError, "'h' expects dtype float32.*got float16", model)
    model = models.one_node("Cast", [X], to=int(TensorProto.FLOAT16))[0]
    refused(NotImplementedError, r"\(Cast\) with dtype", model)


def test_training_is_refused():
    ratio, train = np.array(0.5, np.float32), np.array(True)
    refused(NotImplementedError, "training_mode", models.one_node("Dropout", [X, ratio, train], constant=(1, 2))[0])
    network = fastops.onnx.load(models.one_node("Dropout", [X, ratio, train], constant=(1,))[0])
    refuses(NotImplementedError, "training_mode expects false", network, X, train)
    np.testing.assert_array_equal(network(X + 1, np.array(False)), X + 1)
    four = [np.ones(2, np.float32)] * 4
    refused(NotImplementedError, "training before opset 14",
            models.one_node("BatchNormalization", [X, *four], opset=9, outputs=("y", "m", "v"))[0])  # fmt: skip


def test_images_of_three_dimensions():
    volume = np.zeros((1, 2, 4, 4, 4), np.float32)
    model = models.one_node("Conv", [volume, np.ones((1, 2, 3, 3, 3), np.float32)], constant=(1,))[0]
    refused(NotImplementedError, "a weight of 5 dimensions", model)


@pytest.mark.parametrize(
    "op_type, options",
    [
        ("ConvTranspose", {"output_shape": [50, 50]}),
        ("ConvTranspose", {"output_shape": [0, 3]}),
        ("ConvTranspose", {"pads": [-2, -2, 0, 0]}),
        ("ConvTranspose", {"output_padding": [1, 0]}),
        ("ConvTranspose", {"strides": [0, 1]}),
        ("ConvTranspose", {"dilations": [-1, 1]}),
        ("ConvTranspose", {"group": 0}),
        ("Conv", {"pads": [-1, 0, 0, 0]}),
        ("Conv", {"pads": [1, 1]}),
        ("Conv", {"strides": [0, 0]}),
        ("Conv", {"dilations": [3, 3]}),
        ("Conv", {"group": 3}),
    ],
    ids=str,
)
def test_windows_that_kernels_could_not_stay_in(op_type, options):
    """Each is refused before a kernel runs."""
    model = models.one_node(op_type, [X, np.ones((2, 2, 3, 3), np.float32)], constant=(1,), **options)[0]
    refuses(ValueError, rf"'the {op_type}' \({op_type}\)", fastops.onnx.load(model), X)


# -------------------------------------------------------------------------------------------------- data in files


@pytest.fixture
def external(tmp_path):
    """A file whose weight lies in another one beside it."""
    w = np.arange(18, dtype=np.float32).reshape(1, 2, 3, 3)
    model = models.one_node("Conv", [X, w], constant=(1,))[0]
    tensor = model.graph.initializer[0]
    external_data_helper.set_external_data(tensor, "weights.bin", offset=64, length=72)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    (tmp_path / "weights.bin").write_bytes(bytes(64) + w.tobytes())

    def save(**told):
        for each in tensor.external_data:
            each.value = told.get(each.key, each.value)
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        return tmp_path / "model.onnx"

    return save


def maps(array) -> bool:
    """Whether an array is a file's memory."""
    return isinstance(array, np.memmap) or (array.base is not None and maps(array.base))


def test_data_beside_the_file_is_mapped(external, tmp_path):
    network = fastops.onnx.load(external())
    assert network(X + 1)[0, 0, 0, 0] == 17 * 9
    (weight,) = network._graph.constants.values()
    assert not weight.flags.writeable and maps(weight)


@pytest.mark.parametrize("shift", range(4))
def test_weights_inside_the_file_are_mapped_wherever_they_lie(tmp_path, shift):
    w = np.arange(4 * 2 * 16 * 16, dtype=np.float32).reshape(4, 2, 16, 16)
    x = np.ones((1, 2, 16, 16), np.float32)
    model = models.one_node("Conv", [x, w], constant=(1,))[0]
    model.doc_string = "x" * shift  # after the graph
    model.producer_name = "y" * (shift + 1)  # before it
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    aligned = file.read_bytes().index(w.tobytes()) % 4 == 0
    for source in (file, file.read_bytes()):
        network = fastops.onnx.load(source)
        (weight,) = network._graph.constants.values()
        np.testing.assert_array_equal(weight, w)
        assert not weight.flags.writeable
        if source is file:
            assert maps(weight) and weight.flags.aligned == aligned
        np.testing.assert_array_equal(network(x), fastops.onnx.load(model)(x))
    model.graph.initializer[0].dims[0] = 3
    refused(ValueError, "'x1' expects 6144 bytes for shape", model.SerializeToString())


@pytest.mark.parametrize(
    "told, error, pattern",
    [
        ({"location": "absent.bin"}, FileNotFoundError, "there is no such file"),
        ({"location": "../weights.bin"}, ValueError, "in the model's folder"),
        ({"location": "/etc/hostname"}, ValueError, "in the model's folder"),
        ({"offset": "100"}, ValueError, "72 bytes from 100 on"),
        ({"offset": "-8"}, ValueError, "72 bytes from -8 on"),
        ({"offset": str(2**70)}, ValueError, "72 bytes from"),
        ({"length": "71"}, ValueError, "a length of 71"),
        ({"length": "many"}, ValueError, "numbers as offset and length"),
        ({"location": ""}, ValueError, "the name of a file"),
    ],
)
def test_data_that_is_elsewhere(external, told, error, pattern):
    refused(error, pattern, external(**told))


def test_data_behind_a_link_out_of_the_folder(external, tmp_path):
    file = external(location="link.bin")
    outside = tmp_path.parent / "outside.bin"
    outside.write_bytes(bytes(200))
    (tmp_path / "link.bin").symlink_to(outside)
    refused(ValueError, "in the model's folder", file)


def test_data_of_a_model_that_came_without_a_folder(external):
    refused(FileNotFoundError, "came without its folder", external().read_bytes())


# ---------------------------------------------------------------------------------------------------------- calls


def test_the_number_and_names_of_inputs():
    network = fastops.onnx.load(models.one_node("Add", [X, X])[0])
    told = "network: expects 2 inputs, 'x0', 'x1', got "
    for args, named, got in (
        ((), {}, "none for 'x0', 'x1'"),
        ((X,), {}, "none for 'x1'"),
        ((X, X, X), {}, "3 arrays"),
        ((X, X), {"x1": X}, "'x1' twice"),
        ((X,), {"x1": X, "y": X}, "an input 'y' that it does not have"),
    ):
        refuses(TypeError, re.escape(told + got), network, *args, **named)
    refuses(TypeError, "no inputs", fastops.onnx.load(models.network(
        [models.node("Identity", ["c"], ["y"])], [], ["y"], {"c": X})), X)  # fmt: skip


def test_kinds_and_dtypes_of_inputs():
    network = fastops.onnx.load(RELU)
    refuses(TypeError, "network: x0 expects a NumPy or CUDA array, got list", network, [1.0])
    refuses(TypeError, "got float", network, 1.0)
    refuses(TypeError, "x0 expects dtype float32, got float64", network, X.astype(float))
    refuses(TypeError, "x0 expects dtype float32, got int64", network, X.astype(int))
    refuses(TypeError, "masked", network, np.ma.masked_array(X))
    torch = pytest.importorskip("torch")
    refuses(TypeError, "x0.*torch.Tensor", network, torch.zeros(1, 2, 4, 4))


def test_shapes_of_inputs():
    network = fastops.onnx.load(RELU)
    refuses(ValueError, r"network: x0 expects 4 dimensions, .*got shape \(4, 4\)", network, X[0, 0])
    w = np.ones((1, 2, 3, 3), np.float32)
    network = fastops.onnx.load(models.one_node("Conv", [X, w], constant=(1,))[0])
    told = refuses(ValueError, r"'the Conv' \(Conv\)", network, X[:, :1])
    assert told.startswith("network: node") and "; x0 expects (?, ?, ?, ?), or what" in told
    assert told.endswith("got (1, 1, 4, 4)")
    refuses(ValueError, r"'the Conv' \(Conv\).*\(2, 4\)", network, X[:, :, :2])


def test_elements_that_a_plan_cannot_take():
    network = fastops.onnx.load(models.one_node("Gather", [X, np.array([0])], axis=3)[0])
    network(X, np.array([3]))
    refuses(ValueError, r"'the Gather' \(Gather\).*index 4", network, X, np.array([4]))


def test_sizes_that_overflow():
    for shape in ([2**40, 2**40], [2**31, 2**20]):
        model = models.network(
            [models.node("ConstantOfShape", ["s"], ["c"]), models.node("Add", ["x", "c"], ["y"])],
            [("x", X)], ["y"], {"s": np.array(shape)})  # fmt: skip
        refused(ValueError, r"'c' \(ConstantOfShape\)", model)
    network = fastops.onnx.load(models.one_node("Expand", [X, np.array([2**40, 2**40, 1, 1])], constant=(1,))[0])
    refuses(ValueError, "Expand", network, X)


# ---------------------------------------------------------------------------------------------------- broken bytes


def test_bytes_that_are_not_what_they_were():
    """A model with a few bytes changed: it loads and runs, or is refused in one sentence; nothing else comes out."""
    w = np.ones((2, 2, 3, 3), np.float32)
    nodes = [
        models.node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        models.node("MaxPool", ["c"], ["p"], kernel_shape=[2, 2]),
        models.node("Reshape", ["p", "s"], ["r"]),
        models.node("Softmax", ["r"], ["y"], axis=1),
    ]
    data = models.network(nodes, [("x", X)], ["y"], {"w": w, "s": np.array([0, -1])}).SerializeToString()
    rng = np.random.default_rng(7)
    ran = refusals = 0
    for _ in range(1500):
        broken = bytearray(data)
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            broken[place] = rng.integers(256)
        try:
            network = fastops.onnx.load(bytes(broken))
            network(*(X.astype(value.dtype or X.dtype) for value in network.inputs))
            ran += 1
        except (ValueError, TypeError, NotImplementedError, FileNotFoundError, MemoryError) as trouble:
            assert "\n" not in str(trouble)
            refusals += 1
    assert ran > 50 and refusals > 50
