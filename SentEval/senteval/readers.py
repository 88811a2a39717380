"""Readers of the files under SentEval's `downstream/` folder.

Every reader takes that folder and returns `{dataset: Pairs}`; sentences are stripped
of repeated white space, which is what SentEval's `str.split()` and `" ".join` do.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from senteval.errors import DataError

GOLD = (0.0, 5.0)  # the scale of the tasks' scores
ANY = (-np.inf, np.inf)
CSV_QUOTED = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')  # its own marks are doubled, which text has not


@dataclass(frozen=True)
class Pairs:
    """Sentence pairs with gold similarity: two lists of n strings and n scores (0 to 5)."""

    first: list[str]
    second: list[str]
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def sentences(self) -> list[str]:
        """Both sides, the first ones first: 2n strings."""
        return self.first + self.second


def read_lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, line without its end).

    Only newlines end a line: `str.splitlines` would also cut at characters such as U+2028.

    Raises:
        DataError: the file cannot be read, or a line is no text in that encoding.
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        raise DataError(f"{ascii(str(path))[1:-1]}: {getattr(error, 'strerror', None) or error}") from error
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, line in enumerate(lines, 1):
        if b"\0" in line:  # latin-1 would take it, and UTF-16 with it
            raise DataError(f"{path}, line {number}: not {encoding} (a NUL); convert it, for instance with iconv")
        try:
            yield number, line.removesuffix(b"\r").decode(encoding)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, line {number}: not {encoding} ({error.reason})") from error


def read_sts_year(downstream: Path, year: str, names: Iterable[str]) -> dict[str, Pairs]:
    """STS12 to STS16: a file of pairs beside a file of scores for each dataset.

    A pair whose score line is empty has no gold score and is dropped.
    """
    folder = downstream / "STS" / f"STS{year}-en-test"
    return {name: _read_scored_pairs(folder, name) for name in names}


def _read_scored_pairs(folder: Path, name: str) -> Pairs:
    input_path, gold_path = folder / f"STS.input.{name}.txt", folder / f"STS.gs.{name}.txt"
    inputs, golds = list(read_lines(input_path)), list(read_lines(gold_path))
    if len(inputs) != len(golds):
        raise DataError(f"{gold_path}: {len(golds)} scores for the {len(inputs)} pairs of {input_path.name}")
    rows = []
    for (number, line), (_, gold) in zip(inputs, golds, strict=True):
        if not gold.strip():
            continue
        score = number_of(gold, gold_path, number, GOLD)
        first, second = fields_of(line, input_path, number, 2)[:2]
        rows.append((first, second, score))
    return pairs_of(rows, input_path)


def read_sts_benchmark(
    downstream: Path, splits: Iterable[str] = ("train", "dev", "test"), name: str = "STSBenchmark"
) -> dict[str, Pairs]:
    """STSBenchmark, or its corrected version STSBenchmark-fix: `sts-{train,dev,test}.csv`."""
    folder = downstream / "STS" / name
    return {split: read_pairs_file(folder / f"sts-{split}.csv", GOLD) for split in splits}


def read_pairs_file(path: Path, scale: tuple[float, float] = ANY) -> Pairs:
    """One file in STSBenchmark's layout.

    Tab separated without quoting; the score is field 5, the sentences are fields 6 and
    7, further fields (licences, sources) are ignored.

    Raises:
        DataError: a line is malformed, or its score is outside the scale.
    """
    rows = []
    for number, line in read_lines(path):
        fields = fields_of(line, path, number, 7)
        rows.append((fields[5], fields[6], number_of(fields[4], path, number, scale)))
    return pairs_of(rows, path)


SICK_FILES = {"train": "SICK_train.txt", "dev": "SICK_trial.txt", "test": "SICK_test_annotated.txt"}


def read_sick_relatedness(downstream: Path, splits: Iterable[str] = tuple(SICK_FILES)) -> dict[str, Pairs]:
    """SICK: a header line; fields 2 and 3 are the sentences, field 4 their relatedness (1 to 5)."""
    datasets = {}
    for split in splits:
        path = downstream / "SICK" / SICK_FILES[split]
        rows = []
        for number, line in read_lines(path):
            if number == 1:
                continue
            fields = fields_of(line, path, number, 4)
            rows.append((fields[1], fields[2], number_of(fields[3], path, number, GOLD)))
        datasets[split] = pairs_of(rows, path)
    return datasets


def fields_of(line: str, path: Path, number: int, at_least: int) -> list[str]:
    """Tab-separated fields; raises DataError if there are too few."""
    fields = line.split("\t")
    if len(fields) < at_least:
        raise DataError(f"{path}, line {number}: {len(fields)} tab-separated fields, expected at least {at_least}")
    if quoted := next((field for field in fields if CSV_QUOTED.fullmatch(field)), None):
        raise DataError(f"{path}, line {number}: {quoted[:40]!r} is quoted as in .csv; write it without quoting")
    return fields


def number_of(text: str, path: Path, number: int, scale: tuple[float, float] = ANY) -> float:
    """A finite score on the scale; raises DataError if it is none."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise DataError(f"{path}, line {number}: the score {text.strip()[:40]!r} is not a number")
    if not scale[0] <= value <= scale[1]:
        raise DataError(f"{path}, line {number}: the score {value:g} is not from {scale[0]:g} to {scale[1]:g}")
    return value


def pairs_of(rows: list[tuple[str, str, float]], path: Path) -> Pairs:
    """Normalises white space and sorts as SentEval does: by token counts, then score."""
    if not rows:
        raise DataError(f"{path}: no sentence pairs")
    tokenized = [(first.split(), second.split(), score) for first, second, score in rows]
    tokenized.sort(key=lambda row: (len(row[0]), len(row[1]), row[2]))
    return Pairs(
        first=[" ".join(first) for first, _, _ in tokenized],
        second=[" ".join(second) for _, second, _ in tokenized],
        scores=np.array([score for _, _, score in tokenized], dtype=np.float64),
    )
