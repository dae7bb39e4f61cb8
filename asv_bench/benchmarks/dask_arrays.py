"""Dask arrays: what a lazy call costs, and a convolution in chunks beside the whole one."""

import importlib.util

import numpy as np

CHUNKS = (256, 512, 1024)


class Lazy:
    """Making a graph, of which nothing is computed."""

    params = (["relu", "conv2d", "max_pool2d", "batch_norm"], [16, 256])
    param_names = ("operator", "blocks")

    def setup(self, operator, blocks):
        self.ops, da = _imported()
        side = int(blocks**0.5)
        self.x = da.zeros((1, 3, 64 * side, 64 * side), chunks=(1, 3, 64, 64), dtype=np.float32)
        self.more = {
            "relu": (), "conv2d": (np.ones((8, 3, 3, 3), np.float32), None, 1, 1), "max_pool2d": (3, 2, 1),
            "batch_norm": (None, None, None, None, True),
        }[operator]  # fmt: skip

    def time_graph(self, operator, blocks):
        getattr(self.ops, operator)(self.x, *self.more)


class Chunked:
    """conv2d of 1 x 16 x 2048 x 2048, in chunks on Dask's threads; a chunk of 0 is the call on the NumPy array."""

    params = [[0, *CHUNKS]]
    param_names = ("chunk",)
    timeout = 300

    def setup(self, chunk):
        self.ops, da = _imported()
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((1, 16, 2048, 2048), dtype=np.float32)
        self.weight = rng.standard_normal((16, 16, 3, 3), dtype=np.float32)
        self.lazy = (
            self.ops.conv2d(da.from_array(self.x, chunks=(1, 16, chunk, chunk)), self.weight, None, 1, 1)
            if chunk
            else None
        )
        self.time_conv2d(chunk)

    def time_conv2d(self, chunk):
        if chunk:
            self.lazy.compute(scheduler="threads")
        else:
            self.ops.conv2d(self.x, self.weight, None, 1, 1)


class ChunkedNetwork:
    """Convolutions from a file on 1 x 16 x 2048 x 2048, in chunks on Dask's threads; 0 is the NumPy array."""

    params = [[0, *CHUNKS]]
    param_names = ("chunk",)
    timeout = 300

    def setup(self, chunk):
        _, da = _imported()
        self.network = _network()
        x = np.random.default_rng(0).standard_normal((1, 16, 2048, 2048), dtype=np.float32)
        self.x = da.from_array(x, chunks=(1, 16, chunk, chunk)) if chunk else x
        self.time_network(chunk)

    def time_network(self, chunk):
        if chunk:
            self.network(self.x).compute(scheduler="threads")
        else:
            self.network(self.x)

    def time_graph(self, chunk):
        if not chunk:
            raise NotImplementedError("nothing is lazy")
        self.network(self.x)


def _network(layers=4):
    """3 x 3 convolutions one after the other, each with its activation."""
    if importlib.util.find_spec("onnx") is None or importlib.util.find_spec("fastops.onnx.blocks") is None:
        raise NotImplementedError("a fastops without networks on dask arrays")
    from onnx import TensorProto, helper, numpy_helper

    import fastops.onnx

    rng, nodes, weights, x = np.random.default_rng(0), [], [], "x"
    for i in range(layers):
        array = rng.standard_normal((16, 16, 3, 3), dtype=np.float32) / 12
        weights.append(numpy_helper.from_array(array, f"w{i}"))
        nodes.append(helper.make_node("Conv", [x, f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [x := f"r{i}"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in ("x", x)]
    graph = helper.make_graph(nodes, "convolutions", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return fastops.onnx.load(model)


def _imported():
    """(fastops, dask.array), where both are there and the one knows of the other."""
    if importlib.util.find_spec("dask") is None or importlib.util.find_spec("fastops") is None:
        raise NotImplementedError("dask is not installed")
    if importlib.util.find_spec("fastops.dask") is None:
        raise NotImplementedError("a fastops without dask arrays")
    import dask.array as da

    import fastops

    return fastops, da
