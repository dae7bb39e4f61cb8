"""The vectors of the CPU that numba compiles for."""

import platform

import llvmlite.binding
from numba.core import config


def _vector_unit() -> tuple[int, int]:
    """(bytes of a vector, number of vector registers)."""
    if config.CPU_FEATURES is not None:
        features = set(str(config.CPU_FEATURES).split(","))
    elif str(config.CPU_NAME or "host") != "host":
        features = set()
    else:
        features = {f"+{name}" for name, has in llvmlite.binding.get_host_cpu_features().items() if has}
    if "+avx512f" in features:
        return 64, 32
    if "+avx2" in features:
        return 32, 16
    return 16, 32 if "+neon" in features or platform.machine().lower() in ("arm64", "aarch64") else 16


VECTOR_BYTES, VECTOR_REGISTERS = _vector_unit()
CPU_NAME: str = llvmlite.binding.get_host_cpu_name()
