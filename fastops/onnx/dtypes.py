"""The numbers that ONNX's files have for the dtypes that we take (onnx.TensorProto.DataType)."""

from typing import Any

import numpy as np

DTYPES: dict[int, np.dtype[Any]] = {
    number: np.dtype(kind)
    for number, kind in {
        1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
        11: np.float64, 12: np.uint32, 13: np.uint64,
    }.items()
}  # fmt: skip
