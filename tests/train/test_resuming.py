"""The same command again: continuing, having finished, starting afresh."""

import json
import shutil
from pathlib import Path

import pytest
from run_folder import logged, same_weights

from mixcse.base.errors import UserError
from mixcse.train import run as training

pytestmark = pytest.mark.usefixtures("undrawn")
LOGGED = ("eval_stsb_spearman", "loss", "embedding_gradient_norm", "own_mix_weight", "mixed_similarity")


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_an_unfinished_run_continues_to_the_same_weights(command, killed_after, whole, tmp_path, capsys):
    out = tmp_path / "out"
    killed_after(4, command)
    (out / "checkpoint-6").mkdir()
    (out / "checkpoint-6" / "model.safetensors").write_bytes(b"half")
    capsys.readouterr()
    training.main(command)
    assert f"continuing from {out / 'checkpoint-4'}" in capsys.readouterr().err
    assert same_weights(out, whole)
    for name in LOGGED:
        assert logged(out, name) == logged(whole, name)


def test_the_saved_state_of_callbacks_does_not_grow_when_a_run_is_resumed(command, killed_after, tmp_path):
    command += ["--early_stopping_patience", "9"]
    for step in (2, 4):
        killed_after(step, command)
    training.main(command)
    states = [json.loads(file.read_text()) for file in (tmp_path / "out").rglob("trainer_state.json")]
    sizes = [{name: len(json.dumps(saved)) for name, saved in one["stateful_callbacks"].items()} for one in states]
    assert len(sizes) >= 3 and "EarlyStoppingCallback" in sizes[0]
    assert all(abs(size - sizes[0][name]) < 5 for later in sizes for name, size in later.items()), sizes
    assert list(logged(tmp_path / "out", "eval_stsb_spearman")) == [0, 2, 4, 6]


def test_a_finished_run_does_nothing_and_overwriting_starts_afresh(command, finished, capsys):
    (finished / "mixcse_heads.safetensors").write_bytes(b"of an earlier run")
    (finished / ".writing-x").mkdir()
    (finished / "curves.png").touch()
    before = times(finished)
    training.main(command)
    assert "this run is finished" in capsys.readouterr().err
    assert times(finished) == before
    training.main([*command, "--max_steps", "2", "--overwrite_output_dir"])
    assert {path.name for path in finished.glob("checkpoint-*")} == {"checkpoint-2"}
    assert not (finished / "mixcse_heads.safetensors").exists() and not (finished / ".writing-x").exists()
    assert list(logged(finished, "eval_stsb_spearman")) == [0, 2]


def test_other_options_other_data_or_another_folder_are_not_overwritten(command, finished, tmp_path):
    with pytest.raises(UserError, match="--temperature was 0.05, now 0.1"):
        training.main([*command, "--temp", "0.1"])
    with open(command[3], "a") as file:
        file.write("\none more sentence\n")
    with pytest.raises(UserError, match="train_file_sha256"):
        training.main(command)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty and no run"):
        training.main([*command, "--output_dir", str(tmp_path / "mine")])
    training.main([*command, "--max_steps", "1", "--output_dir", str(tmp_path / "mine"), "--overwrite_output_dir"])
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize(
    "bad",
    [
        ["--train_file", "no.txt"],
        ["--model_name_or_path", "./none"],
        ["--report_to", "nowhere"],
        ["--optim_args", "zzz"],
        ["--learning_rate", "-1"],
        ["--lr_scheduler_type", "cosine_with_min_lr"],
    ],
)
def test_options_that_cannot_be_run_do_not_cost_the_earlier_run(command, finished, bad):
    before = times(finished)
    with pytest.raises(UserError) as error:
        training.main([*command, "--overwrite_output_dir", *bad])
    assert "\n" not in str(error.value)
    assert times(finished) == before


@pytest.mark.parametrize("content", ["", "[1]"])
def test_damaged_arguments_are_named(command, finished, content):
    (finished / "arguments.json").write_text(content)
    with pytest.raises(UserError, match="arguments.json"):
        training.main(command)


@pytest.mark.parametrize(
    ("harm", "files"),
    [
        (Path.unlink, ["train_results.json", "model.safetensors", "eval_results.json"]),  # killed after its last step
        (lambda file: file.write_bytes(b""), ["model.safetensors"]),  # a power cut
    ],
)
def test_a_run_without_its_end_is_finished_again_without_a_step_more(command, finished, whole, harm, files):
    for name in files:
        harm(finished / name)
    training.main(command)
    assert not (finished / "checkpoint-7").exists()
    assert same_weights(finished, whole)
    assert (finished / "eval_results.json").read_text() == (whole / "eval_results.json").read_text()


def test_a_folder_that_was_moved_is_continued(command, killed_after, whole, tmp_path, capsys):
    killed_after(4, command)
    shutil.move(tmp_path / "out", tmp_path / "moved")
    training.main([*command, "--output_dir", str(tmp_path / "moved")])
    assert "continuing from" in capsys.readouterr().err
    assert same_weights(tmp_path / "moved", whole)
