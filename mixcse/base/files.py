"""Where the repository lies; writing without leaving halves behind: write aside, then rename."""

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mixcse.base.errors import UserError

ROOT = Path(__file__).resolve().parents[2]  # links lead here, see pyproject.toml
ASIDE = ".writing-"  # how the names of what is not yet written to its end begin


@contextmanager
def _renamed_when_written(path: Path) -> Iterator[Path]:
    """Yield the name of a temporary file that replaces `path` on success; a device is written directly."""
    is_device = path.exists() and not path.is_file()
    temporary = path if is_device else path.with_name(f"{ASIDE}{path.name}.{os.getpid()}")
    try:
        yield temporary
        if not is_device:
            os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a write to a full disk does not name its file
        raise
    finally:
        if not is_device:
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a file in full or not at all; makes its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _renamed_when_written(path) as place:
        place.write_text(text, encoding="utf-8")


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
    """Yield a binary file that replaces `path` on success; create its folder.  Without success no file is left."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _renamed_when_written(path) as temporary, open(temporary, "wb") as file:
        yield file


def check_place(folder: Path, option: str) -> None:
    """Raises UserError, now rather than at the end of the work, for a folder that cannot be made or written to.

    Args:
        option: that names it, for the message.
    """
    nearest = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    if not nearest.is_dir():
        wrong = f"{nearest} is {'a file, no folder' if nearest.exists() else 'a link to nowhere'}"
    elif not os.access(nearest, os.W_OK):
        wrong = f"cannot write into {nearest}"
    else:
        return
    raise UserError(f"{option} {folder}: {wrong}; name another folder")


def remove_asides(folder: Path) -> None:
    """Removes what writing left in a folder when it was killed; nobody may be writing there now."""
    for path in folder.glob(f"{ASIDE}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


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
