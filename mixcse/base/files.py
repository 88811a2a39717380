"""Where the repository lies; writing without leaving halves behind: write aside, then rename."""

import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from mixcse.base.errors import UserError, first_line

ROOT = Path(__file__).parents[2]
ASIDE = ".writing-"  # how the names of what is not yet written to its end begin


def write_text(path: str | Path, text: str) -> None:
    """Writes a file in full or not at all; makes its folder.  A device or pipe is written to as it is."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    aside = _aside(path)
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """As `write_text`, indented; numpy's numbers are written as numbers, NaN and infinity as null."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """The value in a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


@contextmanager
def written_aside(folder: str | Path, last: str | None = None) -> Iterator[Path]:
    """Gives an empty folder to write into; on success its files move into `folder`, subfolders too.

    Args:
        last: the file without which the others are nothing: where it is, they are all of one writing.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=folder))
    try:
        yield aside
        if last is not None:
            (folder / last).unlink(missing_ok=True)
        files = (path for path in aside.rglob("*") if path.is_file())
        for file in sorted(files, key=lambda path: (path.name == last, path)):
            follow_umask(file)
            place = folder / file.relative_to(aside)
            place.parent.mkdir(exist_ok=True)
            os.replace(file, place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def follow_umask(file: Path) -> None:
    """Gives a file the permissions that new ones have: safetensors makes its own private."""
    umask = os.umask(0)
    os.umask(umask)
    file.chmod(0o666 & ~umask)


@contextmanager
def moved_when_written(path: str | Path) -> Iterator[BinaryIO]:
    """Gives a file to write a large one into; on success it takes the place of `path`, whose folder is made.

    Without success nothing is left, folders included.  A device or pipe is written to as it is.

    Raises:
        UserError: it cannot be written there.
    """
    path = Path(path)
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        special = path.exists() and not path.is_file()
        aside = path if special else _aside(path)
        file = open(aside, "wb")
    except (OSError, ValueError) as error:  # a ValueError, if its name holds a NUL
        _remove_empty(made)
        raise UserError(f"{path} cannot be written ({getattr(error, 'strerror', error)})") from error
    try:
        with file:
            yield file
        if not special:
            os.replace(aside, path)
    except OSError as error:  # the disk is full, say
        if isinstance(error, BrokenPipeError):
            raise
        raise UserError(f"{path} cannot be written ({error.strerror or first_line(error)})") from error
    finally:
        if not special:
            aside.unlink(missing_ok=True)
        if not path.exists():
            _remove_empty(made)


def check_name(path: Path) -> None:
    """Raises OSError for a name that is too long; of one, `Path.exists` of newer Pythons says that it is not there."""
    try:
        path.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise
    except ValueError:  # there is a NUL character in it
        return


def check_place(folder: Path, option: str) -> None:
    """Raises UserError, now rather than at the end of the work, for a folder that cannot be made or written to.

    Args:
        option: that names it, for the message.
    """
    if "\0" in str(folder):
        raise UserError(f"{option} {str(folder)!r}: the name of a folder has no NUL character in it")
    try:
        check_name(folder)
        there = (folder, *folder.absolute().parents)
        nearest = next(one for one in there if one.exists() or one.is_symlink())
        is_folder, is_there = nearest.is_dir(), nearest.exists()
    except OSError as error:
        raise UserError(f"{option} {str(folder)[:80]}: {error.strerror}; name another folder") from error
    if not is_there:
        raise UserError(f"{option} {folder}: {nearest} is a link to nowhere; name another folder")
    if not is_folder:
        raise UserError(f"{option} {folder}: {nearest} is a file, no folder; name another folder")
    if not os.access(nearest, os.W_OK):
        raise UserError(f"{option} {folder}: cannot write into {nearest}; name another folder")


def remove_asides(folder: Path) -> None:
    """Removes what writing left in a folder when it was killed; nobody may be writing there now."""
    for path in folder.glob(f"{ASIDE}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _aside(path: Path) -> Path:
    return path.with_name(f"{ASIDE}{path.name}.{os.getpid()}")


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError, ValueError):  # somebody else's file is in it, or it was never made
            folder.rmdir()


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain(value: Any) -> Any:
    """Numpy's and scipy's values in JSON's types: correlations as numbers, NaN and infinity as None."""
    if hasattr(value, "statistic"):  # scipy's pearsonr and spearmanr
        value = float(value.statistic)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
