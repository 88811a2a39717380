"""What a sentence may be, and lines of them."""

from collections.abc import Iterator
from typing import TextIO

LONGEST = 1 << 20  # characters of a sentence; more is another kind of file
NUL_FAULT = "a NUL character, so this is not UTF-8 text; convert the file, or take it out"
LENGTH_FAULT = f"more than {LONGEST:,} characters; put a sentence on each line"


def text_fault(sentence: str) -> str | None:
    """Why it is no sentence: binary, or without an end; None if it may be one."""
    if "\0" in sentence:
        return NUL_FAULT
    return LENGTH_FAULT if len(sentence) > LONGEST else None


def read_plain_lines(file: TextIO) -> Iterator[tuple[int, str]]:
    """(number from 1, line without its end) of every line.

    Raises:
        ValueError: a line is no sentence; memory never holds more than `LONGEST` characters of it.
    """
    number = 0
    while line := file.readline(LONGEST + 2):
        number += 1
        line = line.removesuffix("\n")
        if fault := text_fault(line):
            raise ValueError(f"line {number}: {fault}")
        yield number, line
