"""Copies from and to arrays whose elements do not lie one after the other."""

from math import prod
from typing import Any

from ._launch import cuda, device, kernel

DIMENSIONS = 8
"""What the kernel knows; neighbouring dimensions that lie like one count as one."""


@device
def _element(i, offset, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7):
    """Where element i lies; sizes and steps (in elements) come from the innermost dimension on."""
    place, rest = offset + i % n0 * s0, i // n0
    place, rest = place + rest % n1 * s1, rest // n1
    place, rest = place + rest % n2 * s2, rest // n2
    place, rest = place + rest % n3 * s3, rest // n3
    place, rest = place + rest % n4 * s4, rest // n4
    place, rest = place + rest % n5 * s5, rest // n5
    place, rest = place + rest % n6 * s6, rest // n6
    return place + rest % n7 * s7


@kernel
def _gather(out, x, offset, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = x[_element(i, offset, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7)]


@kernel
def _scatter(out, x, offset, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7):
    i = cuda.grid(1)
    if i < x.size:
        out[_element(i, offset, n0, n1, n2, n3, n4, n5, n6, n7, s0, s1, s2, s3, s4, s5, s6, s7)] = x[i]


def gather(
    place: Any, out: Any, x: Any, offset: int, shape: tuple[int, ...], steps: tuple[int, ...], scatter: bool = False
) -> None:
    """out[i] = x[offset + Σ index * step] for the i-th index of ``shape`` in C order; ``scatter``: the reverse."""
    dimensions: list[tuple[int, int]] = []  # (size, step), innermost first
    for size, step in zip(reversed(shape), reversed(steps), strict=True):
        if size == 1:
            continue
        if dimensions and step == dimensions[-1][0] * dimensions[-1][1]:
            dimensions[-1] = dimensions[-1][0] * size, dimensions[-1][1]
        else:
            dimensions.append((size, step))
    if len(dimensions) > DIMENSIONS:
        raise ValueError(f"a copy of an array with {len(dimensions)} strides: expects at most {DIMENSIONS}")
    dimensions += [(1, 0)] * (DIMENSIONS - len(dimensions))
    sizes, strides = zip(*dimensions, strict=True)
    (_scatter if scatter else _gather).threads(place, prod(shape), out, x, offset, *sizes, *strides)
