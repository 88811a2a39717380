"""The figures, as matplotlib draws them.  Each draws traces on axes and says whether there was anything to draw."""

import io
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mixcse.base.files import moved_when_written
from mixcse.names import DEV_SETS
from mixcse.report.traces import LINES, Trace, log_of

INK, MUTED, GRID = "#1f2430", "#667080", "#dfe3e8"
SERIES = ("#2f6fd0", "#d9622b", "#16916b", "#8a4fc4", "#b8860b", "#c2427e", "#4f7d8c", "#7a5c3e")
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
}
WIDTH, PLOT_HEIGHT, LEGEND_ROW = 4.6, 2.75, 0.19  # inches
Draw = Callable[[Axes, Sequence[Trace]], bool]


def curves(
    axes: Axes,
    traces: Sequence[Trace],
    *,
    lines: Sequence[tuple[str, str, str]],
    ylabel: str,
    scale: float = 1.0,
    log: bool = False,
) -> bool:
    """Draw logged values by step: a colour for each trace, a style for each line; bands span the runs.

    Args:
        lines: log name, line style and label, as in `LINES`.
    """
    drawn = {(trace.label, name): trace.curve(name, scale) for trace in traces for name, *_ in lines}
    several = sum(any(drawn[trace.label, name] for trace in traces) for name, *_ in lines) > 1
    labels: dict[str, dict[str, str]] = {}  # one entry for each colour, one for each style
    for trace, color in zip(traces, cycle(SERIES), strict=False):
        for number, (name, style, label) in enumerate(lines):
            curve = drawn[trace.label, name]
            if curve is None:
                continue
            own_color = SERIES[number] if len(traces) == 1 else color
            axes.plot(curve.steps, curve.mean, style, color=own_color)
            if len(trace.logs) > 1:
                axes.fill_between(curve.steps, curve.low, curve.high, color=own_color, alpha=0.15, linewidth=0)
            if len(traces) > 1:
                labels.setdefault(trace.label, {"color": color, "linestyle": "-"})
            if several:
                labels.setdefault(label, {"color": own_color if len(traces) == 1 else MUTED, "linestyle": style})
    for label, look in labels.items():
        axes.plot([], [], label=label, **look)
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel("step")
    axes.set_ylabel(ylabel)
    return any(curve is not None for curve in drawn.values())


def dev_score(axes: Axes, traces: Sequence[Trace]) -> bool:
    """Draw a dev score, by step."""
    metric = next((trace.dev_metric for trace in traces if trace.dev_metric), "")
    name = f"{DEV_SETS.get(metric.removeprefix('eval_'))} dev, Spearman × 100"
    return curves(axes, traces, lines=((metric, "-", name),), ylabel=name, scale=100)


def spread(axes: Axes, traces: Sequence[Trace]) -> bool:
    """Draw the path through the plane of alignment and uniformity; both are better when lower."""
    drawn = from_start = False
    for trace, color in zip(traces, cycle(SERIES), strict=False):
        x, y = trace.curve("eval_uniformity"), trace.curve("eval_alignment")
        if x is None or y is None or len(x.steps) != len(y.steps):
            continue
        drawn = True
        axes.plot(x.mean, y.mean, color=color, marker="o", markersize=3, label=trace.label)
        axes.plot(x.mean[-1:], y.mean[-1:], color=color, marker="o", markersize=8)
        if x.steps[0] == 0:
            from_start = True
            axes.plot(x.mean[:1], y.mean[:1], color=INK, marker="s", markersize=6)
    if from_start:
        axes.plot([], [], color=INK, marker="s", linestyle="", label="untrained")
    axes.set_xlabel("uniformity (lower is better)")
    axes.set_ylabel("alignment (lower is better)")
    return drawn


MIXED = " (mixed: a row's own mix with the paper's equation, all mixes with the released code)"
BANDS = "; lines are means over seeds, bands reach from the least to the largest"
PLOTS: dict[str, tuple[Draw, str, str]] = {  # name: how, title, what a caption adds
    "dev_score": (dev_score, "The dev score along training", ""),
    "loss": (
        partial(curves, lines=LINES["loss"], ylabel="loss", log=True),
        "The training loss",
        " (objectives differ in their negatives, so their losses do not compare)",
    ),
    "similarities": (
        partial(curves, lines=LINES["similarities"], ylabel="mean cosine in a batch"),
        "Mean cosines of pairs in a training batch",
        MIXED,
    ),
    "gradient_norm": (
        partial(curves, lines=LINES["gradient_norm"], ylabel="norm of ∂loss/∂embeddings", log=True),
        "The gradient that reaches the embeddings",
        "",
    ),
    "softmax_weights": (
        partial(curves, lines=LINES["softmax_weights"], ylabel="share of the softmax", log=True),
        "Where the softmax puts its weight",
        " (columns that are set to 0 count as other mixes)",
    ),
    "spread": (spread, "Alignment and uniformity along training", ", from the square to the large dot"),
}


def draw_figure(name: str, traces: Sequence[Trace]) -> tuple[Figure, str] | None:
    """Return a figure of `PLOTS` by name, with its caption; None if the traces hold no values for it."""
    draw, title, more = PLOTS[name]
    with matplotlib.rc_context(STYLE):
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        if not draw(axes, traces):
            return None
        rows = _legend(figure, *axes.get_legend_handles_labels())
        figure.set_size_inches(WIDTH, PLOT_HEIGHT + LEGEND_ROW * rows)
    banded = name != "spread" and any(len(trace.logs) > 1 for trace in traces)
    return figure, title + more + BANDS * banded


def draw_overview(traces: Sequence[Trace]) -> Figure | None:
    """Return all of `PLOTS` for which the traces hold values, in one figure; None without any."""
    with matplotlib.rc_context(STYLE):
        trial = Figure()
        drawn = [(draw, title) for draw, title, _ in PLOTS.values() if draw(trial.add_subplot(), traces)]
        if not drawn:
            return None
        columns = min(3, len(drawn))
        rows = -(-len(drawn) // columns)
        figure = Figure(figsize=(WIDTH * columns, (PLOT_HEIGHT + 0.5) * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).flat
        for axes, (draw, title) in zip(panels, drawn, strict=False):
            draw(axes, traces)
            axes.set_title(title, loc="left")
            handles, labels = axes.get_legend_handles_labels()
            if len(labels) > 1:
                axes.legend(handles, labels)
        for axes in list(panels):
            axes.set_visible(False)
    return figure


def save_overview(history: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the log of one run into a PNG, which replaces `path` once it is complete; without values there is none."""
    figure = draw_overview([Trace("this run", [log_of(history)])])
    if figure is not None:
        with matplotlib.rc_context(STYLE), moved_when_written(path) as file:
            figure.savefig(file, format="png", dpi=160)


def svg_of(figure: Figure, name: str) -> str:
    """Return a figure as SVG text; the same figure and name give the same text."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _legend(figure: Figure, handles: list[Any], labels: list[str]) -> int:
    """Put a legend below the axes and return its number of rows."""
    if len(labels) < 2:
        return 0
    columns = 3 if max(map(len, labels)) < 16 else 2 if max(map(len, labels)) < 32 else 1
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=2.2, columnspacing=1.2)
    return -(-len(labels) // columns)
