"""Where the weights lie in a model's bytes: protobuf would copy each of them twice before we could look at it.

Of protobuf's wire format (https://protobuf.dev/programming-guides/encoding) this is what it takes to step over fields:
the initializers' raw data is left out of what the package onnx parses, and told by its place instead.
"""

from collections.abc import Iterator
from typing import Any

_MODEL_GRAPH, _GRAPH_INITIALIZER, _TENSOR_RAW_DATA = 7, 5, 9  # numbers of fields in onnx.proto
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
LEAST = 4096
"""Bytes from which on a tensor is worth it."""

Place = tuple[int, int]
"""(where a tensor's data begins, its length), in bytes."""


class Broken(Exception):
    """No fields are found where some should be."""


def without_data(data: Any) -> tuple[bytes, list[Place | None]]:
    """(a model's bytes without its initializers' large data, where that lies for each of them that lacks it).

    Raises Broken for what is no protobuf message, of which protobuf itself can say more.
    """
    view, out = memoryview(data), bytearray()
    places: list[Place | None] = []
    for number, kind, begin, start, end in _fields(view, 0, len(view)):
        if (number, kind) == (_MODEL_GRAPH, _LENGTH):
            _put(out, number, _graph(view, start, end, places))
        else:
            out += view[begin:end]
    return bytes(out), places


def _graph(view: memoryview, start: int, end: int, places: list[Place | None]) -> bytearray:
    out = bytearray()
    for number, kind, begin, first, last in _fields(view, start, end):
        if (number, kind) == (_GRAPH_INITIALIZER, _LENGTH):
            _put(out, number, _tensor(view, first, last, places))
        else:
            out += view[begin:last]
    return out


def _tensor(view: memoryview, start: int, end: int, places: list[Place | None]) -> bytearray:
    out, place = bytearray(), None
    for number, kind, begin, first, last in _fields(view, start, end):
        if (number, kind) == (_TENSOR_RAW_DATA, _LENGTH) and last - first >= LEAST:
            place = first, last - first
        else:
            out += view[begin:last]
    places.append(place)
    return out


def _put(out: bytearray, number: int, message: bytearray) -> None:
    """Append a field that holds a message."""
    for value in (number << 3 | _LENGTH, len(message)):
        while value > 127:
            out.append(value & 127 | 128)
            value >>= 7
        out.append(value)
    out += message


def _fields(view: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(number, kind, where it begins, where its content begins, where it ends) of each field of a message."""
    while start < end:
        tag, first = _varint(view, start, end)
        kind = tag & 7
        if kind == _VARINT:
            last = _varint(view, first, end)[1]
        elif kind == _LENGTH:
            length, first = _varint(view, first, end)
            last = first + length
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            last = first + (8 if kind == _EIGHT_BYTES else 4)
        else:
            raise Broken
        if last > end:
            raise Broken
        yield tag >> 3, kind, start, first, last
        start = last


def _varint(view: memoryview, start: int, end: int) -> tuple[int, int]:
    """(a number of seven bits in each byte, where it ends)."""
    value = shift = 0
    while start < end and shift < 70:
        byte = view[start]
        value |= (byte & 127) << shift
        start, shift = start + 1, shift + 7
        if byte < 128:
            return value, start
    raise Broken
