"""How a program ends: errors that have one line, other errors, signals, a closed pipe."""

import errno
import os
import signal
import subprocess
import sys

import pytest
import torch

from mixcse import cli
from mixcse.base.errors import UserError
from mixcse.base.files import moved_when_written
from mixcse.base.program import run_cli

PROGRAM = "import sys; from mixcse.base.program import run_cli; sys.exit(run_cli({}))"


def raises(error: BaseException):
    def main(_):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("no\x1b[2J\nsuch option"), "no\\x1b[2J\\nsuch option"),
        (OSError(errno.ENOSPC, "No space left on device", "a/f"), "a/f: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (OSError("1000 requested and 20 written"), "1000 requested and 20 written"),
        (MemoryError(), "out of memory; give a smaller --batch_size or --max_seq_length"),
        (torch.OutOfMemoryError("CUDA"), "out of memory; give a smaller --batch_size or --max_seq_length"),
    ],
    ids=repr,
)
def test_errors_with_one_line(error, line, capsys):
    assert run_cli(raises(error), []) == 2
    assert capsys.readouterr() == ("", f"error: {line}\n")


def test_other_errors_are_raised():
    with pytest.raises(RuntimeError, match="a bug"):
        run_cli(raises(RuntimeError("a bug: out of memory")), [])


def test_a_full_disk_names_the_file_that_was_to_be_written(tmp_path):
    with pytest.raises(OSError) as raised, moved_when_written(tmp_path / "new" / "out.npy"):
        raise OSError(errno.ENOSPC, "No space left on device")  # as a write raises it
    assert raised.value.filename == str(tmp_path / "new" / "out.npy")
    assert not list((tmp_path / "new").iterdir())


def test_a_terminated_program_leaves_no_half_written_file(tmp_path):
    program = f"""
from mixcse.base.files import moved_when_written
def main(_):
    with moved_when_written({str(tmp_path / "out.npy")!r}) as file:
        print(file.name, flush=True)
        sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program + PROGRAM.format("main")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert ".writing-out.npy" in process.stdout.readline() and list(tmp_path.iterdir())
        process.terminate()
        said = process.stderr.read()
    assert (process.returncode, said) == (143, "\ninterrupted\n")
    assert not list(tmp_path.iterdir())


def test_a_closed_pipe_is_quiet():
    program = "def main(_):\n    while True: print('x' * 1000)\n"
    words = [sys.executable, "-c", program + PROGRAM.format("main")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output():
    words = [sys.executable, "-c", PROGRAM.format("lambda _: print('x', flush=True)")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(number, code):
    program = f"import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler); n = {int(number)}\n"
    words = [sys.executable, "-c", program + PROGRAM.format("lambda _: os.kill(os.getpid(), n)")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "\ninterrupted\n")


def test_under_torchrun_only_the_first_process_reports(monkeypatch, capsys):
    waited = []
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("time.sleep", waited.append)
    assert run_cli(cli.main, ["nothing"]) == 2
    assert capsys.readouterr() == ("", "") and waited
