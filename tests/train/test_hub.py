"""What is pushed to the Hub, when, and what is not."""

import contextlib
import fnmatch
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from mixcse.base.errors import UserError
from mixcse.base.program import run_cli
from mixcse.train import run as training

pytestmark = pytest.mark.usefixtures("bare_runs")


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
