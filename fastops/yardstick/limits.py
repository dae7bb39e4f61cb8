"""The limits of the machine, a peak of multiply-adds and the speed of a copy, and what a case needs of both.

Both limits are measured in the process that times the operators, with the same threads, so that what slows the machine
slows both.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from .cases import Array, Case

LANES = 16 if binding.get_host_cpu_features().get("avx512f") else 8
CHAINS = 12  # sums in flight: two units with a latency of four cycles need eight
STEPS = 100_000
COPIED = 128 << 20  # bytes: far above the caches


@intrinsic
def multiply_adds(typingctx, steps):
    """x = x * a + b in CHAINS vectors of float32, `steps` times; the sum, so that nothing is left out."""

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(ir.FloatType(), LANES)
        # by its name: llvmlite declares intrinsics of scalars only
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{LANES}f32"
        )
        a, b = (ir.Constant(vector, [value] * LANES) for value in (0.5, 1.0))
        before, loop = builder.block, builder.append_basic_block("loop")
        after = builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        step = builder.phi(args[0].type)
        step.add_incoming(args[0].type(0), before)
        sums = [builder.phi(vector) for _ in range(CHAINS)]
        for i, x in enumerate(sums):
            x.add_incoming(ir.Constant(vector, [float(i)] * LANES), before)
            x.add_incoming(builder.call(fma, [x, a, b]), loop)
        following = builder.add(step, args[0].type(1))
        step.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[0]), loop, after)
        builder.position_at_end(after)
        total = sums[0]
        for x in sums[1:]:
            total = builder.fadd(total, x)
        return builder.extract_element(total, ir.IntType(32)(0))

    return types.float32(types.int64), codegen


@numba.njit(parallel=True)
def on_every_core(parts, steps):
    total = np.zeros(parts, np.float32)
    for i in prange(parts):
        total[i] = multiply_adds(steps)
    return total


@numba.njit(parallel=True)
def copy(out, x):
    for i in prange(x.size):
        out[i] = x[i]


def seconds(call: Callable[[], Any]) -> float:
    """The least of several calls, in about a third of a second."""
    found: list[float] = []
    end = time.perf_counter() + 0.3
    while len(found) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


@cache
def peak_operations() -> float:
    """Multiplications and additions a second, float32."""
    parts = 8 * numba.get_num_threads()
    on_every_core(parts, np.int64(1))
    done = 2 * LANES * CHAINS * STEPS * int(parts)
    return done / seconds(lambda: on_every_core(parts, np.int64(STEPS)))


@cache
def peak_bytes() -> float:
    """Bytes a second that a copy reads and writes."""
    x, out = (np.ones(COPIED // 4, np.float32) for _ in range(2))
    copy(out, x)
    return 2 * COPIED / seconds(lambda: copy(out, x))


def measured() -> dict[str, float] | None:
    """Both limits, as `fastops compare --json` keeps them; None where numba cannot compile or start its threads."""
    try:
        return {"operations_per_second": peak_operations(), "bytes_per_second": peak_bytes()}
    except Exception:  # NUMBA_DISABLE_JIT, or a threading layer that is asked for and not installed
        return None


# ------------------------------------------------------------------------------------------------ what a case needs


def operations(case: Case, arrays: Sequence[Array], result: Array, backward: bool = False) -> int | None:
    """A convolution's multiplications and additions by the definition, which Winograd's method undercuts.

    None of other operators, whose few operations are nothing beside their bytes. Of gradients `result` is grad_output,
    and input and weight have as many operations each as the convolution itself; the bias's sums are left out.
    """
    if case.operator not in ("conv2d", "conv_transpose2d"):
        return None
    x, weight = arrays[:2]
    places = x if case.operator == "conv_transpose2d" else result
    per_place = int(weight[0].size)  # of a kernel: (O, C / groups, kH, kW), transposed (C, O / groups, kH, kW)
    return (4 if backward else 2) * int(places.size) * per_place


def bytes_moved(arrays: Sequence[Array], results: Sequence[Array]) -> int | None:
    """The bytes of the arguments and of the results, each once; None of a view, for which nothing moves."""
    if any(np.may_share_memory(results[0], each) for each in arrays):
        return None
    return sum(int(each.nbytes) for each in (*arrays, *results))
