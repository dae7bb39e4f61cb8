"""The direct convolution, without im2col: for every kernel, stride, dilation and number of groups.

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
from .conv_copy import copy_channel, padded_copy
from .conv_exact import not_finite
from .conv_plan import LONGEST_SUM
from .micro_kernel import VECTORS, add_products
from .vector_code import lanes

CHANNELS = 64  # output channels of a task: their sums of one tile are 12 KiB and stay in L1
BUFFER_BYTES = 4 * 2**20  # padded copies of so many images at a time

# ------------------------------------------------------------------------------------------------ routines


@routine
def _write(out, to, plane, sums, at, pitch, bias, count, kept, step):
    """Write a run of pixels of some channels: out[to + r * plane + j * step] = sums[at + r * pitch + j] + bias[r]."""
    for r in range(count):
        if step == 1:
            for j in range(kept):
                out[index(to + r * plane + j)] = sums[index(at + r * pitch + j)] + bias[r]
        else:
            for j in range(kept):
                out[index(to + r * plane + j * step)] = sums[index(at + r * pitch + j)] + bias[r]


@routine
def _add_elements(sums, w, x, base, offsets, k0, k1):
    """sums[i] += sum over k of w[k] * x[base + offsets[k] + i], four k at a time: for a single row of weights."""
    k = k0
    while k + 4 <= k1:
        wa, wb, wc, wd = w[k], w[k + 1], w[k + 2], w[k + 3]
        a, b, c, d = base + offsets[k], base + offsets[k + 1], base + offsets[k + 2], base + offsets[k + 3]
        xa, xb, xc, xd = x[a : a + sums.size], x[b : b + sums.size], x[c : c + sums.size], x[d : d + sums.size]
        for i in range(sums.size):
            sums[i] = sums[i] + wa * xa[i] + wb * xb[i] + wc * xc[i] + wd * xd[i]
        k += 4
    while k < k1:
        wa, xa = w[k], x[base + offsets[k] : base + offsets[k] + sums.size]
        for i in range(sums.size):
            sums[i] += wa * xa[i]
        k += 1


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _fill(out, bias, plane):
    # An iteration owns a plane of outputs.
    for i in prange(out.size // plane):
        pixels = out[i * plane : (i + 1) * plane]
        for j in range(plane):
            pixels[j] = bias[i % bias.size]


@kernel
def _convolve(out, x, buffer, w, bias, offsets, tiles, phases, layout, shifts_y, shifts_x, images, groups, h, width,
              step_y, step_x, line, block):  # fmt: skip
    # An iteration owns one tile of pixels for up to CHANNELS output channels of one group of one image.
    # Within it ``block`` kernel elements at a time pass all those channels, while the inputs they read stay in L1.
    # Returns how many tiles came out infinite or NaN; an empty buffer has the images used as they are.
    channels, out_channels, pitch = x.size // (images * h * width), bias.size, layout[1]
    per_group = out_channels // groups
    chunks = (per_group + CHANNELS - 1) // CHANNELS
    taps, plane, source, channel_size = offsets.size, out.size // (images * out_channels), x, h * width
    if buffer.size > 0:
        phase_size = layout[0] * pitch
        channel_size = shifts_y.size * shifts_x.size * phase_size
        for nc in prange(images * channels):
            copy_channel(buffer, nc * channel_size, phase_size, x, nc * h * width, h, width, layout, shifts_y, shifts_x)
        for i in range(images * channels * channel_size, buffer.size):
            buffer[i] = 0
        source = buffer
    image_size, bad = channels * channel_size, 0
    for task in prange(images * groups * chunks * tiles.shape[0]):
        tile = task % tiles.shape[0]
        chunk = task // tiles.shape[0] % chunks
        group = task // tiles.shape[0] // chunks % groups
        image = task // tiles.shape[0] // chunks // groups
        start, vectors, first, pixels = tiles[tile, 1], tiles[tile, 2], tiles[tile, 3], tiles[tile, 4]
        phase = phases[tiles[tile, 0]]
        k0, k_last, origin, kept, to_y, to_x = phase[0], phase[1], phase[2], phase[3], phase[4], phase[5]
        oc0 = group * per_group + chunk * CHANNELS
        count = min(CHANNELS, (group + 1) * per_group - oc0)
        base = image * image_size + group * (image_size // groups) + origin + start
        wide = vectors * lanes(out.itemsize)
        sums = np.empty(count * wide, out.dtype)
        adds = False
        while k0 < k_last or not adds:
            k1 = min(k0 + block, k_last)
            add_products(count, vectors, sums, wide, w, oc0 * taps, taps, source, base, offsets, k0, k1, adds)
            k0, adds = k1, True
        bad += not_finite(sums) != 0
        i = 0
        while i < pixels:  # a row of the output at a time; columns beyond its width are dropped
            oy, ox = (first + i) // pitch, (first + i) % pitch
            run = min(pixels - i, pitch - ox)
            to = (image * out_channels + oc0) * plane + (to_y + oy * step_y) * line + to_x + ox * step_x
            _write(out, to, plane, sums, first - start + i, wide, bias[oc0:], count, min(run, kept - ox), step_x)
            i += run
    return bad


@kernel
def _convolve_single(out, buffer, w, bias, offsets, phases, images, image_size, pitch, step_y, step_x,
                        line):  # fmt: skip
    # One output channel a group.  An iteration owns one phase of one channel, made whole in a run of pixels.
    groups, taps = bias.size, offsets.size
    plane = out.size // (images * groups)
    for task in prange(images * groups * phases.shape[0]):
        phase = phases[task % phases.shape[0]]
        group = task // phases.shape[0] % groups
        image = task // phases.shape[0] // groups
        width, to_y, to_x = phase[3], phase[4], phase[5]
        height = (plane // line - 1 - to_y) // step_y + 1
        base = image * image_size + group * (image_size // groups) + phase[2]
        sums = np.empty((height - 1) * pitch + width, out.dtype)
        for i in range(sums.size):
            sums[i] = bias[group]
        _add_elements(sums, w[group * taps : (group + 1) * taps], buffer, base, offsets, phase[0], phase[1])
        for oy in range(height):
            row = sums[oy * pitch : oy * pitch + width]
            pixels = out[(image * groups + group) * plane + (to_y + oy * step_y) * line + to_x :]
            for j in range(width):
                pixels[index(j * step_x)] = row[j]


# ------------------------------------------------------------------------------------------------- entries


def convolve(out, input, weights, bias, plan, groups):
    """Convolve (N, C, H, W) images by plan; whether every value is finite (else perhaps not)."""
    (images, out_channels, _, line), channels = out.shape, input.shape[1]
    if not plan.covered:
        _fill(out.size)(out.reshape(-1), bias, out.shape[2] * line)
    size = plan.image_size(channels)
    # padded copies of as many images at a time as BUFFER_BYTES hold; the last tile may reach beyond
    together = max(1, min(images, BUFFER_BYTES // max(1, size * out.itemsize)) if plan.copies else images)
    buffer = np.empty(together * size + VECTORS * lanes(out.itemsize) if plan.copies else 0, out.dtype)
    # One row of weights cannot use the micro-kernel's registers (3 times slower); long sums need its partial sums.
    run = _single if out_channels == groups and plan.offsets.size <= LONGEST_SUM else _tiles
    bad = 0
    for n in range(0, images, together):
        x, y = (input, out) if together == images else (input[n : n + together], out[n : n + together])
        bad += run(y, x, buffer, weights, bias, plan, groups)
    return bad == 0


def _tiles(out, input, buffer, weights, bias, plan, groups):
    (images, out_channels, _, line), (_, _, h, w) = out.shape, input.shape
    work = images * out_channels * plan.pixels * plan.offsets.size // (8 * max(1, len(plan.phases)))
    return _convolve(work)(
        out.reshape(-1), input.reshape(-1), buffer, weights, bias, plan.offsets, plan.tiles, plan.phases, plan.layout,
        plan.y.shifts, plan.x.shifts, images, groups, h, w, *plan.out_steps, line, plan.block,
    )  # fmt: skip


def _single(out, input, buffer, weights, bias, plan, groups):
    (images, channels, _, line), (_, _, h, w) = out.shape, input.shape
    size, x = h * w * input.shape[1], input.reshape(-1)
    if plan.copies:
        size = plan.image_size(input.shape[1])
        x = buffer[: images * size + VECTORS * lanes(out.itemsize)]
        x[images * size :] = 0
        padded_copy(x, input, plan.y, plan.x, size, plan.image_size(1), plan.y.size * plan.x.size)
    work = images * channels * plan.pixels * plan.offsets.size // (2 * max(1, len(plan.phases)))
    _convolve_single(work)(out.reshape(-1), x, weights, bias, plan.offsets, plan.phases, images, size, plan.x.size,
                           *plan.out_steps, line)  # fmt: skip
    return 1  # as far as known
