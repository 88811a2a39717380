"""Files of sentences: their kinds, their columns, and their rows one at a time, in memory that does not grow.
Nothing heavy is imported before it is needed: the command line reads its input through here.
"""

import glob
import gzip
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, TextIO

from mixcse.base.errors import UserError, first_line
from mixcse.base.files import check_name
from mixcse.data.delimited import read_header, read_records
from mixcse.data.json_records import half_character, read_json_lines, read_json_records
from mixcse.data.plain_text import read_plain_lines, text_fault

DELIMITERS = {".csv": ",", ".tsv": "\t"}
KINDS = (".txt", *DELIMITERS, ".json", ".jsonl", ".parquet")
KNOWN = "expected .txt, .csv, .tsv, .json, .jsonl or .parquet, each also .gz"
SHOWN = 20  # names of columns in a message
NAME_THEM = "--text_column (of pairs to train on: --sentence1_column, --sentence2_column, --hard_negative_column)"


def iter_sentences(path: str | Path, column: str | None = None) -> Iterator[str]:
    """The sentences of a file, one at a time.

    Args:
        path: any of `KINDS`, also compressed (`.gz`); `-` is stdin, a sentence a line.
        column: of a file with columns; by default the first of its one to three.

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
    columns = choose_columns(path, [] if column is None else [column])
    return (values[0] for values in text_rows(path, columns[:1]))


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
    """One of `KINDS`, whether compressed or not; raises UserError if it is none."""
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind not in KINDS:
        raise UserError(f"{path}: {KNOWN}")
    return kind


def is_compressed(path: Path) -> bool:
    """Whether it is read through gzip."""
    return path.name.lower().endswith(".gz")


def check_file(path: Path, kinds: Sequence[str] | None = KINDS) -> None:
    """Raises UserError unless it is a file with something in it, of a known kind unless any will do."""
    try:
        check_name(path)
        found = path.is_file()
    except OSError as error:
        raise UserError(f"{str(path)[:80]}: {error.strerror}") from error
    if not found:
        missing = "a link to a file that is not there" if path.is_symlink() else "no such file"
        raise UserError(f"{path}: {'not a file' if path.exists() else missing}")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    try:
        open(path, "rb").close()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    if kinds is not None:
        kind_of(path)


def choose_columns(path: Path, wanted: Sequence[str]) -> list[str]:
    """The columns that hold a file's sentences: those wanted, else all, if they are one to three of text.

    Raises:
        UserError: there is no such column, or the file does not say by itself which ones they are.
    """
    if kind_of(path) == ".txt":
        if wanted:
            raise UserError(f"{path}: a .txt file has no columns, so no {wanted[0]!r}")
        return ["sentence"]
    there, text = column_names(path)
    where = f"{path}, line 1" if kind_of(path) in DELIMITERS else str(path)
    return choose_among(there, text, wanted, where)


def choose_among(there: Sequence[str], text: Sequence[str], wanted: Sequence[str], where: str) -> list[str]:
    """As `choose_columns`, of a table that has the columns `there`, those of `text` being text."""
    chosen = list(wanted or (there if len(there) <= 3 and list(text) == list(there) else ()))
    for name in chosen:
        if name not in there:
            raise UserError(f"{where}: no column {name!r}; there are {_some(there)}")
        if there.count(name) > 1:
            raise UserError(f"{where}: {there.count(name)} columns are called {name!r}; rename one")
        if name not in text:
            raise UserError(f"{where}: column {name!r} holds no text")
    if chosen:
        return chosen
    other = [name for name in there if name not in text]
    without = f", of which {_some(other)} hold no text" if other else ""
    what = f"{len(there)} columns ({_some(there)}){without}"
    raise UserError(f"{where}: {what}; name those with the sentences: {NAME_THEM}")


def _some(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def column_names(path: Path) -> tuple[list[str], list[str]]:
    """All columns of a file with columns, in order, and those of text; of JSON, those of its first record."""
    kind = kind_of(path)
    with named_faults(path):
        if kind in DELIMITERS:
            with open_text(path, newline="") as file:
                header = read_header(file, DELIMITERS[kind])
            return header, header
        if kind == ".parquet":
            with _open_parquet(path) as table:
                schema = table.schema_arrow
            return schema.names, [field.name for field in schema if _is_text(field.type)]
        with open_text(path) as file:
            _, first = next(_json_values(file, kind), (0, None))
    if first is None:
        raise UserError(f"{path}: no records")
    record = _as_record(path, kind, 1, first)
    return list(record), [name for name, value in record.items() if value is None or isinstance(value, str)]


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
    kind = kind_of(path)
    with named_faults(path):
        if kind == ".txt":
            with open_text(path) as file:
                for number, line in read_plain_lines(file):
                    yield number, [line]
        elif kind in DELIMITERS:
            with open_text(path, newline="") as file:
                yield from read_records(file, DELIMITERS[kind], columns)
        elif kind == ".parquet":
            with _open_parquet(path) as table:
                batches = (batch.to_pydict() for batch in table.iter_batches(1000, columns=list(columns)))
                rows = (list(row) for batch in batches for row in zip(*(batch[name] for name in columns), strict=True))
                yield from enumerate(rows, 1)
        else:
            with open_text(path) as file:
                for number, value in _json_values(file, kind):
                    record = _as_record(path, kind, number, value)
                    for name in columns:
                        if name not in record:
                            raise UserError(f"{path}, {unit_of(path)} {number}: no {name!r}")
                    values = [record[name] for name in columns]
                    if fault := half_character(values):
                        raise UserError(f"{path}, {unit_of(path)} {number}: {fault}")
                    yield number, values


def unit_of(path: Path) -> str:
    """What the rows of a file are counted in."""
    return "record" if kind_of(path) in (".json", ".parquet") else "line"


def open_bytes(path: Path) -> IO[bytes]:
    """A file's content, decompressed."""
    return gzip.open(path, "rb") if is_compressed(path) else open(path, "rb")


def open_text(path: Path, newline: str | None = None) -> TextIO:
    """A file's text; a byte order mark is no part of it."""
    return TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline=newline)


@contextmanager
def named_faults(path: Path) -> Iterator[None]:
    """Turns what reading a file can raise into a UserError that names it, and the line if its encoding is wrong."""
    size = path.stat().st_size if path.exists() else 0
    try:
        yield
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: {encoding_fault(path) or error.reason}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        reason = f"damaged, or not compressed ({first_line(error)})"
        raise UserError(f"{path}: {reason}; get it again, or rename it if it is no .gz") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or first_line(error)}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: {first_line(error)}") from error
    if path.exists() and path.stat().st_size < size:
        raise UserError(f"{path}: it was cut short while it was read")


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
        for number, line in read_plain_lines(file):
            if half_character([line]):
                raise ValueError(f"line {number} is not UTF-8; convert it, for instance with iconv")
            yield line
    except ValueError as error:
        raise UserError(f"stdin: {error}") from error
    finally:
        file.detach()  # else stdin is closed with it


def _json_values(file: TextIO, kind: str) -> Iterator[tuple[int, Any]]:
    return read_json_lines(file) if kind == ".jsonl" else read_json_records(file)


def _as_record(path: Path, kind: str, number: int, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise UserError(f"{path}, {unit_of(path)} {number}: expected an object or a string")
    return value


@contextmanager
def _open_parquet(path: Path) -> Iterator[Any]:
    from pyarrow.parquet import ParquetFile

    squeezed = is_compressed(path)
    with open_bytes(path) as file, tempfile.TemporaryFile() as aside:  # by a name that is no UTF-8 it opens nothing
        if squeezed:
            shutil.copyfileobj(file, aside)  # its end has to be read first
        with ParquetFile(aside if squeezed else file) as table:
            yield table


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return types.is_string(kind) or types.is_large_string(kind)
