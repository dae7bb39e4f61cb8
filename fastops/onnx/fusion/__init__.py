"""What makes of many nodes few: rewrites that hold for every shape here, and those of a plan in their own files.

`fused` runs when a network is loaded: layer normalisations (`layer_norm.py`) and activations (`patterns.py`) that are
spelled out, constants into weights (`weights.py`).  When shapes are known, a plan's convolutions take in what comes
after them (`epilogue.py`), and what remains of element-wise operators runs in one pass each (`elementwise.py`).
"""

from ..graph import Graph
from .layer_norm import with_layer_norms
from .patterns import with_activations
from .weights import with_weights


def fused(graph: Graph) -> Graph:
    """The graph with fewer nodes, whose outputs are the same but for rounding."""
    return with_weights(with_activations(with_layer_norms(graph)))


__all__ = ["fused"]
