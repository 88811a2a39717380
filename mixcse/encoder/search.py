"""`SearchMixin`: the part of `SentenceEncoder` that compares and finds sentences."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mixcse.base.errors import UserError
from mixcse.encoder.index import Hit, SentenceIndex
from mixcse.encoder.stream import NOT_FINITE, encode_stream
from mixcse.encoder.vectors import as_matrix, normalized


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
