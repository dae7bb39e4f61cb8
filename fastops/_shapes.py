"""Sizes: output sizes, paddings and broadcast shapes, as plain integers.  Every error here is a ValueError.

A size law answers with a NamedTuple of ints, the geometry, which serves every backend, forward and backward.
"""

import functools
from math import prod
from typing import Any, NamedTuple

from ._options import REDUCTIONS, Sides, choice, dimension, factors, flag, integer, pair, told
from ._options import padding as sides

Shape = tuple[int, ...]


_PLAIN = frozenset((int, bool, float, str, type(None)))
_WHOLE = frozenset((int,))


def _remembered(law: Any, shapes: int = 1) -> Any:
    """A size law that remembers its answers to plain numbers, strings, None and tuples of ints: they take 2 us each.

    Its first arguments are that many shapes of arrays, tuples of ints for sure.
    """
    remembering = functools.lru_cache(maxsize=1024, typed=True)(law)  # typed: 1, 1.0 and True are equal

    @functools.wraps(law)
    def remembered(op: str, *arguments: Any) -> Any:
        options = arguments[shapes:]
        if not _PLAIN.issuperset(map(type, options)) and not all(map(_plain, options)):
            return law(op, *arguments)
        return remembering(op, *arguments)

    return remembered


def _plain(value: Any) -> bool:
    """Whether equal values are the same to a size law, which lru_cache's ``typed`` says but of what is in tuples."""
    if type(value) is not tuple:
        return type(value) in _PLAIN
    if _WHOLE.issuperset(map(type, value)):  # 0.3 us less than a loop of Python's
        return True
    return all(type(each) is int or (type(each) is tuple and _WHOLE.issuperset(map(type, each))) for each in value)


_remembered_of_three = functools.partial(_remembered, shapes=3)


def same(op: str, name: str, got: Shape, expected: Shape) -> None:
    """Refuse an array ``name`` that is not of shape ``expected``."""
    if got != expected:
        raise ValueError(f"{op}: {name} expects shape {expected}, got {got}")


def images(op: str, input: Shape, channels_too: bool) -> Shape:
    """(N, C, H, W) of images that may lack N; only N (and C of a convolution's) may be 0."""
    if len(input) not in (3, 4):
        raise ValueError(f"{op}: input expects shape (N, C, H, W) or (C, H, W), got {input}")
    images = input if len(input) == 4 else (1, *input)
    if 0 in images[1 if channels_too else 2 :]:
        raise ValueError(f"{op}: input expects no empty dimension other than the batch, got shape {input}")
    return images


def _fits(op: str, output: Shape) -> Shape:
    if prod(output) * 8 > 2**62:
        raise ValueError(f"{op}: the output would have shape {output}, more than memory can address")
    return output


# --------------------------------------------------------------------------------------------- convolutions


class Conv2d(NamedTuple):
    """The geometry of conv2d, and of conv_transpose2d seen as the conv2d that it transposes.

    The *image* is the larger side (conv2d's input, conv_transpose2d's output), the *map* the other one:
    image y = map y * stride - pad + kernel y * dilation.
    """

    output: Shape  # of the function, unbatched where the input is
    batch: int
    groups: int
    image_channels: int
    image_height: int
    image_width: int
    map_channels: int
    map_height: int
    map_width: int
    kernel_height: int
    kernel_width: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    dilation_h: int
    dilation_w: int


@_remembered_of_three
def conv2d(
    op: str, input: Shape, weight: Shape, bias: Shape | None, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Conv2d:
    """Output size floor((H + pads - (k - 1) * dilation - 1) / stride) + 1; 'same': ceil(H / stride).

    'same' puts the odd pixel of padding at the bottom and right.  With a stride it is TensorFlow's and MindSpore's
    rule (https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2), with stride 1 also torch's.
    """
    n, c, h, w = images(op, input, channels_too=False)
    groups = integer(op, "groups", groups, 1)
    o, kh, kw = _weight(op, weight, "(out_channels, channels / groups, height, width)")
    (sh, sw), (dh, dw) = pair(op, "stride", stride, 1), pair(op, "dilation", dilation, 1)
    if c != weight[1] * groups:
        expected = f"{c // groups} input channels per group (input has {c}, groups={groups})"
        if c % groups:
            raise ValueError(f"{op}: groups expects a divisor of the input's {c} channels, got {groups}")
        raise ValueError(f"{op}: weight expects {expected}, got {weight[1]}")
    if o % groups:
        raise ValueError(f"{op}: groups expects a divisor of the weight's {o} output channels, got {groups}")
    if bias is not None:
        same(op, "bias", bias, (o,))
    if isinstance(padding, str):
        if choice(op, "padding", padding, ("valid", "same")) == "valid":
            pads: Sides = (0, 0), (0, 0)
        else:
            pads = same_padding(h, kh, sh, dh), same_padding(w, kw, sw, dw)
    else:
        pads = sides(op, padding)
    oh = (h + sum(pads[0]) - (kh - 1) * dh - 1) // sh + 1
    ow = (w + sum(pads[1]) - (kw - 1) * dw - 1) // sw + 1
    if oh < 1 or ow < 1:
        padded, extent = (h + sum(pads[0]), w + sum(pads[1])), ((kh - 1) * dh + 1, (kw - 1) * dw + 1)
        raise ValueError(f"{op}: weight expects a dilated kernel within the padded input {padded}, got {extent}")
    output = _fits(op, (n, o, oh, ow))[4 - len(input) :]
    tops = pads[0][0], pads[1][0]
    return Conv2d(output, n, groups, c, h, w, o, oh, ow, kh, kw, sh, sw, *tops, dh, dw)


@_remembered_of_three
def conv_transpose2d(
    op: str, input: Shape, weight: Shape, bias: Shape | None, stride: Any, padding: Any, output_padding: Any,
    groups: Any, dilation: Any,
) -> Conv2d:  # fmt: skip
    """Output size (H - 1) * stride - 2 * padding + dilation * (k - 1) + output_padding + 1."""
    n, c, h, w = images(op, input, channels_too=False)
    groups = integer(op, "groups", groups, 1)
    per_group, kh, kw = _weight(op, (weight[1], weight[0], *weight[2:]) if len(weight) == 4 else weight,
                                "(channels, out_channels / groups, height, width)")  # fmt: skip
    (sh, sw), (dh, dw) = pair(op, "stride", stride, 1), pair(op, "dilation", dilation, 1)
    (ph, pw), (eh, ew) = pair(op, "padding", padding, 0), pair(op, "output_padding", output_padding, 0)
    if c != weight[0] or c == 0:
        raise ValueError(f"{op}: weight expects {max(c, 1)} input channels, as input has, got {weight[0]}")
    if c % groups:
        raise ValueError(f"{op}: groups expects a divisor of the input's {c} channels, got {groups}")
    if bias is not None:
        same(op, "bias", bias, (per_group * groups,))
    if eh >= max(sh, dh) or ew >= max(sw, dw):
        limit = f"less than stride {(sh, sw)} or dilation {(dh, dw)}"
        raise ValueError(f"{op}: output_padding expects {limit}, got {(eh, ew)}")
    oh = (h - 1) * sh - 2 * ph + dh * (kh - 1) + eh + 1
    ow = (w - 1) * sw - 2 * pw + dw * (kw - 1) + ew + 1
    if oh < 1 or ow < 1:
        raise ValueError(f"{op}: padding expects an output of at least 1 x 1, got {oh} x {ow} with {(ph, pw)}")
    output = _fits(op, (n, per_group * groups, oh, ow))[4 - len(input) :]
    return Conv2d(output, n, groups, per_group * groups, oh, ow, c, h, w, kh, kw, sh, sw, ph, pw, dh, dw)


def _weight(op: str, weight: Shape, spelled: str) -> tuple[int, int, int]:
    if len(weight) != 4:
        raise ValueError(f"{op}: weight expects shape {spelled}, got {weight}")
    if 0 in (weight[0], *weight[2:]):
        raise ValueError(f"{op}: weight expects at least one output channel and a kernel of 1 x 1, got shape {weight}")
    return weight[0], weight[2], weight[3]


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    total = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
    return total // 2, total - total // 2


# -------------------------------------------------------------------------------------------------- pooling


class Pool2d(NamedTuple):
    """The geometry of max_pool2d and avg_pool2d: input y = output y * stride - pad + kernel y * dilation.

    The padding at the bottom and right is in the output's size; beside that only an average's count asks for it.
    """

    output: Shape
    planes: int  # images times channels
    out_height: int
    out_width: int
    height: int
    width: int
    kernel_height: int
    kernel_width: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int
    dilation_h: int
    dilation_w: int
    pad_bottom: int
    pad_right: int


@_remembered
def pool2d(op: str, input: Shape, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any) -> Pool2d:
    """Output size floor or ceil((H + pads - (k - 1) * d - 1) / s) + 1; the last window starts above the bottom padding.

    Source: torch's ATen/native/Pool.h, pooling_output_shape.
    """
    n, c, h, w = images(op, input, channels_too=True)
    kh, kw = pair(op, "kernel_size", kernel_size, 1)
    sh, sw = (kh, kw) if stride is None else pair(op, "stride", stride, 1)
    pads, (dh, dw) = sides(op, padding), pair(op, "dilation", dilation, 1)
    (top, bottom), (left, right) = pads
    ceil = flag(op, "ceil_mode", ceil_mode)
    extent = (kh - 1) * dh + 1, (kw - 1) * dw + 1
    if max(pads[0]) > kh // 2 or max(pads[1]) > kw // 2:
        got = (top, left) if pads == ((top, top), (left, left)) else pads
        raise ValueError(f"{op}: padding expects at most half of kernel_size {(kh, kw)}, got {got}")
    oh, ow = _pooled(h, extent[0], sh, top, bottom, ceil), _pooled(w, extent[1], sw, left, right, ceil)
    if oh < 1 or ow < 1:
        padded = h + top + bottom, w + left + right
        raise ValueError(f"{op}: kernel_size expects a dilated kernel within the padded input {padded}, got {extent}")
    output = _fits(op, (n, c, oh, ow))[4 - len(input) :]
    return Pool2d(output, n * c, oh, ow, h, w, kh, kw, sh, sw, top, left, dh, dw, bottom, right)


def _pooled(size: int, extent: int, stride: int, before: int, after: int, ceil: bool) -> int:
    count = (size + before + after - extent + (stride - 1 if ceil else 0)) // stride + 1
    if ceil and (count - 1) * stride >= size + before:
        count -= 1
    return count


class RoIPool(NamedTuple):
    """The geometry of roi_pool."""

    output: Shape
    images: int
    channels: int
    height: int
    width: int
    boxes: int
    out_height: int
    out_width: int


def roi_pool(op: str, input: Shape, boxes: Shape, output_size: Any) -> RoIPool:
    """(K, C, output height, output width)."""
    if len(input) != 4:
        raise ValueError(f"{op}: input expects shape (N, C, H, W), got {input}")
    if len(boxes) != 2 or boxes[1] != 5:
        raise ValueError(f"{op}: boxes expects shape (K, 5) or a list of (L, 4), got {boxes}")
    oh, ow = pair(op, "output_size", output_size, 1)
    n, c, h, w = input
    return RoIPool(_fits(op, (boxes[0], c, oh, ow)), n, c, h, w, boxes[0], oh, ow)


# ------------------------------------------------------------------------------------------ resizing and products


class AdaptiveAvgPool2d(NamedTuple):
    """The geometry of adaptive_avg_pool2d: output i is the mean of inputs floor(i * H / oH) to ceil((i + 1) * H / oH).

    ``windows`` is the avg_pool2d that is the same, where the windows are of one size and do not overlap.
    """

    output: Shape
    planes: int
    out_height: int
    out_width: int
    height: int
    width: int
    windows: Pool2d | None


@_remembered
def adaptive_avg_pool2d(op: str, input: Shape, output_size: Any) -> AdaptiveAvgPool2d:
    """(N, C, output height, output width); None inside output_size keeps a size."""
    n, c, h, w = images(op, input, channels_too=True)
    if isinstance(output_size, (tuple, list)) and len(output_size) == 2:
        output_size = [size if given is None else given for given, size in zip(output_size, (h, w), strict=True)]
    oh, ow = pair(op, "output_size", output_size, 1)
    output, windows = _fits(op, (n, c, oh, ow))[4 - len(input) :], None
    if h % oh == 0 and w % ow == 0:
        kernel = h // oh, w // ow
        windows = Pool2d(output, n * c, oh, ow, h, w, *kernel, *kernel, 0, 0, 1, 1, 0, 0)
    return AdaptiveAvgPool2d(output, n * c, oh, ow, h, w, windows)


class Resize(NamedTuple):
    """The geometry of interpolate: output i lies at step * (i + 1/2) - 1/2 in the input.

    With corners at step * i; 'nearest' takes the one at floor(step * i).
    """

    output: Shape
    planes: int
    out_height: int
    out_width: int
    height: int
    width: int
    step_h: float
    step_w: float


@_remembered
def interpolate(op: str, input: Shape, size: Any, scale_factor: Any, corners: bool) -> Resize:
    """Output size ``size`` or floor(H * scale); step 1 / scale, or H / size, with corners (H - 1) / (size - 1).

    Source: torch's ATen/native/UpSample.h (area_pixel_compute_scale) and UpSample.cpp (compute_output_size).
    """
    if len(input) != 4:
        raise ValueError(f"{op}: input expects shape (N, C, H, W), got {input}")
    n, c, *inside = images(op, input, channels_too=True)
    if (size is None) == (scale_factor is None):
        got = "neither" if size is None else f"size={told(size)} and scale_factor={told(scale_factor)}"
        raise ValueError(f"{op}: size expects a value where scale_factor has none, and the reverse, got {got}")
    outside, steps = list(pair(op, "size", size, 1)) if size is not None else [], []
    for i, scale in enumerate(factors(op, "scale_factor", scale_factor) if size is None else ()):
        outside.append(int(min(inside[i] * scale, 2.0**62)))
        if outside[i] < 1:
            got = told(scale_factor)
            raise ValueError(f"{op}: scale_factor expects an output of at least 1 x 1 (input is {inside}), got {got}")
        steps.append(1 / scale)
    if corners:
        steps = [(a - 1) / (b - 1) if b > 1 else 0.0 for a, b in zip(inside, outside, strict=True)]
    elif not steps:
        steps = [a / b for a, b in zip(inside, outside, strict=True)]
    return Resize(_fits(op, (n, c, *outside)), n * c, *outside, *inside, *steps)


@functools.lru_cache(maxsize=1024)
def linear(op: str, input: Shape, weight: Shape, bias: Shape | None) -> Shape:
    """(..., out_features)."""
    if len(weight) != 2 or 0 in weight:
        raise ValueError(f"{op}: weight expects shape (out_features, in_features) without a 0, got {weight}")
    if input[-1:] != weight[1:]:
        raise ValueError(f"{op}: input expects shape (..., {weight[1]}), got {input}")
    if bias is not None:
        same(op, "bias", bias, weight[:1])
    return _fits(op, (*input[:-1], weight[0]))


# --------------------------------------------------------------------------------- channels and class dimensions


class Channels(NamedTuple):
    """An array seen as (outer, size, inner) around one dimension: channels, classes, or softmax's ``dim``."""

    outer: int
    size: int
    inner: int


@functools.lru_cache(maxsize=1024)  # 0.1 us instead of 0.4
def around(shape: Shape, dim: int) -> Channels:
    """The view of ``shape`` around dimension ``dim``; a 0-d shape counts as (1,)."""
    shape = shape or (1,)
    return Channels(prod(shape[:dim]), shape[dim], prod(shape[dim + 1 :]))


@functools.lru_cache(maxsize=1024)
def batch_norm(
    op: str, input: Shape, training: bool, running_mean: Shape | None, running_var: Shape | None, weight: Shape | None,
    bias: Shape | None,
) -> Channels:  # fmt: skip
    """(N, C, spatial size) of an input of 2 to 5 dimensions or more; the others have shape (C,)."""
    if len(input) < 2:
        raise ValueError(f"{op}: input expects shape (N, C) or (N, C, ...), got {input}")
    view = around(input, 1)
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, shape in given.items():
        if shape is not None:
            same(op, name, shape, (view.size,))
    if training and view.outer * view.inner == 1:
        raise ValueError(f"{op}: input expects more than one value per channel in training, got shape {input}")
    return view


def around_dim(op: str, shape: Shape, dim: Any) -> Channels:
    """The view of ``shape`` around the dimension that an argument ``dim`` names."""
    return (_around_int if type(dim) is int else _around_any)(op, shape, dim)


def _around_any(op: str, shape: Shape, dim: Any) -> Channels:
    return around(shape, dimension(op, "dim", dim, len(shape)))


_around_int = functools.lru_cache(maxsize=1024)(_around_any)


def classes(op: str, input: Shape) -> Channels:
    """The view of logits (C), (N, C) or (N, C, d1..dk) around the classes."""
    if not input:
        raise ValueError(f"{op}: input expects shape (C), (N, C) or (N, C, d1, ...), got {input}")
    return around(input, 0 if len(input) == 1 else 1)


def cross_entropy(
    op: str, input: Shape, target: Shape, weight: Shape | None, numbers: bool, ignore_index: Any, reduction: Any
) -> tuple[Channels, Shape, int]:
    """(the logits' view around the classes, the shape of the losses, the ignored class number)."""
    plain = type(ignore_index) is int and type(reduction) is str
    return (_cross_entropy_plain if plain else _cross_entropy)(
        op, input, target, weight, numbers, ignore_index, reduction
    )


def _cross_entropy(
    op: str, input: Shape, target: Shape, weight: Shape | None, numbers: bool, ignore_index: Any, reduction: Any
) -> tuple[Channels, Shape, int]:
    view = classes(op, input)
    places = input[:-1] if len(input) == 1 else input[:1] + input[2:]
    if weight is not None:
        same(op, "weight", weight, (view.size,))
    ignored = integer(op, "ignore_index", ignore_index, -(2**63), 2**63 - 1)
    choice(op, "reduction", reduction, REDUCTIONS)
    same(op, "target", target, places if numbers else input)
    if not numbers and ignored >= 0:
        raise ValueError(f"{op}: ignore_index expects class numbers for target, got {ignored} and probabilities")
    return view, places, ignored


_cross_entropy_plain = functools.lru_cache(maxsize=1024)(_cross_entropy)


def flatten(op: str, input: Shape, start_dim: Any, end_dim: Any) -> Shape:
    """The shape with dimensions start_dim..end_dim made one."""
    plain = type(start_dim) is int and type(end_dim) is int
    return (_flatten_plain if plain else _flatten)(op, input, start_dim, end_dim)


def _flatten(op: str, input: Shape, start_dim: Any, end_dim: Any) -> Shape:
    start, end = dimension(op, "start_dim", start_dim, len(input)), dimension(op, "end_dim", end_dim, len(input))
    if not input:
        return (1,)
    if start > end:
        raise ValueError(f"{op}: start_dim expects a dimension up to end_dim {end}, got {start}")
    return input[:start] + (prod(input[start : end + 1]),) + input[end + 1 :]


_flatten_plain = functools.lru_cache(maxsize=1024)(_flatten)


def broadcast(op: str, input: Shape, target: Shape) -> Shape:
    """The common shape of two arrays, by NumPy's rule."""
    if input == target:
        return input
    common = []
    for i in range(max(len(input), len(target))):
        a, b = (s[len(s) - 1 - i] if i < len(s) else 1 for s in (input, target))
        if a != b and 1 not in (a, b):
            raise ValueError(f"{op}: target expects a shape that broadcasts with input's {input}, got {target}")
        common.append(b if a == 1 else a)
    return tuple(reversed(common))
