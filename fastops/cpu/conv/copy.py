"""The padded copy that a convolution reads: zeros around each image and, for a stride, its phases as planes.

Rows are short, so what counts is the cost of starting one: a row of 58 as three plain loops (zeros, pixels, zeros)
took 28 ns.  Here a column of vectors is copied down all rows, with one mask.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..._jit import VECTOR_BYTES, index, kernel, routine
from ..simd.emit import array_data, every_second, masked_load, masked_store, masks_between, store, vector_of
from ..simd.values import fields
from .plan import Layout, channel_size, layout_of

BAND_BYTES = 384  # of a plane at least: in halves of 256 bytes, 256 channels of 14x14 took 1.16 times as long

# ------------------------------------------------------------------------------------------------ routines

_layout = fields(len(Layout._fields))


def _column_copy(step: int) -> Any:
    """The intrinsic that copies every ``step``-th element (1, 2 or 4) of ``rows`` rows of x into one vector each.

    buffer[to + i * pitch + j] = x[at + i * x_pitch + j * step] for j < min(count, lanes), 0 where first + j * step is
    not in [0, size).
    """

    @intrinsic
    def copy(typing_context, buffer, to, pitch, count, x, at, x_pitch, first, size, rows):
        return types.void(buffer, to, pitch, count, x, at, x_pitch, first, size, rows), generate

    def generate(context, builder, signature, arguments):
        buffer, to, pitch, count, x, at, x_pitch, first, size, rows = arguments
        buffer, x = (array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 4))
        vector, zero, _ = vector_of(context, builder, signature.args[4].dtype)
        lane_count, i64 = vector.count, ir.IntType(64)
        inside = masks_between(builder, lane_count, step, builder.neg(first), builder.sub(size, first))
        (kept,) = masks_between(builder, lane_count, 1, i64(0), count)

        def copy_rows(whole):
            with cgutils.for_range(builder, rows) as loop:
                source = builder.gep(x, [builder.add(at, builder.mul(loop.index, x_pitch))])
                target = builder.gep(buffer, [builder.add(to, builder.mul(loop.index, pitch))])
                parts = [
                    masked_load(builder, builder.gep(source, [i64(part * lane_count)]), inside[part], zero)
                    for part in range(step)
                ]
                while len(parts) > 1:
                    parts = [every_second(builder, *parts[i : i + 2]) for i in range(0, len(parts), 2)]
                if whole:
                    store(builder, parts[0], target)
                else:
                    masked_store(builder, parts[0], target, kept)

        with builder.if_else(builder.icmp_signed(">=", count, i64(lane_count))) as (whole, part):
            with whole:
                copy_rows(True)
            with part:
                copy_rows(False)
        return context.get_dummy_value()

    return copy


_every, _every_second, _every_fourth = _column_copy(1), _column_copy(2), _column_copy(4)


@routine
def _copy_rows(buffer, to, pitch, x, at, x_pitch, first, step, size, rows):
    """buffer[to + i * pitch + j] = x[at + i * x_pitch + first + j * step], 0 where that is outside the row."""
    lane_count = VECTOR_BYTES // x.itemsize
    if VECTOR_BYTES > 16 and step in (1, 2, 4):  # without AVX masks are branches
        start = 0
        while start < pitch:
            j = max(0, min(start, pitch - lane_count))  # the last vector moves back to be a whole one
            if step == 1:
                _every(buffer, to + j, pitch, pitch - j, x, at + first + j, x_pitch, first + j, size, rows)
            elif step == 4:
                place = first + 4 * j
                _every_fourth(buffer, to + j, pitch, pitch - j, x, at + place, x_pitch, place, size, rows)
            else:
                place = first + 2 * j
                _every_second(buffer, to + j, pitch, pitch - j, x, at + place, x_pitch, place, size, rows)
            start += lane_count
    else:
        j0 = min(pitch, 0 if first >= 0 else (-first + step - 1) // step)
        j1 = max(j0, min(pitch, (size - 1 - first) // step + 1))
        for i in range(rows):
            for j in range(j0):
                buffer[index(to + i * pitch + j)] = 0
            for j in range(j0, j1):
                buffer[index(to + i * pitch + j)] = x[index(at + i * x_pitch + first + j * step)]
            for j in range(j1, pitch):
                buffer[index(to + i * pitch + j)] = 0


@routine
def copy_channel(buffer, start, phase_step, x, at, height, width, layout, shifts_y, shifts_x, row0, row1):
    """Some rows of all phases of a channel, height x width at x[at]: phase p is a plane at start + p * phase_step."""
    _, columns, top, left, step_y, step_x = _layout(layout, 0)
    for py in range(shifts_y.size):
        first = top + shifts_y[py]
        i0 = min(row1, max(row0, 0 if first >= 0 else (step_y - 1 - first) // step_y))
        i1 = max(i0, min(row1, (height - 1 - first) // step_y + 1))
        row = at + (first + i0 * step_y) * width
        for px in range(shifts_x.size):
            to = start + (py * shifts_x.size + px) * phase_step
            above = buffer[to + row0 * columns : to + i0 * columns]
            below = buffer[to + i1 * columns : to + row1 * columns]
            for j in range(above.size):
                above[j] = 0
            _copy_rows(buffer, to + i0 * columns, columns, x, row, step_y * width, left + shifts_x[px], step_x, width,
                       i1 - i0)  # fmt: skip
            for j in range(below.size):
                below[j] = 0


# ------------------------------------------------------------------------------------------------- kernels


@routine
def copied_bands(bands, elements, itemsize):
    """In how many bands of rows planes of so many elements are copied: lines of the cache that two write cost more."""
    return max(1, min(bands, elements * itemsize // BAND_BYTES))


@kernel
def _padded_copy(buffer, x, images, height, width, image_step, channel_step, phase_step, layout, shifts_y, shifts_x,
                 bands):  # fmt: skip
    # Channel c of image n goes to n * image_step + c * channel_step of the buffer; an iteration owns a band of rows.
    channels, (rows, columns, _, _, _, _) = x.size // (images * height * width), _layout(layout, 0)
    count = copied_bands(bands, rows * columns, x.itemsize)
    for i in prange(images * count * channels):
        n, band, c = i // channels // count, i // channels % count, i % channels
        start, at = n * image_step + c * channel_step, (n * channels + c) * height * width
        copy_channel(buffer, start, phase_step, x, at, height, width, layout, shifts_y, shifts_x,
                     band * rows // count, (band + 1) * rows // count)  # fmt: skip


# ------------------------------------------------------------------------------------------------- entries


def padded_copy(buffer, images, y, x, image_step, channel_step, phase_step, bands=1):
    """Copy (N, C, H, W) images along the axes of a plan into planes of the buffer, zeros where there is no image."""
    n, c, height, width = images.shape
    _padded_copy(n * c * channel_size(y, x))(
        buffer, images.reshape(-1), n, height, width, image_step, channel_step, phase_step, np.array(layout_of(y, x)),
        y.shifts, x.shifts, bands,
    )  # fmt: skip
