"""One case of `fastops compare` on one batch: the largest error, and the times of fastops and of the others."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from operator import truediv
from typing import Any, NamedTuple, Protocol

import numpy as np

from .cases import Array, Case
from .cores import apart
from .devices import CPU, Device
from .limits import bytes_moved, operations
from .timing import Call, Effort, median, timings
from .work import of_gradient, of_layer, of_operator


class Other(Protocol):
    """A call that is ready in a process of its own."""

    def seconds(self, calls: int) -> float: ...

    def outputs(self) -> list[Array]: ...


Peer = Callable[[Case, Sequence[Array]], Other | None]  # another library's call for a case, where it has the operator
Noting = Callable[[], AbstractContextManager[Iterable[str]]]  # the names of the kernels that are called inside

TOLERANCE = {"float32": (1e-4, 1e-5), "float64": (1e-7, 1e-7)}  # of each value, and of the largest value


class Verdict(NamedTuple):
    """How far a result is from what it should be."""

    error: float | None  # largest |difference| / largest |value|; None: there is no such number
    allowed_share: float | None  # largest |difference| / what is allowed there; above 1 is wrong
    problem: str | None  # why the result is wrong, if it is


@dataclass(frozen=True)
class Row:
    """What one case gave on one batch. Torch's columns are None where it is absent or has no such operator."""

    operator: str
    case: str
    batch: str
    shape: tuple[int, ...]
    error: float | None
    allowed_share: float | None
    problem: str | None
    fastops_seconds: float | None
    torch_seconds: float | None
    ratio: float | None  # torch / fastops: above 1, fastops is faster
    pairs: int
    onnx_seconds: float | None = None  # of ONNX Runtime, where it was asked and has the operator
    onnx_ratio: float | None = None  # its time / fastops's, of a convolution as a layer that keeps its weights ready
    family: str | None = None  # of the suite
    dtype: str | None = None  # of the input
    operations: int | None = None  # that a convolution has to do
    bytes_moved: int | None = None  # arguments and results, each once
    kernels: tuple[str, ...] = ()  # that ran, as in "cpu.conv.direct._convolve"
    layer_seconds: float | None = None  # of the layer, where there is one
    onnx_function_ratio: float | None = None  # ONNX Runtime's time / the function's, where there is a layer

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.operator, self.case, "on", self.batch)))

    def __str__(self) -> str:
        error = "-" if self.error is None else "exact" if self.error == 0 else f"{self.error:.1e}"
        allowed = "WRONG" if self.problem else "-" if self.allowed_share is None else f"{self.allowed_share:.0%}"
        fast, slow = (f"{1e3 * s:#.3g}" if s else "-" for s in (self.fastops_seconds, self.torch_seconds))
        ratio = f"{self.ratio:.2f}" if self.ratio else "-"
        name, shape = f"{self.operator} {self.case}", "x".join(map(str, self.shape))
        line = LINE.format(name, shape, error, allowed, fast, slow, ratio)
        if self.family:
            line += ONNX.format(*(f"{r:.2f}" if r else "-" for r in (self.onnx_ratio, self.onnx_function_ratio)))
        return f"{line}  {self.problem}" if self.problem else line


LINE = "{:<47} {:<13} {:>8} {:>10} {:>10} {:>10} {:>6}"
ONNX = " {:>6} {:>8}"  # two columns more for the suite: a convolution's layer, and its function
HEAD = LINE.format("operator", "input", "error", "of allowed", "fastops ms", "torch ms", "ratio")


def measure(
    case: Case,
    batch: str,
    x: Array,
    ops: Any,
    torch: Any,
    effort: Effort,
    backward: bool = False,
    onnx: Peer | None = None,
    device: Device = CPU,
    noting: Noting | None = None,
) -> Row:
    """Check the case's first result, or its gradients, then time it.

    `ops` is fastops, or what with_precision makes of it, and `noting` fastops's own; `torch` is None where it is not
    installed; `onnx` has ONNX Runtime prepare an operator, in a
    process of its own.
    """
    arrays = case.inputs(x)
    verdict = Verdict(None, None, None)
    rounds: list[tuple[float, ...]] = []
    turns: list[tuple[float, ...]] = []
    third: Other | None = None
    layer: Call | None = None
    needs: dict[str, Any] = {}
    try:
        work = (of_gradient if backward else of_operator)(case, arrays, ops, torch, device)
        want = work.want() if work.want else None
        with noting() if noting else nullcontext(()) as kernels:
            answer = work.ours()
        result = device.take_all(answer)
    except Exception as exception:  # one broken operator must not hide what the others do
        verdict = Verdict(None, None, f"raised {type(exception).__name__}: {exception}".splitlines()[0])
    else:
        if work.expected:
            want = work.expected(result)
        if want is not None:
            verdict = judge(result, want, work.exact)
        needs["kernels"] = tuple(kernels)
        if device is CPU and not verdict.problem:
            results = [np.asarray(each) for each in (result if isinstance(result, tuple) else (result,))]
            needs["operations"] = operations(case, arrays, work.arrays[0] if backward else results[0], backward)
            needs["bytes_moved"] = bytes_moved(work.arrays, results)
        with apart():
            rounds = list(timings((work.ours, work.theirs), effort, device.wait))
        # in turns of its own: a process that is asked in between slows fastops and torch down, and not alike
        third = onnx(case, arrays) if onnx and not backward else None
        layer = of_layer(case, arrays, ops) if third else None
        if not verdict.problem:
            others = {"the layer": layer, "ONNX Runtime": third.outputs if third else None}
            verdict = verdict._replace(problem=disagreement(result, others))
        if third:
            with apart():
                turns = list(timings((work.ours, layer), effort, device.wait, [third.seconds]))
    ours, theirs = zip(*rounds, strict=True) if rounds else ((), ())
    function, ready, onnx_times = zip(*turns, strict=True) if turns else ((), (), ())
    return Row(
        operator=f"{case.operator}_backward" if backward else case.operator,
        case=case.label,
        batch=batch,
        shape=arrays[0].shape,
        **verdict._asdict(),
        fastops_seconds=median(ours),
        torch_seconds=median(theirs),
        ratio=median(map(truediv, theirs, ours)),
        pairs=len(rounds),
        onnx_seconds=median(onnx_times),
        onnx_ratio=median(map(truediv, onnx_times, ready if layer else function)),
        dtype=str(arrays[0].dtype),
        layer_seconds=median(ready),
        onnx_function_ratio=median(map(truediv, onnx_times, function)) if layer else None,
        **needs,
    )


def disagreement(result: Any, others: dict[str, Call | None]) -> str | None:
    """Whose first output is not fastops's within the tolerance, if anybody's: in words."""
    due = result[0] if isinstance(result, tuple) else result
    for name, call in others.items():
        if call:
            got = call()
            problem = judge_array(np.asarray(got[0] if isinstance(got, list) else got), np.asarray(due), False).problem
            if problem:
                return f"{name} differs: {problem}"
    return None


def judge(result: Any, want: Any, exact: bool) -> Verdict:
    """The verdict on the worst array of a result."""
    results, wants = (a if isinstance(a, tuple) else (a,) for a in (result, want))
    if len(results) != len(wants):
        return Verdict(None, None, f"{len(results)} arrays in place of {len(wants)}")
    verdicts = [judge_array(np.asarray(got), np.asarray(due), exact) for got, due in zip(results, wants, strict=True)]
    return max(verdicts, key=lambda verdict: (verdict.problem is not None, verdict.allowed_share or 0))


def judge_array(got: Array, due: Array, exact: bool) -> Verdict:
    """At a value v a difference of rtol * |v| + atol * (largest |value|) is allowed, none where it has to be exact."""
    if (got.shape, got.dtype) != (due.shape, due.dtype):
        return Verdict(None, None, f"{got.dtype} {got.shape} in place of {due.dtype} {due.shape}")
    if np.array_equal(got, due, equal_nan=due.dtype.kind == "f"):
        return Verdict(0.0, 0.0, None)
    difference, size = np.abs(np.subtract(got, due, dtype=np.float64)), np.abs(due, dtype=np.float64)
    if exact or not np.isfinite(difference).all() or not 0 < size.max() < np.inf:
        return Verdict(None, None, f"{np.count_nonzero(got != due)} of {due.size} elements differ")
    rtol, atol = TOLERANCE[str(due.dtype)]
    share = float((difference / (rtol * size + atol * size.max())).max())
    problem = f"{share:.1f} times the difference allowed" if share > 1 else None
    return Verdict(float(difference.max() / size.max()), share, problem)
