"""The networks of the yardstick: one description of each, which torch and ONNX Runtime read as the same network."""

import copy
import pickle

import numpy as np
import pytest

from fastops.yardstick.graphs import to_onnx, to_torch
from fastops.yardstick.networks import NETWORKS

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

EDGE = {"resnet18": 64, "resnet50": 64, "mobilenet_v2": 64, "unet": 48}  # smaller images where a network takes them
# Published numbers of weights, where the network is the paper's own (torchvision's pages have them).
WEIGHTS = {"resnet18": 11_689_512, "resnet50": 25_557_032, "mobilenet_v2": 3_504_872, "vgg16": 138_357_544}


@pytest.mark.parametrize("name", NETWORKS)
def test_torch_and_onnxruntime_read_the_same_network(name):
    network = NETWORKS[name]
    graph, inputs = network.graph(), network.inputs(2, EDGE.get(name))
    module = to_torch(graph, torch)
    if name in WEIGHTS:
        assert sum(p.numel() for p in module.parameters()) == WEIGHTS[name]
    with torch.no_grad():
        want = module(*(torch.from_numpy(each.copy()) for each in inputs))
    file = to_onnx(graph, onnx)
    onnx.checker.check_model(file)
    session = onnxruntime.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"])
    got = session.run(None, dict(zip(graph.inputs, inputs, strict=True)))
    want = want if isinstance(want, tuple) else (want,)
    assert len(got) == len(want)
    for ours, theirs in zip(got, want, strict=True):
        theirs = theirs.numpy()
        assert ours.shape == theirs.shape and theirs.std() > 1e-3
        assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_a_file_has_every_layer_as_a_node():
    file = to_onnx(NETWORKS["yolo_neck"].graph(), onnx)
    kinds = {node.op_type for node in file.graph.node}
    assert kinds == {"Conv", "BatchNormalization", "Sigmoid", "Mul", "Split", "Concat", "Resize", "Add"}
    file = to_onnx(NETWORKS["mobilenet_v2"].graph(), onnx)
    assert {"Clip", "Gemm", "GlobalAveragePool", "Flatten"} <= {node.op_type for node in file.graph.node}


def test_weights_are_the_same_each_time():
    one, other = (NETWORKS["dcgan"].graph() for _ in range(2))
    assert to_onnx(one, onnx).SerializeToString() == to_onnx(other, onnx).SerializeToString()


def test_the_module_learns_copies_and_pickles():
    network = NETWORKS["mobilenet_v2"]
    graph = network.graph()
    weight = graph.layers[0].weights["weight"].copy()
    module = to_torch(graph, torch).train()
    twin, again = copy.deepcopy(module), pickle.loads(pickle.dumps(module))
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    torch.nn.functional.cross_entropy(module(torch.randn(2, 3, 64, 64)), torch.tensor([3, 5])).backward()
    assert all(p.grad is not None for p in module.parameters())
    optimizer.step()
    assert np.array_equal(graph.layers[0].weights["weight"], weight)  # the description keeps its own
    for other in (twin, again):
        assert np.array_equal(next(other.parameters()).detach(), weight)
    assert not np.array_equal(next(module.parameters()).detach(), weight)
