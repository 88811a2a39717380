"""Records of .csv and .tsv files, each as long as the header."""

import csv
from collections.abc import Iterator, Sequence
from typing import TextIO


def read_header(file: TextIO, delimiter: str) -> list[str]:
    """The columns' names, from the first line; raises ValueError if it is none."""
    try:
        header = next(csv.reader(file, delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise ValueError(f"line 1: {error}") from error
    if any("\n" in name for name in header):
        raise ValueError("line 1: a column's name goes over lines; a quotation mark may lack its other one")
    return header


def read_records(file: TextIO, delimiter: str, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, the named columns' fields) of every record that is not blank.

    Raises:
        ValueError: a record is shorter or longer than the header, or malformed; it names the line.
    """
    header = read_header(file, delimiter)
    places = [header.index(name) for name in columns]
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 2  # the header is line 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"line {number}: {error}; a quotation mark may lack its other one") from error
        if fields is None:
            return
        if fields and len(fields) != len(header):
            raise ValueError(f"line {number}: {len(fields)} columns under a header of {len(header)}")
        if fields:
            yield number, [fields[place] for place in places]
