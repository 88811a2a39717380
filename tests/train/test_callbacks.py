"""Early stopping, and callbacks of one's own."""

import itertools
import json

import pytest
from run_folder import logged, same_weights
from transformers import TrainerCallback

from mixcse.evaluate.dev import DevSets
from mixcse.train import run as training

pytestmark = pytest.mark.usefixtures("bare_runs")


@pytest.fixture()
def scored(monkeypatch):
    """From now on the dev sets score these numbers, one after the other, whatever the model."""

    def score(*scores):
        numbers = iter(scores)
        monkeypatch.setattr(DevSets, "score", lambda self, encode: {"stsb_spearman": next(numbers)})

    return score


@pytest.fixture()
def stopping(command):
    return [*command, "--max_steps", "12", "--early_stopping_patience", "2"]


def test_training_stops_when_patience_runs_out(stopping, scored, tmp_path, capsys):
    scored(0.9, 0.5, 0.4, 0.6, 0.6, 0.1)  # the untrained model's does not count
    training.main(stopping)
    out = tmp_path / "out"
    assert list(logged(out, "eval_stsb_spearman")) == [0, 2, 4, 6, 8, 10]
    said = capsys.readouterr().err
    assert "stopped early, at step 10 of 12: no better stsb_spearman for as long as patience lasts" in said
    assert "best stsb_spearman 60.00 at step 6" in said
    assert same_weights(out, out / "checkpoint-6")
    assert json.loads((out / "eval_results.json").read_text())["step"] == 6
    training.main(stopping)
    assert "this run is finished" in capsys.readouterr().err


def test_a_continued_run_counts_on(stopping, scored, killed_after, tmp_path):
    scored(0.9, 0.5, 0.4)
    killed_after(4, stopping)
    scored(0.3)
    training.main(stopping)
    assert list(logged(tmp_path / "out", "eval_stsb_spearman")) == [0, 2, 4, 6]


def test_a_run_killed_after_it_had_stopped_makes_no_more_steps(stopping, scored, tmp_path, capsys):
    scored(0.9, 0.5, 0.4, 0.3)
    training.main(stopping)
    out = tmp_path / "out"
    for name in ("train_results.json", "model.safetensors"):
        (out / name).unlink()
    capsys.readouterr()
    training.main(stopping)
    assert "stopped early, at step 6 of 12: no better stsb_spearman" in capsys.readouterr().err
    assert list(logged(out, "eval_stsb_spearman")) == [0, 2, 4, 6]
    assert same_weights(out, out / "checkpoint-2")


def test_a_gain_within_the_threshold_is_none(stopping, scored, tmp_path):
    scored(0.9, *itertools.accumulate([0.5] + [0.01] * 5))
    training.main([*stopping, "--early_stopping_threshold", "0.05"])
    assert list(logged(tmp_path / "out", "eval_stsb_spearman")) == [0, 2, 4, 6]


class StopsAt(TrainerCallback):
    def __init__(self, step):
        self.step, self.seen = step, []

    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = state.global_step == self.step

    def on_log(self, args, state, control, logs, **_):
        self.seen += [name for name in logs if name == "positive_similarity"]


def test_callbacks_of_ones_own(command, tmp_path, capsys):
    callback = StopsAt(3)
    blind = command[: command.index("--do_eval")]
    training.main([*blind, "--logging_steps", "1", "--early_stopping_threshold", "1"], callbacks=[callback])
    said = capsys.readouterr().err
    assert "stopped early, at step 3 of 6: a callback asked for it" in said
    assert "warning: --early_stopping_threshold does nothing without --early_stopping_patience" in said
    assert len(callback.seen) == 3
    assert list(logged(tmp_path / "out", "loss")) == [1, 2, 3]
