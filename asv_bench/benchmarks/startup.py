"""What a user waits for before the first result; each sample is a process of its own."""

import importlib.util

ARRAYS = "import numpy as np\nx = np.ones((8, 64, 56, 56), np.float32)\nweight = x[:, :, :3, :3].copy()"
FIRST_CALLS = {
    "relu": "fastops.relu(x)",
    "softmax": "fastops.softmax(x, 1)",
    "max_pool2d": "fastops.max_pool2d(x, 2)",
    "conv2d": "fastops.conv2d(x, weight)",
}
KERNELS = {"cached": "1", "compiled": "0"}  # FASTOPS_CACHE


class Import:
    params = ("fastops", "torch")
    param_names = ("library",)
    number = 1

    def setup(self, library):
        if importlib.util.find_spec(library) is None:
            raise NotImplementedError(f"{library} is not installed")

    def timeraw_import(self, library):
        return f"import {library}"


class FirstCall:
    """The first call of an operator in a process, with its kernels in the cache on disk and without."""

    params = (tuple(FIRST_CALLS), tuple(KERNELS))
    param_names = ("operator", "kernels")
    number = 1
    timeout = 600

    def setup(self, operator, kernels):
        if kernels == "cached":
            exec(f"import fastops\n{ARRAYS}\n{FIRST_CALLS[operator]}", {})  # fills the cache for the samples' processes

    def timeraw_first_call(self, operator, kernels):
        setup = f"import os\nos.environ['FASTOPS_CACHE'] = '{KERNELS[kernels]}'\nimport fastops\n{ARRAYS}"
        return FIRST_CALLS[operator], setup
