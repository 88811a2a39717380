"""Fetching the paper's data, and the example's two profiles, without a network."""

import hashlib
import os
import re
import shutil
import tarfile
from pathlib import Path

import pytest
import torch

import senteval
from mixcse import example
from mixcse.base.errors import UserError
from mixcse.data import fetch
from mixcse.evaluate import command as evaluation
from mixcse.evaluate.scores import Report
from mixcse.train import run as training
from mixcse.train.parsing import parse_training_arguments

SAMPLE = fetch.ROOT / "data" / "sample"


@pytest.fixture()
def small(monkeypatch):
    monkeypatch.setattr(fetch, "CORPUS_SHA256", hashlib.sha256(b"a\nb\nc\n").hexdigest())


def hub(monkeypatch, contents, asked=None):
    """Stand in for the Hub: write these contents by file name, or fail; `asked` gets the revisions."""

    def download(repository, name, repo_type, revision, local_dir):
        assert (repository, repo_type) == ("princeton-nlp/datasets-for-simcse", "dataset")
        if asked is not None:
            asked.append(revision)
        if name not in contents:
            raise ConnectionError("no network\nand more")
        local_dir.mkdir(parents=True, exist_ok=True)
        (local_dir / name).write_text(contents[name])
        return str(local_dir / name)

    monkeypatch.setattr(fetch, "hf_hub_download", download)


def test_corpus_is_downloaded_once_and_checked(tmp_path, small, monkeypatch):
    hub(monkeypatch, {fetch.CORPUS: "a\nb\nc\n"}, asked := [])
    path = fetch.fetch_corpus(tmp_path / "data")
    assert path.read_text() == "a\nb\nc\n"
    assert asked == [fetch.REVISION] and re.fullmatch("[0-9a-f]{40}", fetch.REVISION)  # a branch would move
    hub(monkeypatch, {})
    assert fetch.fetch_corpus(tmp_path / "data") == path
    path.write_text("a\nb\nx\n")
    with pytest.raises(UserError, match="not the paper's corpus"):
        fetch.fetch_corpus(tmp_path / "data")


def test_another_revision_is_not_compared_with_the_papers_corpus(tmp_path, small, monkeypatch):
    hub(monkeypatch, {fetch.CORPUS: "x\ny\n"}, asked := [])
    monkeypatch.setattr(fetch, "fetch_senteval", lambda revision: asked.append(revision))
    monkeypatch.setattr(fetch.fetch_corpus, "__defaults__", (tmp_path / "data", fetch.REVISION))
    fetch.main(["--revision", "v2"])
    assert asked == ["v2", "v2"]


def test_no_network_names_files_addresses_and_places(tmp_path, monkeypatch, capsys):
    hub(monkeypatch, {})
    with pytest.raises(UserError, match="could not be downloaded .no network.; get the files above"):
        fetch.fetch_corpus(tmp_path)
    said = capsys.readouterr().err
    for name in (fetch.CORPUS, fetch.ARCHIVE):
        assert f"{fetch.HUB_DATASET}/resolve/{fetch.REVISION}/{name}\n    to {tmp_path / name}\n" in said
    assert f"  {fetch.MODEL_PAGE} " in said


def test_tasks_are_found_wherever_they_lie_in_the_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "data_faults", lambda folder: [])
    archive = tmp_path / "data" / "senteval.tar"
    for name in fetch.TASK_FOLDERS:
        (tmp_path / "made" / name).mkdir(parents=True)
        (tmp_path / "made" / name / "file").touch()
    archive.parent.mkdir()
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "made", "some/where")
    target = fetch.fetch_senteval(tmp_path / "target", archive.parent)
    assert sorted(path.name for path in target.iterdir()) == ["downstream"]
    assert {path.name for path in (target / "downstream").iterdir()} == {*fetch.TASK_FOLDERS}
    archive.unlink()
    assert fetch.fetch_senteval(tmp_path / "target", archive.parent) == target


def test_the_broken_data_of_subj_is_refused(tmp_path, senteval_data):
    """SimCSE issue 84."""
    folder = tmp_path / "downstream"
    shutil.copytree(senteval_data / "downstream", folder, copy_function=os.symlink)
    subj = folder / "SUBJ" / "subj.subjective"
    lines = subj.read_bytes().splitlines(keepends=True)
    subj.unlink()
    subj.write_bytes(b"".join(lines[:20]))
    with pytest.raises(UserError, match="SUBJ.*5020 samples in 'all', expected 10000"):
        fetch.fetch_senteval(tmp_path, tmp_path)


def test_the_sample_is_what_its_readme_says():
    lines = (SAMPLE / "sentences.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) >= 1200
    assert len({line.lower() for line in lines}) == len(lines)
    seen = set(lines)
    total = 0
    for half in ("dev", "test"):
        pairs = senteval.read_pairs_file(SAMPLE / f"sts-{half}.csv")
        total += len(pairs)
        assert 0 <= pairs.scores.min() < 1
        assert 4 < pairs.scores.max() <= 5
        assert not seen & set(pairs.sentences())  # neither trained on, nor in the other half
        seen |= set(pairs.sentences())
    assert total >= 200
    readme = (SAMPLE / "README.md").read_text()
    assert f"{len(lines):,} sentences" in readme
    assert f"{total} sentence pairs" in readme


@pytest.mark.parametrize(
    ("argv", "gpu", "ran", "why"),
    [
        ([], False, ("demo", []), "no CUDA GPU is here"),
        ([], True, ("paper", [], False), "a CUDA GPU is here"),
        ([], "offline", ("demo", []), "a CUDA GPU is here, but neither the paper's data nor the Hugging Face Hub"),
        (["--profile", "demo", "--seed", "1"], True, ("demo", ["--seed", "1"]), "as asked"),
        (["--seed", "1", "--profile=paper"], False, ("paper", ["--seed", "1"], False), "as asked"),
        (["--max_steps", "-1", "--faithful_precision"], True, ("paper", ["--max_steps", "-1"], True), "a CUDA GPU"),
    ],
)
def test_the_profile_is_chosen_and_said(monkeypatch, capsys, argv, gpu, ran, why):
    called = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gpu))
    monkeypatch.setattr("mixcse.model.loading.hub_answers", lambda: gpu != "offline")
    monkeypatch.setattr(example, "run_demo", lambda flags: called.append(("demo", flags)))
    monkeypatch.setattr(
        example, "run_paper", lambda flags, gpu, faithful_precision: called.append(("paper", flags, faithful_precision))
    )
    example.main(argv)
    assert called == [ran]
    assert f"profile: {ran[0]} ({why}" in capsys.readouterr().err


def test_an_unknown_profile():
    with pytest.raises(UserError, match="--profile: invalid choice: 'fast' .*paper.*demo"):
        example.main(["--profile", "fast"])


@pytest.mark.parametrize(
    ("flags", "bf16", "faithful", "fast"),
    [
        ([], True, False, True),
        ([], False, False, False),
        ([], True, True, False),
        (["--fp16"], True, False, False),
        (["--padding=batch"], True, False, False),
    ],
)
def test_the_paper_profile_in_bf16(monkeypatch, capsys, flags, bf16, faithful, fast):
    asked = []

    def stop(arguments):
        asked.extend(arguments)
        raise InterruptedError

    monkeypatch.setattr("mixcse.train.gpu_recipe.supported", lambda: bf16)
    monkeypatch.setattr("mixcse.train.parsing.parse_training_arguments", stop)
    with pytest.raises(InterruptedError):
        example.run_paper(flags, gpu=True, faithful_precision=faithful)
    assert ("--gpu_recipe" in asked) == fast
    assert ("--faithful_precision stays in float32" in capsys.readouterr().err) == fast


def test_the_paper_profile_is_the_released_recipe(monkeypatch, tmp_path):
    """Everything but the network: what is fetched, trained and evaluated, with which options."""
    calls = []
    monkeypatch.setattr(fetch, "fetch_corpus", lambda: calls.append("corpus"))
    monkeypatch.setattr(fetch, "fetch_senteval", lambda: Path("tasks"))
    monkeypatch.setattr("mixcse.data.pairs.find_senteval_data", lambda option: tmp_path / "none")
    monkeypatch.setattr(training, "main", calls.append)
    monkeypatch.setattr(evaluation, "main", calls.append)
    example.run_paper(["--output_dir", str(tmp_path), "--data_seed", "7"], gpu=True)
    with pytest.raises(UserError, match="--learning_rate"):
        example.run_paper(["--learning_rat", "1"], gpu=True)
    fetched, trained, evaluated = calls  # the wrong option was said before anything was fetched
    assert fetched == "corpus"
    model_args, data_args, args = parse_training_arguments(trained)
    assert (model_args.model_name_or_path, model_args.pooler_type, model_args.variant) == (
        "bert-base-uncased",
        "cls",
        "released",
    )
    assert (model_args.temperature, model_args.mixing_lambda, model_args.mlp_only_train) == (0.05, 0.2, False)
    assert (args.num_train_epochs, args.per_device_train_batch_size, args.learning_rate) == (1, 64, 3e-5)
    assert (args.eval_strategy, args.eval_steps, args.metric_for_best_model) == ("steps", 125, "stsb_spearman")
    assert (args.load_best_model_at_end, args.seed, args.data_seed) == (True, 42, 7)
    assert (data_args.max_seq_length, data_args.train_file) == (32, [str(fetch.ROOT / "data" / fetch.CORPUS)])
    assert evaluated[:6] == ["--model_name_or_path", str(tmp_path), "--task_set", "full", "--mode", "test"]
    assert "--pooler" not in evaluated  # the recorded one, cls_before_pooler


def test_the_demo_runs_and_shows_before_and_after(monkeypatch, tiny_bert, tmp_path, capsys):
    monkeypatch.setattr("mixcse.data.demo_encoder.demo_encoder", lambda: tiny_bert)
    monkeypatch.setattr("mixcse.data.pairs.find_senteval_data", lambda option: tmp_path / "none")
    flags = ["--output_dir", str(tmp_path / "out"), "--max_steps", "2", "--eval_steps", "1"]
    example.run_demo([*flags, "--per_device_train_batch_size", "8"])
    captured = capsys.readouterr()
    rows = [line.split("|")[1].strip() for line in captured.out.splitlines() if line.startswith("|")]
    assert rows == ["", "untrained, [CLS]", "MixCSE, trained, [CLS]", "gain", "as shipped, mean"]
    assert "pooled by the mean, is better still" in captured.out and "not the paper's" in captured.err


def test_the_demo_table_adds_up():
    scored = {
        "before": Report("test", headline={"STS12": 50.0, "STS13": 60.0}, own={"spearman": 0.8}),
        "after": Report("test", headline={"STS12": 51.0, "STS13": 63.5}, own={"spearman": 0.79}),
        "other": Report("test", headline={"STS12": 70.0, "STS13": 80.0}, own={"spearman": 0.9}),
    }
    rows = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in example.demo_table(scored).splitlines() if "|" in row
    ]
    assert rows[0][1:] == ["sample pairs (test)", "STS12", "STS13", "Avg. of tasks"]
    assert rows[1][1:] == ["80.00", "50.00", "60.00", "55.00"]
    assert rows[3] == ["gain", "-1.00", "+1.00", "+3.50", "+2.25"]
    assert rows[4] == ["other", "90.00", "70.00", "80.00", "75.00"]
