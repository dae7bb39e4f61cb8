"""The table of the public functions: what a test, a benchmark or `fastops warmup` has to know beside the signatures.

An operator's gradient is <name>_backward: what it takes and gives stands with the operator. From here come the calls of
the tests and of `fastops warmup` (calls.py), the arguments of the refusals, and the cases of `fastops compare`
(cases.py) and so of asv_bench. tests/test_operators.py holds the table to the functions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .examples import Example, boxes, example, infinite, labels, listed_boxes, normal, positive, statistics


@dataclass(frozen=True)
class Operator:
    """What is true of every call of a public function."""

    name: str
    family: str  # the file of its benchmarks; the public function is in one of this name, or of its own
    arrays: tuple[str, ...]  # the arguments that are arrays, in their order
    # Good calls, which together reach every kernel. The first has all arrays, of floats, and the options it needs.
    examples: tuple[Example, ...]
    rows: Callable[[int], Sequence[Example]]  # good calls on arrays whose rows have so many elements
    # By label: timed cases, beside torch, of an operator that takes nothing but a batch. All others are in cases.py.
    timed: dict[str, Callable[..., Any]] = field(default_factory=dict)
    out: bool = False  # has out=
    in_place: bool = False  # which may be the input itself: element by element
    exact: bool = False  # the values are the input's own: every bit has to agree with torch's
    any_dtype: bool = False
    in_torch: bool = True
    # What the gradient takes of the forward call: its input, that and the indices, its output, or its rng alone.
    takes: Literal["input", "indices", "output", "rng"] = "input"
    differentiated: tuple[str, ...] = ("input",)  # the arrays that have a gradient, in the order in which they come
    exact_gradient: bool = False  # the values are grad_output's own
    shape_alone: bool = False  # the gradient reads nothing of the input

    @property
    def more(self) -> dict[str, Any]:
        """What the forward call has to be asked for its gradient's sake."""
        return {"return_indices": True} if self.takes == "indices" else {}

    @property
    def given_names(self) -> tuple[str, ...]:
        """What the gradient takes for the forward's first array, by name."""
        first = self.arrays[0]
        return {"input": (first,), "indices": (first, "indices"), "output": ("output",), "rng": ()}[self.takes]

    def given(self, first: Any, values: Any) -> tuple[Any, ...]:
        """The same of one call: of its first array, and of what the forward gave."""
        indices = values[1] if self.takes == "indices" else None
        return {"input": (first,), "indices": (first, indices), "output": (values,), "rng": ()}[self.takes]


TABLE = (
    Operator(
        "conv2d",
        "conv",
        ("input", "weight", "bias"),
        out=True,
        differentiated=("input", "weight", "bias"),
        examples=(
            example(normal(2, 4, 8, 8), normal(6, 4, 3, 3), normal(6)),
            example(normal(2, 4, 9, 10), normal(6, 2, 3, 2), normal(6), stride=(2, 1), groups=2, padding="same"),
            example(normal(2, 3, 9, 10), normal(5, 3, 1, 1), stride=2),
            example(normal(3, 9, 10), normal(5, 3, 3, 3), normal(5), dilation=2, padding=3),
            example(normal(1, 24, 20, 21), normal(40, 24, 3, 3), normal(40), padding=1),
            example(normal(2, 3, 5, 6), normal(4, 3, 3, 2), normal(4), stride=2, padding=(1, 0)),
            example(normal(4, 5, 6), normal(4, 2, 2, 2), normal(4), groups=2, dilation=2),
            example(normal(1, 2, 5, 6), normal(3, 2, 3, 2), stride=(2, 1), padding="same"),
            example(normal(2, 2, 4, 5), normal(3, 2, 2, 2), normal(3), padding="valid"),
            example(normal(1, 2, 5, 6), normal(2, 2, 2, 2), padding="same"),
            # depthwise
            example(normal(1, 3, 9, 10), normal(3, 1, 3, 3), groups=3, stride=2, padding=1),
            example(normal(1, 3, 9, 10), normal(3, 1, 3, 3), groups=3, dilation=2),
            example(normal(1, 3, 9, 10), normal(3, 1, 5, 5), groups=3, padding=2),
            example(normal(1, 3, 9, 10), normal(3, 1, 5, 5), groups=3, stride=2, padding=2),
            # many channels, by Winograd's method and without
            example(normal(1, 64, 8, 8), normal(40, 64, 3, 3), padding=1),
            example(normal(1, 64, 56, 56), normal(64, 64, 3, 3)),
            example(normal(1, 64, 56, 56), normal(64, 64, 3, 3), precision="fast"),
            example(normal(1, 64, 4, 4), normal(64, 64, 1, 1)),
            # a whole image, and what does not come out finite
            example(normal(2, 4, 8, 8), normal(4, 4, 8, 8)),
            example(infinite(2, 4, 8, 8), infinite(4, 4, 3, 3), padding=1),
        ),
        rows=lambda width: (
            example(normal(1, 2, 3, width), normal(3, 2, 3, 3), normal(3), padding=1),
            example(normal(1, width, 3, 3), normal(width, width, 2, 2)),
            example(normal(1, width, 3, 4), normal(width, 1, 3, 3), groups=width, padding=1),
        ),
    ),
    Operator(
        "conv_transpose2d",
        "conv",
        ("input", "weight", "bias"),
        out=True,
        differentiated=("input", "weight", "bias"),
        examples=(
            example(normal(2, 4, 8, 8), normal(4, 6, 3, 3), normal(6)),
            example(normal(2, 4, 5, 6), normal(4, 3, 3, 2), normal(6), groups=2, dilation=(2, 1)),
            example(normal(4, 5, 6), normal(4, 3, 2, 2), stride=3, output_padding=2),
            example(normal(1, 2, 5, 6), normal(2, 2, 1, 1), dilation=2, output_padding=1),
            example(normal(1, 24, 15, 16), normal(24, 40, 3, 3), stride=2, padding=1),
            example(normal(2, 3, 3, 4), normal(3, 2, 3, 2), normal(2), stride=2, padding=(1, 0)),
            example(normal(4, 3, 4), normal(4, 2, 2, 2), normal(4), groups=2, dilation=2),
            example(normal(1, 2, 3, 3), normal(2, 2, 2, 2), stride=3, output_padding=(2, 1)),
            example(normal(2, 4, 8, 8), normal(4, 2, 1, 1), stride=2),
        ),
        rows=lambda width: (
            example(normal(1, 2, 3, width), normal(2, 3, 3, 3), normal(3), stride=2, padding=1),
            example(normal(1, width, 2, 3), normal(width, 2, 2, 2), stride=2),
        ),
    ),
    Operator(
        "max_pool2d",
        "pool",
        ("input",),
        out=True,
        exact=True,
        takes="indices",
        shape_alone=True,
        examples=(
            example(normal(2, 4, 8, 8), kernel_size=2),
            example(normal(2, 3, 9, 10), kernel_size=2, dilation=3, padding=1),
            example(normal(3, 9, 10), kernel_size=(3, 2), stride=2, ceil_mode=True),
            example(normal(2, 3, 9, 10), kernel_size=(9, 8), padding=(2, 1), return_indices=True),
            example(normal(2, 2, 6, 7), kernel_size=3, stride=2, padding=1, ceil_mode=True),
            example(normal(2, 6, 7), kernel_size=2, dilation=(2, 3)),
        ),
        rows=lambda width: (
            example(normal(1, 2, 5, width), kernel_size=3, stride=1, padding=1, return_indices=True),
            example(normal(1, 2, 5, 2 * width + 1), kernel_size=2, ceil_mode=True),
        ),
        timed={
            "2x2": lambda ops, x: ops.max_pool2d(x, 2),
            "2x2 stride 1": lambda ops, x: ops.max_pool2d(x, 2, stride=1),
            "3x3 stride 2": lambda ops, x: ops.max_pool2d(x, 3, stride=2, padding=1),
        },
    ),
    Operator(
        "avg_pool2d",
        "pool",
        ("input",),
        out=True,
        shape_alone=True,
        examples=(
            example(normal(2, 4, 8, 8), kernel_size=2),
            example(normal(3, 9, 10), kernel_size=3, padding=1, ceil_mode=True, count_include_pad=False),
            example(normal(2, 3, 9, 10), kernel_size=(9, 10), divisor_override=-2),
            example(normal(2, 3, 9, 10), kernel_size=(4, 3), stride=2, padding=1),
            example(normal(2, 2, 6, 7), kernel_size=3, stride=2, padding=1, ceil_mode=True),
            example(normal(2, 6, 7), kernel_size=3, padding=1, count_include_pad=False),
            example(normal(2, 6, 7), kernel_size=(2, 3), divisor_override=-3),
        ),
        rows=lambda width: (
            example(normal(1, 2, 5, width), kernel_size=3, stride=2, padding=1),
            example(normal(1, 2, 5, 2 * width + 1), kernel_size=2),
        ),
        timed={
            "2x2": lambda ops, x: ops.avg_pool2d(x, 2),
            "3x3 stride 2": lambda ops, x: ops.avg_pool2d(x, 3, stride=2, padding=1),
        },
    ),
    Operator(
        "adaptive_avg_pool2d",
        "resize",
        ("input",),
        shape_alone=True,
        examples=(
            example(normal(2, 4, 8, 8), output_size=2),
            example(normal(3, 9, 10), output_size=(4, 7)),
            example(normal(2, 3, 5, 6), output_size=(None, 8)),
            example(normal(2, 3, 9, 10), output_size=1),
        ),
        rows=lambda width: (
            example(normal(1, 2, 5, width), output_size=(2, 3)),
            example(normal(1, 2, 3, 5), output_size=(2, width)),
        ),
        timed={
            "to 1x1": lambda ops, x: ops.adaptive_avg_pool2d(x, 1),
            "to 7x7": lambda ops, x: ops.adaptive_avg_pool2d(x, 7),
        },
    ),
    Operator(
        "interpolate",
        "resize",
        ("input",),
        shape_alone=True,
        examples=(
            example(normal(2, 4, 8, 8), size=(5, 19), mode="bilinear"),
            example(normal(2, 3, 5, 7), scale_factor=2),
            example(normal(2, 3, 5, 7), size=(7, 7)),
            example(normal(2, 3, 9, 10), scale_factor=(0.6, 1.7)),
            example(normal(2, 3, 9, 10), scale_factor=2, mode="bilinear"),
            example(normal(2, 3, 9, 10), size=(13, 4), mode="bilinear", align_corners=True),
        ),
        rows=lambda width: (
            example(normal(1, 2, 3, width), scale_factor=2, mode="bilinear"),
            example(normal(1, 2, 3, width), scale_factor=2),
            example(normal(1, 2, 3, width), size=(2, width)),
            example(normal(1, 2, 3, 5), size=(4, width), mode="bilinear", align_corners=True),
        ),
        timed={
            "nearest 2x": lambda ops, x: ops.interpolate(x, scale_factor=2),
            "bilinear 2x": lambda ops, x: ops.interpolate(x, scale_factor=2, mode="bilinear"),
            "bilinear to 40x40, corners": lambda ops, x: ops.interpolate(
                x, (40, 40), mode="bilinear", align_corners=True
            ),
        },
    ),
    Operator(
        "linear",
        "linear",
        ("input", "weight", "bias"),
        differentiated=("input", "weight", "bias"),
        examples=(
            example(normal(2, 3, 8), normal(5, 8), normal(5)),
            example(normal(7), normal(3, 7)),
            example(normal(40, 50), normal(30, 50), normal(30)),
        ),
        rows=lambda width: (
            example(normal(3, width), normal(4, width), normal(4)),
            example(normal(3, 4), normal(width, 4)),
        ),
    ),
    Operator(
        "roi_pool",
        "pool",
        ("input", "boxes"),
        out=True,
        exact=True,
        in_torch=False,
        examples=(
            example(normal(2, 4, 8, 8), boxes(2, 2), output_size=2),
            example(normal(1, 2, 40, 60), boxes(1, 2), output_size=1, spatial_scale=4.0),
            example(normal(2, 3, 10, 10), listed_boxes(2, 4), output_size=7, spatial_scale=0.8),
            example(normal(2, 2, 6, 7), boxes(2, 4), output_size=(2, 3), spatial_scale=0.5),
            example(normal(2, 2, 6, 7), listed_boxes(2, 2), output_size=2),
        ),
        rows=lambda width: (example(normal(2, 3, 10, width), boxes(2, 6), output_size=(3, 2)),),
    ),
    Operator(
        "batch_norm",
        "norm",
        ("input", "running_mean", "running_var", "weight", "bias"),
        out=True,
        differentiated=("input", "weight", "bias"),
        examples=(
            example(normal(5, 3), *statistics(3)),
            example(normal(8, 5, 20, 21), *statistics(5), training=True, momentum=0.7),
            example(normal(5000, 5), *statistics(5), training=True),
            example(normal(2, 3, 33, 34), *statistics(3), training=True),
            example(normal(2, 5, 3, 4, 2), *statistics(5), eps=0.1),
            example(normal(4, 3), *statistics(3), training=True),
            example(normal(2, 3, 2, 4), *statistics(3), training=True, eps=0.1),
            example(normal(2, 3, 2, 4), *statistics(3)),
        ),
        rows=lambda width: (
            example(normal(3, width), *statistics(width), training=True),
            example(normal(3, 2, width), *statistics(2), training=True),
            example(normal(3, width), *statistics(width)),
            example(normal(3, 2, width), *statistics(2)),
        ),
    ),
    Operator(
        "relu",
        "elementwise",
        ("input",),
        out=True,
        in_place=True,
        exact=True,
        exact_gradient=True,
        examples=(example(normal(2, 4, 8, 8)), example(normal()), example(normal(3, 4))),
        rows=lambda width: (example(normal(width)),),
        timed={"": lambda ops, x: ops.relu(x)},
    ),
    Operator(
        "sigmoid",
        "elementwise",
        ("input",),
        out=True,
        in_place=True,
        takes="output",
        examples=(example(normal(2, 3, 4, 5)), example(normal(20_001))),
        rows=lambda width: (example(normal(width)),),
        timed={"": lambda ops, x: ops.sigmoid(x)},
    ),
    Operator(
        "relu6",
        "rectifier",
        ("input",),
        out=True,
        in_place=True,
        exact=True,
        exact_gradient=True,
        examples=(example(normal(2, 4, 8, 8)), example(normal(3, 4))),
        rows=lambda width: (example(normal(width)),),
        timed={"": lambda ops, x: ops.relu6(x)},
    ),
    Operator(
        "leaky_relu",
        "rectifier",
        ("input",),
        out=True,
        in_place=True,
        examples=(example(normal(2, 4, 8, 8)), example(normal(3, 4), negative_slope=-0.5)),
        rows=lambda width: (example(normal(width)),),
        timed={"": lambda ops, x: ops.leaky_relu(x)},
    ),
    Operator(
        "prelu",
        "rectifier",
        ("input", "weight"),
        out=True,
        in_place=True,
        differentiated=("input", "weight"),
        examples=(
            example(normal(2, 4, 8, 8), normal(4)),
            example(normal(2, 3, 4), normal(3)),
            example(normal(2, 3, 4), normal(1)),
            example(normal(5, 3), normal(3)),
            example(normal(2, 3, 70, 71), normal(3)),
            example(normal(6000, 5), normal(5)),
            example(normal(20_001), normal(1)),
        ),
        rows=lambda width: (
            example(normal(width), normal(1)),
            example(normal(3, width), normal(width)),
            example(normal(3, 2, width), normal(2)),
        ),
    ),
    Operator(
        "clamp",
        "rectifier",
        ("input",),
        out=True,
        in_place=True,
        exact=True,
        exact_gradient=True,
        examples=(
            example(normal(2, 4, 8, 8), min=0.0),
            example(normal(3, 4), min=-0.5, max=0.75),
            example(normal(3, 4), max=0.0),
        ),
        rows=lambda width: (example(normal(width), min=-0.5, max=0.75),),
    ),
    Operator(
        "silu",
        "activation",
        ("input",),
        out=True,
        in_place=True,
        examples=(example(normal(2, 3, 4, 5)), example(normal(20_001))),
        rows=lambda width: (example(normal(width)),),
        timed={"": lambda ops, x: ops.silu(x)},
    ),
    Operator(
        "hardsigmoid",
        "activation",
        ("input",),
        out=True,
        in_place=True,
        examples=(example(normal(2, 3, 4, 5)), example(normal(20_001))),
        rows=lambda width: (example(normal(width)),),
        timed={"": lambda ops, x: ops.hardsigmoid(x)},
    ),
    Operator(
        "hardswish",
        "activation",
        ("input",),
        out=True,
        in_place=True,
        examples=(example(normal(2, 3, 4, 5)), example(normal(20_001))),
        rows=lambda width: (example(normal(width)),),
        timed={"": lambda ops, x: ops.hardswish(x)},
    ),
    Operator(
        "gelu",
        "activation",
        ("input",),
        out=True,
        in_place=True,
        examples=(
            example(normal(2, 3, 4, 5)),
            example(normal(20_001)),
            example(normal(2, 3, 4, 5), approximate="tanh"),
        ),
        rows=lambda width: (example(normal(width)), example(normal(width), approximate="tanh")),
        timed={"": lambda ops, x: ops.gelu(x), "tanh": lambda ops, x: ops.gelu(x, approximate="tanh")},
    ),
    Operator(
        "dropout",
        "elementwise",
        ("input",),
        out=True,
        in_place=True,
        takes="rng",
        exact_gradient=True,
        examples=(
            example(normal(2, 4, 8, 8), rng=4),
            example(normal(3, 4, 5), p=1.0, rng=5),
            example(normal(3, 4), p=0.4, rng=5),
            example(normal(20_001), rng=5),
        ),
        rows=lambda width: (example(normal(width), p=0.4, rng=5),),
    ),
    Operator(
        "flatten",
        "reshape",
        ("input",),
        any_dtype=True,
        exact=True,
        exact_gradient=True,
        shape_alone=True,
        examples=(example(normal(2, 3, 4, 5), end_dim=2), example(normal(2, 3, 4), start_dim=1)),
        rows=lambda width: (example(normal(2, 3, width), start_dim=1),),
    ),
    Operator(
        "softmax",
        "softmax",
        ("input",),
        out=True,
        takes="output",
        examples=(
            example(normal(2, 4, 8, 8), dim=0),
            example(normal(3, 40, 50), dim=1),
            example(normal(30, 70), dim=-1),
            *(example(normal(3, 4, 2), dim=dim) for dim in (0, 1, 2)),
        ),
        rows=lambda width: (example(normal(3, width), dim=0), example(normal(3, width), dim=1)),
        timed={"channels": lambda ops, x: ops.softmax(x, 1), "rows": lambda ops, x: ops.softmax(x, -1)},
    ),
    Operator(
        "log_softmax",
        "softmax",
        ("input",),
        out=True,
        takes="output",
        examples=(
            example(normal(2, 4, 8, 8), dim=0),
            example(normal(300, 70), dim=-1),
            *(example(normal(3, 4, 2), dim=dim) for dim in (0, 1, 2)),
        ),
        rows=lambda width: (example(normal(3, width), dim=0), example(normal(3, width), dim=1)),
        timed={"channels": lambda ops, x: ops.log_softmax(x, 1), "rows": lambda ops, x: ops.log_softmax(x, -1)},
    ),
    Operator(
        "cross_entropy",
        "loss",
        ("input", "target", "weight"),
        examples=(
            example(normal(5, 3), positive(5, 3), positive(3), reduction="none"),
            example(normal(4), labels(4)),
            example(normal(2, 5, 33, 34), labels(5, 2, 33, 34), positive(5)),
            example(normal(3000, 11), labels(11, 3000), label_smoothing=0.2),
            example(normal(16, 70), labels(70, 16)),
            example(normal(16, 70), positive(16, 70)),
            example(normal(2, 4, 5, 6), positive(2, 4, 5, 6), normal(4), label_smoothing=0.2),
            example(normal(3, 4, 2), labels(4, 3, 2), positive(4), label_smoothing=0.2, ignore_index=1),
            example(normal(3, 4), positive(3, 4), normal(4), label_smoothing=0.2, reduction="none"),
            example(normal(3, 4, 2), positive(3, 4, 2), reduction="sum"),
        ),
        rows=lambda width: (
            example(normal(3, width), labels(width, 3), normal(width), label_smoothing=0.1),
            example(normal(3, 2, width), labels(2, 3, width), ignore_index=1),
            example(normal(3, width), positive(3, width)),
        ),
    ),
    Operator(
        "softmax_cross_entropy_with_logits",
        "loss",
        ("logits", "labels"),
        differentiated=("logits",),
        examples=(
            example(normal(5, 3), positive(5, 3)),
            example(normal(3000, 11), labels(11, 3000), reduction="mean"),
            example(normal(3, 4), labels(4, 3)),
            example(normal(3, 4), positive(3, 4), reduction="mean"),
        ),
        rows=lambda width: (
            example(normal(3, width), labels(width, 3)),
            example(normal(3, width), positive(3, width)),
        ),
    ),
    Operator(
        "mse_loss",
        "loss",
        ("input", "target", "weight"),
        differentiated=("input", "target"),
        examples=(
            example(normal(5, 3), normal(5, 3), positive(5, 3), reduction="none"),
            example(normal(5, 3), normal(5, 3), positive(5, 3)),
            example(normal(20_001), normal(20_001)),
            example(normal(50, 1, 60), normal(40, 1)),
            example(normal(3, 4), normal(4)),
            example(normal(3, 1), normal(1, 4), reduction="none"),
            example(normal(3, 4), normal(3, 4), reduction="sum"),
        ),
        rows=lambda width: (
            example(normal(3, width), normal(3, width)),
            example(normal(3, width), normal(width), reduction="none"),
            example(normal(3, width), normal(3, width), reduction="sum"),
        ),
    ),
)
OPERATORS = {each.name: each for each in TABLE}
