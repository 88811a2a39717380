"""Sentences of a file, one after the other."""

from collections.abc import Iterator
from pathlib import Path

from mixcse.console import UserError


def iter_sentences(path: str | Path, column: str | None = None) -> Iterator[str]:
    """The lines of a .txt file, without their ends; memory does not grow with the file.

    Raises:
        UserError: it cannot be read, or is not UTF-8.
    """
    path = Path(path)
    if path.suffix != ".txt" or column is not None:
        raise UserError(f"{path}: expected a .txt file, and no column")
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as file:
            for line in file:
                yield line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
