"""Figures and numbers of the docs are those of the code and of the records."""

import re
import runpy
from xml.etree import ElementTree

import pytest
import torch
from doc_pages import ROOT

from mixcse.objective import logit_blocks

FIGURE = ROOT / "docs/figures/mixed_negatives.svg"


def test_the_figure_shows_the_zeros_where_they_are(tmp_path):
    script = runpy.run_path(str(ROOT / "docs/figures/mixed_negatives.py"))
    rows = script["ROWS"]
    z = torch.randn(rows, 2, 8, generator=torch.Generator().manual_seed(0))
    for number, logits in enumerate(logit_blocks(z).values()):
        kinds = [[script["kind_of"](number, i, j) for j in range(rows)] for i in range(rows)]
        assert [[kind == "zero" for kind in row] for row in kinds] == (logits == 0).tolist()
    script["main"](tmp_path / "drawn.svg")
    drawn, kept = (ElementTree.parse(path).getroot() for path in (tmp_path / "drawn.svg", FIGURE))
    parts = [[part.get("id") for part in root.iter() if "_" in part.get("id", "")] for root in (drawn, kept)]
    assert parts[0] == parts[1], "draw it again: python docs/figures/mixed_negatives.py"


@pytest.mark.parametrize("page", ["docs/findings.md", "docs/reproducing.md", "README.md"])
def test_what_was_found_is_what_the_records_say(page):
    """Differences with their intervals, and means with their deviations, as the report has them."""
    numbers = re.findall(r"[+-]\d\.\d\d \[[^]]+\]|\d\d\.\d\d ± \d\.\d\d", (ROOT / page).read_text())
    report = (ROOT / "results/report.md").read_text()
    assert len(numbers) > 4
    assert [number for number in numbers if number not in report] == []


def test_the_figure_of_pull_and_push_is_of_the_records(tmp_path):
    runpy.run_path(str(ROOT / "docs/figures/pull_push.py"))["main"](tmp_path / "drawn.svg")
    figures = (tmp_path / "drawn.svg", ROOT / "docs/figures/pull_push.svg")
    drawn, kept = (re.findall(r"<text[^>]*>([^<]+)<", path.read_text()) for path in figures)
    assert len(drawn) > 20
    assert drawn == kept, "draw it again: python docs/figures/pull_push.py"
