"""Which checkpoints are used, kept and removed; runs that had to fall back on an earlier one."""

import errno
import os

import pytest
from run_folder import logged, same_weights

from mixcse.base.errors import UserError
from mixcse.base.files import read_json, write_json
from mixcse.train import run as training
from mixcse.train.checkpoints import checkpoints, newest_usable, prune, write_checksums
from mixcse.train.folder import RunFolder

pytestmark = pytest.mark.usefixtures("undrawn")


def write(folder, step, best=None):
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "adapter").mkdir(parents=True)
    (checkpoint / "adapter" / "weights").write_bytes(b"adapted")
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (checkpoint / name).write_bytes(b"weights")
    best = best and f"elsewhere/checkpoint-{best}"
    write_json(checkpoint / "trainer_state.json", {"global_step": step, "best_model_checkpoint": best})
    write_checksums(checkpoint)
    return checkpoint


def truncated(file):
    file.write_bytes(file.read_bytes()[:-2])


def one_bit_changed(file):
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)


def without(path, name):
    (path / name).unlink()
    write_checksums(path)


DAMAGES = {
    "shorter": (lambda path: truncated(path / "model.safetensors"), "model.safetensors has 5 bytes, not 7"),
    "one bit": (lambda path: one_bit_changed(path / "model.safetensors"), "model.safetensors is damaged"),
    "gone": (lambda path: (path / "trainer_state.json").unlink(), "trainer_state.json is missing"),
    "no checksums": (lambda path: (path / "checksums.json").unlink(), "it has no checksums.json"),
    "empty checksums": (lambda path: (path / "checksums.json").write_text("{}"), "checksums.json names no files"),
    # As --save_only_model writes it: whole, but training would go on otherwise from it.
    "no optimizer": (lambda path: without(path, "optimizer.pt"), "it has no optimizer.pt"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(name, tmp_path, capsys):
    damage, says = DAMAGES[name]
    before, newest = write(tmp_path, 9), write(tmp_path, 10)
    assert newest_usable(tmp_path) == newest
    assert capsys.readouterr().err == ""
    damage(newest)
    assert newest_usable(tmp_path) == before
    assert f"warning: {newest} is skipped: {says}" in capsys.readouterr().err


def test_without_any_it_starts_from_the_first_step(tmp_path, capsys):
    assert newest_usable(tmp_path) is None
    assert capsys.readouterr().err == ""
    truncated(write(tmp_path, 2) / "model.safetensors")
    assert newest_usable(tmp_path) is None
    assert "starting from step 0" in capsys.readouterr().err


def test_the_best_one_is_needed_as_well(tmp_path, capsys):
    first, best = write(tmp_path, 2), write(tmp_path, 4, best=4)
    newest = write(tmp_path, 6, best=4)
    without(best, "optimizer.pt")  # it is needed for its weights
    assert newest_usable(tmp_path) == newest
    truncated(best / "model.safetensors")
    assert newest_usable(tmp_path) == first
    assert f"{newest} is skipped: the best one up to then, checkpoint-4, is unusable" in capsys.readouterr().err


def test_the_newest_and_the_best_are_kept_by_number_not_by_time(tmp_path):
    """A clock that was set back makes the newest checkpoint the oldest file."""
    for step in (2, 4, 8, 10, 12):
        os.utime(write(tmp_path, step), (10_000 - step, 10_000 - step))
    (tmp_path / "checkpoint-x").mkdir()
    prune(tmp_path, 2, tmp_path / "checkpoint-4")
    assert list(checkpoints(tmp_path)) == [4, 10, 12]
    prune(tmp_path, None, None)
    prune(tmp_path, 0, None)
    assert list(checkpoints(tmp_path)) == [4, 10, 12]
    prune(tmp_path, 1, None)
    assert list(checkpoints(tmp_path)) == [12]
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-12", "checkpoint-x"}


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(command, killed_after, whole, tmp_path, capsys):
    """Which is kept until the run has finished, for its fault may be one of reading."""
    out = tmp_path / "out"
    killed_after(4, command)
    truncated(out / "checkpoint-4" / "optimizer.pt")
    before = (out / "checkpoint-4" / "optimizer.pt").read_bytes()
    killed_after(4, command)
    assert list(checkpoints(out)) == [2, 4]
    assert (out / "skipped-checkpoint-4" / "optimizer.pt").read_bytes() == before
    truncated(out / "checkpoint-4" / "rng_state.pth")
    capsys.readouterr()
    training.main(command)
    said = capsys.readouterr().err
    assert f"warning: {out / 'checkpoint-4'} is skipped: rng_state.pth has " in said
    assert f"continuing from {out / 'checkpoint-2'}" in said
    assert same_weights(out, whole)
    assert logged(out, "eval_stsb_spearman") == logged(whole, "eval_stsb_spearman")
    assert newest_usable(out) == out / "checkpoint-6"
    assert not list(out.glob("skipped-*"))


def test_a_run_killed_before_it_removed_its_last_old_checkpoint(command, tmp_path, monkeypatch):
    command += ["--max_steps", "8"]
    with monkeypatch.context() as patch:
        patch.setattr("mixcse.train.callbacks.prune", lambda *given: None)
        training.main(command)
    out = tmp_path / "out"
    assert list(checkpoints(out)) == [2, 4, 6, 8]
    (out / "train_results.json").unlink()
    training.main(command)
    best = read_json(out / "trainer_state.json")["best_global_step"]
    assert set(checkpoints(out)) == {best, 6, 8}


def test_a_second_run_in_the_folder_is_refused(command, finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    with RunFolder(finished, {}).locked():
        for more in ([], ["--overwrite_output_dir"]):
            with pytest.raises(UserError, match=r"--output_dir .*out: another run is writing there"):
                training.main([*command, *more])
        assert before == {path: path.stat().st_mtime_ns for path in before}
    assert not (finished / ".lock").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_has_none(tmp_path, monkeypatch, number):
    def refuse(self, *_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with RunFolder(tmp_path / "out", {}).locked():
        (tmp_path / "out" / "a.txt").touch()
