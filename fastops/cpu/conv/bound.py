"""A convolution of the same arrays again and again, as a network's: what each call would look up is looked up once.

The algorithm, its plan, the layout of the arrays and what comes after the products took 3 us a call while they were in
the caches, and twice that after a kernel.  An algorithm that makes a convolution by one kernel, with no memory of its
own, has beside its ``convolve`` a

    bind(out, input, weight, bias, g, kept, finish) -> (kernel, work, arguments) or None

whose kernel returns how many parts came out in a way that has to be looked at.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from . import blocked, depthwise, depthwise_channels, direct
from .choose import choose
from .finish import Finish, finish_of

_BIND = {each.convolve: each.bind for each in (direct, blocked, depthwise, depthwise_channels)}


def bound_conv2d(
    conv2d: Callable[..., None], out: Any, input: Any, weight: Any, bias: Any, g: Any, fast: bool, kept: Any,
    add: Any = None, activation: Any = None,
) -> Callable[[], None] | None:  # fmt: skip
    """What does the same as ``conv2d`` with these arguments, again and again; None where nothing is gained.

    Where outputs are infinite or NaN it is ``conv2d`` that makes them, again; so ``add`` must not be overwritten.
    """
    bind = _BIND.get(choose(g, False, out.itemsize, fast, kept is not None))
    if bind is None or kept is None or not out.size or (add is not None and np.may_share_memory(out, add)):
        return None
    begin = np.zeros(g.map_channels, out.dtype) if bias is None else bias
    finish, left = (Finish(begin), None) if add is None and activation is None else finish_of(begin, add, activation)
    found = None if left is not None else bind(out, input, weight, begin, g, kept, finish)
    if found is None:
        return None
    kernel, work, arguments = found

    def convolve_again() -> None:
        if kernel(work)(*arguments):
            conv2d(out, input, weight, bias, g, fast, kept, add, activation)

    return convolve_again
