"""The bar chart of `fastops compare --plot`: how many times as fast as PyTorch, operator by operator.

A suite has a bar for each of its cases, family by family, in as many panels as that takes.
"""

from itertools import groupby
from pathlib import Path
from typing import Any

# Bars of the first and of the second input; the two hues differ for colour-blind people too.
FASTER, SLOWER, EITHER = ("#1b7f79", "#93cbc6"), ("#cc5a36", "#f0b8a4"), ("#555555", "#bbbbbb")
CASES_PER_PANEL, OF_A_SUITE = 18, 40
CASE_HEIGHT, HEAD, FOOT, PANEL_WIDTH, WIDER = 0.34, 0.85, 0.75, 7.0, 9.0  # inches; WIDER for a suite's long names

Name = tuple[str, str]  # operator and case; in a suite family and case


def draw(report: dict[str, Any], path: Path) -> None:
    """Draw the report that `fastops compare` writes as JSON; at least one of its rows has a ratio."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # and no pyplot, which would look for a screen
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows, suite = [row for row in report["rows"] if row["ratio"]], report["suite"]
    if suite:
        rows = [in_its_family(row) for row in rows]
    names = list(dict.fromkeys((row["operator"], row["case"]) for row in rows))
    panels = [places(part) for part in (in_columns(names) if suite else split(names))]
    bottom = max(max(panel.values()) for panel in panels)
    width, height = (WIDER if suite else PANEL_WIDTH) * len(panels), HEAD + FOOT + 0.7 + CASE_HEIGHT * (bottom + 1)
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", rect=(0, FOOT / height, 1, 1 - (FOOT + HEAD) / height))
    ratios = [row["ratio"] for row in rows]
    low, high = min(*ratios, 0.8), max(*ratios, 1.25)
    room = (high / low) ** 0.12  # for the figures beside the bars
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        draw_panel(axes, panel, rows, bool(suite))
        axes.set_xlim(low / room, high * room)
        axes.set_ylim(bottom + 0.6, -0.6)

    def line(inches: float, text: str, **style: Any) -> None:
        figure.text(0.15 / width, inches / height, text, va="center", **style)

    versions, mean = report["versions"], report["summary"]["geometric_mean_ratio"]
    batches = list(dict.fromkeys(row["batch"] for row in rows))
    title = f"fastops beside PyTorch, suite {', '.join(suite)}" if suite else "fastops beside PyTorch on one photograph"
    line(height - 0.28, title, fontsize=17, fontweight="bold")
    line(height - 0.62, f"PyTorch's time / fastops's time, {len(rows)} results, geometric mean {mean:.2f}", fontsize=12)
    used = ", ".join(f"{name} {versions[name]}" for name in ("fastops", "torch", "numba", "numpy", "python"))
    line(
        0.16,
        f"{report['machine']['cpu']}, {report['threads']} threads, {report['dtype'] or 'dtypes by case'}; {used}",
        fontsize=8,
        color="#666666",
    )
    legend = [Patch(color=FASTER[0], label="fastops is faster"), Patch(color=SLOWER[0], label="PyTorch is faster")]
    if not suite:
        legend += [Patch(color=EITHER[i], label=f"input: {batch}") for i, batch in enumerate(batches)]
    figure.legend(handles=legend, loc="center", bbox_to_anchor=(0.5, 0.5 / height), ncols=4, frameon=False, fontsize=10)
    figure.savefig(path, dpi=150)


def split(names: list[Name]) -> list[list[Name]]:
    """One panel, or two of about the same height that keep an operator's cases together."""
    if len(names) <= CASES_PER_PANEL:
        return [names]
    ends = [i for i in range(1, len(names)) if names[i][0] != names[i - 1][0]]
    middle = min(ends, key=lambda i: max(max(places(part).values()) for part in (names[:i], names[i:])))
    return [names[:middle], names[middle:]]


def in_its_family(row: dict[str, Any]) -> dict[str, Any]:
    """The row of a suite with the family for the operator, and for the case all that tells it from the others."""
    words = (row["operator"], row["case"], "on", row["batch"])
    return {**row, "operator": row["family"], "case": " ".join(filter(None, words))}


def in_columns(names: list[Name]) -> list[list[Name]]:
    """Panels of one height, in the order of the names."""
    return [names[i : i + OF_A_SUITE] for i in range(0, len(names), OF_A_SUITE)]


def places(names: list[Name]) -> dict[Name, float]:
    """How far down each case stands, in rows, with half a row between operators."""
    place, found = 0.0, {}
    for _, cases in groupby(names, key=lambda name: name[0]):
        for case in cases:
            found[case] = place
            place += 1
        place += 0.5
    return found


def draw_panel(axes: Any, panel: dict[Name, float], rows: list[dict[str, Any]], suite: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for name, place in panel.items():
        bars = [row["ratio"] for row in rows if (row["operator"], row["case"]) == name]
        thick = 0.84 / len(bars)
        for i, ratio in enumerate(bars):
            y, colours = place + (i - (len(bars) - 1) / 2) * thick, FASTER if ratio >= 1 else SLOWER
            axes.barh(y, ratio - 1, left=1, height=thick * 0.92, color=colours[i])
            offset, side = (3, "left") if ratio >= 1 else (-3, "right")
            text = f"{ratio:.2f}" if ratio < 9.95 else f"{ratio:.0f}"
            axes.annotate(
                text, (ratio, y), (offset, 0), textcoords="offset points", ha=side, va="center_baseline", fontsize=8
            )
    axes.axvline(1, color="black", linewidth=1.2)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(LogLocator(base=2, numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}" if ratio >= 1 else f"1/{1 / ratio:g}"))
    axes.set_xlabel("slower  |  times as fast as PyTorch (log scale)  |  faster", fontsize=10)
    if suite:
        axes.set_title(", ".join(dict.fromkeys(family for family, _ in panel)), fontsize=12, fontweight="bold")
    labels = [
        (name[1] if suite else " ".join(name)).replace("_with_logits", "\n_with_logits").strip() for name in panel
    ]
    axes.set_yticks(list(panel.values()), labels, fontsize=10, linespacing=1.05)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
