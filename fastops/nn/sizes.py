"""Sizes that layers alone ask for: a margin of an image's own pixels, and the output_padding of an output's size."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._options import LARGEST, pair
from .._options import padding as sides
from .._shapes import Shape, images, same_padding


class Padding(NamedTuple):
    """A margin made of an image's own rows and columns: where each row and column of the padded image comes from."""

    size: tuple[int, int]  # of the image
    top: int
    left: int
    rows: list[int]
    columns: list[int]


def padding_indices(
    op: str, input: Shape, kernel_size: tuple[int, int], stride: tuple[int, int], padding: Any,
    dilation: tuple[int, int], mode: str,
) -> Padding:  # fmt: skip
    """The margin of a convolution in mode 'reflect', 'replicate' or 'circular'; ``padding`` as conv2d has it."""
    _, _, *size = images(op, input, channels_too=False)
    tops, indices = [], []
    for axis, length in enumerate(size):
        if padding == "same":
            before, after = same_padding(length, kernel_size[axis], stride[axis], dilation[axis])
        else:
            before, after = (0, 0) if isinstance(padding, str) else sides(op, padding)[axis]
        tops.append(before)
        indices.append(_margin(op, length, before, after, mode))
    return Padding((size[0], size[1]), tops[0], tops[1], indices[0], indices[1])


def _margin(op: str, size: int, before: int, after: int, mode: str) -> list[int]:
    most = {"reflect": size - 1, "replicate": LARGEST, "circular": size}[mode]
    if max(before, after) > most:
        got = max(before, after)
        raise ValueError(f"{op}: padding expects at most {most} with {mode!r} and size {size}, got {got}")
    places = range(-before, size + after)
    if mode == "replicate":
        return [min(max(i, 0), size - 1) for i in places]
    if mode == "circular":
        return [i % size for i in places]
    return [size - 1 - abs(size - 1 - abs(i)) for i in places]


def output_padding(
    op: str, input: Shape, output_size: Any, kernel_size: tuple[int, int], stride: tuple[int, int],
    padding: tuple[int, int], dilation: tuple[int, int],
) -> tuple[int, int]:  # fmt: skip
    """The output_padding that makes conv_transpose2d's output (height, width) ``output_size``."""
    size = images(op, input, channels_too=False)[2:]
    wanted = pair(op, "output_size", output_size[-2:] if isinstance(output_size, Sequence) else output_size, 1)
    least = [(size[i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (kernel_size[i] - 1) + 1 for i in (0, 1)]
    extra = wanted[0] - least[0], wanted[1] - least[1]
    if not (0 <= extra[0] < stride[0] and 0 <= extra[1] < stride[1]):
        most = [least[i] + stride[i] - 1 for i in (0, 1)]
        raise ValueError(f"{op}: output_size expects a size from {tuple(least)} to {tuple(most)}, got {wanted}")
    return extra
