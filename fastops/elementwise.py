"""relu, sigmoid and dropout: what is promised."""

import os
from typing import Any

import numpy as np

from . import _arrays, _shapes
from ._arrays import Array


def relu(input: Array, *, out: Array | None = None) -> Array:
    """max(x, 0) of each element.

    Parameters
    ----------
    input : array of any shape
        float32 or float64.
    out : array, optional
        A writable C-contiguous array of the input's shape and dtype to fill and return; it may be the input itself.

    Returns
    -------
    array of the input's shape and dtype

    Raises
    ------
    TypeError
        The input is not an array of float32 or float64.
    ValueError
        ``out`` does not fit.

    Notes
    -----
    NaN stays NaN.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.relu.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.relu(np.array([-1.0, 0.5, np.nan]))
    array([0. , 0.5, nan])
    """
    on, x = _arrays.enter("relu", input=input)
    out = _arrays.output("relu", on, out, x.shape, x, input, may_be=input)
    on.elementwise.relu(out, x)
    return out


def sigmoid(input: Array, *, out: Array | None = None) -> Array:
    """1 / (1 + exp(-x)) of each element.

    Parameters
    ----------
    input : array of any shape
        float32 or float64.
    out : array, optional
        A writable C-contiguous array of the input's shape and dtype to fill and return; it may be the input itself.

    Returns
    -------
    array of the input's shape and dtype

    Raises
    ------
    TypeError
        The input is not an array of float32 or float64.
    ValueError
        ``out`` does not fit.

    Notes
    -----
    Within 4 ulp; exactly 0 and 1 at the infinities.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.sigmoid.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.sigmoid(np.array([0.0, -np.inf, np.inf]))
    array([0.5, 0. , 1. ])
    """
    on, x = _arrays.enter("sigmoid", input=input)
    out = _arrays.output("sigmoid", on, out, x.shape, x, input, may_be=input)
    on.elementwise.sigmoid(out, x)
    return out


def dropout(input: Array, p: float = 0.5, training: bool = True, *, rng: Any = None, out: Array | None = None) -> Array:
    """Zero each element with probability p and scale the others by 1 / (1 - p).

    Parameters
    ----------
    input : array of any shape
        float32 or float64.
    p : float
        The probability to drop an element, from 0 to 1.
    training : bool
        False makes it the identity.
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        Where the mask comes from (SPEC 7): fresh entropy, a seed, or one number drawn from the generator.
    out : array, optional
        A writable C-contiguous array of the input's shape and dtype to fill and return; it may be the input itself.

    Returns
    -------
    array of the input's shape and dtype
        Without ``out``, the input itself where nothing is dropped (p = 0 or not training), as in torch.

    Raises
    ------
    TypeError
        The input is not an array of float32 or float64, or rng is of another type.
    ValueError
        p is not in [0, 1], the seed is negative, or ``out`` does not fit.

    Notes
    -----
    The mask is a pure function of seed and element index (Philox4x32-10), the same for every dtype, number of threads
    and backend.  Dropped elements are 0 whatever they held.

    References
    ----------
    Srivastava et al., JMLR 15 (2014); Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011;
    https://scientific-python.org/specs/spec-0007/

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.dropout(np.ones(8), p=0.5, rng=3)
    array([0., 2., 2., 0., 2., 2., 0., 0.])
    """
    op = "dropout"
    on, x = _arrays.enter(op, input=input)
    probability = _shapes.number(op, "p", p)
    if not 0 <= probability <= 1:
        raise ValueError(f"dropout: p expects a probability from 0 to 1, got {probability}")
    drops = _shapes.flag(op, "training", training) and probability > 0
    key = _key(rng) if drops else 0
    if not drops and out is None:
        return input
    out = _arrays.output(op, on, out, x.shape, x, input, may_be=input)
    if drops:
        on.elementwise.dropout(out, x, probability, key)
    elif out is not input:
        out[...] = x
    return out


def _key(rng: Any) -> int:
    """64 bits for Philox."""
    if rng is None:
        return int.from_bytes(os.urandom(8), "little")
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(0, 2**64, dtype=np.uint64))
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"dropout: rng expects a seed of at least 0, got {_shapes.told(rng)}")
        rng = np.random.SeedSequence(int(rng))
    if not isinstance(rng, np.random.SeedSequence):
        expected = "None, an int, a numpy.random.SeedSequence or a numpy.random.Generator"
        raise TypeError(f"dropout: rng expects {expected}, got {type(rng).__name__}")
    return int(rng.generate_state(1, np.uint64)[0])
