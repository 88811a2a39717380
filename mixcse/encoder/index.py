"""`SentenceIndex`: sentences and their embeddings, to search, save and load; what `SentenceEncoder` does with it."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet

from mixcse.base.errors import UserError, first_line
from mixcse.base.files import read_json, write_json, written_aside
from mixcse.encoder.stream import NOT_FINITE, encode_stream
from mixcse.encoder.vectors import as_matrix, check_count, normalized

VERSION = 1  # of the folder's format
FLAT = "Flat"  # faiss' name of an exact index, also in folders of earlier versions
QUERIES, BLOCK = 256, 16_384  # rows of the blocks that are multiplied: 16 MB of scores
CANDIDATES, MIN_CANDIDATES = 10, 100  # of an approximate index, for each hit and at least
ROUNDING = 2e-6  # of cosines in float32


class Hit(NamedTuple):
    """A sentence that was found, its cosine with the query, and its position in the index."""

    sentence: str
    score: float
    position: int


class SentenceIndex:
    """Sentences and their embeddings, searched by cosine.

    Args:
        embeddings: rows of length 1, float32, (n, d).
        sentences: n strings.
        fingerprint: of the encoder.
        faiss: type of an approximate index as `faiss.index_factory` takes it, such as `HNSW32` or `IVF4096,Flat`.
            Candidates are scored by their embeddings.  Default: exact search without faiss; so is `Flat`.

    Raises:
        UserError: faiss is not installed, or cannot make such an index.
        ValueError: embeddings and sentences do not fit together, or an embedding holds NaN or infinity.
    """

    def __init__(
        self, embeddings: np.ndarray, sentences: list[str] | pa.Array, *, fingerprint: str, faiss: str | None = None
    ) -> None:
        self.embeddings = embeddings
        self.sentences = pa.array(sentences, pa.large_string())  # 50 bytes less for each than Python's strings
        self.fingerprint = fingerprint
        self.kind = faiss
        if len(embeddings) != len(sentences) or embeddings.dtype != np.float32 or self.sentences.null_count:
            described = f"{embeddings.shape} embeddings of {embeddings.dtype} for {len(sentences)} sentences"
            raise ValueError(f"{described}, {self.sentences.null_count} of them null: expected float32 for each")
        if not np.isfinite(embeddings.sum(dtype=np.float64)):  # NaN and infinity stay in a sum
            raise ValueError("an embedding holds NaN or infinity")
        self.faiss_index = _faiss_index(faiss, embeddings.shape[1], embeddings)

    @classmethod
    def collect(
        cls, chunks: Iterable[tuple[list[str], np.ndarray]], dim: int, *, fingerprint: str, faiss: str | None = None
    ) -> "SentenceIndex":
        """Make an index of sentences and embeddings that come in chunks; memory holds them once."""
        _faiss_index(faiss, dim)  # raises now, not after the encoding
        embeddings, sentences = np.empty((0, dim), dtype=np.float32), [pa.array([], pa.large_string())]
        for texts, part in chunks:
            count = len(embeddings)
            embeddings.resize((count + len(part), dim), refcheck=False)  # grows in place
            embeddings[count:] = part
            sentences.append(pa.array(texts, pa.large_string()))
        return cls(embeddings, pa.concat_arrays(sentences), fingerprint=fingerprint, faiss=faiss)

    def __len__(self) -> int:
        return len(self.embeddings)

    def search(
        self, queries: np.ndarray | torch.Tensor, top_k: int = 5, threshold: float | None = None
    ) -> list[list[Hit]]:
        """Return the most similar sentences of each query, best first; of equal scores, the first in the index.

        Args:
            queries: embeddings of length 1, (q, d).
            top_k: largest number of hits of a query.
            threshold: lowest score of a hit, up to float32's rounding.

        Raises:
            ValueError: `top_k` is below 1, or the queries hold NaN or infinity or have another length than the index.
        """
        check_count("top_k", top_k)
        queries = as_matrix(queries)
        if queries.shape[1] != self.embeddings.shape[1]:
            raise ValueError(f"queries of {queries.shape[1]} components for an index of {self.embeddings.shape[1]}")
        find = self._search_candidates if self.faiss_index else self._search_exactly
        found = []
        for start in range(0, len(queries), QUERIES):
            for scores, positions in find(queries[start : start + QUERIES], top_k):
                is_cosine = np.abs(scores) <= 1 + ROUNDING  # embeddings of another length than 1 have none
                scores = np.where(is_cosine, scores.clip(-1, 1), scores)
                hits = zip(self.sentences.take(positions).to_pylist(), scores.tolist(), positions.tolist(), strict=True)
                found.append([Hit(*hit) for hit in hits if threshold is None or hit[1] >= threshold - ROUNDING])
        return found

    def _search_exactly(self, queries: np.ndarray, top_k: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Yield scores and positions of each query's best, by a matrix product and `topk` for each block."""
        lowest, found, size = torch.full((len(queries), 1), -torch.inf), [], max(BLOCK, top_k)
        for start in range(0, len(self) or 1, size):
            block = torch.from_numpy(queries) @ torch.from_numpy(self.embeddings[start : start + size]).T
            if block.shape[1] >= top_k:
                lowest = lowest.maximum(block.topk(top_k, sorted=False).values.amin(1, keepdim=True))
            rows, columns = (block >= lowest).nonzero(as_tuple=True)  # of equal scores, topk takes any; these are all
            found.append((rows.numpy(), columns.numpy() + start, block[rows, columns].numpy()))
        rows, positions, scores = map(np.concatenate, zip(*found, strict=True))
        order = np.lexsort((positions, -scores, rows))
        for best in np.split(order, np.searchsorted(rows[order], np.arange(1, len(queries)))):
            yield scores[best[:top_k]], positions[best[:top_k]]

    def _search_candidates(self, queries: np.ndarray, top_k: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Yield scores and positions of the best of faiss' candidates, scored again: faiss may compress embeddings."""
        _, candidates = self.faiss_index.search(queries, min(len(self), max(MIN_CANDIDATES, CANDIDATES * top_k)))
        for query, positions in zip(queries, candidates, strict=True):
            positions = positions[positions >= 0]  # -1: faiss found fewer
            scores = self.embeddings[positions] @ query
            order = np.lexsort((positions, -scores))[:top_k]
            yield scores[order], positions[order]

    def save(self, folder: str | Path) -> None:
        """Write `index.json`, `sentences.parquet`, `embeddings.npy` and, if approximate, `index.faiss`."""
        described = {"version": VERSION, "count": len(self), "dim": self.embeddings.shape[1], "normalized": True}
        with written_aside(folder, last="index.json") as aside:
            np.save(aside / "embeddings.npy", self.embeddings)
            parquet.write_table(pa.table({"sentence": self.sentences}), aside / "sentences.parquet", compression="zstd")
            if self.faiss_index:
                _import_faiss().write_index(self.faiss_index, str(aside / "index.faiss"))
            write_json(aside / "index.json", described | {"fingerprint": self.fingerprint, "faiss": self.kind})

    @classmethod
    def load(cls, folder: str | Path) -> "SentenceIndex":
        """Read what `save` wrote; the embeddings stay on the disk.

        Raises:
            UserError: there is no index, it is damaged, or it needs faiss, which is not installed.
        """
        folder = Path(folder)
        try:
            described = dict(read_json(folder / "index.json"))
            embeddings = np.lib.format.open_memmap(folder / "embeddings.npy", mode="c")
            found, expected = [described.get(key) for key in ("version", "count", "dim")], [VERSION, *embeddings.shape]
            if found != expected:
                raise ValueError(f"version, count and dim in index.json are {found}, expected {expected}")
            sentences = parquet.read_table(folder / "sentences.parquet")["sentence"].combine_chunks()
            index = cls(embeddings, sentences, fingerprint=described.get("fingerprint"))
            if described.get("faiss") not in (None, FLAT):
                index.kind, index.faiss_index = described["faiss"], _import_faiss().read_index(f"{folder}/index.faiss")
                if (index.faiss_index.ntotal, index.faiss_index.d) != embeddings.shape:
                    raise ValueError("index.faiss belongs to other embeddings")
        except (OSError, EOFError, LookupError, ValueError, TypeError, RuntimeError) as error:
            raise UserError(f"{folder}: not a usable index ({first_line(error)}); build it again") from error
        return index


class SearchMixin:
    """Compare and find sentences by `encode`, `dim` and `fingerprint` of the inheriting class."""

    index: SentenceIndex | None = None

    def similarity(self, a: Any, b: Any) -> np.ndarray:
        """Return the cosines of all sentences in `a` with all in `b`: float32, (n, m).

        Args:
            a, b: lists of sentences, or embeddings as arrays or tensors, (n, d) and (m, d).

        Raises:
            TypeError, ValueError: sentences or embeddings are malformed, or embeddings differ in length.
        """
        is_matrix = (np.ndarray, torch.Tensor)
        a, b = (normalized(as_matrix(x) if isinstance(x, is_matrix) else self.encode(x)) for x in (a, b))
        if a.shape[1] != b.shape[1]:
            raise ValueError(f"embeddings of {a.shape[1]} and of {b.shape[1]} components cannot be compared")
        return (a @ b.T).clip(-1, 1)  # rounding goes beyond

    def build_index(
        self, sentences: list[str] | str | Path, *, faiss: str | None = None, **options: Any
    ) -> SentenceIndex:
        """Encode the sentences that `search` looks through, and keep them as `index`.

        Args:
            sentences: a list, or a file that `mixcse.data.reading.iter_sentences` reads.
            faiss: type of an approximate index, see `SentenceIndex`.
            options: `text_column` of the file, and of `encode`: `batch_size`, `prompt`, `show_progress`.

        Raises:
            UserError: the file cannot be read, the model gives NaN, or faiss cannot make such an index.
            TypeError, ValueError: a sentence or an option is wrong, as for `encode`.
        """
        chunks = encode_stream(self.encode, sentences, normalize=True, **options)
        self.index = SentenceIndex.collect(chunks, self.dim, fingerprint=self.fingerprint(), faiss=faiss)
        return self.index

    def load_index(self, folder: str | Path) -> SentenceIndex:
        """Read an index that `SentenceIndex.save` wrote, and keep it as `index`.

        Raises:
            UserError: there is no index, it is damaged, or it was built with another encoder.
        """
        index = SentenceIndex.load(folder)
        if index.fingerprint != self.fingerprint():
            raise UserError(
                f"{folder}: the index was built with another encoder (model, pooler, max_seq_length, prompt or dtype); "
                "load it with that encoder, or build it again"
            )
        self.index = index
        return index

    def search(
        self, queries: list[str] | str, top_k: int = 5, threshold: float | None = None, **options: Any
    ) -> list[list[Hit]] | list[Hit]:
        """Return the most similar sentences of `index` for each query, best first; for a single string, one list.

        Args:
            top_k: largest number of hits of a query.
            threshold: lowest cosine of a hit.
            options: of `encode`: `batch_size`, `prompt`, `show_progress`.

        Raises:
            UserError: there is no index, or the model gives NaN or infinity for a query.
            TypeError, ValueError: an argument is wrong, as for `SentenceIndex.search` or `encode`.
        """
        if self.index is None:
            raise UserError("there is no index to search: build_index or load_index comes first")
        embeddings = self.encode([queries] if isinstance(queries, str) else queries, normalize=True, **options)
        if not np.isfinite(embeddings).all():
            raise UserError(f"the model gives NaN or infinity for a query; {NOT_FINITE}")
        hits = self.index.search(embeddings, top_k, threshold)
        return hits[0] if isinstance(queries, str) else hits


def _import_faiss() -> Any:
    if find_spec("faiss") is None:
        raise UserError("an approximate index needs faiss: pip install faiss-cpu, or search without it")
    import faiss

    return faiss


def _faiss_index(kind: str | None, dim: int, embeddings: np.ndarray | None = None) -> Any:
    """Return an index of this type, empty without embeddings, or None for exact search.

    Raises:
        UserError: faiss is not installed, or makes no such index by inner product.
    """
    if kind in (None, FLAT):
        return None
    faiss = _import_faiss()
    try:
        index = faiss.index_factory(dim, kind, faiss.METRIC_INNER_PRODUCT)
        if index.metric_type != faiss.METRIC_INNER_PRODUCT:  # some types ignore the metric
            raise UserError(f"faiss={kind!r}: faiss makes it an index of distances, not of inner products")
        if embeddings is not None:
            index.train(embeddings)
            index.add(embeddings)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"faiss={kind!r}: faiss cannot make this index ({first_line(error)})") from error
    return index
