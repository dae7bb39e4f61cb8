"""linear and its gradient on the CPU.

A few vectors of outputs are a panel: their part of the matrix is transposed, and a tile of rows by such vectors has its
sums in registers.  For few rows that does not pay, and they are a product of NumPy's BLAS, which for many reached half
the speed of these tiles (OpenBLAS 0.3.31 on a Zen 5: 110 GFLOP/s of one core against 230).
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, prange, types
from numba.extending import intrinsic

from .._jit import VECTOR_BYTES, VECTOR_REGISTERS, index, kernel
from .simd import emit
from .simd.transpose import transpose
from .simd.values import keep, lanes_of, pointer

ROWS, VECTORS = (6, 4) if VECTOR_REGISTERS >= 32 else (6, 2)  # of a tile
LONGEST_SUM = 256  # products summed before they join a total: rounding grows with the length of a sum
GROUP = 256  # rows of a task, for which a panel is transposed
FEWEST_ROWS, SMALL_MATRIX = 8, 1 << 14  # one of both pays for the transposition

STRIP = 64  # columns that a task adds up

_totals_of_a_strip = emit.stack_memory(STRIP * 8)
_panel_of_a_task = emit.stack_memory(LONGEST_SUM * VECTORS * VECTOR_BYTES)

# ------------------------------------------------------------------------------------------------ routines


def _tile_of(height: int) -> Any:
    """The intrinsic that makes ``height`` rows of up to VECTORS vectors of outputs, by pointers.

    out[to + r * pitch + c] = sum over k < terms of x[at + r * row_step + k * step] * panel[k * wide + c], for
    c < count, plus bias[column + c] or, with ``adds``, the output that is there.
    """

    @intrinsic
    def tile(typing_context, out, to, pitch, x, at, row_step, step, panel, wide, terms, bias, column, count, adds):
        def generate(context, builder, sig, args):
            out, to, pitch, x, at, row_step, step, panel, wide, terms, bias, column, count, adds = args
            vector, zero, _ = emit.vector_of(context, builder, sig.args[0].dtype)
            i64, lanes = ir.IntType(64), vector.count
            bias, out = builder.gep(bias, [column]), builder.gep(out, [to])
            rows = [builder.gep(x, [builder.add(at, builder.mul(row_step, i64(r)))]) for r in range(height)]

            def of_vectors(vectors):
                masks = emit.masks_between(builder, lanes, vectors, i64(0), count)
                together = min(4, max(1, VECTOR_REGISTERS - height * vectors - vectors))

                def body(k, sums):
                    place, source = builder.mul(k, step), builder.gep(panel, [builder.mul(k, wide)])
                    weights = [
                        emit.load(builder, vector, builder.gep(source, [i64(v * lanes)])) for v in range(vectors)
                    ]
                    updated = []
                    for r in range(height):
                        if r % together == 0:  # or LLVM loads all rows first, and spills sums
                            emit.fence(builder)
                        number = emit.repeated(builder, vector, builder.load(builder.gep(rows[r], [place])))
                        for v in range(vectors):
                            updated.append(emit.multiply_add(builder, number, weights[v], sums[r * vectors + v]))
                    return updated

                sums = emit.sum_loop(builder, i64(0), terms, 1, zero, height * vectors, body)
                for v in range(vectors):
                    for r in range(height):
                        place = builder.gep(out, [builder.add(builder.mul(pitch, i64(r)), i64(v * lanes))])
                        before = builder.select(adds, place, builder.gep(bias, [i64(v * lanes)]))
                        more = emit.masked_load(builder, before, masks[v], zero)
                        emit.masked_store(builder, builder.fadd(sums[r * vectors + v], more), place, masks[v])

            whole = builder.udiv(builder.add(count, i64(lanes - 1)), i64(lanes))
            emit.switch(builder, whole, range(1, VECTORS + 1), of_vectors)
            return context.get_dummy_value()

        i64, floats = types.int64, out
        arguments = floats, i64, i64, floats, i64, i64, i64, floats, i64, i64, floats, i64, i64, types.boolean
        return types.void(*arguments), generate

    return tile


_rows_of_a_tile, _one_row = _tile_of(ROWS), _tile_of(1)

# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _product(out, x, y, more, rows, terms, row_step, step, turned, group):
    # out[r, c] = sum over k < terms of x[r * row_step + k * step] * y[c, k] + more[c]; if ``turned``, of y[k, c].
    # An iteration owns a panel of ``group`` rows.
    outputs = more.size
    wide, groups = VECTORS * lanes_of(x), -(-rows // group)
    for task in prange(-(-outputs // wide) * groups):
        c, r0 = task // groups * wide, task % groups * group
        count, r1 = min(wide, outputs - c), min(r0 + group, rows)
        panel = carray(_panel_of_a_task(), (LONGEST_SUM * wide,), x.dtype)
        to, values, some, bias = pointer(out), pointer(x), pointer(panel), pointer(more)
        for k0 in range(0, terms, LONGEST_SUM):
            length = min(LONGEST_SUM, terms - k0)
            if count < wide:  # columns beyond the last are computed, too, and dropped
                for i in range(length * wide):
                    panel[i] = 0
            if turned:
                for k in range(length):
                    for j in range(count):
                        panel[index(k * wide + j)] = y[index((k0 + k) * outputs + c + j)]
            else:
                transpose(panel, 0, wide, y, c * terms + k0, terms, count, length)
            r = r0
            while r + ROWS <= r1:
                _rows_of_a_tile(to, r * outputs + c, outputs, values, r * row_step + k0 * step, row_step, step, some,
                                wide, length, bias, c, count, k0 > 0)  # fmt: skip
                r += ROWS
            while r < r1:
                _one_row(to, r * outputs + c, outputs, values, r * row_step + k0 * step, row_step, step, some, wide,
                         length, bias, c, count, k0 > 0)  # fmt: skip
                r += 1
        keep(panel)


@kernel
def _column_sums(sums, x):
    # An iteration owns a strip of columns, which it adds up in float64.
    columns = sums.size
    for first in prange(-(-columns // STRIP)):
        c, count = first * STRIP, min(STRIP, columns - first * STRIP)
        totals = carray(_totals_of_a_strip(), (STRIP,), np.float64)
        for j in range(STRIP):
            totals[j] = 0
        for row in range(x.size // columns):
            for j in range(count):
                totals[index(j)] += np.float64(x[index(row * columns + c + j)])
        for j in range(count):
            sums[c + j] = totals[j]


# ------------------------------------------------------------------------------------------------- entries


def linear(out, input, weight, bias):
    """Rows times the transposed weight."""
    outputs, length = weight.shape
    rows = input.size // length
    if _suits(rows, weight.size):
        bias = np.zeros(outputs, out.dtype) if bias is None else bias
        _product(out.size * length // 8)(
            out.ravel(), input.ravel(), weight.ravel(), bias, rows, length, length, 1, False, GROUP
        )
        return
    rows = out.reshape(-1, outputs)
    with np.errstate(all="ignore"):  # infinities and NaN go through in silence, as they do everywhere else
        np.matmul(input.reshape(-1, length), weight.T, out=rows)
        if bias is not None:
            rows += bias


def linear_backward(grad_input, grad_weight, grad_bias, grad_output, input, weight):
    """Fill the gradients; that of the bias may be None."""
    outputs, length = weight.shape
    rows = grad_output.size // outputs
    gradient, x = grad_output.ravel(), input.ravel()
    if _suits(rows, weight.size) and rows:
        work, nothing = gradient.size * length // 8, np.zeros(length, x.dtype)
        _product(work)(grad_input.ravel(), gradient, weight.ravel(), nothing, rows, outputs, outputs, 1, True, GROUP)
        _product(work)(grad_weight.ravel(), gradient, x, nothing, outputs, rows, 1, outputs, True, 4 * ROWS)
    else:
        with np.errstate(all="ignore"):
            np.matmul(gradient.reshape(rows, outputs), weight, out=grad_input.reshape(rows, length))
            np.matmul(gradient.reshape(rows, outputs).T, x.reshape(rows, length), out=grad_weight)
    if grad_bias is not None:
        _column_sums(gradient.size)(grad_bias, gradient)


def _suits(rows, weights):
    """Whether a product is made here: for few rows that pays where the matrix is small."""
    return VECTOR_BYTES > 16 and (rows >= FEWEST_ROWS or weights <= SMALL_MATRIX)
