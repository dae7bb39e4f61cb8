"""The plots of `fastops report`: strips of dots on a logarithmic axis, drawn by matplotlib as SVG for the page."""

import io
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from xml.etree import ElementTree

from fastops.cli.report_figures import Result, Run, percent, ratio, results, targets
from fastops.yardstick import whole
from fastops.yardstick.measure import Row
from fastops.yardstick.targets import summarise
from fastops.yardstick.whole import by_group

SVG = "{http://www.w3.org/2000/svg}"
WIDTH, HEAD, FOOT = 8.6, 0.5, 0.62  # inches: of a plot, and above and below its strips
HEIGHT = {1: 0.3, 2: 0.46}  # of a strip with dots of so many kinds
# The page says what these colours are, for its light and its dark scheme: here they only have to differ.
COLOURS = {"#010203": "text", "#010204": "quiet", "#010205": "line", "#010206": "band", "#010207": "card"}
COLOURS |= {"#010208": "first", "#010209": "second"}
TEXT, QUIET, LINE, BAND, CARD, FIRST, SECOND = COLOURS


class Dots(NamedTuple):
    """The dots of one kind in a strip."""

    values: list[float]
    titles: list[str]
    mark: float | None = None  # the mean
    target: float | None = None


class Strip(NamedTuple):
    group: str
    run: str
    dots: tuple[Dots, ...]  # of the first kind, circles, and of the second, squares
    note: str  # at its end


class Plot(NamedTuple):
    heading: str
    about: str  # for those who hear the page
    svg: str


def plots(runs: list[Run]) -> dict[str, list[Plot]]:
    """The plots of each section; none where there is nothing to draw."""
    ratios: list[Plot] = []
    for kind, group in (("suite", "family"), ("photograph", "operator")):
        ratios += drawn(
            f"Ratios by {group}",
            list(ordered([run for run in runs if run.kind == kind], ratio_strips)),
            ("beside PyTorch", "beside ONNX Runtime"),
            "slower   |   times as fast as the other library, logarithmic   |   faster",
            ratio_text,
        )
    limits = drawn(
        "Shares of the limits",
        list(ordered(runs, limit_strips)),
        ("arithmetic / peak of multiply-adds", "bytes / speed of a copy"),
        "share of the limit, logarithmic",
        percent_text,
    )
    accuracy = drawn(
        "Shares of the difference allowed",
        list(ordered(runs, accuracy_strips)),
        ("results that differ in some bit",),
        "right   |   largest difference / difference allowed, logarithmic   |   wrong",
        percent_text,
    )
    networks = drawn(
        "Ratios of whole networks",
        list(ordered(runs, network_strips)),
        ("beside ONNX Runtime", "beside PyTorch"),
        "slower   |   times as fast as the other library, logarithmic   |   faster",
        ratio_text,
    )
    return {"ratios": ratios, "limits": list(limits), "accuracy": list(accuracy), "networks": list(networks)}


def ordered(runs: list[Run], strips: Callable[[Run], dict[str, Strip]]) -> Iterator[Strip]:
    """The strips of all runs, group by group, so that the runs stand beside one another."""
    every = [strips(run) for run in runs]
    for group in dict.fromkeys(name for found in every for name in found):
        yield from (found[group] for found in every if group in found)


def ratio_strips(run: Run) -> dict[str, Strip]:
    found = {}
    for group, rows in run.groups().items():
        due, right, sums = targets(run, group), [row for row in rows if not row.problem], summarise(rows)
        torch, onnx = sums["geometric_mean_ratio"], sums["geometric_mean_onnx_ratio"]
        beside_torch = dots(((row.ratio, row) for row in right), ratio)._replace(mark=torch, target=due["mean"])
        beside_onnx = dots(((row.onnx_ratio, row) for row in right), ratio)._replace(mark=onnx, target=due["onnx"])
        if beside_torch.values or beside_onnx.values:
            note = " | ".join(ratio(mean) for mean in (torch, onnx) if mean)
            found[group] = Strip(group, run.letter, (beside_torch, beside_onnx), note)
    return found


def network_strips(run: Run) -> dict[str, Strip]:
    found = {}
    for group, sums in by_group(run.networks).items():
        rows = [row for row in run.networks if row.group == group and not row.problem]
        beside_onnx = dots(((row.onnx_ratio, row) for row in rows), ratio)
        beside_torch = dots(((row.torch_ratio, row) for row in rows), ratio)
        if beside_onnx.values or beside_torch.values:
            means = sums["mean"], sums["torch_mean"]
            both = (
                beside_onnx._replace(mark=means[0], target=sums["target"]["mean"]),
                beside_torch._replace(mark=means[1]),
            )
            found[group] = Strip(group, run.letter, both, " | ".join(ratio(mean) for mean in means if mean))
    return found


def limit_strips(run: Run) -> dict[str, Strip]:
    by_group: dict[str, list[Result]] = {}
    for result in results(run):
        if not result.row.problem:
            by_group.setdefault(result.row.family or result.row.operator, []).append(result)
    found = {}
    for group, some in by_group.items():
        arithmetic = dots(((result.arithmetic, result.row) for result in some), percent)
        memory = dots(((result.memory, result.row) for result in some), percent)
        if arithmetic.values or memory.values:
            note = " | ".join(percent(max(each.values)) for each in (arithmetic, memory) if each.values)
            found[group] = Strip(group, run.letter, (arithmetic, memory), note)
    return found


def accuracy_strips(run: Run) -> dict[str, Strip]:
    found = {}
    for operator in dict.fromkeys(row.operator for row in run.rows):
        rows = [row for row in run.rows if row.operator == operator and row.allowed_share is not None]
        shares = dots(((row.allowed_share, row) for row in rows), percent)
        if shares.values:
            found[operator] = Strip(operator, run.letter, (shares,), percent(max(shares.values)))
    return found


def dots(found: Any, spelled: Callable[[float], str]) -> Dots:
    """Of pairs of a value, or none, and its row; what is 0 has no place on a logarithmic axis."""
    pairs: list[tuple[float, Row | whole.Row]] = [(value, row) for value, row in found if value]
    return Dots([value for value, _ in pairs], [f"{row.name}: {spelled(value)}" for value, row in pairs])


def ratio_text(value: float, _: Any = None) -> str:
    return f"{value:g}" if value >= 1 else f"1/{1 / value:g}"


def percent_text(value: float, _: Any = None) -> str:
    return f"{100 * value:g} %"


# ---------------------------------------------------------------------------------------------------------- drawing


def drawn(
    heading: str, strips: list[Strip], kinds: tuple[str, ...], axis: str, spelled: Callable[..., str]
) -> Iterator[Plot]:
    """The plot, where there are strips."""
    if not strips:
        return
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # and no pyplot, which would look for a screen
    from matplotlib.figure import Figure

    kinds = tuple(kind for i, kind in enumerate(kinds) if any(strip.dots[i].values for strip in strips))
    used = [i for i in range(len(strips[0].dots)) if any(strip.dots[i].values for strip in strips)]
    inner = HEIGHT[len(used)] * len(strips)
    height = HEAD + FOOT + inner
    # The browser's own letters, which the page colours; none of a name's signs is mathematics.
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": heading, "text.parse_math": False, "font.family": "sans-serif"}
    ):
        figure = Figure(figsize=(WIDTH, height))
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0.25, FOOT / height, 0.62, inner / height))
        titles: dict[str, list[str]] = {}
        for place, strip in enumerate(strips):
            draw_strip(axes, place, strip, used, titles)
        finish(axes, strips, axis, spelled)
        legend(figure, kinds, used, strips, height)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    about = f"{heading}: {len(strips)} strips of dots on a logarithmic axis; the tables have the same figures."
    yield Plot(heading, about, for_the_page(buffer.getvalue(), titles, about))


def draw_strip(axes: Any, place: int, strip: Strip, used: list[int], titles: dict[str, list[str]]) -> None:
    lanes = [i for i in used if strip.dots[i].values]
    for lane, i in enumerate(lanes):
        some, colour, marker = strip.dots[i], (FIRST, SECOND)[i], "os"[i]
        middle = place + (lane - (len(lanes) - 1) / 2) * 0.42
        room = 0.5 if len(lanes) == 1 else 0.24
        # Neighbours by value stand apart by the golden ratio, which spreads any number of them evenly.
        order = sorted(range(len(some.values)), key=some.values.__getitem__)
        ys = [middle + ((rank * 0.618 + 0.5) % 1 - 0.5) * room for rank in range(len(order))]
        if order:
            gid = f"dots-{place}-{i}"
            titles[gid] = [some.titles[k] for k in order]
            xs = [some.values[k] for k in order]
            axes.scatter(xs, ys, s=22, marker=marker, color=colour, alpha=0.6, linewidths=0, gid=gid, zorder=3)
        if some.mark:
            tall = 0.36 if len(lanes) == 1 else 0.2
            axes.plot([some.mark] * 2, [middle - tall, middle + tall], color=TEXT, linewidth=2.2, zorder=5)
        if some.target and some.values:
            axes.plot(
                [some.target], [middle], marker="D", markersize=6, color=CARD, markeredgecolor=TEXT, zorder=4, mew=1.2
            )
    axes.annotate(
        strip.note,
        (1, place),
        (8, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=TEXT,
    )


def finish(axes: Any, strips: list[Strip], axis: str, spelled: Callable[..., str]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    shown = [x for strip in strips for some in strip.dots for x in (*some.values, some.target) if x]
    low, high = min(*shown, 0.8), max(*shown, 1.25)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.15, high * 1.15)
    axes.set_ylim(len(strips) - 0.5, -0.5)
    groups = list(dict.fromkeys(strip.group for strip in strips))
    names = []
    for place, strip in enumerate(strips):
        if groups.index(strip.group) % 2 == 0:
            axes.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0, zorder=0)
        first = place == 0 or strips[place - 1].group != strip.group
        group = strip.group.replace("_with_logits", "\n_with_logits") if first else ""
        names.append("  ".join(filter(None, (group, strip.run))))
    axes.axvline(1, color=TEXT, linewidth=1.2, zorder=2)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 3000 else (1,), numticks=20))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(spelled))
    axes.set_xlabel(axis, fontsize=9.5, color=QUIET)
    axes.set_yticks(range(len(strips)), names, fontsize=9.5, color=TEXT, linespacing=1)
    axes.tick_params(axis="both", length=0, colors=QUIET, labelsize=9.5)
    axes.tick_params(axis="y", labelcolor=TEXT)
    axes.grid(axis="x", color=LINE, linewidth=0.8, zorder=1)
    axes.spines[:].set_visible(False)


def legend(figure: Any, kinds: tuple[str, ...], used: list[int], strips: list[Strip], height: float) -> None:
    from matplotlib.lines import Line2D

    looks: dict[str, Any] = {"linestyle": "none", "markersize": 6}
    handles = [
        Line2D([], [], marker="os"[i], color=(FIRST, SECOND)[i], label=kind, **looks)
        for i, kind in zip(used, kinds, strict=True)
    ]
    every = [some for strip in strips for some in strip.dots if some.values]
    if any(some.mark for some in every):
        handles += [Line2D([], [], marker="|", color=TEXT, markeredgewidth=2.2, label="geometric mean", **looks)]
    if any(some.target for some in every):
        looks |= {"markerfacecolor": CARD, "markeredgecolor": TEXT}
        handles += [Line2D([], [], marker="D", label="target of the mean", **looks)]
    figure.legend(
        handles=handles,
        loc="center",
        bbox_to_anchor=(0.5, 1 - 0.2 / height),
        ncols=len(handles),
        frameon=False,
        fontsize=9.5,
        labelcolor=TEXT,
        handletextpad=0.3,
        columnspacing=1.6,
    )


def for_the_page(svg: str, titles: dict[str, list[str]], about: str) -> str:
    """matplotlib's file as an element of the page: hover texts, colours of the page, and ids that are nobody else's."""
    ElementTree.register_namespace("", SVG[1:-1])
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(svg)
    for extra in root.findall(f"{SVG}metadata"):
        root.remove(extra)
    for group in root.iter(f"{SVG}g"):
        names = titles.get(group.get("id", ""))
        if names:
            defined = {each for defs in group.iter(f"{SVG}defs") for each in defs.iter()}
            shapes = [each for each in group.iter() if each.tag in (f"{SVG}use", f"{SVG}path") and each not in defined]
            for shape, name in zip(shapes, names, strict=True):
                ElementTree.SubElement(shape, f"{SVG}title").text = name
    root.attrib.update({"role": "img", "aria-label": about})
    prefix = re.sub(r"\W+", "-", about.partition(":")[0].lower())
    for each in root.iter():
        for name, value in each.attrib.items():
            if name == "id":
                each.set(name, f"{prefix}-{value}")
            elif "#" in value:
                value = re.sub(r"(?<=url\()#" if name == "style" or "url" in value else "^#", f"#{prefix}-", value)
                each.set(name, re.sub("#0102[0-9a-f]{2}", lambda found: f"var(--{COLOURS[found[0]]})", value))
    return ElementTree.tostring(root, encoding="unicode")
