"""`SentenceIndex`, its folder, and `SentenceEncoder` and `mixcse search` with it."""

import json
import os
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
FINGERPRINT = "0" * 64


def made(embeddings: Any = ROWS, sentences: Any = SENTENCES, **options: Any) -> Callable[[Place], Any]:
    return lambda _: SentenceIndex(embeddings, sentences, fingerprint=FINGERPRINT, **options)


def searched(queries: Any = ROWS[:1], *values: Any, **options: Any) -> Callable[[Place], Any]:
    return lambda _: SentenceIndex(ROWS, SENTENCES, fingerprint=FINGERPRINT).search(queries, *values, **options)


def built(sentences: Any = SENTENCES, **options: Any) -> Callable[[Place], Any]:
    return lambda place: SentenceEncoder(place.model).build_index(sentences, **options)


def asked(*values: Any, **options: Any) -> Callable[[Place], Any]:
    def does(place: Place) -> None:
        encoder = SentenceEncoder(place.model)
        encoder.build_index(SENTENCES)
        encoder.search(*values, **options)

    return does


def assigned(place: Place) -> None:
    SentenceEncoder(place.model).index = "index"


def diverged_since(place: Place) -> None:
    encoder = diverged(place)
    encoder.index = SentenceIndex(ROWS, SENTENCES, fingerprint=encoder.fingerprint())
    encoder.search("a cat")


def saved(place: Place) -> Path:
    SentenceIndex(ROWS, SENTENCES, fingerprint=FINGERPRINT).save(place / "index")
    return place / "index"


def damaged(name: str, *says: str, by: Callable[[Path], Any]) -> Case:
    """A folder of an index, damaged, is to be loaded."""
    return Case(
        name,
        lambda place: SentenceIndex.load(place / "index"),
        ("{folder}/index", *says),
        lambda place: by(saved(place)),
        UserError,
    )


def described(**changes: Any) -> Callable[[Path], Any]:
    def by(folder: Path) -> None:
        file = folder / "index.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return by


def undescribed(name: str) -> Callable[[Path], Any]:
    def by(folder: Path) -> None:
        file = folder / "index.json"
        file.write_text(json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key != name}))

    return by


def content(name: str, data: bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(data)


def cut(name: str) -> Callable[[Path], Any]:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size - 40)


def embeddings(rows: np.ndarray) -> Callable[[Path], Any]:
    return lambda folder: np.save(folder / "embeddings.npy", rows)


def archived(folder: Path) -> None:
    with open(folder / "embeddings.npy", "wb") as file:
        np.savez(file, ROWS)


def texts(**columns: list) -> Callable[[Path], Any]:
    return lambda folder: parquet.write_table(pa.table(columns), folder / "sentences.parquet")


def folder_for(name: str) -> Callable[[Path], Any]:
    return lambda folder: ((folder / name).unlink(), (folder / name).mkdir())


NAN = np.where(np.arange(3)[:, None] == 1, np.float32(np.nan), ROWS)
FOLDERS = [
    damaged("without index.json", "no index in it", by=lambda folder: (folder / "index.json").unlink()),
    damaged("index.json empty", "not a usable index", by=content("index.json", b"")),
    damaged("index.json without its count", "index.json has no usable 'count'", by=undescribed("count")),
    damaged("of a later version", "version 2, where this program knows 1", by=described(version=2)),
    damaged("of another count", "its files are not of one index", by=described(count=4)),
    damaged("of a number for its encoder", "no usable 'fingerprint'", by=described(fingerprint=5)),
    damaged("without faiss' file", "faiss", by=described(faiss="HNSW16")),
    damaged("without embeddings", "No such file", by=lambda folder: (folder / "embeddings.npy").unlink()),
    damaged("embeddings empty", "not a usable index", by=content("embeddings.npy", b"")),
    damaged("embeddings of pickles", "not a usable index", by=embeddings(ROWS.astype(object))),
    damaged("embeddings of float64", "float32", "float64", by=embeddings(ROWS.astype(np.float64))),
    damaged("fewer embeddings", "not of one index", by=embeddings(ROWS[:2])),
    damaged("embeddings with NaN", "number 1 holds NaN or infinity", by=embeddings(NAN)),
    damaged("without sentences", "sentences.parquet", by=lambda folder: (folder / "sentences.parquet").unlink()),
    damaged("sentences of another column", '"sentence" does not exist', by=texts(text=SENTENCES)),
    damaged("sentences that are numbers", "holds int64, not sentences", by=texts(sentence=[1, 2, 3])),
    damaged("sentences that are null", "1 of them null", by=texts(sentence=["a cat", None, "a mat"])),
    Case(
        "a folder that is not there",
        lambda place: SentenceIndex.load(place / "none"),
        ("{folder}/none: no index in it (index.json); SentenceIndex.save writes one",),
        raises=UserError,
    ),
    Case(
        "the index of another encoder",
        lambda place: SentenceEncoder(place.model).load_index(place / "index"),
        ("{folder}/index is of another encoder", "build it again"),
        saved,
        UserError,
    ),
    Case(
        "the index of another encoder on the command line",
        ("search", "--model", "{model}", "--index", "{folder}/index", "a cat"),
        ("{folder}/index is of another encoder",),
        saved,
    ),
    Case(
        "saved below a file",
        lambda place: SentenceIndex(ROWS, SENTENCES, fingerprint=FINGERPRINT).save(place / "good.txt" / "index"),
        ("good.txt/index: the index cannot be written (Not a directory)",),
        raises=UserError,
    ),
]

MAKING = [
    Case("fewer sentences than embeddings", made(sentences=["a"]), ("3 embeddings of 1 sentences",), raises=ValueError),
    Case("a row of embeddings", made(np.ones(3, np.float32)), ("not float32, (3,)",), raises=ValueError),
    Case("embeddings that are NaN", made(NAN), ("number 1 holds NaN or infinity",), raises=ValueError),
    Case("numbers for sentences", made(sentences=[1, 2, 3]), ("a sentence is no string",), raises=TypeError),
    Case("a number for faiss", made(faiss=32), ("faiss is None, True, False or a string, not int",), raises=TypeError),
    Case("an unknown kind of faiss", built(faiss="nonsense"), ("faiss",), raises=UserError),
    Case("built of None", built(None), ("as a list of strings, not as NoneType",), raises=TypeError),
    Case("built of a file that is not there", built("none.txt"), ("none.txt: no such file",), raises=UserError),
    Case(
        "built of parts",
        built(truncate_dim=4),
        ("4 components for an index of 16",),
        raises=ValueError,
    ),
    Case(
        "built with a model that has diverged",
        lambda place: diverged(place).build_index(SENTENCES),
        ("the model gives NaN or infinity",),
        raises=UserError,
    ),
    Case("a name for an index", assigned, ("index is a SentenceIndex or None, not str",), raises=TypeError),
]

SEARCHING = [
    Case(
        "search before there is an index",
        lambda place: SentenceEncoder(place.model).search("a cat"),
        ("there is no index to search: build_index or load_index comes first",),
        raises=UserError,
    ),
    Case("top_k 0", asked("a cat", top_k=0), ("top_k must be at least 1, not 0",), raises=ValueError),
    Case("threshold NaN", asked("a", threshold=np.nan), ("threshold must be a number, not NaN",), raises=ValueError),
    Case("None for a query", asked(None), ("as a list of strings, not as NoneType",), raises=TypeError),
    Case("one embedding for a matrix", searched(ROWS[0]), ("this has shape (16,)",), raises=ValueError),
    Case("queries of another length", searched(ROWS[:, :3]), ("3 components for an index of 16",), raises=ValueError),
    Case("queries with NaN", searched(NAN), ("embedding 1 holds NaN or infinity",), raises=ValueError),
    Case("a model that has diverged", diverged_since, ("NaN or infinity for a query",), raises=UserError),
]

CASES = FOLDERS + MAKING + SEARCHING
