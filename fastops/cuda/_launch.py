"""Grids, streams and numba's CUDA package: the one room that knows them.

Works with numba's own ``numba.cuda``, with NVIDIA's ``numba-cuda``, which replaces it under the same name, and with the
simulator of both (``NUMBA_ENABLE_CUDASIM=1``).
"""

import contextlib
import functools
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any, Protocol

import numpy as np
from numba.core import config
from numba.core.errors import NumbaPerformanceWarning

SIMULATED = bool(config.ENABLE_CUDASIM)

# numba-cuda 0.30 looks np.row_stack up while it is imported, and NumPy 2.5 has it no more.
_lacks_row_stack = not hasattr(np, "row_stack")
if _lacks_row_stack:
    np.row_stack = np.vstack  # type: ignore[attr-defined, unused-ignore]
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # which numba-cuda 0.30 meets in NumPy 2.5
        from numba import cuda as cuda

        NVIDIA = "numba_cuda" in cuda.__file__
        if SIMULATED:  # which runs Python
            from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

            compiler: Any = None
        elif NVIDIA:
            from numba.cuda import types as cuda_types
            from numba.cuda.extending import intrinsic as cuda_intrinsic
            from numba.cuda.np.arrayobj import make_array as cuda_make_array

            compiler = cuda_intrinsic, cuda_make_array, cuda_types
        else:
            from numba.core import types
            from numba.extending import intrinsic
            from numba.np.arrayobj import make_array

            compiler = intrinsic, make_array, types
finally:
    if _lacks_row_stack:
        del np.row_stack  # type: ignore[attr-defined, unused-ignore]

THREADS = 32 if SIMULATED else 256
"""Threads of a block, a power of two: numba's simulator makes each of them a thread of the operating system."""

device = cuda.jit(device=True)
"""Compile a function that kernels call, where no @scalar of the CPU's serves."""


class Target(Protocol):
    """A library's arrays on a device: what a launch has to know of them."""

    device: int

    def lend(self, native: Any) -> "Operand":
        """A contiguous array of the library as kernels take it."""

    def stream(self) -> int:
        """The address of the stream that the library's calls are put on now, 0 for the default one."""


class Operand:
    """A contiguous array as the operators see it: the native one, what is known of it, and a view for kernels."""

    __slots__ = ("dtype", "flat", "native", "place", "pointer", "shape", "size")

    def __init__(
        self, native: Any, flat: Any, pointer: int, shape: tuple[int, ...], dtype: np.dtype[Any], place: Any
    ) -> None:
        self.native, self.flat, self.pointer = native, flat, pointer
        self.shape, self.dtype, self.place = shape, dtype, place
        self.size: int = flat.size


_NUMBERS = frozenset({int, float, bool, tuple, *(np.dtype(code).type for code in "?bBhHiIlLqQfd")})


class Kernel:
    """A ``@cuda.jit`` kernel and how it is started.

    Arrays reach it flat: of one dimension, contiguous.  They may be Operands or arrays of the Operands' library.
    """

    __slots__ = ("compiled", "float64", "function", "name")

    def __init__(self, function: FunctionType, float64: bool) -> None:
        self.name = f"{function.__module__.removeprefix('fastops.')}.{function.__name__}"
        self.function, self.float64 = function, float64
        self.compiled = cuda.jit(function)
        kernels.append(self)

    def threads(self, place: Target, count: int, *arguments: Any) -> None:
        """Run at least so many threads, in blocks of ``THREADS``; none for 0."""
        self.blocks(place, -(-count // THREADS), THREADS, *arguments)

    def blocks(self, place: Target, count: int, threads: int, *arguments: Any) -> None:
        """Run so many blocks of so many threads; none for 0."""
        if count:
            ready = [
                a.flat if type(a) is Operand else a if type(a) in _NUMBERS else place.lend(a).flat for a in arguments
            ]
            enqueue(self, place, count, threads, ready)


kernels: list[Kernel] = []
"""Every kernel of the package's CUDA side."""


def kernel(function: Any = None, *, float64: bool = False) -> Any:
    """Compile an explicit-loop kernel for CUDA, at its first launch.

    ``float64``: on float32 arrays too it computes something in float64, such as a sum.  Other kernels must not, which
    the tests hold: numba makes a float64 of ``float32 * 2`` and of ``float32 + int32``.
    """
    if function is None:
        return lambda function: Kernel(function, float64)
    return Kernel(function, float64)


# ----------------------------------------------------------------------------------------- what needs a driver


@functools.lru_cache(maxsize=1)
def available() -> str:
    """Why no kernel can run here, or nothing."""
    if SIMULATED:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "" if cuda.is_available() else "no CUDA driver or no device is found"
    except Exception as trouble:  # a broken toolkit may raise anything
        return f"the CUDA packages fail ({type(trouble).__name__})"


def found() -> str:
    """What CUDA there is, or "no:" and what is missing."""
    by = "numba-cuda" if NVIDIA else "numba.cuda"
    if SIMULATED:
        return f"numba's simulator ({by})"
    trouble = available()
    if trouble:
        return f"no: {trouble}".splitlines()[0]
    devices = [f"{gpu.name.decode() if isinstance(gpu.name, bytes) else gpu.name}" for gpu in cuda.gpus]
    return f"{', '.join(devices)} (by {by})"


def enqueue(kernel: Kernel, place: Target, blocks: int, threads: int, arguments: list[Any]) -> None:
    """Start a kernel on the device and the stream of ``place``."""
    if SIMULATED:
        kernel.compiled[blocks, threads](*arguments)
    else:
        with on_device(place.device):
            _launcher(kernel, blocks, threads, place.stream())(*arguments)


def view(pointer: int, size: int, dtype: np.dtype[Any], owner: Any) -> Any:
    """Device memory as a one-dimensional array that kernels take; it keeps ``owner`` alive."""
    interface = dict(shape=(size,), strides=None, typestr=dtype.str, data=(pointer, False), version=3)
    if SIMULATED:
        return FakeCUDAArray(np.asarray(_ArrayInterface(interface, owner)))
    return cuda.from_cuda_array_interface(interface, owner=owner, sync=False)


class _ArrayInterface:
    """What NumPy needs to make a view of memory; keeps its owner alive."""

    def __init__(self, interface: dict[str, Any], owner: Any) -> None:
        self.__array_interface__, self.owner = interface, owner


def new_array(shape: tuple[int, ...], dtype: Any, stream: int) -> Any:
    """A device array of numba's own."""
    return cuda.device_array(shape, dtype) if SIMULATED else cuda.device_array(shape, dtype, stream=_stream(stream))


def fetch(place: Target, array: Any) -> np.ndarray[Any, Any]:
    """A copy on the host, after everything on the stream: the one wait that operators have."""
    flat = (array if type(array) is Operand else place.lend(array)).flat
    if SIMULATED:
        return np.asarray(flat.copy_to_host())
    with on_device(place.device):
        stream = _stream(place.stream())
        copied = flat.copy_to_host(stream=stream)
        stream.synchronize()
        return np.asarray(copied)


def on_device(device: int) -> contextlib.AbstractContextManager[Any]:
    """Make a device the current one."""
    return contextlib.nullcontext() if SIMULATED or _devices() == 1 else cuda.gpus[device]


def wait(stream: int) -> None:
    """Wait for a stream."""
    _stream(stream).synchronize()


@functools.lru_cache(maxsize=1)
def _devices() -> int:
    return len(cuda.gpus)


@functools.lru_cache(maxsize=1024)
def _launcher(kernel: Kernel, blocks: int, threads: int, stream: int) -> Callable[..., None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumbaPerformanceWarning)  # a small array makes a small grid
        return kernel.compiled[blocks, threads, _stream(stream)]  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=64)
def _stream(pointer: int) -> Any:
    return cuda.external_stream(pointer) if pointer else cuda.default_stream()


def device_of(array: Any) -> int:
    """The number of the device that an array of numba's, or of a library that does not tell, lies on."""
    context = getattr(getattr(array, "gpu_data", None), "context", None)
    return int((context or cuda.current_context()).device.id)
