"""Element-wise operators in one pass: the bits of one operator after the other, for any shapes that broadcast."""

import itertools

import numpy as np
import pytest

from fastops import _jit
from fastops.cpu import activation, chain, elementwise
from fastops.cpu.chain import BINARY, OPERATORS, Chain, Instruction, TooLong

SIZES = (1, 7, 1023, 1024, 1025, 9000, 130_001)

DEFINITIONS = {
    "add": np.add, "multiply": np.multiply, "subtract": np.subtract, "divide": np.divide, "greater": np.maximum,
    "less": np.minimum, "prelu": lambda x, y: np.where(x > 0, x, x * y),
    "sloped": lambda x, a, b: np.where(x > 0, x * b, x * a),
    "clamp": np.clip, "tanh": np.tanh, "exp": np.exp, "square_root": np.sqrt, "reciprocal": lambda x: 1 / x,
    "negative": np.negative, "absolute": np.abs, "copy": lambda x: x,
}  # fmt: skip
KERNELS = ("relu", "sigmoid", "silu", "hardsigmoid", "hardswish", "gelu")


def run(instructions, arrays, outputs, dtype, in_place=(), shape=None):
    shape = np.broadcast_shapes(*(each.shape for each in arrays)) if shape is None else shape
    made = Chain(instructions, [each.shape for each in arrays], shape, outputs, dtype, in_place)
    outs = [
        np.full(shape, 9, dtype) if not in_place or in_place[k] < 0 else arrays[in_place[k]]
        for k in range(len(outputs))
    ]
    made(*outs, *arrays)
    return outs


@pytest.fixture
def normal(rng):
    return lambda dtype, *shape: rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "spread"])
def test_an_operator(normal, name, dtype):
    x, y = normal(dtype, 2500), normal(dtype, 2500)
    x[:4], y[:4] = [np.nan, 0, -0.0, np.inf], [1, np.nan, 2, -np.inf]
    if name in KERNELS or name == "gelu_tanh":
        (out,) = run([Instruction(name, 0)], [x], [1], dtype)
        expected = np.empty_like(x)
        entry, numbers = {"gelu": (elementwise.gelu, (False,)), "gelu_tanh": (elementwise.gelu, (True,))}.get(
            name, (getattr(elementwise, name, None), ())
        )
        entry(expected, x, *numbers)
        np.testing.assert_array_equal(out, expected)  # the formulas of the separate calls
        return
    with np.errstate(all="ignore"):
        if name in BINARY:
            (out,) = run([Instruction(name, 0, 1)], [x, y], [2], dtype)
            expected = DEFINITIONS[name](x, y)
        elif name in ("clamp", "sloped"):
            (out,) = run([Instruction(name, 0, -1, -0.5, 0.75)], [x], [1], dtype)
            expected = DEFINITIONS[name](x, dtype(-0.5), dtype(0.75))
        else:
            (out,) = run([Instruction(name, 0)], [x], [1], dtype)
            expected = DEFINITIONS[name](x)
    if name in ("exp", "tanh"):
        np.testing.assert_allclose(out, expected, rtol=4 * np.finfo(dtype).eps)
    else:
        np.testing.assert_array_equal(out, expected)


def test_tanh_near_0_and_far(rng):
    for dtype in (np.float32, np.float64):
        x = np.concatenate([rng.uniform(-1, 1, 20_000) * 10.0 ** rng.uniform(-30, 2, 20_000), [0.0, -0.0]]).astype(
            dtype
        )
        (out,) = run([Instruction("tanh", 0)], [x], [1], dtype)
        expected = np.tanh(x.astype(np.longdouble))
        assert np.max(np.abs(out - expected) / np.spacing(np.abs(expected).astype(dtype))) < 3
        np.testing.assert_array_equal(np.signbit(out), np.signbit(x))


SHAPES = [
    ((2, 3, 5, 7), (1, 3, 1, 1)), ((2, 3, 5, 7), (3, 1, 1)), ((2, 3, 5, 7), (7,)), ((2, 3, 5, 7), (2, 3, 1, 1)),
    ((2, 3, 5, 7), (2, 1, 5, 7)), ((2, 3, 5, 7), (2, 1, 5, 1)), ((2, 3, 5, 7), (1, 3, 1, 7)), ((2, 3, 5, 7), ()),
    ((2, 3, 40, 70), (1, 1, 1, 1)), ((9, 1, 3000), (1, 4, 1)), ((4, 1, 6), (1, 5, 1)), ((), ()), ((1,), (1,)),
    ((0, 3), (3,)), ((2, 1, 2, 1), (1, 3, 1, 3)),
]  # fmt: skip


@pytest.mark.parametrize("first, second", SHAPES, ids=str)
@pytest.mark.parametrize("build", ["serial", "parallel"])
def test_broadcasting(normal, first, second, build):
    for a, b in ((first, second), (second, first)):
        x, y = normal(np.float32, *a), normal(np.float32, *b)
        with _jit.only(build):
            (out,) = run([Instruction("subtract", 0, 1)], [x, y], [2], np.float32)
        np.testing.assert_array_equal(out, x - y)


def test_an_operand_of_too_many_sides():
    shape = (2, 2, 2, 2, 2, 2)
    with pytest.raises(TooLong):
        Chain([Instruction("add", 0, 1)], [shape, (2, 1, 2, 1, 2, 1)], shape, [2], np.float32)


def long(rng, count, operands):
    """A random program of which every value is read."""
    names = ["add", "multiply", "greater", "less", "subtract", "relu", "sigmoid", "clamp", "negative", "tanh"]
    instructions = []
    for k in range(count):
        name, values = rng.choice(names), operands + k
        x = values - 1 if k else 0
        y = int(rng.integers(values)) if name in BINARY else -1
        instructions.append(Instruction(str(name), x, y, -1.0, 1.5))
    return instructions


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size", [5, 1024, 9001])
def test_a_chain_has_the_bits_of_its_parts(seed, size):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(size).astype(np.float32), rng.standard_normal(size).astype(np.float32),
              rng.standard_normal(1).astype(np.float32)]  # fmt: skip
    instructions = long(rng, int(rng.integers(1, 14)), len(arrays))
    values = list(arrays)
    for each in instructions:
        given = [values[each.x]] + ([values[each.y]] if each.y >= 0 else [])
        alone = Instruction(each.operator, 0, 1 if each.y >= 0 else -1, each.a, each.b)
        values += run([alone], given, [len(given)], np.float32, shape=(size,))
    outputs = sorted({len(values) - 1, *(int(i) for i in rng.integers(len(arrays), len(values), 2))})
    for build in ("serial", "parallel"):
        with _jit.only(build):
            outs = run(instructions, arrays, outputs, np.float32)
        for out, number in zip(outs, outputs, strict=True):
            np.testing.assert_array_equal(out, values[number])


@pytest.mark.parametrize("size", SIZES)
def test_an_output_takes_the_memory_of_an_operand(normal, size):
    x, y = normal(np.float32, size), normal(np.float32, size)
    instructions = [Instruction("relu", 0), Instruction("add", 2, 1), Instruction("multiply", 3, 0)]
    relu = np.maximum(x, 0)
    expected = [relu + y, (relu + y) * x]
    for in_place in itertools.permutations((0, 1, -1), 2):
        arrays = [x.copy(), y.copy()]
        outs = run(instructions, arrays, [3, 4], np.float32, in_place)
        for out, want in zip(outs, expected, strict=True):
            np.testing.assert_array_equal(out, want)


def test_more_values_than_registers(normal):
    count = chain.REGISTERS + 2
    instructions = [Instruction("sigmoid", 0) for _ in range(count)]
    instructions += [Instruction("add", 1, 2)]
    instructions += [Instruction("add", 1 + count + k, 3 + k) for k in range(count - 2)]
    with pytest.raises(TooLong):
        Chain(instructions, [(5,)], (5,), [len(instructions)], np.float32)


def test_formulas_are_those_of_the_separate_calls():
    for name in KERNELS:
        assert callable(getattr(activation, name)) and callable(getattr(elementwise, name))
