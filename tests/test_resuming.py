"""The same command again: continuing, having finished, starting afresh."""

import pytest
from run_folder import logged, same_weights

from mixcse import training
from mixcse.console import UserError
from mixcse.trainer import MixCSETrainer


def test_an_unfinished_run_continues_to_the_same_weights(command, tmp_path, monkeypatch, capsys):
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
