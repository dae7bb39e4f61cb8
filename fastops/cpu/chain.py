"""Element-wise operators in one pass over memory: a kernel that follows a program.

Networks come with whatever arithmetic between their convolutions, and nothing may be compiled when one is loaded.  So
there is one kernel for all of it: it takes a block of the output, small enough for L1, and does one operator after the
other with it, in registers of a block's size; each operator is a loop of its own, which vectorises.  The bits do not
depend on which operators are done together, since nothing is contracted from one loop to the next.

    a program's rows are (operator, to, a, b): numbers of arrays or, after those, of registers
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import carray, prange, types
from numba.extending import intrinsic

from .._jit import kernel, routine, scalar
from . import activation
from .exp import exp
from .simd.emit import stack_memory
from .simd.values import fields

BLOCK = 1024  # elements: a register of float32 is 4 KiB, and eight of them fit into L1
REGISTERS = 16
BLOCKS = 8  # of a task
MOST_SIDES = 4  # dimensions of an operand, neighbours that broadcast alike taken as one

Array = np.ndarray[Any, Any]

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def tanh(x):
    """The hyperbolic tangent, within 3 ulp: x (1 + x^2 P / Q) near 0 (Cephes, tanh.c), else by exp."""
    number = type(x)
    a, z = abs(x), x * x
    p = (number(-0.964399179425052238628) * z + number(-99.2877231001918586564)) * z + number(-1614.68768441708447952)
    q = ((z + number(112.811678491632931402)) * z + number(2235.48839060100448583)) * z + number(4844.06305325125486048)
    far = number(1) - number(2) / (exp(a + a) + number(1))
    return x * (number(1) + z * (p / q)) if a < number(0.625) else (-far if x < 0 else far)


@scalar
def greater(a, b):
    """The greater of two numbers; NaN where one of them is."""
    return a if a >= b or a != a else b


@scalar
def less(a, b):
    """The lesser of two numbers; NaN where one of them is."""
    return a if a <= b or a != a else b


# ------------------------------------------------------------------------------------------------ routines

_registers = stack_memory(REGISTERS * BLOCK * 8)


@intrinsic
def _at(typing_context, address, like):
    """The elements at an address, of the dtype of the array ``like``."""
    pointer = types.CPointer(like.dtype)

    def generate(context, builder, sig, args):
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return pointer(types.int64, like), generate


@intrinsic
def _address(typing_context, memory):
    """A pointer as a number."""
    return types.int64(memory), lambda context, builder, sig, args: builder.ptrtoint(
        args[0], context.get_value_type(types.int64)
    )


def _of_one(name: str, value: Any) -> Any:
    """A block of values of one array's elements."""

    def each(z, x):
        for i in range(z.size):
            z[i] = value(x[i])

    each.__qualname__ = f"{name}.block"
    return routine(each)


def _of_two(name: str, value: Any) -> Any:
    """A block of values of two arrays' elements."""

    def each(z, x, y):
        for i in range(z.size):
            z[i] = value(x[i], y[i])

    each.__qualname__ = f"{name}.block"
    return routine(each)


def _of_numbers(name: str, value: Any) -> Any:
    """A block of values of one array's elements and two numbers."""

    def each(z, x, a, b):
        a, b = x.dtype.type(a), x.dtype.type(b)
        for i in range(z.size):
            z[i] = value(x[i], a, b)

    each.__qualname__ = f"{name}.block"
    return routine(each)


def _scalars() -> dict[str, Any]:
    """The arithmetic that Python has signs for."""

    def copy(x):
        return x

    def negative(x):
        return -x

    def absolute(x):
        return abs(x)

    def square_root(x):
        return np.sqrt(x)

    def reciprocal(x):
        return type(x)(1) / x

    def add(x, y):
        return x + y

    def subtract(x, y):
        return x - y

    def multiply(x, y):
        return x * y

    def divide(x, y):
        return x / y

    def prelu(x, y):
        return activation.sloped(x, y, type(x)(1))

    return {function.__name__: scalar(function) for function in (
        copy, negative, absolute, square_root, reciprocal, add, subtract, multiply, divide, prelu
    )}  # fmt: skip


_S = _scalars()
_copy, _negative, _absolute = (_of_one(name, _S[name]) for name in ("copy", "negative", "absolute"))
_square_root, _reciprocal = (_of_one(name, _S[name]) for name in ("square_root", "reciprocal"))
_exp, _tanh = _of_one("exp", exp), _of_one("tanh", tanh)
_relu, _sigmoid = _of_one("relu", activation.relu), _of_one("sigmoid", activation.sigmoid)
_silu, _hardsigmoid = _of_one("silu", activation.silu), _of_one("hardsigmoid", activation.hardsigmoid)
_hardswish, _gelu = _of_one("hardswish", activation.hardswish), _of_one("gelu", activation.gelu)
_gelu_tanh = _of_one("gelu_tanh", activation.gelu_tanh)
_clamp, _sloped = _of_numbers("clamp", activation.clamp), _of_numbers("sloped", activation.sloped)
_add, _subtract = _of_two("add", _S["add"]), _of_two("subtract", _S["subtract"])
_multiply, _divide = _of_two("multiply", _S["multiply"]), _of_two("divide", _S["divide"])
_greater, _less, _prelu = _of_two("greater", greater), _of_two("less", less), _of_two("prelu", _S["prelu"])

_instruction, _pair, _operand = fields(4), fields(2), fields(8)


@routine
def _spread(z, x, start, operand):
    """A block of an operand that broadcasts: (1, sizes of the last three sides, steps of all four)."""
    _, d1, d2, d3, s0, s1, s2, s3 = _operand(operand, 0)
    i3, rest = start % d3, start // d3
    i2, rest = rest % d2, rest // d2
    i1, i0 = rest % d1, rest // d1
    k = 0
    while k < z.size:
        run = min(d3 - i3, z.size - k)
        at = i0 * s0 + i1 * s1 + i2 * s2 + i3 * s3
        to, source = z[k : k + run], x[at : at + max(s3 * run, 1)]
        if s3 == 0:
            value = source[0]
            for j in range(run):
                to[j] = value
        else:
            for j in range(run):
                to[j] = source[j]
        k += run
        i3, i2 = 0, i2 + 1
        if i2 == d2:
            i2, i1 = 0, i1 + 1
            if i1 == d1:
                i1, i0 = 0, i0 + 1


@routine
def _do(operator, z, x, y, a, b):
    """One operator on a block."""
    if operator == ADD:
        _add(z, x, y)
    elif operator == MULTIPLY:
        _multiply(z, x, y)
    elif operator == RELU:
        _relu(z, x)
    elif operator == CLAMP:
        _clamp(z, x, a, b)
    elif operator == SUBTRACT:
        _subtract(z, x, y)
    elif operator == DIVIDE:
        _divide(z, x, y)
    elif operator == GREATER:
        _greater(z, x, y)
    elif operator == LESS:
        _less(z, x, y)
    elif operator == PRELU:
        _prelu(z, x, y)
    elif operator == SLOPED:
        _sloped(z, x, a, b)
    elif operator == SIGMOID:
        _sigmoid(z, x)
    elif operator == SILU:
        _silu(z, x)
    elif operator == HARDSIGMOID:
        _hardsigmoid(z, x)
    elif operator == HARDSWISH:
        _hardswish(z, x)
    elif operator == GELU:
        _gelu(z, x)
    elif operator == GELU_TANH:
        _gelu_tanh(z, x)
    elif operator == EXP:
        _exp(z, x)
    elif operator == TANH:
        _tanh(z, x)
    elif operator == SQUARE_ROOT:
        _square_root(z, x)
    elif operator == RECIPROCAL:
        _reciprocal(z, x)
    elif operator == NEGATIVE:
        _negative(z, x)
    elif operator == ABSOLUTE:
        _absolute(z, x)
    elif operator == COPY:
        _copy(z, x)


# ------------------------------------------------------------------------------------------------- kernels

OPERATORS = (
    "add", "multiply", "relu", "clamp", "subtract", "divide", "greater", "less", "prelu", "sloped", "sigmoid", "silu",
    "hardsigmoid", "hardswish", "gelu", "gelu_tanh", "exp", "tanh", "square_root", "reciprocal", "negative",
    "absolute", "copy", "spread",
)  # fmt: skip
(
    ADD, MULTIPLY, RELU, CLAMP, SUBTRACT, DIVIDE, GREATER, LESS, PRELU, SLOPED, SIGMOID, SILU, HARDSIGMOID, HARDSWISH,
    GELU, GELU_TANH, EXP, TANH, SQUARE_ROOT, RECIPROCAL, NEGATIVE, ABSOLUTE, COPY, SPREAD,
) = range(len(OPERATORS))  # fmt: skip
BINARY = {"add", "multiply", "subtract", "divide", "greater", "less", "prelu"}
_WORK = {"sigmoid": 4, "silu": 4, "gelu": 8, "gelu_tanh": 8, "exp": 4, "tanh": 8, "divide": 2, "square_root": 2}


@kernel
def _run(addresses, program, numbers, operands, once, size, like):
    # An iteration owns some blocks.  Numbers below addresses.size are arrays, those from there on are registers; the
    # first ``once`` rows of the program are done once for all blocks of a task.
    arrays = addresses.size
    for task in prange(-(-size // (BLOCK * BLOCKS))):
        registers = _address(_registers())
        for start in range(task * BLOCK * BLOCKS, min((task + 1) * BLOCK * BLOCKS, size), BLOCK):
            count = min(BLOCK, size - start)
            for k in range(0 if start == task * BLOCK * BLOCKS else once, program.size // 4):
                operator, to, x, y = _instruction(program, k)
                a, b = _pair(numbers, k)
                z_at = (addresses[to] + start * like.itemsize if to < arrays
                        else registers + (to - arrays) * (BLOCK * like.itemsize))  # fmt: skip
                z = carray(_at(z_at, like), (count,))
                if operator == SPREAD:
                    values = carray(_at(addresses[x], like), (size,))
                    _spread(z, values, start, operands[x * 8 : x * 8 + 8])
                else:
                    x_at = (addresses[x] + start * like.itemsize if x < arrays
                            else registers + (x - arrays) * (BLOCK * like.itemsize))  # fmt: skip
                    y_at = (addresses[y] + start * like.itemsize if y < arrays
                            else registers + (y - arrays) * (BLOCK * like.itemsize))  # fmt: skip
                    _do(operator, z, carray(_at(x_at, like), (count,)), carray(_at(y_at, like), (count,)), a, b)


# ------------------------------------------------------------------------------------------------- programs


class Instruction(NamedTuple):
    """An operator of OPERATORS on values: operands are numbered from 0, then come the instructions."""

    operator: str
    x: int
    y: int = -1
    a: float = 0.0
    b: float = 0.0


class TooLong(ValueError):
    """A program takes more registers than there are, or an operand more sides."""


class Chain:
    """Instructions as the kernel takes them, for shapes that are known; called with arrays it fills those of outputs.

    ``outputs`` are numbers of instructions, ``in_place`` for each the operand whose memory it takes, or -1.
    """

    def __init__(
        self, instructions: Sequence[Instruction], shapes: Sequence[tuple[int, ...]], out_shape: tuple[int, ...],
        outputs: Sequence[int], dtype: Any, in_place: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self.size = int(np.prod(out_shape, dtype=np.int64))
        self.like = np.empty(0, dtype)
        self.counts = len(outputs), len(shapes)
        sides = [_sides(shape, out_shape) for shape in shapes]
        self.operands = np.array([[1] * 4 + [0] * 4] * len(outputs) + sides, np.int64).reshape(-1)
        whole = [shape == out_shape or int(np.prod(shape, dtype=np.int64)) == self.size for shape in shapes]
        single = [all(step == 0 for step in each[4:]) for each in sides]
        rows, self.once = _allocated(instructions, whole, single, tuple(outputs), tuple(in_place))
        self.program = np.array([row[:4] for row in rows], np.int64).reshape(-1)
        self.numbers = np.array([row[4:] for row in rows], np.float64).reshape(-1)
        self.work = self.size * sum(_WORK.get(each.operator, 1) for each in instructions)

    def __call__(self, *arrays: Array) -> None:
        """Fill the outputs, which come first, from the operands."""
        self.run(addresses_of(arrays))

    def run(self, addresses: Array) -> None:
        """The same for arrays of which the addresses are known."""
        _run(self.work)(addresses, self.program, self.numbers, self.operands, self.once, self.size, self.like)


def addresses_of(arrays: Sequence[Array]) -> Array:
    """Where C-contiguous arrays begin."""
    return np.array([array.__array_interface__["data"][0] for array in arrays], np.int64)


def _sides(shape: tuple[int, ...], out: tuple[int, ...]) -> list[int]:
    """(sizes, steps) of the sides along which an operand repeats and does not, in turn."""
    shape = (1,) * (len(out) - len(shape)) + tuple(shape)
    found: list[list[int]] = []
    for size, whole in zip(shape, out, strict=True):
        if whole == 1:
            continue
        repeats = int(size == 1)
        if found and found[-1][1] == repeats:
            found[-1][0] *= whole
        else:
            found.append([whole, repeats])
    if len(found) > MOST_SIDES:
        raise TooLong(f"an operand of {len(found)} sides")
    found = [[1, 1]] * (MOST_SIDES - len(found)) + found
    steps, step = [], 1
    for side, repeated in reversed(found):
        steps.append(0 if repeated else step)
        step *= 1 if repeated else side
    return [side for side, _ in found] + steps[::-1]


def _allocated(
    instructions: Sequence[Instruction], whole: list[bool], single: list[bool], outputs: tuple[int, ...],
    in_place: tuple[int, ...],
) -> tuple[list[tuple[Any, ...]], int]:  # fmt: skip
    """(the program's rows, how many of them are done once); arrays are the outputs, then the operands."""
    count = len(whole)
    last = {value: k for k, each in enumerate(instructions) for value in (each.x, each.y) if value >= 0}
    arrays = len(outputs) + count
    place = {i: len(outputs) + i for i in range(count) if whole[i]}
    written = {value: k for k, value in enumerate(outputs) if not in_place or in_place[k] < 0}
    free = list(range(arrays, arrays + REGISTERS))[::-1]

    def register() -> int:
        if not free:
            raise TooLong("more values at a time than there are registers")
        return free.pop()

    once: list[tuple[Any, ...]] = []
    rows: list[tuple[Any, ...]] = []
    for i in last:
        if i < count and not whole[i] and single[i]:
            place[i] = register()
            once.append((SPREAD, place[i], len(outputs) + i, 0, 0.0, 0.0))
    for k, each in enumerate(instructions):
        given = [value for value in (each.x, each.y) if value >= 0]
        for value in given:
            if value not in place:
                place[value] = register()
                rows.append((SPREAD, place[value], len(outputs) + value, 0, 0.0, 0.0))
        to = written.get(count + k)
        place[count + k] = register() if to is None else to
        x = place[each.x]
        y = place[each.y] if each.y >= 0 else x
        rows.append((OPERATORS.index(each.operator), place[count + k], x, y, each.a, each.b))
        for value in dict.fromkeys(given):
            kept = value in outputs or (value < count and single[value])
            if last[value] == k and not kept and place[value] >= arrays:
                free.append(place[value])
        if count + k not in last and count + k not in outputs:
            raise AssertionError(f"nobody reads what instruction {k} makes")
    for k, value in enumerate(outputs):
        if value not in written:
            rows.append((COPY, k, place[value], place[value], 0.0, 0.0))
    return once + rows, len(once)
