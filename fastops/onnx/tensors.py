"""The elements of a file's tensors: its own memory where that can be, and files beside it."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from .dtypes import DTYPES
from .graph import Array
from .wire import Place


class Source(NamedTuple):
    """What protobuf did not read: the model's bytes, its file, and where in them the data of initializers lies."""

    data: Array | None
    file: Path | None
    places: Sequence[Place | None]

    def place(self, i: int) -> Place | None:
        """Where the data of initializer i lies, or None where protobuf has it."""
        return self.places[i] if self.places else None

    def array(self, place: Place, dtype: np.dtype[Any]) -> Array:
        """The elements at a place, in the model's own memory.

        They may lie on no multiple of their size, which NumPy reads as it is; kernels are given a copy.
        """
        assert self.data is not None
        start, length = place
        return self.data[start : start + length].view(dtype)


def array_of(
    network: str,
    tensor: onnx.TensorProto,
    folder: Path | None,
    source: Source | None = None,
    place: Place | None = None,
) -> Array:
    """A tensor's elements, read-only: the file's own memory where that can be."""
    text(network, tensor.name)
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape):
        raise ValueError(f"{network}: tensor {tensor.name!r} expects sizes of at least 0, got {shape}")
    if tensor.data_type not in DTYPES:
        raise NotImplementedError(
            f"{network}: tensor {tensor.name!r} expects dtype float32, float64, bool or an integer's, "
            f"got {type_name(tensor.data_type)}"
        )
    dtype = DTYPES[tensor.data_type]
    if tensor.HasField("segment"):
        raise NotImplementedError(f"{network}: tensor {tensor.name!r} comes in segments, which are not supported")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        array = _external(network, tensor, dtype, prod(shape), folder)
    elif place is not None or tensor.HasField("raw_data"):
        data = b"" if place else tensor.raw_data
        length, expected = place[1] if place else len(data), prod(shape) * dtype.itemsize
        if length != expected:
            wanted = f"{expected} bytes for shape {shape}"
            raise ValueError(f"{network}: tensor {tensor.name!r} expects {wanted}, got {length}")
        if place and source:
            array = source.array(place, dtype)
        else:
            array = np.frombuffer(data, dtype)
    else:
        try:
            array = numpy_helper.to_array(tensor).reshape(-1)
        except (ValueError, TypeError) as trouble:
            raise ValueError(f"{network}: tensor {tensor.name!r} is broken: {line(trouble)}") from None
        if array.size != prod(shape):
            raise ValueError(f"{network}: tensor {tensor.name!r} expects {prod(shape)} elements, got {array.size}")
    array = array.reshape(shape)
    array.flags.writeable = False
    return array


def _external(network: str, tensor: onnx.TensorProto, dtype: np.dtype[Any], size: int, folder: Path | None) -> Array:
    """The elements of a tensor that lie in a file of the model's folder, mapped into memory."""
    told = {each.key: each.value for each in tensor.external_data}
    name = f"tensor {tensor.name!r}"
    location = told.get("location", "")
    if not location:
        raise ValueError(f"{network}: {name} expects the name of a file with its data, got none")
    if folder is None:
        raise FileNotFoundError(
            f"{network}: {name} lies in a file {location!r} beside the model, which came without its folder"
        )
    home = folder.resolve()
    path = (home / location).resolve()
    if not path.is_relative_to(home):
        raise ValueError(f"{network}: {name} expects its data in the model's folder, got {location!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{network}: {name} expects its data in {location!r}, and there is no such file")
    try:
        offset = int(told.get("offset") or 0)
        length = int(told.get("length") or size * dtype.itemsize)
    except ValueError:
        raise ValueError(f"{network}: {name} expects numbers as offset and length, got {told}") from None
    if length != size * dtype.itemsize:
        raise ValueError(f"{network}: {name} expects {size * dtype.itemsize} bytes, got a length of {length}")
    if offset < 0 or offset + length > path.stat().st_size:
        expected = f"{length} bytes from {offset} on in {location!r}"
        raise ValueError(f"{network}: {name} expects {expected}, which has {path.stat().st_size}")
    if not size:
        return np.empty(0, dtype)
    mapped = np.memmap(path, np.uint8, "r", offset, (length,))
    return np.asarray(mapped).view(dtype)


def type_name(number: int) -> str:
    names = {value: name for name, value in onnx.TensorProto.DataType.items()}
    return str(names.get(number, f"type {number}")).lower()


def text(network: str, value: str | bytes) -> str:
    """A name in a file, which protobuf gives as bytes where it is none."""
    if isinstance(value, bytes):
        raise ValueError(f"{network}: it is broken: expects names in UTF-8, got {value[:20]!r}")
    return value


def line(trouble: Exception) -> str:
    return str(trouble).strip().split("\n")[0]
