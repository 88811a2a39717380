"""What scaling.py measured, as tables and as a figure."""

from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

from mixcse.evaluate.tables import table
from mixcse.report.figures import MUTED, PLOT_HEIGHT, SERIES, STYLE, WIDTH

Row = dict[str, Any]
# Of each part: its figure's title, x and y.
PANELS = {
    "corpus": ("Reading and tokenising", "lines", "seconds"),
    "batch": ("Memory of a step", "sentences in a batch", "peak memory, GB"),
    "processes": ("A batch of 64, shared", "processes of one thread", "seconds a step"),
}


def tables(results: Row) -> list[str]:
    """A line about the machine, and tables of the parts that were measured."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "torch", "transformers", "datasets"))
    lines = [f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; {versions}"]
    if rows := results.get("corpus"):
        loads = [
            [f"{row['lines']:,}", "cache" if row["what"] == "cached load" else "nothing", row["workers"]]
            + [row["seconds"], f"{row['lines'] / row['seconds']:,.0f}", *_megabytes(row, "before_mb", "peak_mb")]
            for row in rows
            if "seconds" in row
        ]
        runs = [
            [f"{row['lines']:,}", row["first_step_after"], 1000 * row["step_seconds"]]
            + _megabytes(row, "before_mb", "peak_mb")
            for row in rows
            if row["what"] == "training"
        ]
        heads = ["lines", "from", "processes", "s", "lines/s", "MB before", "peak MB"]
        lines += ["corpus: reading and tokenising", table(heads, *loads)]
        lines += ["corpus: 50 steps of a tiny BERT, batch 64, 1 thread"]
        lines += [table(["lines", "first step after s", "ms a step", "MB before", "peak MB"], *runs)]
    if rows := results.get("batch"):
        cells = [[row["batch"], row["how"], row.get("step_seconds"), *_megabytes(row, "peak_mb")] for row in rows]
        lines += ["batch: the demo's encoder", table(["batch", "encoded", "s a step", "peak MB"], *cells)]
    if rows := results.get("processes"):
        cells = [[row["processes"], row.get("step_seconds"), *_megabytes(row, "peak_mb")] for row in rows]
        lines += ["processes: the demo's encoder, batch 64, 1 thread each"]
        lines += [table(["processes", "s a step", "peak MB of one"], *cells)]
    return lines


def _megabytes(row: Row, *names: str) -> list[str | None]:
    return [f"{row[name]:,.0f}" if name in row else None for name in names]


def draw(results: Row, path: str | Path) -> None:
    """A panel for each part that was measured."""
    parts = [part for part in PANELS if results.get(part)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(0.8 * WIDTH * len(parts), PLOT_HEIGHT + 0.25), layout="constrained")
        for axes, part in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
            _panel(axes, part, results[part])
        figure.savefig(path, dpi=150)


def _panel(axes: Axes, part: str, rows: list[Row]) -> None:
    lines: dict[str, dict[int, float]] = {}  # y by x, by label
    for label, x, y in filter(None, (_point(part, row) for row in rows)):
        lines.setdefault(label, {})[x] = y
    for (label, points), color in zip(lines.items(), cycle(SERIES), strict=False):
        axes.plot(list(points), list(points.values()), color=color, marker="o", markersize=4, label=label)
    first = next(iter(lines.values()), {})
    xs = list(first)
    if first and part == "corpus":
        proportional = [first[max(xs)] * x / max(xs) for x in xs]
        axes.plot(xs, proportional, "--", color=MUTED, linewidth=1, label="proportional")
    if first and part == "processes":
        axes.plot(xs, [first[xs[0]] * xs[0] / x for x in xs], "--", color=MUTED, linewidth=1, label="shared evenly")
    title, x_label, y_label = PANELS[part]
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.set_title(title, loc="left")
    if part == "corpus":
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({row[part] for row in rows}))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(bottom=0)
    if lines:
        axes.legend()


def _point(part: str, row: Row) -> tuple[str, int, float] | None:
    """A measurement's line, x and y, if it is one of the figure's."""
    if part == "corpus" and "seconds" in row:
        of_processes = f"{row['workers']} process{'es' * (row['workers'] > 1)}"
        return "from the cache" if row["what"] == "cached load" else of_processes, row["lines"], row["seconds"]
    if part == "batch" and "peak_mb" in row:
        return row["how"], row["batch"], row["peak_mb"] / 1000
    if part == "processes" and "step_seconds" in row:
        return "measured", row["processes"], row["step_seconds"]
    return None
