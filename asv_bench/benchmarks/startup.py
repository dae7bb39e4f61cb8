"""What a user waits for before the first result; each sample is a process of its own."""

import importlib
import importlib.util
import tempfile
from pathlib import Path

from . import LIBRARIES, YARDSTICK

ARRAYS = {
    "fastops": "import numpy\nx = numpy.ones((8, 64, 56, 56), numpy.float32)\nweight = x[:, :, :3, :3].copy()",
    "torch": "x = torch.ones((8, 64, 56, 56))\nweight = x[:, :, :3, :3].clone()\nops = torch.nn.functional",
}
IMPORT = {"fastops": "import fastops\nops = fastops", "torch": "import torch"}
FIRST_CALLS = {
    "relu": "ops.relu(x)",
    "sigmoid": "ops.sigmoid(x)",
    "dropout": "ops.dropout(x, 0.5)",
    "mse_loss": "ops.mse_loss(x, x)",
    "avg_pool2d": "ops.avg_pool2d(x, 2)",
    "batch_norm": "ops.batch_norm(x, None, None, training=True)",
    "conv_transpose2d": "ops.conv_transpose2d(x, weight)",
    "softmax": "ops.softmax(x, 1)",
    "max_pool2d": "ops.max_pool2d(x, 2)",
    "conv2d": "ops.conv2d(x, weight)",
}
WARM, COLD = "warm", "cold"  # the cache of compiled kernels on disk
FASTOPS_CACHE = {WARM: "1", COLD: "0"}


NETWORKS = ("resnet18", "mobilenet_v2")
RUN = {
    "fastops": ("import fastops.onnx", "fastops.onnx.load({file!r})(x)"),
    "onnxruntime": (
        "import onnxruntime",
        "onnxruntime.InferenceSession({file!r}, providers=['CPUExecutionProvider']).run(None, {{'input_0': x}})",
    ),
}


def skip_what_is_missing(library, cache=WARM):
    if importlib.util.find_spec(library) is None:
        raise NotImplementedError(f"{library} is not installed")
    if library == "torch" and cache == COLD:
        raise NotImplementedError("torch compiles nothing")


def preparation(library, cache):
    return f"import os\nos.environ['FASTOPS_CACHE'] = '{FASTOPS_CACHE[cache]}'\n{IMPORT[library]}\n{ARRAYS[library]}"


class Import:
    params = LIBRARIES
    param_names = ("library",)
    number = 1

    def setup(self, library):
        skip_what_is_missing(library)

    def timeraw_import(self, library):
        return f"import {library}"


class Warmup:
    """Every kernel compiled into an empty cache, by `fastops warmup`."""

    number = repeat = rounds = 1
    warmup_time = 0
    timeout = 1800

    def timeraw_warmup(self):
        prepare = "import os, tempfile\nos.environ['NUMBA_CACHE_DIR'] = tempfile.mkdtemp()"
        code = "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'fastops', 'warmup'], check=True)"
        return code, prepare


class FirstCall:
    """The first call of an operator in a process, alone and with the import, its kernels in the cache or not."""

    params = (LIBRARIES, tuple(FIRST_CALLS), (WARM, COLD))
    param_names = ("library", "operator", "cache")
    number = 1
    timeout = 600

    def setup(self, library, operator, cache):
        skip_what_is_missing(library, cache)
        if library == "fastops" and cache == WARM:
            exec(f"{IMPORT[library]}\n{ARRAYS[library]}\n{FIRST_CALLS[operator]}", {})  # fills it for the samples

    def timeraw_first_call(self, library, operator, cache):
        return FIRST_CALLS[operator], preparation(library, cache)

    def timeraw_import_and_first_call(self, library, operator, cache):
        return f"{preparation(library, cache)}\n{FIRST_CALLS[operator]}"


class FirstAnswer:
    """From a network's file to its first answer, kernels in the cache; the import is not counted."""

    params = (tuple(RUN), NETWORKS)
    param_names = ("library", "network")
    number = 1
    timeout = 600

    def setup(self, library, network):
        for package in ("onnx", library):
            skip_what_is_missing(package)
        if library == "fastops" and importlib.util.find_spec("fastops.onnx") is None:
            raise NotImplementedError("this version has no fastops.onnx")
        networks, graphs = (importlib.import_module(f"{YARDSTICK}.{name}") for name in ("networks", "graphs"))
        self.file = Path(tempfile.gettempdir()) / f"fastops-{network}.onnx"
        if not self.file.exists():
            model = graphs.to_onnx(networks.NETWORKS[network].graph(), importlib.import_module("onnx"))
            self.file.write_bytes(model.SerializeToString())
        code, prepare = self.timeraw_load_and_first_call(library, network)
        exec(f"{prepare}\n{code}", {})  # fills the cache for the samples

    def timeraw_load_and_first_call(self, library, network):
        load, run = RUN[library]
        prepare = f"import numpy\n{load}\nx = numpy.ones((1, 3, 224, 224), numpy.float32)"
        return run.format(file=str(self.file)), prepare
