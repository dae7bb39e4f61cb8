"""What each operator of ONNX does: one table, filled by the files of this folder."""

from . import activations, arithmetic, convolutions, moves, normalize, pools, products, reduce, resize, shapes
from .table import OPERATORS, Bindable, Call, Operator, Step

__all__ = [
    "OPERATORS", "Bindable", "Call", "Operator", "Step", "activations", "arithmetic", "convolutions", "moves",
    "normalize", "pools", "products", "reduce", "resize", "shapes",
]  # fmt: skip
