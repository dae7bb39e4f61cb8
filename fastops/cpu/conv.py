"""conv2d and conv_transpose2d on the CPU: one direct convolution, without im2col.

The input is copied once, zero-padded and, for a stride, split into one plane for each phase that a kernel element
meets (not at all where it could be used as it is), so that neighbouring outputs read neighbouring elements.  Then output pixel i (counted along rows as wide as the
buffer's) reads buffer element i + offset[k] for element k of the kernel, whatever its size, stride and dilation:

    out[oc, i] = sum over k = (ic, ky, kx) of weight[oc, k] * buffer[i + offset[k]]

Columns between the output's width and the buffer's are computed and dropped.  conv_transpose2d is the same with a
list of offsets for each phase of the output: no zeros are inserted and nothing is scattered.
Sources: Zhang, Franchetti, Low, arXiv 1809.10170; Georganas et al., arXiv 1808.05567.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import prange

from .._jit import kernel, routine

TILE = 256  # output pixels of a tile: 4 rows of sums and 4 of inputs are 8 KiB
CHANNELS = 64  # output channels of a task: their sums of one tile are 64 KiB and stay in L2
L1_BYTES = 24 * 1024  # input elements of one pass over the output channels
BUFFER_BYTES = 4 * 2**20  # padded copies of so many images at a time

# ------------------------------------------------------------------------------------------------ routines


@routine
def _copy_row(buffer, to, count, x, origin, first, step, size):
    """buffer[to + j] = x[origin + first + j * step], 0 where first + j * step is not in [0, size)."""
    j0 = min(count, 0 if first >= 0 else (-first + step - 1) // step)
    j1 = max(j0, min(count, (size - 1 - first) // step + 1))
    for j in range(j0):
        buffer[to + j] = 0
    if step == 1:
        for j in range(j0, j1):
            buffer[to + j] = x[origin + first + j]
    else:
        for j in range(j0, j1):
            buffer[to + j] = x[origin + first + j * step]
    for j in range(j1, count):
        buffer[to + j] = 0


@routine
def _add_taps_4(sums, w, row, pitch, k0, k1, x, base, offsets, length):
    """sums[r * TILE + i] += sum over k of w[row + r * pitch + k] * x[base + offsets[k] + i], for four r.

    Four elements of the kernel at a time: 16 multiply-adds for 8 loads and 4 stores.
    """
    r0, r1, r2, r3 = row, row + pitch, row + 2 * pitch, row + 3 * pitch
    k = k0
    while k + 4 <= k1:
        a, b, c, d = base + offsets[k], base + offsets[k + 1], base + offsets[k + 2], base + offsets[k + 3]
        w00, w01, w02, w03 = w[r0 + k], w[r0 + k + 1], w[r0 + k + 2], w[r0 + k + 3]
        w10, w11, w12, w13 = w[r1 + k], w[r1 + k + 1], w[r1 + k + 2], w[r1 + k + 3]
        w20, w21, w22, w23 = w[r2 + k], w[r2 + k + 1], w[r2 + k + 2], w[r2 + k + 3]
        w30, w31, w32, w33 = w[r3 + k], w[r3 + k + 1], w[r3 + k + 2], w[r3 + k + 3]
        for i in range(length):
            xa, xb, xc, xd = x[a + i], x[b + i], x[c + i], x[d + i]
            sums[i] = sums[i] + w00 * xa + w01 * xb + w02 * xc + w03 * xd
            sums[TILE + i] = sums[TILE + i] + w10 * xa + w11 * xb + w12 * xc + w13 * xd
            sums[2 * TILE + i] = sums[2 * TILE + i] + w20 * xa + w21 * xb + w22 * xc + w23 * xd
            sums[3 * TILE + i] = sums[3 * TILE + i] + w30 * xa + w31 * xb + w32 * xc + w33 * xd
        k += 4
    while k < k1:
        a = base + offsets[k]
        w00, w10, w20, w30 = w[r0 + k], w[r1 + k], w[r2 + k], w[r3 + k]
        for i in range(length):
            xa = x[a + i]
            sums[i] += w00 * xa
            sums[TILE + i] += w10 * xa
            sums[2 * TILE + i] += w20 * xa
            sums[3 * TILE + i] += w30 * xa
        k += 1


@routine
def _add_taps_1(sums, w, row, k0, k1, x, base, offsets, length):
    """The same for one row: for depthwise kernels and for the last one to three output channels."""
    k = k0
    while k + 4 <= k1:
        a, b, c, d = base + offsets[k], base + offsets[k + 1], base + offsets[k + 2], base + offsets[k + 3]
        wa, wb, wc, wd = w[row + k], w[row + k + 1], w[row + k + 2], w[row + k + 3]
        for i in range(length):
            sums[i] = sums[i] + wa * x[a + i] + wb * x[b + i] + wc * x[c + i] + wd * x[d + i]
        k += 4
    while k < k1:
        a = base + offsets[k]
        wa = w[row + k]
        for i in range(length):
            sums[i] += wa * x[a + i]
        k += 1


@routine
def _write_tile(out, to, sums, bias, first, length, pitch, width, step_y, step_x, line):
    """Write a tile's pixels first..first+length, dropping columns beyond the width; ``to`` is the plane's origin."""
    i = 0
    while i < length:
        oy, ox = (first + i) // pitch, (first + i) % pitch
        run = min(length - i, pitch - ox)
        kept = min(run, width - ox)
        start = to + oy * step_y * line + ox * step_x
        if step_x == 1:
            for j in range(kept):
                out[start + j] = sums[i + j] + bias
        else:
            for j in range(kept):
                out[start + j * step_x] = sums[i + j] + bias
        i += run


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _padded_copy(buffer, x, h, w, rows, columns, top, left, step_y, step_x, shifts_y, shifts_x):
    # buffer is (images * channels, shifts_y, shifts_x, rows, columns); an iteration owns one channel of one image.
    plane = shifts_y.size * shifts_x.size * rows * columns
    for nc in prange(x.size // (h * w)):
        for py in range(shifts_y.size):
            for px in range(shifts_x.size):
                for i in range(rows):
                    to = nc * plane + ((py * shifts_x.size + px) * rows + i) * columns
                    iy = top + shifts_y[py] + i * step_y
                    if 0 <= iy < h:
                        _copy_row(buffer, to, columns, x, (nc * h + iy) * w, left + shifts_x[px], step_x, w)
                    else:
                        for j in range(columns):
                            buffer[to + j] = 0


@kernel
def _convolve(out, buffer, w, bias, offsets, tiles, phases, images, groups, out_channels, image_size, pitch, step_y,
              step_x, line, block):  # fmt: skip
    # An iteration owns one tile of pixels for up to CHANNELS output channels of one group of one image.
    # Within it ``block`` kernel elements at a time pass all those channels, while the inputs they read stay in L1.
    per_group = out_channels // groups
    chunks = (per_group + CHANNELS - 1) // CHANNELS
    taps = offsets.size
    plane = out.size // (images * out_channels)
    for task in prange(images * groups * tiles.shape[0] * chunks):
        chunk = task % chunks
        tile = task // chunks % tiles.shape[0]
        group = task // chunks // tiles.shape[0] % groups
        image = task // chunks // tiles.shape[0] // groups
        phase, first, length = tiles[tile, 0], tiles[tile, 1], tiles[tile, 2]
        k_first, k_last, origin = phases[phase, 0], phases[phase, 1], phases[phase, 2]
        width, to_y, to_x = phases[phase, 3], phases[phase, 4], phases[phase, 5]
        oc0 = group * per_group + chunk * CHANNELS
        count = min(CHANNELS, (group + 1) * per_group - oc0)
        base = image * image_size + group * (image_size // groups) + origin + first
        sums = np.empty(count * TILE, out.dtype)
        for i in range(sums.size):
            sums[i] = 0
        for k0 in range(k_first, k_last, block):
            k1 = min(k0 + block, k_last)
            quads = count // 4 * 4
            for r in range(0, quads, 4):
                _add_taps_4(sums[r * TILE :], w, (oc0 + r) * taps, taps, k0, k1, buffer, base, offsets, length)
            for r in range(quads, count):
                _add_taps_1(sums[r * TILE :], w, (oc0 + r) * taps, k0, k1, buffer, base, offsets, length)
        for r in range(count):
            to = (image * out_channels + oc0 + r) * plane + to_y * line + to_x
            _write_tile(out, to, sums[r * TILE :], bias[oc0 + r], first, length, pitch, width, step_y, step_x, line)


# ---------------------------------------------------------------------------------------------------- plans


class _Axis(NamedTuple):
    """How the buffer holds one axis of the input: input y = first + shifts[plane] + step * (row of the buffer)."""

    size: int  # rows of a plane
    first: int
    step: int
    shifts: np.ndarray  # one for each plane
    plane: np.ndarray  # for each kernel row, the plane it reads,
    row: np.ndarray  # and the row in it that output row 0 reads


class _Plan(NamedTuple):
    """Where the elements of a kernel find their inputs, and which pixels are computed together."""

    y: _Axis
    x: _Axis
    offsets: np.ndarray  # in the buffer, of each kernel element
    order: np.ndarray  # of the kernel's elements (conv_transpose2d: sorted by output phase)
    phases: np.ndarray  # of the output: first and last element, origin, width, output y and x of the first pixel
    tiles: np.ndarray  # phase, first pixel, pixels
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


def _axis(outputs: int, kernel: int, stride: int, pad: int, dilation: int) -> _Axis:
    """conv2d's: output y reads input y * stride - pad + k * dilation."""
    shift = np.arange(kernel) * dilation
    if dilation // stride >= outputs:  # the rows that two kernel rows read do not overlap: no need of what lies between
        return _Axis(outputs, -pad, stride, shift, np.arange(kernel), np.zeros(kernel, np.int64))
    shifts, plane = np.unique(shift % stride, return_inverse=True)
    return _Axis(outputs + int(shift[-1]) // stride, -pad, stride, shifts, plane, shift // stride)


def _axis_transposed(outputs: int, kernel: int, stride: int, pad: int, dilation: int) -> _Axis:
    """conv_transpose2d's: output y + pad = q * stride + phase reads input q - (k * dilation) // stride.

    Row 0 of the output is the one with the smallest q.
    """
    first, last = pad // stride, (outputs - 1 + pad) // stride
    back = np.arange(kernel) * dilation // stride
    if dilation // stride > last - first:
        return _Axis(last - first + 1, first, 1, -back, np.arange(kernel), np.zeros(kernel, np.int64))
    reach = int(back[-1])
    zeros = np.zeros(kernel, np.int64)
    return _Axis(last - first + 1 + reach, first - reach, 1, zeros[:1], zeros, reach - back)


def _places(y: _Axis, x: _Axis) -> np.ndarray:
    """The place, in one channel of the buffer, that output pixel 0 reads for kernel element (ky, kx)."""
    planes = y.plane[:, None] * x.shifts.size + x.plane
    return (planes * y.size + y.row[:, None]) * x.size + x.row


@lru_cache(maxsize=256)
def _conv2d_plan(channels, out_height, out_width, kernel, stride, pad, dilation, itemsize):
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
    return _Plan(y, x, offsets, np.arange(place.size), phases, _tiles(0, out_height, out_width, x.size), (1, 1),
                 together * place.size)  # fmt: skip


@lru_cache(maxsize=256)
def _conv_transpose2d_plan(channels, out_height, out_width, kernel, stride, pad, dilation, itemsize):
    y, x = (
        _axis_transposed(*axis) for axis in zip((out_height, out_width), kernel, stride, pad, dilation, strict=True)
    )
    place = _places(y, x)
    channel = y.shifts.size * x.shifts.size * y.size * x.size
    offsets, order, phases, tiles, count = [], [], [], [], 0
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
    return _Plan(y, x, np.concatenate(offsets), np.concatenate(order), np.array(phases, np.int64),
                 np.concatenate(tiles), stride, together)  # fmt: skip


def _phases(size: int, stride: int, pad: int) -> list[int]:
    """(y + pad) % stride for the outputs y in [0, size), each once."""
    return [(pad + y) % stride for y in range(min(stride, size))]


def _tiles(phase, height, width, pitch):
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


def _run(out, input, weights, bias, plan, groups):
    """Convolve (N, C, H, W) images, padding copies of as many at a time as BUFFER_BYTES hold."""
    (images, out_channels, _, line), (_, channels, h, w) = out.shape, input.shape
    if bias is None:
        bias = np.zeros(out_channels, out.dtype)
    products = out_channels * len(plan.tiles) * TILE * (plan.offsets.size // len(plan.phases) + 1)
    if plan.copies(h, w):
        size = plan.image_size(channels)
        together = max(1, min(images, BUFFER_BYTES // (size * out.itemsize)))
        buffer = np.empty(together * size, out.dtype)
    else:
        size, together = channels * h * w, max(1, images)
    for n in range(0, images, together):
        x, y = input[n : n + together].reshape(-1), out[n : n + together].reshape(-1)
        count = min(together, images - n)
        if plan.copies(h, w):
            _padded_copy(count * size)(buffer, x, h, w, plan.y.size, plan.x.size, plan.y.first, plan.x.first,
                                       plan.y.step, plan.x.step, plan.y.shifts, plan.x.shifts)  # fmt: skip
            x = buffer
        _convolve(count * products // 8)(y, x, weights, bias, plan.offsets, plan.tiles, plan.phases, count, groups,
                                         out_channels, size, plan.x.size, *plan.out_steps, line, plan.block)  # fmt: skip


# ------------------------------------------------------------------------------------------------- entries


def conv2d(out, input, weight, bias, g):
    """Map from image."""
    plan = _conv2d_plan(g.image_channels // g.groups, g.map_height, g.map_width, (g.kernel_height, g.kernel_width),
                        (g.stride_h, g.stride_w), (g.pad_top, g.pad_left), (g.dilation_h, g.dilation_w),
                        out.itemsize)  # fmt: skip
    out = out.reshape(g.batch, g.map_channels, g.map_height, g.map_width)
    input = input.reshape(g.batch, g.image_channels, g.image_height, g.image_width)
    _run(out, input, weight.reshape(-1), bias, plan, g.groups)


def conv_transpose2d(out, input, weight, bias, g):
    """Image from map."""
    plan = _conv_transpose2d_plan(g.map_channels // g.groups, g.image_height, g.image_width,
                                  (g.kernel_height, g.kernel_width), (g.stride_h, g.stride_w),
                                  (g.pad_top, g.pad_left), (g.dilation_h, g.dilation_w), out.itemsize)  # fmt: skip
    out = out.reshape(g.batch, g.image_channels, g.image_height, g.image_width)
    input = input.reshape(g.batch, g.map_channels, g.map_height, g.map_width)
    # (groups, map channels, image channels, taps) -> (groups, image channels, taps in the order of the plan, map channels)
    w = weight.reshape(g.groups, g.map_channels // g.groups, g.image_channels // g.groups, -1)
    w = np.ascontiguousarray(w.transpose(0, 2, 3, 1)[:, :, plan.order])
    _run(out, input, w.reshape(-1), bias, plan, g.groups)
