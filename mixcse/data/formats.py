"""The formats of files with sentences: how the columns and the rows of each are read, in memory that does not grow.

Nothing heavy is imported before it is needed.  A new format is a new entry of `FORMATS`.
"""

import csv
import gzip
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, NamedTuple, TextIO

from mixcse.base.errors import first_line
from mixcse.data.columns import ELEMENT

LONGEST = 1 << 20  # characters of a sentence; more is another kind of file
LARGEST_JSON = 1 << 29  # bytes of a .json file, which is read as a whole
QUOTED = re.compile('".*"')
UNCLOSED = "a quotation mark may lack its other one"


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


def _table_columns(path: Path, delimiter: str) -> tuple[list[str], list[str]]:
    """Return all columns, any of which may hold text."""
    with open_text(path, newline="") as file:
        _, header = next(_records(file, delimiter), (1, []))
    if any("\n" in name for name in header):
        raise ValueError(f"line 1: a column's name goes over lines; {UNCLOSED}")
    if len(header) == 1 and (other := next((sign for sign in (";", "\t") if sign in header[0]), None)):
        what = f"a single column, {header[0]!r}, with {other!r} in it"
        raise ValueError(f"line 1: {what}; is that the delimiter? write commas")
    return header, header


def _table_rows(path: Path, columns: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[Any]]]:
    with open_text(path, newline="") as file:
        records = _records(file, delimiter)
        _, header = next(records, (1, []))
        places = [header.index(name) for name in columns]
        for number, fields in records:
            if fields and len(fields) != len(header):
                raise ValueError(f"line {number}: {len(fields)} columns under a header of {len(header)}")
            if fields:
                yield number, [fields[place] for place in places]


def _records(file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of its first line, fields) of every record, blank ones among them.

    In a .tsv a quotation mark is text, as in GLUE's files, unless all names of the header are quoted.  In a .csv it is
    text within a field, or after one that was quoted.
    """
    header = file.readline()
    is_quoted = delimiter == "," or all(map(QUOTED.fullmatch, header.rstrip("\r\n").split(delimiter)))
    ended = False

    def lines() -> Iterator[str]:
        nonlocal ended
        yield header
        yield from file
        ended = True  # a record that asks for more than there is, is within quotation marks

    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))  # its own is an eighth of that
    quoting = csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE
    reader, number = csv.reader(lines(), delimiter=delimiter, quoting=quoting), 1
    try:
        for fields in reader:
            if ended:
                raise ValueError(f"line {number}: unexpected end of data; {UNCLOSED}")
            yield number, fields
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {number}: {error}; {UNCLOSED}") from error


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"line {number} is not valid JSON ({first_line(error)})") from error
                yield number, value


def _json_list(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the elements of a list, or of an object's only list; of a file with a value on each line, these."""
    with open_bytes(path) as file:
        content = file.read(LARGEST_JSON + 1)
    if len(content) > LARGEST_JSON:
        raise ValueError(f"more than {LARGEST_JSON >> 20} MiB of JSON; write it as .jsonl, with an object on each line")
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            yield from _json_lines(path)
            return
        raise ValueError(f"line {error.lineno} is not valid JSON ({error.msg})") from error
    if isinstance(value, dict):
        lists = [part for part in value.values() if isinstance(part, list)]
        if len(lists) > 1:
            raise ValueError("an object of more than one list; make it a list of objects, or .jsonl with one a line")
        value = lists[0] if lists else [value]
    yield from enumerate(value if isinstance(value, list) else [value], 1)


def _json_format(values: Callable[[Path], Iterator[tuple[int, Any]]], unit: str) -> Format:
    """Return how records are read that are objects, or strings alone, whose column is `text`.

    A list of texts is a column for each of its first elements, as many as every record has: `name[0]`, `name[1]`, …
    """

    def records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, value in values(path):
            if not isinstance(value, str | dict):
                raise ValueError(f"{unit} {number}: expected an object or a string")
            yield number, {"text": value} if isinstance(value, str) else value

    def columns(path: Path) -> tuple[list[str], list[str]]:
        kinds: dict[str, list[str | int]] = {}  # of the values with each key, in all records
        for _, record in records(path):
            for name, value in record.items():
                if (kind := _kind_of(value)) not in kinds.setdefault(name, []):
                    kinds[name].append(kind)
        if not kinds:
            raise ValueError("no records")
        there, text = [], []
        for name, found in kinds.items():
            lists = all(isinstance(kind, int) for kind in found)
            own = [f"{name}[{place}]" for place in range(min(found))] if lists else [name] * (found[0] == "text")
            there += own or [name]
            text += own
        return there, text

    def rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[Any]]]:
        for number, record in records(path):
            try:
                yield number, [_value_of(record, name) for name in columns]
            except KeyError as error:
                raise ValueError(f"{unit} {number}: no {error}") from error

    return Format(columns, rows, unit)


def _kind_of(value: Any) -> str | int:
    """Return "text" for a text or null, for a list of texts its length, and "other" for everything else."""
    if isinstance(value, list) and all(isinstance(_text_of(one), str) for one in value):
        return len(value)
    return "text" if value is None or isinstance(value, str) else "other"


def _text_of(element: Any) -> Any:
    """Return the text of a list's element: its own, or that of an object with `text`, as Tevatron has passages."""
    return element.get("text") if isinstance(element, dict) else element


def _value_of(record: dict[str, Any], column: str) -> Any:
    """Return the value of a column, which may be an element of a list; raise KeyError if there is none."""
    element = ELEMENT.fullmatch(column)
    if column in record or element is None:
        return record[column]
    return _text_of(record[element[1]][int(element[2])])


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
    ".csv": Format(partial(_table_columns, delimiter=","), partial(_table_rows, delimiter=",")),
    ".tsv": Format(partial(_table_columns, delimiter="\t"), partial(_table_rows, delimiter="\t")),
    ".json": _json_format(_json_list, "record"),
    ".jsonl": _json_format(_json_lines, "line"),
    ".parquet": Format(_parquet_columns, _parquet_rows, unit="record"),
}
