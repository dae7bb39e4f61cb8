"""conv2d and conv_transpose2d with add= and activation=: the bits of the separate calls, and what is refused."""

import numpy as np
import pytest
from conftest import itself

import fastops

ACTIVATIONS = {
    "nothing": (None, lambda x: x),
    "relu": ("relu", fastops.relu),
    "relu of a tuple": (("relu",), fastops.relu),
    "relu6": ("relu6", fastops.relu6),
    "clamp": (("clamp", -0.5, 0.5), lambda x: fastops.clamp(x, -0.5, 0.5)),
    "clamp above": (("clamp", None, 0.5), lambda x: fastops.clamp(x, max=0.5)),
    "clamp to NaN": (("clamp", -1, np.nan), lambda x: fastops.clamp(x, -1, np.nan)),
    "leaky_relu": ("leaky_relu", fastops.leaky_relu),
    "leaky_relu 0.1": (("leaky_relu", 0.1), lambda x: fastops.leaky_relu(x, 0.1)),
    "sigmoid": ("sigmoid", fastops.sigmoid),
    "silu": ("silu", fastops.silu),
    "hardsigmoid": ("hardsigmoid", fastops.hardsigmoid),
    "hardswish": ("hardswish", fastops.hardswish),
    "gelu": ("gelu", fastops.gelu),
    "gelu tanh": (("gelu", "tanh"), lambda x: fastops.gelu(x, "tanh")),
}

# By what makes them: input, weight and options.
CONVOLUTIONS = {
    "direct": ((2, 3, 9, 10), (5, 3, 3, 3), dict(padding=1)),
    "strided": ((2, 4, 9, 40), (8, 4, 3, 3), dict(stride=2, padding=1)),
    "1x1 of many": ((2, 64, 7, 7), (80, 64, 1, 1), {}),
    "1x1 in tiles that overlap": ((2, 16, 9, 10), (20, 16, 1, 1), {}),
    "winograd": ((1, 64, 28, 28), (64, 64, 3, 3), dict(padding=1)),
    "winograd 4x4": ((1, 64, 28, 28), (64, 64, 3, 3), dict(padding=1, precision="fast")),
    "depthwise": ((2, 3, 9, 20), (6, 1, 3, 3), dict(groups=3, padding=1)),
    "depthwise 5x5": ((1, 3, 9, 20), (3, 1, 5, 5), dict(groups=3, stride=2)),
    "one channel a group": ((1, 4, 9, 10), (2, 2, 3, 3), dict(groups=2)),
    "whole": ((2, 3, 5, 5), (4, 3, 5, 5), {}),
    "uneven": ((1, 2, 5, 6), (3, 2, 3, 3), dict(padding=((0, 1), (2, 0)))),
    "no batch": ((3, 9, 10), (5, 3, 3, 3), {}),
}
TRANSPOSED = {
    "direct": ((2, 3, 9, 10), (3, 5, 3, 3), dict(padding=1)),
    "stride 2": ((2, 16, 5, 9), (16, 20, 4, 4), dict(stride=2, padding=1)),
    "stride 3": ((1, 3, 5, 6), (3, 4, 4, 4), dict(stride=3)),
    "gaps": ((1, 3, 5, 6), (3, 4, 1, 1), dict(stride=2)),
    "whole": ((2, 3, 1, 1), (3, 4, 5, 5), {}),
    "depthwise": ((2, 3, 9, 20), (3, 1, 3, 3), dict(groups=3, padding=1)),
}
CALLS = [pytest.param("conv2d", *call, id=name) for name, call in CONVOLUTIONS.items()]
CALLS += [pytest.param("conv_transpose2d", *call, id=f"transposed {name}") for name, call in TRANSPOSED.items()]


@pytest.mark.parametrize("adds", [False, True], ids=["alone", "added"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("op, input, weight, options", CALLS)
def test_the_bits_are_those_of_the_separate_calls(backend, normal, op, input, weight, options, activation, adds):
    x, w = normal(*input), normal(*weight)
    b = normal(w.shape[0] if op == "conv2d" else w.shape[1] * options.get("groups", 1))
    alone = backend(op, x, w, b, **options)
    more = normal(*alone.shape) if adds else None
    how, of = ACTIVATIONS[activation]
    with np.errstate(all="ignore"):
        expected = of(np.asarray(alone + more if adds else alone))
    found = backend(op, x, w, b, **options, add=more, activation=how)
    if backend.put is itself:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu6", "leaky_relu", "hardsigmoid", "hardswish"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", ["input", "weight"])
@pytest.mark.parametrize("op, input, weight, options", CALLS)
def test_what_is_not_finite_ends_as_in_the_separate_calls(
    backend, normal, op, input, weight, options, place, value, activation
):
    x, w = normal(*input), normal(*weight)
    (x if place == "input" else w).flat[1] = value
    alone = backend(op, x, w, **options)
    more = normal(*alone.shape)
    found = backend(op, x, w, **options, add=more, activation=activation)
    np.testing.assert_allclose(found, getattr(fastops, activation)(alone + more), rtol=1e-5, atol=1e-6)


def test_into_out(rng, dtype):
    x, w = rng.standard_normal((1, 3, 8, 8)).astype(dtype), rng.standard_normal((4, 3, 3, 3)).astype(dtype)
    more, out = rng.standard_normal((1, 4, 8, 8)).astype(dtype), np.empty((1, 4, 8, 8), dtype)
    assert fastops.conv2d(x, w, padding=1, out=out, add=more, activation="relu") is out
    np.testing.assert_array_equal(out, fastops.relu(fastops.conv2d(x, w, padding=1) + more))
    with pytest.raises(ValueError, match="conv2d: out expects memory of its own"):
        fastops.conv2d(x, w, padding=1, out=more, add=more)


@pytest.mark.parametrize(
    "options, kind, message",
    [
        (dict(add=np.zeros((1, 4, 6, 5), np.float32)), ValueError, "add expects shape (1, 4, 6, 6), got (1, 4, 6, 5)"),
        (dict(add=np.zeros((1, 4, 6, 6))), TypeError, "add expects dtype float32"),
        (dict(add=1.0), TypeError, "add expects a NumPy or CUDA array, got float"),
        (dict(activation="tanh"), ValueError, "activation expects 'relu', 'sigmoid'"),
        (dict(activation="prelu"), ValueError, "activation expects 'relu', 'sigmoid'"),
        (dict(activation=()), ValueError, "activation expects 'relu', 'sigmoid'"),
        (dict(activation=("relu", 1)), ValueError, "activation expects 0 numbers after 'relu', got 1"),
        (dict(activation=("leaky_relu", 1, 2)), ValueError, "activation expects 0 or 1 numbers after 'leaky_relu'"),
        (dict(activation="clamp"), ValueError, "activation expects 1 or 2 numbers after 'clamp', got 0"),
        (dict(activation=("clamp", None)), ValueError, "min and max expect a number for at least one of them"),
        (dict(activation=("clamp", "a")), ValueError, "min expects a number, got 'a'"),
        (dict(activation=("gelu", "erf")), ValueError, "activation's approximate expects 'none' or 'tanh', got 'erf'"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else "",
)
@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
def test_what_is_refused(op, options, kind, message):
    x, w = np.ones((1, 4, 6, 6), np.float32), np.ones((4, 4, 3, 3), np.float32)
    with pytest.raises(kind) as error:
        getattr(fastops, op)(x, w, padding=1, **options)
    assert str(error.value).startswith(f"{op}: ") and message in str(error.value)
