"""From sentences to rows: each distinct sentence is encoded once, in order of length."""

from collections.abc import Callable, Iterable

import numpy as np

from senteval.errors import EncoderError

Encode = Callable[[list[str]], np.ndarray]


class Embedded:
    """Embeddings by sentence; call it with a list of strings to get their rows, (n, d)."""

    def __init__(self, sentences: list[str], embeddings: np.ndarray) -> None:
        self._row_of = {sentence: row for row, sentence in enumerate(sentences)}
        self._embeddings = embeddings

    def __call__(self, sentences: list[str]) -> np.ndarray:
        return self._embeddings[[self._row_of[sentence] for sentence in sentences]]


def embed_distinct(encode: Encode, sentences: Iterable[str]) -> Embedded:
    """Encodes the distinct sentences, shortest first, with one call of `encode`.

    Raises:
        EncoderError: not one finite row for each sentence.
    """
    distinct = sorted(set(sentences), key=lambda sentence: (sentence.count(" "), len(sentence), sentence))
    embeddings = np.asarray(encode(distinct))
    check_rows(embeddings, len(distinct), "encode")
    return Embedded(distinct, embeddings)


def check_rows(embeddings: np.ndarray, expected: int, who: str) -> None:
    """Raises EncoderError unless `embeddings` is a finite (expected, d) array."""
    if embeddings.ndim != 2 or len(embeddings) != expected:
        raise EncoderError(
            f"{who} returned shape {embeddings.shape} for {expected} sentences, expected ({expected}, d)"
        )
    if not np.isfinite(embeddings).all():
        row = int(np.argmin(np.isfinite(embeddings).all(axis=1)))
        raise EncoderError(f"{who} returned a row with NaN or infinity (row {row} of {expected})")
