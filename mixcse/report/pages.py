"""Figures to SVG that follows the reader's colours; templates to pages."""

import io
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from mixcse.report.figures import GRID, INK, MUTED, SERIES, STYLE

# Colours of the figures -> variables that the pages' style sheet sets, light and dark.
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid"} | {
    color: f"--series-{number}" for number, color in enumerate(SERIES, 1)
}


@dataclass
class Shown:
    """A figure with its caption: inside a page, and as a file beside one."""

    caption: str
    svg: Markup
    file: str
    content: str


def show(figure: Figure, caption: str, name: str, folder: str) -> Shown:
    """A figure both ways; `name` must be its own in the page."""
    return Shown(
        caption, inline_svg(figure, name, caption), f"{folder}/{name}.svg", _svg(figure, name, transparent=False)
    )


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """An `<svg>` element for a page; the same figure gives the same text."""
    svg = _svg(figure, name, transparent=True)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same in every figure, and used by none
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f"var({variable}, {color})")
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    svg = svg.replace(size.group(0), "", 1)
    label = str(Markup.escape(description))
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def page(template: str, **values: Any) -> str:
    """A page from `templates/`; in HTML, everything that is shown is escaped."""
    return _environment().get_template(template).render(**values)


def _svg(figure: Figure, name: str, *, transparent: bool) -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=transparent)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("mixcse.report"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
