"""Winograd's transformations of a vector of tiles, as intrinsics: what winograd.py is made of.

Sources: Lavin and Gray, arXiv 1509.09308; the points 0, 1, -1, 1/2, -2 of F(4x4, 3x3): Barabasz et al.,
arXiv 1803.10986.
"""

from fractions import Fraction
from math import prod
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..simd.emit import (
    array_data,
    interleaved,
    masked_store,
    masks_between,
    multiply_add,
    repeated,
    store,
    vector_of,
)
from .finish import bent, finished, in_vectors

Matrix = tuple[tuple[Fraction, ...], ...]


class Transform(NamedTuple):
    """The matrices of F(m x m, 3 x 3): Y = A' [(G g G') * (B' d B)] A for kernel g and inputs d."""

    input: Matrix  # B', m + 2 by m + 2
    weight: Matrix  # G, m + 2 by 3
    output: Matrix  # A', m by m + 2


def _transform(*points: Fraction | int) -> Transform:
    """By Toom and Cook: polynomials evaluated at the points and at infinity."""
    at, size = [Fraction(point) for point in points], len(points) + 1

    def polynomial(roots: list[Fraction]) -> list[Fraction]:
        """The coefficients of the product of (x - root), the constant first."""
        coefficients = [Fraction(1)]
        for root in roots:
            shifted, scaled = [Fraction(0), *coefficients], [*(-root * c for c in coefficients), Fraction(0)]
            coefficients = [a + b for a, b in zip(shifted, scaled, strict=True)]
        return coefficients + [Fraction(0)] * (size - len(coefficients))

    others = [[b for b in at if b != a] for a in at]
    infinity = tuple(Fraction(k == size - 1) for k in range(size))
    return Transform(
        (*(tuple(polynomial(rest)) for rest in others), tuple(polynomial(at))),
        (*(tuple(a**k / prod(a - b for b in rest) for k in range(3)) for a, rest in zip(at, others, strict=True)),
         infinity[-3:]),
        tuple((*(a**i for a in at), Fraction(i == size - 3)) for i in range(size - 2)),
    )  # fmt: skip


F2 = _transform(0, 1, -1)
F4 = _transform(0, 1, -1, Fraction(1, 2), -2)


def _multiplied(builder: Any, matrix: Matrix, vectors: list[Any]) -> list[Any]:
    """The matrix times a column of vectors."""
    results = []
    for row in matrix:
        total = None
        for factor, vector in zip(row, vectors, strict=True):
            if factor == 0:
                continue
            constant = ir.Constant(vector.type, [float(factor)] * vector.type.count)
            if total is None:
                total = vector if factor == 1 else builder.fmul(vector, constant)
            elif abs(factor) == 1:
                total = builder.fadd(total, vector) if factor > 0 else builder.fsub(total, vector)
            else:
                total = multiply_add(builder, vector, constant, total)
        results.append(total)
    return results


def _both_sides(builder: Any, matrix: Matrix, square: list[list[Any]]) -> list[list[Any]]:
    """The matrix times the square of vectors times the matrix transposed."""
    columns = [_multiplied(builder, matrix, list(column)) for column in zip(*square, strict=True)]
    return [_multiplied(builder, matrix, list(row)) for row in zip(*columns, strict=True)]


def input_tile(transform: Transform) -> Any:
    """The intrinsic for one vector of tiles: v[to + e * pitch] = element e of B' d B, d[k] = x[at + places[k]]."""
    size = len(transform.input)

    @intrinsic
    def tile(typing_context, v, to, pitch, x, at, places):
        return types.void(v, to, pitch, x, at, places), generate

    def generate(context, builder, signature, arguments):
        v, to, pitch, x, at, places = arguments
        v, x, places = (array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 5))
        i64, (_, _, load) = ir.IntType(64), vector_of(context, builder, signature.args[3].dtype)
        x = builder.gep(x, [at])
        square = [
            [load(builder.gep(x, [builder.load(builder.gep(places, [i64(r * size + c)]))])) for c in range(size)]
            for r in range(size)
        ]
        elements = [value for row in _both_sides(builder, transform.input, square) for value in row]
        for e, value in enumerate(elements):
            store(builder, value, builder.gep(v, [builder.add(to, builder.mul(pitch, i64(e)))]))
        return context.get_dummy_value()

    return tile


def output_tile(transform: Transform) -> Any:
    """The intrinsic for one vector of tiles: A' M A + bias, M[e] = m[at + e * pitch], finished, in runs of pixels.

    Run i in [s0, s1) is a row of tiles: (place in the plane of the vector's first pixel, first and last pixel of the
    vector to write, how many rows of pixels).  Returns whether a pixel, written or not, is infinite or NaN.
    """
    size, rows = len(transform.input), len(transform.output)

    @intrinsic
    def tile(typing_context, out, to, out_width, m, at, pitch, bias, runs, s0, s1, add, adds, low, high, bend, slope):
        arguments = (out, to, out_width, m, at, pitch, bias, runs, s0, s1, add, adds, low, high, bend, slope)
        return types.boolean(*arguments), generate

    def generate(context, builder, signature, arguments):
        out, to, out_width, m, at, pitch, bias, runs, s0, s1, add, *finish, bend, slope = arguments
        out, m, runs, add = (array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 7, 10))
        i64, (vector, zero, load) = ir.IntType(64), vector_of(context, builder, signature.args[3].dtype)
        square = [
            [load(builder.gep(m, [builder.add(at, builder.mul(pitch, i64(r * size + c)))])) for c in range(size)]
            for r in range(size)
        ]
        bias = repeated(builder, vector, bias)
        finish = in_vectors(context, builder, vector, add, signature.args[11:14], finish)
        slope = repeated(builder, vector, context.cast(builder, slope, signature.args[15], signature.args[3].dtype))
        results = _both_sides(builder, transform.output, square)
        pixels = [interleaved(builder, [builder.fadd(value, bias) for value in row]) for row in results]
        nothing = zero  # 0 where all is finite, else NaN
        for value in (value for row in pixels for value in row):
            nothing = builder.fadd(nothing, builder.fmul(value, zero))
        bad = builder.fcmp_unordered("uno", nothing, nothing)
        bad = builder.icmp_unsigned("!=", builder.bitcast(bad, ir.IntType(vector.count)), ir.IntType(vector.count)(0))
        with cgutils.for_range(builder, builder.sub(s1, s0)) as loop:
            run = builder.gep(runs, [builder.mul(builder.add(s0, loop.index), i64(4))])
            base, first, last, height = (builder.load(builder.gep(run, [i64(i)])) for i in range(4))
            masks = masks_between(builder, vector.count, rows, first, last)
            for row in range(rows):
                with builder.if_then(builder.icmp_signed(">", height, i64(row))):
                    start = builder.add(builder.add(to, base), builder.mul(out_width, i64(row)))
                    places = [builder.add(start, i64(part * vector.count)) for part in range(rows)]
                    parts = list(zip(places, masks, strict=True))
                    values = [finished(builder, pixels[row][i], *part, finish) for i, part in enumerate(parts)]
                    for value, (place, mask) in zip(bent(builder, values, bend, slope), parts, strict=True):
                        masked_store(builder, value, builder.gep(out, [place]), mask)
        return bad

    return tile


def weight_tile(transform: Transform) -> Any:
    """The intrinsic for one vector of kernels: u[to + e * pitch] = element e of G g G'.

    Lane i of g[k] is w[at + i * step + taps[k]].
    """

    @intrinsic
    def tile(typing_context, u, to, pitch, w, at, step, taps):
        return types.void(u, to, pitch, w, at, step, taps), generate

    def generate(context, builder, signature, arguments):
        u, to, pitch, w, at, step, taps = arguments
        u, w, taps = (array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 6))
        i64, i32 = ir.IntType(64), ir.IntType(32)
        vector, _, _ = vector_of(context, builder, signature.args[3].dtype)

        def gathered(tap):
            start = builder.add(at, builder.load(builder.gep(taps, [i64(tap)])))
            value = ir.Constant(vector, ir.Undefined)
            for lane in range(vector.count):
                one = builder.load(builder.gep(w, [builder.add(start, builder.mul(step, i64(lane)))]))
                value = builder.insert_element(value, one, i32(lane))
            return value

        square = [[gathered(3 * r + c) for c in range(3)] for r in range(3)]
        elements = [value for row in _both_sides(builder, transform.weight, square) for value in row]
        for e, value in enumerate(elements):
            store(builder, value, builder.gep(u, [builder.add(to, builder.mul(pitch, i64(e)))]))
        return context.get_dummy_value()

    return tile
