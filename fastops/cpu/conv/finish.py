"""What is done to an output when its sum is complete: the residual is added, then comes the activation.

    activation(sum + bias + add)

Algorithms that write vectors from registers add there and keep within [low, high] there, which is relu, relu6 and
clamp; they *bend* there, which are the other activations in straight pieces, or bend what a task has just written,
while it is in L1 or L2.  What else there is to do is done in a pass over the output, by the kernels of the separate
calls: an exponential costs more than the way through memory (silu 0.2 ns an element in L2, 0.35 beyond the caches).
The bits are those of the separate calls.
"""

from math import inf
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..._jit import VECTOR_BYTES
from .. import elementwise
from ..activation import SIXTH
from ..simd.emit import (
    Value,
    array_data,
    itemsize,
    masked_load,
    masked_store,
    masks_between,
    prefetch,
    repeated,
    vector_of,
)

Activation = tuple[Any, ...]
"""A function of elementwise.py, and the numbers that it takes."""

LEAKY_RELU, HARDSIGMOID, HARDSWISH = range(1, 4)
_BENDS = {"leaky_relu": LEAKY_RELU, "hardsigmoid": HARDSIGMOID, "hardswish": HARDSWISH}


class Finish(NamedTuple):
    """The end of an output as kernels take it; where nothing is added, ``add`` is any array of the output's dtype."""

    add: Any
    adds: bool = False
    low: float = -inf
    high: float = inf
    bend: int = 0  # which of the activations of _BENDS; 0: none
    slope: float = 0.0  # leaky_relu's


def finish_of(bias: Any, add: Any, activation: Activation | None) -> tuple[Finish, Activation | None]:
    """(what is done as the output is written, the activation that is left)."""
    name, *numbers = activation or ("",)
    low, high = (0.0, inf) if name == "relu" else numbers if name == "clamp" else (-inf, inf)
    if low != low or high != high:  # NaN: makes NaN of all
        low, high = -inf, inf
    elif name in ("relu", "clamp"):
        activation = None
    bend, slope = 0, 0.0
    if VECTOR_BYTES > 16 and name in _BENDS:  # without AVX masks are branches
        bend, slope, activation = _BENDS[name], numbers[0] if numbers else 0.0, None
    added, adds = (bias, False) if add is None else (add.reshape(-1), True)
    return Finish(added, adds, low, high, bend, slope), activation


def part_of(finish: Finish, first: int, count: int) -> Finish:
    """The end of some of the outputs."""
    return finish._replace(add=finish.add[first : first + count]) if finish.adds else finish


def finished(builder: Any, value: Value, place: Value, mask: Value, finish: tuple[Value, ...]) -> Value:
    """Emit the end of a vector of outputs, which come to ``place`` of the output, in the lanes of the mask.

    ``finish`` are (pointer to what is added, whether it is, lowest, highest), the last two in vectors.
    """
    (add, adds, low, high), vector, before = finish, value.type, builder.block
    with builder.if_then(adds):
        more = masked_load(builder, builder.gep(add, [place]), mask, ir.Constant(vector, [0.0] * vector.count))
        added, after = builder.fadd(value, more), builder.block
    total = builder.phi(vector)
    total.add_incoming(value, before)
    total.add_incoming(added, after)
    return kept_within(builder, total, low, high)


def fetch_rows(builder: Any, vector: Any, pointer: Value, pitch: Value, rows: int, vectors: int) -> None:
    """Emit the fetch of rows of vectors, ``pitch`` apart, all lines of the cache in which they lie.

    The CPU foresees no reads of a few lines from each of many planes.  Waiting for 6 and 25 MB of a residual took 2000
    and 2900 us (3x3 by Winograd and 1x1, 8 images of 56 x 56); fetched while the sums are made, 0 and 800.
    """
    i64, line = ir.IntType(64), 64 // itemsize(vector)
    for r in range(rows):
        row = builder.gep(pointer, [builder.mul(pitch, i64(r))])
        for i in (*range(0, vectors * vector.count, line), vectors * vector.count - 1):
            prefetch(builder, builder.gep(row, [i64(i)]))


@intrinsic
def fetch(typing_context, array, place):
    """Ask for the line of the cache of an array's element ``place``, which may be any."""

    def generate(context, builder, signature, arguments):
        prefetch(builder, builder.gep(array_data(context, builder, signature.args[0], arguments[0]), [arguments[1]]))
        return context.get_dummy_value()

    return types.void(array, place), generate


def kept_within(builder: Any, value: Value, low: Value, high: Value) -> Value:
    """Emit a vector kept within [low, high]."""
    # one instruction each, and NaN goes through: max(low, x) and min(high, x) give x where they cannot compare
    value = builder.select(builder.fcmp_ordered(">", low, value), low, value)
    return builder.select(builder.fcmp_ordered("<", high, value), high, value)


def in_vectors(context: Any, builder: Any, vector: Any, add: Value, kinds: Any, values: Any) -> tuple[Value, ...]:
    """What `finished` takes, from the arguments adds, low and high of an intrinsic and their types."""
    adds, *numbers = values
    return add, adds, *bounds(context, builder, vector, kinds[1:], numbers)


def bounds(context: Any, builder: Any, vector: Any, kinds: Any, values: Any) -> tuple[Value, ...]:
    """Arguments low and high of an intrinsic in every lane of a vector."""
    dtype = types.float64 if isinstance(vector.element, ir.DoubleType) else types.float32
    numbers = (context.cast(builder, each, kind, dtype) for each, kind in zip(values, kinds, strict=True))
    return tuple(repeated(builder, vector, number) for number in numbers)


# --------------------------------------------------------------------------------- activations in straight pieces


def bent(builder: Any, values: list[Value], bend: Value, slope: Value) -> list[Value]:
    """Emit an activation of _BENDS of vectors; ``slope`` is a vector.

    The formulas are those of activation.py, which are of single numbers: LLVM makes no vectors of a tile's short rows.
    A pass over 25 MB of outputs took 1450 us beside 4700 for the 1x1 convolution, in registers it takes 200 to 300.
    """
    vector = slope.type
    zero, one, three, six, sixth = (ir.Constant(vector, [float(n)] * vector.count) for n in (0, 1, 3, 6, SIXTH))

    def leaky_relu(x: Value) -> Value:
        return builder.fmul(x, builder.select(builder.fcmp_ordered(">", x, zero), one, slope))

    def hard(x: Value) -> Value:
        part = builder.fmul(kept_within(builder, builder.fadd(x, three), zero, six), sixth)
        return builder.fmul(builder.select(swish, x, one), part)

    swish = builder.icmp_signed("==", bend, ir.IntType(64)(HARDSWISH))
    ways, done = [(values, builder.block)], builder.append_basic_block("bent")
    choice = builder.switch(bend, done)
    for formula, numbers in ((leaky_relu, (LEAKY_RELU,)), (hard, (HARDSIGMOID, HARDSWISH))):
        block = builder.append_basic_block(formula.__name__)
        for number in numbers:
            choice.add_case(ir.IntType(64)(number), block)
        builder.position_at_end(block)
        ways.append(([formula(value) for value in values], block))
        builder.branch(done)
    builder.position_at_end(done)
    return joined(builder, vector, ways)


def joined(builder: Any, vector: Any, ways: list[tuple[list[Value], Any]]) -> list[Value]:
    """The vectors that come from one of several blocks, each with as many."""
    results = []
    for values in zip(*(values for values, _ in ways), strict=True):
        result = builder.phi(vector)
        for value, (_, block) in zip(values, ways, strict=True):
            result.add_incoming(value, block)
        results.append(result)
    return results


@intrinsic
def bend_rows(typing_context, out, at, pitch, rows, pixels, bend, slope):
    """Replace rows of outputs, ``pitch`` apart from out[at] on, by their activation."""
    arguments = (out, at, pitch, rows, pixels, bend, slope)

    def generate(context, builder, signature, arguments):
        out, at, pitch, rows, pixels, bend, slope = arguments
        dtype, i64 = signature.args[0].dtype, ir.IntType(64)
        pitch, rows, pixels, bend, slope = (
            context.cast(builder, value, kind, dtype if i == 4 else types.int64)
            for i, (value, kind) in enumerate(zip(arguments[2:], signature.args[2:], strict=True))
        )
        vector, zero, _ = vector_of(context, builder, dtype)
        slope = repeated(builder, vector, slope)
        out = builder.gep(array_data(context, builder, signature.args[0], out), [at])
        with cgutils.for_range(builder, rows) as row:
            first = builder.gep(out, [builder.mul(row.index, pitch)])
            with cgutils.for_range_slice(builder, i64(0), pixels, i64(vector.count)) as (i, _):
                (mask,) = masks_between(builder, vector.count, 1, i64(0), builder.sub(pixels, i))
                place = builder.gep(first, [i])
                (value,) = bent(builder, [masked_load(builder, place, mask, zero)], bend, slope)
                masked_store(builder, value, place, mask)
        return context.get_dummy_value()

    return types.void(*arguments), generate


# --------------------------------------------------------------------------------------------- a pass of its own


def finish_all(out, finish):
    """Do to all of an output what no algorithm has done."""
    if finish.adds:
        with np.errstate(all="ignore"):
            np.add(out, finish.add.reshape(out.shape), out=out)
    if (finish.low, finish.high) != (-inf, inf):
        elementwise.clamp(out, out, finish.low, finish.high)
    if finish.bend == LEAKY_RELU:
        elementwise.leaky_relu(out, out, finish.slope)
    elif finish.bend:
        (elementwise.hardsigmoid if finish.bend == HARDSIGMOID else elementwise.hardswish)(out, out)


def activate(out, activation):
    """Replace an output by its activation."""
    name, *numbers = activation
    getattr(elementwise, name)(out, out, *numbers)
