"""relu, sigmoid, dropout and their gradients: what is promised."""

import functools
import os
from typing import Any

import numpy as np

from . import _arrays, _options, _shapes
from ._arrays import AnyArray, Array, ArrayT


def relu(input: ArrayT, *, out: ArrayT | None = None) -> ArrayT:
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
    on, x = _arrays.enter_one("relu", "input", input)
    if out is None:
        out = on.empty(x.shape, x.dtype)
    else:
        out = _arrays.output("relu", on, out, x.shape, x, input, may_be=input)
    on.elementwise.relu(out, x)
    return out


def sigmoid(input: ArrayT, *, out: ArrayT | None = None) -> ArrayT:
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
    on, x = _arrays.enter_one("sigmoid", "input", input)
    if out is None:
        out = on.empty(x.shape, x.dtype)
    else:
        out = _arrays.output("sigmoid", on, out, x.shape, x, input, may_be=input)
    on.elementwise.sigmoid(out, x)
    return out


def dropout(
    input: ArrayT, p: float = 0.5, training: bool = True, *, rng: Any = None, out: ArrayT | None = None
) -> ArrayT:
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
    array([2., 2., 2., 0., 0., 2., 0., 2.])
    """
    return _dropout("dropout", "input", input, p, training, rng, out)


def relu_backward(grad_output: ArrayT, input: AnyArray) -> ArrayT:
    """The gradient of relu: grad_output where the input is above 0, else 0.

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    input : array of the same shape and dtype
        As relu had it.

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes differ.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.relu.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.relu_backward(np.array([1.0, 2.0]), np.array([-1.0, 1.0]))
    array([0., 2.])
    """
    op = "relu_backward"
    on, go, x = _arrays.enter(op, grad_output=grad_output, input=input)
    _shapes.same(op, "grad_output", go.shape, x.shape)
    grad_input = on.empty(x.shape, x.dtype)
    on.elementwise.relu_backward(grad_input, go, x)
    return grad_input


def sigmoid_backward(grad_output: ArrayT, output: AnyArray) -> ArrayT:
    """The gradient of sigmoid: grad_output * output * (1 - output).

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    output : array of the same shape and dtype
        What sigmoid returned.

    Returns
    -------
    array of the same shape and dtype

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Shapes differ.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.sigmoid.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.sigmoid_backward(np.array([1.0, 2.0]), np.array([0.5, 0.5]))
    array([0.25, 0.5 ])
    """
    op = "sigmoid_backward"
    on, go, y = _arrays.enter(op, grad_output=grad_output, output=output)
    _shapes.same(op, "grad_output", go.shape, y.shape)
    grad_input = on.empty(y.shape, y.dtype)
    on.elementwise.sigmoid_backward(grad_input, go, y)
    return grad_input


def dropout_backward(grad_output: ArrayT, p: float = 0.5, training: bool = True, *, rng: Any) -> ArrayT:
    """The gradient of dropout: grad_output under the same mask and scale.

    Parameters
    ----------
    grad_output : array of any shape
        The gradient of the result; float32 or float64.
    p, training
        As dropout had them.
    rng : int or numpy.random.SeedSequence
        The one that dropout had, from which the mask comes again.

    Returns
    -------
    array of the same shape and dtype
        grad_output itself where dropout returned its input.

    Raises
    ------
    TypeError
        grad_output is not an array of float32 or float64, or rng is of another type.
    ValueError
        p is not in [0, 1], or the seed is negative.

    References
    ----------
    Srivastava et al., JMLR 15 (2014).

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.dropout_backward(np.ones(8), p=0.5, rng=3)
    array([2., 2., 2., 0., 0., 2., 0., 2.])
    """
    op = "dropout_backward"
    if rng is None or isinstance(rng, np.random.Generator):
        expected = "the int or numpy.random.SeedSequence that dropout had"
        raise TypeError(f"{op}: rng expects {expected}, got {type(rng).__name__}")
    return _dropout(op, "grad_output", grad_output, p, training, rng, None)


def _dropout(op: str, name: str, input: Array, p: Any, training: Any, rng: Any, out: Array | None) -> Array:
    on, x = _arrays.enter_one(op, name, input)
    probability = _options.number(op, "p", p)
    if not 0 <= probability <= 1:
        raise ValueError(f"{op}: p expects a probability from 0 to 1, got {probability}")
    drops = _options.flag(op, "training", training) and probability > 0
    key = _key(op, rng) if drops else 0
    if not drops and out is None:
        return input
    out = _arrays.output(op, on, out, x.shape, x, input, may_be=input)
    if drops:
        on.elementwise.dropout(out, x, probability, key)
    elif out is not input:
        on.copyto(out, x)
    return out


@functools.lru_cache(maxsize=256)
def _key_of_seed(seed: int) -> int:
    """The same for a seed; NumPy takes 10 us for it, and dropout_backward asks again."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


def _key(op: str, rng: Any) -> int:
    """64 bits for Philox."""
    if rng is None:
        return int.from_bytes(os.urandom(8), "little")
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(0, 2**64, dtype=np.uint64))
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"{op}: rng expects a seed of at least 0, got {_options.told(rng)}")
        return _key_of_seed(int(rng))
    if not isinstance(rng, np.random.SeedSequence):
        expected = "None, an int, a numpy.random.SeedSequence or a numpy.random.Generator"
        raise TypeError(f"{op}: rng expects {expected}, got {type(rng).__name__}")
    return int(rng.generate_state(1, np.uint64)[0])
