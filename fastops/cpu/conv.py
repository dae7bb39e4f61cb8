"""conv2d and conv_transpose2d on the CPU: one direct convolution, without im2col.

The input is copied once, zero-padded and, for a stride, split into one plane for each phase that a kernel element
meets, so that neighbouring outputs read neighbouring elements; where it could be used as it is, it is.  Then output
pixel i (counted along rows as wide as the buffer's) reads buffer element i + offset[k] for element k of the kernel,
whatever its size, stride and dilation:

    out[oc, i] = sum over k = (ic, ky, kx) of weight[oc, k] * buffer[i + offset[k]]

Columns between the output's width and the buffer's are computed and dropped.  conv_transpose2d is the same with a
list of offsets for each phase of the output: no zeros are inserted and nothing is scattered.  The offsets are made in
conv_plan.py.  Sources: Zhang, Franchetti, Low, arXiv 1809.10170; Georganas et al., arXiv 1808.05567.
"""

import numpy as np
from numba import prange

from .._jit import index, kernel, routine
from .conv_plan import TILE, conv2d_plan, conv_transpose2d_plan

CHANNELS = 64  # output channels of a task: their sums of one tile are 64 KiB and stay in L2
BUFFER_BYTES = 4 * 2**20  # padded copies of so many images at a time

# ------------------------------------------------------------------------------------------------ routines


@routine
def _copy_row(buffer, to, count, x, origin, first, step, size):
    """buffer[index(to + j)] = x[index(origin + first + j * step)], 0 where first + j * step is not in [0, size)."""
    j0 = min(count, 0 if first >= 0 else (-first + step - 1) // step)
    j1 = max(j0, min(count, (size - 1 - first) // step + 1))
    for j in range(j0):
        buffer[index(to + j)] = 0
    if step == 1:
        for j in range(j0, j1):
            buffer[index(to + j)] = x[index(origin + first + j)]
    else:
        for j in range(j0, j1):
            buffer[index(to + j)] = x[index(origin + first + j * step)]
    for j in range(j1, count):
        buffer[index(to + j)] = 0


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
            xa, xb, xc, xd = x[index(a + i)], x[index(b + i)], x[index(c + i)], x[index(d + i)]
            sums[i] = sums[i] + w00 * xa + w01 * xb + w02 * xc + w03 * xd
            sums[index(TILE + i)] = sums[index(TILE + i)] + w10 * xa + w11 * xb + w12 * xc + w13 * xd
            sums[index(2 * TILE + i)] = sums[index(2 * TILE + i)] + w20 * xa + w21 * xb + w22 * xc + w23 * xd
            sums[index(3 * TILE + i)] = sums[index(3 * TILE + i)] + w30 * xa + w31 * xb + w32 * xc + w33 * xd
        k += 4
    while k < k1:
        a = base + offsets[k]
        w00, w10, w20, w30 = w[r0 + k], w[r1 + k], w[r2 + k], w[r3 + k]
        for i in range(length):
            xa = x[index(a + i)]
            sums[i] += w00 * xa
            sums[index(TILE + i)] += w10 * xa
            sums[index(2 * TILE + i)] += w20 * xa
            sums[index(3 * TILE + i)] += w30 * xa
        k += 1


@routine
def _add_taps_1(sums, w, row, k0, k1, x, base, offsets, length):
    """The same for one row: for depthwise kernels and for the last one to three output channels."""
    k = k0
    while k + 4 <= k1:
        a, b, c, d = base + offsets[k], base + offsets[k + 1], base + offsets[k + 2], base + offsets[k + 3]
        wa, wb, wc, wd = w[row + k], w[row + k + 1], w[row + k + 2], w[row + k + 3]
        for i in range(length):
            xa, xb, xc, xd = x[index(a + i)], x[index(b + i)], x[index(c + i)], x[index(d + i)]
            sums[i] = sums[i] + wa * xa + wb * xb + wc * xc + wd * xd
        k += 4
    while k < k1:
        a = base + offsets[k]
        wa = w[row + k]
        for i in range(length):
            sums[i] += wa * x[index(a + i)]
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
                out[index(start + j)] = sums[index(i + j)] + bias
        else:
            for j in range(kept):
                out[index(start + j * step_x)] = sums[index(i + j)] + bias
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
                            buffer[index(to + j)] = 0


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


# ------------------------------------------------------------------------------------------------- entries


def _run(out, input, weights, bias, plan, groups):
    """Convolve (N, C, H, W) images, padding copies of as many at a time as BUFFER_BYTES hold."""
    (images, out_channels, _, line), (_, channels, h, w) = out.shape, input.shape
    if bias is None:
        bias = np.zeros(out_channels, out.dtype)
    products = out_channels * len(plan.tiles) * TILE * (plan.offsets.size // len(plan.phases) + 1)
    if plan.copies(h, w):
        size = plan.image_size(channels)
        together = max(1, min(images, BUFFER_BYTES // max(1, size * out.itemsize)))
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
        _convolve(count * products // 8)(
            y, x, weights, bias, plan.offsets, plan.tiles, plan.phases, count, groups, out_channels, size, plan.x.size,
            *plan.out_steps, line, plan.block,
        )  # fmt: skip


def conv2d(out, input, weight, bias, g):
    """Map from image."""
    plan = conv2d_plan(g.image_channels // g.groups, g.map_height, g.map_width, (g.kernel_height, g.kernel_width),
                        (g.stride_h, g.stride_w), (g.pad_top, g.pad_left), (g.dilation_h, g.dilation_w),
                        out.itemsize)  # fmt: skip
    out = out.reshape(g.batch, g.map_channels, g.map_height, g.map_width)
    input = input.reshape(g.batch, g.image_channels, g.image_height, g.image_width)
    _run(out, input, weight.reshape(-1), bias, plan, g.groups)


def conv_transpose2d(out, input, weight, bias, g):
    """Image from map."""
    plan = conv_transpose2d_plan(g.map_channels // g.groups, g.image_height, g.image_width,
                                  (g.kernel_height, g.kernel_width), (g.stride_h, g.stride_w),
                                  (g.pad_top, g.pad_left), (g.dilation_h, g.dilation_w), out.itemsize)  # fmt: skip
    out = out.reshape(g.batch, g.image_channels, g.image_height, g.image_width)
    input = input.reshape(g.batch, g.map_channels, g.map_height, g.map_width)
    # (groups, map channels, image channels, elements) -> (groups, image channels, elements as planned, map channels)
    w = weight.reshape(g.groups, g.map_channels // g.groups, g.image_channels // g.groups, -1)
    w = np.ascontiguousarray(w.transpose(0, 2, 3, 1)[:, :, plan.order])
    _run(out, input, w.reshape(-1), bias, plan, g.groups)
