"""Records of .csv and .tsv files, each as long as the header."""

import csv
from collections.abc import Iterator, Sequence
from typing import TextIO

UNCLOSED = "a quotation mark may lack its other one"


class _Lines:
    """A file's lines; whether a reader has asked for one that is not there: it is within quotation marks then."""

    def __init__(self, file: TextIO) -> None:
        self._file, self.ended = file, False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._file, None)
        self.ended = line is None
        if line is None:
            raise StopIteration
        return line


def read_header(file: TextIO, delimiter: str) -> list[str]:
    """The columns' names, from the first line; raises ValueError if it is none."""
    lines = _Lines(file)
    try:
        header = next(csv.reader(lines, delimiter=delimiter), [])
    except csv.Error as error:
        raise ValueError(f"line 1: {error}") from error
    if any("\n" in name for name in header) or (header and lines.ended):
        raise ValueError(f"line 1: a column's name goes over lines; {UNCLOSED}")
    return header


def read_records(file: TextIO, delimiter: str, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, the named columns' fields) of every record that is not blank.

    A quotation mark within a field, or after one that was quoted, is text, as for most programs that read tables.

    Raises:
        ValueError: a record is shorter or longer than the header, or malformed; it names the line.
    """
    header = read_header(file, delimiter)
    places = [header.index(name) for name in columns]
    lines = _Lines(file)
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        number = reader.line_num + 2  # the header is line 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"line {number}: {error}; {UNCLOSED}") from error
        if fields is None:
            return
        if lines.ended:
            raise ValueError(f"line {number}: unexpected end of data; {UNCLOSED}")
        if fields and len(fields) != len(header):
            raise ValueError(f"line {number}: {len(fields)} columns under a header of {len(header)}")
        if fields:
            yield number, [fields[place] for place in places]
