"""`SentenceIndex`: sentences and their embeddings, to be searched, saved and loaded."""

import math
from collections.abc import Iterable
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet

from mixcse.base.checks import check_count, check_finite
from mixcse.base.errors import UserError, first_line
from mixcse.base.files import read_json, write_json, written_aside
from mixcse.encoder.vectors import as_matrix

EMBEDDINGS, SENTENCES, DESCRIPTION, FAISS = "embeddings.npy", "sentences.parquet", "index.json", "index.faiss"
VERSION = 1  # of the folder's format
KNOWN = {"version": int, "count": int, "dim": int, "fingerprint": str, "faiss": str | None}  # in its description
LARGE = 100_000  # sentences from which on faiss is used, if it is installed
FLAT = "Flat"  # faiss' exact index
QUERIES, BLOCK = 256, 16_384  # rows of the blocks that are multiplied: 16 MB of scores
CANDIDATES, AT_LEAST = 10, 100  # of an approximate index: so many for each hit, whose cosines are then computed
ROUNDING = 2e-6  # of cosines in float32


class Hit(NamedTuple):
    """A sentence found: its cosine with the query, and its position in the index."""

    sentence: str
    score: float
    position: int


class SentenceIndex:
    """What `SentenceEncoder.build_index` makes.

    Args:
        embeddings: rows of length 1, float32, (n, d).
        sentences: as many; none of them null.
        fingerprint: of the encoder.
        faiss: None: exact search, by faiss from 100,000 sentences on if it is installed, else by a
            matrix product in blocks.  False: never faiss.  True: exact search by faiss.  A string: what
            faiss' `index_factory` makes of it, for millions of sentences and approximate, such as
            `HNSW32` or `IVF4096,Flat`; `faiss_index` is there for its settings.  It finds candidates;
            scores are those of the embeddings.
        name: what messages call it.

    Raises:
        UserError: faiss is asked for and not installed, or cannot make such an index.
        ValueError: the embeddings are of another kind or number, or hold NaN or infinity.
        TypeError: a sentence is no string, or `faiss` is none of these.
    """

    def __init__(
        self,
        embeddings: np.ndarray,
        sentences: list[str] | pa.Array,
        *,
        fingerprint: str,
        faiss: bool | str | None = None,
        name: str = "the index",
    ) -> None:
        if not isinstance(embeddings, np.ndarray) or embeddings.dtype != np.float32 or embeddings.ndim != 2:
            found = getattr(embeddings, "dtype", type(embeddings).__name__), getattr(embeddings, "shape", "no shape")
            raise ValueError(f"embeddings are an array of float32, (sentences, components), not {found[0]}, {found[1]}")
        for start in range(0, len(embeddings), BLOCK):
            check_finite(f"of the embeddings from {start:,} on, number", embeddings[start : start + BLOCK])
        if len(embeddings) != len(sentences):
            raise ValueError(f"{len(embeddings)} embeddings of {len(sentences)} sentences")
        if not isinstance(faiss, bool | str | None):
            raise TypeError(f"faiss is None, True, False or a string, not {type(faiss).__name__}")
        self.embeddings = embeddings
        self.sentences = _as_strings(sentences)
        self.fingerprint = fingerprint
        self.name = name
        self.kind = _kind(faiss, len(embeddings))
        self.faiss_index: Any = None if self.kind is None else _faiss_index(self.kind, embeddings)

    @classmethod
    def collect(
        cls,
        chunks: Iterable[tuple[list[str], np.ndarray]],
        dim: int,
        *,
        fingerprint: str,
        faiss: bool | str | None = None,
    ) -> "SentenceIndex":
        """Of sentences and embeddings that come in chunks; they are in memory once."""
        if faiss:
            _import_faiss()  # rather now than after an hour's encoding
        embeddings, sentences = np.empty((0, dim), dtype=np.float32), []
        for texts, part in chunks:
            if part.shape[1] != dim:
                raise ValueError(f"embeddings of {part.shape[1]} components for an index of {dim}")
            count = len(embeddings)
            embeddings.resize((count + len(part), dim), refcheck=False)  # grows where it lies
            embeddings[count:] = part
            sentences.append(pa.array(texts, pa.large_string()))
        joined = pa.concat_arrays(sentences) if sentences else []
        return cls(embeddings, joined, fingerprint=fingerprint, faiss=faiss)

    def __len__(self) -> int:
        return len(self.embeddings)

    def search(
        self, queries: np.ndarray | torch.Tensor, top_k: int = 5, threshold: float | None = None
    ) -> list[list[Hit]]:
        """The most similar sentences of each query, best first; of equal scores, the first in the index.

        Args:
            queries: embeddings of length 1, (q, d).
            top_k: at most so many for each.
            threshold: only those with at least this score, up to float32's rounding.

        Raises:
            ValueError: `top_k` is below 1, `threshold` is NaN, or the queries have another length than
                the index, or hold NaN or infinity.
            TypeError: `top_k` is no whole number, or `threshold` no number.
        """
        queries = as_matrix(queries)
        check_count("top_k", top_k)
        if not isinstance(threshold, Real | None):
            raise TypeError(f"threshold must be a number, not {type(threshold).__name__}")
        if threshold is not None and math.isnan(threshold):
            raise ValueError("threshold must be a number, not NaN")
        if queries.shape[1] != self.embeddings.shape[1]:
            raise ValueError(f"queries of {queries.shape[1]} components for an index of {self.embeddings.shape[1]}")
        top_k = min(top_k, len(self))
        if not top_k:
            return [[] for _ in queries]
        find = self._search_exactly if self.faiss_index is None else self._search_by_faiss
        hits = []
        for start in range(0, len(queries), QUERIES):
            for scores, positions in find(queries[start : start + QUERIES], top_k):
                hits.append(self._hits(scores, positions, threshold))
        return hits

    def save(self, folder: str | Path) -> None:
        """Writes `embeddings.npy`, `sentences.parquet` and `index.json`; an approximate index is kept, too."""
        description = {
            "version": VERSION, "count": len(self), "dim": self.embeddings.shape[1], "normalized": True,
            "fingerprint": self.fingerprint, "faiss": self.kind,
        }  # fmt: skip
        try:
            with written_aside(folder, last=DESCRIPTION) as aside:
                np.save(aside / EMBEDDINGS, self.embeddings)
                parquet.write_table(pa.table({"sentence": self.sentences}), aside / SENTENCES, compression="zstd")
                if self.kind not in (None, FLAT):
                    _import_faiss().write_index(self.faiss_index, str(aside / FAISS))
                write_json(aside / DESCRIPTION, description)
        except OSError as error:
            raise UserError(f"{folder}: the index cannot be written ({error.strerror or first_line(error)})") from error

    @classmethod
    def load(cls, folder: str | Path, *, faiss: bool | None = None) -> "SentenceIndex":
        """Reads what `save` wrote; embeddings stay on the disk, and are looked through once for NaN.

        Args:
            faiss: False: search exactly and without faiss, which copies the embeddings into memory.

        Raises:
            UserError: it is not there or damaged, or faiss is not, which it was built with.
        """
        folder = Path(folder)
        if not (folder / DESCRIPTION).is_file():
            raise UserError(f"{folder}: no index in it ({DESCRIPTION}); SentenceIndex.save writes one")
        try:
            described = dict(read_json(folder / DESCRIPTION))
            sentences = parquet.read_table(folder / SENTENCES)["sentence"]
            if wrong := [name for name, kind in KNOWN.items() if not isinstance(described.get(name, ...), kind)]:
                raise ValueError(f"{DESCRIPTION} has no usable {wrong[0]!r}")
            if described["version"] != VERSION:
                raise ValueError(f"version {described['version']}, where this program knows {VERSION}")
            embeddings = np.lib.format.open_memmap(folder / EMBEDDINGS, mode="c")
            if embeddings.shape != (described["count"], described["dim"]) or len(sentences) != len(embeddings):
                raise ValueError("its files are not of one index")
            if sentences.type not in (pa.string(), pa.large_string()):
                raise ValueError(f"{SENTENCES} holds {sentences.type}, not sentences")
            strings = pa.concat_arrays(sentences.cast(pa.large_string()).chunks or [pa.array([], pa.large_string())])
            index = cls(embeddings, strings, fingerprint=described["fingerprint"], faiss=False, name=str(folder))
        except (OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{folder}: not a usable index ({first_line(error)}); build it again") from error
        if faiss is not False:
            index._take_up(described["faiss"], folder)
        return index

    def _take_up(self, kind: str | None, folder: Path) -> None:
        if kind == FLAT and not _is_installed():
            return  # the matrix product finds the same
        if kind == FLAT:
            self.faiss_index = _faiss_index(FLAT, self.embeddings)
        elif kind is not None:
            faiss = _import_faiss()
            try:
                self.faiss_index = _by_inner_product(faiss.read_index(str(folder / FAISS)), str(folder / FAISS))
            except RuntimeError as error:
                raise UserError(f"{folder / FAISS}: not a usable faiss index; build it again") from error
            if (self.faiss_index.ntotal, self.faiss_index.d) != self.embeddings.shape:
                raise UserError(f"{folder / FAISS}: it is of another index; build it again")
        self.kind = kind

    def _search_exactly(self, queries: np.ndarray, top_k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Scores and positions of each query's best, through blocks of the index."""
        best = [(np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64)) for _ in queries]
        worst = np.full(len(queries), -np.inf, dtype=np.float32)  # of what is kept, once there are top_k
        for start in range(0, len(self), BLOCK):
            block = torch.from_numpy(self.embeddings[start : start + BLOCK])
            scores = (torch.from_numpy(queries) @ block.T).numpy()
            floor = worst
            if len(block) > top_k and not start:
                floor = np.partition(scores, -top_k, axis=1)[:, -top_k]
                better = scores >= floor[:, None]
            else:  # a later one with the score of the worst is not better
                better = scores > floor[:, None]
            for row in better.any(axis=1).nonzero()[0]:
                columns = better[row].nonzero()[0]
                found = np.concatenate([best[row][0], scores[row, columns]])
                places = np.concatenate([best[row][1], columns + start])
                order = np.argsort(-found, kind="stable")[:top_k]  # stable: of equal ones the first
                best[row] = found[order], places[order]
                if len(order) == top_k:
                    worst[row] = found[order[-1]]
        return best

    def _search_by_faiss(self, queries: np.ndarray, top_k: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """As `_search_exactly`, among the candidates that faiss finds: its own scores may be of compressed vectors."""
        wanted = top_k if self.kind == FLAT else min(len(self), max(AT_LEAST, CANDIDATES * top_k))
        _, candidates = self.faiss_index.search(np.ascontiguousarray(queries), wanted)
        found = []
        for query, positions in zip(queries, candidates, strict=True):
            positions = positions[positions >= 0]  # an approximate index may find fewer
            scores = self.embeddings[positions] @ query
            order = np.lexsort((positions, -scores))[:top_k]
            found.append((scores[order], positions[order]))
        return found

    def _hits(self, scores: np.ndarray, positions: np.ndarray, threshold: float | None) -> list[Hit]:
        inside = np.abs(scores) <= 1 + ROUNDING  # of rows that have another length, they are no cosines
        scores = np.where(inside, scores.clip(-1, 1), scores)
        return [
            Hit(self.sentences[position].as_py(), score, position)
            for score, position in zip(scores.tolist(), positions.tolist(), strict=True)
            if threshold is None or score >= threshold - ROUNDING
        ]


def _as_strings(sentences: list[str] | pa.Array) -> pa.Array:
    """Arrow's strings are in one block: a Python string costs 50 bytes more."""
    try:
        strings = sentences if isinstance(sentences, pa.Array) else pa.array(sentences, pa.large_string())
    except pa.ArrowException as error:
        raise TypeError(f"a sentence is no string ({first_line(error)})") from error
    if not pa.types.is_large_string(strings.type) or strings.null_count:
        raise TypeError(f"a sentence is no string: they are {strings.type}, {strings.null_count} of them null")
    return strings


def _is_installed() -> bool:
    return find_spec("faiss") is not None


def _import_faiss() -> Any:
    if not _is_installed():
        raise UserError("faiss is not installed: pip install faiss-cpu, or do without it (faiss=False)")
    import faiss

    return faiss


def _kind(asked: bool | str | None, count: int) -> str | None:
    """The description for faiss' `index_factory`; None for the matrix product."""
    if asked is None:
        return FLAT if count >= LARGE and _is_installed() else None
    return FLAT if asked is True else asked or None


def _faiss_index(kind: str, embeddings: np.ndarray) -> Any:
    faiss = _import_faiss()
    try:
        index = faiss.index_factory(embeddings.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
        _by_inner_product(index, f"faiss={kind!r}")  # before its training, which may take long
        index.train(embeddings)
        index.add(embeddings)
    except RuntimeError as error:
        raise UserError(f"faiss={kind!r}: faiss makes no such index of {len(embeddings)} sentences") from error
    return index


def _by_inner_product(index: Any, where: str) -> Any:
    """The index; raises UserError if it ranks by anything else, as faiss makes some kinds whatever they are asked."""
    if index.metric_type != _import_faiss().METRIC_INNER_PRODUCT:
        raise UserError(f"{where}: faiss makes it an index of distances, not of inner products; choose another kind")
    return index
