"""What is uploaded to the Hub, when, and what is not."""

import fnmatch
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from mixcse.base.errors import UserError
from mixcse.train import run as training

pytestmark = pytest.mark.usefixtures("bare_runs")
PUSH = ("--push_to_hub", "--hub_token", "hf_good", "--hub_model_id", "mine")
MODEL_FILES = {
    "README.md", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json", "config.json",
    "model.safetensors", "tokenizer.json", "tokenizer_config.json", "train_results.json", "eval_results.json",
}  # fmt: skip


class FakeHub:
    """Instead of the network: the repositories and files that would have been created."""

    def __init__(self, monkeypatch):
        self.created, self.uploads, self.broken = [], [], False
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("mixcse.train.hub.HfApi", self.api)

    def api(self, token):
        if token not in (None, "hf_good"):
            raise OSError("401 Unauthorized\nand more")
        if token is None:
            return huggingface_hub.HfApi()
        return SimpleNamespace(
            whoami=lambda: {"name": "me"},
            create_repo=lambda name, **options: self.created.append((name, options)),
            upload_folder=self.upload_folder,
        )

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, revision):
        if self.broken:
            raise OSError("the line is dead")
        files = {path.relative_to(folder_path).as_posix(): path for path in Path(folder_path).rglob("*")}
        chosen = [name for name in files if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns)]
        self.uploads.append((repo_id, {name: files[name].read_bytes() for name in chosen}))


@pytest.fixture()
def hub(monkeypatch):
    return FakeHub(monkeypatch)


def test_the_finished_model_is_uploaded_once_with_its_card(command, hub, tmp_path):
    training.main([*command, *PUSH, "--hub_private_repo", "True"])
    assert hub.created == [("me/mine", {"private": True, "exist_ok": True})]
    ((repo, contents),) = hub.uploads
    assert repo == "me/mine"
    assert contents.keys() == MODEL_FILES  # no checkpoint, no training_args.bin, no arguments.json
    assert b"SentenceTransformer('me/mine')" in contents["README.md"]
    assert "hf_good" not in "".join(path.read_text() for path in (tmp_path / "out").glob("*.json"))
    assert not list((tmp_path / "out").rglob("training_args.bin"))


def test_neither_paths_of_this_machine_nor_the_token_are_uploaded(command, hub, tmp_path, monkeypatch):
    pytest.importorskip("peft")
    monkeypatch.undo()  # curves are drawn, once
    hub.__init__(monkeypatch)
    (tmp_path / "out" / "runs").mkdir(parents=True)
    (tmp_path / "out" / "runs" / "events").write_text(f"written by TensorBoard: {tmp_path}")
    (tmp_path / "out" / "notes.txt").write_text("the user's own")
    training.main([*command, *PUSH, "--lora_rank", "2", "--overwrite_output_dir"])
    ((_, contents),) = hub.uploads
    assert contents.keys() >= {"curves.png", "adapter/adapter_config.json", "adapter/adapter_model.safetensors"}
    assert "notes.txt" not in contents
    for name, content in contents.items():
        for secret in (str(tmp_path), str(tmp_path.parents[1]), "hf_good"):
            assert secret.encode() not in content, name


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--hub_token", "hf_bad"], "--push_to_hub: not possible .* .401 Unauthorized.$"),
        ([], "--push_to_hub: not possible .* .*no token found"),
        (["--hub_token", "hf_good", "--hub_strategy", "checkpoint"], "--hub_strategy: the model is uploaded once"),
        (["--hub_token", "hf_good", "--hub_always_push"], "--hub_always_push: the model is uploaded once"),
    ],
)
def test_an_upload_is_refused_before_anything_is_done(command, hub, tmp_path, monkeypatch, options, says):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(UserError, match=says):
        training.main([*command, "--push_to_hub", *options])
    assert not (tmp_path / "out").exists() and not hub.created


def test_an_upload_that_fails_leaves_a_finished_run_and_the_same_command_uploads_it(command, hub, tmp_path, capsys):
    hub.broken, command = True, [*command, *PUSH, "--max_steps", "2"]
    with pytest.raises(UserError, match="is finished, but was not uploaded .the line is dead.*same command uploads it"):
        training.main(command)
    assert (tmp_path / "out" / "train_results.json").exists()
    hub.broken = False
    training.main(command)
    assert "this run is finished; nothing to train" in capsys.readouterr().err
    assert len(hub.uploads) == 1
