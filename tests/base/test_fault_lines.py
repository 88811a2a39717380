"""What is said of faults, of places that nothing can be written to, and of programs that are ended."""

import errno
import os
import signal
import subprocess
import sys

import pytest
from safetensors import SafetensorError

from mixcse import cli
from mixcse.base.faults import one_line, reason
from mixcse.base.program import run_cli

PROGRAM = "import sys; from mixcse.base.program import run_cli; sys.exit(run_cli({}))"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EDQUOT, "x", "f"), "f cannot be written (Disk quota exceeded); make room"),
        (OSError(errno.EROFS, "x", "f"), "f cannot be written (Read-only file system); name a place"),
        (PermissionError(errno.EACCES, "x", "f"), "f: Permission denied; name a place that you have the rights for"),
        (OSError(errno.EIO, "x"), "Input/output error; check the disk"),
        (IsADirectoryError(errno.EISDIR, "x", "f"), "f: Is a directory; rename the folder that lies in its place"),
        (FileNotFoundError(errno.ENOENT, "x", "f"), "f: No such file or directory; check that"),
        (OSError("1000 requested and 20 written"), "the output cannot be written (only a part of it was); make room"),
        (OSError("Cannot find data file. \nOriginal error:\n[Errno 28] x"), "the output cannot be written (No space"),
        (RuntimeError("Parent directory /a/b does not exist."), "/a/b: No such file or directory; check that"),
        (RuntimeError("[x] . open file failed with strerror: Read-only file system"), "the output cannot be written"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), "the output cannot be"),
        (SafetensorError('I/O error: x (os error 30) at path "/a/.tmpx"'), "/a/.tmpx cannot be written (Read-only"),
        (OSError(errno.ENOMEM, "x"), "out of memory; free some, or take a smaller --batch_size"),
    ],
    ids=str,
)
def test_what_libraries_say(error, said):
    assert one_line(error).startswith(said)
    wrapped = RuntimeError("it failed")
    wrapped.__cause__ = error
    assert one_line(wrapped) == one_line(error) and reason(wrapped) == reason(error)


@pytest.mark.parametrize(
    "error",
    [ValueError("out of memory"), RuntimeError("a bug"), OSError("no errno"), FileExistsError(errno.EEXIST, "x")],
    ids=str,
)
def test_what_is_no_fault_of_the_machine(error):
    assert one_line(error) is None and reason(error) is None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_library_does_not_swallow_a_signal_at_its_import(number, code, tmp_path):
    """As torch does, whose import of numpy may fail."""
    (tmp_path / "swallows.py").write_text(
        f"import os\ntry:\n    os.kill(os.getpid(), {int(number)})\nexcept BaseException:\n    pass\n"
    )
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += PROGRAM.format("lambda _: __import__('swallows')")
    paths = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), *sys.path))}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=paths)
    assert (done.returncode, done.stderr) == (code, "\ninterrupted\n")


def test_a_terminated_program_leaves_nothing(tmp_path):
    """Neither a file that is half written, nor the folders that were made for it."""
    program = f"""
from mixcse.base.files import moved_when_written
def main(_):
    with moved_when_written({str(tmp_path / "new" / "deep" / "out.npy")!r}) as file:
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


def test_another_process_is_stopped_in_silence_when_the_first_one_has_said_it(monkeypatch, capsys):
    """torchrun stops it while it waits."""

    def stopped(_):
        raise KeyboardInterrupt

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("time.sleep", stopped)
    assert run_cli(cli.main, ["nothing"]) == 2
    assert capsys.readouterr() == ("", "")


def test_streams_that_are_closed_are_empty_and_their_numbers_are_taken(tmp_path):
    """Else what a library prints would go into a file of ours."""
    program = f"""
def main(_):
    with open({str(tmp_path / "out")!r}, "w") as file:
        print(sys.stdin.read(), "lost")
        file.write("ours")
"""
    words = [sys.executable, "-c", program + PROGRAM.format("main")]
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&-', "sh", *words], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out").read_text() == "ours"
