"""Depthwise convolutions: one filter for each output channel, every one on a single input channel.

There is nothing to reuse but the pixels themselves, so an image is read where it lies: masks stand for its padding, and
a tile of ROWS output rows by one vector keeps its sums in registers and loads each input row once for all of them.
Measured on one AVX-512 core, 3x3: 2.5 to 5 times torch, where a padded copy and a pass for each element took 1.5 times
torch's time.  With the lines of the next column of tiles fetched ahead, 128 planes of 240 x 320 took 0.35 of the time.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from ..._jit import VECTOR_BYTES, kernel, routine
from ..simd.emit import (
    array_data,
    every_second,
    following,
    lanes,
    masked_load,
    masked_store,
    masks_between,
    multiply_add,
    prefetch,
    repeated,
    store,
    vector_of,
)
from .exact import not_finite
from .finish import bend_rows, finished, in_vectors
from .outcome import Outcome
from .plan import sides

ROWS = 4  # output rows of a tile
MORE = 4  # elements of a row beyond its vectors that a kernel of 5 columns may see


def _seen(builder: Any, size: int, parts: list[Any]) -> list[Any]:
    """What each column of a kernel sees of a row, from one vector of it, or two with stride 2, and MORE elements.

    Most vectors that begin anywhere lie in two lines of the cache: with a load for each column, 56 x 56 took 1.2 times
    as long with stride 1 and 1.6 times with stride 2.
    """
    *vectors, more = parts
    rows = (
        [vectors[0]]
        if len(vectors) == 1
        else [every_second(builder, vectors[0], vectors[1], first) for first in (0, 1)]
    )
    rest = [more] if len(vectors) == 1 else [every_second(builder, more, more, first) for first in (0, 1)]
    return [
        following(builder, rows[kx % len(rows)], rest[kx % len(rows)], kx // len(rows))
        for kx in range(size)
    ]  # fmt: skip


def _tile(rows: int, size: int, stride: int, clipped: bool) -> Any:
    """The intrinsic for ``rows`` rows by one vector of outputs of a size x size kernel.

    The image is at x[at], height x width; the window of the first output starts at (y, left) in it; outputs are
    finished and written to out[to + r * out_width + j], j < count.  Only a ``clipped`` tile may reach above or below
    the image.  Others fetch what lies ``ahead`` of their own pixels: the processor does not foresee it.
    """

    @intrinsic
    def tile(typing_context, out, to, out_width, count, x, at, height, width, y, left, ahead, w, w_at, bias, add, adds,
             low, high):  # fmt: skip
        arguments = (out, to, out_width, count, x, at, height, width, y, left, ahead, w, w_at, bias, add, adds, low,
                     high)  # fmt: skip
        return types.void(*arguments), generate

    def generate(context, builder, signature, arguments):
        out, to, out_width, count, x, at, height, width, y, left, ahead, w, w_at, bias, add, *finish = arguments
        out, x, w, add = (array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 4, 11, 14))
        i64, dtype = ir.IntType(64), signature.args[4].dtype
        vector, zero, _ = vector_of(context, builder, dtype)
        finish = in_vectors(context, builder, vector, add, signature.args[15:], finish)
        lane_count, few = vector.count, ir.Constant(ir.VectorType(vector.element, MORE), [0.0] * MORE)
        # the masks of the pixels that the first column of the kernel sees, and of the few more that the others do
        begin, end = builder.neg(left), builder.sub(width, left)
        whole = masks_between(builder, lane_count, stride, begin, end)
        beyond = i64(stride * lane_count)
        (more,) = masks_between(builder, MORE, 1, builder.sub(begin, beyond), builder.sub(end, beyond))
        masks = [*whole, more]
        weights = [builder.load(builder.gep(w, [builder.add(w_at, i64(k))])) for k in range(size * size)]
        weights = [repeated(builder, vector, weight) for weight in weights]
        sums = [repeated(builder, vector, bias)] * rows
        for row in range((rows - 1) * stride + size):
            iy = builder.add(y, i64(row))
            inside = builder.icmp_unsigned("<", iy, height)
            source = builder.gep(x, [builder.add(at, builder.add(builder.mul(iy, width), left))])
            parts = []
            for part in range(0 if clipped else stride):
                prefetch(builder, builder.gep(source, [builder.add(ahead, i64(part * lane_count))]))
            for part, mask in enumerate(masks):
                pixels = builder.gep(source, [i64(part * lane_count)])
                mask = builder.select(inside, mask, ir.Constant(mask.type, None)) if clipped else mask
                parts.append(masked_load(builder, pixels, mask, zero if part < stride else few))
            for kx, value in enumerate(_seen(builder, size, parts)):
                for r in range(rows):
                    ky = row - r * stride
                    if 0 <= ky < size:
                        sums[r] = multiply_add(builder, weights[ky * size + kx], value, sums[r])
        places = [builder.add(to, builder.mul(out_width, i64(r))) for r in range(rows)]
        (kept,) = masks_between(builder, lane_count, 1, i64(0), count)
        sums = [finished(builder, value, place, kept, finish) for value, place in zip(sums, places, strict=True)]
        targets = [builder.gep(out, [place]) for place in places]
        with builder.if_else(builder.icmp_signed(">=", count, i64(lane_count))) as (whole, part):
            with whole:
                for value, target in zip(sums, targets, strict=True):
                    store(builder, value, target)
            with part:
                for value, target in zip(sums, targets, strict=True):
                    masked_store(builder, value, target, kept)
        return context.get_dummy_value()

    return tile


def _plane_of(size: int, stride: int) -> Any:
    """The routine that makes one plane of outputs."""
    many, clipped = _tile(ROWS, size, stride, False), _tile(ROWS, size, stride, True)
    one = _tile(1, size, stride, True)

    def convolve_plane(out, to, out_height, out_width, x, at, height, width, top, left, ahead, weights, w_at, bias, add,
                       adds, low, high):  # fmt: skip
        lane_count, first = lanes(x.itemsize), 0
        while first < out_width:  # a column of tiles: their masks are made once
            ox = max(0, min(first, out_width - lane_count))  # the last vector moves back to be a whole one
            ix, count, row = ox * stride - left, out_width - ox, 0
            while row < out_height:
                oy = row if out_height < ROWS else min(row, out_height - ROWS)  # and the last tile up
                y, place = oy * stride - top, to + oy * out_width + ox
                if out_height < ROWS:
                    one(out, place, out_width, count, x, at, height, width, y, ix, ahead, weights, w_at, bias, add,
                        adds, low, high)  # fmt: skip
                elif y >= 0 and y + (ROWS - 1) * stride + size <= height:
                    many(out, place, out_width, count, x, at, height, width, y, ix, ahead, weights, w_at, bias, add,
                        adds, low, high)  # fmt: skip
                else:
                    clipped(out, place, out_width, count, x, at, height, width, y, ix, ahead, weights, w_at, bias, add,
                            adds, low, high)  # fmt: skip
                row += 1 if out_height < ROWS else ROWS
            first += lane_count

    convolve_plane.__qualname__ += f"{size}x{size}.stride{stride}"
    return routine(convolve_plane)


PLANES = {(size, stride): _plane_of(size, stride) for size in (3, 5) for stride in (1, 2)}
"""The routines, by the size of the kernel and its stride."""


# ------------------------------------------------------------------------------------------------- kernels


def _kernel_of(size: int, stride: int) -> Any:
    """The kernel; x is (images, channels, height, width), each channel has bias.size / channels filters."""
    convolve_plane, taps = PLANES[size, stride], size * size

    def convolve(out, x, w, bias, channels, height, width, out_height, out_width, top, left, add, adds, low, high,
                 bend, slope):  # fmt: skip
        # An iteration owns one plane of outputs.  Returns how many planes' weights are infinite or NaN.
        bad = 0
        for plane in prange(out.size // (out_height * out_width)):
            oc, image = plane % bias.size, plane // bias.size
            at = (image * channels + oc // (bias.size // channels)) * height * width
            next_column = lanes(x.itemsize) * stride
            convolve_plane(out, plane * out_height * out_width, out_height, out_width, x, at, height, width, top, left,
                           next_column, w, oc * taps, bias[oc], add, adds, low, high)  # fmt: skip
            if bend:
                bend_rows(out, plane * out_height * out_width, 0, 1, out_height * out_width, bend, slope)
            bad += not_finite(w[oc * taps : (oc + 1) * taps]) != 0
        return bad

    convolve.__name__ = convolve.__qualname__ = f"_convolve_depthwise_{size}x{size}_stride_{stride}"
    return kernel(convolve)


_KERNELS = {key: _kernel_of(*key) for key in PLANES}

# ------------------------------------------------------------------------------------------------- entries


def suits(g, transposed):
    """Whether there is a kernel for this convolution: one input channel a group, a usual size, and masks in the CPU.

    A transposed one of stride 1 is such a convolution with the kernel turned half around.
    """
    size, stride = (g.kernel_height, g.stride_h), (g.kernel_width, g.stride_w)
    plain = size == stride and size in _KERNELS and (g.dilation_h, g.dilation_w) == (1, 1) and VECTOR_BYTES > 16
    if transposed:
        square = g.map_channels == g.groups and (g.stride_h, g.stride_w) == (1, 1)
        plain = plain and square and max(g.pad_top, g.pad_left) < g.kernel_height
    return plain and g.groups == g.image_channels


def convolve(out, input, weight, bias, g, transposed, kept, finish):
    """As __init__.py says."""
    side, top, left = sides(g, transposed), g.pad_top, g.pad_left
    if transposed:
        weight = np.ascontiguousarray(weight.reshape(g.groups, -1)[:, ::-1])
        top, left = g.kernel_height - 1 - top, g.kernel_width - 1 - left
    bad = _KERNELS[g.kernel_height, g.stride_h](_work(g, out.size))(
        *_arguments(out, input, weight, bias, side, top, left, finish)
    )  # fmt: skip
    return Outcome(pads=bad > 0, ended=True)  # finite weights may meet zeros


def bind(out, input, weight, bias, g, kept, finish):
    """As bound.py says."""
    arguments = _arguments(out, input, weight, bias, sides(g, False), g.pad_top, g.pad_left, finish)
    return _KERNELS[g.kernel_height, g.stride_h], _work(g, out.size), arguments


def _work(g, outputs):
    return outputs * g.kernel_height * g.kernel_width // 4


def _arguments(out, input, weight, bias, side, top, left, finish):
    return (out.reshape(-1), input.reshape(-1), weight.reshape(-1), bias, side.channels, side.height, side.width,
            side.out_height, side.out_width, top, left, *finish)  # fmt: skip
