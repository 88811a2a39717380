"""`SentenceIndex`, its folder, and `SentenceEncoder` and `mixcse search` with it."""

import json
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


def saved(place: Place) -> None:
    index().save(place / "index")


def damaged(name: str, file: str, content: Any, *says: str) -> Case:
    """The folder of an index is to be loaded whose file is gone (None), or has this content instead."""

    def make(place: Place) -> None:
        saved(place)
        path = place / f"index/{file}"
        if content is None:
            path.unlink()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, dict):
            path.write_text(json.dumps(json.loads(path.read_text()) | content))
        elif isinstance(content, list):
            parquet.write_table(pa.table({"sentence": content}), path)
        else:
            np.save(path, content)

    says = ("{folder}/index: not a usable index (", *says, "build it again")
    return Case(name, lambda place: SentenceIndex.load(place / "index"), says, make, UserError)


def search_by(encoder: SentenceEncoder, index: SentenceIndex | None = None) -> None:
    encoder.index = index
    encoder.search("a cat")


DESCRIPTION, EMBEDDINGS, TEXTS = "index.json", "embeddings.npy", "sentences.parquet"
FOLDERS = [
    damaged("without index.json", DESCRIPTION, None, "No such file"),
    damaged("index.json empty", DESCRIPTION, b""),
    damaged("of a later version", DESCRIPTION, {"version": 2}, "are [2, 3, 16], expected [1, 3, 16]"),
    damaged("of another count", DESCRIPTION, {"count": 4}, "are [1, 4, 16], expected [1, 3, 16]"),
    damaged("without faiss' file", DESCRIPTION, {"faiss": "HNSW16"}, "index.faiss"),
    damaged("without embeddings", EMBEDDINGS, None, "No such file"),
    damaged("embeddings empty", EMBEDDINGS, b""),
    damaged("embeddings of float64", EMBEDDINGS, ROWS.astype(np.float64), "float64"),
    damaged("embeddings with NaN", EMBEDDINGS, NAN, "an embedding holds NaN or infinity"),
    damaged("without sentences", TEXTS, None, TEXTS),
    damaged("fewer sentences", TEXTS, SENTENCES[:2], "(3, 16) embeddings of float32 for 2 sentences"),
    damaged("sentences that are null", TEXTS, ["a cat", None, "a mat"], "1 of them null"),
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
