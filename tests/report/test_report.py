"""Figures, and the curves that a training run draws."""

from xml.etree import ElementTree

import pytest
from run_folder import HISTORY

from mixcse.report.figures import PLOTS, draw_figure, draw_overview, svg_of
from mixcse.report.traces import Trace, log_of, log_of_tables, tables_of
from mixcse.train import run as training

CURVES = "![curves](curves.png)"


def test_a_run_leaves_its_curves_and_its_card_shows_them(command, tmp_path, capsys):
    training.main(command)
    curves, card = tmp_path / "out" / "curves.png", tmp_path / "out" / "README.md"
    assert curves.read_bytes().startswith(b"\x89PNG")
    assert CURVES in card.read_text()
    assert f"curves of the run: {curves}" in capsys.readouterr().err


def test_a_run_that_logs_nothing_has_no_curves(command, tmp_path):
    training.main([*command[: command.index("--do_eval")], "--logging_strategy", "no"])
    assert not (tmp_path / "out" / "curves.png").exists()
    assert CURVES not in (tmp_path / "out" / "README.md").read_text()


def test_curves_are_means_and_bands_over_runs():
    log = log_of(HISTORY)
    curve = Trace("both", [log, {"loss": {1: log["loss"][1] + 0.2}}]).curve("loss")
    assert curve.steps.tolist() == [1]  # where both have it
    assert (curve.mean.tolist(), curve.low.tolist(), curve.high.tolist()) == ([1.0], [0.9], [1.1])
    assert Trace("none", [log]).curve("mixed_similarity") is None


def test_a_log_is_written_and_read():
    history = [*HISTORY, {"step": 2, "train_runtime": 3.0}, {"step": 3, "loss": 1 / 3, "learning_rate": 1.0}]
    log = log_of(history)
    assert set(log) == {name for entry in HISTORY for name in entry} - {"step"}
    tables = tables_of(log)
    assert [table["step"] for table in tables] == [[0, 2], [1, 2, 3], [1, 2]]
    assert log_of_tables(tables) == log | {"loss": {1: 0.9, 2: 0.5, 3: 0.333333}}


@pytest.mark.parametrize("name", PLOTS)
def test_figures_without_data_are_left_out(name):
    assert draw_figure(name, [Trace("empty", [{}])]) is None
    assert draw_overview([Trace("empty", [{}])]) is None


def test_the_same_traces_give_the_same_svg():
    log = log_of(HISTORY)
    traces = [Trace("SimCSE <b>", [log]), Trace("MixCSE", [log, log])]
    for name in ("dev_score", "loss", "similarities", "softmax_weights", "spread"):
        one, two = (svg_of(draw_figure(name, traces)[0], name) for _ in range(2))
        assert one == two
        ElementTree.fromstring(one)
