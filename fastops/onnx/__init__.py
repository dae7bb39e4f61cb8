"""Trained networks from ONNX files, on NumPy and CuPy arrays: fastops.onnx.load(file)(x)."""

try:
    import onnx as _reader  # noqa: F401
except ImportError as trouble:
    raise ImportError(
        f"fastops.onnx reads files by the package onnx, which cannot be imported ({trouble}): "
        "install fastops with its extra onnx"
    ) from trouble

from .backend import Backend
from .network import Network, load
from .profile import Profile

__all__ = ["Backend", "Network", "Profile", "load"]
