"""The plan of a blocked convolution: where each output pixel begins in the input, and where each product is from there.

blocked.py says what the plan is for.  The input is zero-padded, if at all, but never split into phases or planes.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..._jit import VECTOR_BYTES
from ..simd.emit import lanes
from .micro_kernel import PIXEL_VECTORS, PIXELS
from .plan import LONGEST_SUM, Axis, Integers, channel_size, layout_of, output_phases, sides, window

# Where channels begin a multiple of 256 bytes apart, they share few sets of L1: pixels of all the products of a sum do
# not stay there.  2x2 with stride 2 from 128 channels of 56x56 on one core: 54 GFLOP/s by 256 products, 159 by 64.
FEW_PRODUCTS = 64
FEW_PIXELS = 256  # whose sums stay in L1 with so few products at a time: 1x1 and 3x3 over 7x7 1.02 to 1.05 as fast
# Weights of the products that are summed at a time: every tile of a task reads them, from L1.  1x1 from 512 to 128
# channels of 28x28 took 297 us with 64 KiB, 258 with 16; 3x3 with dilation 4 over 28x28 577 and 530.
WEIGHTS_BYTES = 16 * 1024
SUMS_BYTES = 48 * 1024  # sums of a task: they stay in L1 or close to it


class Phase(NamedTuple):
    """Outputs that see the same elements of the kernel, a row of an array: all of conv2d's are one phase."""

    first: int  # of the products,
    last: int
    rows: int  # of outputs,
    columns: int
    start: int  # in the input, where output pixel 0 begins
    step_y: int  # in the input, from one row of outputs to the next
    step_x: int
    to: int  # in a plane of the output, of pixel 0
    out_y: int  # in a plane of the output, from one row to the next
    out_x: int


class BlockedPlan(NamedTuple):
    """Where products find their inputs, their weights and their outputs."""

    y: Axis
    x: Axis
    layout: Integers  # Layout
    offsets: Integers  # in the input, of each product from the pixel's start
    together: int  # products added up before they join a sum
    places: Integers  # in the weights of an output channel, of each product
    step: int  # in the weights, from one output channel of a group to the next
    phases: Integers  # rows of Phase
    covered: bool  # whether the phases make every output
    edges: Integers  # first vectors of the blocks of a group's output channels, and their end
    copies: bool  # whether there is a padded copy, or the input serves as it is
    turned: tuple[Integers, Integers] | None  # of each element of a transposed kernel, its first product and the step
    products: int  # for each image and lane of an output channel

    @property
    def pads(self) -> bool:
        """Whether an output may see zeros beyond the image."""
        return self.copies


@lru_cache(maxsize=256)
def blocked_plan(g: Any, transposed: bool, itemsize: int) -> BlockedPlan:
    """The plan of a convolution of a geometry."""
    side = sides(g, transposed)
    channels, filters = side.channels // g.groups, side.out_channels // g.groups
    size, output = (side.height, side.width), (side.out_height, side.out_width)
    kernel, stride, pad, dilation = window(g)
    make = _axis_transposed if transposed else _axis
    (y, first_y), (x, first_x) = (make(*axis) for axis in zip(size, output, kernel, stride, pad, dilation, strict=True))
    pitch, channel, taps = x.size, channel_size(y, x), kernel[0] * kernel[1]
    place = (first_y[:, None] * pitch + first_x).reshape(-1)  # of each element of the kernel, from the pixel's start
    inputs = np.arange(channels)[:, None]
    if transposed:
        phases, offsets, places = [], [], []
        made_y, made_x = (output_phases(*axis) for axis in zip(output, kernel, stride, pad, dilation, strict=True))
        count = 0
        for ky, to_y, q_y, rows in made_y:
            for kx, to_x, q_x, columns in made_x:
                elements = (ky[:, None] * kernel[1] + kx).reshape(-1)
                offsets.append((inputs * channel + place[elements]).reshape(-1))
                places.append((inputs * filters * taps + elements).reshape(-1))
                phases.append(Phase(count, count + offsets[-1].size, rows, columns, q_y * pitch + q_x, pitch, 1,
                                    to_y * output[1] + to_x, stride[0] * output[1], stride[1]))  # fmt: skip
                count += offsets[-1].size
        turned = _turned(places, channels, filters, taps, lanes(itemsize))
        covered = len(made_y) == min(stride[0], output[0]) and len(made_x) == min(stride[1], output[1])
        step = taps
    else:
        offsets = [(inputs * channel + place).reshape(-1)]
        phases = [Phase(0, channels * taps, *output, 0, stride[0] * pitch, stride[1], 0, output[1], 1)]
        covered, step, places, turned = True, channels * taps, [np.arange(channels * taps)], None
    none = np.zeros(0, np.int64)
    vectors = -(-filters // lanes(itemsize))
    blocks = -(-vectors // PIXEL_VECTORS)
    as_it_is = all(axis.size == n and axis.first == 0 for axis, n in zip((y, x), size, strict=True))
    table = np.array(phases, np.int64).reshape(-1, len(Phase._fields))
    products = sum(phase.rows * phase.columns * (phase.last - phase.first) for phase in phases)
    pixels = max((phase.rows * phase.columns for phase in phases), default=0)
    few = channel * itemsize % 256 == 0 or pixels <= FEW_PIXELS
    widest = -(-vectors // max(1, blocks))
    together = min(FEW_PRODUCTS if few else LONGEST_SUM, WEIGHTS_BYTES // (max(1, widest) * VECTOR_BYTES))
    return BlockedPlan(y, x, np.array(layout_of(y, x)), np.concatenate([none, *offsets]), together,
                       np.concatenate([none, *places]), step, table,
                       covered, np.arange(blocks + 1) * vectors // blocks, not as_it_is, turned, products)  # fmt: skip


def _axis(size: int, outputs: int, kernel: int, stride: int, pad: int, dilation: int) -> tuple[Axis, Integers]:
    """conv2d's axis of the padded input, and where each element of the kernel is from an output's start."""
    reach = (outputs - 1) * stride + (kernel - 1) * dilation + 1
    if pad == 0 and reach <= size:
        reach = size  # no need of a copy
    return _plain(reach, -pad), np.arange(kernel) * dilation


def _axis_transposed(
    size: int, outputs: int, kernel: int, stride: int, pad: int, dilation: int
) -> tuple[Axis, Integers]:
    """conv_transpose2d's: output y + pad = q * stride + phase reads input q - (k * dilation) // stride."""
    first, last = pad // stride, (outputs - 1 + pad) // stride
    back = np.arange(kernel) * dilation // stride
    reach = int(back[-1])
    return _plain(last - first + 1 + reach, first - reach), reach - back


def _turned(
    places: list[Integers], channels: int, filters: int, taps: int, lane_count: int
) -> tuple[Integers, Integers] | None:
    """Where products find their weights, turned round: only if every element of the kernel is in some phase.

    Rows of 2 x 2 elements fill too little of a vector: squares of them took longer to turn than to pick one by one.
    """
    every = np.concatenate([np.zeros(0, np.int64), *places])
    if 2 * taps <= lane_count or every.size != channels * taps or not channels:
        return None
    product_of = np.empty((channels, taps), np.int64)
    product_of[every // (filters * taps), every % taps] = np.arange(every.size)
    return product_of[0].copy(), (product_of[-1] - product_of[0]) // max(1, channels - 1)


def _plain(size: int, first: int) -> Axis:
    none = np.zeros(1, np.int64)
    return Axis(size, first, 1, none, none, none)


@lru_cache(maxsize=256)
def chunks_of(g: Any, transposed: bool, itemsize: int, images: int, share: int) -> Integers:
    """Rows (phase, first pixel, last pixel): the pixels of a task, counted through so many images of a phase.

    The number of tasks is a multiple of ``share``, the number of threads, unless there are many.
    """
    plan = blocked_plan(g, transposed, itemsize)
    most = SUMS_BYTES // (PIXEL_VECTORS * VECTOR_BYTES)
    widest = int(np.diff(plan.edges).max())
    tile, each = PIXELS[widest], g.groups * (plan.edges.size - 1) * len(plan.phases)
    chunks = []
    for number, phase in enumerate(plan.phases.tolist()):
        pixels = images * Phase(*phase).rows * Phase(*phase).columns
        tiles = -(-pixels // tile)  # all whole but the last one
        count = -(-tiles // (most // tile))
        if each * count < 16 * share:
            while each * count % share and count < tiles:
                count += 1
        bounds = np.minimum(np.arange(count + 1) * tiles // count * tile, pixels)
        chunks += [(number, first, last) for first, last in zip(bounds[:-1], bounds[1:], strict=True)]
    return np.array(chunks, np.int64).reshape(-1, 3)
