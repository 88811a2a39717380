"""Faults of the machine: one line, an exit code that is not 0, and the same command goes on once they are gone."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import datasets
import pytest
from faulty_disk import faulty_disk
from run_folder import same_weights
from transformers import TrainerCallback

from mixcse import cli
from mixcse.base.errors import UserError
from mixcse.base.program import run_cli
from mixcse.data.archives import unpack
from mixcse.train import run as training
from mixcse.train.checkpoints import checkpoints, newest_usable

MANY = 200  # more attempts than there are writes


def the_error(capsys) -> str:
    """The last line on stderr, which has to be the only one about an error."""
    *others, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and len(line) < 700
    assert not [other for other in others if "error" in other.lower() or "Traceback" in other]
    return line


def repeated(arguments, disk, capsys, after=lambda said: None) -> None:
    """The same command until the disk has failed at all of its writes, and it succeeds."""
    for _ in range(MANY):
        failed = len(disk.failed)
        capsys.readouterr()
        if run_cli(cli.main, arguments) == 0:
            assert len(disk.failed) == failed, disk.failed[failed:]  # a fault that nobody was told of
            return
        assert len(disk.failed) > failed
        said = the_error(capsys)
        assert "make room" in said or "No space left" in said, (disk.failed[-1], said)
        after(said)
    raise AssertionError(disk.failed)


def test_a_run_goes_on_after_a_full_disk_at_each_of_its_writes(command, tmp_path, bare_runs, capsys):
    arguments = ["train", *command, "--max_steps", "4"]
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert run_cli(cli.main, [*arguments, "--output_dir", str(whole)]) == 0

    def good_ones_are_left(said: str) -> None:
        there = checkpoints(out) if out.exists() else {}
        assert newest_usable(out) == (there[max(there)] if there else None)
        assert ("goes on from step" if there else "starts again") in said
        assert not [path for path in out.glob(".*") if path.name != ".lock"]

    with faulty_disk(out, spared="checkpoint-2/") as disk:
        repeated(arguments, disk, capsys, good_ones_are_left)
    written = {name.split(" ")[1] for name in disk.failed}
    assert written >= {".lock", "arguments.json", "checkpoint-2", "checkpoint-4", "model.safetensors", "README.md"}
    aside = {Path(name).name for name in written if name.startswith(".writing-checkpoint-4/checkpoint-4/")}
    assert aside >= {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "checksums.json"}
    assert same_weights(out, whole)
    for name in ("eval_results.json", "arguments.json", "README.md"):
        ours, theirs = ((folder / name).read_text() for folder in (out, whole))
        assert ours == theirs.replace(str(whole), str(out)).replace("whole", "out"), name
    assert {path.relative_to(out) for path in out.rglob("*")} == {path.relative_to(whole) for path in whole.rglob("*")}


def test_a_finished_run_is_drawn_after_a_full_disk(command, tmp_path, capsys):
    out = tmp_path / "out"
    assert run_cli(cli.main, arguments := ["train", *command, "--max_steps", "2"]) == 0
    (out / "curves.png").unlink()
    with faulty_disk(out) as disk:
        repeated(arguments, disk, capsys)
    assert "os.rename curves.png" in disk.failed
    assert (out / "curves.png").exists()


@pytest.fixture()
def lines(tmp_path, toy_sentences) -> Path:
    (tmp_path / "lines.txt").write_text("\n".join(toy_sentences[:20]))
    return tmp_path / "lines.txt"


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "--model", "{model}", "{lines}", "--output", "{out}/deep/e.npy"],
        ["encode", "--model", "{model}", "{lines}", "--output", "{out}/deep/e.parquet"],
        ["encode", "--model", "{model}", "{lines}", "--output", "{out}/deep/e.jsonl"],
        ["search", "--model", "{model}", "--corpus", "{lines}", "--save_index", "{out}/deep/index", "the cat"],
        ["evaluate", "--model_name_or_path", "{model}", "--tasks", "STSBenchmark", "--senteval_data", "{senteval}"]
        + ["--output_json", "{out}/deep/scores.json"],
    ],
    ids=lambda arguments: arguments[0] + Path(arguments[-1]).suffix,
)
def test_other_programs_leave_nothing_half_written(arguments, tmp_path, tiny_bert, toy_senteval, lines, capsys):
    out = tmp_path / "out"
    places = {"model": tiny_bert, "lines": lines, "out": out, "senteval": toy_senteval}
    out.mkdir()

    def nothing_is_left(_: str) -> None:
        assert not [*out.rglob(".*"), *out.rglob("e.*"), *out.rglob("index.json")]

    with faulty_disk(out) as disk:
        repeated([word.format(**places) for word in arguments], disk, capsys, nothing_is_left)
    assert len(disk.failed) >= 3
    assert [path for path in out.rglob("*") if path.is_file()]


def test_a_full_disk_while_an_archive_is_unpacked(tmp_path):
    """The archive is not to blame, and is not to be fetched again."""
    archive, target = tmp_path / "a.tar", tmp_path / "target"
    with tarfile.open(archive, "w") as tar:
        for name in ("STS/one.txt", "SICK/two.txt"):
            member = tarfile.TarInfo(name)
            member.size = 5
            tar.addfile(member, io.BytesIO(b"lines"))
    with faulty_disk(target) as disk:
        for _ in range(20):
            target.mkdir()
            before = len(disk.failed)
            try:
                unpack(archive, target)
                break
            except UserError as error:
                assert "No space left on device" in str(error) and "make room" in str(error)
                assert len(disk.failed) == before + 1
            shutil.rmtree(target)
    assert {name.split()[0] for name in disk.failed} == {"open", "os.mkdir"} and len(disk.failed) == 4
    assert (target / "SICK" / "two.txt").read_bytes() == b"lines"


def test_records_of_experiments(flags, tmp_path, in_process, bare_runs, capsys):
    results = tmp_path / "results"
    with faulty_disk(results) as disk:
        repeated(["reproduce", "run", "selection", "--seeds", "0", *flags], disk, capsys)
    records = sorted(path.name for path in results.rglob("*") if path.is_file())
    assert len(records) == 2
    assert {f"os.rename runs/{name}" for name in records} <= set(disk.failed)
    trained = [arguments for script, arguments in in_process if script == "train.py"]
    assert len(trained) > 2 and not list((tmp_path / "work").rglob("checkpoint-*"))


def test_a_full_disk_under_the_cache_is_said_as_such(command, tmp_path, bare_runs, capsys, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)

    def the_cache_is_named(said: str) -> None:
        assert str(cache) in said and "HF_DATASETS_CACHE" in said
        assert not (tmp_path / "out").exists()

    with faulty_disk(cache) as disk:
        repeated(["train", *command, "--max_steps", "2"], disk, capsys, the_cache_is_named)
    assert len(disk.failed) > 3


WITHOUT_SPACE = """
import json, subprocess, sys
import torch
from mixcse import cli
from mixcse.train import ending, run as training
from mixcse.data.archives import unpack
from mixcse.train.checkpoints import checkpoints, newest_usable
from mixcse.base.errors import UserError
from mixcse.base.program import run_cli
from transformers import TrainerCallback
from pathlib import Path

torch.set_num_threads(1)  # as the tests
place, arguments = Path(sys.argv[1]), json.loads(sys.argv[2])
ending.draw = lambda folder: None

def mount(options, where=place):
    subprocess.run(["mount", "-o", options, "-t", "tmpfs", "none", where], check=True)

class ReadOnly(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if state.global_step == 5:
            mount("ro", place / "out")

def attempt(*callbacks):
    train = training.train
    training.train = lambda *parsed: train(*parsed, callbacks)
    code = run_cli(cli.main, ["train", *arguments, "--output_dir", str(place / "out")])
    training.train = train
    last = newest_usable(place / "out")
    sys.stderr.write(json.dumps([code, sorted(checkpoints(place / "out")), last and last.name]) + "\\n")

mount("size=40k")
for size in (80, 160, 240, 320, 480):
    attempt()
    mount(f"remount,size={size}k")
mount("remount,size=4m")
attempt(ReadOnly())
subprocess.run(["umount", place / "out"], check=True)
attempt()
subprocess.run(["cp", "-r", place / "out", sys.argv[3]], check=True)
"""


@pytest.fixture()
def own_mounts():
    """The command that gives a program mounts of its own; they end with it."""
    command = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    try:
        subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs to mount a small disk: {error}")
    return command


def test_a_small_disk_and_one_that_turns_read_only(command, tmp_path, bare_runs, own_mounts):
    """A real file system: libraries that write without Python meet it too."""
    arguments = [*command, "--eval_strategy", "no", "--save_steps", "2"]
    place, whole = tmp_path / "disk", tmp_path / "whole"
    place.mkdir()
    training.main([*arguments, "--output_dir", str(whole)])
    script = [sys.executable, "-c", WITHOUT_SPACE, str(place), json.dumps(arguments), str(tmp_path / "copy")]
    done = subprocess.run([*own_mounts, *script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    outcomes = [json.loads(line) for line in lines if line.startswith("[")]
    said = [lines[place - 1] for place, line in enumerate(lines) if line.startswith("[")]
    assert [code for code, _, _ in outcomes] == [2] * (len(outcomes) - 1) + [0]
    assert all(line.startswith("error: ") for line in said[:-1])
    assert all(last == (f"checkpoint-{there[-1]}" if there else None) for _, there, last in outcomes)
    assert [2] in [there for _, there, _ in outcomes]  # one of the sizes holds a checkpoint, but not two
    assert "No space left on device" in said[0] and "Read-only file system" in said[-2]
    assert same_weights(tmp_path / "copy", whole)


class Vandal(TrainerCallback):
    """Does something to the output folder after a step."""

    def __init__(self, step, harm):
        self.step, self.harm = step, harm

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            self.harm(Path(args.output_dir))


def replace_by_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("mine")


@pytest.mark.parametrize("harm", [shutil.rmtree, replace_by_a_file])
def test_an_output_folder_that_vanishes(command, tmp_path, bare_runs, monkeypatch, capsys, harm):
    out, whole = tmp_path / "out", tmp_path / "whole"
    training.main([*command, "--output_dir", str(whole)])
    train = training.train
    with monkeypatch.context() as patch:
        patch.setattr(training, "train", lambda *parsed: train(*parsed, callbacks=[Vandal(5, harm)]))
        capsys.readouterr()
        code = run_cli(cli.main, ["train", *command])
    line = the_error(capsys)
    assert code == 2 and str(out) in line and "starts again" in line
    if out.is_file():
        assert out.read_text() == "mine"
        out.unlink()
    training.main(command)
    assert same_weights(out, whole)
