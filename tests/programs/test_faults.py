"""A disk that fills up: an error and an exit code, nothing half written, and the same command goes on afterwards."""

import errno
import os
import re
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from run_folder import same_weights
from safetensors import SafetensorError

from mixcse import cli
from mixcse.base.program import run_cli
from mixcse.train.checkpoints import complete_checkpoints, newest_usable

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
RANDOM = re.compile(r"(?<=\.writing-)[a-z0-9_]{8}(?=$|/)|\btmp[a-z0-9_]{8}$|\b\d{3,}\b")  # parts of temporary names


class FullDisk:
    """Fails once at each operation that writes below a folder: open, mkdir and rename, and two libraries' writers."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.failed: list[str] = []

    def meets(self, operation: str, path: object) -> bool:
        """Return whether this operation fails: it writes below the folder and has not failed yet."""
        if self.folder is None or not isinstance(path, str | bytes | os.PathLike):
            return False
        place = os.path.abspath(os.fsdecode(path))
        name = f"{operation} {RANDOM.sub('*', os.path.relpath(place, self.folder))}"
        if not place.startswith(f"{self.folder}{os.sep}") or name in self.failed:
            return False
        self.failed.append(name)
        return True

    def audit(self, event: str, arguments: tuple) -> None:
        """Raise OSError as the operating system does."""
        writes = event in ("os.mkdir", "os.rename") or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        )
        path = arguments[1] if event == "os.rename" else arguments[0] if writes else None
        if writes and self.meets(event, path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fsdecode(path))


DISK = FullDisk()
sys.addaudithook(DISK.audit)  # cannot be removed; idle unless a folder is set


@pytest.fixture()
def full_disk(monkeypatch):
    """Return a function that starts the failures below a folder."""

    def failing(owner, name, place, error):
        write = getattr(owner, name)

        def wrapped(*arguments, **keywords):
            if DISK.meets(name, arguments[place]):
                raise error
            return write(*arguments, **keywords)

        monkeypatch.setattr(owner, name, wrapped)

    failing(safetensors.torch, "serialize_file", 1, SafetensorError("I/O error: No space left (os error 28)"))
    failing(torch, "save", 1, RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 5 vs 4"))

    def start(folder: Path) -> FullDisk:
        DISK.folder, DISK.failed = folder, []
        return DISK

    yield start
    DISK.folder = None


def repeat(arguments, disk, capsys, after=lambda said: None) -> None:
    """Give the same command until every write has failed once and the command succeeds."""
    for _ in range(200):
        failed = len(disk.failed)
        capsys.readouterr()
        try:
            code = run_cli(cli.main, arguments)
        except (SafetensorError, RuntimeError):  # the libraries' own errors keep their traceback
            code = 1
        said = capsys.readouterr().err
        if code == 0:
            assert len(disk.failed) == failed, disk.failed[failed:]  # a failure that was not reported
            return
        assert len(disk.failed) > failed
        assert code == 1 or "No space left on device" in said.splitlines()[-1], said
        after(said if code == 2 else "")
    raise AssertionError(disk.failed)


def test_a_run_goes_on_after_each_write_has_failed(command, tmp_path, bare_runs, full_disk, capsys):
    arguments = ["train", *command, "--max_steps", "2"]
    out, whole = tmp_path / "out", tmp_path / "whole"
    assert run_cli(cli.main, [*arguments, "--output_dir", str(whole)]) == 0

    def good_checkpoints_are_left(said: str) -> None:
        there = complete_checkpoints(out) if out.exists() else {}
        assert newest_usable(out) == (there[max(there)] if there else None)
        assert not said or ("goes on from step" if there else "starts again") in said

    disk = full_disk(out)
    repeat(arguments, disk, capsys, good_checkpoints_are_left)
    written = " ".join(disk.failed)
    assert all(name in written for name in (".lock", "arguments.json", "serialize_file", "trainer_state.json"))
    assert same_weights(out, whole)
    assert (out / "eval_results.json").read_text() == (whole / "eval_results.json").read_text()
    assert {path.relative_to(out) for path in out.rglob("*")} == {path.relative_to(whole) for path in whole.rglob("*")}


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "--model", "{model}", "{lines}", "--output", "{out}/deep/e.npy"],
        ["encode", "--model", "{model}", "{lines}", "--output", "{out}/deep/e.parquet"],
        ["encode", "--model", "{model}", "{lines}", "--output", "{out}/deep/e.jsonl"],
        ["search", "--model", "{model}", "--corpus", "{lines}", "--save_index", "{out}/deep/index", "the cat"],
        ["evaluate", "--model", "{model}", "--tasks", "STSBenchmark", "--senteval_data", "{senteval}"]
        + ["--output_json", "{out}/deep/scores.json"],
    ],
    ids=lambda arguments: arguments[0] + Path(arguments[-1]).suffix,
)
def test_other_programs_leave_nothing_half_written(
    arguments, tmp_path, tiny_bert, toy_senteval, toy_sentences, full_disk, capsys
):
    out, lines = tmp_path / "out", tmp_path / "lines.txt"
    lines.write_text("\n".join(toy_sentences[:20]))
    out.mkdir()
    places = {"model": tiny_bert, "lines": lines, "out": out, "senteval": toy_senteval}

    def nothing_is_left(_: str) -> None:
        assert not [*out.rglob(".*"), *out.rglob("e.*"), *out.rglob("index.json")]

    disk = full_disk(out)
    repeat([word.format(**places) for word in arguments], disk, capsys, nothing_is_left)
    assert len(disk.failed) >= 3
    assert [path for path in out.rglob("*") if path.is_file()]
