"""The plan of a convolution: how the input is laid out in a buffer, and where each kernel element finds its inputs.

conv.py says what the plan is for.  Everything here is small integer arithmetic, done once for a geometry.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .micro_kernel import ROWS, VECTORS

Integers = np.ndarray[Any, np.dtype[np.int64]]
Two = tuple[int, int]

BAND_BYTES = 240 * 1024  # the buffer of a band of output rows: with the weights of 64 channels it stays in L2
TASKS = 16  # as many tasks as are needed to keep the threads of a small machine busy to the end
L1_BYTES = 24 * 1024  # inputs that one pass over the output channels may read
LONGEST_SUM = 256  # kernel elements summed before they join a total: rounding grows with the length of a sum


class Axis(NamedTuple):
    """How the buffer holds one axis of the input: input y = first + shifts[plane] + step * (row of the buffer)."""

    size: int  # rows of a plane
    first: int
    step: int
    shifts: Integers  # one for each plane
    plane: Integers  # for each kernel row, the plane it reads,
    row: Integers  # and the row in it that output row 0 reads


class Plan(NamedTuple):
    """Where the elements of a kernel find their inputs, and which outputs are computed together.

    The outputs of a phase are pixels at (to + q * step) for q in a range; all phases count q from the same place.
    """

    y: Axis  # of the buffer, for a band of ``band`` rows of q
    x: Axis
    offsets: Integers  # in the buffer, of each kernel element
    order: Integers  # of the kernel's elements (conv_transpose2d: sorted by phase)
    phases: (
        Integers  # first and last kernel element; first q and how many along y, along x; output y and x of the first
    )
    steps: Two  # output rows and columns from one q to the next
    covered: bool  # whether the phases make every output
    rows: int  # of q in all
    band: int  # rows of q of one task
    chunk: int  # output channels of one task
    block: int  # kernel elements of one pass
    copies: bool  # whether there is a buffer, or the input serves as it is


def window(g: Any) -> tuple[Two, Two, Two, Two]:
    """(kernel size, stride, padding, dilation) of a geometry, each a pair."""
    return (
        (g.kernel_height, g.kernel_width),
        (g.stride_h, g.stride_w),
        (g.pad_top, g.pad_left),
        (g.dilation_h, g.dilation_w),
    )


def channel_size(y: Axis, x: Axis) -> int:
    """Elements of one channel in the buffer."""
    return y.shifts.size * x.shifts.size * y.size * x.size


def axis(outputs: int, kernel: int, stride: int, pad: int, dilation: int) -> Axis:
    """conv2d's: output y reads input y * stride - pad + k * dilation."""
    shift = np.arange(kernel) * dilation
    if dilation // stride >= outputs:  # the rows that two kernel rows read do not overlap: no need of what lies between
        return Axis(outputs, -pad, stride, shift, np.arange(kernel), np.zeros(kernel, np.int64))
    shifts, plane = np.unique(shift % stride, return_inverse=True)
    return Axis(outputs + int(shift[-1]) // stride, -pad, stride, shifts, plane, shift // stride)


def _axis_transposed(count: int, first: int, kernel: int, stride: int, dilation: int) -> Axis:
    """conv_transpose2d's: output y + pad = q * stride + phase reads input q - (k * dilation) // stride.

    Row 0 of the output is q = ``first``.
    """
    back = np.arange(kernel) * dilation // stride
    if dilation // stride >= count:
        return Axis(count, first, 1, -back, np.arange(kernel), np.zeros(kernel, np.int64))
    reach = int(back[-1])
    zeros = np.zeros(kernel, np.int64)
    return Axis(count + reach, first - reach, 1, zeros[:1], zeros, reach - back)


def _as_it_is(axis: Axis, size: int) -> bool:
    """Whether an axis of the buffer would be the input's own."""
    return axis.size == size and axis.first == 0 and axis.step == 1 and axis.shifts.size == 1


def places(y: Axis, x: Axis) -> Integers:
    """The place, in one channel of the buffer, that output pixel 0 reads for kernel element (ky, kx)."""
    planes = y.plane[:, None] * x.shifts.size + x.plane
    return ((planes * y.size + y.row[:, None]) * x.size + x.row).reshape(-1)


def _split(images: int, rows: int, reach: int, line_bytes: int, pitch: int, channels: int, lanes: int) -> Two:
    """(rows of a band, output channels of a task) for ``rows`` of q in ``images`` (times groups) independent images.

    ``line_bytes`` is one row of the buffer, of which a band needs ``reach`` more than its own.
    """
    in_cache = max(1, BAND_BYTES // line_bytes - reach)
    few_tiles = -(-4 * VECTORS * lanes // pitch)  # a shorter band would waste much of its last tile
    shared = -(-rows * images // TASKS)
    band = min(rows, in_cache, max(few_tiles, shared))
    tasks = images * -(-rows // band)
    chunks = 1 if 2 * tasks > TASKS else max(1, min(-(-TASKS // tasks), channels // (2 * ROWS)))
    return -(-rows // -(-rows // band)), -(-channels // (chunks * ROWS)) * ROWS


@lru_cache(maxsize=64)
def conv2d_plan(
    groups: int, images: int, channels: int, maps: int, size: Two, output: Two, kernel: Two, stride: Two, pad: Two,
    dilation: Two, lanes: int, itemsize: int,
) -> Plan:  # fmt: skip
    """The plan of a conv2d with ``channels`` inputs and ``maps`` outputs per group, for vectors of ``lanes``."""
    x = axis(output[1], kernel[1], stride[1], pad[1], dilation[1])
    y = axis(output[0], kernel[0], stride[0], pad[0], dilation[0])
    # Without a buffer the last tile is moved back to stay inside: there must be a whole one.
    as_it_is = _as_it_is(y, size[0]) and _as_it_is(x, size[1])
    as_it_is = as_it_is and (output[0] - 1) * x.size + output[1] >= VECTORS * lanes
    line_bytes = channels * y.shifts.size * x.shifts.size * x.size * itemsize
    band, chunk = _split(images * groups, output[0], y.size - output[0], max(1, line_bytes), x.size, maps, lanes)
    if not as_it_is:
        y = axis(band, kernel[0], stride[0], pad[0], dilation[0])
    place = places(y, x)
    offsets = (np.arange(channels)[:, None] * channel_size(y, x) + place).reshape(-1)
    phases = np.array([[0, offsets.size, 0, output[0], 0, output[1], 0, 0]], np.int64)
    # As many channels at a time as have their inputs for one tile in L1.
    reach = VECTORS * lanes + int((place % (y.size * x.size)).max())
    together = max(1, L1_BYTES // (min(VECTORS * lanes * place.size, reach) * itemsize))
    return Plan(y, x, offsets, np.arange(place.size), phases, (1, 1), True, output[0], band, chunk,
                min(together * place.size, LONGEST_SUM), not as_it_is)  # fmt: skip


@lru_cache(maxsize=64)
def conv_transpose2d_plan(
    groups: int, images: int, channels: int, maps: int, size: Two, output: Two, kernel: Two, stride: Two, pad: Two,
    dilation: Two, lanes: int, itemsize: int,
) -> Plan:  # fmt: skip
    """The plan of a conv_transpose2d with ``channels`` inputs and ``maps`` outputs per group.

    Output y (counted from -pad) = q * stride + phase; only phases that some kernel row makes are listed.
    """
    first = pad[0] // stride[0], pad[1] // stride[1]
    count = tuple((output[i] - 1 + pad[i]) // stride[i] - first[i] + 1 for i in (0, 1))
    x = _axis_transposed(count[1], first[1], kernel[1], stride[1], dilation[1])
    y = _axis_transposed(count[0], first[0], kernel[0], stride[0], dilation[0])
    as_it_is = _as_it_is(y, size[0]) and _as_it_is(x, size[1]) and stride == (1, 1)
    as_it_is = as_it_is and (output[0] - 1) * x.size + output[1] >= VECTORS * lanes
    line_bytes = channels * y.shifts.size * x.shifts.size * x.size * itemsize
    band, chunk = _split(images * groups, count[0], y.size - count[0], line_bytes, x.size, maps, lanes)
    if not as_it_is:
        y = _axis_transposed(band, first[0], kernel[0], stride[0], dilation[0])
    place, channel = places(y, x), channel_size(y, x)
    made_y, made_x = (
        _phases(*each) for each in zip(output, kernel, stride, pad, dilation, strict=True)
    )  # fmt: skip
    offsets: list[Integers] = [np.zeros(0, np.int64)]
    order: list[Integers] = [np.zeros(0, np.int64)]
    phases: list[list[int]] = []
    elements = 0
    for ky, to_y, q_y, height in made_y:
        for kx, to_x, q_x, width in made_x:
            order.append((ky[:, None] * kernel[1] + kx).reshape(-1))
            offsets.append((place[order[-1]][:, None] + np.arange(channels) * channel).reshape(-1))
            phases.append([elements, elements + offsets[-1].size, q_y, height, q_x, width, to_y, to_x])
            elements += offsets[-1].size
    covered = len(made_y) == min(stride[0], output[0]) and len(made_x) == min(stride[1], output[1])
    return Plan(y, x, np.concatenate(offsets), np.concatenate(order), np.array(phases, np.int64).reshape(-1, 8),
                stride, covered, count[0], band, chunk, min(LONGEST_SUM, L1_BYTES // (VECTORS * lanes * itemsize)),
                not as_it_is)  # fmt: skip


def _phases(outputs: int, kernel: int, stride: int, pad: int, dilation: int) -> list[tuple[Integers, int, int, int]]:
    """Of each phase along one axis: its kernel rows, its first output, that output's q from the first, how many."""
    which = np.arange(kernel) * dilation % stride
    made = []
    for phase in np.unique(which).tolist():
        q = -((phase - pad) // stride)  # the smallest with q * stride + phase - pad >= 0
        first = q * stride + phase - pad
        if first < outputs:
            made.append((np.flatnonzero(which == phase), first, q - pad // stride, (outputs - 1 - first) // stride + 1))
    return made
