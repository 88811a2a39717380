"""Records of JSON files, one at a time: a large file is never held as a whole."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from mixcse.base.errors import first_line

CHUNK = 1 << 20  # characters
_DECODER = json.JSONDecoder()
_OBJECT_OF_A_LIST = re.compile(r'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\[')


def read_json_lines(file: TextIO) -> Iterator[tuple[int, Any]]:
    """(line number from 1, value) of every line that is not blank.

    Raises:
        ValueError: a line is no JSON; the message has its number.
    """
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} is not valid JSON ({first_line(error)})") from error
            yield number, value


def read_json_records(file: TextIO) -> Iterator[tuple[int, Any]]:
    """(number from 1, value) of every element of a list, of an object's only list, or of values one after another.

    Raises:
        ValueError: the file is no JSON, or an object of more than a list; the message names the record.
    """
    number = 0
    try:
        for number, value in enumerate(_records(_Buffer(file)), 1):
            yield number, value
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON at record {number + 1} ({error.msg})") from error


def half_character(values: Iterable[Any]) -> str | None:
    """What is wrong with text that is no Unicode, as JSON's escapes allow it; None if nothing is."""
    for value in values:
        try:
            value.encode() if isinstance(value, str) else None
        except UnicodeEncodeError as error:
            return f"{ascii(value[error.start])} is half a character, a surrogate without its other half"
    return None


class _Buffer:
    """A window on the file, which grows until it holds the value that is asked for."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.text, self.at = file, "", 0

    def more(self) -> bool:
        """Reads on, at least doubling what is left, so that a long value is not parsed too often."""
        left = self.text[self.at :]
        chunk = self.file.read(max(CHUNK, len(left)))
        self.text, self.at = left + chunk, 0
        return bool(chunk)

    def peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            while self.at < len(self.text):
                if not self.text[self.at].isspace():
                    return self.text[self.at]
                self.at += 1
            if not self.more():
                return ""

    def take(self, allowed: str) -> str:
        """The next character, which has to be one of these."""
        found = self.peek()
        if not found or found not in allowed:
            raise json.JSONDecodeError(f"expected {' or '.join(allowed)}", self.text, self.at)
        self.at += 1
        return found

    def value(self) -> Any:
        """The next value as a whole."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError:
                if not self.more():
                    raise
                continue
            if end == len(self.text) and self.more():  # a number may go on
                continue
            self.at = end
            return value


def _records(buffer: _Buffer) -> Iterator[Any]:
    if buffer.peek() == "[":
        buffer.at += 1
        yield from _elements(buffer)
    elif match := _OBJECT_OF_A_LIST.match(buffer.text, buffer.at):
        buffer.at = match.end()
        yield from _elements(buffer)
        if buffer.peek() == ",":
            raise ValueError("an object of more than one list; make it a list of objects, or .jsonl with one a line")
        buffer.take("}")
    else:
        while buffer.peek():
            yield buffer.value()
    if buffer.peek():
        raise json.JSONDecodeError("extra data", buffer.text, buffer.at)


def _elements(buffer: _Buffer) -> Iterator[Any]:
    if buffer.peek() == "]":
        buffer.at += 1
        return
    while True:
        buffer.peek()
        yield buffer.value()
        if buffer.take(",]") == "]":
            return
