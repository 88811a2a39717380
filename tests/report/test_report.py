"""Figures and pages: what a run shows of itself."""

import json
import re

import pytest
from page_elements import COUNTS, HISTORY, check_page

from mixcse.report.figures import PLOTS, SERIES, draw_figure, draw_overview
from mixcse.report.pages import inline_svg
from mixcse.report.traces import Trace
from mixcse.train import run as training
from mixcse.train.page import write_run_report


def test_a_run_leaves_a_page_and_a_picture(command, tmp_path):
    training.main(command)
    out = tmp_path / "out"
    text = (out / "report.html").read_text()
    check_page(text)
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    kept = json.loads((out / "eval_results.json").read_text())
    assert f"{100 * kept['eval_stsb_spearman']:.2f}" in text
    assert text.count("<svg") == len(PLOTS) + 1
    before = text, (out / "curves.png").read_bytes()
    write_run_report(out)
    assert ((out / "report.html").read_text(), (out / "curves.png").read_bytes()) == before


def test_without_dev_scores_there_is_still_a_page(command, tmp_path):
    options = command[: command.index("--do_eval")]
    training.main([*options, "--logging_steps", "2"])
    text = (tmp_path / "out" / "report.html").read_text()
    check_page(text)
    assert "No dev set was scored" in text


def test_a_page_that_cannot_be_drawn_costs_nothing_else(command, tmp_path, monkeypatch, capsys):
    def fails(folder):
        raise RuntimeError("no font\nat all")

    monkeypatch.setattr("mixcse.train.page.write_run_report", fails)
    training.main(command)
    assert (tmp_path / "out" / "train_results.json").exists()
    assert "has no report.html: RuntimeError: no font" in capsys.readouterr().err


def test_curves_are_means_and_bands_over_runs():
    other = [entry | ({"loss": entry["loss"] + 0.2} if "loss" in entry else {}) for entry in HISTORY]
    curve = Trace("both", [HISTORY, other[:-2]]).curve("loss")
    assert curve.steps.tolist() == [1]  # where both have it
    assert (curve.mean.tolist(), curve.low.tolist(), curve.high.tolist()) == ([1.0], [0.9], [1.1])
    assert Trace("none", [HISTORY]).curve("mixed_similarity") is None


def test_histograms_are_shares_over_runs():
    trace = Trace("one", [HISTORY], [{"trained": COUNTS}, {"trained": COUNTS | {"positive": [0, 0, 4, 0]}}])
    assert trace.histogram("trained", "positive").tolist() == [0, 0, 5 / 8, 3 / 8]
    assert trace.histogram("untrained", "positive") is None


@pytest.mark.parametrize("name", [*PLOTS, "cosines"])
def test_figures_without_data_are_left_out(name):
    assert draw_figure(name, [Trace("empty", [[]])]) is None
    assert draw_overview([Trace("empty", [[]])]) is None


def test_figures_follow_the_readers_colours_and_are_the_same_twice():
    cosines = [{"untrained": COUNTS, "trained": COUNTS}]
    traces = [Trace("SimCSE <b>", [HISTORY], cosines), Trace("MixCSE", [HISTORY, HISTORY], cosines * 2)]
    for name in ("dev_score", "loss", "similarities", "softmax_weights", "spread", "cosines"):
        one, two = (inline_svg(draw_figure(name, traces)[0], name, "a <caption>") for _ in range(2))
        assert one == two
        assert f"var(--series-1, {SERIES[0]})" in one
        assert not re.search(rf"(?<!, ){SERIES[0]}", one)  # no colour is left fixed
        assert 'aria-label="a &lt;caption&gt;"' in one
        assert "<b>" not in one
        check_page(one)
