"""Conv and ConvTranspose: images of one, two and three dimensions by the kernels for two."""

from collections.abc import Sequence
from typing import Any

from ... import _shapes
from ..graph import Constants, Node
from .table import Bindable, Call, Filling, Step, operator
from .windows import Pads, auto_pad, explicit_pads, per_dimension, shared, unknown_auto_pad, window_pads

ACTIVATION = "activation"
"""An attribute of ours: what a backend's entries take as the activation.  Input 3, too, is ours: what is added."""


def _refused(node: Node, constants: Constants) -> str:
    """What is refused when a file is loaded: images of three dimensions, as far as the weight is a constant."""
    weight = constants.get(node.inputs[1])
    if weight is not None and weight.ndim > 4:
        return f"a weight of {weight.ndim} dimensions"
    return unknown_auto_pad(node, constants)


@operator("Conv", refused=_refused)
def conv(call: Call) -> Step:
    """conv2d; an image of one dimension is one row."""
    x, w = call.shape(0), call.shape(1)
    bind = getattr(call.on.conv, "bound_conv2d", None)
    return _step(call, call.on.conv.conv2d, geometry(call), _flat(x), _flat(w), _image_rank(x, w), bind)


def geometry(call: Call) -> _shapes.Conv2d:
    """The sizes of a Conv."""
    x, w = call.shape(0), call.shape(1)
    rank = _image_rank(x, w)
    strides, dilations = per_dimension(call.node, "strides", rank), per_dimension(call.node, "dilations", rank)
    pads = window_pads(call.node, x[2:], list(w[2:]), strides, dilations)
    x, w = _flat(x), _flat(w)
    strides, dilations, pads = _flat_options(strides, dilations, pads)
    bias = call.shape(2) if call.has(2) else None
    group = int(call.attribute("group", 1))
    return _shapes.conv2d("Conv", x, w, bias, tuple(strides), tuple(pads), tuple(dilations), group)


@operator("ConvTranspose", refused=_refused)
def conv_transpose(call: Call) -> Step:
    """conv_transpose2d(x, w) + b, with padding that may be uneven, as the sizes of the output say it."""
    x, w = call.shape(0), call.shape(1)
    rank = _image_rank(x, w)
    strides, dilations = per_dimension(call.node, "strides", rank), per_dimension(call.node, "dilations", rank)
    sizes, pads = transposed_sizes(call, x[2:], w[2:], strides, dilations)
    x, w = _flat(x), _flat(w)
    strides, dilations, pads = _flat_options(strides, dilations, pads)
    bias = call.shape(2) if call.has(2) else None
    group = int(call.attribute("group", 1))
    whole = _shapes.conv_transpose2d("ConvTranspose", x, w, bias, tuple(strides), 0, 0, group, tuple(dilations))
    height, width = [1] * (2 - rank) + sizes
    (top, _), (left, _) = pads
    for size, before, reach, s, d in (
        (height, top, whole.image_height, strides[0], dilations[0]),
        (width, left, whole.image_width, strides[1], dilations[1]),
    ):  # what kernels take, as fastops.conv_transpose2d says it by its padding and output_padding
        if before < 0 or size < 1 or size + before - reach >= max(s, d):
            raise ValueError(f"expects an output that windows reach, of {reach} pixels, got {size} from {before} on")
    g = whole._replace(
        output=(*whole.output[:2], height, width), image_height=height, image_width=width, pad_top=top, pad_left=left
    )
    return _step(call, call.on.conv.conv_transpose2d, g, x, w, rank)


def transposed_sizes(
    call: Call, image: Sequence[int], kernel: Sequence[int], strides: list[int], dilations: list[int]
) -> tuple[list[int], Pads]:
    """The sizes of a ConvTranspose's output, and what is cut off before and after."""
    rank, mode = len(kernel), auto_pad(call.node)
    more = per_dimension(call.node, "output_padding", rank, 0)
    wanted = call.attribute("output_shape")
    whole = [
        (size - 1) * s + (k - 1) * d + 1 + extra
        for size, k, s, d, extra in zip(image, kernel, strides, dilations, more, strict=True)
    ]
    if wanted:
        sizes = [int(each) for each in wanted][-rank:]
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        # no more than windows reach, where the stride is larger than they are: as ONNX Runtime has it
        sizes = [min(size * s, reach) for size, s, reach in zip(image, strides, whole, strict=True)]
    else:
        pads = [(0, 0)] * rank if mode == "VALID" else explicit_pads(call.node, rank)
        sizes = [size - sum(pad) for size, pad in zip(whole, pads, strict=True)]
        if min(sizes) < 1:
            raise ValueError(f"pads expects an output of at least 1 in each dimension, got {sizes} with {pads}")
        return sizes, pads
    return sizes, [shared(mode, max(all_of_it - size, 0)) for all_of_it, size in zip(whole, sizes, strict=True)]


def _step(
    call: Call, entry: Any, g: _shapes.Conv2d, x_shape: Any, w_shape: Any, rank: int, bind: Any = None
) -> Step:  # fmt: skip
    """One call of a backend's entry, for a geometry that is known; ``bind``, if there is one, binds it to arrays."""
    on, dtype, fast = call.on, call.dtype(0), call.fast
    for i in (1, 2):
        if call.has(i) and call.dtype(i) != dtype:
            raise ValueError(f"expects dtype {dtype}, as its input 0 has, got {call.dtype(i)} for input {i}")
    if not call.is_float(0):
        raise ValueError(f"expects dtype float32 or float64, got {dtype}")
    kept = call.kept(1, g.groups, *g[-8:])  # the window, which says how weights are laid out
    activation, shape = call.attribute(ACTIVATION), (*g.output[:2], *g.output[4 - rank :])

    def given(out: Any, x: Any, w: Any, b: Any = None, add: Any = None) -> tuple[Any, ...]:
        if rank == 1:
            out, x, w = out.reshape(g.output), x.reshape(x_shape), w.reshape(w_shape)
            add = None if add is None else add.reshape(g.output)
        return out, x, w, b, g, fast, kept, add, activation

    def fill(*arrays: Any) -> None:
        entry(*given(*arrays))

    return Filling(on, shape, dtype, Bindable(fill, lambda *arrays: bind(*given(*arrays))) if bind else fill)


def _image_rank(x: Sequence[int], w: Sequence[int]) -> int:
    if len(x) != len(w) or len(x) < 3:
        raise ValueError(f"expects an image and a weight of 3 or 4 dimensions, got shapes {x} and {w}")
    if len(x) > 4:
        raise NotImplementedError(f"expects images of one or two dimensions, got shape {x}")
    return len(x) - 2


def _flat(shape: Sequence[int]) -> tuple[int, ...]:
    """(N, C, 1, L) of (N, C, L)."""
    return (*shape[:2], 1, *shape[2:]) if len(shape) == 3 else tuple(shape)


def _flat_options(strides: list[int], dilations: list[int], pads: Pads) -> tuple[list[int], list[int], Pads]:
    return ([1, *strides], [1, *dilations], [(0, 0), *pads]) if len(strides) == 1 else (strides, dilations, pads)
