"""The libraries whose arrays come in: CuPy, torch, numba, its simulator, and others by ``__cuda_array_interface__``.

A library and a device make a *place*: how to read its arrays, make new ones, and find the stream it uses now.
"""

import sys
from math import prod
from typing import Any

import numpy as np

from . import _launch
from ._gather import gather
from ._launch import Operand


class Memory:
    """Where an array lies: what every library tells of its arrays."""

    __slots__ = ("dtype", "pointer", "shape", "strides", "writeable")

    aligned = True  # others are refused as they come in

    def __init__(self, pointer: int, shape: tuple[int, ...], strides: Any, dtype: Any, writeable: bool = True) -> None:
        self.pointer, self.shape, self.dtype, self.writeable = pointer, shape, dtype, writeable
        self.strides = strides  # in bytes, None for C order

    def contiguous(self) -> bool:
        """Whether the elements lie one after the other in C order."""
        if self.strides is None or 0 in self.shape:
            return True
        step = self.dtype.itemsize
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1 and stride != step:
                return False
            step *= size
        return True

    def broadcast(self, shape: tuple[int, ...]) -> "Memory":
        """The memory as an array of ``shape``, whose new dimensions have stride 0."""
        steps = self.strides
        if steps is None:
            steps = [prod(self.shape[i + 1 :]) * self.dtype.itemsize for i in range(len(self.shape))]
        before = len(shape) - len(self.shape)
        strides = tuple(
            0 if i < before or self.shape[i - before] != size else steps[i - before] for i, size in enumerate(shape)
        )
        return Memory(self.pointer, shape, strides, self.dtype)

    def extent(self) -> tuple[int, int]:
        """(address of the first byte, address after the last one)."""
        if 0 in self.shape:
            return self.pointer, self.pointer
        if self.strides is None:
            return self.pointer, self.pointer + prod(self.shape) * self.dtype.itemsize
        reach = [(size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True)]
        first, last = sum(min(r, 0) for r in reach), sum(max(r, 0) for r in reach)
        return self.pointer + first, self.pointer + last + self.dtype.itemsize


class Place:
    """Arrays by ``__cuda_array_interface__``; the results are numba's own."""

    name = "numba.cuda device array"

    def __init__(self, device: int, stream: int = 0) -> None:
        self.device, self.own_stream = device, stream

    def __str__(self) -> str:
        return f"a {self.name} on device {self.device}"

    def stream(self) -> int:
        return self.own_stream

    def memory(self, native: Any) -> Memory:
        told = native.__cuda_array_interface__
        stream = told.get("stream")
        if stream is not None and stream != self.own_stream:
            _launch.wait(stream)
        pointer, read_only = told["data"]
        return Memory(pointer or 0, tuple(told["shape"]), told.get("strides"), np.dtype(told["typestr"]), not read_only)

    def empty(self, shape: Any, dtype: Any) -> Any:
        with _launch.on_device(self.device):
            return _launch.new_array(shape, dtype, self.own_stream)

    def view(self, native: Any, pointer: int, size: int, dtype: Any) -> Any:
        """So many elements from an address on, inside the native array's memory, for kernels."""
        with _launch.on_device(self.device):
            return _launch.view(pointer, size, dtype, native)

    def lend(self, native: Any) -> Operand:
        """A contiguous array as kernels take it."""
        return self._operand(native, self.memory(native))

    def operand(self, native: Any, shape: tuple[int, ...] | None = None) -> Operand:
        """The same for any array, of which it makes a contiguous copy if need be, broadcast to ``shape`` if given."""
        memory = self.memory(native)
        if shape is not None and shape != memory.shape:
            memory = memory.broadcast(shape)
        if memory.contiguous():
            return self._operand(native, memory)
        source, offset, steps = self.span(native, memory)
        copy = self.lend(self.empty(memory.shape, memory.dtype))
        gather(self, copy, source, offset, memory.shape, steps)
        return copy

    def span(self, native: Any, memory: Memory) -> tuple[Operand, int, tuple[int, ...]]:
        """All memory between an array's first and last element, where its element 0 is there, and its steps."""
        (first, end), itemsize = memory.extent(), memory.dtype.itemsize
        size = (end - first) // itemsize
        flat = self.view(native, first, size, memory.dtype)
        steps = tuple(stride // itemsize for stride in memory.strides)
        return Operand(native, flat, first, (size,), memory.dtype, self), (memory.pointer - first) // itemsize, steps

    def _operand(self, native: Any, memory: Memory) -> Operand:
        flat = self.view(native, memory.pointer, prod(memory.shape), memory.dtype)
        return Operand(native, flat, memory.pointer, memory.shape, memory.dtype, self)


class CuPy(Place):
    """CuPy's arrays, on CuPy's current stream, from CuPy's memory pool."""

    name = "CuPy array"

    def stream(self) -> int:
        return int(sys.modules["cupy"].cuda.get_current_stream().ptr)

    def memory(self, native: Any) -> Memory:
        strides = None if native.flags.c_contiguous else native.strides
        return Memory(native.data.ptr, native.shape, strides, native.dtype)

    def empty(self, shape: Any, dtype: Any) -> Any:
        cupy = sys.modules["cupy"]
        if cupy.cuda.runtime.getDevice() == self.device:
            return cupy.empty(shape, dtype)
        with cupy.cuda.Device(self.device):
            return cupy.empty(shape, dtype)


class Torch(Place):
    """Torch's CUDA tensors, on torch's current stream, from torch's allocator."""

    name = "torch CUDA tensor"

    def stream(self) -> int:
        return int(sys.modules["torch"].cuda.current_stream(self.device).cuda_stream)

    def memory(self, native: Any) -> Memory:
        if native.requires_grad:
            raise TypeError("it requires grad, which fastops would not follow; call .detach() on it first")
        dtype = np.dtype(str(native.dtype).removeprefix("torch."))
        strides = None if native.is_contiguous() else tuple(step * dtype.itemsize for step in native.stride())
        return Memory(native.data_ptr(), tuple(native.shape), strides, dtype)

    def empty(self, shape: Any, dtype: Any) -> Any:
        torch = sys.modules["torch"]
        shape = shape if isinstance(shape, tuple) else (shape,)
        return torch.empty(shape, dtype=getattr(torch, np.dtype(dtype).name), device=f"cuda:{self.device}")


class Simulator(Place):
    """The arrays of numba's CUDA simulator, which are NumPy's underneath."""

    name = "simulated device array"

    def memory(self, native: Any) -> Memory:
        array = native._ary
        return Memory(
            array.__array_interface__["data"][0], array.shape, array.strides, array.dtype, array.flags.writeable
        )


def place_of(array: Any) -> Place | None:
    """Whose array it is, or None for one of another kind."""
    cupy, torch = sys.modules.get("cupy"), sys.modules.get("torch")
    if cupy is not None and isinstance(array, cupy.ndarray):
        return CuPy(array.device.id)
    if torch is not None and isinstance(array, torch.Tensor):
        return Torch(array.device.index)
    if _launch.SIMULATED:
        return Simulator(0) if hasattr(array, "__cuda_ndarray__") else None
    if hasattr(array, "__cuda_array_interface__"):
        stream = array.__cuda_array_interface__.get("stream")
        return Place(_launch.device_of(array), stream or 0)
    return None


def to_cupy(op: str, array: Any, device: int) -> Any:
    """The array as CuPy's on a device, -1 for the current one; itself if it is there."""
    try:
        import cupy  # who wants its arrays may not have imported it yet
    except Exception as trouble:  # not installed, or broken in ways of its own
        raise TypeError(
            f"{op}: device='cuda' needs CuPy, which cannot be imported ({type(trouble).__name__}); "
            "install fastops with its extra cuda13 (or cuda12)"
        ) from None
    try:
        if device < 0:
            return cupy.asarray(array)
        with cupy.cuda.Device(device):
            return cupy.asarray(array)
    except Exception as trouble:  # no driver, or no such device
        raise ValueError(
            f"{op}: device expects one that CuPy can use, got trouble: {trouble}".splitlines()[0]
        ) from None


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """A copy of a CUDA array on the host."""
    place = place_of(array)
    assert place is not None
    operand = place.operand(array)
    return _launch.fetch(place, operand.native).reshape(operand.shape)
