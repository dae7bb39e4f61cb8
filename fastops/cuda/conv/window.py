"""Which inputs an output of a convolution sees, and through which elements of the kernel.

The coordinates serve conv2d and its transpose: output y sees, through element ky, the input at

    (first + y * step + ky * tap) / divide

where that is whole.  The outputs y = phase (mod divide) all see the same elements of the kernel, c, c + classes,
c + 2 * classes, ...: for them it is an ordinary convolution with a part of the kernel.
"""

from math import gcd
from typing import Any, NamedTuple

import numpy as np

from .._launch import SIMULATED, compiler, device

int32, int64 = np.int32, np.int64  # int32, of numbers below 2^31, takes half the registers and a fifth of the time

# ------------------------------------------------------------------------------------------------- geometry


class Axis(NamedTuple):
    """The height or the width of a convolution, as the head of this file has it."""

    size: int  # of the input
    out: int
    kernel: int
    step: int
    first: int
    tap: int
    divide: int
    classes: int  # elements of the kernel that are so far apart serve the same phase
    common: int  # the greatest common divisor of tap and divide
    inverse: int  # what tells the class of a phase
    pace: int  # from one element of a class to the next, in the input


def axis(size: int, out: int, kernel: int, step: int, first: int, tap: int, divide: int) -> Axis:
    """One axis; the rest follows."""
    common = gcd(tap, divide)
    classes = divide // common
    inverse = -pow(tap // common, -1, classes) % classes
    return Axis(size, out, kernel, step, first, tap, divide, classes, common, inverse, tap // common)


def axes(g: Any, transposed: bool) -> tuple[Axis, Axis]:
    """The height and the width of conv2d, or of its transpose."""
    if transposed:
        return (axis(g.map_height, g.image_height, g.kernel_height, 1, g.pad_top, -g.dilation_h, g.stride_h),
                axis(g.map_width, g.image_width, g.kernel_width, 1, g.pad_left, -g.dilation_w, g.stride_w))  # fmt: skip
    return (axis(g.image_height, g.map_height, g.kernel_height, g.stride_h, -g.pad_top, g.dilation_h, 1),
            axis(g.image_width, g.map_width, g.kernel_width, g.stride_w, -g.pad_left, g.dilation_w, 1))  # fmt: skip


def reaches_beyond(axis: Axis) -> bool:
    """Whether a window may reach beyond the input."""
    extent = (axis.kernel - 1) * axis.tap
    least = axis.first + min(extent, 0)
    most = axis.first + (axis.out - 1) * axis.step + max(extent, 0)
    return least <= -axis.divide or most >= axis.size * axis.divide


class Layout(NamedTuple):
    """Where the weights of a group lie: outputs first for conv2d, inputs first for its transpose."""

    channels: int
    out_channels: int
    channel_step: int
    out_step: int


class Convolution(NamedTuple):
    """A convolution, or the transpose of one, from its input to its output."""

    batch: int
    groups: int
    vertical: Axis
    horizontal: Axis
    weights: Layout


def seen(g: Any, transposed: bool) -> Convolution:
    """conv2d, or its transpose, of a geometry."""
    size = g.kernel_height * g.kernel_width
    images, maps = g.image_channels // g.groups, g.map_channels // g.groups
    weights = Layout(maps, images, images * size, size) if transposed else Layout(images, maps, size, images * size)
    return Convolution(g.batch, g.groups, *axes(g, transposed), weights)


# ------------------------------------------------------------------------------------------------- routines


def routine(function: Any) -> Any:
    """A device function without threads or shared memory; the simulator, slow to call the others, takes it as it is."""
    return function if SIMULATED else device(function)


if SIMULATED:

    def divide(a, b):
        """(a // b, a % b) for numbers from 0 to 2^31 - 1."""
        return divmod(a, b)

    def within(i, size):
        """Whether 0 <= i < size, for numbers below 2^31."""
        return 0 <= i and i < size

else:
    intrinsic, _, types = compiler

    @intrinsic
    def divide(typingctx, a, b):
        """(a // b, a % b) for numbers from 0 to 2^31 - 1, as int32: a fifth of the price of 64 bits."""

        def codegen(context, builder, signature, args):
            a, b = (builder.trunc(arg, context.get_value_type(types.int32)) for arg in args)
            quotient = builder.udiv(a, b)
            rest = builder.sub(a, builder.mul(quotient, b))
            return context.make_tuple(builder, signature.return_type, [quotient, rest])

        return types.UniTuple(types.int32, 2)(types.int64, types.int64), codegen

    @intrinsic
    def within(typingctx, i, size):
        """Whether 0 <= i < size, for numbers below 2^31: one comparison without signs."""

        def codegen(context, builder, signature, args):
            i, size = (builder.trunc(arg, context.get_value_type(types.int32)) for arg in args)
            return builder.icmp_unsigned("<", i, size)

        return types.boolean(types.int64, types.int64), codegen


@routine
def class_start(c, kernel, classes):
    """How many elements of the kernel are in the classes before c."""
    each, rest = divide(kernel, classes)
    return int32(c * each + (c if c < rest else rest))


@routine
def class_size(c, kernel, classes):
    """How many elements of the kernel are in class c."""
    return divide(kernel - c + classes - 1, classes)[0]


@routine
def phase_class(axis, phase):
    """(class, elements of the kernel in it, the input that the first output of the phase sees through the first)."""
    _, _, kernel, step, first, tap, every, classes, common, inverse, _ = axis
    if every == 1:
        return int32(0), int32(kernel), int32(first)
    number = first + phase * step
    if number % common:
        return int32(0), int32(0), int32(0)
    c = int32(number // common % classes * inverse % classes)
    return c, class_size(c, kernel, classes), int32((number + c * tap) // every)


@routine
def pixel_after(at, count, height, width):
    """The pixel (image, y, x) that comes so many after another."""
    n, y, x = at
    x = int32(x + count)
    while x >= width:
        x = int32(x - width)
        y = int32(y + 1)
        if y == height:
            y = int32(0)
            n = int32(n + 1)
    return n, y, x


@routine
def output_at(i, groups, vertical, horizontal, weights):
    """(channel, where its group's input begins, where its weights do, y, x) of the i-th output."""
    height, out_height, kernel_height, _, _, _, _, _, _, _, _ = vertical
    width, out_width, kernel_width, _, _, _, _, _, _, _, _ = horizontal
    channels, out_channels, _, out_step = weights
    plane = i // (out_height * out_width)
    y, x = divide(i - plane * out_height * out_width, out_width)
    image, channel = divide(plane, groups * out_channels)
    group, o = divide(channel, out_channels)
    x_at = (image * groups + group) * channels * height * width
    w_at = group * channels * out_channels * kernel_height * kernel_width + o * out_step
    return channel, x_at, w_at, y, x


@routine
def window_sum(zero, x, w, x_at, w_at, y, x_, vertical, horizontal, weights):
    """The sum of one output's products inside the image, in the dtype of ``zero``."""
    height, _, _, step_y, _, _, every_y, classes_y, _, _, pace_y = vertical
    width, _, kernel_width, step_x, _, _, every_x, classes_x, _, _, pace_x = horizontal
    channels, _, channel_step, _ = weights
    row, phase_y = divide(y, every_y)
    column, phase_x = divide(x_, every_x)
    ky0, taps_y, first_y = phase_class(vertical, phase_y)
    kx0, taps_x, first_x = phase_class(horizontal, phase_x)
    top, left = first_y + row * step_y, first_x + column * step_x
    s = zero
    for c in range(channels):
        for j in range(taps_y):
            iy = top + j * pace_y
            if within(iy, height):
                for i in range(taps_x):
                    ix = left + i * pace_x
                    if within(ix, width):
                        place = x_at + (c * height + iy) * width + ix
                        weight = w_at + c * channel_step + (ky0 + j * classes_y) * kernel_width + kx0 + i * classes_x
                        s += type(zero)(x[np.uint64(place)]) * type(zero)(w[np.uint64(weight)])
    return s
