"""The plan of a convolution: how the input is laid out in the buffer, and where each kernel element finds its inputs.

direct.py says what the plan is for.  Everything here is small integer arithmetic, done once for a geometry.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..simd.emit import lanes
from .costs import COPIED
from .micro_kernel import VECTORS

Integers = np.ndarray[Any, np.dtype[np.int64]]
Two = tuple[int, int]

L1_BYTES = 24 * 1024  # inputs that one pass over the output channels may read
LONGEST_SUM = 256  # kernel elements summed before they join a total: rounding grows with the length of a sum


class Sides(NamedTuple):
    """What a convolution reads and what it makes."""

    channels: int
    height: int
    width: int
    out_channels: int
    out_height: int
    out_width: int


@lru_cache(maxsize=1024)
def sides(g: Any, transposed: bool) -> Sides:
    """Of conv2d the image is read and the map made, of conv_transpose2d the other way round."""
    image, map = (g.image_channels, g.image_height, g.image_width), (g.map_channels, g.map_height, g.map_width)
    return Sides(*map, *image) if transposed else Sides(*image, *map)


class Axis(NamedTuple):
    """How the buffer holds one axis of the input: input y = first + shifts[plane] + step * (row of the buffer)."""

    size: int  # rows of a plane
    first: int
    step: int
    shifts: Integers  # one for each plane
    plane: Integers  # for each kernel row, the plane it reads,
    row: Integers  # and the row in it that output row 0 reads


class Layout(NamedTuple):
    """Both axes of the buffer, as a kernel reads them from an array: input y = top + shift + step_y * row."""

    rows: int  # of a plane
    columns: int
    top: int
    left: int
    step_y: int
    step_x: int


class Writing(NamedTuple):
    """How a kernel writes its outputs, in an array after the Layout."""

    step_y: int  # output rows and columns from one pixel to the next
    step_x: int
    out_width: int  # pixels of a whole row of the output
    block: int  # kernel elements of one pass over the output channels


class Phase(NamedTuple):
    """Outputs that see the same elements of the kernel, a row of an array: all of conv2d's are one phase."""

    first: int  # kernel element
    last: int
    origin: int  # the place in a channel of the buffer that pixel 0 begins at
    columns: int
    to_y: int  # the output that pixel 0 is
    to_x: int


class Tile(NamedTuple):
    """Pixels that are computed together, a row of an array; pixels are counted along rows as wide as the buffer's."""

    phase: int
    start: int  # the first pixel
    vectors: int
    first: int  # the first pixel to write,
    pixels: int  # and how many


class Plan(NamedTuple):
    """Where the elements of a kernel find their inputs, and which pixels are computed together."""

    y: Axis
    x: Axis
    numbers: Integers  # Layout and Writing
    offsets: Integers  # in the buffer, of each kernel element
    order: Integers  # of the kernel's elements (conv_transpose2d: sorted by output phase)
    phases: Integers  # rows of Phase
    covered: bool  # whether the phases make every output
    tiles: Integers  # rows of Tile
    copies: bool  # whether there is a buffer, or the input serves as it is
    pads: bool  # whether an output may see zeros beyond the image
    work: int  # products for each output channel
    vector_products: int  # the same in vectors of pixels

    def image_size(self, channels: int) -> int:
        """Elements of one image in the buffer."""
        return channels * channel_size(self.y, self.x)


def _axis(outputs: int, kernel: int, stride: int, pad: int, dilation: int, apart: bool = False) -> Axis:
    """conv2d's: output y reads input y * stride - pad + k * dilation.

    With kernel rows ``apart`` each has a plane of its own, of as many rows as there are outputs.
    """
    shift = np.arange(kernel) * dilation
    if apart or dilation // stride >= outputs:  # what two kernel rows read does not overlap: no need of what is between
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


def layout_of(y: Axis, x: Axis) -> Layout:
    """What a kernel has to know of the buffer."""
    return Layout(y.size, x.size, y.first, x.first, y.step, x.step)


def channel_size(y: Axis, x: Axis) -> int:
    """Elements of all planes of a channel in the buffer."""
    return y.shifts.size * x.shifts.size * y.size * x.size


def _as_it_is(axis: Axis, size: int) -> bool:
    """Whether an axis of the buffer would be the input's own."""
    return axis.size == size and axis.first == 0 and axis.step == 1 and axis.shifts.size == 1


def _places(y: Axis, x: Axis) -> Integers:
    """The place, in one channel of the buffer, that output pixel 0 reads for kernel element (ky, kx)."""
    planes = y.plane[:, None] * x.shifts.size + x.plane
    return (planes * y.size + y.row[:, None]) * x.size + x.row


def window(g: Any) -> tuple[Two, Two, Two, Two]:
    """(kernel size, stride, padding, dilation) of a geometry, each a pair."""
    return (
        (g.kernel_height, g.kernel_width),
        (g.stride_h, g.stride_w),
        (g.pad_top, g.pad_left),
        (g.dilation_h, g.dilation_w),
    )


def plan_of(g: Any, transposed: bool, itemsize: int) -> Plan:
    """The plan of a convolution of a geometry."""
    return (conv_transpose2d_plan if transposed else conv2d_plan)(g, itemsize)


@lru_cache(maxsize=64)
def conv2d_plan(g: Any, itemsize: int) -> Plan:
    """The plan of a conv2d of a geometry."""
    return windows_plan(g.image_channels // g.groups, g.map_channels // g.groups, (g.image_height, g.image_width),
                        (g.map_height, g.map_width), *window(g), itemsize)  # fmt: skip


def windows_plan(
    channels: int,
    filters: int,
    size: Two,
    output: Two,
    kernel: Two,
    stride: Two,
    pad: Two,
    dilation: Two,
    itemsize: int,
) -> Plan:
    """The plan of a convolution with ``channels`` input channels and ``filters`` output channels per group.

    Kernel columns that stand apart cost copies and save the columns between the output's width and the buffer's; with
    no filters they never do.
    """
    lane_count = lanes(itemsize)
    y, x = (_axis(*axis) for axis in zip(output, kernel, stride, pad, dilation, strict=True))
    apart = _axis(output[1], kernel[1], stride[1], pad[1], dilation[1], apart=True)
    products = lane_count * kernel[0] * kernel[1] * filters  # of a vector
    cost = [COPIED * channel_size(y, each) + products * _vectors(*output, each.size, lane_count) for each in (x, apart)]
    x = apart if filters and cost[1] < cost[0] else x
    place = _places(y, x).reshape(-1)
    offsets = (np.arange(channels)[:, None] * channel_size(y, x) + place).reshape(-1)
    phases = np.array([Phase(0, offsets.size, 0, output[1], 0, 0)], np.int64)
    as_it_is = _as_it_is(y, size[0]) and _as_it_is(x, size[1])
    tiles, inside = _tiles(0, *output, x.size, lane_count, as_it_is)
    # As many channels at a time as have their inputs for one tile in L1.
    reach = VECTORS * lane_count + int((place % (y.size * x.size)).max())
    together = max(1, L1_BYTES // (min(VECTORS * lane_count * place.size, reach) * itemsize))
    pads = any(p > 0 or (o - 1) * s - p + (k - 1) * d >= n
               for n, o, k, s, p, d in zip(size, output, kernel, stride, pad, dilation, strict=True))  # fmt: skip
    block = min(together * place.size, LONGEST_SUM)
    numbers = np.array([*layout_of(y, x), *Writing(1, 1, output[1], block)], np.int64)
    return Plan(y, x, numbers, offsets, np.arange(place.size), phases, True, tiles, not (as_it_is and inside), pads,
                _pixels(tiles) * offsets.size, _vectors_of(tiles) * offsets.size)  # fmt: skip


@lru_cache(maxsize=64)
def conv_transpose2d_plan(g: Any, itemsize: int) -> Plan:
    """The plan of a conv_transpose2d of a geometry.

    Output y (counted from -pad) = q * stride + phase; only phases that some kernel row makes are listed.
    """
    channels, size = g.map_channels // g.groups, (g.map_height, g.map_width)
    output, (kernel, stride, pad, dilation) = (g.image_height, g.image_width), window(g)
    y, x = (_axis_transposed(*axis) for axis in zip(output, kernel, stride, pad, dilation, strict=True))
    place, channel = _places(y, x).reshape(-1), channel_size(y, x)
    made_y, made_x = (
        output_phases(*axis) for axis in zip(output, kernel, stride, pad, dilation, strict=True)
    )  # fmt: skip
    as_it_is = _as_it_is(y, size[0]) and _as_it_is(x, size[1])
    offsets: list[Integers] = []
    order: list[Integers] = []
    phases: list[Phase] = []
    tiles: list[Integers] = []
    count, inside = 0, True
    for ky, to_y, q_y, height in made_y:
        for kx, to_x, q_x, width in made_x:
            elements = (ky[:, None] * kernel[1] + kx).reshape(-1)
            order.append(elements)
            offsets.append((place[elements][:, None] + np.arange(channels) * channel).reshape(-1))
            run, fits = _tiles(len(phases), height, width, x.size, lanes(itemsize), as_it_is)
            tiles.append(run)
            inside &= fits
            phases.append(Phase(count, count + offsets[-1].size, q_y * x.size + q_x, width, to_y, to_x))
            count += offsets[-1].size
    covered = len(made_y) == min(stride[0], output[0]) and len(made_x) == min(stride[1], output[1])
    none = np.zeros(0, np.int64)
    every = np.concatenate([none.reshape(0, len(Tile._fields)), *tiles])
    block = min(LONGEST_SUM, L1_BYTES // (VECTORS * lanes(itemsize) * itemsize))
    numbers = np.array([*layout_of(y, x), *Writing(*stride, output[1], block)], np.int64)
    copies = not (as_it_is and inside)
    return Plan(y, x, numbers, np.concatenate([none, *offsets]), np.concatenate([none, *order]),
                np.array(phases, np.int64).reshape(-1, len(Phase._fields)), covered, every, copies, copies,
                _pixels(every) * count // max(1, len(phases)),
                _vectors_of(every) * count // max(1, len(phases)))  # fmt: skip


def copy_parts(y: Axis, x: Axis, channels: int, itemsize: int) -> dict[str, float]:
    """Of what a padded copy of an image consists: vectors, and planes that are started."""
    planes = channels * y.shifts.size * x.shifts.size
    return {"copy" if x.step == 1 else "gather": planes * y.size * -(-x.size // lanes(itemsize)), "plane": planes}


def _vectors_of(tiles: Integers) -> int:
    """How many vectors some tiles have."""
    return int(tiles[:, Tile._fields.index("vectors")].sum())


def _pixels(tiles: Integers) -> int:
    """How many pixels some tiles write."""
    return int(tiles[:, Tile._fields.index("pixels")].sum())


def output_phases(
    outputs: int, kernel: int, stride: int, pad: int, dilation: int
) -> list[tuple[Integers, int, int, int]]:
    """Of each phase along one axis: its kernel rows, its first output, that output's q from the smallest, how many."""
    which = np.arange(kernel) * dilation % stride
    made = []
    for phase in np.unique(which).tolist():
        q = -((phase - pad) // stride)  # the smallest with q * stride + phase - pad >= 0
        first = q * stride + phase - pad
        if first < outputs:
            made.append((np.flatnonzero(which == phase), first, q - pad // stride, (outputs - 1 - first) // stride + 1))
    return made


def _vectors(height: int, width: int, pitch: int, lanes: int) -> int:
    """How many vectors cover a height x width output whose rows are ``pitch`` pixels apart: as one run, or by rows."""
    return min(-(-((height - 1) * pitch + width) // lanes), height * -(-width // lanes))


def _tiles(phase: int, height: int, width: int, pitch: int, lanes: int, stay: bool) -> tuple[Integers, bool]:
    """Tiles that cover a height x width output whose rows are ``pitch`` pixels apart.

    A tile may reach beyond the last pixel, unless it is to ``stay`` inside: then it is moved back to overlap the one
    before, if there are pixels enough (the second value tells).
    """
    whole = (height - 1) * pitch + width
    rows, run = (1, whole) if -(-whole // lanes) <= height * -(-width // lanes) else (height, width)
    first = np.arange(0, run, VECTORS * lanes)
    pixels = np.minimum(run - first, VECTORS * lanes)
    vectors = -(-pixels // lanes)
    start = np.minimum(first, run - vectors * lanes) if stay else first
    if start[-1] < 0:  # fewer pixels than a tile has
        return _tiles(phase, height, width, pitch, lanes, False)[0], False
    row = (np.arange(rows) * pitch)[:, None]  # no tile crosses a row where few pixels are kept
    columns = np.broadcast_arrays(*Tile(phase, row + start, vectors, row + first, pixels))  # type: ignore[arg-type]
    return np.stack(columns, axis=-1).reshape(-1, len(columns)).astype(np.int64), True
