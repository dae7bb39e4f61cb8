"""Convolutions as products of matrices, in tiles: weights times windows, with the sums in registers.

Output channel o and pixel p of a group make one sum over k, the elements of p's window in all input channels.  The
windows are never laid out in memory: a block reads some elements of its pixels' windows after the other into shared
memory.  The weights are laid out first, so that what a block reads of them lies side by side.
"""

from typing import Any

import numpy as np

from .._launch import SIMULATED, THREADS, compiler, cuda, kernel
from ..vectors import load4, store4
from .exact import convolve_again
from .window import class_size, class_start, divide, int32, int64, phase_class, reaches_beyond, routine, within

TILE_THREADS = 32 if SIMULATED else 256  # of a block
MANY, FEW = (4, 4) if SIMULATED else (8, 4)
"""Threads across a tile's channels, 8 channels each; a block's other threads lie along the pixels, 4 pixels each."""

CHUNK = 8 if SIMULATED else 256
"""Products of a sum in registers; such sums join in a second one, which keeps the error near that of pairwise sums."""
ARRANGED = 8 if SIMULATED else 32
FAR = 2**30  # farther from an image than any kernel reaches
_ARRANGED_ROOM = ARRANGED * (ARRANGED + 1)
WANTED = 4 if SIMULATED else 264
"""Blocks that fill a large device; sums of fewer are split."""

# ------------------------------------------------------------------------------------------------- registers

if SIMULATED:

    def multiply_add(sums, a, b):
        """sums + the products of every a with every b."""
        return tuple(s + a[i // len(b)] * b[i % len(b)] for i, s in enumerate(sums))

    def added(a, b):
        """The sums of two tuples."""
        return tuple(x + y for x, y in zip(a, b, strict=True))

else:
    intrinsic, _, types = compiler

    def _elements(builder, kinds, values):
        return ([builder.extract_value(v, i) for i in range(k.count)] for k, v in zip(kinds, values, strict=True))

    @intrinsic
    def multiply_add(typingctx, sums, a, b):
        """sums + the products of every a with every b; all of them are tuples, which stay in registers."""

        def codegen(context, builder, signature, args):
            sums, a, b = _elements(builder, signature.args, args)
            values = [builder.fma(a[i // len(b)], b[i % len(b)], s) for i, s in enumerate(sums)]
            return context.make_tuple(builder, signature.return_type, values)

        return sums(sums, a, b), codegen

    @intrinsic
    def added(typingctx, a, b):
        """The sums of two tuples."""

        def codegen(context, builder, signature, args):
            values = [builder.fadd(x, y) for x, y in zip(*_elements(builder, signature.args, args), strict=True)]
            return context.make_tuple(builder, signature.return_type, values)

        return a(a, b), codegen


# ------------------------------------------------------------------------------------------------- routines


@routine
def element_place(window, channel, j, i):
    """(where element (channel, j, i) of a pixel's window lies, whether it is inside the image)."""
    first, y0, x0, taps_y, _, tap_y, tap_x, height, width, _ = window
    y, x = int32(y0 + j * tap_y), int32(x0 + i * tap_x)
    inside = (j < taps_y) & within(y, height) & within(x, width)
    return first + (int64(channel) * height + y) * width + x, inside


@routine
def following(window, rows, at):
    """The element that comes so many after (channel, j, i, place, inside), channels first."""
    channel, j, i, place, inside = at
    _, _, _, _, taps_x, _, _, height, width, channels = window
    channel = int32(channel + rows)
    place += rows * int64(height) * width
    if channel >= channels:
        while channel >= channels:
            channel = int32(channel - channels)
            i = int32(i + 1)
            if i == taps_x:
                i = int32(0)
                j = int32(j + 1)
        place, inside = element_place(window, channel, j, i)
    return channel, j, i, place, inside


@routine
def element(x, at):
    """The value of an element of a window, 0 outside the image."""
    _, _, _, place, inside = at
    return x[np.uint64(place)] if inside else x.dtype.type(0)


@routine
def four_elements(x, window, rows, at):
    """Four elements, each so many after the one before, and the next one's place."""
    channel, _, _, place, inside = at
    _, _, _, _, _, _, _, height, width, channels = window
    zero = x.dtype.type(0)
    a = b = c = d = zero
    if channel + 3 * rows < channels:
        if inside:
            step = rows * int64(height) * width
            a, b = x[np.uint64(place)], x[np.uint64(place + step)]
            c, d = x[np.uint64(place + 2 * step)], x[np.uint64(place + 3 * step)]
        return a, b, c, d, following(window, 4 * rows, at)
    a, at = element(x, at), following(window, rows, at)
    b, at = element(x, at), following(window, rows, at)
    c, at = element(x, at), following(window, rows, at)
    d, at = element(x, at), following(window, rows, at)
    return a, b, c, d, at


@routine
def no_sums(zero):
    """A tile of 8 x 4 zeros."""
    four = (zero, zero, zero, zero)
    sixteen = four + four + four + four
    return sixteen + sixteen


@routine
def output_place(grid, pixel, first, step):
    """Where a pixel of a phase lies in the output's first channel, or -1 beyond the last image."""
    pixels, rows_y, rows_x, every_y, every_x, phase_y, phase_x, width = grid
    if pixel >= pixels:
        return -1
    image = pixel // (rows_y * rows_x)
    y, x = divide(pixel - image * rows_y * rows_x, rows_x)
    return first + image * step + (y * every_y + phase_y) * width + x * every_x + phase_x


@routine
def store_row(out, bias, biases, to, channel, a, b, c, d):
    """Four neighbouring pixels of a channel."""
    to0, to1, to2, to3, plane, by_four = to
    biased, first, channels = biases
    if channel < channels:
        if biased:
            more = bias[first + channel]
            a, b, c, d = a + more, b + more, c + more, d + more
        row = channel * plane
        if by_four:
            if to0 >= 0:
                store4(out, to0 + row, a, b, c, d)
        else:
            if to0 >= 0:
                out[np.uint64(to0 + row)] = a
            if to1 >= 0:
                out[np.uint64(to1 + row)] = b
            if to2 >= 0:
                out[np.uint64(to2 + row)] = c
            if to3 >= 0:
                out[np.uint64(to3 + row)] = d


# ------------------------------------------------------------------------------------------------- kernels


def _tiles(name: str, across: int) -> Any:
    """The kernel with so many threads across the channels of a tile."""
    along = TILE_THREADS // across
    tile_channels, tile_pixels, kstep = 8 * across, 4 * along, across
    rows = across // 4  # of windows' elements that a block reads at once
    fours = 2 * across  # of weights in a row
    w_size, x_size = kstep * tile_channels, kstep * tile_pixels
    w_room, x_room = 2 * w_size, 2 * x_size  # while one half is read, the other is filled
    chunk = CHUNK // kstep

    def convolve(out, x, w, bias, biased, by_four, batch, groups, channels, out_channels, padded, vertical, horizontal,
                 split_steps):  # fmt: skip
        # A block owns a tile of outputs of one phase and group, and a split of the elements of their windows.  A thread
        # reads 4 elements of one pixel for the next step while it multiplies those of this one.
        w_tile = cuda.shared.array(w_room, x.dtype)
        x_tile = cuda.shared.array(x_room, x.dtype)
        later = cuda.shared.array(8, int64)  # for the end, rather than in every thread's registers
        zero = x.dtype.type(0)
        t = int32(cuda.threadIdx.x)
        height, out_height, kernel_height, step_y, _, _, every_y, classes_y, _, _, pace_y = vertical
        width, out_width, kernel_width, step_x, _, _, every_x, classes_x, _, _, pace_x = horizontal
        most = batch * ((out_height + every_y - 1) // every_y) * ((out_width + every_x - 1) // every_x)
        rest, channel0 = divide(cuda.blockIdx.x, padded // tile_channels)
        rest, pixel0 = divide(rest, (most + tile_pixels - 1) // tile_pixels)
        rest, phase_x = divide(rest, every_x)
        rest, phase_y = divide(rest, every_y)
        split, group = divide(rest, groups)
        channel0, pixel0 = int32(channel0 * tile_channels), int64(pixel0) * tile_pixels
        rows_y = divide(out_height - phase_y + every_y - 1, every_y)[0]
        rows_x = divide(out_width - phase_x + every_x - 1, every_x)[0]
        pixels = batch * rows_y * rows_x
        if pixel0 >= pixels:
            return
        if t == 0:
            later[0], later[1], later[2], later[3] = pixel0, channel0, group, split
            later[4], later[5], later[6], later[7] = rows_y, rows_x, phase_y, phase_x
        cuda.syncthreads()
        class_y, taps_y, first_y = phase_class(vertical, phase_y)
        class_x, taps_x, first_x = phase_class(horizontal, phase_x)
        elements = int32(taps_y * taps_x * channels)
        begin, end = int32(split * split_steps), int32((split + 1) * split_steps)
        steps = divide(elements + kstep - 1, kstep)[0]
        end = end if end < steps else steps

        # What a thread reads first: an element of the window of one pixel, and four weights.
        pixel = pixel0 + t % tile_pixels
        image = pixel // (rows_y * rows_x)
        y, left = divide(pixel - image * rows_y * rows_x, rows_x)
        top = int32(y * step_y + first_y if pixel < pixels else -FAR)
        left = int32(left * step_x + first_x)
        image_at = (image * groups + group) * channels * height * width
        window = (image_at, top, left, taps_y, taps_x, int32(pace_y), int32(pace_x), int32(height), int32(width),
                  int32(channels))  # fmt: skip
        tap = channel = j = i = int32(0)
        if begin < end:
            tap, channel = divide(begin * kstep + t // tile_pixels, channels)
            j, i = divide(tap, taps_x)
        place, inside = element_place(window, channel, j, i)
        at = channel, j, i, place, inside
        busy = t < kstep * fours
        k = int32(begin * kstep + t // fours)
        start = class_start(class_y, kernel_height, classes_y) * kernel_width
        start += taps_y * class_start(class_x, kernel_width, classes_x)
        start += group * kernel_height * kernel_width
        w_place = (start * channels + k) * padded + channel0 + t % fours * 4
        w_to = int32(t // fours * tile_channels + t % fours * 4)

        across_at, along_at = int32(t // along * 4), int32(t % along * 4)
        none = no_sums(zero)
        sums, totals = none, none
        u = none[0:4]
        v0 = v1 = v2 = v3 = zero
        for step in range(begin, int32(end + 1)):
            if step < end:
                v0, v1, v2, v3, at = four_elements(x, window, rows, at)
                u = load4(w, w_place) if busy and k < elements else none[0:4]
                k = int32(k + kstep)
                w_place += kstep * padded
            if step > begin:
                half = ~step & 1
                w_from, x_from = int32(half * w_size + across_at), int32(half * x_size + along_at)
                for _ in range(kstep // 4):
                    for m in range(4):
                        low = load4(w_tile, w_from + m * tile_channels)
                        high = load4(w_tile, w_from + m * tile_channels + 4 * across)
                        sums = multiply_add(sums, low + high, load4(x_tile, x_from + m * tile_pixels))
                    w_from, x_from = int32(w_from + 4 * tile_channels), int32(x_from + 4 * tile_pixels)
                if step & (chunk - 1) == 0:
                    totals = added(totals, sums)
                    sums = none
            if step < end:
                w_at, x_at = (step & 1) * w_size + w_to, (step & 1) * x_size + t
                if busy:
                    store4(w_tile, w_at, u[0], u[1], u[2], u[3])
                x_tile[np.uint64(x_at)] = v0
                x_tile[np.uint64(x_at + TILE_THREADS)] = v1
                x_tile[np.uint64(x_at + 2 * TILE_THREADS)] = v2
                x_tile[np.uint64(x_at + 3 * TILE_THREADS)] = v3
            cuda.syncthreads()
        s = added(totals, sums)

        rows_y, rows_x, pixels = later[4], later[5], batch * later[4] * later[5]
        channel0, group, split = int32(later[1]), later[2], later[3]
        plane, pixel = out_height * out_width, later[0] + t % along * 4
        grid = pixels, rows_y, rows_x, every_y, every_x, later[6], later[7], out_width
        first = (split * batch * groups + group) * out_channels * plane
        step = groups * out_channels * plane
        to0 = output_place(grid, pixel, first, step)
        to1 = to2 = to3 = -1
        if not by_four:
            to1 = output_place(grid, pixel + 1, first, step)
            to2 = output_place(grid, pixel + 2, first, step)
            to3 = output_place(grid, pixel + 3, first, step)
        to = to0, to1, to2, to3, plane, by_four
        biases = biased, group * out_channels, out_channels
        c = int32(channel0 + t // along * 4)
        store_row(out, bias, biases, to, c, s[0], s[1], s[2], s[3])
        store_row(out, bias, biases, to, c + 1, s[4], s[5], s[6], s[7])
        store_row(out, bias, biases, to, c + 2, s[8], s[9], s[10], s[11])
        store_row(out, bias, biases, to, c + 3, s[12], s[13], s[14], s[15])
        c = int32(c + 4 * across)
        store_row(out, bias, biases, to, c, s[16], s[17], s[18], s[19])
        store_row(out, bias, biases, to, c + 1, s[20], s[21], s[22], s[23])
        store_row(out, bias, biases, to, c + 2, s[24], s[25], s[26], s[27])
        store_row(out, bias, biases, to, c + 3, s[28], s[29], s[30], s[31])

    convolve.__name__ = convolve.__qualname__ = name
    return kernel(convolve)


_convolve_many = _tiles("_convolve_many", MANY)
_convolve_few = _tiles("_convolve_few", FEW)


@kernel
def _arrange(out, flags, w, groups, channels, out_channels, padded, kernels, classes, steps):
    # A block owns ARRANGED output channels and as many elements (channel, ky, kx) of a group's weights.  It writes them
    # as the tiles read them: a row for each element, phase after phase; and whether all of them are finite.
    part = cuda.shared.array(_ARRANGED_ROOM, w.dtype)
    kernel_height, kernel_width = kernels
    classes_y, classes_x = classes
    channel_step, out_step = steps
    size = kernel_height * kernel_width
    elements = channels * size
    column, row = cuda.threadIdx.x % ARRANGED, cuda.threadIdx.x // ARRANGED
    rest, first = divide(cuda.blockIdx.x, padded // ARRANGED)
    group, e0 = divide(rest, (elements + ARRANGED - 1) // ARRANGED)
    o0, e0 = first * ARRANGED, e0 * ARRANGED
    zero = w.dtype.type(0)
    bad = zero
    channel, tap = divide(e0 + column, size)
    from_group = group * channels * out_channels * size
    for r in range(row, ARRANGED, THREADS // ARRANGED):
        value = zero
        if o0 + r < out_channels and e0 + column < elements:
            value = w[np.uint64(from_group + (o0 + r) * out_step + channel * channel_step + tap)]
        bad += value * zero
        part[column * (ARRANGED + 1) + r] = value
    finite = cuda.syncthreads_and(np.int32(bad == zero))
    if cuda.threadIdx.x == 0:
        flags[cuda.blockIdx.x] = finite
    for r in range(row, ARRANGED, THREADS // ARRANGED):
        if e0 + r < elements:
            channel, tap = divide(e0 + r, size)
            ky, kx = divide(tap, kernel_width)
            j, class_y = divide(ky, classes_y)
            i, class_x = divide(kx, classes_x)
            start = class_start(class_y, kernel_height, classes_y) * kernel_width
            taps_x = class_size(class_x, kernel_width, classes_x)
            before = class_start(class_x, kernel_width, classes_x)
            start += class_size(class_y, kernel_height, classes_y) * before + j * taps_x + i
            to = ((group * size + start) * channels + channel) * padded + o0 + column
            out[np.uint64(to)] = part[r * (ARRANGED + 1) + column]


@kernel
def _join(out, partials, bias, biased, splits, channels, plane):
    # A thread owns an output: the splits of its sum join in their order.
    i = cuda.grid(1)
    if i < out.size:
        s = partials[i]
        for split in range(1, splits):
            s += partials[split * out.size + i]
        if biased:
            s += bias[i // plane % channels]
        out[i] = s


# ------------------------------------------------------------------------------------------------- entries


def convolve(out, input, weight, bias, c):
    """Fill ``out``; what infinities of the weights and zeros around the image spoilt is made again."""
    place, kind = input.place, input.dtype
    batch, groups, vertical, horizontal, weights = c
    channels, out_channels, *steps = weights
    size = vertical.kernel * horizontal.kernel
    across, run = (FEW, _convolve_few) if out_channels <= 8 * FEW else (MANY, _convolve_many)
    padded = -(-out_channels // (8 * across)) * 8 * across
    rows = channels * size
    arranged = place.empty(groups * rows * padded, kind)
    blocks = groups * (padded // ARRANGED) * -(-rows // ARRANGED)
    flags = place.empty(blocks, np.dtype(np.int32))
    kernels, classes = (vertical.kernel, horizontal.kernel), (vertical.classes, horizontal.classes)
    _arrange.blocks(place, blocks, THREADS, arranged, flags, weight, groups, channels, out_channels, padded, kernels,
                    classes, tuple(steps))  # fmt: skip

    tile_pixels = 4 * TILE_THREADS // across
    pixels = batch * -(-vertical.out // vertical.divide) * -(-horizontal.out // horizontal.divide)
    blocks = padded // (8 * across) * -(-pixels // tile_pixels) * vertical.divide * horizontal.divide * groups
    longest = -(-vertical.kernel // vertical.classes) * -(-horizontal.kernel // horizontal.classes) * channels
    all_steps = -(-longest // across)
    splits = max(1, min(WANTED // blocks, longest // CHUNK))
    split_steps = max(1, -(-all_steps // splits))
    splits = max(1, -(-all_steps // split_steps))
    out = place.lend(out)
    plane = vertical.out * horizontal.out
    to = place.lend(place.empty(splits * out.size, kind)) if splits > 1 else out
    by_four = plane % 4 == 0 and vertical.divide == horizontal.divide == 1 and to.pointer % 16 == 0
    biased = bias is not None
    add = bias if biased else weight
    run.blocks(place, blocks * splits, TILE_THREADS, to, input, arranged, add, biased and splits == 1, by_four, batch,
               groups, channels, out_channels, padded, tuple(vertical), tuple(horizontal), split_steps)  # fmt: skip
    if splits > 1:
        _join.threads(place, out.size, out, to, add, biased, splits, groups * out_channels, plane)
    if reaches_beyond(vertical) or reaches_beyond(horizontal):
        convolve_again(out, input, weight, bias, c, flags)
