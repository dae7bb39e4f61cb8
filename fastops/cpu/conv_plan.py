"""The plan of a convolution: how the input is laid out in the buffer, and where each kernel element finds its inputs.

conv.py says what the plan is for.  Everything here is small integer arithmetic, done once for a geometry.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

Integers = np.ndarray[Any, np.dtype[np.int64]]
Two = tuple[int, int]

TILE = 256  # output pixels of a tile: 4 rows of sums and 4 of inputs are 8 KiB
L1_BYTES = 24 * 1024  # inputs that one pass over the output channels may read


class Axis(NamedTuple):
    """How the buffer holds one axis of the input: input y = first + shifts[plane] + step * (row of the buffer)."""

    size: int  # rows of a plane
    first: int
    step: int
    shifts: Integers  # one for each plane
    plane: Integers  # for each kernel row, the plane it reads,
    row: Integers  # and the row in it that output row 0 reads


class Plan(NamedTuple):
    """Where the elements of a kernel find their inputs, and which pixels are computed together."""

    y: Axis
    x: Axis
    offsets: Integers  # in the buffer, of each kernel element
    order: Integers  # of the kernel's elements (conv_transpose2d: sorted by output phase)
    phases: Integers  # of the output: first and last element, origin, width, output y and x of the first pixel
    tiles: Integers  # phase, first pixel, pixels
    out_steps: tuple[int, int]  # output rows and columns from one pixel to the next
    block: int  # kernel elements of one pass

    def image_size(self, channels: int) -> int:
        """Elements of one image's padded copy."""
        return channels * self.y.shifts.size * self.x.shifts.size * self.y.size * self.x.size

    def copies(self, h: int, w: int) -> bool:
        """Whether a padded copy is needed: not if the buffer would be the input as it is."""
        return any(
            axis.size != size or axis.first != 0 or axis.step != 1 or axis.shifts.size > 1
            for axis, size in ((self.y, h), (self.x, w))
        )


def _axis(outputs: int, kernel: int, stride: int, pad: int, dilation: int) -> Axis:
    """conv2d's: output y reads input y * stride - pad + k * dilation."""
    shift = np.arange(kernel) * dilation
    if dilation // stride >= outputs:  # the rows that two kernel rows read do not overlap: no need of what lies between
        return Axis(outputs, -pad, stride, shift, np.arange(kernel), np.zeros(kernel, np.int64))
    shifts, plane = np.unique(shift % stride, return_inverse=True)
    return Axis(outputs + int(shift[-1]) // stride, -pad, stride, shifts, plane, shift // stride)


def _axis_transposed(outputs: int, kernel: int, stride: int, pad: int, dilation: int) -> Axis:
    """conv_transpose2d's: output y + pad = q * stride + phase reads input q - (k * dilation) // stride.

    Row 0 of the output is the one with the smallest q.
    """
    first, last = pad // stride, (outputs - 1 + pad) // stride
    back = np.arange(kernel) * dilation // stride
    if dilation // stride > last - first:
        return Axis(last - first + 1, first, 1, -back, np.arange(kernel), np.zeros(kernel, np.int64))
    reach = int(back[-1])
    zeros = np.zeros(kernel, np.int64)
    return Axis(last - first + 1 + reach, first - reach, 1, zeros[:1], zeros, reach - back)


def _places(y: Axis, x: Axis) -> Integers:
    """The place, in one channel of the buffer, that output pixel 0 reads for kernel element (ky, kx)."""
    planes = y.plane[:, None] * x.shifts.size + x.plane
    return (planes * y.size + y.row[:, None]) * x.size + x.row


@lru_cache(maxsize=64)
def conv2d_plan(
    channels: int, out_height: int, out_width: int, kernel: Two, stride: Two, pad: Two, dilation: Two, itemsize: int
) -> Plan:
    """The plan of a conv2d with ``channels`` input channels per group."""
    y, x = (
        _axis(*axis) for axis in zip((out_height, out_width), kernel, stride, pad, dilation, strict=True)
    )  # fmt: skip
    place = _places(y, x).reshape(-1)
    channel = y.shifts.size * x.shifts.size * y.size * x.size
    offsets = (np.arange(channels)[:, None] * channel + place).reshape(-1)
    phases = np.array([[0, offsets.size, 0, out_width, 0, 0]], np.int64)
    # A channel's inputs for one tile are a run of pixels with the kernel's reach: as many channels as stay in L1.
    run = min(TILE * place.size, TILE + int((place % (y.size * x.size)).max()))
    together = max(4, L1_BYTES // (run * itemsize) // 4 * 4)
    return Plan(y, x, offsets, np.arange(place.size), phases, _tiles(0, out_height, out_width, x.size), (1, 1),
                 together * place.size)  # fmt: skip


@lru_cache(maxsize=64)
def conv_transpose2d_plan(
    channels: int, out_height: int, out_width: int, kernel: Two, stride: Two, pad: Two, dilation: Two, itemsize: int
) -> Plan:
    """The plan of a conv_transpose2d with ``channels`` input channels per group."""
    y, x = (
        _axis_transposed(*axis) for axis in zip((out_height, out_width), kernel, stride, pad, dilation, strict=True)
    )
    place = _places(y, x)
    channel = y.shifts.size * x.shifts.size * y.size * x.size
    offsets: list[Integers] = []
    order: list[Integers] = []
    phases: list[list[int]] = []
    tiles: list[Integers] = []
    count = 0
    for phase_y in _phases(out_height, stride[0], pad[0]):
        for phase_x in _phases(out_width, stride[1], pad[1]):
            ky = np.flatnonzero(np.arange(kernel[0]) * dilation[0] % stride[0] == phase_y)
            kx = np.flatnonzero(np.arange(kernel[1]) * dilation[1] % stride[1] == phase_x)
            elements = (ky[:, None] * kernel[1] + kx).reshape(-1)
            order.append(elements)
            offsets.append((place.reshape(-1)[elements][:, None] + np.arange(channels) * channel).reshape(-1))
            # The first q of this phase that is an output, and where that output is.
            q_y, q_x = -((phase_y - pad[0]) // stride[0]), -((phase_x - pad[1]) // stride[1])
            to_y, to_x = q_y * stride[0] + phase_y - pad[0], q_x * stride[1] + phase_x - pad[1]
            height, width = (out_height - 1 - to_y) // stride[0] + 1, (out_width - 1 - to_x) // stride[1] + 1
            origin = (q_y - pad[0] // stride[0]) * x.size + q_x - pad[1] // stride[1]
            tiles.append(_tiles(len(phases), height, width, x.size))
            phases.append([count, count + offsets[-1].size, origin, width, to_y, to_x])
            count += offsets[-1].size
    together = max(4, L1_BYTES // (TILE * itemsize) // 4 * 4)
    return Plan(y, x, np.concatenate(offsets), np.concatenate(order), np.array(phases, np.int64),
                 np.concatenate(tiles), stride, together)  # fmt: skip


def _phases(size: int, stride: int, pad: int) -> list[int]:
    """(y + pad) % stride for the outputs y in [0, size), each once."""
    return [(pad + y) % stride for y in range(min(stride, size))]


def _tiles(phase: int, height: int, width: int, pitch: int) -> Integers:
    """Runs of up to TILE pixels that cover a height x width output whose rows are ``pitch`` pixels apart."""
    if pitch <= 2 * width:
        total = (height - 1) * pitch + width
        first = np.arange(0, total, TILE)
        length = np.minimum(TILE, total - first)
    else:  # more would be dropped than kept: no tile crosses a row
        start = np.arange(0, width, TILE)
        first = (np.arange(height)[:, None] * pitch + start).reshape(-1)
        length = np.broadcast_to(np.minimum(TILE, width - start), (height, start.size)).reshape(-1)
    return np.stack([np.full(first.size, phase), first, length], axis=1).astype(np.int64)
