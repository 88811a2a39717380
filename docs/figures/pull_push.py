"""Draws pull_push.svg from the records in results/: pull and push along training, and the gain by their ratio.

python docs/figures/pull_push.py
"""

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixcse.report.traces import Trace
from mixcse.reproduce.parts import Part
from mixcse.reproduce.report import make_sections

RESULTS = Path(__file__).parents[2] / "results"
INK, QUIET = "#1f2937", "#6b7280"
DRAWN = {  # arm: colour, what the curve is called
    "SimCSE": ("#2f6fd0", "SimCSE"),
    "released, nothing mixed": ("#d9622b", "released blocks, nothing mixed"),
    "SimCSE + 1 detached": ("#16916b", "SimCSE + 1 detached copy"),
}
NAMED = {  # arm: its name in the plane, and where that stands from its point, in points
    "SimCSE": ("SimCSE", (-8, -4), "right"),
    "SimCSE, negatives counted 3 times": ("negatives 3 times", (9, -5), "left"),
    "released, no stop-gradient": ("released, no stop-gradient", (9, -5), "left"),
    "nothing mixed, no stop-gradient": ("nothing mixed, no stop-gradient", (9, 0), "left"),
    "nothing mixed, second views' block alone": ("second views' block", (9, -4), "left"),
    "nothing mixed, first views' block alone": ("first views' block", (-9, -4), "right"),
    "released, nothing mixed": ("nothing mixed", (-6, 10), "right"),
    "released": ("released", (9, -3), "left"),
    "SimCSE + 0.5 detached": ("0.5 detached", (6, -19), "left"),
    "SimCSE + 1 detached": ("1 detached", (9, -4), "left"),
    "SimCSE + 2 detached": ("2 detached", (-9, -2), "right"),
}


def main(path: Path) -> None:
    """Writes the figure; the same bytes each time, with one version of matplotlib."""
    (section,) = make_sections(RESULTS / "demo" / "wiki1m_first_12k", RESULTS)
    part = next(part for part in section.parts if part.experiment.name == "gain")
    traces = {trace.label: trace for trace in part.traces}
    look = {"svg.hashsalt": "mixcse", "font.size": 9, "text.color": INK, "axes.grid": True, "grid.color": "#dfe3e8"}
    with mpl.rc_context(look | {"axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none"}):
        figure = Figure(figsize=(10, 4), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2)
        draw_curves(left, traces)
        draw_plane(right, part, traces)
        figure.savefig(path, metadata={"Date": None})


def draw_curves(axes: Axes, traces: dict[str, Trace]) -> None:
    """Pull and push of some arms, by step; means over seeds."""
    for arm, (color, name) in DRAWN.items():
        for signal, style in (("pull", "-"), ("push", "--")):
            curve = traces[arm].curve(signal)
            axes.plot(curve.steps, curve.mean, style, color=color, label=name if signal == "pull" else None)
    for signal, style in (("pull", "-"), ("push", "--")):
        axes.plot([], [], style, color=QUIET, label=signal)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_title("What pulls two views together, and what pushes sentences apart", loc="left", size=9)
    axes.legend(frameon=False)


def draw_plane(axes: Axes, part: Part, traces: dict[str, Trace]) -> None:
    """The gain over SimCSE by the ratio of pull to push in the last third of training."""
    for arm, (name, offset, side) in NAMED.items():
        pull, push = (sum(traces[arm].late_means(signal)) for signal in ("pull", "push"))
        gain = part.comparisons.get(f"{arm} − SimCSE")
        height = gain.difference if gain else 0.0
        if gain:
            axes.plot([pull / push] * 2, gain.interval, color=QUIET, linewidth=1)
        axes.plot(pull / push, height, "o", color=DRAWN.get(arm, (QUIET,))[0], markersize=6)
        axes.annotate(name, (pull / push, height), offset, textcoords="offset points", ha=side, size=8)
    axes.set_xlim(0.6, 3.2)
    axes.set_xlabel("pull over push, last third of training")
    axes.set_title("Gain over SimCSE, average of seven STS tasks", loc="left", size=9)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))
