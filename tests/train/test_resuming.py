"""The same command again: continuing, having finished, starting afresh."""

import pytest
import torch
from run_folder import logged, same_weights, weights

from mixcse.base.errors import UserError
from mixcse.train import run as training
from mixcse.train.trainer import MixCSETrainer

pytestmark = pytest.mark.usefixtures("undrawn")


def test_an_unfinished_run_continues_to_the_same_weights(command, tmp_path, monkeypatch, capsys):
    command += ["--logging_steps", "1"]
    training.main([*command, "--output_dir", str(tmp_path / "whole")])

    class Killed(Exception):
        pass

    save = MixCSETrainer._save_checkpoint

    def save_then_die(self, *args):
        save(self, *args)
        if self.state.global_step == 4:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(MixCSETrainer, "_save_checkpoint", save_then_die)
        with pytest.raises(Killed):
            training.main(command)
    half_written = tmp_path / "out" / "checkpoint-6"
    half_written.mkdir()
    (half_written / "model.safetensors").write_bytes(b"half")
    capsys.readouterr()
    training.main(command)
    assert f"continuing from {tmp_path / 'out' / 'checkpoint-4'}" in capsys.readouterr().err
    assert same_weights(tmp_path / "out", tmp_path / "whole")
    whole = logged(tmp_path / "whole", "eval_stsb_spearman")
    assert logged(tmp_path / "out", "eval_stsb_spearman") == whole
    for name in ("loss", "embedding_gradient_norm", "own_mix_weight", "mixed_similarity"):
        assert logged(tmp_path / "out", name) == logged(tmp_path / "whole", name)
    assert (tmp_path / "out" / "cosines.json").read_text() == (tmp_path / "whole" / "cosines.json").read_text()


def test_a_finished_run_does_nothing_and_overwriting_starts_afresh(command, tmp_path, capsys):
    training.main(command)
    out = tmp_path / "out"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    capsys.readouterr()
    training.main(command)
    assert "this run is finished" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    training.main([*command, "--max_steps", "2", "--overwrite_output_dir"])
    assert {path.name for path in out.glob("checkpoint-*")} == {"checkpoint-2"}
    assert list(logged(out, "eval_stsb_spearman")) == [0, 2]


def test_other_options_or_another_folder_are_not_overwritten(command, tmp_path):
    training.main(command)
    with pytest.raises(UserError, match="--temperature was 0.05, now 0.1"):
        training.main([*command, "--temp", "0.1"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty and no run"):
        training.main([*command, "--output_dir", str(tmp_path / "mine")])
    training.main([*command, "--output_dir", str(tmp_path / "mine"), "--overwrite_output_dir"])
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_a_bad_option_does_not_cost_the_earlier_run(command, tmp_path):
    training.main(command)
    for bad in (["--train_file", str(tmp_path / "none.txt")], ["--model_name_or_path", str(tmp_path / "none")]):
        with pytest.raises(UserError):
            training.main([*command, "--overwrite_output_dir", *bad])
    assert (tmp_path / "out" / "train_results.json").exists()
    assert (tmp_path / "out" / "checkpoint-6").exists()


@pytest.mark.parametrize(
    "bad",
    [
        ["--report_to", "nowhere"],
        ["--optim_args", "zzz"],
        ["--learning_rate", "-1"],
        ["--num_train_epochs", "nan"],
        ["--max_steps", "0"],
        ["--do_mlm", "--mlm_weight", "nan"],
        ["--lr_scheduler_type", "cosine_with_min_lr"],
    ],
)
def test_options_that_cannot_be_run_do_not_cost_the_earlier_run(command, tmp_path, bad):
    folder = tmp_path / "out"
    training.main([*command, "--max_steps", "2"])
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError) as error:
        training.main([*command, "--overwrite_output_dir", *bad])
    assert "\n" not in str(error.value)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("content", ["", "[1]", "3", "{"])
def test_damaged_arguments_are_named(command, tmp_path, content):
    training.main([*command, "--max_steps", "2"])
    (tmp_path / "out" / "arguments.json").write_text(content)
    with pytest.raises(UserError, match="arguments.json"):
        training.main([*command, "--max_steps", "2"])


def test_a_run_stopped_after_its_last_step_makes_no_more(command, tmp_path, capsys):
    training.main(command)
    out = tmp_path / "out"
    kept = {name: tensor.clone() for name, tensor in weights(out).items()}
    for name in ("train_results.json", "model.safetensors", "eval_results.json"):
        (out / name).unlink()
    training.main(command)
    assert not (out / "checkpoint-7").exists()
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights(out).items())
    assert (out / "eval_results.json").exists()


def test_a_finished_run_without_its_weights_is_finished_again(command, tmp_path):
    """As a power cut may leave it."""
    training.main(command)
    out = tmp_path / "out"
    kept = {name: tensor.clone() for name, tensor in weights(out).items()}
    (out / "model.safetensors").write_bytes(b"")
    training.main(command)
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights(out).items())


def test_starting_afresh_leaves_nothing_of_the_earlier_model(command, tmp_path):
    training.main([*command, "--max_steps", "2"])
    out = tmp_path / "out"
    (out / "mixcse_heads.safetensors").write_bytes(b"of an earlier run")
    (out / ".writing-x").mkdir()
    training.main([*command, "--max_steps", "2", "--overwrite_output_dir"])
    assert not (out / "mixcse_heads.safetensors").exists()
    assert not (out / ".writing-x").exists()


def test_another_training_file_is_another_run(command, tmp_path):
    training.main([*command, "--max_steps", "2"])
    with open(tmp_path / "train.txt", "a") as file:
        file.write("one more sentence\n")
    with pytest.raises(UserError, match="train_file_sha256"):
        training.main([*command, "--max_steps", "2"])


def test_a_diverged_run_says_so_and_saves_nothing(command, tmp_path):
    with pytest.raises(UserError, match="diverged"):
        training.main([*command, "--learning_rate", "1e38"])
    assert not (tmp_path / "out" / "model.safetensors").exists()
