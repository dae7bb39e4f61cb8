"""Which rows of its input a node needs for some rows of its output, along height or width alone.

Each function here takes what is true of the whole image, and gives a function of the outputs a, ..., b - 1.
"""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple


class Piece(NamedTuple):
    """A node makes the outputs first, ..., end - 1, at least those that are wanted, of inputs start, ..., stop - 1."""

    first: int
    end: int
    start: int
    stop: int
    options: tuple[int, ...] = ()
    """What the node is told of its border there: padding before and after, and what else it has."""

    @property
    def outputs(self) -> int:
        return self.end - self.first


Pieces = Callable[[int, int], Piece]


def same(a: int, b: int) -> Piece:
    """Pixel by pixel."""
    return Piece(a, b, a, b)


def windows(size: int, count: int, stride: int, pads: tuple[int, int], extent: int) -> Pieces:
    """Output y reads inputs y * stride - pad to y * stride - pad + extent; options: padding before and after.

    A last window may reach beyond the padding, with ceil_mode: it does so of the piece as well.
    """
    before, after = pads

    def piece(a: int, b: int) -> Piece:
        low, high = a * stride - before, (b - 1) * stride - before + extent
        start, stop = max(low, 0), min(high, size)
        if start >= stop:  # padding alone, which no node takes: all of it
            return Piece(0, count, 0, size, pads)
        return Piece(a, b, start, stop, (start - low, min(high - stop, max(after, 0))))

    return piece


def transposed(size: int, stride: int, pad: int, extent: int) -> Pieces:
    """Input m adds to outputs m * stride - pad to m * stride - pad + extent.

    Options: what is cut off before and after, and how many outputs follow that no input adds to.
    """

    def piece(a: int, b: int) -> Piece:
        start = min(-(-(a + pad - extent + 1) // stride), (a + pad) // stride)
        start = min(max(start, 0), size - 1)
        stop = min(max((b - 1 + pad) // stride + 1, start + 1), size)
        before, reach = a + pad - start * stride, (stop - start - 1) * stride + extent
        over = reach - before - (b - a)
        return Piece(a, b, start, stop, (before, max(over, 0), max(-over, 0)))

    return piece


def resized(size: int, count: int, factor: Fraction, reach: int, exact: bool) -> Pieces:
    """Outputs at ``factor`` times the inputs' places, each made of inputs up to ``reach`` from there.

    ``exact``: the count is said, not a product that is rounded down.  Options: how many outputs.
    """
    up, down = factor.numerator, factor.denominator

    def piece(a: int, b: int) -> Piece:
        start = max(floor(a / factor) - reach, 0) // down * down
        stop = min(-(-(ceil(b / factor) + reach) // down) * down, size)
        first = start * up // down
        end = count if stop == size else stop * up // down
        return Piece(first, end, start, stop, (end - first,) if exact else ())

    return piece


def strided(first: int, step: int) -> Pieces:
    """A slice: output y is input first + y * step."""
    return lambda a, b: Piece(a, b, first + a * step, first + (b - 1) * step + 1)


def padded(size: int, pads: tuple[int, int], mirrors: bool) -> Pieces:
    """The image within a frame of zeros, of its border or, if it ``mirrors``, of its inner rows; options: the frame."""
    before, after = pads

    def piece(a: int, b: int) -> Piece:
        low, high = a - before, b - before
        start, stop = max(low, 0), min(high, size)
        if mirrors:  # a frame of k rows mirrors those from 1 to k
            start, stop = (min(start, max(2 * size - 1 - high, 0)), max(stop, min(1 - low, size)))
        if start >= stop:
            return Piece(0, size + before + after, 0, size, pads)
        more = max(-low, 0), max(high - size, 0)
        return Piece(start + before - more[0], stop + before + more[1], start, stop, more)

    return piece


def spread(factor: int) -> Pieces:
    """Each input makes ``factor`` outputs."""

    def piece(a: int, b: int) -> Piece:
        start, stop = a // factor, -(-b // factor)
        return Piece(start * factor, stop * factor, start, stop)

    return piece


def joined(factor: int) -> Pieces:
    """``factor`` inputs make an output."""
    return lambda a, b: Piece(a, b, a * factor, b * factor)
