"""The inputs of `fastops compare`: a photograph, as one image and as a batch of its crops."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What networks trained on ImageNet subtract and divide by, channel by channel.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pixels() -> tuple[str, NDArray[np.uint8]]:
    """The picture's name and its (512, 512, 3) bytes; a computed one where scikit-image is not installed."""
    try:
        samples: Any = importlib.import_module("skimage.data")
    except ImportError:
        y, x = np.mgrid[:512, :512] / 512
        noise = np.random.default_rng(0).normal(0, 0.05, (512, 512, 3))
        waves = np.stack([np.sin(40 * x * y), np.cos(30 * x), np.sin(20 * (x - y))], axis=-1) / 2 + 0.5
        return "computed picture in place of the photograph", (255 * np.clip(waves + noise, 0, 1)).astype(np.uint8)
    # This one lies inside scikit-image's wheel: nothing is downloaded.
    return "photograph of Eileen Collins (NASA, scikit-image's astronaut)", samples.astronaut()


def batches(size: str, dtype: str) -> tuple[str, dict[str, NDArray[np.floating]]]:
    """The picture's name, and by name the batches (N, C, H, W) that every operator is run on.

    photo: the whole picture, standardised, (1, 3, 512, 512); every other pixel for size 'small'.
    crops: 8 crops of 224x224 whose 4x4 blocks of pixels are laid out as channels, (8, 48, 56, 56): real pixels in the
    shape of a layer inside a network. For size 'small' 4 crops of 112x112.
    """
    name, image = pixels()
    standard = ((image / 255 - MEAN) / DEVIATION).transpose(2, 0, 1).astype(dtype)
    number, edge, step = (4, 112, 2) if size == "small" else (8, 224, 1)
    corners = np.random.default_rng(0).integers(0, 512 - edge, (number, 2))
    crops = np.stack([standard[:, y : y + edge, x : x + edge] for y, x in corners])
    blocks = crops.reshape(number, 3, edge // 4, 4, edge // 4, 4).transpose(0, 1, 3, 5, 2, 4)
    return name, {
        "photo": np.ascontiguousarray(standard[None, :, ::step, ::step]),
        "crops": np.ascontiguousarray(blocks).reshape(number, 48, edge // 4, edge // 4),
    }
