"""How near the machine's limits: arithmetic beside its peak of multiply-adds, bytes beside its copy, memory in all.

Both limits are measured in the process that measures the operator, with the same threads, so that what slows the
machine slows both.
"""

import time
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from . import on, suite

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


def seconds(call: Any) -> float:
    """The least of several calls, in about a third of a second."""
    found, end = [], time.perf_counter() + 0.3
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
    return 2 * LANES * CHAINS * STEPS * parts / seconds(lambda: on_every_core(parts, np.int64(STEPS)))


@cache
def peak_bytes() -> float:
    """Bytes a second that a copy reads and writes."""
    x, out = (np.ones(COPIED // 4, np.float32) for _ in range(2))
    copy(out, x)
    return 2 * COPIED / seconds(lambda: copy(out, x))


CONVOLUTIONS = [each for each in suite.OPERATORS if each.case.operator in suite.CONVOLUTIONS]
LARGE = [each for each in suite.OPERATORS if each.family == "large"]


class Arithmetic(on([each for each in CONVOLUTIONS if each.dtype == "float32"])):
    """A convolution's multiplications and additions, by the definition: Winograd may come out above 1."""

    def track_share_of_peak_gflops(self, library, name, device="cpu"):
        x, weight, _ = self.arrays
        result = np.asarray(self.result)
        places = x if self.cases[name].case.operator == "conv_transpose2d" else result
        per_place = weight[0].size  # of a kernel: (O, C / groups, kH, kW), transposed (C, O / groups, kH, kW)
        return 2 * places.size * per_place / seconds(self.call) / peak_operations()

    track_share_of_peak_gflops.unit = "share"


class Bandwidth(on(LARGE)):
    """The bytes of the arguments and of the result, each once; the result is a new array each time."""

    def track_share_of_copy_gbs(self, library, name, device="cpu"):
        results = self.result if isinstance(self.result, tuple) else (self.result,)
        moved = sum(a.nbytes for a in self.arrays) + np.asarray(results[0]).nbytes
        return moved / seconds(self.call) / peak_bytes()

    track_share_of_copy_gbs.unit = "share"


class Memory(on(LARGE)):
    """The most that the process has held, both libraries and the making of the arrays included."""

    def peakmem_call(self, library, name, device="cpu"):
        self.call()
