"""Draw the figures of the documentation: `python docs/drawings.py` writes docs/images/*.svg.

The numbers in them come from the code that they explain; tests/test_docs.py holds the files to this script.
"""

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import onnx
import onnx.parser

from fastops.cpu.conv import plan
from fastops.dask import windows
from fastops.onnx.blocks import pieces
from fastops.onnx.fusion import fused
from fastops.onnx.reader import read
from fastops.onnx.scheduler import scheduled
from fastops.onnx.simplify import simplified

IMAGES = Path(__file__).parent / "images"

INK, FAINT, PAPER = "#1f2933", "#8a94a0", "#ffffff"
BLUE, ORANGE, GREEN, PINK, GREY = "#cfe3f7", "#fde0bf", "#d3eed2", "#f3d4e8", "#eceff2"  # all lighter than INK by far
PHASES = (BLUE, ORANGE, GREEN, PINK)
STYLES = {"bold": ' font-weight="600"', "code": ' font-family="DejaVu Sans Mono, Menlo, monospace"'}


class Drawing:
    """An SVG of its own background, so that it is legible on a dark page as well."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
            ' font-family="system-ui, DejaVu Sans, Helvetica, Arial, sans-serif" font-size="15">',
            f"<title>{escape(title)}</title>",
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8"'
            f' orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>',
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="{PAPER}" stroke="#c9d1d9"/>',
        ]

    def text(
        self, x: float, y: float, words: str, size: int = 15, anchor: str = "start", fill: str = INK, style: str = ""
    ) -> None:
        look = STYLES.get(style, "")
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{fill}"{look}>'
            f"{escape(words)}</text>"
        )

    def rect(self, x: float, y: float, w: float, h: float, fill: str = PAPER, line: str = INK, wide: float = 1) -> None:
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" fill="{fill}" stroke="{line}"'
            f' stroke-width="{wide:g}"/>'
        )

    def box(self, x: float, y: float, w: float, h: float, fill: str, head: str, *lines: str) -> None:
        """A box with a line of code on top and words below."""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="6" fill="{fill}" stroke="{INK}"/>'
        )
        self.text(x + 12, y + 22, head, 15, style="code")
        for i, line in enumerate(lines):
            self.text(x + 12, y + 42 + 18 * i, line, 14)

    def arrow(self, *points: tuple[float, float], words: str = "", at: tuple[float, float] = (0, 0)) -> None:
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        self.parts.append(f'<path d="{path}" fill="none" stroke="{INK}" stroke-width="1.4" marker-end="url(#tip)"/>')
        if words:
            self.text(*at, words, 14)

    def __str__(self) -> str:
        return "\n".join([*self.parts, "</svg>", ""])


def call() -> Drawing:
    """The path of one call."""
    d = Drawing(720, 482, "The path of one call of conv2d")
    d.box(20, 24, 420, 36, GREY, "fastops.conv2d(input, weight, padding=1)")
    steps = (
        ("on, x, w, b = _arrays.enter(…)", "whose arrays, which dtype; contiguous ones", "TypeError", BLUE),
        ("g = _shapes.conv2d(…)", "sizes and options as plain integers", "ValueError", BLUE),
        ("out = on.empty(…)", "or the caller's out, checked", "", BLUE),
        ("on.conv.conv2d(out, x, w, b, g)", "the backend chooses an algorithm", "", BLUE),
    )
    y = 60
    for head, words, error, fill in steps:
        d.arrow((230, y), (230, y + 22))
        d.box(20, y + 22, 420, 54, fill, head, words)
        if error:
            d.arrow((440, y + 49), (506, y + 49))
            d.text(512, y + 46, error, 15, style="bold")
            d.text(512, y + 64, "one sentence", 14)
        y += 76
    d.text(512, 290, "fastops/conv.py", 14, style="code")
    d.text(512, 308, "writes these four lines,", 14)
    d.text(512, 326, "and knows no library", 14)
    d.arrow((150, y), (150, y + 26))
    d.arrow((330, y), (330, y + 12), (545, y + 12), (545, y + 26))
    words = "NumPy: kernel(work)(out, x, …)", "serial, or on all threads"
    d.box(20, y + 26, 330, 72, ORANGE, "fastops/cpu/conv/", *words)
    words = "CUDA: a grid of threads,", "on the stream of the arrays' library"
    d.box(380, y + 26, 320, 72, GREEN, "fastops/cuda/conv/", *words)
    return d


def buffer() -> Drawing:
    """A 6 x 6 image under a 3 x 3 kernel of stride 2 and padding 1: its copy, and what the offsets mean."""
    d = Drawing(720, 620, "How a strided convolution reads its padded copy")
    axis = plan._axis(3, 3, 2, 1, 1)
    offsets = plan._places(axis, axis)
    cell = 30
    d.text(20, 32, "The image, zeros around it", 15, style="bold")
    d.text(20, 51, "a kernel of 3 × 3, stride 2, padding 1", 14)
    left, top = 20, 66
    for y in range(-1, 7):
        for x in range(-1, 7):
            inside = 0 <= y < 6 and 0 <= x < 6
            fill = PHASES[(y + 1) % 2 * 2 + (x + 1) % 2]
            px, py = left + (x + 1) * cell, top + (y + 1) * cell
            d.rect(px, py, cell, cell, fill, FAINT)
            words = f"{y}{x}" if inside else "0"
            d.text(px + cell / 2, py + 20, words, 13, "middle", INK if inside else FAINT)
    d.rect(left, top, 3 * cell, 3 * cell, "none", INK, 3)
    d.text(left, top + 8 * cell + 20, "framed: the window of output 0", 14)
    d.arrow((left + 8 * cell + 8, top + 4 * cell), (left + 8 * cell + 44, top + 4 * cell))
    d.text(320, 32, "The copy: a plane for each phase", 15, style="bold")
    d.text(320, 51, "of the stride: pixels 2 rows or columns apart", 14)
    planes_left, planes_top, size = 320, 66, axis.size
    for p in range(4):
        x0, y0 = planes_left + p % 2 * (size * cell + 30), planes_top + p // 2 * (size * cell + 30)
        for r in range(size):
            for c in range(size):
                y, x = (axis.first + int(axis.shifts[s]) + axis.step * k for s, k in ((p // 2, r), (p % 2, c)))
                inside = 0 <= y < 6 and 0 <= x < 6
                d.rect(x0 + c * cell, y0 + r * cell, cell, cell, PHASES[p], FAINT)
                words = f"{y}{x}" if inside else "0"
                d.text(x0 + (c + 0.5) * cell, y0 + r * cell + 20, words, 13, "middle", INK if inside else FAINT)
        for offset in offsets.ravel().tolist():
            if offset // size**2 == p:
                r, c = divmod(offset % size**2, size)
                d.rect(x0 + c * cell, y0 + r * cell, cell, cell, "none", INK, 3)
    d.text(planes_left, planes_top + 2 * size * cell + 52, "framed: the same nine elements", 14)
    y0 = 388
    d.text(20, y0, "Where output 0 finds its inputs", 15, style="bold")
    d.text(20, y0 + 19, "offset[k], in elements of the copy", 14)
    for ky in range(3):
        for kx in range(3):
            plane = int(axis.plane[ky]) * 2 + int(axis.plane[kx])
            d.rect(20 + kx * 54, y0 + 32 + ky * 32, 54, 32, PHASES[plane], FAINT)
            d.text(20 + kx * 54 + 27, y0 + 53 + ky * 32, str(offsets[ky, kx]), 15, "middle", style="code")
    d.text(320, y0, "Output i finds them i elements further on", 15, style="bold")
    d.text(320, y0 + 19, "for every k and every i: neighbours read neighbours", 14)
    d.text(320, y0 + 54, "out[i] = Σ w[k] · copy[i + offset[k]]", 16, style="code")
    d.text(320, y0 + 84, "Outputs are counted along rows as wide as the", 14)
    d.text(320, y0 + 102, "copy's, four here; the last of each row is computed", 14)
    d.text(320, y0 + 120, "and dropped:", 14)
    for i in range(11):
        kept = i % size < 3
        x = 20 + i * 58
        ink, words = (INK, f"({i // size}, {i % size})") if kept else (FAINT, "dropped")
        d.rect(x, y0 + 152, 58, 34, PAPER if kept else GREY, ink)
        d.text(x + 29, y0 + 174, f"i = {i}", 14, "middle", ink)
        d.text(x + 29, y0 + 204, words, 13, "middle", ink)
    return d


def tile() -> Drawing:
    """The direct convolution's tile of registers, as it is on a CPU with AVX-512."""
    d = Drawing(720, 470, "The tile of sums that stays in registers")
    rows, vectors = 8, 3
    d.text(20, 32, "One step of the loop over k, on a CPU with AVX-512", 15, style="bold")
    left, top, w, h = 200, 150, 160, 28
    for v in range(vectors):
        x = left + v * (w + 8)
        d.rect(x, 78, w, h, ORANGE)
        d.text(x + w / 2, 97, f"inputs i … i + 15, +{16 * v}" if v else "inputs i … i + 15", 13, "middle")
        d.arrow((x + w / 2, 78 + h), (x + w / 2, top - 6))
    d.text(left, 64, "copy[i + offset[k]] …: 3 vectors of 16 pixels, loaded once", 14)
    for r in range(rows):
        y = top + r * (h + 4)
        d.rect(20, y, 120, h, GREEN)
        d.text(80, y + 19, f"w[oc + {r}, k]" if r else "w[oc, k]", 14, "middle", style="code")
        d.arrow((140, y + h / 2), (left - 6, y + h / 2))
        for v in range(vectors):
            d.rect(left + v * (w + 8), y, w, h, BLUE)
            d.text(left + v * (w + 8) + w / 2, y + 19, "+= w · x", 14, "middle", style="code")
    d.text(20, 128, "8 weights,", 14)
    d.text(20, 144, "each in all lanes", 14)
    bottom = top + rows * (h + 4) + 22
    d.text(left, bottom, "24 sums of 16 outputs each: 384 outputs, never out of their registers", 14)
    d.text(20, bottom + 30, "24 + 3 + 1 of 32 registers.  For 24 multiply-adds of vectors: 3 loads and 8 weights.", 14)
    return d


def blocked() -> Drawing:
    """The blocked convolution's tile of registers, as it is on a CPU with AVX-512."""
    d = Drawing(720, 420, "The blocked convolution's tile of sums")
    rows, vectors = 6, 4
    d.text(20, 32, "The same step of the blocked convolution", 15, style="bold")
    left, top, w, h = 200, 150, 120, 28
    for v in range(vectors):
        x = left + v * (w + 6)
        d.rect(x, 78, w, h, GREEN)
        d.text(x + w / 2, 97, f"oc + {16 * v} … + {16 * v + 15}" if v else "oc … oc + 15", 13, "middle")
        d.arrow((x + w / 2, 78 + h), (x + w / 2, top - 6))
    d.text(left, 64, "w[k, oc …]: 4 vectors of 16 output channels, packed side by side", 14)
    for r in range(rows):
        y = top + r * (h + 4)
        d.rect(20, y, 136, h, ORANGE)
        d.text(88, y + 19, f"x[start[{r}] + offset[k]]", 12, "middle")
        d.arrow((156, y + h / 2), (left - 6, y + h / 2))
        for v in range(vectors):
            d.rect(left + v * (w + 6), y, w, h, BLUE)
            d.text(left + v * (w + 6) + w / 2, y + 19, "+= x · w", 14, "middle", style="code")
    d.text(20, 110, "6 pixels, each", 14)
    d.text(20, 126, "in all lanes", 14)
    bottom = top + rows * (h + 4) + 22
    d.text(left, bottom, "24 sums of 16 output channels each; 24 + 4 + 1 of 32 registers", 14)
    d.text(
        20,
        bottom + 30,
        "Any 6 pixels: the end of a row and the start of the next, apart by a stride, or of two images.",
        14,
    )
    return d


def choice() -> Drawing:
    """Which algorithm makes which convolution, in the order in which it is asked."""
    d = Drawing(720, 686, "Which algorithm makes which convolution")
    asked = {
        "whole": ("One output pixel, and a kernel", "as large as the image?", "products of matrices"),
        "depthwise": (
            "One input channel a group, 3 × 3 or",
            "5 × 5, stride 1 or 2, rows of a vector?",
            "the image read in place",
        ),
        "depthwise_channels": (
            "One channel for each group,",
            "whatever the kernel and the map?",
            "vectors of channels",
        ),
    }
    y = 20
    for module, (first, second, words) in asked.items():
        d.box(20, y, 330, 62, BLUE, "", "")
        d.text(34, y + 27, first, 15)
        d.text(34, y + 47, second, 15)
        d.arrow((350, y + 31), (430, y + 31), words="yes", at=(372, y + 24))
        d.box(436, y, 264, 62, GREEN, module, words)
        d.arrow((185, y + 62), (185, y + 96), words="no", at=(193, y + 84))
        y += 96
    d.box(20, y, 680, 62, BLUE, "", "")
    d.text(34, y + 27, "What costs least: what each consists of × nanoseconds, as costs.py has them", 15)
    d.text(
        34,
        y + 47,
        "all: direct and blocked; 3 × 3, stride 1, one group, channels that fill a vector: winograd too",
        14,
    )
    y += 62
    able = {
        "direct": ("vectors of pixels,", "a padded copy and offsets"),
        "blocked": ("vectors of output channels,", "pixels one by one"),
        "winograd": ("F(2×2), or F(4×4) if 'fast';", "vectors of tiles"),
    }
    for i, (module, words) in enumerate(able.items()):
        x = 20 + i * 232
        d.arrow((x + 108, y), (x + 108, y + 30))
        d.box(x, y + 34, 216, 80, GREEN, module, *words)
    y += 114
    d.arrow((592, y), (592, y + 40), (128, y + 40), (128, y + 6))
    d.text(140, y + 32, "if a tile came out infinite or NaN: all of it again, summed directly", 13)
    d.arrow((60, y), (60, y + 106))
    d.text(74, y + 74, "where weights are infinite or NaN and may have met the padding,", 13)
    d.text(74, y + 91, "after blocked and depthwise too", 13)
    d.box(20, y + 112, 500, 62, ORANGE, "exact", "outputs that are not finite again, from their own window alone")
    return d


def seam() -> Drawing:
    """What a block of a convolution's output reads of the input's blocks, by the code that cuts them."""
    d = Drawing(720, 330, "The windows of two blocks at the seam between them")
    chunks, stride, pad, extent, cell, left = (8, 8), 1, 1, 3, 34, 96
    spans = windows.spans_of_windows(chunks, sum(chunks), stride, pad, extent)
    cuts = windows.cut_windows(spans, sum(chunks), stride, pad, extent)
    d.text(20, 34, "A row of an image in two chunks, and conv2d(image, weight of 3 x 3, padding=1)", 16, style="bold")
    for y, words in ((72, "input"), (252, "output")):
        d.text(20, y + 22, words, 15)
        for i in range(sum(chunks)):
            d.rect(left + i * cell, y, cell, cell, (BLUE, ORANGE)[i >= chunks[0]])
            d.text(left + i * cell + cell / 2, y + 22, str(i), 13, "middle")
    for i, (cut, fill) in enumerate(zip(cuts, (BLUE, ORANGE), strict=True)):
        y, x, wide = 130 + 46 * i, left + cut.start * cell, (cut.stop - cut.start) * cell
        if cut.pad:
            d.rect(x - cut.pad * cell, y, cut.pad * cell, 32, GREY)
        d.rect(x, y, wide, 32, fill, wide=2)
        d.text(x + wide / 2, y + 21, f"block {i} reads {cut.start} to {cut.stop - 1}", 14, "middle")
    d.text(left - cell / 2, 151, "0", 13, "middle")
    d.rect(left + sum(chunks) * cell, 176, cell, 32, GREY)
    d.text(left + sum(chunks) * cell + cell / 2, 197, "0", 13, "middle")
    d.text(
        left, 312, "Zeros stand at the image's own border alone; at the seam each block reads a pixel of the other.", 14
    )
    return d


def network_blocks() -> Drawing:
    """What one block of a network's output needs of each layer, by the code that says so."""
    d = Drawing(720, 404, "The values that a block of a network needs")
    layers = (
        ("image", 24, pieces.same),
        ("conv 3", 24, pieces.windows(24, 24, 1, (1, 1), 3)),
        ("pool 2", 12, pieces.windows(24, 12, 2, (0, 0), 2)),
        ("conv 3", 12, pieces.windows(12, 12, 1, (1, 1), 3)),
        ("conv 5", 12, pieces.windows(12, 12, 1, (2, 2), 5)),
    )
    left, cell = 96, 24
    d.text(20, 34, "Rows in three chunks, and what the second block of the output needs", 16, style="bold")
    a, b = 4, 8
    for number, (name, count, layer) in reversed(list(enumerate(layers))):
        y, wide = 60 + 60 * number, cell * 24 / count
        piece = layer(a, b)
        d.text(20, y + 20, name, 15)
        for i in range(count):
            chunk = 3 * i // count
            inside = a <= i < b
            d.rect(
                left + i * wide,
                y,
                wide,
                30,
                (BLUE, ORANGE, GREEN)[chunk] if inside else PAPER,
                INK if inside else FAINT,
            )
            d.text(left + i * wide + wide / 2, y + 20, str(i), 12, "middle", INK if inside else FAINT)
        d.rect(left + a * wide, y, (b - a) * wide, 30, "none", INK, 2.5)
        if number:
            low, high = piece.start * 24 // layers[number - 1][1], piece.stop * 24 // layers[number - 1][1]
            for here, there in ((a * 24 // count, low), (b * 24 // count, high)):
                d.arrow((left + there * cell, y - 30), (left + here * cell, y))
        a, b = piece.start, piece.stop
    d.text(
        left,
        372,
        f"The block reads rows {a} to {b - 1}; each layer makes the rows that the next one needs.",
        14,
    )
    d.text(left, 390, "Zeros are put around the image's own border alone.", 14)
    return d


NETWORK = """<ir_version: 8, opset_import: ["" : 17]>
network (float[1, 3, 32, 32] image) => (float[1, 2, 32, 32] mask) {
    c1 = Conv <pads = [1, 1, 1, 1]> (image, w1)  skip = Relu (c1)
    small = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (skip)
    c2 = Conv <pads = [1, 1, 1, 1]> (small, w2)  b2 = BatchNormalization (c2, one, one, one, one)  r2 = Relu (b2)
    c3 = Conv <pads = [1, 1, 1, 1]> (r2, w3)  r3 = Relu (c3)
    c4 = Conv <pads = [1, 1, 1, 1]> (r3, w3)  sum = Add (c4, r2)  r4 = Relu (sum)
    large = Resize (r4, , scales)  both = Concat <axis = 1> (large, skip)
    c5 = Conv (both, w5)  mask = Sigmoid (c5)
}"""


def network() -> Drawing:
    """The plan of a small network: its steps, and which values share memory while they live."""
    model = onnx.parser.parse_model(NETWORK)
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 8, 3, 3), "w5": (2, 16, 1, 1), "one": (8,)}
    arrays = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    arrays["scales"] = np.array([1, 1, 2, 2], np.float32)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in arrays.items())
    graph = fused(simplified(read(model)))
    schedule = scheduled(graph, [np.zeros((1, 3, 32, 32), np.float32)], "exact", {}, {})
    assert schedule is not None
    column, left, top, scale = 85, 110, 108, 220 / schedule.arena_bytes
    bottom = top + schedule.arena_bytes * scale
    d = Drawing(720, round(bottom) + 88, "The plan of a network: steps, and the memory that values share")
    d.text(20, 32, f"{len(graph.nodes)} nodes of a file run in {len(schedule.steps)} steps", 15, style="bold")
    for number, step in enumerate(schedule.steps):
        x = left + (number + 0.5) * column
        first, *more = step.node.op_type.split(" + ")
        for line, words in enumerate((first, *(f"+ {each}" for each in more))):
            d.text(x, 56 + 17 * line, words, 13, "middle")
    d.text(20, top + 14, "one block", 14)
    d.text(20, top + 32, "of memory:", 14)
    d.text(20, top + 50, f"{schedule.arena_bytes // 1024} KiB", 14, style="bold")
    for fill, held in zip((BLUE, ORANGE, GREEN, PINK, GREY, BLUE), schedule.arena, strict=False):
        x, y = left + held.first_step * column, top + held.first_byte * scale
        wide, high = (held.last_step - held.first_step + 1) * column, held.bytes * scale
        d.rect(x + 2, y + 1, wide - 4, high - 2, fill)
        words = " + ".join(reversed(held.names[1:])) + f" = {held.names[0]}" if len(held.names) > 1 else held.names[0]
        d.text(x + wide / 2, y + high / 2 + 5, f"{words}, {held.bytes // 1024} KiB", 13, "middle")
    together = sum(held.bytes for held in schedule.arena) // 1024
    words = (
        "A box: the memory of a value from the step that makes it to the last that reads it; before and",
        f"after, it is others'. All of them would take {together} KiB. What is concatenated is made in its place;",
        "norms, sums and activations have no memory of their own; inputs and outputs are the caller's.",
    )
    for i, line in enumerate(words):
        d.text(20, bottom + 26 + 19 * i, line, 14)
    return d


FIGURES = {
    "call": call, "buffer": buffer, "tile": tile, "blocked": blocked, "choice": choice, "seam": seam,
    "network": network, "network_blocks": network_blocks,
}  # fmt: skip

if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        (IMAGES / f"{name}.svg").write_text(str(draw()))
