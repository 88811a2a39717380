"""`evaluation.py`: its tables, its JSON, and what it says when something is missing."""

import json

import pytest
from hash_encoder import encode

from mixcse.base.errors import UserError
from mixcse.evaluate import command as evaluation
from mixcse.evaluate.scores import evaluate
from mixcse.evaluate.tables import table
from mixcse.model.sentence_model import SentenceModel


@pytest.fixture()
def command(tiny_bert, toy_senteval):
    return ["--model_name_or_path", str(tiny_bert), "--senteval_data", str(toy_senteval)]


def test_the_table_names_missing_tasks_and_averages_the_others(command, capsys, tmp_path):
    evaluation.main([*command, "--output_json", str(tmp_path / "scores" / "x.json")])
    printed = capsys.readouterr().out
    assert "------ test ------" in printed
    header = next(line for line in printed.splitlines() if "STSBenchmark" in line)
    for name in ("STS12", "STS16", "SICKRelatedness", "Avg."):
        assert name in header
    assert "Avg. is over the 2 scored tasks of 7." in printed
    assert "not scored: STS12 (" in printed
    assert "alignment" in printed

    saved = json.loads((tmp_path / "scores" / "x.json").read_text())
    scores = saved["headline"]
    assert set(scores) == {"STSBenchmark", "SICKRelatedness"}
    row = [cell.strip() for cell in printed.splitlines()[5].strip("|").split("|")]
    assert row[4:7] == ["-", f"{scores['STSBenchmark']:.2f}", f"{scores['SICKRelatedness']:.2f}"]
    assert row[-1] == f"{sum(scores.values()) / 2:.2f}"
    assert saved["tasks"]["STSBenchmark"]["results"]["test"]["nsamples"] == 24
    assert 100 * saved["tasks"]["STSBenchmark"]["results"]["test"]["spearman"] == pytest.approx(scores["STSBenchmark"])
    assert saved["pooler"] == "cls_before_pooler"
    assert saved["max_seq_length"] == 64


def test_json_on_stdout_leaves_the_table_to_stderr(command, capsys):
    evaluation.main([*command, "--tasks", "STSBenchmark", "--output_json", "-"])
    out, err = capsys.readouterr()
    saved = json.loads(out)
    assert saved["tasks"]["STSBenchmark"]["seconds"] > 0
    assert f"{saved['headline']['STSBenchmark']:.2f}" in err and "------ test ------" in err


def test_dev_mode_reports_dev_splits(command, capsys, tmp_path):
    evaluation.main([*command, "--mode", "dev", "--output_json", str(tmp_path / "x.json")])
    assert "------ dev ------" in capsys.readouterr().out
    saved = json.loads((tmp_path / "x.json").read_text())
    assert set(saved["tasks"]["STSBenchmark"]["results"]) == {"dev", "all"}


def test_encodes_only_the_reported_splits_each_sentence_once(toy_senteval):
    import senteval

    calls = []

    def counting(sentences):
        calls.append(sentences)
        return encode(sentences)

    path = toy_senteval / "downstream" / "SICK" / "SICK_trial.txt"
    path.write_text(path.read_text().replace("the", "unseen"))
    evaluate(counting, ("SICKRelatedness", "STSBenchmark"), toy_senteval)
    assert len(calls) == 1
    assert len(set(calls[0])) == len(calls[0])
    assert not any("unseen" in sentence for sentence in calls[0])
    test = senteval.Suite.load(["SICKRelatedness", "STSBenchmark"], toy_senteval, splits=["test"])
    monitor = senteval.Suite.load(["STSBenchmark"], toy_senteval, splits=["dev"])
    assert set(calls[0]) == set(test.sentences()) | set(monitor.sentences())


def test_nothing_to_score_is_an_error_that_says_why(command, tmp_path, capsys):
    with pytest.raises(UserError, match="no SentEval data in .*none: python -m mixcse.fetch"):
        evaluation.main([*command, "--senteval_data", str(tmp_path / "none")])
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")


def test_the_readme_command_of_upstream(tiny_bert, toy_senteval, tmp_path, capsys):
    """`--pooler cls` on a trained folder works, and says that it is not the pooler to test with."""
    model = SentenceModel.from_pretrained(tiny_bert)
    model.prepare_training("cls")
    model.save_pretrained(tmp_path, recorded_pooler="cls_before_pooler")
    command = ["--model_name_or_path", str(tmp_path), "--senteval_data", str(toy_senteval)]
    evaluation.main([*command, "--pooler", "cls", "--task_set", "sts", "--mode", "test"])
    captured = capsys.readouterr()
    assert "warning" in captured.err
    assert "cls_before_pooler" in captured.err
    evaluation.main(command)
    recorded = capsys.readouterr()
    assert "pooler cls_before_pooler (recorded in the model)" in recorded.err
    assert recorded.out != captured.out


def test_data_folder_from_the_environment(tiny_bert, toy_senteval, monkeypatch, capsys):
    monkeypatch.setenv("SENTEVAL_DATA", str(toy_senteval))
    evaluation.main(["--model_name_or_path", str(tiny_bert)])
    assert "2 scored tasks" in capsys.readouterr().out


def test_equal_embeddings_give_null_not_nan(command, tmp_path, toy_senteval, monkeypatch):
    import numpy as np

    from mixcse.encoder.sentence_encoder import SentenceEncoder

    monkeypatch.setattr(SentenceEncoder, "encode", lambda self, s, **_: np.ones((len(s), 4), dtype=np.float32))
    evaluation.main([*command, "--output_json", str(tmp_path / "x.json")])
    saved = json.loads((tmp_path / "x.json").read_text(), parse_constant=pytest.fail)
    assert saved["headline"] == {"STSBenchmark": None, "SICKRelatedness": None}


def test_a_table_shows_two_decimals_and_dashes():
    assert table(["a", "b", "c"], ["x", 1.005, None]).splitlines()[3] == "| x | 1.00 | - |"
