"""What scaling.py measured, as tables and as a figure."""

from collections.abc import Sequence
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


def tables(results: Row) -> list[str]:
    """A line about the machine, and a table for each part that was measured."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "torch", "transformers", "datasets"))
    lines = [f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; {versions}"]
    if rows := results.get("corpus"):
        lines += ["corpus: reading and tokenising", _loading(rows)]
        lines += ["corpus: 50 steps of a tiny BERT, batch 64, 1 thread", _training(rows)]
    if rows := results.get("batch"):
        cells = [[row["batch"], row["how"], row.get("step_seconds"), _whole(row, "peak_mb")] for row in rows]
        lines += ["batch: the demo's encoder", table(["batch", "encoded", "s a step", "peak MB"], *cells)]
    if rows := results.get("processes"):
        cells = [[row["processes"], row.get("step_seconds"), _whole(row, "peak_mb")] for row in rows]
        lines += ["processes: the demo's encoder, batch 64, 1 thread each"]
        lines += [table(["processes", "s a step", "peak MB of one"], *cells)]
    return lines


def draw(results: Row, path: str | Path) -> None:
    """A panel for each part that was measured."""
    panels = {"corpus": _corpus_panel, "batch": _batch_panel, "processes": _processes_panel}
    parts = [part for part in panels if results.get(part)]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(0.8 * WIDTH * len(parts), PLOT_HEIGHT + 0.25), layout="constrained")
        for axes, part in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
            panels[part](axes, results[part])
            if axes.lines:
                axes.legend()
        figure.savefig(path, dpi=150)


def _loading(rows: Sequence[Row]) -> str:
    loads = [row for row in rows if "seconds" in row]
    columns = ["lines", "from", "processes", "s", "lines/s", "MB before", "peak MB"]
    cells = [
        [
            f"{row['lines']:,}",
            "cache" if row["what"] == "cached load" else "nothing",
            row["workers"],
            row["seconds"],
            f"{row['lines'] / row['seconds']:,.0f}",
            *(_whole(row, name) for name in ("before_mb", "peak_mb")),
        ]
        for row in loads
    ]
    return table(columns, *cells)


def _training(rows: Sequence[Row]) -> str:
    names = ("before_mb", "peak_mb")
    cells = [
        [
            f"{row['lines']:,}",
            row["first_step_after"],
            1000 * row["step_seconds"],
            *(_whole(row, name) for name in names),
        ]
        for row in rows
        if row["what"] == "training"
    ]
    return table(["lines", "first step after s", "ms a step", "MB before", "peak MB"], *cells)


def _whole(row: Row, name: str) -> str | None:
    return f"{row[name]:,.0f}" if name in row else None


def _corpus_panel(axes: Axes, rows: Sequence[Row]) -> None:
    kinds: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if "seconds" in row:
            kinds.setdefault((row["what"], row["workers"]), []).append(row)
    for ((what, workers), chosen), color in zip(kinds.items(), cycle(SERIES), strict=False):
        label = "from the cache" if what == "cached load" else f"{workers} process{'es' * (workers > 1)}"
        axes.plot(*_points(chosen, "lines", "seconds"), color=color, marker="o", markersize=4, label=label)
    if kinds:
        lines, seconds = _points(next(iter(kinds.values())), "lines", "seconds")
        last = lines.index(max(lines))
        linear = [seconds[last] * n / lines[last] for n in lines]
        axes.plot(lines, linear, "--", color=MUTED, linewidth=1, label="proportional")
    axes.set(xscale="log", yscale="log", xlabel="lines", ylabel="seconds")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.set_title("Reading and tokenising", loc="left")


def _batch_panel(axes: Axes, rows: Sequence[Row]) -> None:
    for how, color in (("direct", SERIES[1]), ("replayed", SERIES[0])):
        batches, megabytes = _points([row for row in rows if row["how"] == how], "batch", "peak_mb")
        axes.plot(batches, [mb / 1000 for mb in megabytes], color=color, marker="o", markersize=4, label=how)
    axes.set_xscale("log", base=2)
    _ticks(axes, sorted({row["batch"] for row in rows}))
    axes.set_ylim(bottom=0)
    axes.set(xlabel="sentences in a batch", ylabel="peak memory, GB")
    axes.set_title("Memory of a step", loc="left")


def _processes_panel(axes: Axes, rows: Sequence[Row]) -> None:
    counts, seconds = _points(rows, "processes", "step_seconds")
    axes.plot(counts, seconds, color=SERIES[0], marker="o", markersize=4, label="measured")
    if counts:
        ideal = [seconds[0] * counts[0] / count for count in counts]
        axes.plot(counts, ideal, "--", color=MUTED, linewidth=1, label="shared evenly")
    _ticks(axes, [row["processes"] for row in rows])
    axes.set_ylim(bottom=0)
    axes.set(xlabel="processes of one thread", ylabel="seconds a step")
    axes.set_title("A batch of 64, shared", loc="left")


def _points(rows: Sequence[Row], x: str, y: str) -> tuple[list[float], list[float]]:
    measured = [row for row in rows if y in row]
    return [row[x] for row in measured], [row[y] for row in measured]


def _ticks(axes: Axes, values: Sequence[int]) -> None:
    axes.set_xticks(values)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
