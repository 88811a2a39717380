"""`mixcse fetch`, and what it finds where the data goes."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input.case import Case, Place, file
from mixcse.base.errors import UserError
from mixcse.data.fetch import CORPUS, TASK_FOLDERS, fetch_corpus, fetch_senteval, unpack_senteval


def _corpus(name: str, make: Callable[[Place], Any], *says: str) -> Case:
    return Case(f"corpus: {name}", lambda place: fetch_corpus(place / "data"), says, make=make, raises=UserError)


def _tasks(name: str, make: Callable[[Place], Any], *says: str) -> Case:
    def does(place: Place) -> Path:
        return fetch_senteval(place / "target", place / "data")

    return Case(f"tasks: {name}", does, says, make=make, raises=UserError)


def _tar(*names: str, **attributes: Any) -> bytes:
    """An archive of files with these names; `attributes` are of tarfile's members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            for attribute, value in ({"size": 1} | attributes).items():
                setattr(info, attribute, value)
            archive.addfile(info, io.BytesIO(b"x" * info.size))
    return buffer.getvalue()


def _archive(name: str, content: bytes, *says: str) -> Case:
    def unpack(place: Place) -> None:
        unpack_senteval(place.folder / "x.tar", place.folder / "target")

    def make(place: Place) -> None:
        (place / "target").mkdir()
        (place / "x.tar").write_bytes(content)

    return Case(f"archive: {name}", unpack, ("{folder}/x.tar: ", *says, "fetch it again"), make, UserError)


_LINK = {"type": tarfile.SYMTYPE, "size": 0}
_FILES = [f"downstream/{name}/data.txt" for name in TASK_FOLDERS]
CASES = [
    Case("a word", ("fetch", "corpus"), ("unexpected argument 'corpus'",)),
    Case("an unknown option", ("fetch", "--force"), ("unknown option --force (see --help)",)),
    Case("an option misspelt", ("fetch", "--hlep"), ("unknown option --hlep; did you mean --help?",)),
    Case("an empty word", ("fetch", ""), ("unexpected argument ''",)),
    Case("an unknown command", ("fetsh",), ("unknown command 'fetsh'; did you mean fetch?",)),
    _corpus("the data folder is a file", file("data", "x"), "data is a file, no folder; name another"),
    _corpus("another file", file(f"data/{CORPUS}", "a line\n"), "not the paper's corpus", "delete it"),
    _corpus("an empty file", file(f"data/{CORPUS}", ""), "not the paper's corpus", "delete it"),
    _tasks("downstream is a file", file("target/downstream", "x"), "downstream", "delete downstream/ there"),
    _tasks("an empty downstream", lambda p: (p / "target/downstream").mkdir(parents=True), "delete downstream/ there"),
    _archive("a name outside", _tar("../../evil.txt"), "outside the destination"),
    _archive("a link outside", _tar("a", **_LINK, linkname="../../x"), "outside the destination"),
    _archive("a link to an absolute path", _tar("a", **_LINK, linkname="/etc/passwd"), "absolute path"),
    _archive("a pipe", _tar("a", type=tarfile.FIFOTYPE), "special file"),
    _archive("truncated", _tar(*_FILES)[:600], "cannot be unpacked"),
    _archive("truncated gzip", gzip.compress(_tar(*_FILES))[:-40], "cannot be unpacked"),
    _archive("a pointer of Git LFS", b"version https://git-lfs.github.com/spec/v1\n", "cannot be unpacked"),
    _archive("empty", b"", "cannot be unpacked"),
    _archive("a task is missing", _tar(*_FILES[1:]), "no folder STS"),
    _archive("task files are missing", _tar(*_FILES), "STS12", "No such file"),
]
