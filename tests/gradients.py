"""What a gradient should be: torch.autograd's, a definition's, or the differences of fastops' own forward.

A gradient is asked for by a call of the forward: check(backend, rng, "conv2d", input, weight, bias, stride=2).
"""

import copy
import inspect
import warnings
from typing import Any

import numpy as np
import oracle
import pytest
from calls import arrays_in

import fastops
from fastops.yardstick.operators import OPERATORS

Gradients = dict[str, Any]  # by the name of the argument; None for an argument that is None

OF_LARGEST = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}
STEP, OF_LARGEST_DIFFERENCE = 1e-5, 1e-7


def assert_near(actual, expected, tolerance: float | None = None, scale: float | None = None) -> None:
    """|actual - expected| <= 1e-4 in float32, 1e-9 in float64, of the largest |expected| or of `scale`.

    NaN equals NaN and an infinity itself.
    """
    assert np.shape(actual) == np.shape(expected)
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0.0) if scale is None else scale
    limit = (OF_LARGEST[actual.dtype] if tolerance is None else tolerance) * scale
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit, equal_nan=True)


def names(op: str) -> tuple[str, ...]:
    """The arguments that have a gradient, in the order in which <op>_backward returns them."""
    return OPERATORS[op].differentiated


def arguments(op: str, /, *args, **options) -> dict[str, Any]:
    """A copy of every argument of fastops.<op>, defaults too, by its name."""
    bound = inspect.signature(getattr(fastops, op)).bind(*args, **options)
    bound.apply_defaults()
    ours = ("out", "precision", "add", "activation")
    return {name: copy.deepcopy(value) for name, value in bound.arguments.items() if name not in ours}


def random_gradient(backend, rng, op: str, /, *args, **options) -> np.ndarray:
    """A grad_output for this call."""
    given = arguments(op, *args, **options)
    shape = np.shape(backend(op, **given))
    return np.asarray(rng.standard_normal(shape), given[names(op)[0]].dtype)


def by_fastops(backend, grad_output, op: str, /, *args, **options) -> Gradients:
    """What fastops.<op>_backward gives; what it wants of the forward, fastops makes."""
    operator, (first, *rest) = OPERATORS[op], args
    result = None if operator.takes in ("input", "rng") else backend(op, *args, **options, **operator.more)
    gradients = backend(f"{op}_backward", grad_output, *operator.given(first, result), *rest, **options)
    return dict(zip(names(op), gradients if isinstance(gradients, tuple) else (gradients,), strict=True))


def by_torch(grad_output, op: str, /, *args, **options) -> Gradients:
    """torch.autograd's, in float64."""
    torch = pytest.importorskip("torch")
    import torch_operators

    def tensor(value):
        if not isinstance(value, np.ndarray):
            return value
        return torch.tensor(value.astype(float if value.dtype.kind == "f" else np.int64))

    given = {name: tensor(value) for name, value in arguments(op, *args, **options).items()}
    leaves = {name: given[name].requires_grad_() for name in names(op) if given[name] is not None}
    with warnings.catch_warnings(action="ignore"):  # broadcasting in mse_loss, 'same' with an even kernel
        result = getattr(torch_operators, op)(**given)
        found = torch.autograd.grad(result, list(leaves.values()), torch.tensor(grad_output, dtype=result.dtype))
    gradients = dict(zip(leaves, (gradient.numpy() for gradient in found), strict=True))
    return {name: gradients.get(name) for name in names(op)}


def by_definition(grad_output, op: str, /, *args, **options) -> Gradients:
    return {"input": getattr(oracle, f"{op}_gradient")(grad_output, *args, **options)}


def by_differences(backend, grad_output, op: str, /, *args, **options) -> Gradients:
    """(f(x + h) - f(x - h)) / 2h for each element x, where f is the sum of grad_output * fastops.<op>, in float64."""
    given = arguments(op, *args, **options)

    def value(array, place, x) -> float:
        before, array[place] = array[place], x
        result = float((grad_output * backend(op, **copy.deepcopy(given))).sum())  # batch_norm writes statistics
        array[place] = before
        return result

    gradients: Gradients = {}
    for name in names(op):
        array = given[name]
        gradients[name] = None if array is None else np.empty_like(array)
        for place in np.ndindex(np.shape(array)) if array is not None else ():
            above, below = (value(array, place, array[place] + step) for step in (STEP, -STEP))
            gradients[name][place] = (above - below) / (2 * STEP)
    return gradients


def compare(actual: Gradients, expected: Gradients, **tolerance) -> None:
    assert list(actual) == list(expected)
    for name, want in expected.items():
        if want is None:
            assert actual[name] is None
        else:
            assert_near(actual[name], want, **tolerance)


def check(backend, rng, op: str, /, *args, grad_output=None, scale: float | None = None, **options) -> Gradients:
    """fastops' gradients, which are torch's (roi_pool's: the definition's), and leave every argument as it was."""
    if grad_output is None:
        grad_output = random_gradient(backend, rng, op, *args, **options)
    given = (grad_output, args, options)
    before = copy.deepcopy(given)
    actual = by_fastops(backend, grad_output, op, *args, **options)
    for after, was in zip(arrays_in(given), arrays_in(before), strict=True):
        np.testing.assert_array_equal(after, was)
    for gradient in actual.values():
        assert gradient is None or (type(gradient) is np.ndarray and gradient.dtype == args[0].dtype)
    reference = by_definition if op == "roi_pool" else by_torch
    compare(actual, reference(grad_output, op, *args, **options), scale=scale)
    return actual
