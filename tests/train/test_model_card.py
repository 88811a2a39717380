"""The model card that training writes, and what is pushed to the Hub with it."""

import contextlib
import fnmatch
import re
import shutil
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import ModelCard
from transformers import Trainer

from mixcse import SentenceEncoder
from mixcse.base.errors import UserError
from mixcse.base.files import read_json
from mixcse.base.program import run_cli
from mixcse.model.sentence_model import SentenceModel
from mixcse.train import run as training
from mixcse.train.folder import default_options
from mixcse.train.model_card import write_model_card
from mixcse.train.trainer import MixCSETrainer

SENTENCES = ["A cat sits on the mat.", "Two dogs run."]  # those of the snippets


pytestmark = pytest.mark.usefixtures("bare_runs")


def card_of(folder, tiny_bert, pooler="cls_before_pooler", **options):
    """Of a model that was not trained here."""
    model = SentenceModel.from_pretrained(tiny_bert)
    model.save_pretrained(folder, recorded_pooler=pooler)
    options = {"model_name_or_path": str(tiny_bert), "train_file": "a.txt", "pooler_type": pooler} | options
    write_model_card(folder, model, default_options() | options, examples=1234, scores={})
    return (folder / "README.md").read_text()


@pytest.mark.parametrize("pooler", ["cls_before_pooler", "avg", "avg_top2", "avg_first_last"])
def test_the_snippets_run_and_agree(pooler, tiny_bert, tmp_path, monkeypatch):

    (tmp_path / "my model").mkdir()
    snippets = re.findall(r"```python\n(.*?)```", card_of(tmp_path / "my model", tiny_bert, pooler), re.DOTALL)
    libraries = ("mixcse", "SentenceTransformer", "AutoModel")
    assert all(name in snippet for name, snippet in zip(libraries, snippets, strict=True))
    monkeypatch.chdir(tmp_path)
    expected = SentenceEncoder(tmp_path / "my model").encode(SENTENCES)
    for snippet in snippets:
        names = {}
        exec(snippet, names)
        np.testing.assert_allclose(names["embeddings"], expected, atol=1e-5)


def test_what_a_run_says_of_itself(command, tmp_path):
    training.main([*command, "--weight_decay", "0.25", "--dropout", "0.0"])
    text = (tmp_path / "out" / "README.md").read_text()
    data = ModelCard(text).data
    assert data.library_name == "sentence-transformers"
    assert data.pipeline_tag == "sentence-similarity"
    assert {"sentence-transformers", "mixcse"} <= set(data.tags)
    assert data.license == "other"
    assert data.language is None
    assert data.base_model is None  # it was a path
    assert "`tiny-bert0`" in text
    for path in (tmp_path, Path(command[1])):
        assert str(path) not in text
        assert str(path.parent) not in text

    scores = read_json(tmp_path / "out" / "eval_results.json")
    results = {result.dataset_name: result for result in data.eval_results}
    assert set(results) == {"STS-B", "SICK-R"}
    assert results["STS-B"].metric_value == pytest.approx(scores["eval_stsb_spearman"], abs=1e-6)
    assert results["STS-B"].metric_type == "spearman_cosine"
    assert results["SICK-R"].metric_args == {"step": scores["step"], "pooler": "cls"}
    assert f"after step {scores['step']}" in text
    assert f"| `uniformity` | {scores['eval_uniformity']:.4f} |" in text

    assert "| name | `train.txt` |" in text
    assert "| examples | 64 |" in text
    assert read_json(tmp_path / "out" / "arguments.json")["train_file_sha256"] in text
    assert "| `weight_decay` | `0.25` |" in text
    assert "| `dropout` | `0.0` |" in text
    for name in ("warmup_steps", "adam_beta1", "accelerator_config", "eval_steps", "output_dir"):
        assert f"`{name}`" not in text
    assert "Yanzhao" in text


def test_without_dev_data_nothing_is_claimed(command, tmp_path):
    training.main([*command[: command.index("--do_train")], "--max_steps", "1"])
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.eval_results is None
    assert "None were measured" in card.content


def test_a_base_model_of_the_hub(tiny_bert, tmp_path):
    data = ModelCard(card_of(tmp_path, tiny_bert, model_name_or_path="google-bert/bert-base-uncased")).data
    assert data.base_model == "google-bert/bert-base-uncased"
    assert data.license == "other"  # no network here


def test_no_lost_path_is_taken_for_a_hub_id(tiny_bert, tmp_path):
    data = ModelCard(card_of(tmp_path, tiny_bert, model_name_or_path="/home/me/secret/bert")).data
    assert data.base_model is None
    assert "secret" not in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("license: apache-2.0", {"license": "apache-2.0"}),
        ("license: other\nlicense_name: mine\nlicense_link: LICENSE", {"license": "other", "license_name": "mine"}),
        ("license: other\nlicense_name: unknown", {"license": "other", "license_name": "unknown"}),
        ("license: [a, b]", {"license": "other", "license_name": "unknown"}),
        ("tags: [broken", {"license": "other", "license_name": "unknown"}),
    ],
)
def test_the_base_models_licence_is_taken_over(stated, expected, tiny_bert, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny_bert, base)
    (base / "README.md").write_text(f"---\n{stated}\n---\n# A model\n")
    text = card_of(tmp_path, tiny_bert, model_name_or_path=str(base))
    found = ModelCard(text).data.to_dict()
    assert found.items() >= expected.items()
    assert ("Look its terms up" in text) == (expected.get("license_name") == "unknown")


def test_names_cannot_break_out(tiny_bert, tmp_path):
    folder = tmp_path / "a'b\"|*c*<script>"
    folder.mkdir()
    text = card_of(folder, tiny_bert, train_file="x/a|b`c`\n# d<script>.txt", optim="`|`\n|")
    assert r"| name | ``a\|b`c` # d<script>.txt`` |" in text
    assert r"| `optim` | `` `\|` \| `` |" in text
    assert r"""# a'b"\|\*c\*\<script\>""" in text
    for line in re.findall(r"^encoder = .*$", text, re.MULTILINE):
        names = {"SentenceEncoder": lambda name: name}
        exec(line, names)
        assert names["encoder"] == folder.name


def test_simcse_and_given_metadata(tiny_bert, tmp_path):
    text = card_of(tmp_path, tiny_bert, variant="simcse")
    assert "simcse" in ModelCard(text).data.tags
    assert "mixed negatives (MixCSE" not in text
    model = SentenceModel.from_pretrained(tmp_path)
    options = {"model_name_or_path": str(tiny_bert), "train_file": ["x/a.txt", "y/b.txt"]}
    write_model_card(tmp_path, model, options, examples=1, name="me/mine", license="mit", language="en")
    card = ModelCard.load(tmp_path / "README.md")
    assert (card.data.license, card.data.language) == ("mit", "en")
    assert "SentenceTransformer('me/mine')" in card.content
    assert "`a.txt`" in card.content
    assert "`b.txt`" in card.content


class FakeHub:
    """Instead of the network: what would have been uploaded, and when."""

    def __init__(self, monkeypatch):
        self.created, self.uploads, self.broken = [], [], False
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        for name in ("whoami", "create_repo", "upload_folder"):
            monkeypatch.setattr(huggingface_hub.HfApi, name, getattr(self, name))

    def whoami(self, token):
        if token != "hf_good":
            raise OSError("401 Unauthorized\nand more")

    def create_repo(self, name, **options):
        self.created.append((name, options))
        return SimpleNamespace(repo_id=f"me/{name}")

    def upload_folder(self, *, repo_id, folder_path, commit_message, path_in_repo="", ignore_patterns=(), **options):
        if self.broken:
            raise OSError("the line is dead")
        names = [str(path.relative_to(folder_path)) for path in Path(folder_path).rglob("*") if path.is_file()]
        kept = [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in ignore_patterns)]
        with contextlib.suppress(OSError):
            self.card = (Path(folder_path) / "README.md").read_text()
        self.contents = {name: (Path(folder_path) / name).read_bytes() for name in kept}
        self.uploads.append((repo_id, commit_message, path_in_repo, set(kept), options.get("token")))
        future = Future()
        future.set_result(None)
        return future


@pytest.fixture()
def hub(monkeypatch):
    return FakeHub(monkeypatch)


PUSH = ("--push_to_hub", "--hub_token", "hf_good", "--hub_model_id", "mine")
MODEL_FILES = {
    "README.md", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config.json",
    "model.safetensors", "tokenizer.json",
}  # fmt: skip


def test_the_finished_model_is_pushed_with_its_card(command, hub, tmp_path):
    training.main([*command, *PUSH, "--hub_strategy", "end", "--hub_private_repo", "True"])
    ((name, options),) = hub.created
    assert (name, options["private"], options["token"]) == ("mine", True, "hf_good")
    ((repo, message, place, files, token),) = hub.uploads
    assert (repo, message, place, token) == ("me/mine", "End of training", "", "hf_good")
    assert files >= MODEL_FILES | {"train_results.json"}
    assert not any("checkpoint" in file or "optimizer" in file or file.endswith((".bin", ".pt")) for file in files)
    assert "SentenceTransformer('me/mine')" in hub.card
    assert "model-index" in hub.card
    assert "hf_good" not in "".join(path.read_text() for path in (tmp_path / "out").glob("*.json"))


def test_neither_paths_of_this_machine_nor_the_token_are_pushed(command, hub, tmp_path, undrawn):
    pytest.importorskip("peft")
    (tmp_path / "out" / "runs").mkdir(parents=True)
    (tmp_path / "out" / "runs" / "events").write_text(f"written by TensorBoard: {tmp_path}")
    (tmp_path / "out" / "report.html").write_text(f"all options: {tmp_path}")
    training.main([*command, *PUSH, "--hub_strategy", "end", "--lora_rank", "2", "--overwrite_output_dir"])
    assert "model.safetensors" in hub.contents and "adapter/adapter_config.json" in hub.contents
    for name, content in hub.contents.items():
        for secret in (str(tmp_path), str(tmp_path.parents[1]), "hf_good"):
            assert secret.encode() not in content, name
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert str(tmp_path).encode() in everything and b"hf_good" not in everything


def test_checkpoints_are_pushed_as_the_strategy_says(command, hub, tmp_path):
    training.main([*command, *PUSH, "--hub_strategy", "checkpoint", "--max_steps", "4"])
    assert [(message, place) for _, message, place, _, _ in hub.uploads] == [
        ("Training in progress, step 2", ""),
        ("Training in progress, step 2", "last-checkpoint"),
        ("Training in progress, step 4", ""),
        ("Training in progress, step 4", "last-checkpoint"),
        ("End of training", ""),
    ]
    for _, _, place, files, _ in hub.uploads:
        assert files >= MODEL_FILES - ({"README.md"} if place else set())
        assert ("optimizer.pt" in files) == bool(place)
        assert "training_args.bin" not in files or place


def test_a_process_that_saves_nothing_pushes_nothing(monkeypatch, tmp_path):
    """Of several, the others have only their generators' state in a checkpoint."""
    monkeypatch.setattr(Trainer, "_save_checkpoint", lambda *given: None)
    trainer = object.__new__(MixCSETrainer)
    trainer.args = SimpleNamespace(output_dir=str(tmp_path), should_save=False, push_to_hub=True)
    trainer.state = SimpleNamespace(global_step=2, best_global_step=None)
    trainer._save_checkpoint(None, None)


def test_pushing_is_refused_before_anything_is_done(command, hub, tmp_path, monkeypatch, capsys):
    with pytest.raises(UserError, match="refuses the token .401 Unauthorized.$"):
        training.main([*command, "--push_to_hub", "--hub_token", "hf_bad"])
    monkeypatch.setattr("mixcse.train.hub.get_token", lambda: None)
    with pytest.raises(UserError, match="not logged in.*hf auth login"):
        training.main([*command, "--push_to_hub"])
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    capsys.readouterr()
    assert run_cli(training.main, [*command, *PUSH]) == 2
    assert capsys.readouterr().err == (
        "error: --push_to_hub: HF_HUB_OFFLINE is set; unset it, or leave --push_to_hub out\n"
    )
    assert not (tmp_path / "out").exists()
    assert not hub.created


def test_a_push_that_fails_leaves_a_finished_run(command, hub, tmp_path, capsys):
    hub.broken = True
    with pytest.raises(UserError, match="is finished, but was not pushed .the line is dead.*hf upload mine"):
        training.main([*command, *PUSH, "--hub_strategy", "end", "--max_steps", "2"])
    assert (tmp_path / "out" / "train_results.json").exists()
    capsys.readouterr()
    training.main([*command, *PUSH, "--max_steps", "2"])
    said = capsys.readouterr().err
    assert "this run is finished" in said
    assert "hf upload mine" in said


def test_a_card_that_cannot_be_written_does_not_lose_the_run(command, tmp_path, monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise ValueError("no ink")

    monkeypatch.setattr(MixCSETrainer, "create_model_card", fail)
    training.main([*command, "--max_steps", "1"])
    assert "has no model card: ValueError: no ink" in capsys.readouterr().err
    assert (tmp_path / "out" / "train_results.json").exists()
