"""Draws mixed_negatives.svg: where a mixed negative lies, and the logits that the released objective has.

python docs/figures/mixed_negatives.py
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Circle, Rectangle

LAM = 0.25  # near the released recipe's 0.2, and easier to see
ROWS = 6  # of the toy batch
MIX = "$\\lambda h'_i + (1-\\lambda)\\,h'_j$"
ANCHOR, POSITIVE, NEGATIVE = 62.0, 36.0, 158.0  # degrees on the circle
EASY = (197, 214, 233, 251, 276, 299, 324)
INK, QUIET, FAINT = "#1f2937", "#6b7280", "#d1d5db"
GREEN, ORANGE, PURPLE, LILAC, GREY = "#15803d", "#c2410c", "#7c3aed", "#d9ccfb", "#e8eaee"


def main(path: Path) -> None:
    """Writes the figure; the same bytes each time, with one version of matplotlib."""
    with mpl.rc_context({"svg.hashsalt": "mixcse", "mathtext.fontset": "cm", "font.size": 10.5, "text.color": INK}):
        figure = Figure(figsize=(13, 5.6), facecolor="white")
        draw_circle(figure.add_axes((0.01, 0.03, 0.36, 0.84)))
        draw_matrix(figure.add_axes((0.395, 0.03, 0.595, 0.84)))
        for x, title in (
            (0.022, "A mixed negative stays close to the anchor"),
            (0.413, "The logits of the released objective, for 6 sentences"),
        ):
            figure.text(x, 0.925, title, weight="bold", size=12.5)
        figure.savefig(path, metadata={"Date": None})


def draw_circle(axes: Axes) -> None:
    """The unit circle: anchor, positive, one negative, their mix, and easy negatives."""
    axes.set_xlim(-1.5, 1.5)
    axes.set_ylim(-1.52, 1.5)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=FAINT, linewidth=1.4))
    axes.plot(0, 0, ".", color=QUIET)
    for angle in EASY:
        axes.plot(*at(angle), "o", color="#b6bcc6", markersize=6.5)
    axes.text(0, -1.2, "most negatives are soon far away,\nand push no more", ha="center", va="top", color=QUIET)

    anchor, positive, negative = at(ANCHOR), at(POSITIVE), at(NEGATIVE)
    mix = LAM * positive + (1 - LAM) * negative
    mixed = mix / np.linalg.norm(mix)
    axes.plot(*zip(positive, negative, strict=True), color=PURPLE, linewidth=1.6, linestyle=(0, (4, 2.5)))
    for point, color in ((anchor, INK), (negative, ORANGE), (mixed, PURPLE)):
        axes.plot([0, point[0]], [0, point[1]], color=color, linewidth=1.1, alpha=0.5)
    for radius, point, color in ((0.18, negative, ORANGE), (0.26, mixed, PURPLE)):
        arc = Arc((0, 0), 2 * radius, 2 * radius, theta1=ANCHOR, theta2=degrees(point), color=color, linewidth=1.8)
        axes.add_patch(arc)
    axes.plot(*mix, "D", markersize=6, markerfacecolor="white", markeredgecolor=PURPLE, markeredgewidth=1.6)
    for point, color in ((anchor, INK), (positive, GREEN), (negative, ORANGE), (mixed, PURPLE)):
        axes.plot(*point, "o", color=color, markersize=10, markeredgecolor="white", markeredgewidth=1.2)

    axes.text(*(1.1 * anchor), "anchor  $h_i$", ha="left", va="bottom")
    axes.text(*(1.12 * positive), "positive\n$h'_i$", color=GREEN, ha="left", va="center")
    axes.text(*(1.12 * negative), "negative\n$h'_j$", color=ORANGE, ha="right", va="center")
    axes.text(-0.66, 0.98, f"mixed negative  $m_i$\n{MIX}", color=PURPLE, ha="center", va="bottom", linespacing=1.5)
    axes.text(*((negative + mix) / 2 + (0, 0.05)), r"$\lambda$", color=PURPLE, ha="center", va="bottom")
    axes.text(*((mix + positive) / 2 + (-0.05, 0.06)), r"$1-\lambda$", color=PURPLE, ha="center", va="bottom")


def draw_matrix(axes: Axes) -> None:
    """The N x 3N logits by blocks, a colour for what an entry compares, and the zeroed diagonals."""
    gap, top = 0.9, ROWS
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_xlim(-1.35, 3 * ROWS + 2 * gap + 0.1)
    axes.set_ylim(-4.6, ROWS + 2.5)
    titles = (
        ("in-batch", r"$\cos(z_i,\ z'_j)\,/\,\tau$"),
        ("mixed second views", r"$\cos(z_i,\ \lambda z'_j+(1-\lambda)z'_{j+1})\,/\,\tau$"),
        ("mixed first views", r"$\cos(\lambda z_i+(1-\lambda)z_{i+1},\ z'_j)\,/\,\tau$"),
    )
    for block, (title, formula) in enumerate(titles):
        left = block * (ROWS + gap)
        axes.text(left + ROWS / 2, -0.62, "$j$", ha="center", va="center", color=QUIET)
        axes.text(left + ROWS / 2, top + 1.4, title, ha="center", weight="bold")
        axes.text(left + ROWS / 2, top + 0.42, formula, ha="center")
        for i in range(ROWS):
            for j in range(ROWS):
                draw_entry(axes, left + j, top - 1 - i, kind_of(block, i, j))
    axes.text(-0.35, ROWS / 2, "sentence $i$", rotation=90, ha="center", va="center", color=QUIET)
    draw_legend(axes)


KINDS = {
    "positive": (GREEN, "the positive: the label of its row"),
    "negative": (GREY, "other sentences"),
    "own": (PURPLE, "mix with $\\lambda$ of the other view"),
    "other": (LILAC, "mixes of two other sentences"),
    "zero": ("white", "mix with $1-\\lambda$ of the other view: no negative, so its logit is set to 0"),
}


def kind_of(block: int, i: int, j: int) -> str:
    """What entry (i, j) of a block compares: a key of KINDS."""
    if block == 0:
        return "positive" if i == j else "negative"
    zeroed = (i - 1) % ROWS if block == 1 else (i + 1) % ROWS
    return "own" if i == j else "zero" if j == zeroed else "other"


def draw_entry(axes: Axes, x: float, y: float, kind: str) -> None:
    color, edge = KINDS[kind][0], "#9ca3af" if kind == "zero" else "white"
    inset = 0.05 if kind == "zero" else 0.0
    axes.add_patch(
        Rectangle((x + inset, y + inset), 1 - 2 * inset, 1 - 2 * inset, facecolor=color, edgecolor=edge, linewidth=1.1)
    )
    if kind == "zero":
        axes.text(x + 0.5, y + 0.47, "0", ha="center", va="center", size=9.5, color=INK)


def draw_legend(axes: Axes) -> None:
    for number, kind in enumerate(("positive", "own", "zero", "negative", "other")):
        x, y = 9.7 * (number // 3), -2.1 - 1.2 * (number % 3)
        draw_entry(axes, x, y, kind)
        axes.text(x + 1.35, y + 0.47, KINDS[kind][1], va="center")


def at(angle: float) -> np.ndarray:
    """The point of the unit circle at an angle in degrees."""
    return np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])


def degrees(point: np.ndarray) -> float:
    return float(np.degrees(np.arctan2(point[1], point[0])))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))
