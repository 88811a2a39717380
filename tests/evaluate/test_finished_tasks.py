"""An interrupted evaluation continues: what is read back, and what never is."""

import json

import pytest

import senteval
from mixcse.evaluate import command as evaluation
from mixcse.model.sentence_model import SentenceModel


@pytest.fixture()
def command(tiny_bert, toy_senteval, tmp_path):
    tasks = ("--tasks", "STSBenchmark", "SICKRelatedness")
    model, data = str(tiny_bert), str(toy_senteval)
    return ["--model_name_or_path", model, "--senteval_data", data, *tasks, "--output_json", str(tmp_path / "x.json")]


@pytest.fixture()
def scored(monkeypatch):
    """The tasks that are really scored."""
    names = []
    original = senteval.Suite.score_one

    def spy(suite, task, *args):
        names.append(task)
        return original(suite, task, *args)

    monkeypatch.setattr(senteval.Suite, "score_one", spy)
    return names


def test_an_interrupted_evaluation_continues(command, scored, monkeypatch, capsys, tmp_path):
    evaluation.main([*command, "--output_json", str(tmp_path / "whole.json")])
    whole = capsys.readouterr().out
    scored.clear()
    spied = senteval.Suite.score_one

    def dies_at_the_second(suite, task, *args):
        if task == "SICKRelatedness":
            raise KeyboardInterrupt
        return spied(suite, task, *args)

    with monkeypatch.context() as patch:
        patch.setattr(senteval.Suite, "score_one", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            evaluation.main(command)
    assert json.loads((tmp_path / "x.json").read_text())["unfinished"]
    scored.clear()
    evaluation.main(command)
    captured = capsys.readouterr()
    assert scored == ["SICKRelatedness"]
    assert "already scored with this model, data and settings: STSBenchmark" in captured.err
    assert captured.out == whole
    saved = json.loads((tmp_path / "x.json").read_text())
    assert "unfinished" not in saved
    assert set(saved["tasks"]) == {"STSBenchmark", "SICKRelatedness"}


@pytest.mark.parametrize("change", ["model", "pooler", "max_seq_length", "data", "mode"])
def test_nothing_is_read_back_when_something_differs(command, scored, toy_senteval, tiny_bert, tmp_path, change):
    evaluation.main(command)
    scored.clear()
    extra = {"pooler": ["--pooler", "avg"], "max_seq_length": ["--max_seq_length", "9"], "mode": ["--mode", "dev"]}
    if change == "model":
        model = SentenceModel.from_pretrained(tiny_bert)
        model.encoder.embeddings.word_embeddings.weight.data[7] += 1e-3
        model.save_pretrained(tmp_path / "other", recorded_pooler="cls_before_pooler")
        command[1] = str(tmp_path / "other")
    if change == "data":
        path = toy_senteval / "downstream" / "STS" / "STSBenchmark" / "sts-test.csv"
        path.write_text(path.read_text().replace("4.6", "4.7", 1))
    evaluation.main([*command, *extra.get(change, [])])
    assert scored == (["STSBenchmark"] if change == "data" else ["STSBenchmark", "SICKRelatedness"])


def test_what_another_model_left_is_not_reported(command, scored, tiny_bert, tmp_path):
    evaluation.main(command)
    model = SentenceModel.from_pretrained(tiny_bert)
    model.encoder.embeddings.word_embeddings.weight.data[7] += 1e-3
    model.save_pretrained(tmp_path / "other", recorded_pooler="cls_before_pooler")
    command[1] = str(tmp_path / "other")
    evaluation.main([argument for argument in command if argument != "SICKRelatedness"])
    assert set(json.loads((tmp_path / "x.json").read_text())["tasks"]) == {"STSBenchmark"}


@pytest.mark.parametrize("content", ["", '{"unfinished": true, "tasks": {"STSBenchmark": 3}}'])
def test_an_empty_file_or_one_of_damaged_tasks_is_written_anew(command, scored, tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    evaluation.main(command)
    assert json.loads((tmp_path / "x.json").read_text())["tasks"]["STSBenchmark"]["results"]


def test_transfer_tables_and_metrics(tiny_bert, tmp_path, capsys, monkeypatch):
    """Two small tasks: test accuracy in test mode, dev accuracy on request and in dev mode."""
    from senteval import tasks as table

    folder = tmp_path / "downstream" / "CR"
    folder.mkdir(parents=True)
    (folder / "custrev.pos").write_text("".join(f"the cat sat {'a ' * (i % 7)}\n" for i in range(40)))
    (folder / "custrev.neg").write_text("".join(f"a dog ran {'the ' * (i % 5)}\n" for i in range(40)))
    row = table.TASKS["CR"]
    monkeypatch.setitem(table.TASKS, "CR", row.__class__(**(vars(row) | {"counts": {"all": 80}})))
    command = ["--model_name_or_path", str(tiny_bert), "--senteval_data", str(tmp_path), "--task_set", "transfer"]
    printed = {}
    for name, extra in (
        ("test", ["--mode", "fasttest"]),
        ("devacc", ["--mode", "fasttest", "--transfer_metric", "devacc"]),
        ("dev", ["--mode", "dev"]),
    ):
        evaluation.main([*command, *extra, "--output_json", str(tmp_path / f"{name}.json")])
        printed[name] = capsys.readouterr().out
    results = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in printed}
    assert "transfer: test accuracy" in printed["test"]
    assert "transfer: dev accuracy" in printed["devacc"]
    assert "transfer: dev accuracy" in printed["dev"]
    entry = results["test"]["tasks"]["CR"]["results"]
    assert results["test"]["headline"]["CR"] == entry["acc"]
    assert results["devacc"]["headline"]["CR"] == results["dev"]["headline"]["CR"] == entry["devacc"]
    assert len(entry["folds"]) == 5
    assert "Avg. is over the 1 scored tasks of 7." in printed["test"]
    assert "STS" not in printed["test"].split("not scored")[0]
