"""Files of sentences: which there are, their columns, and their sentences one at a time."""

import glob
import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from mixcse.base.console import once, say
from mixcse.base.errors import UserError, first_line
from mixcse.data.columns import choose_among
from mixcse.data.formats import FORMATS, half_character, open_bytes, plain_lines, text_fault

KNOWN = "expected .txt, .csv, .tsv, .json, .jsonl or .parquet, each also .gz"


def iter_sentences(path: str | Path, column: str | None = None) -> Iterator[str]:
    """The sentences of a file, one at a time.

    Args:
        path: of any of `FORMATS`, also compressed (`.gz`); `-` is stdin, a sentence a line.
        column: of a file with columns; by default the one with a known name, else the only one of text.

    Raises:
        UserError: the file is missing, malformed or of another kind, or has no such column; it names the line.
            What lies at the file's start is found in the call, the rest on the way.
    """
    if str(path) == "-":
        if column is not None:
            raise UserError(f"stdin is plain text and has no column {column!r}")
        return _stdin_lines()
    path = Path(path)
    check_file(path)
    columns, _ = choose_columns(path, [] if column is None else [column], alone=True)
    if column is None and kind_of(path) != ".txt":
        once(say, f"{path}: sentences are those of the column {columns[0]!r}")
    return (values[0] for values in text_rows(path, columns))


def expand_files(patterns: Sequence[str | Path]) -> list[Path]:
    """Names and globs to files, each once, those of a glob in the order of their names.

    Raises:
        UserError: a glob matches nothing, a file is missing, empty or of no known kind, or kinds are mixed.
    """
    files: list[Path] = []
    for pattern in map(str, patterns):
        if not glob.has_magic(pattern) or Path(pattern).exists():
            files.append(Path(pattern))
            continue
        found = sorted(path for path in map(Path, glob.glob(pattern, recursive=True)) if path.is_file())
        if not found:
            raise UserError(f"{pattern}: no file matches")
        files += found
    files = list(dict.fromkeys(files))
    for path in files:
        check_file(path)
    if first := next((path for path in files if kind_of(path) != kind_of(files[0])), None):
        raise UserError(f"{first} and {files[0]} are of different kinds; train on files of one kind at a time")
    return files


def kind_of(path: Path) -> str:
    """One of `FORMATS`, whether compressed or not; raises UserError if it is none."""
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind not in FORMATS:
        raise UserError(f"{path}: {KNOWN}")
    return kind


def check_file(path: Path, *, any_kind: bool = False) -> None:
    """Raise UserError unless it is a file with content, of a known kind unless any kind is allowed."""
    if not path.is_file():
        raise UserError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    if not path.stat().st_size:
        raise UserError(f"{path}: the file is empty")
    if not any_kind:
        kind_of(path)


def choose_columns(path: Path, wanted: Sequence[str], *, alone: bool = False) -> tuple[list[str], list[str]]:
    """Return the columns of a file that hold its sentences, by the rules of `choose_among`, and all its columns."""
    if wanted and kind_of(path) == ".txt":
        raise UserError(f"{path}: a .txt file has no columns, so no {wanted[0]!r}")
    there, text = column_names(path)
    where = f"{path}, line 1" if kind_of(path) in (".csv", ".tsv") else str(path)
    return choose_among(there, text, wanted, where, alone=alone), there


def column_names(path: Path) -> tuple[list[str], list[str]]:
    """All columns of a file, in order, and those of text; of JSON, those of its first record."""
    with named_faults(path):
        return FORMATS[kind_of(path)].columns(path)


def text_rows(path: Path, columns: Sequence[str]) -> Iterator[list[str]]:
    """The named columns' sentences, row by row; what is missing or null is empty.

    Raises:
        UserError: a value is no text, or the file is malformed; it names the line.
    """
    for number, values in read_rows(path, columns):
        for place, value in enumerate(values):
            if value is None:
                values[place] = ""
            elif not isinstance(value, str):
                raise UserError(
                    f"{path}, {unit_of(path)} {number}: {columns[place]!r} is {type(value).__name__}, not text"
                )
            elif fault := text_fault(value):
                raise UserError(f"{path}, {unit_of(path)} {number}: {fault}")
        yield values


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
    """(`unit_of(path)`'s number, the values of the named columns) of every row."""
    with named_faults(path):
        yield from FORMATS[kind_of(path)].rows(path, columns)


def unit_of(path: Path) -> str:
    """What the rows of a file are counted in."""
    return FORMATS[kind_of(path)].unit


@contextmanager
def named_faults(path: Path) -> Iterator[None]:
    """Raise UserError for malformed content; it names the file, and the line if the encoding is wrong."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: {encoding_fault(path) or error.reason}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        reason = f"damaged, or not compressed ({first_line(error)})"
        raise UserError(f"{path}: {reason}; get it again, or rename it if it is no .gz") from error
    except (ValueError, RecursionError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a disk error; pyarrow's own errors have no errno
        raise UserError(f"{path}: {first_line(error)}") from error


def encoding_fault(path: Path) -> str | None:
    """Which line is not UTF-8, and why; None if all are, as far as the file can be decompressed."""
    with open_bytes(path) as file, suppress(OSError, EOFError, zlib.error):
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as fault:
                return f"line {number} is not UTF-8 ({fault.reason}); convert the file, for instance with iconv"
    return None


def _stdin_lines() -> Iterator[str]:
    # Bytes that are no UTF-8 come through as half characters, so that the line that holds them is known.
    file = TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="surrogateescape")
    try:
        for number, line in plain_lines(file):
            if half_character([line]):
                raise UserError(f"stdin: line {number} is not UTF-8; convert it, for instance with iconv")
            if fault := text_fault(line):
                raise UserError(f"stdin: line {number}: {fault}")
            yield line
    finally:
        file.detach()  # else stdin is closed with it
