"""Networks as lists of layers with weights, written once: `to_onnx` makes a file of one, `to_torch` a torch module.

ONNX and torch are handed in, as everything is in this folder. A layer is one node of the file, batch norm and
activations too, as exporters of trained networks write them: what belongs together, a runtime has to find by itself.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Value = str  # the name of what a layer takes or gives

OPSET, IR_VERSION = 17, 8  # old enough for every reader of the last years


@dataclass(frozen=True)
class Layer:
    """One step; `weights` by the name that torch gives them."""

    op: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    options: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Array] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.outputs[0]


class Graph:
    """A network in the making: a method for each kind of layer, which returns the name of its output.

    Weights are random of a trained network's scale: a convolution keeps the variance of what it gets (He et al. 2015),
    and a batch norm's statistics are near those of its input.
    """

    def __init__(self, *channels: int, seed: int = 0) -> None:
        """`channels` of each input."""
        self.rng = np.random.default_rng(seed)
        self.inputs = tuple(f"input_{i}" for i in range(len(channels)))
        self.channels: dict[Value, int] = dict(zip(self.inputs, channels, strict=True))
        self.layers: list[Layer] = []
        self.outputs: tuple[Value, ...] = ()

    def _add(
        self, op: str, inputs: Sequence[Value], channels: int, weights: dict[str, Array] | None = None, **options: Any
    ) -> Value:
        name = f"{op}_{len(self.layers)}"
        self.layers.append(Layer(op, tuple(inputs), (name,), options, weights or {}))
        self.channels[name] = channels
        return name

    def _normal(self, shape: tuple[int, ...], deviation: float) -> Array:
        return self.rng.standard_normal(shape, np.float32) * np.float32(deviation)

    def _uniform(self, low: float, high: float, size: int) -> Array:
        return self.rng.uniform(low, high, size).astype(np.float32)

    def conv(
        self, x: Value, channels: int, size: int, stride: int = 1, padding: int | None = None, groups: int = 1,
        bias: bool = False,
    ) -> Value:  # fmt: skip
        """A convolution; as much padding as keeps a map's size, where nothing else is said."""
        shape = (channels, self.channels[x] // groups, size, size)
        weights = {"weight": self._normal(shape, (2 / (shape[1] * size * size)) ** 0.5)}
        weights |= {"bias": self._normal((channels,), 0.1)} if bias else {}
        padding = size // 2 if padding is None else padding
        return self._add("conv", [x], channels, weights, size=size, stride=stride, padding=padding, groups=groups)

    def conv_transpose(
        self, x: Value, channels: int, size: int, stride: int = 1, padding: int = 0, bias: bool = False
    ) -> Value:
        shape = (self.channels[x], channels, size, size)
        weights = {"weight": self._normal(shape, (2 * stride**2 / (shape[0] * size * size)) ** 0.5)}
        weights |= {"bias": self._normal((channels,), 0.1)} if bias else {}
        return self._add("conv_transpose", [x], channels, weights, size=size, stride=stride, padding=padding)

    def batch_norm(self, x: Value, scale: float = 1) -> Value:
        """`scale`: of its weights; trained residual branches have small ones at their end."""
        channels = self.channels[x]
        weights = {
            "weight": self._uniform(0.8 * scale, 1.2 * scale, channels),
            "bias": self._normal((channels,), 0.1 * scale),
            "running_mean": self._normal((channels,), 0.2),
            "running_var": self._uniform(0.7, 1.3, channels),
        }
        return self._add("batch_norm", [x], channels, weights)

    def activation(self, x: Value, kind: str) -> Value:
        """relu, relu6, silu, sigmoid or tanh."""
        return self._add(kind, [x], self.channels[x])

    def unit(self, x: Value, channels: int, size: int, activation: str = "relu", **options: Any) -> Value:
        """Convolution, batch norm and activation."""
        return self.activation(self.batch_norm(self.conv(x, channels, size, **options)), activation)

    def add(self, x: Value, y: Value) -> Value:
        return self._add("add", [x, y], self.channels[x])

    def concat(self, *values: Value) -> Value:
        return self._add("concat", values, sum(self.channels[each] for each in values))

    def split(self, x: Value, parts: int = 2) -> tuple[Value, ...]:
        """Equal parts of the channels."""
        size, number = self.channels[x] // parts, len(self.layers)
        names = tuple(f"split_{number}_{i}" for i in range(parts))
        self.layers.append(Layer("split", (x,), names, {"size": size}))
        self.channels |= dict.fromkeys(names, size)
        return names

    def resize(self, x: Value, factor: int = 2) -> Value:
        """Each pixel `factor` times in both directions."""
        return self._add("resize", [x], self.channels[x], factor=factor)

    def max_pool(self, x: Value, size: int, stride: int, padding: int = 0) -> Value:
        return self._add("max_pool", [x], self.channels[x], size=size, stride=stride, padding=padding)

    def global_avg_pool(self, x: Value) -> Value:
        """The mean of each map."""
        return self._add("global_avg_pool", [x], self.channels[x])

    def flatten(self, x: Value, pixels: int = 1) -> Value:
        """`pixels`: how many each map has."""
        return self._add("flatten", [x], self.channels[x] * pixels)

    def dropout(self, x: Value, p: float) -> Value:
        """In training alone: a file has no trace of it."""
        return self._add("dropout", [x], self.channels[x], p=p)

    def linear(self, x: Value, features: int) -> Value:
        weight = self._normal((features, self.channels[x]), (2 / self.channels[x]) ** 0.5)
        return self._add("linear", [x], features, {"weight": weight, "bias": self._normal((features,), 0.1)})

    def ends(self, *outputs: Value) -> "Graph":
        self.outputs = outputs
        return self


# ------------------------------------------------------------------------------------------------------------ to ONNX


def to_onnx(graph: Graph, onnx: Any) -> Any:
    """An onnx.ModelProto; its inputs may have any batch, height and width."""
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    nodes, constants = [], []
    names: dict[Value, Value] = {}  # what stands for an output that leaves no trace in the file
    for layer in graph.layers:
        inputs = [names.get(each, each) for each in layer.inputs]
        if layer.op == "dropout":
            names[layer.name] = inputs[0]
            continue
        kind, attributes, more = _node(layer)
        if layer.op == "silu":  # as exporters write it
            gate = f"{layer.name}_gate"
            nodes.append(helper.make_node("Sigmoid", inputs, [gate], name=gate))
            inputs = [*inputs, gate]
        for name, value in more.items():
            constants.append(onnx.numpy_helper.from_array(value, f"{layer.name}.{name}"))
        inputs += [f"{layer.name}.{name}" if value.size else "" for name, value in more.items()]
        nodes.append(helper.make_node(kind, inputs, layer.outputs, name=layer.name, **attributes))
    constants = [each for each in constants if each.dims != [0]]  # an optional input that is left out
    made = helper.make_graph(
        nodes,
        "network",
        [
            helper.make_tensor_value_info(x, float32, ["N", graph.channels[x], f"H{i}", f"W{i}"])
            for i, x in enumerate(graph.inputs)
        ],
        [
            helper.make_tensor_value_info(names.get(x, x), float32, ["N", graph.channels[x], *_edges(x)])
            for x in graph.outputs
        ],
        constants,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _edges(x: Value) -> list[str]:
    """Names for an output's height and width, where it has them."""
    return [] if x.startswith(("linear", "flatten")) else [f"{x}_height", f"{x}_width"]


def _node(layer: Layer) -> tuple[str, dict[str, Any], dict[str, Array]]:
    """The node's type, its attributes and its constant inputs."""
    o, weights = layer.options, layer.weights
    window = {}
    if "stride" in o:
        window = {"kernel_shape": [o["size"]] * 2, "strides": [o["stride"]] * 2, "pads": [o["padding"]] * 4}
    match layer.op:
        case "conv":
            return "Conv", {**window, "group": o["groups"]}, weights
        case "conv_transpose":
            return "ConvTranspose", window, weights
        case "max_pool":
            return "MaxPool", window, {}
        case "batch_norm":
            return "BatchNormalization", {"epsilon": 1e-5}, weights
        case "relu6":
            return "Clip", {}, {"min": np.array(0, np.float32), "max": np.array(6, np.float32)}
        case "concat":
            return "Concat", {"axis": 1}, {}
        case "split":
            return "Split", {"axis": 1}, {"split": np.full(len(layer.outputs), o["size"], np.int64)}
        case "resize":
            scales = np.array([1, 1, o["factor"], o["factor"]], np.float32)
            how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            return "Resize", how, {"roi": np.empty(0, np.float32), "scales": scales}
        case "flatten":
            return "Flatten", {"axis": 1}, {}
        case "linear":
            return "Gemm", {"transB": 1}, weights
    return _ALONE[layer.op], {}, {}


_ALONE = {"relu": "Relu", "silu": "Mul", "sigmoid": "Sigmoid", "tanh": "Tanh", "add": "Add",
          "global_avg_pool": "GlobalAveragePool"}  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- to torch


def to_torch(graph: Graph, torch: Any) -> Any:
    """A torch.nn.Module with these weights, in evaluation, of torch.nn's layers; torch.fx writes its forward."""
    made, modules, values = torch.fx.Graph(), {}, {}
    for name in graph.inputs:
        values[name] = made.placeholder(name)
    for layer in graph.layers:
        inputs = [values[each] for each in layer.inputs]
        module = _module(layer, torch.nn)
        if module is not None:
            state = {name: torch.from_numpy(value.copy()) for name, value in layer.weights.items()}
            module.load_state_dict(state, strict=layer.op != "batch_norm")  # whose file does not count batches
            modules[layer.name] = module
            values[layer.name] = made.call_module(layer.name, tuple(inputs))
        elif layer.op == "add":
            values[layer.name] = made.call_function(torch.add, tuple(inputs))
        elif layer.op == "concat":
            values[layer.name] = made.call_function(torch.cat, (inputs, 1))
        elif layer.op == "split":
            parts = made.call_function(torch.chunk, (*inputs, len(layer.outputs), 1))
            for number, name in enumerate(layer.outputs):
                values[name] = made.call_function(operator.getitem, (parts, number))
        elif layer.op == "sigmoid":
            values[layer.name] = made.call_function(torch.sigmoid, tuple(inputs))
        else:
            values[layer.name] = made.call_function(torch.tanh, tuple(inputs))
    found = tuple(values[each] for each in graph.outputs)
    made.output(found if len(found) > 1 else found[0])
    return torch.fx.GraphModule(modules, made).eval()


def _module(layer: Layer, nn: Any) -> Any:
    """The layer as a module; None of what networks call as a function. Activations write over their input, as in
    torchvision's networks."""
    o, weights = layer.options, layer.weights
    shape = next(iter(weights.values())).shape if weights else ()
    window = (o["size"], o["stride"], o["padding"]) if "stride" in o else ()
    match layer.op:
        case "conv":
            channels = (shape[1] * o["groups"], shape[0])
            return nn.Conv2d(*channels, *window, groups=o["groups"], bias="bias" in weights)
        case "conv_transpose":
            return nn.ConvTranspose2d(*shape[:2], *window, bias="bias" in weights)
        case "max_pool":
            return nn.MaxPool2d(*window)
        case "batch_norm":
            return nn.BatchNorm2d(shape[0])
        case "relu":
            return nn.ReLU(inplace=True)
        case "relu6":
            return nn.ReLU6(inplace=True)
        case "silu":
            return nn.SiLU(inplace=True)
        case "resize":
            return nn.Upsample(scale_factor=o["factor"], mode="nearest")
        case "global_avg_pool":
            return nn.AdaptiveAvgPool2d(1)
        case "flatten":
            return nn.Flatten()
        case "dropout":
            return nn.Dropout(o["p"])
        case "linear":
            return nn.Linear(shape[1], shape[0])
    return None
