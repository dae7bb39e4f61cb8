"""What convolutions and pools have in common: how far a window is padded, and the ways to say it."""

from typing import Any

from ..graph import Constants, Node

Pads = list[tuple[int, int]]
"""(before, after) of each dimension of an image."""


def per_dimension(node: Node, name: str, rank: int, default: int = 1) -> list[int]:
    """An attribute with a number for each of an image's dimensions."""
    values = [int(each) for each in node.attributes.get(name) or [default] * rank]
    if len(values) != rank:
        raise ValueError(f"{name} expects {rank} numbers, got {values}")
    return values


def explicit_pads(node: Node, rank: int) -> Pads:
    """The attribute pads: all that come before, then all that come after."""
    pads = [int(each) for each in node.attributes.get("pads") or [0] * (2 * rank)]
    if len(pads) != 2 * rank:
        raise ValueError(f"pads expects {2 * rank} numbers, got {pads}")
    return list(zip(pads[:rank], pads[rank:], strict=True))


def auto_pad(node: Node) -> str:
    """NOTSET, VALID, SAME_UPPER or SAME_LOWER."""
    return str(node.attributes.get("auto_pad") or "NOTSET")


def window_pads(node: Node, sizes: Any, kernel: list[int], strides: list[int], dilations: list[int]) -> Pads:
    """The padding of a convolution or pool of images of ``sizes``; SAME makes outputs of ceil(size / stride)."""
    mode = auto_pad(node)
    if mode == "NOTSET":
        return explicit_pads(node, len(kernel))
    if mode == "VALID":
        return [(0, 0)] * len(kernel)
    pads = []
    for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        pads.append(shared(mode, total))
    return pads


def shared(mode: str, total: int) -> tuple[int, int]:
    """(before, after) of so many rows of padding: the odd one after with SAME_UPPER, else before."""
    return (total // 2, total - total // 2) if mode == "SAME_UPPER" else (total - total // 2, total // 2)


def unknown_auto_pad(node: Node, constants: Constants) -> str:
    """For the table: a mode that ONNX does not have."""
    mode = auto_pad(node)
    return "" if mode in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER") else f"auto_pad {mode!r}"
