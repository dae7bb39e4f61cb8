"""conv2d and conv_transpose2d on the CPU: one direct convolution, without im2col.

The outputs are made in bands of rows.  For a band the input it needs is copied once, zero-padded and, for a stride,
split into one plane for each phase that a kernel element meets, so that neighbouring outputs read neighbouring
elements; an input that could be used as it is, is.  Then output pixel i (counted along rows as wide as the buffer's)
reads buffer element i + offset[k] for element k of the kernel, whatever its size, stride and dilation:

    out[oc, i] = sum over k = (ic, ky, kx) of weight[oc, k] * buffer[i + offset[k]]

Columns between the output's width and the buffer's are computed and dropped.  conv_transpose2d is the same with a
list of offsets for each phase of the output: no zeros are inserted and nothing is scattered.  The offsets are made in
conv_plan.py.  Sources: Zhang, Franchetti, Low, arXiv 1809.10170; Georganas et al., arXiv 1808.05567.
"""

import numpy as np
from numba import prange

from .._jit import index, kernel, routine
from .conv_plan import LONGEST_SUM, conv2d_plan, conv_transpose2d_plan, window
from .micro_kernel import VECTORS, add_products, lanes

CHANNELS = 64  # output channels at a time: their sums of one tile are 12 KiB and stay in L1

# ------------------------------------------------------------------------------------------------ routines


@routine
def _copy_row(buffer, x, first, step):
    """buffer[j] = x[first + j * step], 0 where that is not in x."""
    count, size = buffer.size, x.size
    j0 = min(count, 0 if first >= 0 else (-first + step - 1) // step)
    j1 = max(j0, min(count, (size - 1 - first) // step + 1))
    for j in range(j0):
        buffer[j] = 0
    inside, values = buffer[j0:j1], x[first + j0 * step :]
    if step == 1:
        for j in range(inside.size):
            inside[j] = values[j]
    else:
        for j in range(inside.size):
            inside[j] = values[index(j * step)]
    for j in range(j1, count):
        buffer[index(j)] = 0


@routine
def copy_padded(buffer, x, channels, h, w, rows, columns, top, left, step_y, step_x, shifts_y, shifts_x):
    """Fill (channels, shifts_y, shifts_x, rows, columns): input row top + shift + i * step, zeros beyond the input."""
    to = 0
    for c in range(channels):
        for py in range(shifts_y.size):
            for px in range(shifts_x.size):
                for i in range(rows):
                    iy = top + shifts_y[py] + i * step_y
                    line = x[(c * h + iy) * w : (c * h + iy + 1) * w] if 0 <= iy < h else x[0:0]
                    _copy_row(buffer[to : to + columns], line, left + shifts_x[px], step_x)
                    to += columns


@routine
def _add_elements(sums, w, x, base, offsets, k0, k1):
    """sums[i] += sum over k of w[k] * x[base + offsets[k] + i], four k at a time: for depthwise kernels."""
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


@routine
def _write(out, to, sums, bias, first, pitch, width, step_y, step_x, line):
    """Write the pixels from ``first`` on, dropping columns beyond the width; ``to`` is the origin in the output."""
    i, length = 0, sums.size
    while i < length:
        qy, qx = (first + i) // pitch, (first + i) % pitch
        run = min(length - i, pitch - qx)
        kept = sums[i : i + max(0, min(run, width - qx))]
        pixels = out[to + qy * step_y * line + qx * step_x :]
        if step_x == 1:
            for j in range(kept.size):
                pixels[j] = kept[j] + bias
        else:
            for j in range(kept.size):
                pixels[index(j * step_x)] = kept[j] + bias
        i += run


# ------------------------------------------------------------------------------------------------- kernels


@kernel
def _fill(out, bias, plane):
    # An iteration owns a plane of outputs.
    for i in prange(out.size // plane):
        pixels = out[i * plane : (i + 1) * plane]
        for j in range(plane):
            pixels[j] = bias[i % bias.size]


@kernel
def _convolve(out, x, w, bias, offsets, phases, shifts_y, shifts_x, images, groups, channels, h, w_in, buffer_rows,
              pitch, top, left, in_step_y, in_step_x, rows, band, chunk, block, copies, step_y, step_x,
              line):  # fmt: skip
    # An iteration owns a band of outputs of up to ``chunk`` channels of one group of one image, and its own buffer.
    # Within it ``block`` kernel elements at a time pass CHANNELS channels, while the inputs they read stay in L1.
    out_channels = bias.size
    per_group, in_group = out_channels // groups, channels // groups
    chunks, bands = (per_group + chunk - 1) // chunk, (rows + band - 1) // band
    taps, plane = offsets.size, out.size // (images * out_channels)
    channel = shifts_y.size * shifts_x.size * buffer_rows * pitch
    width_of_tile = VECTORS * lanes(out.itemsize)
    for task in prange(images * groups * bands * chunks):
        q0 = task // chunks % bands * band
        group = task // chunks // bands % groups
        image = task // chunks // bands // groups
        oc_first = group * per_group + task % chunks * chunk
        oc_last = min(oc_first + chunk, (group + 1) * per_group)
        group_inputs = x[(image * channels + group * in_group) * h * w_in :]
        if copies:
            buffer = np.empty(
                in_group * channel + width_of_tile, out.dtype
            )  # the last tile reaches beyond the channels
            buffer[in_group * channel :] = 0
            copy_padded(buffer, group_inputs, in_group, h, w_in, buffer_rows, pitch, top + q0 * in_step_y, left,
                        in_step_y, in_step_x, shifts_y, shifts_x)  # fmt: skip
        else:
            buffer = group_inputs
        base_q = q0 if copies else 0
        sums = np.empty(min(CHANNELS, chunk) * width_of_tile, out.dtype)
        for phase in range(phases.shape[0]):
            k_first, k_last, q_y, height = phases[phase, 0], phases[phase, 1], phases[phase, 2], phases[phase, 3]
            q_x, width, to_y, to_x = phases[phase, 4], phases[phase, 5], phases[phase, 6], phases[phase, 7]
            q_first = max(q_y, q0)
            here = min(q_y + height, q0 + band) - q_first
            origin = (q_first - base_q) * pitch + q_x
            to = (to_y + (q_first - q_y) * step_y) * line + to_x
            if here > 0 and per_group == 1 and k_last - k_first <= LONGEST_SUM:
                whole = np.empty((here - 1) * pitch + width, out.dtype)
                for i in range(whole.size):
                    whole[i] = 0
                _add_elements(whole, w[group * taps : (group + 1) * taps], buffer, origin, offsets, k_first, k_last)
                _write(out, (image * out_channels + group) * plane + to, whole, bias[group], 0, pitch, width, step_y,
                       step_x, line)  # fmt: skip
            elif here > 0:
                # No tile crosses a row where more than half of its pixels would be dropped.
                by_row = pitch > 2 * width
                run = width if by_row else (here - 1) * pitch + width
                end = (q_y + height - 1) * pitch + q_x + width  # of what may be read for pixel 0 without a buffer
                for row in range(here if by_row else 1):
                    first = 0
                    while first < run:
                        vectors = min(VECTORS, (run - first + lanes(out.itemsize) - 1) // lanes(out.itemsize))
                        wide = vectors * lanes(out.itemsize)
                        start = origin + row * pitch + first
                        back = 0 if copies else max(0, start + wide - end)  # overlap the tile before: stay inside
                        for oc0 in range(oc_first, oc_last, CHANNELS):
                            count = min(CHANNELS, oc_last - oc0)
                            k0, adds = k_first, False
                            while k0 < k_last or not adds:
                                k1 = min(k0 + block, k_last)
                                add_products(count, vectors, sums, wide, w, oc0 * taps, taps, buffer, start - back,
                                             offsets, k0, k1, adds)  # fmt: skip
                                k0, adds = k1, True
                            for r in range(count):
                                oc_to = (image * out_channels + oc0 + r) * plane + to
                                done = sums[r * wide + back : r * wide + min(wide, back + run - first)]
                                _write(out, oc_to, done, bias[oc0 + r], row * pitch + first, pitch, width, step_y,
                                       step_x, line)  # fmt: skip
                        first += wide - back


# ------------------------------------------------------------------------------------------------- entries


def _run(out, input, weights, bias, plan, groups):
    """Convolve (N, C, H, W) images."""
    (images, out_channels, height, line), (_, channels, h, w) = out.shape, input.shape
    if bias is None:
        bias = np.zeros(out_channels, out.dtype)
    if not plan.covered:
        _fill(out.size)(out.reshape(-1), bias, height * line)
    if len(plan.phases):
        products = out.size * plan.offsets.size // len(plan.phases)
        _convolve(products // 8)(
            out.reshape(-1), input.reshape(-1), weights, bias, plan.offsets, plan.phases, plan.y.shifts, plan.x.shifts,
            images, groups, channels, h, w, plan.y.size, plan.x.size, plan.y.first, plan.x.first, plan.y.step,
            plan.x.step, plan.rows, plan.band, plan.chunk, plan.block, plan.copies, *plan.steps, line,
        )  # fmt: skip


def conv2d(out, input, weight, bias, g):
    """Map from image."""
    plan = conv2d_plan(g.groups, g.batch, g.image_channels // g.groups, g.map_channels // g.groups,
                       (g.image_height, g.image_width), (g.map_height, g.map_width), *window(g), lanes(out.itemsize),
                       out.itemsize)  # fmt: skip
    out = out.reshape(g.batch, g.map_channels, g.map_height, g.map_width)
    input = input.reshape(g.batch, g.image_channels, g.image_height, g.image_width)
    _run(out, input, weight.reshape(-1), bias, plan, g.groups)


def conv_transpose2d(out, input, weight, bias, g):
    """Image from map."""
    plan = conv_transpose2d_plan(g.groups, g.batch, g.map_channels // g.groups, g.image_channels // g.groups,
                                 (g.map_height, g.map_width), (g.image_height, g.image_width), *window(g),
                                 lanes(out.itemsize), out.itemsize)  # fmt: skip
    out = out.reshape(g.batch, g.image_channels, g.image_height, g.image_width)
    input = input.reshape(g.batch, g.map_channels, g.map_height, g.map_width)
    # (groups, map channels, image channels, elements) -> (groups, image channels, elements as planned, map channels)
    w = weight.reshape(g.groups, g.map_channels // g.groups, g.image_channels // g.groups, -1)
    w = np.ascontiguousarray(w.transpose(0, 2, 3, 1)[:, :, plan.order])
    _run(out, input, w.reshape(-1), bias, plan, g.groups)
