"""Random networks beside ONNX Runtime: residuals, several outputs, values used twice, shared weights, unused nodes."""

import numpy as np
import onnx_models as models
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastops.onnx

pytest.importorskip("onnxruntime", reason="the extra suite is not installed")

UNARY = [
    ("Relu", {}), ("Sigmoid", {}), ("Tanh", {}), ("LeakyRelu", {"alpha": 0.1}), ("HardSwish", {}), ("HardSigmoid", {}),
    ("Identity", {}), ("Abs", {}), ("Neg", {}), ("Erf", {}), ("Softmax", {"axis": 1}), ("Elu", {}),
]  # fmt: skip
BINARY = ["Add", "Sub", "Mul", "Max", "Min"]


class Builder:
    """A network that grows by nodes; all values are images of one of a few sizes."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants = [], {}
        self.shapes = {}  # of each value
        self.weights = {}  # by shape, to be shared

    def input(self, shape):
        name = f"in{len(self.shapes)}"
        self.shapes[name] = shape
        return name, self.rng.standard_normal(shape).astype(np.float32)

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def weight(self, shape, shared):
        if not (shared and shape in self.weights):
            scale = np.sqrt(1 / np.prod(shape[1:]))
            self.weights[shape] = self.constant((self.rng.standard_normal(shape) * scale).astype(np.float32))
        return self.weights[shape]

    def add(self, op_type, inputs, shape, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(models.node(op_type, inputs, [name], name=f"{op_type} {len(self.nodes)}", **attributes))
        self.shapes[name] = shape
        return name


def grow(draw, built, x):
    """One or a few nodes more, from a value x or from it and others of its shape."""
    shape = built.shapes[x]
    n, c, h, w = shape
    kind = draw(st.sampled_from(["conv", "unary", "binary", "scalar", "norm", "pool", "concat", "silu", "hard swish",
                                 "gelu", "layer norm", "up", "split", "squeeze", "matmul", "reshape"]))  # fmt: skip
    if kind == "conv":
        out, k = draw(st.sampled_from([c, 4, 8])), draw(st.sampled_from([1, 3]))
        stride = draw(st.sampled_from([1, 1, 2])) if min(h, w) > 2 else 1
        group = c if out == c and draw(st.booleans()) else 1
        inputs = [x, built.weight((out, c // group, k, k), draw(st.booleans()))]
        if draw(st.booleans()):
            inputs.append(built.weight((out,), draw(st.booleans())))
        size = (n, out, *((each - 1) // stride + 1 for each in (h, w)))
        return built.add("Conv", inputs, size, pads=[k // 2] * 4, strides=[stride] * 2, group=group)
    if kind == "unary":
        op_type, attributes = draw(st.sampled_from(UNARY))
        return built.add(op_type, [x], shape, **attributes)
    if kind == "binary":
        other = draw(st.sampled_from([name for name, each in built.shapes.items() if each == shape]))
        return built.add(draw(st.sampled_from(BINARY)), [x, other], shape)
    if kind == "scalar":
        size = draw(st.sampled_from([(), (1,), (c, 1, 1), (1, c, 1, 1), (w,)]))
        values = built.rng.uniform(0.5, 1.5, size).astype(np.float32)
        return built.add(draw(st.sampled_from(["Add", "Sub", "Mul", "Div"])), [x, built.constant(values)], shape)
    if kind == "norm":
        statistics = [built.constant(built.rng.uniform(0.5, 1.5, c).astype(np.float32)) for _ in range(4)]
        return built.add("BatchNormalization", [x, *statistics], shape)
    if kind == "pool":
        op_type = draw(st.sampled_from(["MaxPool", "AveragePool"]))
        return built.add(op_type, [x], shape, kernel_shape=[3, 3], pads=[1] * 4)
    if kind == "concat" and c <= 8:
        others = [name for name, each in built.shapes.items() if each == shape]
        return built.add("Concat", [x, draw(st.sampled_from(others))], (n, 2 * c, h, w), axis=1)
    if kind == "silu":
        return built.add("Mul", [x, built.add("Sigmoid", [x], shape)], shape)
    if kind == "hard swish":
        numbers = [built.constant(np.float32(each)) for each in (3, 0, 6, 6)]
        y = built.add("Clip", [built.add("Add", [x, numbers[0]], shape), numbers[1], numbers[2]], shape)
        return built.add("Div", [built.add("Mul", [x, y], shape), numbers[3]], shape)
    if kind == "gelu":
        root, one, half = (built.constant(np.float32(each)) for each in (np.sqrt(2), 1, 0.5))
        y = built.add("Erf", [built.add("Div", [x, root], shape)], shape)
        y = built.add("Mul", [x, built.add("Add", [y, one], shape)], shape)
        return built.add("Mul", [y, half], shape)
    if kind == "layer norm":
        eps, two = built.constant(np.float32(1e-2)), built.constant(np.float32(2))
        d = built.add("Sub", [x, built.add("ReduceMean", [x], (n, c, h, 1), axes=[-1])], shape)
        square = built.add("Pow", [d, two], shape) if draw(st.booleans()) else built.add("Mul", [d, d], shape)
        v = built.add("Add", [built.add("ReduceMean", [square], (n, c, h, 1), axes=[-1]), eps], (n, c, h, 1))
        y = built.add("Div", [d, built.add("Sqrt", [v], (n, c, h, 1))], shape)
        for op_type in ("Mul", "Add")[: draw(st.integers(0, 2))]:
            y = built.add(op_type, [y, built.constant(built.rng.standard_normal(w).astype(np.float32))], shape)
        return y
    if kind == "up" and h <= 6:
        scales = built.constant(np.array([1, 1, 2, 2], np.float32))
        mode = draw(st.sampled_from(["nearest", "linear"]))
        rest = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} if mode == "nearest" else {}
        return built.add("Resize", [x, "", scales], (n, c, 2 * h, 2 * w), mode=mode, **rest)
    if kind == "split" and c % 2 == 0:
        names = [f"v{len(built.nodes)}", f"v{len(built.nodes)} b"]
        built.nodes.append(models.node("Split", [x], names, name=f"split {len(built.nodes)}", axis=1))
        for name in names:
            built.shapes[name] = (n, c // 2, h, w)
        return names[draw(st.integers(0, 1))]
    if kind == "squeeze":  # as squeeze and excitation: a factor for each channel
        mean = built.add("GlobalAveragePool", [x], (n, c, 1, 1))
        return built.add("Mul", [x, built.add("Sigmoid", [mean], (n, c, 1, 1))], shape)
    if kind == "matmul":
        return built.add("MatMul", [x, built.weight((w, w), draw(st.booleans()))], shape)
    if kind == "reshape":  # there and back, by the shape that a value has
        sizes = built.add("Shape", [x], None)
        flat = built.add("Flatten", [x], (n, c * h * w))
        return built.add("Reshape", [flat, sizes], shape)
    return built.add("Relu", [x], shape)


@st.composite
def networks(draw):
    """(a model, its feeds)."""
    built = Builder(draw(st.integers(0, 2**31)))
    feeds = {}
    for _ in range(draw(st.integers(1, 2))):
        name, array = built.input((draw(st.sampled_from([1, 2])), 4, 6, 5))
        feeds[name] = array
    for _ in range(draw(st.integers(1, 9))):
        images = [name for name, shape in built.shapes.items() if shape is not None and len(shape) == 4]
        grow(draw, built, draw(st.sampled_from(images[-4:])))
    made = [name for node in built.nodes for name in node.output if built.shapes[name] is not None]
    outputs = list(dict.fromkeys([made[-1], *draw(st.lists(st.sampled_from(made), max_size=2))]))
    return models.network(built.nodes, list(feeds.items()), outputs, built.constants, opset=17), feeds


@given(networks())
def test_random_networks(case):
    model, feeds = case
    network = fastops.onnx.load(model)
    expected = models.onnx_runtime(model, feeds)
    before = {name: array.copy() for name, array in feeds.items()}
    for _ in range(2):
        models.assert_close(network(**feeds), expected, 2e-5)
    for name, array in feeds.items():
        np.testing.assert_array_equal(array, before[name])
