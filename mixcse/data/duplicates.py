"""Sentences that a corpus holds twice, and lines with next to nothing on them: found, counted, left out.

A repeated sentence meets itself in a batch as a negative, which teaches that a sentence is
unlike itself (SimCSE's issues 62 and 240).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset
from pandas.util import hash_array

FINDER_VERSION = 1  # raise it when what counts changes, or old caches are taken for new ones
_TWO_SIGNS = re.compile(r"[^\W_].*?[^\W_]", re.DOTALL).search  # letters or digits of any script


@dataclass(frozen=True)
class Found:
    """Rows of a corpus, by their numbers from 0, in order.

    Attributes:
        rows: how many there are in all.
        duplicates: rows whose sentences, but for white space around them, an earlier row has.
        near_empty: rows with fewer than two letters or digits in their sentence, or in one of a pair;
            these are not among the duplicates.
    """

    rows: int
    duplicates: np.ndarray
    near_empty: np.ndarray

    def kept(self) -> np.ndarray:
        """The other rows."""
        mask = np.ones(self.rows, dtype=bool)
        mask[self.duplicates] = mask[self.near_empty] = False
        return np.flatnonzero(mask)

    def report(self, *, removed: bool) -> str:
        """One line for people."""
        twice, empty = len(self.duplicates), len(self.near_empty)
        line = f"{self.rows:,} sentences: {twice:,} exact duplicates, {empty:,} near-empty"
        if removed:
            return f"{line}; without them {self.rows - twice - empty:,} are left"
        return line + "; --dedupe leaves them out (duplicates are false negatives)" * bool(twice + empty)


def find_duplicates(text: Dataset, *, overwrite_cache: bool = False) -> Found:
    """Finds them; eight bytes a row are held, a hash, and what was found is kept beside the table's cache.

    Args:
        text: columns of sentences, as `mixcse.data.table` gives them.
    """
    store = _store(text)
    if store is not None and store.is_file() and not overwrite_cache:
        with np.load(store, allow_pickle=False) as found:
            return Found(len(text), found["duplicates"], found["near_empty"])
    hashes, near_empty = np.empty(len(text), dtype=np.uint64), np.zeros(len(text), dtype=bool)
    at = 0
    for batch in text.with_format("arrow").iter(batch_size=10_000):
        columns = [[(sentence or "").strip() for sentence in column.to_pylist()] for column in batch.columns]
        rows = slice(at, at := at + batch.num_rows)
        keys = columns[0] if len(columns) == 1 else list(map("\n\0".join, zip(*columns, strict=True)))
        hashes[rows] = hash_array(np.array(keys, dtype=object), categorize=False)
        for column in columns[:2]:  # a given hard negative may be missing
            near_empty[rows] |= [_TWO_SIGNS(sentence) is None for sentence in column]
    first = np.zeros(len(text), dtype=bool)
    first[np.unique(hashes, return_index=True)[1]] = True
    found = Found(len(text), np.flatnonzero(~first & ~near_empty), np.flatnonzero(near_empty))
    if store is not None:
        _keep(store, found)
    return found


def _store(text: Dataset) -> Path | None:
    if not text.cache_files:
        return None
    folder = Path(text.cache_files[0]["filename"]).parent
    return folder / f"duplicates-{text._fingerprint}-{FINDER_VERSION}.npz"


def _keep(store: Path, found: Found) -> None:
    aside = store.with_name(f".{os.getpid()}-{store.name}")
    try:
        np.savez(aside, duplicates=found.duplicates, near_empty=found.near_empty)
        os.replace(aside, store)
    except OSError:  # a cache that cannot be written to costs the next run some seconds
        aside.unlink(missing_ok=True)
