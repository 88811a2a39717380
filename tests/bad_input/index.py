"""`SentenceIndex`, its folder, and `SentenceEncoder` and `mixcse search` with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from bad_input.case import Case, Place
from bad_input.encoder_api import diverged
from mixcse import SentenceEncoder, SentenceIndex
from mixcse.base.errors import UserError

SENTENCES = ["a cat", "a dog", "a mat"]
ROWS = np.eye(3, 16, dtype=np.float32)
NAN = np.where(np.arange(3)[:, None] == 1, np.float32(np.nan), ROWS)
OTHER = ("{folder}/index: the index was built with another encoder", "build it again")


def index() -> SentenceIndex:
    return SentenceIndex(ROWS, SENTENCES, fingerprint="0" * 64)


def damaged(name: str, *says: str, by: Callable[[Path], Any]) -> Case:
    """A folder of an index, damaged, is to be loaded."""
    says = ("{folder}/index: not a usable index (", *says, "build it again")
    return Case(
        name, lambda place: SentenceIndex.load(place / "index"), says, lambda place: by(saved(place)), UserError
    )


def saved(place: Place) -> Path:
    index().save(place / "index")
    return place / "index"


def described(**changes: Any) -> Callable[[Path], Any]:
    def by(folder: Path) -> None:
        file = folder / "index.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return by


def without(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


def emptied(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(b"")


def embeddings(rows: np.ndarray) -> Callable[[Path], Any]:
    return lambda folder: np.save(folder / "embeddings.npy", rows)


def texts(**columns: list) -> Callable[[Path], Any]:
    return lambda folder: parquet.write_table(pa.table(columns), folder / "sentences.parquet")


def search_by(encoder: SentenceEncoder, index: SentenceIndex | None = None) -> None:
    encoder.index = index
    encoder.search("a cat")


FOLDERS = [
    damaged("without index.json", "No such file", by=without("index.json")),
    damaged("index.json empty", by=emptied("index.json")),
    damaged("of a later version", "are [2, 3, 16], expected [1, 3, 16]", by=described(version=2)),
    damaged("of another count", "are [1, 4, 16], expected [1, 3, 16]", by=described(count=4)),
    damaged("without faiss' file", "index.faiss", by=described(faiss="HNSW16")),
    damaged("without embeddings", "No such file", by=without("embeddings.npy")),
    damaged("embeddings empty", by=emptied("embeddings.npy")),
    damaged("embeddings of float64", "float64", by=embeddings(ROWS.astype(np.float64))),
    damaged("embeddings with NaN", "an embedding holds NaN or infinity", by=embeddings(NAN)),
    damaged("without sentences", "sentences.parquet", by=without("sentences.parquet")),
    damaged("fewer sentences", "(3, 16) embeddings of float32 for 2 sentences", by=texts(sentence=SENTENCES[:2])),
    damaged("sentences that are null", "1 of them null", by=texts(sentence=["a cat", None, "a mat"])),
    Case("another encoder", ("search", "--model", "{model}", "--index", "{folder}/index", "a"), OTHER, saved),
]
CASES = FOLDERS + [
    Case(
        "search before there is an index",
        lambda place: search_by(SentenceEncoder(place.model)),
        ("there is no index to search: build_index or load_index comes first",),
        raises=UserError,
    ),
    Case("top_k 0", lambda _: index().search(ROWS, 0), ("top_k must be at least 1, not 0",), raises=ValueError),
    Case("queries of another length", lambda _: index().search(ROWS[:, :3]), ("3 components",), raises=ValueError),
    Case("queries with NaN", lambda _: index().search(NAN), ("embedding 1 holds NaN or infinity",), raises=ValueError),
    Case(
        "a model that has diverged",
        lambda place: search_by(diverged(place), index()),
        ("NaN or infinity for a query",),
        raises=UserError,
    ),
]
