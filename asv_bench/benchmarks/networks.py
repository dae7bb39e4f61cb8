"""Whole networks: fastops's figures as shares of ONNX Runtime's and torch's, below 1 where fastops is the better one.

Each library has a process of its own and the same number of threads, and all are asked in turn, as `fastops compare
--suite networks` does it, that of the version which is measured. Older versions have none, and are skipped.
"""

import importlib
import tempfile
from pathlib import Path

from . import YARDSTICK

EFFORT = "small"  # of fastops.cli.networks
whole = importlib.import_module(f"{YARDSTICK}.whole")
CASES = {f"{each.name}, batch {each.batch}": each for each in whole.every()}


def measured(names):
    """The rows of these cases by name; none of what this version, or a package, lacks."""
    try:
        networks = importlib.import_module("fastops.cli.networks")
        importlib.import_module("fastops.onnx")
        threads = importlib.import_module("fastops._jit").thread_count()
    except (ImportError, AttributeError):
        return {}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            case = CASES[name]
            if case.name in networks.NETWORKS or networks.model_file(case.name):
                row = networks.row_of(case, threads, networks.EFFORT[EFFORT], Path(folder))
                if row.problem is None:
                    found[name] = row
    return found


def share(ours, theirs):
    """NaN, which asv draws as nothing, where one of them is missing."""
    return ours / theirs if ours and theirs else float("nan")


class Network:
    """All cases are measured once; each figure of theirs is a benchmark."""

    params = (tuple(CASES),)
    param_names = ("network",)

    def setup_cache(self):
        return measured(CASES)

    setup_cache.timeout = 7200  # type: ignore[attr-defined]

    def setup(self, rows, name):
        if name not in rows:
            raise NotImplementedError(f"{name} was not measured")
        self.row = rows[name]

    def track_share_of_onnxruntime(self, rows, name):
        return share(1, self.row.onnx_ratio)

    def track_fast_share_of_onnxruntime(self, rows, name):
        return share(1, self.row.fast_ratio)

    def track_share_of_torch(self, rows, name):
        return share(1, self.row.torch_ratio)

    def track_memory_share_of_onnxruntime(self, rows, name):
        return share(self.row.peak_bytes, self.row.onnx_peak_bytes)

    def track_first_answer_share_of_onnxruntime(self, rows, name):
        return share(self.row.first_seconds, self.row.onnx_first_seconds)

    track_share_of_onnxruntime.unit = track_fast_share_of_onnxruntime.unit = "fastops / onnxruntime"  # type: ignore
    track_memory_share_of_onnxruntime.unit = "fastops / onnxruntime"  # type: ignore[attr-defined]
    track_first_answer_share_of_onnxruntime.unit = "fastops / onnxruntime"  # type: ignore[attr-defined]
    track_share_of_torch.unit = "fastops / torch"  # type: ignore[attr-defined]
