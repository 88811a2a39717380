"""Where evaluation data lies, and pairs of the user's own."""

import dataclasses
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import senteval
from mixcse.base.console import say, warn
from mixcse.base.errors import UserError
from mixcse.base.files import ROOT
from mixcse.data.formats import is_compressed, open_text, text_fault
from mixcse.data.reading import check_file, column_names, named_faults, read_rows, unit_of
from senteval.readers import pairs_of

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")


def find_senteval_data(option: str | None = None) -> Path:
    """The folder that holds `downstream/`: the option, else $SENTEVAL_DATA, else SentEval/data."""
    return Path(option or os.environ.get("SENTEVAL_DATA") or ROOT / "SentEval" / "data")


def read_own_pairs(path: str | Path) -> senteval.Pairs:
    """Read the scored pairs of `--validation_file`, from a table or in STS-B's layout.

    A table has the columns sentence1, sentence2 and score (or label), in any order among others.  A scale
    other than STS-B's (0 to 5, with a score above 4) is brought to 0 to 5 by its least and largest score,
    since alignment takes pairs above 4.

    Raises:
        UserError: a line is malformed, columns are missing, or all scores are equal.
    """
    path = Path(path)
    try:
        check_file(path, any_kind=True)
        table = not _is_sts_benchmark(path)
        if not table and is_compressed(path):
            raise UserError(f"{path}: a file in STS-B's layout is read as it is; unpack it, with gunzip for instance")
        pairs = pairs_of(list(_scored_rows(path)), path) if table else senteval.read_pairs_file(path)
    except (UserError, senteval.DataError) as error:
        raise UserError(f"--validation_file {error}") from error
    if len(set(pairs.scores)) < 2:
        raise UserError(f"--validation_file {path}: a correlation needs pairs with at least two different scores")
    low, high = pairs.scores.min(), pairs.scores.max()
    if table and not (low >= 0 and 4 < high <= 5):
        say(f"--validation_file {path}: its scores, {low:g} to {high:g}, are brought to the scale of 0 to 5")
        pairs = dataclasses.replace(pairs, scores=5 * (pairs.scores - low) / (high - low))
    elif not table and high <= 1:
        warn(f"--validation_file {path}: its scores are {low:g} to {high:g}, where this layout has 0 to 5")
    return pairs


def _is_sts_benchmark(path: Path) -> bool:
    """Return whether a file is no table: its first line has seven fields between tabs or more, and no sentence1."""
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind not in (".csv", ".tsv"):
        return kind not in TABLES
    with named_faults(path), open_text(path) as file:
        line = file.readline().lower()
    return line.count("\t") >= 6 and "sentence1" not in line


def _scored_rows(path: Path) -> Iterator[tuple[str, str, float]]:
    there, _ = column_names(path)
    for number, (first, second, score) in read_rows(path, _pair_columns(path, there)):
        where = f"{path}, {unit_of(path)} {number}"
        for sentence in (first, second):
            if not isinstance(sentence, str) or not sentence.strip():
                raise UserError(f"{where}: a sentence is missing or no text")
            if fault := text_fault(sentence):
                raise UserError(f"{where}: {fault}")
        if (value := _number(score)) is None:
            raise UserError(f"{where}: the score {str(score)[:40]!r} is not a number")
        yield first, second, value


def _pair_columns(path: Path, there: list[str]) -> list[str]:
    names = [name.strip().lower() for name in there]
    wanted = ("sentence1", "sentence2", "score" if "score" in names else "label")
    if any(names.count(name) != 1 for name in wanted):
        expected = "expected a header with sentence1, sentence2 and score (or label), each once"
        raise UserError(f"{path}, {unit_of(path)} 1: columns {', '.join(there)}; {expected}")
    return [there[names.index(name)] for name in wanted]


def _number(value: Any) -> float | None:
    """Return a finite number, also from its text; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
