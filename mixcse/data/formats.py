"""The formats that sentences come in: how the columns and the rows of each are read, in memory that does not grow.

Nothing heavy is imported before it is needed.  A new format is a new entry of `FORMATS`.
"""

import csv
import gzip
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, TextIO

from mixcse.base.errors import first_line
from mixcse.data.columns import is_role

LONGEST = 1 << 20  # characters of a sentence; more is another kind of file
LARGEST_JSON = 1 << 29  # bytes of a .json file, which is read as a whole
SPACE = re.compile(r"\s*")
UNCLOSED = "a quotation mark may lack its other one"
LOOKED_AT = 100  # rows, to tell columns of numbers
NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")


class Format(NamedTuple):
    """How a kind of file is read; both functions raise ValueError, with the line or record, for what is malformed.

    Attributes:
        columns: path -> all columns in their order, and those of text.
        rows: path, columns -> (number from 1, the values of these columns) of every row.
        unit: what the rows are counted in.
    """

    columns: Callable[[Path], tuple[list[str], list[str]]]
    rows: Callable[[Path, Sequence[str]], Iterator[tuple[int, list[Any]]]]
    unit: str = "line"


def is_compressed(path: Path) -> bool:
    """Whether it is read through gzip."""
    return path.name.lower().endswith(".gz")


def open_bytes(path: Path) -> IO[bytes]:
    """A file's content, decompressed."""
    return gzip.open(path, "rb") if is_compressed(path) else open(path, "rb")


def open_text(path: Path, newline: str | None = None) -> TextIO:
    """A file's text; a byte order mark is no part of it."""
    return TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline=newline)


def text_fault(sentence: str) -> str | None:
    """Why it is no sentence: binary, without an end, or no Unicode; None if it may be one."""
    if "\0" in sentence:
        return "a NUL character, so this is not UTF-8 text; convert the file, or take it out"
    if len(sentence) > LONGEST:
        return f"more than {LONGEST:,} characters; put a sentence on each line"
    return None if sentence.isascii() else half_character([sentence])


def half_character(values: Iterable[Any]) -> str | None:
    """What is wrong with text that is no Unicode, as JSON's escapes allow it; None if nothing is."""
    for value in values:
        try:
            value.encode() if isinstance(value, str) else None
        except UnicodeEncodeError as error:
            return f"{ascii(value[error.start])} is half a character, a surrogate without its other half"
    return None


def plain_lines(file: TextIO) -> Iterator[tuple[int, str]]:
    """(number from 1, line without its end) of every line; of one that is too long, its beginning."""
    number = 0
    while line := file.readline(LONGEST + 2):  # memory never holds more of it
        number += 1
        yield number, line.removesuffix("\n")


def _lines_of(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
    with open_text(path) as file:
        for number, line in plain_lines(file):
            yield number, [line]


def _header(path: Path, delimiter: str) -> tuple[list[str], list[str]]:
    """All columns, and those that are not of numbers."""
    with open_text(path, newline="") as file:
        records = _records(file, delimiter, path)
        _, header = next(records, (1, []))
        if any("\n" in name for name in header):
            raise ValueError(f"line 1: a column's name goes over lines; {UNCLOSED}")
        if len(header) == 1 and (other := next((sign for sign in (";", "\t") if sign in header[0]), None)):
            what = f"a single column, {header[0]!r}, with {other!r} in it"
            raise ValueError(f"line 1: {what}; is that the delimiter? write commas")
        rows = [fields for _, fields in islice(records, LOOKED_AT) if len(fields) == len(header)]
    columns = zip(header, zip(*rows, strict=True) if rows else [()] * len(header), strict=True)
    return header, [name for name, values in columns if is_role(name) or not _are_numbers(values)]


def _are_numbers(values: Iterable[str]) -> bool:
    filled = [value for value in values if value.strip()]
    return bool(filled) and all(map(NUMBER.fullmatch, filled))


def _table_rows(path: Path, columns: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[Any]]]:
    with open_text(path, newline="") as file:
        records = _records(file, delimiter, path)
        _, header = next(records, (1, []))
        places = [header.index(name) for name in columns]
        for number, fields in records:
            if fields and len(fields) != len(header):
                raise ValueError(f"line {number}: {len(fields)} columns under a header of {len(header)}")
            if fields:
                yield number, [fields[place] for place in places]


def _records(file: TextIO, delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, fields) of every record, blank ones among them.

    A quotation mark within a field, or after one that was quoted, is text, as for most programs that read tables.
    In a .tsv it is text everywhere, unless the file was written otherwise (`is_quoted`).
    """
    quoting = csv.QUOTE_MINIMAL if delimiter == "," or is_quoted(path) else csv.QUOTE_NONE
    ended = False

    def lines() -> Iterator[str]:
        nonlocal ended
        yield from file
        ended = True  # a record that asks for more than there is, is within quotation marks

    reader, number = csv.reader(lines(), delimiter=delimiter, quoting=quoting), 1
    try:
        for fields in reader:
            if ended:
                raise ValueError(f"line {number}: unexpected end of data; {UNCLOSED}")
            yield number, fields
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {number}: {error}; {UNCLOSED}") from error


def is_quoted(path: Path) -> bool:
    """`_is_quoted` of a file as it is now: it is asked for every time that the file is opened."""
    state = path.stat()
    return _is_quoted(path, state.st_size, state.st_mtime_ns)


@lru_cache
def _is_quoted(path: Path, *_: int) -> bool:
    """Whether the fields of a .tsv are quoted, as pandas does where one holds a tab, a line end or a quotation mark.

    They are if they can be read so, and not otherwise, or if one of them needs it: its quotation marks are doubled,
    or the whole header is quoted.  GLUE's files and their kind have single marks that mean nothing.
    """
    with open_text(path, newline="") as file:
        if not any('"' in line for line in file):
            return False
    ways = {}
    for quoting in (csv.QUOTE_NONE, csv.QUOTE_MINIMAL):
        with open_text(path, newline="") as file, suppress(csv.Error):
            lengths, needed = set(), False
            for fields in csv.reader(file, delimiter="\t", quoting=quoting, strict=True):
                lengths.add(len(fields) or 1)
                in_marks = [field for field in fields if len(field) > 1 and field[0] == field[-1] == '"']
                needed |= len(lengths) == 1 and len(in_marks) == len(fields) or any('""' in f[1:-1] for f in in_marks)
            ways[quoting] = len(lengths) == 1, needed
    as_text, quoted = ways.get(csv.QUOTE_NONE, (False, False)), ways.get(csv.QUOTE_MINIMAL, (False, False))
    return quoted[0] and (not as_text[0] or as_text[1])


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"line {number} is not valid JSON ({first_line(error)})") from error
                yield number, value


def _json_records(path: Path) -> Iterator[tuple[int, Any]]:
    """The elements of a list, of an object's only list, or values one after another."""
    with open_bytes(path) as file:
        content = file.read(LARGEST_JSON + 1)
    if len(content) > LARGEST_JSON:
        raise ValueError(f"more than {LARGEST_JSON >> 20} MiB of JSON; write it as .jsonl, with an object on each line")
    text, decoder, values = content.decode("utf-8-sig"), json.JSONDecoder(), []
    end = SPACE.match(text).end()
    while end < len(text):
        try:
            value, end = decoder.raw_decode(text, end)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {error.lineno} is not valid JSON ({error.msg})") from error
        values.append(value)
        end = SPACE.match(text, end).end()
    if len(values) == 1 and isinstance(values[0], dict):
        lists = [value for value in values[0].values() if isinstance(value, list)]
        if len(lists) > 1:
            raise ValueError("an object of more than one list; make it a list of objects, or .jsonl with one a line")
        values = lists or values
    yield from enumerate(values[0] if len(values) == 1 and isinstance(values[0], list) else values, 1)


def _json_columns(path: Path, values: Callable[[Path], Iterator[tuple[int, Any]]]) -> tuple[list[str], list[str]]:
    """Those of the first record."""
    record = next((_as_record(*numbered) for numbered in values(path)), None)
    if record is None:
        raise ValueError("no records")
    return list(record), [name for name, value in record.items() if value is None or isinstance(value, str)]


def _json_rows(
    path: Path, columns: Sequence[str], values: Callable[[Path], Iterator[tuple[int, Any]]]
) -> Iterator[tuple[int, list[Any]]]:
    unit = "line" if values is _json_lines else "record"
    for number, value in values(path):
        record = _as_record(number, value, unit)
        try:
            yield number, [record[name] for name in columns]
        except KeyError as error:
            raise ValueError(f"{unit} {number}: no {error}") from error


def _as_record(number: int, value: Any, unit: str = "record") -> dict[str, Any]:
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise ValueError(f"{unit} {number}: expected an object or a string")
    return value


def _parquet_columns(path: Path) -> tuple[list[str], list[str]]:
    from pyarrow import types

    with _open_parquet(path) as table:
        schema = table.schema_arrow
    kinds = {field.name: field.type.value_type if types.is_dictionary(field.type) else field.type for field in schema}
    return schema.names, [name for name, kind in kinds.items() if types.is_string(kind) or types.is_large_string(kind)]


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
    with _open_parquet(path) as table:
        batches = (batch.to_pydict() for batch in table.iter_batches(1000, columns=list(columns)))
        rows = (list(row) for batch in batches for row in zip(*(batch[name] for name in columns), strict=True))
        yield from enumerate(rows, 1)


@contextmanager
def _open_parquet(path: Path) -> Iterator[Any]:
    from pyarrow.parquet import ParquetFile

    with open_bytes(path) as file, tempfile.TemporaryFile() as aside:
        if is_compressed(path):
            shutil.copyfileobj(file, aside)  # its end has to be read first
        with ParquetFile(aside if is_compressed(path) else file) as table:
            yield table


FORMATS = {
    ".txt": Format(lambda path: (["sentence"], ["sentence"]), _lines_of),
    ".csv": Format(partial(_header, delimiter=","), partial(_table_rows, delimiter=",")),
    ".tsv": Format(partial(_header, delimiter="\t"), partial(_table_rows, delimiter="\t")),
    ".json": Format(
        partial(_json_columns, values=_json_records), partial(_json_rows, values=_json_records), unit="record"
    ),
    ".jsonl": Format(partial(_json_columns, values=_json_lines), partial(_json_rows, values=_json_lines)),
    ".parquet": Format(_parquet_columns, _parquet_rows, unit="record"),
}
