"""Where `fastops compare` and asv_bench run the operators: on the CPU, or on a CUDA device beside torch's kernels.

It imports neither CuPy nor torch by itself.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = Any


def same(value: Any) -> Any:
    """The value as it is."""
    return value


class Device(NamedTuple):
    """How arrays get to a device and back, and how to wait for it."""

    name: str
    put: Callable[[Any], Any] = same  # a NumPy array as the array that fastops takes there
    take: Callable[[Any], Any] = same  # the reverse
    wait: Callable[[], Any] | None = None  # for everything that was started there

    def tensor(self, array: Array, torch: Any) -> Any:
        """A copy for torch, of the same layout: batch_norm writes into its running statistics."""
        copy = torch.from_numpy(array).clone()
        return copy if self.name == "cpu" else copy.to(self.name)

    def put_all(self, values: Any) -> tuple[Any, ...]:
        """NumPy arrays among the values, and in lists of them, put on the device."""
        return tuple(self.put_all(v) if isinstance(v, tuple) else self._put(v) for v in values)

    def _put(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._put(each) for each in value]
        return self.put(value) if isinstance(value, np.ndarray) else value

    def take_all(self, value: Any) -> Any:
        """Arrays, one or a tuple of them, as NumPy's."""
        return tuple(map(self.take_all, value)) if isinstance(value, tuple) else self.take(value)


CPU = Device("cpu")


def cuda(cupy: Any) -> Device:
    """The current CUDA device, with CuPy's arrays."""
    return Device("cuda", cupy.asarray, cupy.asnumpy, cupy.cuda.runtime.deviceSynchronize)
