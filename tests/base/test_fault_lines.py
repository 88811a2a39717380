"""What is said of faults, of places that nothing can be written to, and of programs that are ended."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from mixcse import SentenceIndex, cli
from mixcse.base.errors import UserError
from mixcse.base.faults import one_line, reason
from mixcse.base.files import moved_when_written
from mixcse.base.program import run_cli


@pytest.fixture()
def lines(tmp_path, toy_sentences) -> Path:
    (tmp_path / "lines.txt").write_text("\n".join(toy_sentences[:20]))
    return tmp_path / "lines.txt"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EDQUOT, "x", "f"), "f cannot be written (Disk quota exceeded); make room"),
        (OSError(errno.EROFS, "x", "f"), "f cannot be written (Read-only file system); name a place"),
        (PermissionError(errno.EACCES, "x", "f"), "f: Permission denied; name a place that you have the rights for"),
        (OSError(errno.EIO, "x"), "Input/output error; check the disk"),
        (IsADirectoryError(errno.EISDIR, "x", "f"), "f: Is a directory; rename the folder that lies in its place"),
        (OSError(errno.ELOOP, "x", "f"), "f: Too many levels of symbolic links; remove the link that leads back"),
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


def test_odd_names_of_outputs(lines, tiny_bert, tmp_path, monkeypatch):
    """What leads nowhere is replaced; a name that is no UTF-8 is a name."""
    monkeypatch.chdir(tmp_path)
    os.symlink("loop.npy", "loop.npy")
    assert run_cli(cli.main, ["encode", "--model", str(tiny_bert), str(lines), "--output", "loop.npy"]) == 0
    assert len(np.load("loop.npy")) == 20
    search = ["search", "--model", str(tiny_bert), "a cat"]
    assert run_cli(cli.main, [*search, "--corpus", str(lines), "--save_index", "a\udcff"]) == 0
    assert run_cli(cli.main, [*search, "--index", "a\udcff"]) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_library_does_not_swallow_a_signal_at_its_import(number, code, tmp_path):
    """As torch does, whose import of numpy may fail."""
    (tmp_path / "swallows.py").write_text(
        f"import os\ntry:\n    os.kill(os.getpid(), {int(number)})\nexcept BaseException:\n    pass\n"
    )
    program = (
        f"import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.path += [{str(tmp_path)!r}]"
    )
    program += "; from mixcse.base.console import run_cli; sys.exit(run_cli(lambda _: __import__('swallows')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "\ninterrupted\n")


def test_another_process_is_stopped_in_silence_when_the_first_one_has_said_it():
    """As torchrun stops it."""
    with subprocess.Popen(
        [sys.executable, "-m", "mixcse", "nothing"], stderr=subprocess.PIPE, env=os.environ | {"RANK": "1"}
    ) as process:
        time.sleep(1.5)
        process.terminate()
        said = process.stderr.read()
    assert process.returncode in (2, 143) and b"Traceback" not in said and b"error" not in said


def test_an_index_on_a_full_disk(tmp_path, monkeypatch):
    """numpy tells of it by the bytes that it has written."""

    def cut_short(*_, **__):
        raise OSError("1000 requested and 20 written")

    monkeypatch.setattr(np, "save", cut_short)
    index = SentenceIndex(np.eye(2, dtype=np.float32), ["a", "b"], fingerprint="0" * 64)
    with pytest.raises(UserError, match=r"cannot be written \(only a part of it was; make room\)"):
        index.save(tmp_path / "index")


def test_an_error_that_cannot_be_said_has_its_exit_code():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "mixcse", "nothing"], stderr=full, check=False)
    assert done.returncode == 2


@pytest.mark.parametrize(
    "error",
    [ValueError("out of memory"), RuntimeError("a bug"), OSError("no errno"), FileExistsError(errno.EEXIST, "x")],
    ids=str,
)
def test_what_is_no_fault_of_the_machine(error):
    assert one_line(error) is None and reason(error) is None


def test_a_pipe_is_no_place_for_arrays(tiny_bert, lines, tmp_path, capsys):
    for name in ("pipe.npy", "pipe.parquet"):
        os.mkfifo(tmp_path / name)
        capsys.readouterr()
        arguments = ["encode", "--model", str(tiny_bert), str(lines), "--output", str(tmp_path / name)]
        assert run_cli(cli.main, arguments) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {tmp_path / name} is a pipe")


def test_no_name_has_a_nul(tmp_path):
    with pytest.raises(UserError, match="cannot be written .*null"), moved_when_written(tmp_path / "new" / "a\0.npy"):
        pass
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("closed", "arguments", "said"),
    [
        ("<&-", ["encode"], "standard input is closed"),
        (">&-", ["encode", "{lines}"], "standard output is closed"),
        ("<&-", ["search", "--corpus", "{lines}"], "standard input is closed"),
        (">&-", ["search", "--corpus", "{lines}", "cat"], "standard output is closed"),
        ("<&- >&-", ["encode", "{lines}", "--output", "{folder}/out.npy"], None),
    ],
)
def test_streams_that_are_closed(closed, arguments, said, tiny_bert, lines, tmp_path):
    arguments = [word.format(lines=lines, folder=tmp_path) for word in arguments]
    program = [sys.executable, "-m", "mixcse", *arguments, "--model", str(tiny_bert)]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *program], stderr=subprocess.PIPE, text=True)
    if said is None:
        assert done.returncode == 0
        assert len(np.load(tmp_path / "out.npy")) == 20
    else:
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith(f"error: {said}")


def test_a_terminated_encode_leaves_nothing(tiny_bert, tmp_path):
    out = tmp_path / "new" / "out.npy"
    program = [sys.executable, "-m", "mixcse", "encode", "--model", str(tiny_bert), "--output", str(out)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.glob("new/.writing-*")):  # it reads from us now
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
    assert process.returncode == 143
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())
