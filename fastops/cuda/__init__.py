"""The CUDA backend, which this version does not have yet: it says so."""

from typing import NoReturn


def refuse(op: str, name: str) -> NoReturn:
    """Refuse a CUDA array in a sentence that says what to do instead."""
    raise TypeError(
        f"{op}: {name} is a CUDA array, and this version of fastops has no CUDA kernels yet; "
        "copy it to a NumPy array first (cupy.asnumpy(x), or x.cpu().numpy() for a torch tensor)"
    )
