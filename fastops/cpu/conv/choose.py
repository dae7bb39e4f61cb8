"""Which algorithm makes which convolution: the one place that decides.

| algorithm | convolutions |
|---|---|
| whole | one pixel from or to a whole image: matrix products |
| depthwise | one input channel for each group, kernels of 3 x 3 and 5 x 5, rows that fill vectors |
| depthwise_channels | one channel for each group, whatever is left |
| winograd | 3 x 3 with stride 1 and channels enough |
| dilated | the same with a dilation |
| direct, blocked | everything |

Where more than one is able, the one that costs least by the times in costs.py.  Of the weight's gradient: whole and
depthwise_channels, as above; grad_channels, where channels fill vectors; grad_rows, everything.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..._jit import VECTOR_BYTES
from ..simd.emit import lanes
from . import blocked, depthwise, depthwise_channels, dilated, direct, grad_channels, grad_rows, whole, winograd
from .costs import BLOCKED, DILATED, DIRECT, WINOGRAD
from .outcome import Outcome
from .plan import sides

Algorithm = Callable[..., Outcome]


@lru_cache(maxsize=1024)
def choose(g: Any, transposed: bool, itemsize: int, fast: bool, kept: bool) -> Algorithm:
    """The fastest algorithm for a convolution of a geometry; ``kept``: a layer keeps transformed weights."""
    if whole.suits(g):
        return whole.convolve
    # Rows of 14 pixels of 16 lanes take 0.7 times as long by rows, of 7 pixels 1.6 times.
    if depthwise.suits(g, transposed) and 2 * sides(g, transposed).out_width > lanes(itemsize):
        return depthwise.convolve
    if depthwise_channels.suits(g, transposed, itemsize):
        return depthwise_channels.convolve
    nanoseconds = costs(g, transposed, itemsize, fast, kept)
    return min(nanoseconds, key=nanoseconds.__getitem__)


def costs(g: Any, transposed: bool, itemsize: int, fast: bool, kept: bool) -> dict[Algorithm, float]:
    """What a convolution costs by each algorithm for many pixels that is able: nanoseconds of one core."""
    found = {
        direct.convolve: _sum(DIRECT, direct.parts(g, transposed, itemsize, kept)),
        blocked.convolve: _sum(BLOCKED, blocked.parts(g, transposed, itemsize, kept)),
    }
    for each in (winograd, dilated):
        if each.suits(g, transposed, itemsize):
            for m in (2, 4) if fast else (2,):
                found[each.CONVOLVE[m]] = _sum(WINOGRAD[m] | DILATED, each.parts(m, g, transposed, itemsize, kept))
    return found


def _sum(costs: dict[str, float], parts: dict[str, float]) -> float:
    return sum(costs[part] * count for part, count in parts.items())


@lru_cache(maxsize=1024)
def choose_grad_weight(g: Any, itemsize: int) -> Callable[..., bool]:
    """The algorithm for the weight's gradient; whether what it makes is right even where it is not finite."""
    if whole.suits(g) and g.batch <= grad_rows.PIXELS:
        return whole.grad_weight
    if g.batch and depthwise_channels.suits(g, False, itemsize):
        return depthwise_channels.grad_weight
    if g.batch and VECTOR_BYTES > 16 and g.image_channels // g.groups >= lanes(itemsize):
        return grad_channels.grad_weight
    return grad_rows.grad_weight
