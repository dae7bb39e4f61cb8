"""The direct convolution, without im2col: for every kernel, stride, dilation and number of groups.

The input is copied once, zero-padded and, for a stride, split into one plane for each phase that a kernel element
meets, so that neighbouring outputs read neighbouring elements; where it could be used as it is, it is.  Then output
pixel i (counted along rows as wide as the buffer's) reads buffer element i + offset[k] for element k of the kernel,
whatever its size, stride and dilation:

    out[oc, i] = sum over k = (ic, ky, kx) of weight[oc, k] * buffer[i + offset[k]]

Columns between the output's width and the buffer's are computed and dropped.  conv_transpose2d is the same with a
list of offsets for each phase of the output: no zeros are inserted and nothing is scattered.  The offsets are made in
plan.py.  Sources: Zhang, Franchetti, Low, arXiv 1809.10170; Georganas et al., arXiv 1808.05567.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..._jit import VECTOR_BYTES, index, kernel, routine, thread_count
from ..activation import clamp
from ..simd.emit import (
    array_data,
    interleaved,
    lanes,
    masked_load,
    masked_store,
    masks_between,
    repeated,
    stack_memory,
    vector_of,
)
from ..simd.values import fields
from ..tasks import LINE, in_bands, next_task
from .copy import copied_bands, copy_channel, padded_copy
from .direct_plan import CHANNELS, Table, call_of, straight
from .exact import not_finite
from .finish import Finish, bend_rows, finished, in_vectors, part_of
from .micro_kernel import ROWS, VECTORS, add_products, end_products
from .outcome import Outcome
from .plan import Layout, Phase, Tile, Writing, copy_parts, plan_of, sides

SQUARE = 16  # channels on each side of a block of weights that is transposed: a line of the cache is used whole
FAR = 8192  # rows of weights farther apart are on pages of their own: tiles of 3x3 over 256 channels cost 2 to 4 times

# ------------------------------------------------------------------------------------------------ routines

_numbers = fields(len(Layout._fields) + len(Writing._fields))
_HEAD = len(Layout._fields) + len(Writing._fields) + len(Table._fields)
_head = fields(_HEAD)
_PHASE, _TILE = len(Phase._fields), len(Tile._fields)
_phase, _tile = fields(len(Phase._fields)), fields(len(Tile._fields))
_sums_of_a_tile = stack_memory(CHANNELS * VECTORS * VECTOR_BYTES)


def _run_writer(step: int) -> Any:
    """The intrinsic that writes a run of pixels of some channels, every ``step``-th (1 or 2) of a row of the output.

    out[to + r * plane + j * step] = sums[at + r * pitch + j] + bias[oc + r] for r < count, j < kept, up to VECTORS, and
    finished; with a step of 2 nothing is added.
    """

    @intrinsic
    def write_run(typing_context, out, to, plane, sums, at, pitch, bias, oc, count, kept, add, adds, low, high):
        arguments = (out, to, plane, sums, at, pitch, bias, oc, count, kept, add, adds, low, high)
        return types.void(*arguments), generate

    def generate(context, builder, signature, arguments):
        out, to, plane, sums, at, pitch, bias, oc, count, kept, add, *finish = arguments
        out, sums, bias, add = (array_data(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 6, 10))
        i64, (vector, zero, _) = ir.IntType(64), vector_of(context, builder, signature.args[0].dtype)
        finish = in_vectors(context, builder, vector, add, signature.args[11:], finish)
        masks = masks_between(builder, vector.count, VECTORS, i64(0), kept)
        with cgutils.for_range(builder, count) as loop:
            more = repeated(builder, vector, builder.load(builder.gep(bias, [builder.add(oc, loop.index)])))
            source = builder.gep(sums, [builder.add(at, builder.mul(loop.index, pitch))])
            first = builder.add(to, builder.mul(loop.index, plane))
            for part, mask in enumerate(masks):
                pixels = builder.gep(source, [i64(part * vector.count)])
                value, written = builder.fadd(masked_load(builder, pixels, mask, zero), more), [mask]
                value = finished(builder, value, builder.add(first, i64(part * vector.count)), mask, finish)
                values = [value]
                if step == 2:
                    values = interleaved(builder, [value, value])
                    written = interleaved(builder, [mask, ir.Constant(mask.type, None)])
                for half, (each, lanes_of_it) in enumerate(zip(values, written, strict=True)):
                    place = builder.add(first, i64((part * step + half) * vector.count))
                    masked_store(builder, each, builder.gep(out, [place]), lanes_of_it)
        return context.get_dummy_value()

    return write_run


_write_run, _write_run_of_step_2 = _run_writer(1), _run_writer(2)


@routine
def _write(out, to, plane, sums, at, pitch, bias, oc, count, kept, step, add, adds, low, high):
    """The same for any step.  Runs are short: plain loops took twice as long as masked vectors."""
    if VECTOR_BYTES > 16 and step == 1:
        _write_run(out, to, plane, sums, at, pitch, bias, oc, count, kept, add, adds, low, high)
    elif VECTOR_BYTES > 16 and step == 2:
        _write_run_of_step_2(out, to, plane, sums, at, pitch, bias, oc, count, kept, add, False, low, high)
    else:
        for r in range(count):
            for j in range(kept):
                place, value = to + r * plane + j * step, sums[index(at + r * pitch + j)] + bias[oc + r]
                value = value + add[index(place)] if adds else value
                out[index(place)] = clamp(value, out.dtype.type(low), out.dtype.type(high))


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
def _transpose_weights(out, w, places, groups, inputs, outputs, size):
    # (groups, inputs, outputs, size) becomes (groups, outputs, places.size, inputs), element k at places[k], where it
    # has one; an iteration owns SQUARE outputs, and takes SQUARE inputs at a time: rows of both stay in L1.
    blocks, kept = -(-outputs // SQUARE), out.size // (groups * inputs * outputs)
    for task in prange(groups * blocks):
        group, oc0 = task // blocks, task % blocks * SQUARE
        oc1 = min(oc0 + SQUARE, outputs)
        for ic0 in range(0, inputs, SQUARE):
            ic1 = min(ic0 + SQUARE, inputs)
            for oc in range(oc0, oc1):
                for k in range(size):
                    if places[k] >= 0:
                        to = ((group * outputs + oc) * kept + places[k]) * inputs
                        at = (group * inputs * outputs + oc) * size + k
                        for ic in range(ic0, ic1):
                            out[index(to + ic)] = w[index(at + ic * outputs * size)]


@kernel
def _convolve(out, x, source, w, bias, table, workers, copies, images, groups, height, width, add, adds, low, high,
              bend, slope):  # fmt: skip
    # A task is one tile of pixels for ``rows_of_task`` output channels of one group of one image, or the last.
    # Within it ``block`` kernel elements at a time pass all those channels, while the inputs they read stay in L1.
    # Returns how many tiles came out infinite or NaN.  The source is the padded copy, to be made, or x once more; not
    # one variable that is either, for the reason that blocked.py gives.
    (rows, pitch, _, _, _, _, step_y, step_x, out_width, block,
     shift_y_count, shift_x_count, phase_count, tile_count, taps, rows_of_task, bands,
     straight) = _head(table, 0)  # fmt: skip
    shifts_x_at = _HEAD + shift_y_count
    phases_at = shifts_x_at + shift_x_count
    tiles_at = phases_at + phase_count * _PHASE
    offsets_at = tiles_at + tile_count * _TILE
    shifts_y, shifts_x = table[_HEAD:shifts_x_at], table[shifts_x_at:phases_at]
    phases, tiles, offsets = table[phases_at:tiles_at], table[tiles_at:offsets_at], table[offsets_at:]
    channels, out_channels = x.size // (images * height * width), bias.size
    per_group = out_channels // groups
    chunks = (per_group + rows_of_task - 1) // rows_of_task
    plane, phase_size = out.size // (images * out_channels), rows * pitch
    channel_size = shift_y_count * shift_x_count * phase_size
    if copies:
        copied = copied_bands(bands, phase_size, x.itemsize)
        for i in prange(images * copied * channels):
            nc, band = i // (copied * channels) * channels + i % channels, i // channels % copied
            copy_channel(source, nc * channel_size, phase_size, x, nc * height * width, height, width, table,
                         shifts_y, shifts_x, band * rows // copied, (band + 1) * rows // copied)  # fmt: skip
        for i in range(images * channels * channel_size, source.size):
            source[i] = 0
    image_size, bad = channels * channel_size, 0
    of_image, taken = groups * chunks * tile_count, np.zeros(workers * LINE, np.int64)
    tasks = images * of_image
    for worker in prange(workers):
        task = next_task(taken, np.int64(worker), workers, tasks)
        while task < tasks:
            image = task // of_image
            other, tile = in_bands(task % of_image, tile_count, groups * chunks, bands)
            group, chunk = other // chunks, other % chunks
            which, start, vectors, first, pixels = _tile(tiles, tile)
            k0, k_last, origin, kept, to_y, to_x = _phase(phases, which)
            oc0 = group * per_group + chunk * rows_of_task
            count, channel = min(rows_of_task, (group + 1) * per_group - oc0), image * out_channels + oc0
            base = image * image_size + group * (image_size // groups) + origin + start
            if straight and vectors == VECTORS:
                end_products(count, out, channel * plane + start, plane, w, oc0 * taps, source, base, offsets, bias,
                             oc0, add, adds, low, high, bend, slope)  # fmt: skip
            else:
                wide = vectors * lanes(out.itemsize)
                sums = carray(_sums_of_a_tile(), (count * wide,), out.dtype)
                begun = False
                while k0 < k_last or not begun:
                    k1 = min(k0 + block, k_last)
                    add_products(count, vectors, sums, wide, w, oc0 * taps, taps, source, base, offsets, k0, k1, begun)
                    k0, begun = k1, True
                bad += not_finite(sums) != 0
                i, whole = 0, step_y == 1 and step_x == 1 and kept == pitch and out_width == pitch
                while i < pixels:  # a row of the output at a time; columns beyond its width are dropped
                    oy, ox = (first + i) // pitch, (first + i) % pitch
                    run = pixels if whole else min(pixels - i, pitch - ox)
                    written = run if whole else min(run, kept - ox)
                    to = channel * plane + (to_y + oy * step_y) * out_width + to_x + ox * step_x
                    _write(out, to, plane, sums, first - start + i, wide, bias, oc0, count, written, step_x, add, adds,
                           low, high)  # fmt: skip
                    if bend:
                        bend_rows(out, to, plane, count, written, bend, slope)
                    i += run
            task = next_task(taken, np.int64(worker), workers, tasks)
    return bad


@kernel
def _convolve_single(out, buffer, w, bias, offsets, phases, numbers, images, image_size):
    # One output channel a group.  An iteration owns one phase of one channel, made whole in a run of pixels.
    _, pitch, _, _, _, _, step_y, step_x, out_width, _ = _numbers(numbers, 0)
    groups, taps = bias.size, offsets.size
    plane = out.size // (images * groups)
    for task in prange(images * groups * phases.shape[0]):
        k0, k_last, origin, width, to_y, to_x = _phase(phases, task % phases.shape[0])
        group = task // phases.shape[0] % groups
        image = task // phases.shape[0] // groups
        height = (plane // out_width - 1 - to_y) // step_y + 1
        base = image * image_size + group * (image_size // groups) + origin
        sums = np.empty((height - 1) * pitch + width, out.dtype)
        for i in range(sums.size):
            sums[i] = bias[group]
        _add_elements(sums, w[group * taps : (group + 1) * taps], buffer, base, offsets, k0, k_last)
        for oy in range(height):
            row = sums[oy * pitch : oy * pitch + width]
            pixels = out[(image * groups + group) * plane + (to_y + oy * step_y) * out_width + to_x :]
            for j in range(width):
                pixels[index(j * step_x)] = row[j]


# ------------------------------------------------------------------------------------------------- entries


def parts(g, transposed, itemsize, kept):
    """Of what a convolution consists; what each part costs stands in costs.py."""
    plan, side = plan_of(g, transposed, itemsize), sides(g, transposed)
    rounds = max(1, -(-plan.offsets.size // (int(plan.numbers[-1]) * max(1, len(plan.phases)))))
    if not transposed and plan.offsets.size * itemsize > FAR:
        rounds *= 2
    found: dict[str, float] = {
        "product": plan.vector_products * side.out_channels,
        "ended" if straight(plan) else "tile": len(plan.tiles) * -(-side.out_channels // ROWS) * rounds,
    }
    written = side.out_channels * side.out_height * -(-side.out_width // lanes(itemsize))
    if transposed and g.stride_w > 1:
        found["scatter"] = written
    elif plan.copies:
        found["write"] = written
    if plan.copies:
        found |= copy_parts(plan.y, plan.x, side.channels, itemsize)
    found = {part: g.batch * count for part, count in found.items()} | {"call": 1}
    weights = side.out_channels * plan.offsets.size
    if kept:
        return found | {"weight": weights}
    return found | {"turn": weights} if transposed else found


def convolve(out, input, weight, bias, g, transposed, kept, finish):
    """As __init__.py says."""
    call, weight = call_of(g, transposed, out.itemsize, thread_count()), weight.ravel()
    if transposed:
        order = call.plan.order.tobytes()
        turned = kept.get(order) if kept else None
        if turned is None:
            turned = _transposed_weights(weight, call.plan, g)
            if kept is not None:
                kept[order] = turned
        weight = turned
    finite, ended = _run(out.ravel(), input.ravel(), weight, bias, call, g, transposed, finish)
    return Outcome(call.plan.pads, finite, False, ended)


def bind(out, input, weight, bias, g, kept, finish):
    """As bound.py says."""
    call = call_of(g, False, out.itemsize, thread_count())
    if call.one or call.plan.copies or not call.plan.covered or call.together < g.batch:
        return None
    input, weight = input.reshape(-1), weight.reshape(-1)
    arguments = _arguments(out.reshape(-1), input, input, weight, bias, call, g.groups, g.batch, finish)
    return _convolve, g.batch * call.work // 8, arguments


def run(out, input, weights, bias, g):
    """Make conv2d's map by plan, all arrays flat."""
    _run(out, input, weights, bias, call_of(g, False, out.itemsize, thread_count()), g, False, Finish(bias))


def _run(out, input, weights, bias, call, g, transposed, finish):
    """Convolve by plan, all arrays flat; whether every value is finite (else perhaps not), and finished."""
    plan, side, _, _, together, size, one, _ = call
    if not plan.covered:
        fill(out, bias, side.out_height * side.out_width)
    buffer = np.empty(size, out.dtype) if size else input
    ends = not one and plan.covered and not ((finish.adds or finish.bend) and transposed and g.stride_w > 1)
    end = finish if ends else Finish(bias)
    if together == g.batch:
        return (_single if one else _tiles)(out, input, buffer, weights, bias, call, g.groups, together, end), ends
    finite, per_input, per_output = True, input.size // g.batch, out.size // g.batch
    for n in range(0, g.batch, together):
        count = min(together, g.batch - n)
        x, y = input[n * per_input : (n + count) * per_input], out[n * per_output : (n + count) * per_output]
        part = part_of(end, n * per_output, count * per_output)
        finite &= (_single if one else _tiles)(y, x, buffer, weights, bias, call, g.groups, count, part)
    return finite, ends


def fill(out, bias, plane):
    """Every output is its channel's bias."""
    _fill(out.size)(out, bias, plane)


def _tiles(out, input, buffer, weights, bias, call, groups, images, finish):
    return _convolve(images * call.work // 8)(
        *_arguments(out, input, buffer, weights, bias, call, groups, images, finish)
    ) == 0  # fmt: skip


def _arguments(out, input, buffer, weights, bias, call, groups, images, finish):
    plan, side = call.plan, call.side
    return (out, input, buffer, weights, bias, call.table, call.threads, plan.copies, images, groups, side.height,
            side.width, *finish)  # fmt: skip


def _single(out, input, buffer, weights, bias, call, groups, images, finish):
    plan, side, image_size, x = call.plan, call.side, input.size // images, input
    if plan.copies:
        image_size = plan.image_size(side.channels)
        x = buffer[: images * image_size + VECTORS * lanes(out.itemsize)]
        x[images * image_size :] = 0
        padded_copy(x, input.reshape(images, side.channels, side.height, side.width), plan.y, plan.x, image_size,
                    plan.image_size(1), plan.y.size * plan.x.size)  # fmt: skip
    _convolve_single(images * call.work // 2)(out, x, weights, bias, plan.offsets, plan.phases, plan.numbers, images,
                                              image_size)  # fmt: skip
    return False  # as far as known


def _transposed_weights(weight, plan, g):
    """The weights of conv_transpose2d, (groups, map channels, image channels, elements), as rows as planned."""
    inputs, outputs, size = g.map_channels // g.groups, g.image_channels // g.groups, g.kernel_height * g.kernel_width
    places = np.full(size, -1)
    places[plan.order] = np.arange(plan.order.size)
    w = np.empty(g.groups * outputs * plan.order.size * inputs, weight.dtype)
    _transpose_weights(w.size)(w, weight, places, g.groups, inputs, outputs, size)
    return w
