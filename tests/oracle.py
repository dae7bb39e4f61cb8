"""What each operator means: slow NumPy definitions written from the formulas, the first oracle of every test.

Nothing here calls fastops. Everything is computed and returned in float64, except where the input's own dtype is the
definition: max_pool2d, relu and flatten copy values, and roi_pool places its bins in the arithmetic of that dtype.
"""

import math

import numpy as np

Pair = int | tuple[int, int]


def pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, (int, np.integer)) else tuple(value)


def uneven(padding) -> bool:
    """Whether this is ((top, bottom), (left, right)), which torch has not."""
    return isinstance(padding, (tuple, list)) and isinstance(padding[0], (tuple, list))


def sides(padding) -> list[tuple[int, int]]:
    """[(top, bottom), (left, right)] of an int, two ints or two pairs."""
    return [pair(each) for each in pair(padding)]


def taps(first: int, count: int, step: int) -> slice:
    """The `count` indices first, first + step, first + 2 step, ..."""
    return slice(first, first + (count - 1) * step + 1, step)


# Convolutions


def conv2d(input, weight, bias=None, stride: Pair = 1, padding: Pair | str = 0, dilation: Pair = 1, groups: int = 1):
    """out[n, oc, oy, ox] = bias[oc] + Σ weight[oc, ic, ky, kx] · padded[n, ic, oy·stride + ky·dilation, ox·…]."""
    if input.ndim == 3:
        return conv2d(input[None], weight, bias, stride, padding, dilation, groups)[0]
    stride, dilation, kernel = pair(stride), pair(dilation), weight.shape[2:]
    span = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padded = np.pad(input.astype(float), ((0, 0), (0, 0), *conv_padding(padding, input.shape[2:], span, stride)))
    rows, cols = [(size - s) // step + 1 for size, s, step in zip(padded.shape[2:], span, stride, strict=True)]
    out = np.zeros((len(input), len(weight), rows, cols))
    for oc, filters in enumerate(weight.astype(float)):
        group = padded[:, oc // (len(weight) // groups) * len(filters) :][:, : len(filters)]
        for ky, kx in np.ndindex(*kernel):
            window = group[:, :, taps(ky * dilation[0], rows, stride[0]), taps(kx * dilation[1], cols, stride[1])]
            out[:, oc] += (window * filters[:, ky, kx, None, None]).sum(1)
    return out if bias is None else out + bias.astype(float)[:, None, None]


def conv_padding(padding, sizes, span, stride) -> list[tuple[int, int]]:
    """(before, after) along each axis; TensorFlow's rule for 'same', the odd pixel after."""
    if padding == "valid":
        return [(0, 0), (0, 0)]
    if padding == "same":
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(sizes, span, stride, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return sides(padding)


def conv_transpose2d(
    input,
    weight,
    bias=None,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    groups: int = 1,
    dilation: Pair = 1,
):
    """Every input value adds itself times the kernel to the output, at its place times the stride; then the crop."""
    if input.ndim == 3:
        return conv_transpose2d(input[None], weight, bias, stride, padding, output_padding, groups, dilation)[0]
    (rows, cols), kernel = input.shape[2:], weight.shape[2:]
    stride, padding, extra, dilation = pair(stride), pair(padding), pair(output_padding), pair(dilation)
    full = [(n - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 + extra[i] for i, n in enumerate((rows, cols))]
    outputs = weight.shape[1]
    canvas = np.zeros((len(input), outputs * groups, *full))
    for ic, filters in enumerate(weight.astype(float)):
        first = ic // (len(weight) // groups) * outputs
        for oc, ky, kx in np.ndindex(filters.shape):
            ys, xs = taps(ky * dilation[0], rows, stride[0]), taps(kx * dilation[1], cols, stride[1])
            canvas[:, first + oc, ys, xs] += input[:, ic].astype(float) * filters[oc, ky, kx]
    out = canvas[:, :, padding[0] : full[0] - padding[0], padding[1] : full[1] - padding[1]]
    return out if bias is None else out + bias.astype(float)[:, None, None]


# Pooling


def pooled_size(size: int, kernel: int, stride: int, padding, dilation: int, ceil_mode: bool) -> int:
    """As many windows as fit; ceil_mode adds a last partial one, if it starts on the input or the padding before it."""
    room = size + sum(padding) - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    windows = -(-room // stride) + 1
    return windows - 1 if (windows - 1) * stride >= size + padding[0] else windows


def max_pool2d(
    input, kernel_size: Pair, stride=None, padding: Pair = 0, dilation: Pair = 1, ceil_mode=False, return_indices=False
):
    """The first largest value of each window and its index in the map; the last NaN; -inf and -1 of padding alone."""
    if input.ndim == 3:
        pooled = max_pool2d(input[None], kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        return (pooled[0][0], pooled[1][0]) if return_indices else pooled[0]
    kernel, padding, dilation = pair(kernel_size), sides(padding), pair(dilation)
    stride, sizes = kernel if stride is None else pair(stride), input.shape[2:]
    windows = [pooled_size(*axis, ceil_mode) for axis in zip(sizes, kernel, stride, padding, dilation, strict=True)]
    out = np.full((*input.shape[:2], *windows), -np.inf, input.dtype)
    indices = np.full(out.shape, -1, np.int64)
    for oy, ox, ky, kx in np.ndindex(*windows, *kernel):
        iy = oy * stride[0] - padding[0][0] + ky * dilation[0]
        ix = ox * stride[1] - padding[1][0] + kx * dilation[1]
        if 0 <= iy < sizes[0] and 0 <= ix < sizes[1]:
            best, where, value = out[:, :, oy, ox], indices[:, :, oy, ox], input[:, :, iy, ix]
            wins = (value > best) | np.isnan(value) | (where == -1)
            best[wins], where[wins] = value[wins], iy * sizes[1] + ix
    return (out, indices) if return_indices else out


def avg_pool2d(
    input,
    kernel_size: Pair,
    stride=None,
    padding: Pair = 0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The sum of each window over the size it has on the padded input, on the bare input, or over the override."""
    if input.ndim == 3:
        return avg_pool2d(input[None], kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)[0]
    kernel, padding = pair(kernel_size), sides(padding)
    stride, sizes = kernel if stride is None else pair(stride), input.shape[2:]
    windows = [pooled_size(*axis, 1, ceil_mode) for axis in zip(sizes, kernel, stride, padding, strict=True)]
    out = np.empty((*input.shape[:2], *windows))
    for place in np.ndindex(*windows):
        starts = [o * s - p[0] for o, s, p in zip(place, stride, padding, strict=True)]
        ends = [min(a + k, n + p[1]) for a, k, n, p in zip(starts, kernel, sizes, padding, strict=True)]
        window = input[:, :, max(starts[0], 0) : ends[0], max(starts[1], 0) : ends[1]].astype(float)
        counted = np.prod(np.subtract(ends, starts)) if count_include_pad else window[0, 0].size if len(input) else 1
        out[:, :, *place] = window.sum((2, 3)) / (counted if divisor_override is None else divisor_override)
    return out


def adaptive_avg_pool2d(input, output_size):
    """The mean of the rows floor(i·H / oH) to ceil((i + 1)·H / oH) - 1, and such columns."""
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    size = [n if o is None else o for o, n in zip(given, input.shape[-2:], strict=True)]
    out = np.empty((*input.shape[:-2], *size))
    for place in np.ndindex(*size):
        windows = [
            slice(i * n // o, -(-(i + 1) * n // o)) for i, n, o in zip(place, input.shape[-2:], size, strict=True)
        ]
        out[..., *place] = input[..., *windows].astype(float).mean((-2, -1))
    return out


# Resizing


def resized(input, size, scale_factor) -> tuple[list[int], list[float]]:
    """(output size, step from output to output in the input's pixels) of height and width."""
    sizes = input.shape[-2:]
    if size is not None:
        return list(pair(size)), [n / o for n, o in zip(sizes, pair(size), strict=True)]
    factors = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor, scale_factor)
    return [int(n * f) for n, f in zip(sizes, factors, strict=True)], [1 / f for f in factors]


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """The product with a matrix along the columns, and with one along the rows."""
    outputs, steps = resized(input, size, scale_factor)
    if mode == "nearest":
        rows, columns = (nearest(*axis) for axis in zip(input.shape[-2:], outputs, steps, strict=True))
        return input[..., rows, :][..., columns]
    rows, columns = (
        blends(*axis, bool(align_corners), input.dtype) for axis in zip(input.shape[-2:], outputs, steps, strict=True)
    )
    with np.errstate(invalid="ignore"):
        return mixed(mixed(input.astype(float), rows, -2), columns, -1)


def nearest(size: int, count: int, step: float) -> np.ndarray:
    """Which pixel each output copies: floor(i · step) in float32, and just that of 1 : 1 and 1 : 2."""
    i = np.arange(count)
    if count in (size, 2 * size):
        return i * size // count
    return np.minimum(np.floor(i.astype(np.float32) * np.float32(step)).astype(int), size - 1)


def blends(size: int, count: int, step: float, corners: bool, dtype):
    """(neighbours, their shares) of each output: [first, second], [1 - share, share]."""
    i, last = np.arange(count), size - 1
    if count == size:
        return [i, i], [np.ones(count), np.zeros(count)]
    if corners:
        step = last / (count - 1) if count > 1 else 0.0
    step = float(dtype.type(step))
    place = dtype.type(step) * i.astype(dtype) if corners else (step * (i + 0.5) - 0.5).astype(dtype)
    place = np.maximum(place, 0)
    first = np.minimum(np.floor(place.astype(np.float32)).astype(int), last)
    share = np.clip(place - first.astype(dtype), 0, 1).astype(float)
    return [first, np.minimum(first + 1, last)], [1 - share, share]


def mixed(values, blend, axis: int):
    (first, second), (near, far) = blend
    shape = (-1, 1) if axis == -2 else (-1,)
    return values.take(first, axis) * near.reshape(shape) + values.take(second, axis) * far.reshape(shape)


def linear(input, weight, bias=None):
    """out[..., o] = bias[o] + Σ input[..., i] · weight[o, i]."""
    with np.errstate(invalid="ignore"):
        out = (input[..., None, :].astype(float) * weight.astype(float)).sum(-1)
    return out if bias is None else out + bias.astype(float)


def roi_pool(input, boxes, output_size: Pair, spatial_scale=1.0):
    """The largest number in each of rows x cols bins of each box (Girshick 2015), placed as torchvision places them."""
    out = np.zeros((box_count(boxes), input.shape[1], *pair(output_size)), input.dtype)
    for k, py, px, image, rows, cols in roi_bins(input, boxes, output_size, spatial_scale):
        window = input[image, :, rows, cols]
        out[k, :, py, px] = np.where(np.isnan(window), -np.inf, window).max((1, 2))
    return out


def box_count(boxes) -> int:
    return sum(map(len, boxes)) if isinstance(boxes, list) else len(boxes)


def roi_bins(input, boxes, output_size: Pair, spatial_scale):
    """(box, bin's row, bin's column, image, rows, columns) of each bin that is not empty, in order."""
    if isinstance(boxes, list):
        boxes = np.concatenate([np.insert(own, 0, image, axis=1) for image, own in enumerate(boxes)])
    pooled, number = pair(output_size), input.dtype.type
    for k, (image, x1, y1, x2, y2) in enumerate(boxes):
        bins = []
        for first, last, count, size in (y1, y2, pooled[0], input.shape[2]), (x1, x2, pooled[1], input.shape[3]):
            start, end = rounded(first * number(spatial_scale)), rounded(last * number(spatial_scale))
            step = number(max(end - start + 1, 1)) / number(count)
            edges = [(int(np.floor(number(p) * step)), int(np.ceil(number(p + 1) * step))) for p in range(count)]
            bins.append([slice(min(max(a + start, 0), size), min(max(b + start, 0), size)) for a, b in edges])
        for py, px in np.ndindex(*pooled):
            if input[0, 0, bins[0][py], bins[1][px]].size:
                yield k, py, px, int(image), bins[0][py], bins[1][px]


def rounded(value) -> int:
    """To the nearest integer, halves away from zero, like C's round."""
    whole = np.floor(abs(value))
    return int(np.copysign(whole + (abs(value) - whole >= 0.5), value))


# Normalisation and elementwise


def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """(x - mean) / sqrt(var + eps) · weight + bias, by channel; in training the running statistics take their share."""
    x = np.moveaxis(input.astype(float), 1, -1)
    flat = x.reshape(-1, x.shape[-1])
    if training and not len(flat):
        return input.astype(float)
    with np.errstate(invalid="ignore"):
        mean, var = (flat.mean(0), flat.var(0)) if training else (running_mean.astype(float), running_var.astype(float))
        out = (x - mean) / np.sqrt(var + eps)
    if training and running_mean is not None:
        running_mean[:] = (1 - momentum) * running_mean.astype(float) + momentum * mean
        running_var[:] = (1 - momentum) * running_var.astype(float) + momentum * var * len(flat) / (len(flat) - 1)
    out = out if weight is None else out * weight.astype(float)
    return np.moveaxis(out if bias is None else out + bias.astype(float), -1, 1)


def relu(input):
    return np.where(input < 0, input.dtype.type(0), input)


def sigmoid(input):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-input.astype(float)))


def clamp(input, min=None, max=None):
    low, high = (input.dtype.type(bound) for bound in (-np.inf if min is None else min, np.inf if max is None else max))
    return np.minimum(np.maximum(input, low), high)


def relu6(input):
    return clamp(input, 0, 6)


def leaky_relu(input, negative_slope: float = 0.01):
    x = input.astype(float)
    with np.errstate(invalid="ignore"):
        return np.where(x > 0, x, negative_slope * x)


def prelu(input, weight):
    slopes = weight.astype(float).reshape(-1, *[1] * (input.ndim - 2)) if weight.size > 1 else float(weight.ravel()[0])
    return leaky_relu(input, slopes)


def silu(input):
    with np.errstate(invalid="ignore"):
        return input.astype(float) * sigmoid(input)


def hardsigmoid(input):
    return clamp(input.astype(float) + 3, 0, 6) / 6


def hardswish(input):
    with np.errstate(invalid="ignore"):
        return input.astype(float) * hardsigmoid(input)


def gelu(input, approximate="none"):
    """x Φ(x), Φ the normal distribution's, or the approximation of it; the limit at -inf."""
    x = np.where(input == -np.inf, -100, input.astype(float))
    if approximate == "none":
        return x * np.vectorize(lambda one: math.erfc(-one / math.sqrt(2)) / 2, otypes=[float])(x)
    with np.errstate(over="ignore"):  # (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)), which keeps the digits of the left tail
        return x / (1 + np.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def flatten(input, start_dim: int = 0, end_dim: int = -1):
    shape = input.shape or (1,)
    start, end = start_dim % len(shape), end_dim % len(shape)
    return input.reshape(*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :])


# Softmax and losses


def softmax(input, dim: int):
    return np.exp(log_softmax(input, dim))


def log_softmax(input, dim: int):
    """x - log Σ exp x, with the largest x taken out first so that nothing overflows."""
    x = np.atleast_1d(input.astype(float))
    if not x.size:
        return x
    with np.errstate(invalid="ignore"):
        x = x - x.max(dim, keepdims=True)
        return (x - np.log(np.exp(x).sum(dim, keepdims=True))).reshape(input.shape)


def reduced(loss, reduction: str, share=None):
    """The losses, their sum, or their sum over the sum of their shares (1 each, unless said)."""
    if reduction == "none":
        return loss
    with np.errstate(invalid="ignore", divide="ignore"):
        return loss.sum() / {"sum": 1.0, "mean": np.float64(loss.size) if share is None else share.sum()}[reduction]


def cross_entropy(input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """-Σ_c weight[c] · q[c] · log softmax(x)[c], q the target's distribution mixed with the uniform one."""
    if input.ndim == 1:
        loss = cross_entropy(input[None], target[None], weight, ignore_index, reduction, label_smoothing)
        return loss[0] if reduction == "none" else loss
    classes = input.shape[1]
    log_p = np.moveaxis(log_softmax(input, 1), 1, -1)
    weight = np.ones(classes) if weight is None else weight.astype(float)
    if target.dtype.kind == "f":
        q, share = np.moveaxis(target.astype(float), 1, -1), None
    else:
        kept = target != ignore_index
        number = np.where(kept, target, 0).astype(int)
        q, share = np.eye(classes)[number], weight[number] * kept
    q = (1 - label_smoothing) * q + label_smoothing / classes
    loss = -np.multiply(weight * q, log_p, where=q != 0, out=np.zeros(log_p.shape)).sum(-1)
    return reduced(loss if share is None else np.where(kept, loss, 0), reduction, share)


def softmax_cross_entropy_with_logits(logits, labels, reduction="none"):
    return cross_entropy(logits, labels, reduction=reduction)


def mse_loss(input, target, reduction="mean", weight=None):
    square = (input.astype(float) - target.astype(float)) ** 2
    return reduced(square if weight is None else square * weight, reduction, weight)


# Gradients, by the definition of the maximum: the first of equals gets them


def max_pool2d_gradient(grad_output, input, *args, **options):
    """Each element of grad_output is added where its window's maximum was; a window of padding alone has none."""
    _, indices = max_pool2d(input, *args, **options, return_indices=True)
    gradient = np.zeros((*input.shape[:-2], input.shape[-2] * input.shape[-1]))
    for place, index in np.ndenumerate(indices):
        if index >= 0:
            gradient[(*place[:-2], index)] += grad_output[place]
    return gradient.reshape(input.shape)


def roi_pool_gradient(grad_output, input, boxes, output_size: Pair, spatial_scale=1.0):
    """Each element of grad_output is added where its bin's maximum was; a bin that never beats -inf has none."""
    gradient = np.zeros(input.shape)
    for k, py, px, image, rows, cols in roi_bins(input, boxes, output_size, spatial_scale):
        for channel, window in enumerate(input[image, :, rows, cols]):
            window = np.where(np.isnan(window), -np.inf, window)
            y, x = np.unravel_index(np.argmax(window), window.shape)
            if window[y, x] > -np.inf:
                gradient[image, channel, rows.start + y, cols.start + x] += grad_output[k, channel, py, px]
    return gradient
