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


def _imported():
    """(fastops, dask.array), where both are there and the one knows of the other."""
    if importlib.util.find_spec("dask") is None or importlib.util.find_spec("fastops") is None:
        raise NotImplementedError("dask is not installed")
    if importlib.util.find_spec("fastops.dask") is None:
        raise NotImplementedError("a fastops without dask arrays")
    import dask.array as da

    import fastops

    return fastops, da
