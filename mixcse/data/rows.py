"""Rows of a corpus: those that repeat others or hold next to nothing, and those held out from training.

A repeated sentence meets itself in a batch as a negative, which teaches that a sentence is
unlike itself (SimCSE's issues 62 and 240).
"""

import re
from dataclasses import dataclass

import numpy as np
from datasets import Dataset

from mixcse.base.errors import UserError

SHARE, MOST = 0.01, 1000  # held out when nothing is said: of the corpus, and sentences
_TWO_SIGNS = re.compile(r"[^\W_].*?[^\W_]", re.DOTALL).search  # letters or digits of any script


@dataclass(frozen=True)
class Found:
    """Rows of a corpus, by their numbers from 0, in order.

    Attributes:
        rows: how many there are in all.
        duplicates: rows whose sentences, but for white space around them, an earlier row has.
        near_empty: rows with fewer than two letters or digits in their sentence, or in one of a pair;
            these are not among the duplicates.
        shared: how many of the other rows have a second sentence that another one has, too.
    """

    rows: int
    duplicates: np.ndarray
    near_empty: np.ndarray
    shared: int = 0

    def kept(self) -> np.ndarray:
        """The other rows."""
        mask = np.ones(self.rows, dtype=bool)
        mask[self.duplicates] = mask[self.near_empty] = False
        return np.flatnonzero(mask)

    def report(self, *, removed: bool) -> str:
        """One line for people."""
        twice, empty = len(self.duplicates), len(self.near_empty)
        line = f"{self.rows:,} sentences: {twice:,} exact duplicates, {empty:,} near-empty"
        if self.shared:
            line += f"; {self.shared:,} rows share their second sentence: false negatives of each other in a batch"
        if removed:
            return f"{line}; without them {self.rows - twice - empty:,} are left"
        return line + "; --dedupe leaves them out (duplicates are false negatives)" * bool(twice + empty)


def find_duplicates(text: Dataset) -> Found:
    """Find duplicates and near-empty rows; memory holds a hash of eight bytes per row.

    Args:
        text: columns of sentences, as `Corpus.text` returns them.
    """
    hashes, near_empty = np.empty(len(text), dtype=np.int64), np.zeros(len(text), dtype=bool)
    seconds = hashes.copy() if len(text.column_names) > 1 else None
    at = 0
    for batch in text.with_format("arrow").iter(batch_size=10_000):
        columns = [[(sentence or "").strip() for sentence in column.to_pylist()] for column in batch.columns]
        rows = slice(at, at := at + batch.num_rows)
        keys = columns[0] if len(columns) == 1 else list(map("\n\0".join, zip(*columns, strict=True)))
        hashes[rows] = list(map(hash, keys))  # 64 bits
        if seconds is not None:
            seconds[rows] = list(map(hash, columns[1]))
        for column in columns[:2]:  # a given hard negative may be missing
            near_empty[rows] |= [_TWO_SIGNS(sentence) is None for sentence in column]
    first = np.zeros(len(text), dtype=bool)
    first[np.unique(hashes, return_index=True)[1]] = True
    shared = 0 if seconds is None else _repeated(seconds[first & ~near_empty])
    return Found(len(text), np.flatnonzero(~first & ~near_empty), np.flatnonzero(near_empty), shared)


def _repeated(hashes: np.ndarray) -> int:
    counts = np.unique(hashes, return_counts=True)[1]
    return int(counts[counts > 1].sum())


def hold_out(data: Dataset, asked: float | None, batch_size: int, seed: int) -> tuple[Dataset, Dataset]:
    """What is left for training, in its order, and what is held out for its loss, chosen by the seed alone.

    Args:
        asked: a share of the rows (below 1) or a number of them; None: one in a hundred, at most
            1,000.  Rounded down to whole batches, at least one: a loss depends on how many
            negatives there are.  No more than a fifth of a small corpus, unless it is asked for.

    Raises:
        UserError: too few rows are left on one of the sides.
    """
    wanted = min(SHARE * len(data), MOST) if asked is None else asked * len(data) if asked < 1 else asked
    size = max(1, int(wanted // batch_size)) * batch_size
    limit = len(data) // 5 if asked is None else len(data) - 2
    if size > limit:
        size = limit // batch_size * batch_size or limit
    if size < 2 or wanted > len(data) - 2:
        some = "some" if asked is None else f"{wanted:g} of them (--held_out {asked:g})"
        raise UserError(
            f"{len(data):,} sentences are too few to hold {some} out for the loss; give scored pairs with "
            "--validation_file, or train without dev scores (leave out --do_eval and its kin)"
        )
    chosen = np.zeros(len(data), dtype=bool)
    chosen[np.random.default_rng(seed).choice(len(data), size, replace=False)] = True
    return data.select(np.flatnonzero(~chosen)), data.select(np.flatnonzero(chosen))
