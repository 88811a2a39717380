"""What `SentenceEncoder` does with embeddings: compares sentences, and finds them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mixcse.base.errors import UserError
from mixcse.encoder.index import Hit, SentenceIndex
from mixcse.encoder.stream import NOT_FINITE, encode_stream
from mixcse.encoder.vectors import as_matrix, normalized


class Searching:
    """The part of `SentenceEncoder` that needs no more of it than `encode`, `dim` and `fingerprint`."""

    _index: SentenceIndex | None = None

    def similarity(self, a: Any, b: Any) -> np.ndarray:
        """Cosines of all sentences in `a` with all in `b`: float32, (n, m).

        Args:
            a, b: lists of sentences, or embeddings: arrays or tensors, (n, d) and (m, d).

        Raises:
            ValueError: embeddings are no matrix of finite numbers, or of another length than the others.
            TypeError: it is neither, as for `encode`.
        """
        a, b = (normalized(self._embedded(either)) for either in (a, b))
        if a.shape[1] != b.shape[1]:
            raise ValueError(f"embeddings of {a.shape[1]} and of {b.shape[1]} components cannot be compared")
        return (a @ b.T).clip(-1, 1)  # rounding goes beyond

    def build_index(
        self,
        sentences: list[str] | str | Path,
        *,
        faiss: bool | str | None = None,
        text_column: str | None = None,
        show_progress: bool = False,
        **options: Any,
    ) -> SentenceIndex:
        """Encodes what `search` is to look through; kept as `index`.

        Args:
            sentences: a list, or a file that `mixcse.data.reading.iter_sentences` reads.
            faiss: see `SentenceIndex`.
            options: `batch_size`, `prompt`, as for `encode`.

        Raises:
            UserError: the file cannot be read, the model gives NaN, or faiss is not there or makes no such index.
            TypeError, ValueError: a sentence or an option is wrong, as for `encode`.
        """
        chunks = encode_stream(
            self.encode, sentences, text_column=text_column, show_progress=show_progress, normalize=True, **options
        )
        self._index = SentenceIndex.collect(chunks, self.dim, fingerprint=self.fingerprint(), faiss=faiss)
        return self._index

    @property
    def index(self) -> SentenceIndex | None:
        """What `search` looks through."""
        return self._index

    @index.setter
    def index(self, index: SentenceIndex | None) -> None:
        if not isinstance(index, SentenceIndex | None):
            raise TypeError(f"index is a SentenceIndex or None, not {type(index).__name__}; load_index reads one")
        if index is not None and index.fingerprint != self.fingerprint():
            raise UserError(
                f"{index.name} is of another encoder: model, pooler, max_seq_length, prompt and dtype have to be those "
                "that it was built with; load it with that one, or build it again"
            )
        self._index = index

    def load_index(self, folder: str | Path, *, faiss: bool | None = None) -> SentenceIndex:
        """Reads an index that `SentenceIndex.save` wrote, and keeps it as `index`.

        Args:
            faiss: see `SentenceIndex.load`.

        Raises:
            UserError: there is none, it is damaged, or it was built with another encoder.
        """
        self.index = index = SentenceIndex.load(folder, faiss=faiss)
        return index

    def search(
        self, queries: list[str] | str, top_k: int = 5, threshold: float | None = None, **options: Any
    ) -> list[list[Hit]] | list[Hit]:
        """For each query the most similar sentences of `index`, best first; of one query, one list.

        Args:
            top_k: at most so many.
            threshold: only those with a cosine of at least this.
            options: of `encode`: `batch_size`, `prompt`, `show_progress`.

        Raises:
            UserError: there is no index, or the model gives NaN or infinity for a query.
            TypeError, ValueError: `top_k` or `threshold` is wrong, as for `SentenceIndex.search`, or an option.
        """
        if self._index is None:
            raise UserError("there is no index to search: build_index or load_index comes first")
        alone = isinstance(queries, str)
        embeddings = self.encode([queries] if alone else queries, normalize=True, **options)
        if not np.isfinite(embeddings).all():
            raise UserError(f"the model gives NaN or infinity for a query; {NOT_FINITE}")
        hits = self._index.search(embeddings, top_k, threshold)
        return hits[0] if alone else hits

    def _embedded(self, either: Any) -> np.ndarray:
        if isinstance(either, np.ndarray | torch.Tensor):
            return as_matrix(either)
        return self.encode(either)
