"""Inverted residuals in one pass: 1x1 convolutions around a depthwise one, without what is between them in memory.

    project(depthwise(expand(x))) + bias + add,  each kept within bounds

MobileNetV2 and its kin are made of these: few channels become six times as many, each has a filter of its own, and few
come out.  What lies between is most of what such a network writes and reads: 29 MB for 96 channels of 240 x 320.  Here
a task takes a band of rows through all three, FILTERS channels at a time, and its sums stay in L2; rows at the seams of
bands are expanded twice.  Measured on one core beside the three convolutions one after the other: 3.1 times as fast
there, 1.6 with 384 channels of 112 x 112, 1.15 with 192 of 28 x 28.
Source of the block: Sandler et al., arXiv 1801.04381.
"""

from functools import lru_cache
from itertools import accumulate
from operator import sub
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from ..._jit import VECTOR_BYTES, kernel, routine, thread_count
from ..activation import clamp
from ..simd.emit import lanes
from ..simd.values import fields
from .depthwise import PLANES
from .finish import finish_of
from .micro_kernel import VECTORS, add_products, end_products
from .plan import LONGEST_SUM

SIZE = 3  # of the depthwise kernel, height and width
FILTERS = 32  # of the depthwise convolution, that go through all three together
BAND_BYTES = 3 * 2**18  # what a task keeps at hand: within L2
LEAST_ROWS = 4  # of a band
# What pays: either what is between of an image is too large for L2, or the products are so few that memory takes
# longer.  On two cores, beside one after the other: 1.05 to 2.5 times as fast from 1 MiB on with up to 128 products of
# each number between, 0.95 to 1.05 with up to 200, 0.8 to 0.93 with 480; 1.1 to 1.6 with up to 64 of less; 0.6 to 0.9
# with more on maps of 14 x 14 and 7 x 7.
LARGE_BYTES = 2**20
FEW_PRODUCTS = 64
MANY_PRODUCTS = 300

# ------------------------------------------------------------------------------------------------ routines


class Block(NamedTuple):
    """The sizes of an inverted residual."""

    images: int
    channels: int  # of the input,
    height: int
    width: int
    filters: int  # of the depthwise convolution,
    out_height: int
    out_width: int
    outputs: int  # and of the output
    stride: int
    top: int  # padding
    left: int
    expands: bool  # or the input is as wide as the filters already

    @property
    def products(self) -> int:
        """Multiplications, but for rows that are expanded twice."""
        filtered = (SIZE**2 + self.outputs) * self.out_height * self.out_width
        return self.images * self.filters * (self.channels * self.height * self.width + filtered)


class Bands(NamedTuple):
    """How the rows of its output are shared out; the kernel reads it after the Block, from an array."""

    bands: int
    pitch: int  # from one row of a task's numbers to the next: of pixels before the depthwise convolution,
    out_pitch: int  # and after it


_sizes = fields(len(Block._fields) + len(Bands._fields))


@routine
def _end_rows(out, to, plane, sums, pitch, pixels, bias, add, adds, low, high):
    """out[to + r * plane + j] = sums[r * pitch + j] + bias[r], finished, for j < pixels."""
    for r in range(bias.size):
        more, kept = bias[r], sums[r * pitch : r * pitch + pixels]
        row, residual = out[to + r * plane : to + r * plane + pixels], add[0:0]
        if adds:
            residual = add[to + r * plane : to + r * plane + pixels]
            for j in range(pixels):
                row[j] = clamp(kept[j] + more + residual[j], out.dtype.type(low), out.dtype.type(high))
        else:
            for j in range(pixels):
                row[j] = clamp(kept[j] + more, out.dtype.type(low), out.dtype.type(high))


_convolve_plane, _convolve_plane_of_stride_2 = PLANES[SIZE, 1], PLANES[SIZE, 2]


@routine
def _filter(stride, out, to, out_height, out_width, x, at, height, width, top, left, ahead, weights, w_at, bias, low,
            high):  # fmt: skip
    """A plane of the depthwise convolution, kept within bounds; the next one lies ``ahead`` of it."""
    if stride == 1:
        _convolve_plane(out, to, out_height, out_width, x, at, height, width, top, left, ahead, weights, w_at, bias, x,
                        False, low, high)  # fmt: skip
    else:
        _convolve_plane_of_stride_2(out, to, out_height, out_width, x, at, height, width, top, left, ahead, weights,
                                    w_at, bias, x, False, low, high)  # fmt: skip


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _inverted_residual(out, x, scratch, slots, numbers, expand, expand_bias, places, depthwise, depthwise_bias,
                       project, steps, bias, first_low, first_high, second_low, second_high, add, adds, low,
                       high):  # fmt: skip
    # An iteration owns some bands of rows of the output, one after the other, and a part of the scratch memory.
    (images, channels, height, width, filters, out_height, out_width, outputs, stride, top, left, expands, bands,
     pitch, out_pitch) = _sizes(numbers, 0)  # fmt: skip
    plane, out_plane, tasks = height * width, out_height * out_width, images * bands
    each = scratch.size // slots
    for slot in prange(slots):
        made = scratch[slot * each : slot * each + FILTERS * out_pitch]
        sums = scratch[slot * each + made.size : slot * each + made.size + outputs * out_pitch]
        rest = scratch[slot * each + made.size + sums.size : (slot + 1) * each]
        inner, inputs = rest[: FILTERS * pitch], rest[FILTERS * pitch :]
        for task in range(slot * tasks // slots, (slot + 1) * tasks // slots):
            n, band = task // bands, task % bands
            y0, y1 = band * out_height // bands, (band + 1) * out_height // bands
            first = y0 * stride - top
            r0, r1 = max(0, first), min(height, (y1 - 1) * stride - top + SIZE)
            pixels, out_pixels = (r1 - r0) * width, (y1 - y0) * out_width
            if expands:
                for c in range(channels):  # side by side: planes a multiple of 4 KiB apart would share lines of L1
                    at = (n * channels + c) * plane + r0 * width
                    inputs[c * pitch : c * pitch + pixels] = x[at : at + pixels]
            for e0 in range(0, filters, FILTERS):
                count = min(FILTERS, filters - e0)
                if expands:
                    for i in range(0, pixels, VECTORS * lanes(x.itemsize)):  # its inputs stay in L1 for all filters
                        end_products(count, inner, i, pitch, expand, e0 * channels, inputs, i, places, expand_bias, e0,
                                     x, False, first_low, first_high, 0, 0.0)  # fmt: skip
                    for e in range(count):
                        _filter(stride, made, e * out_pitch, y1 - y0, out_width, inner, e * pitch, r1 - r0, width,
                                r0 - first, left, pitch, depthwise, (e0 + e) * SIZE * SIZE, depthwise_bias[e0 + e],
                                second_low, second_high)  # fmt: skip
                else:
                    for e in range(count):
                        at = (n * filters + e0 + e) * plane + r0 * width
                        _filter(stride, made, e * out_pitch, y1 - y0, out_width, x, at, r1 - r0, width, r0 - first,
                                left, plane, depthwise, (e0 + e) * SIZE * SIZE, depthwise_bias[e0 + e], second_low,
                                second_high)  # fmt: skip
                for i in range(0, out_pixels, VECTORS * lanes(x.itemsize)):
                    add_products(outputs, VECTORS, sums[i:], out_pitch, project, e0, filters, made, i, steps, 0,
                                 count, e0 > 0)  # fmt: skip
            _end_rows(out, n * outputs * out_plane + y0 * out_width, out_plane, sums, out_pitch, out_pixels, bias,
                      add, adds, low, high)  # fmt: skip


# ------------------------------------------------------------------------------------------------- entries


def block_of(expand: Any, depthwise: Any, project: Any, itemsize: int) -> Block | None:
    """The block that geometries of two or three convolutions make, if there is a kernel for it and it saves time."""
    g, stride = depthwise, depthwise.stride_h
    window = g.kernel_height, g.kernel_width, g.stride_w, g.dilation_h, g.dilation_w
    usual = window == (SIZE, SIZE, stride, 1, 1) and (SIZE, stride) in PLANES and VECTOR_BYTES > 16
    if not (usual and g.groups == g.image_channels == g.map_channels):
        return None
    channels, outputs = expand.image_channels if expand else 0, project.map_channels
    pointwise = all(each is None or _pointwise(each) for each in (expand, project))
    if not pointwise or channels > LONGEST_SUM or not g.batch:
        return None
    height, width = (g.image_height, g.image_width) if expand else (g.map_height, g.map_width)
    products = channels + outputs // stride**2
    small = g.groups * height * width * itemsize < LARGE_BYTES
    if products > MANY_PRODUCTS or (small and not (expand and products <= FEW_PRODUCTS)):
        return None
    return Block(g.batch, channels, g.image_height, g.image_width, g.groups, g.map_height, g.map_width, outputs, stride,
                 g.pad_top, g.pad_left, expand is not None)  # fmt: skip


def _pointwise(g: Any) -> bool:
    one = (g.kernel_height, g.kernel_width, g.stride_h, g.stride_w, g.groups) == (1, 1, 1, 1, 1)
    return one and (g.image_height, g.image_width) == (g.map_height, g.map_width) and not (g.pad_top or g.pad_left)


@lru_cache(maxsize=256)
def _plan(block: Block, itemsize: int, threads: int) -> tuple[Bands, Any, int, Any, Any]:
    """(bands, the kernel's numbers, how many a task keeps at hand, where its channels and its filters begin).

    Bands are so many that each fits into BAND_BYTES, if there are rows enough, and that the thread with most to do has
    least.  A multiple of the threads need not be among those that have LEAST_ROWS rows: of 15 rows in 3 bands
    one of two threads had two.
    """
    tile = VECTORS * lanes(itemsize)

    def pitches(bands: int) -> list[int]:
        rows = -(-block.out_height // bands)
        pixels = min(block.height, (rows - 1) * block.stride + SIZE) * block.width
        whole = [-(-count // tile) * tile for count in (pixels, rows * block.out_width)]
        return [each if each // lanes(itemsize) % 2 else each + lanes(itemsize) for each in whole]  # an odd one: as
        # with planes a multiple of 4 KiB apart, few sets of L1 would hold all rows

    def numbers(bands: int) -> int:
        pitch, out_pitch = pitches(bands)
        before = (FILTERS + block.channels) * pitch if block.expands else 0
        return before + (FILTERS + block.outputs) * out_pitch

    def longest(bands: int) -> int:
        """Products of the thread with most to do, rows at the seams and the ends of tiles among them."""
        costs = []
        for band in range(bands):
            y0, y1 = band * block.out_height // bands, (band + 1) * block.out_height // bands
            first, last = y0 * block.stride - block.top, (y1 - 1) * block.stride - block.top + SIZE
            pixels, out_pixels = (min(block.height, last) - max(0, first)) * block.width, (y1 - y0) * block.out_width
            costs.append(-(-pixels // tile) * block.channels + -(-out_pixels // tile) * (SIZE**2 + block.outputs))
        tasks, before = block.images * bands, [0, *accumulate(costs)]
        ends = [before[-1] * (end // bands) + before[end % bands]
                for end in (tasks * i // threads for i in range(threads + 1))]  # fmt: skip
        return max(map(sub, ends[1:], ends))

    most = max(1, block.out_height // LEAST_ROWS)
    least = next((each for each in range(1, most) if numbers(each) * itemsize <= BAND_BYTES), most)
    bands = min(range(least, most + 1), key=longest)
    found = Bands(bands, *pitches(bands))
    every = numbers(bands) + tile  # the last tile may read beyond
    places, steps = np.arange(block.channels) * found.pitch, np.arange(FILTERS) * found.out_pitch
    return found, np.array([*block, *found], np.int64), every, places, steps


def inverted_residual(
    out: Any, x: Any, weights: Any, biases: Any, block: Block, add: Any = None, activations: Any = (None, None, None)
) -> None:
    """Fill ``out`` by three convolutions, of which the first may be None, with activations that are bounds.

    The weights are finite: what lies beyond an image is 0 whatever they are.
    """
    (expand, depthwise, project), counts = weights, (block.filters, block.filters, block.outputs)
    first, second, bias = (
        np.zeros(count, out.dtype) if bias is None else bias for bias, count in zip(biases, counts, strict=True)
    )
    inner = [finish_of(bias, None, activation)[0] for activation in activations[:2]]
    threads = thread_count()
    found, numbers, each, places, steps = _plan(block, out.itemsize, threads)
    slots = min(threads, block.images * found.bands)
    _inverted_residual(block.products // 8)(
        out.reshape(-1), x.reshape(-1), np.empty(slots * each, out.dtype), slots, numbers,
        (expand if block.expands else depthwise).reshape(-1), first, places, depthwise.reshape(-1), second,
        project.reshape(-1), steps, bias, inner[0].low, inner[0].high, inner[1].low, inner[1].high,
        *finish_of(bias, add, activations[2])[0][:4],
    )  # fmt: skip
