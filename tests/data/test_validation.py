"""What selects: scored pairs of one's own, and the loss of held-out sentences where there are none."""

import csv
import gzip
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from run_folder import logged, same_weights

from mixcse.base.errors import UserError
from mixcse.data.pairs import read_own_pairs
from mixcse.data.rows import hold_out
from mixcse.evaluate import command as evaluation
from mixcse.objective import contrastive_loss
from mixcse.train import run as training
from mixcse.train.measure import Measures
from mixcse.train.parsing import parse_training_arguments
from mixcse.train.trainer import MixCSETrainer

PAIRS = [("the cat sat", "a cat sat", 4.5), ("the cat", "the river", 0.5), ("a dog, \u00fc", "the dog ran", 3.0)]
NAMES = ("sentence1", "sentence2", "score")


def write_pairs(path, rows=PAIRS, names=NAMES):
    if path.suffix in (".csv", ".tsv"):
        text = io.StringIO()
        csv.writer(text, delimiter="," if path.suffix == ".csv" else "\t").writerows([names, *rows])
        path.write_text(text.getvalue())
        return path
    records = [dict(zip(names, row, strict=True)) for row in rows]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        path.write_text(json.dumps(records) if path.suffix == ".json" else "\n".join(map(json.dumps, records)))
    return path


def as_set(pairs):
    return set(zip(pairs.first, pairs.second, pairs.scores.tolist(), strict=True))


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".json", ".jsonl", ".parquet"])
def test_every_kind_of_table(tmp_path, kind):
    assert as_set(read_own_pairs(write_pairs(tmp_path / f"a{kind}"))) == set(PAIRS)


def test_columns_are_found_by_name(tmp_path):
    rows = [(index, score, second, first) for index, (first, second, score) in enumerate(PAIRS)]
    named = write_pairs(tmp_path / "named.csv", rows, ("id", "Label", "Sentence2", "sentence1"))
    compressed = tmp_path / "a.csv.gz"
    compressed.write_bytes(gzip.compress(named.read_bytes()))
    for path in (named, compressed):
        assert as_set(read_own_pairs(path)) == set(PAIRS)


def test_sts_benchmarks_layout_is_known_by_its_first_line(tmp_path):
    path = tmp_path / "sts-dev.csv"
    path.write_text("".join(f"news\tx\t0\t{i}\t{s}\t{a}\t{b}\n" for i, (a, b, s) in enumerate(PAIRS)))
    assert as_set(read_own_pairs(path)) == set(PAIRS)
    bare = path.rename(tmp_path / "pairs")
    assert as_set(read_own_pairs(bare)) == set(PAIRS)


def test_sts_benchmarks_layout_on_another_scale_is_said(tmp_path, capsys):
    path = tmp_path / "sts-dev.tsv"
    path.write_text("".join(f"news\tx\t0\t{i}\t{s / 5}\t{a}\t{b}\n" for i, (a, b, s) in enumerate(PAIRS)))
    read_own_pairs(path)
    assert "its scores are 0.1 to 0.9, where this layout has 0 to 5" in capsys.readouterr().err


def test_marks_in_a_tsv_of_pairs_are_text(tmp_path):
    """As in GLUE's and KorSTS's files."""
    rows = ['0\tx\t" the grass grows\tgrass .\t1.2', '1\tx\ta dog\tthe 5" nail\t0.2', "2\tx\ta\tb\t4.4"]
    (tmp_path / "dev.tsv").write_text("\n".join(["index\tgenre\tsentence1\tsentence2\tscore", *rows]) + "\n")
    pairs = read_own_pairs(tmp_path / "dev.tsv")
    assert len(pairs) == 3 and 'the 5" nail' in pairs.second and '" the grass grows' in pairs.first


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0, 1, 1], [0, 5, 5]),
        ([-1, 0, 1], [0, 2.5, 5]),
        ([0, 1, 2], [0, 2.5, 5]),
        ([1, 2, 3], [0, 2.5, 5]),
        ([0, 50, 100], [0, 2.5, 5]),
        ([1, 3, 5], [1, 3, 5]),
    ],
)
def test_any_scale_is_brought_to_that_of_alignment(tmp_path, scores, expected, capsys):
    rows = [(first, second, score) for (first, second, _), score in zip(PAIRS, scores, strict=True)]
    pairs = read_own_pairs(write_pairs(tmp_path / "a.json", rows))
    said = f"its scores, {min(scores)} to {max(scores)}, are brought to the scale of 0 to 5"
    assert (said in capsys.readouterr().err) == (scores != expected)
    given = {first: score for (first, _, _), score in zip(PAIRS, expected, strict=True)}
    assert dict(zip(pairs.first, pairs.scores.tolist(), strict=True)) == given


def test_evaluation_scores_a_table(tiny_bert, tmp_path, capsys):
    table, results = write_pairs(tmp_path / "dev.jsonl"), tmp_path / "x.json"
    command = ["--model_name_or_path", str(tiny_bert), "--senteval_data", str(tmp_path), "--tasks", "--output_json"]
    evaluation.main([*command, str(results), "--validation_file", str(table)])
    assert "3 pairs" in capsys.readouterr().out
    assert json.loads(results.read_text())["own_pairs"]["nsamples"] == 3


@pytest.mark.parametrize(
    ("rows", "asked", "batch", "held"),
    [
        (64, None, 8, 8),  # a batch
        (30, None, 8, 6),  # a fifth of a small corpus
        (3000, None, 8, 24),  # one in a hundred, in whole batches
        (1000, 0.1, 8, 96),
        (1000, 200, 64, 192),
        (20, 18, 16, 16),
    ],
)
def test_how_many_are_held_out(rows, asked, batch, held):
    data = Dataset.from_dict({"row": range(rows)})
    left, out = hold_out(data, asked, batch, seed=1)
    assert len(out) == held
    assert sorted(left["row"][:] + out["row"][:]) == data["row"][:]
    assert left["row"][:] == sorted(left["row"][:])
    assert hold_out(data, asked, batch, seed=1)[1]["row"][:] == out["row"][:]
    assert hold_out(data, asked, batch, seed=2)[1]["row"][:] != out["row"][:]


@pytest.fixture()
def nowhere(command, undrawn, tmp_path):
    """A run that asks for evaluation where there is no dev data."""
    return [*command, "--senteval_data", str(tmp_path / "none")]


def test_without_a_dev_set_the_held_out_loss_selects(nowhere, tmp_path, capsys):
    training.main([*nowhere, "--learning_rate", "3e-1"])
    out, said = tmp_path / "out", capsys.readouterr().err
    assert "on 56 examples" in said
    assert "no dev set: " in said
    assert str(tmp_path / "none") in said
    assert "8 sentences are held out" in said
    assert "chosen by this loss" in said
    losses = logged(out, "eval_held_out_loss")
    assert list(losses) == [0, 2, 4, 6]
    steps = {step: loss for step, loss in losses.items() if step > 0}
    best = min(steps, key=steps.get)
    assert same_weights(out, out / f"checkpoint-{best}")
    assert f"best held_out_loss {steps[best]:.4f} at step {best}" in said
    assert ("no step beat" in said) == (losses[0] <= steps[best])
    assert json.loads((out / "eval_results.json").read_text())["eval_held_out_loss"] == steps[best]
    recorded = json.loads((out / "arguments.json").read_text())
    assert (recorded["metric_for_best_model"], recorded["greater_is_better"]) == ("held_out_loss", False)
    training.main(nowhere + ["--learning_rate", "3e-1"])
    assert "this run is finished" in capsys.readouterr().err


def test_the_held_out_loss_is_the_objective_of_rows_not_trained_on(nowhere, tmp_path, monkeypatch):
    losses, batches, looks = [], [], []
    measured, compute = Measures._each, MixCSETrainer.compute_loss

    def spy_measured(self, data, at_least, measure):
        if data is not self.held_out:
            return measured(self, data, at_least, measure)
        looks.append(self)
        z = []
        given = measured(self, data, at_least, lambda one: (z.append(one), measure(one))[1])
        losses.append((given, [contrastive_loss(one, temperature=0.05, mixing_lambda=0.2).item() for one in z]))
        return given

    def spy_compute(self, model, inputs, **keywords):
        batches.extend(tuple(row[row > 0].tolist()) for row in inputs["input_ids"].flatten(0, 1))
        return compute(self, model, inputs, **keywords)

    monkeypatch.setattr(Measures, "_each", spy_measured)
    monkeypatch.setattr(MixCSETrainer, "compute_loss", spy_compute)
    training.main([*nowhere, "--held_out", "16", "--max_steps", "2", "--eval_steps", "1"])
    assert [len(given) for given, _ in losses] == [2, 2, 2]
    assert all(given == expected for given, expected in losses)
    assert list(logged(tmp_path / "out", "eval_held_out_loss").values()) == [np.mean(given) for given, _ in losses]
    held = {tuple(group[0]) for group in looks[0].held_out["input_ids"]}
    assert len(held) == 16
    assert not held & set(batches)
    assert looks[0]._held_out_loss() == looks[0]._held_out_loss()


def test_scoring_held_out_sentences_changes_nothing(nowhere, tmp_path):
    keep = ["--load_best_model_at_end", "False", "--held_out", "8", "--output_dir"]
    training.main([*nowhere, *keep, str(tmp_path / "often"), "--eval_steps", "1"])
    training.main([*nowhere, *keep, str(tmp_path / "once"), "--eval_steps", "6"])
    assert same_weights(tmp_path / "often", tmp_path / "once")


def test_beside_dev_sets_it_is_scored_on_request_and_selects_on_request(command, tmp_path):
    training.main([*command, "--held_out", "0.2"])
    recorded = json.loads((tmp_path / "out" / "arguments.json").read_text())
    assert (recorded["metric_for_best_model"], recorded["greater_is_better"]) == ("stsb_spearman", True)
    assert list(logged(tmp_path / "out", "eval_held_out_loss")) == list(logged(tmp_path / "out", "eval_stsb_spearman"))
    other = tmp_path / "other"
    training.main([*command, "--metric_for_best_model", "held_out_loss", "--output_dir", str(other)])
    losses = {step: loss for step, loss in logged(other, "eval_held_out_loss").items() if step > 0}
    assert json.loads((other / "eval_results.json").read_text())["step"] == min(losses, key=losses.get)


def test_an_interrupted_run_continues_with_the_same_sentences_held_out(nowhere, tmp_path, killed_after):
    training.main([*nowhere, "--output_dir", str(tmp_path / "whole")])
    killed_after(2, nowhere)
    training.main(nowhere)
    assert same_weights(tmp_path / "out", tmp_path / "whole")
    assert logged(tmp_path / "out", "eval_held_out_loss") == logged(tmp_path / "whole", "eval_held_out_loss")


def test_a_loss_that_is_no_number_ends_the_run(nowhere, monkeypatch):
    monkeypatch.setattr("mixcse.train.measure.contrastive_loss", lambda z, **_: torch.tensor(float("nan")))
    with pytest.raises(UserError, match="loss of held-out sentences is nan at step 0"):
        training.main(nowhere)


def test_the_options_ask_for_evaluation():
    for option, metric in ((["--held_out", "0.1"], "stsb_spearman"), (["--validation_file", "x.csv"], "dev_spearman")):
        args = parse_training_arguments(["--output_dir", "x", *option])[2]
        assert (args.do_eval, args.metric_for_best_model, args.greater_is_better) == (True, metric, True)
    with pytest.raises(UserError, match="--held_out must be above 0"):
        parse_training_arguments(["--output_dir", "x", "--held_out", "0"])
