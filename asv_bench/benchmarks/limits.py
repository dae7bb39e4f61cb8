"""How near the machine's limits: arithmetic beside its peak of multiply-adds, bytes beside its copy, memory in all.

Both limits are measured in the process that measures the operator, with the same threads, so that what slows the
machine slows both. How, and what a case needs, is in fastops/yardstick/limits.py of this checkout.
"""

import importlib

import numpy as np

from . import YARDSTICK, on, suite

limits = importlib.import_module(f"{YARDSTICK}.limits")

CONVOLUTIONS = [each for each in suite.FORWARD if each.case.operator in suite.CONVOLUTIONS]
LARGE = [each for each in suite.FORWARD if each.family == "large"]


class Arithmetic(on([each for each in CONVOLUTIONS if each.dtype == "float32"])):
    """A convolution's multiplications and additions, by the definition: Winograd may come out above 1."""

    def track_share_of_peak_gflops(self, library, name, device="cpu"):
        needed = limits.operations(self.cases[name].case, self.arrays, np.asarray(self.result))
        return needed / limits.seconds(self.call) / limits.peak_operations()

    track_share_of_peak_gflops.unit = "share"


class Bandwidth(on(LARGE)):
    """The bytes of the arguments and of the results, each once; the results are new arrays each time."""

    def track_share_of_copy_gbs(self, library, name, device="cpu"):
        results = self.result if isinstance(self.result, tuple) else (self.result,)
        needed = limits.bytes_moved(self.arrays, [np.asarray(each) for each in results])
        return needed / limits.seconds(self.call) / limits.peak_bytes()

    track_share_of_copy_gbs.unit = "share"


class Memory(on(LARGE)):
    """The most that the process has held, both libraries and the making of the arrays included."""

    def peakmem_call(self, library, name, device="cpu"):
        self.call()
