"""What makes of many nodes few: rewrites that hold for every shape here, and those of a plan in their own files.

`fused` runs when a network is loaded: activations that are spelled out (`patterns.py`), constants into weights
(`weights.py`).  When shapes are known, a plan's convolutions take in what comes after them (`epilogue.py`), and what
remains of element-wise operators runs in one pass each (`elementwise.py`).
"""

from ..graph import Graph
from .patterns import with_activations
from .weights import with_weights


def fused(graph: Graph) -> Graph:
    """The graph with fewer nodes, whose outputs are the same but for rounding."""
    return with_weights(with_activations(graph))


__all__ = ["fused"]
