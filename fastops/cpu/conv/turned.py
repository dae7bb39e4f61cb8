"""Numbers turned from (channels, pixels) to (pixels, channels) and back, by squares of vectors in registers."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..._jit import VECTOR_BYTES, index, routine
from ..activation import clamp
from ..simd.emit import (
    array_data,
    interleaved,
    lanes,
    load,
    masked_load,
    masked_store,
    masks_between,
    repeated,
    store,
    vector_of,
)
from .finish import finished, in_vectors


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """The columns of a square of vectors, in log2 steps: each interleaves the vectors of two halves."""
    count = len(rows)
    while count > 1:
        count //= 2
        half = len(rows) // 2
        rows = [part for low, high in zip(rows[:half], rows[half:], strict=True)
                for part in interleaved(builder, [low, high])]  # fmt: skip
    return rows


def _block_writer(step: int) -> Any:
    """The intrinsic that writes a square of sums, pixels by channels, to rows of pixels, every ``step``-th (1 or 2).

    out[to + c * plane + q * step] = sums[at + q * pitch + c] + bias[oc + c] for c < channels, q < pixels, and finished;
    with a step of 2 nothing is added.
    """

    @intrinsic
    def write_block(typing_context, out, to, plane, sums, at, pitch, bias, oc, channels, pixels, add, adds, low, high):
        arguments = (out, to, plane, sums, at, pitch, bias, oc, channels, pixels, add, adds, low, high)
        return types.void(*arguments), generate

    def generate(context, builder, signature, arguments):
        out, to, plane, sums, at, pitch, bias, oc, channels, pixels, add, *finish = arguments
        out, sums, bias, add = (array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 6, 10))
        i64, (vector, _, _) = ir.IntType(64), vector_of(context, builder, signature.args[0].dtype)
        count = vector.count
        finish = in_vectors(context, builder, vector, add, signature.args[11:], finish)
        sums, bias = builder.gep(sums, [at]), builder.gep(bias, [oc])
        rows = [load(builder, vector, builder.gep(sums, [builder.mul(pitch, i64(q))])) for q in range(count)]
        columns = _turned(builder, rows)
        places = [builder.add(to, builder.mul(plane, i64(c))) for c in range(count)]
        targets = [builder.gep(out, [place]) for place in places]

        def values(c):
            more = builder.load(builder.gep(bias, [i64(c)]))
            value = builder.fadd(columns[c], repeated(builder, vector, more))
            value = finished(builder, value, places[c], mask, finish)
            return [value] if step == 1 else interleaved(builder, [value, value])

        full = builder.icmp_signed(">=", builder.select(builder.icmp_signed("<", channels, pixels), channels, pixels),
                                   i64(count))  # fmt: skip
        (mask,) = masks_between(builder, count, 1, i64(0), pixels)
        nothing = ir.Constant(mask.type, None)
        masks = [mask] if step == 1 else interleaved(builder, [mask, nothing])
        with builder.if_else(full) as (whole, part):
            with whole:
                for c in range(count):
                    for i, value in enumerate(values(c)):
                        if step == 1:
                            store(builder, value, targets[c])
                        else:
                            masked_store(builder, value, builder.gep(targets[c], [i64(i * count)]), masks[i])
            with part:
                for c in range(count):
                    with builder.if_then(builder.icmp_signed("<", i64(c), channels)):
                        for i, value in enumerate(values(c)):
                            masked_store(builder, value, builder.gep(targets[c], [i64(i * count)]), masks[i])
        return context.get_dummy_value()

    return write_block


_write_block, _write_block_of_step_2 = _block_writer(1), _block_writer(2)


@routine
def write_turned(out, to, plane, sums, at, pitch, bias, oc, channels, pixels, step, add, adds, low, high):
    """The same for any step and any number of channels and pixels: rows of channels to rows of pixels."""
    lane_count = lanes(out.itemsize)
    if VECTOR_BYTES > 16 and step <= 2:  # without AVX masks are branches
        for c in range(0, channels, lane_count):  # outside: the next pixels of a row share a line of the cache
            for start in range(0, pixels, lane_count):
                if step == 1:
                    q = max(0, min(start, pixels - lane_count))  # the last square moves back to be a whole one
                    _write_block(out, to + c * plane + q, plane, sums, at + q * pitch + c, pitch, bias, oc + c,
                                 channels - c, pixels - q, add, adds, low, high)  # fmt: skip
                else:
                    _write_block_of_step_2(out, to + c * plane + start * 2, plane, sums, at + start * pitch + c,
                                           pitch, bias, oc + c, channels - c, pixels - start, add, False, low,
                                           high)  # fmt: skip
    else:
        for c in range(channels):
            for q in range(pixels):
                place, value = to + c * plane + q * step, sums[index(at + q * pitch + c)] + bias[oc + c]
                value = value + add[index(place)] if adds else value
                out[index(place)] = clamp(value, out.dtype.type(low), out.dtype.type(high))


@intrinsic
def _read_square(typing_context, buffer, to, pitch, x, at, plane, channels, pixels):
    """buffer[to + q * pitch + c] = x[at + c * plane + q] for q < pixels, c < channels.

    Where the pitch is a vector, the lanes beyond the last channel become 0.
    """
    arguments = (buffer, to, pitch, x, at, plane, channels, pixels)

    def generate(context, builder, signature, arguments):
        buffer, to, pitch, x, at, plane, channels, pixels = arguments
        buffer, x = (array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 3))
        vector, zero, _ = vector_of(context, builder, signature.args[3].dtype)
        count, i64 = vector.count, ir.IntType(64)
        buffer, x = builder.gep(buffer, [to]), builder.gep(x, [at])
        sources = [builder.gep(x, [builder.mul(plane, i64(c))]) for c in range(count)]
        targets = [builder.gep(buffer, [builder.mul(pitch, i64(q))]) for q in range(count)]
        (mask,) = masks_between(builder, count, 1, i64(0), pixels)
        wide = builder.select(builder.icmp_signed("==", pitch, i64(count)), i64(count), channels)
        (kept,) = masks_between(builder, count, 1, i64(0), wide)
        nothing = ir.Constant(mask.type, None)
        full = builder.icmp_signed(">=", builder.select(builder.icmp_signed("<", channels, pixels), channels, pixels),
                                   i64(count))  # fmt: skip
        with builder.if_else(full) as (whole, part):
            with whole:
                for value, target in zip(_turned(builder, [load(builder, vector, each) for each in sources]), targets,
                                         strict=True):  # fmt: skip
                    store(builder, value, target)
            with part:
                rows = []
                for c, source in enumerate(sources):
                    there = builder.select(builder.icmp_signed("<", i64(c), channels), mask, nothing)
                    rows.append(masked_load(builder, source, there, zero))
                for q, (value, target) in enumerate(zip(_turned(builder, rows), targets, strict=True)):
                    with builder.if_then(builder.icmp_signed("<", i64(q), pixels)):
                        masked_store(builder, value, target, kept)
        return context.get_dummy_value()

    return types.void(*arguments), generate


@routine
def read_turned(buffer, to, pitch, x, at, plane, channels, pixels):
    """Fill rows of buffer[to:], ``pitch`` apart, with the pixels of channels at x[at:], ``plane`` apart."""
    lane_count = lanes(x.itemsize)
    if VECTOR_BYTES > 16:  # without AVX masks are branches
        for start in range(0, pixels, lane_count):
            q = max(0, min(start, pixels - lane_count))  # the last square moves back to be a whole one
            for c in range(0, channels, lane_count):
                _read_square(buffer, to + q * pitch + c, pitch, x, at + c * plane + q, plane, channels - c, pixels - q)
    else:
        for q in range(pixels):
            for c in range(channels):
                buffer[index(to + q * pitch + c)] = x[index(at + c * plane + q)]
