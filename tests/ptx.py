"""Compile CUDA kernels for a GPU that is not there, and read what ptxas says of them.

A dry run of fastops' functions on arrays without memory says which kernels are launched, with which types.
"""

import contextlib
import functools
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

CUDA = pytest.importorskip("fastops.cuda", reason="numba.cuda cannot be imported", exc_type=Exception)
from fastops.cuda import _launch  # noqa: E402

LARGEST = 2**62  # what a check finds in an array that is right


class Dry:
    """An array of the device, as far as a shape, a dtype and an address go."""

    def __init__(self, like: np.ndarray) -> None:
        self.like = like
        self.shape, self.dtype, self.size = like.shape, like.dtype, like.size

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        strides = None if self.like.flags.c_contiguous else self.like.strides
        pointer = self.like.__array_interface__["data"][0]
        return dict(shape=self.shape, typestr=self.dtype.str, data=(pointer, False), strides=strides, version=2)

    def reshape(self, shape: tuple[int, ...]) -> "Dry":
        return Dry(self.like.reshape(shape))


class Launch(NamedTuple):
    """A kernel and the types of its arguments."""

    kernel: Any
    types: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.kernel.name}({', '.join(map(str, self.types))})"

    @property
    def of_float32(self) -> bool:
        told = [str(each) for each in self.types]
        return any("float32" in each for each in told) and not any("float64" in each for each in told)


@contextlib.contextmanager
def dry_run() -> Iterator[list[Launch]]:
    """Functions of fastops take Dry arrays inside, and list what they would launch."""
    launches: list[Launch] = []

    def enqueue(kernel, place, blocks, threads, arguments):
        assert blocks > 0 and 0 < threads <= 1024
        launches.append(Launch(kernel, tuple(map(typeof, arguments))))

    stand_ins = dict(
        available=lambda: "",
        enqueue=enqueue,
        view=lambda pointer, size, dtype, owner: np.empty(size, dtype),
        new_array=lambda shape, dtype, stream: Dry(np.empty(shape, dtype)),
        fetch=lambda place, array: np.full(array.shape, LARGEST, np.float64).astype(array.dtype),
        on_device=lambda device: contextlib.nullcontext(),
        device_of=lambda array: 0,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, stand_in in stand_ins.items():
            patch.setattr(_launch, name, stand_in)
            for path, module in list(sys.modules.items()):  # those that imported it by name
                if path.startswith("fastops.cuda.") and hasattr(module, name):
                    patch.setattr(module, name, stand_in)
        yield launches


def typeof(value: Any) -> Any:
    if _launch.NVIDIA:
        from numba.cuda.typing.typeof import typeof as of
    else:
        from numba import typeof as of
    return of(value)


def of_kernel(launch: Launch, capability: tuple[int, int]) -> str:
    """The PTX of a launch for a device of this compute capability."""
    with _pretended(capability):
        return _launch.cuda.compile_ptx(launch.kernel.function, launch.types, device=False, cc=capability)[0]


@contextlib.contextmanager
def _pretended(capability: tuple[int, int]) -> Iterator[None]:
    """Device functions ask the device for its capability, numba-cuda asks the toolkit for those it knows."""
    from numba.cuda import dispatcher
    from numba.cuda.cudadrv import nvrtc

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=capability))
        if _launch.NVIDIA:
            from numba.cuda import cuda_paths

            patch.setattr(nvrtc, "get_arch_option", lambda major, minor, arch="": f"compute_{major}{minor}{arch}")
            absent = cuda_paths._env_path_tuple("absent", None)
            patch.setattr(cuda_paths, "_get_nvrtc_path", lambda: absent)
        yield


@functools.cache
def assembler() -> str | None:
    """Where ptxas is, if it is installed (as by nvidia-cuda-nvcc)."""
    import shutil
    import sysconfig

    packaged = sorted(Path(sysconfig.get_paths()["purelib"]).glob("nvidia/*/bin/ptxas"))
    return str(packaged[-1]) if packaged else shutil.which("ptxas")


def resources(ptx: str, capability: tuple[int, int]) -> dict[str, int]:
    """What ptxas -v reports of a kernel: registers, bytes of stack, spills and shared memory."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx)
        command = [assembler(), "-v", f"-arch=sm_{capability[0]}{capability[1]}", source, "-o", Path(folder) / "cubin"]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    patterns = dict(registers=r"Used (\d+) registers", stack=r"(\d+) bytes stack frame",
                    spill_stores=r"(\d+) bytes spill stores", spill_loads=r"(\d+) bytes spill loads",
                    shared=r"(\d+) bytes smem")  # fmt: skip
    return {name: max(map(int, re.findall(pattern, done.stderr)), default=0) for name, pattern in patterns.items()}
