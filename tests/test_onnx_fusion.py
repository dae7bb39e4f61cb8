"""What fusion makes of nodes: how many steps are left, the same results, and that it leaves alone what others read."""

import numpy as np
import onnx_models as models
import pytest
from onnx_models import node

import fastops.onnx
from fastops.onnx.network import load_plain

RNG = np.random.default_rng(5)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


X = normal(2, 6, 9, 8)
CONV = {"w": normal(4, 6, 3, 3), "b": normal(4)}
NUMBERS = {name: np.array(value, np.float32) for name, value in {
    "zero": 0, "half": 0.5, "one": 1, "two": 2, "three": 3, "six": 6, "sixth": 1 / 6, "root": np.sqrt(2),
    "over_root": np.sqrt(0.5), "cubic": 0.044715, "scale": np.sqrt(2 / np.pi),
}.items()}  # fmt: skip
CHANNELS = {"s": normal(4), "t": normal(4), "m": normal(4), "v": np.abs(normal(4)) + 0.1, "c": normal(1, 4, 1, 1),
            "d": normal(4, 1, 1)}  # fmt: skip
CONSTANTS = {**CONV, **NUMBERS, **CHANNELS}


def steps_of(network):
    (plan,) = network._plans.values()
    return [step.node.op_type for step in plan.steps]


def check(nodes, outputs=("y",), inputs=None, constants=None, opset=17, tolerance=3e-6):
    """The steps of a network after fusion, whose results are those without it and ONNX Runtime's."""
    feeds = inputs or {"x": X}
    model = models.network(nodes, list(feeds.items()), list(outputs), {**CONSTANTS, **(constants or {})}, opset)
    fused, plain = fastops.onnx.load(model), load_plain(model)
    expected = plain(**feeds)
    for _ in range(2):
        models.assert_close(fused(**feeds), expected if isinstance(expected, tuple) else (expected,), tolerance)
    models.assert_close(fused(**feeds), models.onnx_runtime(model, feeds), 1e-5)
    return steps_of(fused)


CONVOLVED = node("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1])

# ------------------------------------------------------------------------------------------ into the weights


AFTER = {
    "BatchNormalization": [node("BatchNormalization", ["a", "s", "t", "m", "v"], ["y"], epsilon=1e-3)],
    "Mul of a number": [node("Mul", ["a", "two"], ["y"])],
    "Mul of channels": [node("Mul", ["c", "a"], ["y"])],
    "Div": [node("Div", ["a", "d"], ["y"])],
    "Add": [node("Add", ["d", "a"], ["y"])],
    "Sub": [node("Sub", ["a", "c"], ["y"])],
    "Sub from": [node("Sub", ["c", "a"], ["y"])],
    "all": [
        node("BatchNormalization", ["a", "s", "t", "m", "v"], ["e"]), node("Mul", ["e", "two"], ["f"]),
        node("Add", ["f", "d"], ["y"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", AFTER)
def test_constants_after_a_convolution(name):
    assert check([CONVOLVED, *AFTER[name]]) == ["Conv"]


@pytest.mark.parametrize("name", AFTER)
def test_constants_after_a_transposed_convolution(name):
    constants = {"w": normal(6, 2, 3, 2), "b": normal(4)}
    before = node("ConvTranspose", ["x", "w", "b"], ["a"], group=2, strides=[2, 2])
    assert check([before, *AFTER[name]], constants=constants) == ["ConvTranspose"]


@pytest.mark.parametrize("across", [0, 1])
def test_constants_after_a_product(across):
    rows = {"x": normal(3, 5)}
    constants = {"w": normal(4, 5) if across else normal(5, 4)}
    before = node("Gemm", ["x", "w", "b"], ["a"], transB=across)
    after = [node("BatchNormalization", ["a", "s", "t", "m", "v"], ["e"]), node("Mul", ["e", "s"], ["y"])]
    assert check([before, *after], inputs=rows, constants=constants) == ["Gemm"]


def test_a_convolution_without_bias_gets_one():
    before = node("Conv", ["x", "w"], ["a"], group=1)
    assert check([before, *AFTER["all"]]) == ["Conv"]


@pytest.mark.parametrize("pads, left", [([0, 0, 0, 0], ["Conv"]), ([1, 0, 0, 0], ["Multiply", "Conv"])], ids=str)
@pytest.mark.parametrize("group", [1, 2])
def test_batch_norm_before_a_convolution(pads, left, group):
    six = {name: np.abs(normal(6)) + 0.1 for name in "stmv"}
    nodes = [node("BatchNormalization", ["x", "s", "t", "m", "v"], ["a"]),
             node("Conv", ["a", "w", "b"], ["y"], pads=pads, group=group)]  # fmt: skip
    steps = check(nodes, constants={**six, "w": normal(4, 6 // group, 3, 3)})
    assert len(steps) == len(left) and steps[-1] == "Conv"


def test_a_number_before_a_padded_convolution():
    nodes = [node("Mul", ["x", "two"], ["a"]), node("Conv", ["a", "w", "b"], ["y"], pads=[1, 1, 1, 1])]
    assert check(nodes) == ["Conv"]
    nodes[0] = node("Add", ["x", "two"], ["a"])
    assert len(check(nodes)) == 2  # the zeros around the image stay zeros


def test_hard_sigmoid_is_a_clip_of_scaled_sums():
    assert check([CONVOLVED, node("HardSigmoid", ["a"], ["y"])]) == ["Conv + clamp"]


def test_padding_becomes_the_convolutions():
    pads = {"p": np.array([0, 0, 2, 1, 0, 0, 1, 3])}
    nodes = [node("Pad", ["x", "p", "zero"], ["a"]), node("Conv", ["a", "w", "b"], ["y"], pads=[1, 0, 0, 1])]
    assert check(nodes, constants=pads) == ["Conv"]
    nodes[0] = node("Pad", ["x", "p", "one"], ["a"])
    assert check(nodes, constants=pads) == ["Pad", "Conv"]
    nodes[0] = node("Pad", ["x", "p"], ["a"], mode="reflect")
    assert check(nodes, constants=pads) == ["Pad", "Conv"]
    # of which the greatest may be a zero of the padding (ONNX Runtime 1.31 has it otherwise)
    nodes = [node("Pad", ["x", "p"], ["a"]), node("MaxPool", ["a"], ["y"], kernel_shape=[4, 4])]
    network = fastops.onnx.load(models.network(nodes, [("x", X)], ["y"], pads))
    expected = np.pad(X, ((0, 0), (0, 0), (2, 1), (1, 3)))
    windows = np.lib.stride_tricks.sliding_window_view(expected, (4, 4), (2, 3))
    np.testing.assert_array_equal(network(X), windows.max((4, 5)))


def test_weights_that_two_share():
    nodes = [
        CONVOLVED, node("Mul", ["a", "two"], ["e"]), node("Conv", ["x", "w", "b"], ["f"], pads=[1, 1, 1, 1]),
        node("Concat", ["e", "f"], ["y"], axis=1),
    ]  # fmt: skip
    assert check(nodes, inputs={"x": X[:1]}) == ["Conv", "Conv"]


def test_what_leaves_the_dtypes_numbers_is_not_folded():
    constants = {"two": np.array(1e30, np.float32), "w": CONV["w"] * np.float32(1e20)}
    nodes = [CONVOLVED, node("Mul", ["a", "two"], ["e"]), node("Mul", ["e", "zero"], ["y"])]
    model = models.network(nodes, [("x", X)], ["y"], {**CONSTANTS, **constants})
    np.testing.assert_array_equal(fastops.onnx.load(model)(X), load_plain(model)(X))


# ---------------------------------------------------------------------------------------------- activations


ACTIVATIONS = {
    "relu": [node("Relu", ["a"], ["y"])],
    "clamp": [node("Clip", ["a", "zero", "six"], ["y"])],
    "leaky_relu": [node("LeakyRelu", ["a"], ["y"], alpha=0.1)],
    "sigmoid": [node("Sigmoid", ["a"], ["y"])],
    "silu": [node("Sigmoid", ["a"], ["e"]), node("Mul", ["a", "e"], ["y"])],
    "silu of one": [node("Mul", ["a", "one"], ["f"]), node("Sigmoid", ["f"], ["e"]), node("Mul", ["e", "a"], ["y"])],
    "hardswish": [
        node("Add", ["a", "three"], ["e"]), node("Clip", ["e", "zero", "six"], ["f"]), node("Mul", ["a", "f"], ["g"]),
        node("Div", ["g", "six"], ["y"]),
    ],
    "hardswish by a factor": [
        node("Add", ["three", "a"], ["e"]), node("Clip", ["e", "zero", "six"], ["f"]),
        node("Mul", ["f", "sixth"], ["g"]), node("Mul", ["g", "a"], ["y"]),
    ],
    "hardswish by HardSigmoid": [
        node("HardSigmoid", ["a"], ["e"], alpha=1 / 6, beta=0.5), node("Mul", ["e", "a"], ["y"]),
    ],
    "gelu": [
        node("Div", ["a", "root"], ["e"]), node("Erf", ["e"], ["f"]), node("Add", ["f", "one"], ["g"]),
        node("Mul", ["a", "g"], ["h"]), node("Mul", ["h", "half"], ["y"]),
    ],
    "gelu, half first": [
        node("Mul", ["a", "half"], ["h"]), node("Mul", ["a", "over_root"], ["e"]), node("Erf", ["e"], ["f"]),
        node("Add", ["one", "f"], ["g"]), node("Mul", ["h", "g"], ["y"]),
    ],
    "gelu by Tanh": [
        node("Mul", ["a", "a"], ["i"]), node("Mul", ["i", "a"], ["j"]), node("Mul", ["j", "cubic"], ["k"]),
        node("Add", ["a", "k"], ["l"]), node("Mul", ["l", "scale"], ["e"]), node("Tanh", ["e"], ["f"]),
        node("Add", ["f", "one"], ["g"]), node("Mul", ["h", "g"], ["y"]), node("Mul", ["a", "half"], ["h"]),
    ],
    "gelu by Tanh of Pow": [
        node("Pow", ["a", "three"], ["j"]), node("Mul", ["j", "cubic"], ["k"]), node("Add", ["a", "k"], ["l"]),
        node("Mul", ["l", "scale"], ["e"]), node("Tanh", ["e"], ["f"]), node("Add", ["f", "one"], ["g"]),
        node("Mul", ["a", "g"], ["h"]), node("Mul", ["h", "half"], ["y"]),
    ],
}  # fmt: skip


def in_order(nodes):
    """Nodes as a file has them: each after what it reads."""
    made, left, found = {"x", "a", *CONSTANTS}, list(nodes), []
    while left:
        ready = next(each for each in left if set(each.input) <= made)
        left.remove(ready)
        made.update(ready.output)
        found.append(ready)
    return found


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_ends_a_convolution(name):
    expected = name.split(",")[0].split(" ")[0]
    alone = {"leaky_relu": "LeakyRelu", "hardswish": "HardSwish"}.get(expected)  # which a chain does faster
    steps = ["Conv", alone] if alone else [f"Conv + {expected}"]
    assert check([CONVOLVED, *in_order(ACTIVATIONS[name])]) == steps


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_that_somebody_else_looks_into(name):
    """Every inner value is an output of the network, too."""
    nodes = [CONVOLVED, *in_order(ACTIVATIONS[name])]
    inner = [each.output[0] for each in nodes]
    steps = check(nodes, outputs=inner)
    assert "Conv" in steps[0] and len(steps) <= (4 if "Erf" in str(nodes) else 3)  # Erf alone is NumPy's


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_written_in_several_nodes_runs_as_one(name):
    nodes = [node("MaxPool", ["x"], ["a"], kernel_shape=[2, 2]), *in_order(ACTIVATIONS[name])]
    assert len(check(nodes)) == 2


def test_numbers_that_are_another_function_stay():
    wrong = [node("Add", ["a", "two"], ["e"]), node("Clip", ["e", "zero", "six"], ["f"]),
             node("Mul", ["a", "f"], ["g"]), node("Div", ["g", "six"], ["y"])]  # fmt: skip
    assert check([CONVOLVED, *wrong]) == ["Conv", "Add + Clip + Mul + Div"]
    assert check([CONVOLVED, node("Sigmoid", ["a"], ["e"]), node("Mul", ["e", "x4"], ["y"])],
                 inputs={"x": X, "x4": normal(2, 4, 9, 8)}) == ["Conv", "Sigmoid + Mul"]  # fmt: skip


# ------------------------------------------------------------------------------------------------ residuals


def test_a_residual_and_its_activation():
    nodes = [CONVOLVED, node("Add", ["a", "r"], ["e"]), node("Relu", ["e"], ["y"])]
    feeds = {"x": X, "r": normal(2, 4, 9, 8)}
    assert check(nodes, inputs=feeds) == ["Conv + Add + relu"]
    nodes[1] = node("Add", ["r", "a"], ["e"])
    assert check(nodes, inputs=feeds) == ["Conv + Add + relu"]


def test_two_convolutions_are_added_to_the_later_one():
    nodes = [CONVOLVED, node("Conv", ["x", "w", "b"], ["e"], auto_pad="SAME_UPPER"), node("Add", ["e", "a"], ["f"]),
             node("Relu", ["f"], ["y"])]  # fmt: skip
    assert check(nodes) == ["Conv", "Conv + Add + relu"]


def test_what_broadcasts_is_no_residual():
    nodes = [CONVOLVED, node("Add", ["a", "r"], ["y"])]
    assert check(nodes, inputs={"x": X, "r": normal(2, 4, 1, 1)}) == ["Conv", "Add"]
    assert check(nodes, inputs={"x": X, "r": normal(5, 2, 4, 9, 8)}) == ["Conv", "Add"]


@pytest.mark.parametrize("outputs", [("a", "y"), ("y",)])
def test_sums_that_somebody_else_reads(outputs):
    nodes = [CONVOLVED, node("Relu", ["a"], ["e"]), node("Add", ["a", "e"], ["y"])]
    assert check(nodes, outputs=outputs) == ["Conv", "Relu + Add"]


def test_a_convolution_added_to_itself():
    assert check([CONVOLVED, node("Add", ["a", "a"], ["y"])]) == ["Conv", "Add"]


# --------------------------------------------------------------------------------------------------- chains


def test_a_chain_runs_as_one_step():
    nodes = [
        node("Mul", ["x", "k"], ["a"]), node("Tanh", ["a"], ["e"]), node("Sub", ["e", "x"], ["f"]),
        node("Abs", ["f"], ["g"]), node("Sqrt", ["g"], ["h"]), node("Max", ["h", "a", "two"], ["i"]),
        node("Neg", ["i"], ["j"]), node("Exp", ["j"], ["l"]), node("Min", ["l", "x"], ["o"]),
        node("PRelu", ["o", "slope"], ["n"]), node("Pow", ["n", "two"], ["y"]),
    ]  # fmt: skip
    assert len(check(nodes, constants={"k": normal(6, 1, 1), "slope": normal(6, 1, 1)})) == 1


def test_a_chain_gives_what_others_read():
    nodes = [node("Add", ["x", "two"], ["a"]), node("Relu", ["a"], ["e"]), node("Mul", ["e", "x"], ["y"])]
    assert len(check(nodes, outputs=["a", "y"])) == 1
    pool = node("GlobalAveragePool", ["e"], ["z"])
    assert check([*nodes, pool], outputs=["y", "z"])[0] == "Add + Relu + Mul"


def test_no_chain_around_what_runs_between():
    """The pool reads the one and makes the other of the operands."""
    nodes = [node("Relu", ["x"], ["a"]), node("GlobalAveragePool", ["a"], ["e"]), node("Mul", ["a", "e"], ["y"])]
    assert check(nodes) == ["Relu", "GlobalAveragePool", "Mul"]


def test_chains_that_wait_for_each_other():
    """Two groups, each of which has nodes before and after the other's, are not put together."""
    y = normal(2, 6, 1, 1)
    nodes = [
        node("Relu", ["x"], ["a"]), node("Relu", ["s1"], ["e"]),
        node("GlobalAveragePool", ["a"], ["f"]), node("Add", ["e", "f"], ["g"]),
        node("Mul", ["a", "e"], ["h"]), node("Sub", ["h", "g"], ["y"]),
    ]  # fmt: skip
    check(nodes, inputs={"x": X, "s1": y})


def test_numbers_of_other_dtypes_are_numpys():
    nodes = [node("Cast", ["x"], ["a"], to=7), node("Add", ["a", "a"], ["e"]), node("Cast", ["e"], ["y"], to=1)]
    assert check(nodes) == ["Cast", "Add", "Cast"]


def test_what_does_nothing_is_no_step():
    nodes = [
        node("Identity", ["x"], ["a"]), node("Dropout", ["a"], ["e"]), node("Reshape", ["e", "to"], ["f"]),
        node("Transpose", ["f"], ["g"], perm=[1, 0, 2, 3]), node("Relu", ["g"], ["h"]), node("Flatten", ["h"], ["i"]),
        node("Unsqueeze", ["i", "axis"], ["j"]), node("Squeeze", ["j", "axis"], ["y"]),
    ]  # fmt: skip
    constants = {"to": np.array([1, 12, 9, -1]), "axis": np.array([1])}
    steps = check(nodes, constants=constants)
    assert steps == ["Relu", "Copy"] or steps == ["Relu"]


# ------------------------------------------------------------------------------------------ inverted residuals

BLOCK = {"e": normal(48, 6, 1, 1), "eb": normal(48), "f": normal(48, 1, 3, 3), "fb": normal(48),
         "g": normal(6, 48, 1, 1), "gb": normal(6)}  # fmt: skip
EXPANDED = [node("Conv", ["x", "e", "eb"], ["h"]), node("Clip", ["h", "zero", "six"], ["i"])]
FILTERED = [node("Conv", ["i", "f", "fb"], ["j"], pads=[1, 1, 1, 1], group=48), node("Relu", ["j"], ["k"])]
PROJECTED = [node("Conv", ["k", "g", "gb"], ["p"])]


@pytest.mark.parametrize("strides", [[1, 1], [2, 2]])
def test_an_inverted_residual_is_one_step(strides):
    filtered = node("Conv", ["i", "f", "fb"], ["j"], pads=[1, 1, 1, 1], group=48, strides=strides)
    nodes = [*EXPANDED, filtered, FILTERED[1], node("Conv", ["k", "g"], ["y"])]
    assert check(nodes, constants=BLOCK, tolerance=1e-5) == ["InvertedResidual"]


def test_an_inverted_residual_adds_its_input():
    nodes = [*EXPANDED, *FILTERED, *PROJECTED, node("Add", ["p", "x"], ["y"])]
    assert check(nodes, constants=BLOCK, tolerance=1e-5) == ["InvertedResidual"]


@pytest.mark.parametrize("outputs", [("p", "i"), ("p", "k"), ("p", "h")])
def test_what_lies_within_a_block_and_others_read_is_made(outputs):
    assert "InvertedResidual" not in check([*EXPANDED, *FILTERED, *PROJECTED], outputs, constants=BLOCK, tolerance=1e-5)


def test_a_block_with_another_activation_stays_as_it_is():
    nodes = [EXPANDED[0], node("HardSwish", ["h"], ["i"]), *FILTERED, *PROJECTED]
    assert "InvertedResidual" not in check(nodes, ("p",), constants=BLOCK, tolerance=1e-5)


def test_a_block_with_weights_that_are_not_finite_stays_as_it_is():
    weights = BLOCK["f"].copy()
    weights[3, 0, 1, 1] = np.inf
    model = models.network([*EXPANDED, *FILTERED, *PROJECTED], [("x", X)], ["p"], {**CONSTANTS, **BLOCK, "f": weights})
    fused = fastops.onnx.load(model)
    np.testing.assert_allclose(fused(X), load_plain(model)(X), rtol=1e-5, atol=1e-4)
    assert "InvertedResidual" not in steps_of(fused)


def test_weights_that_come_with_a_call_are_no_block():
    given = {"x": X, "f": BLOCK["f"]}
    rest = {name: array for name, array in BLOCK.items() if name != "f"}
    assert "InvertedResidual" not in check(
        [*EXPANDED, *FILTERED, *PROJECTED], ("p",), inputs=given, constants=rest, tolerance=1e-5
    )
