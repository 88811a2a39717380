"""A disk that is full at the next write of a kind that it has not failed at yet; then at the one after."""

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError
from transformers import PreTrainedTokenizerFast

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
OPERATIONS = ("open", "os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate")
# Names of what is written aside, process ids, hashes.
RANDOM = re.compile(r"(?<=\.writing-)[a-z0-9_]{8}(?=$|/)|\btmp[a-z0-9_]{8}$|\b\d{3,}\b|[0-9a-f]{16,}")

_watching: "FaultyDisk | None" = None


class FaultyDisk:
    """Fails once at each operation that writes below a folder: at files' opening, at making and renaming them.

    Attributes:
        failed: what has failed, as "operation path", the last one at the end.
    """

    def __init__(self, folder: Path, spared: str | None) -> None:
        self.folder, self.spared = folder, spared
        self.failed: list[str] = []

    def meets(self, operation: str, path: Any) -> bool:
        """Notes an operation, if it is a new one here."""
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        place = os.path.abspath(os.fsdecode(path))
        if not place.startswith(f"{self.folder}{os.sep}"):
            return False
        name = f"{operation} {RANDOM.sub('*', os.path.relpath(place, self.folder))}"
        if name in self.failed or (self.spared and self.spared in name):
            return False
        self.failed.append(name)
        return True


@contextmanager
def faulty_disk(folder: Path, spared: str | None = None) -> Iterator[FaultyDisk]:
    """Python's own operations, and the libraries' that write without it: their errors are as they were seen to be.

    Args:
        spared: a part of the names of those that do not fail.
    """
    global _watching
    disk = FaultyDisk(folder, spared)
    patch = pytest.MonkeyPatch()
    fail_at(
        patch, disk, safetensors.torch, "serialize_file", 1, SafetensorError("I/O error: No space left (os error 28)")
    )
    fail_at(
        patch, disk, torch, "save", 1, RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 5 vs 4")
    )
    fail_at(
        patch, disk, PreTrainedTokenizerFast, "_save_pretrained", 1, Exception("No space left on device (os error 28)")
    )
    _watching = disk
    try:
        yield disk
    finally:
        _watching = None
        patch.undo()


def fail_at(patch: pytest.MonkeyPatch, disk: FaultyDisk, owner: Any, name: str, place: int, error: Exception) -> None:
    """Has a function fail whose `place`-th argument is the path it writes to."""
    function = getattr(owner, name)

    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        path = arguments[place] if len(arguments) > place else next(iter(keywords.values()))
        if disk.meets(name, path):
            raise error
        return function(*arguments, **keywords)

    patch.setattr(owner, name, wrapped)


def _full(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching is None or event not in OPERATIONS:
        return
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITES):
        return
    path = arguments[1] if event == "os.rename" else arguments[0]
    if _watching.meets(event, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fsdecode(path))


sys.addaudithook(_full)  # it cannot be removed, and does nothing between the tests that need it
