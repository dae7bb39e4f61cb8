"""Layer normalisation that is spelled out runs as one step, and only where it is one."""

import numpy as np
import onnx_models as models
import pytest
from onnx_models import node

import fastops.onnx
from fastops.onnx.network import load_plain

RNG = np.random.default_rng(0)
X = (RNG.standard_normal((3, 7, 40)) * 2 + 5).astype(np.float32)
CONSTANTS = {
    "two": np.float32(2), "three": np.float32(3), "eps": np.float32(1e-5), "one": np.ones(1, np.float32),
    "scale": RNG.standard_normal(40).astype(np.float32), "bias": RNG.standard_normal(40).astype(np.float32),
    "wide": RNG.standard_normal((3, 1, 40)).astype(np.float32),
}  # fmt: skip
SQUARES = {"Pow": node("Pow", ["d", "two"], ["p"]), "Mul": node("Mul", ["d", "d"], ["p"])}


def spelled(square="Pow", axes=(-1,), keepdims=1, **other):
    """The nodes, some of them others."""
    nodes = {
        "m": node("ReduceMean", ["x"], ["m"], axes=[-1], keepdims=1), "d": node("Sub", ["x", "m"], ["d"]),
        "p": SQUARES[square], "v": node("ReduceMean", ["p"], ["v"], axes=list(axes), keepdims=keepdims),
        "a": node("Add", ["v", "eps"], ["a"]), "s": node("Sqrt", ["a"], ["s"]), "n": node("Div", ["d", "s"], ["n"]),
        "k": node("Mul", ["scale", "n"], ["k"]), "y": node("Add", ["k", "bias"], ["y"]),
    }  # fmt: skip
    return [each for each in {**nodes, **other}.values() if each is not None]


def steps(nodes, x=X, outputs=("y",), runtime=True):
    """What runs, after comparison with every node by itself and with ONNX Runtime."""
    model = models.network(nodes, [("x", x)], list(outputs), CONSTANTS, 17)
    network = fastops.onnx.load(model)
    for expected in (load_plain(model)(x), *([models.onnx_runtime(model, {"x": x})] if runtime else [])):
        models.assert_close(network(x), expected if isinstance(expected, tuple | list) else (expected,), 3e-6)
    (plan,) = network._plans.values()
    return [step.node.op_type for step in plan.steps]


@pytest.mark.parametrize("square", SQUARES)
def test_one_step(square):
    assert steps(spelled(square)) == ["LayerNormalization"]


def test_without_bias_and_scale():
    assert steps(spelled(y=None, k=node("Mul", ["n", "scale"], ["y"]))) == ["LayerNormalization"]
    assert steps(spelled(y=None, k=None, n=node("Div", ["d", "s"], ["y"]))) == ["LayerNormalization"]
    assert steps(spelled(k=node("Mul", ["n", "one"], ["k"]))) == ["LayerNormalization"]


def test_rows_of_one_number():
    x = X[:, :, :1].copy()
    # the scale's 40 numbers make it wider, which ONNX Runtime 1.31 refuses
    assert steps(spelled(), x, runtime=False) == ["LayerNormalization"]


def test_a_mean_far_from_zero():
    assert steps(spelled(), X + np.float32(100)) == ["LayerNormalization"]


@pytest.mark.parametrize("rows", [0, 1])
def test_empty_and_single_rows(rows):
    assert steps(spelled(), X[:rows].copy()) == ["LayerNormalization"]


@pytest.mark.parametrize("inner", ["m", "d", "p", "v", "a", "s"])
def test_what_others_read_stays(inner):
    assert "LayerNormalization" not in steps(spelled(), outputs=("y", inner))


@pytest.mark.parametrize("inner", ["n", "k"])
def test_what_others_read_of_the_end_is_made_after_it(inner):
    found = steps(spelled(), outputs=("y", inner))
    assert found[0] == "LayerNormalization" and len(found) > 1


OTHERS = {
    "another power": {"p": node("Pow", ["d", "three"], ["p"]), "s": node("Identity", ["a"], ["s"])},
    "another axis": {"axes": (1,)},
    "turned around": {"d": node("Sub", ["m", "x"], ["d"])},
    "no root": {"s": node("Exp", ["a"], ["s"])},
}  # fmt: skip


@pytest.mark.parametrize("name", ["another power", "another axis", "turned around", "no root"])
def test_what_is_something_else_stays(name):
    # ONNX Runtime 1.31 takes m - x for x - m
    assert "LayerNormalization" not in steps(spelled(**OTHERS[name]), runtime=name != "turned around")


def test_a_scale_of_another_shape_is_no_part_of_it():
    assert steps(spelled(k=node("Mul", ["n", "wide"], ["k"]))) == ["LayerNormalization", "Mul + Add"]


def test_float64():
    x, constants = X.astype(np.float64), {name: array.astype(np.float64) for name, array in CONSTANTS.items()}
    model = models.network(spelled(), [("x", x)], ["y"], constants, 17)
    network = fastops.onnx.load(model)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(network(x), expected * constants["scale"] + constants["bias"], rtol=1e-6, atol=1e-6)
