"""Which algorithm makes which convolution: the one place that decides.

| algorithm | convolutions |
|---|---|
| whole | one pixel from or to a whole image: matrix products |
| depthwise | one input channel for each group, kernels of 3 x 3 and 5 x 5 |
| winograd | 3 x 3 with stride 1 and channels enough, by the times in costs.py |
| direct | everything |

Of the weight's gradient: whole, as above; grad_channels, where channels fill vectors; grad_rows, everything.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..._jit import VECTOR_BYTES
from ..simd.emit import lanes
from . import depthwise, direct, grad_channels, grad_rows, whole, winograd
from .costs import KEPT_WEIGHT, PLANE, PRODUCT, TILE, WEIGHT
from .outcome import Outcome
from .plan import sides

Algorithm = Callable[..., Outcome]


@lru_cache(maxsize=1024)
def choose(g: Any, transposed: bool, itemsize: int, fast: bool, kept: bool) -> Algorithm:
    """The fastest algorithm for a convolution of a geometry; ``kept``: transformed weights are at hand."""
    if whole.suits(g):
        return whole.convolve
    if depthwise.suits(g, transposed):
        return depthwise.convolve
    if not winograd.suits(g, transposed, itemsize):
        return direct.convolve
    costs = {direct.convolve: direct_cost(g, transposed, itemsize)}
    for m in (2, 4) if fast else (2,):
        costs[winograd.CONVOLVE[m]] = winograd_cost(g, transposed, itemsize, m, kept)
    return min(costs, key=costs.__getitem__)


def direct_cost(g: Any, transposed: bool, itemsize: int) -> float:
    """Nanoseconds of one core for the direct convolution of a 3 x 3 kernel: products alone."""
    s, width = sides(g, transposed), lanes(itemsize)
    pixels = -(-s.out_height * (s.out_width + 2) // width) * width  # rows of the padded buffer
    return PRODUCT * 9 * g.batch * pixels * s.channels * s.out_channels


def winograd_cost(g: Any, transposed: bool, itemsize: int, m: int, kept: bool) -> float:
    """Nanoseconds of one core for Winograd's convolution by tiles of m x m outputs."""
    s, width = sides(g, transposed), lanes(itemsize)
    tiles = -(-g.batch * (-(-s.out_height // m) + 1) * (-(-s.out_width // m) + 1) // width) * width
    pairs = s.channels * s.out_channels
    weights = (KEPT_WEIGHT if kept else WEIGHT)[m] * pairs
    products = PRODUCT * (m + 2) ** 2 * tiles * pairs
    transforms = TILE[m] * tiles * (s.channels + s.out_channels)
    return weights + products + transforms + PLANE * m * m * g.batch * s.channels


@lru_cache(maxsize=1024)
def choose_grad_weight(g: Any, itemsize: int) -> Callable[..., bool]:
    """The algorithm for the weight's gradient; whether what it makes is right even where it is not finite."""
    if whole.suits(g) and g.batch <= grad_rows.PIXELS:
        return whole.grad_weight
    if g.batch and VECTOR_BYTES > 16 and g.image_channels // g.groups >= lanes(itemsize):
        return grad_channels.grad_weight
    return grad_rows.grad_weight
