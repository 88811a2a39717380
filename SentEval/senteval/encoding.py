"""From sentences to rows: each distinct sentence is encoded once, in order of length."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from senteval.errors import EncoderError

Encode = Callable[[list[str]], np.ndarray]
LARGEST = 1e17  # of a component: sums of products have to stay in float32


class Embedded:
    """Embeddings by sentence; call it with a list of strings to get their rows, (n, d)."""

    def __init__(self, sentences: list[str], embeddings: np.ndarray) -> None:
        self._row_of = {sentence: row for row, sentence in enumerate(sentences)}
        self._embeddings = embeddings

    def __call__(self, sentences: list[str]) -> np.ndarray:
        """Raises ValueError for a sentence that was not encoded."""
        try:
            return self._embeddings[[self._row_of[sentence] for sentence in sentences]]
        except KeyError as error:
            raise ValueError(f"the sentence {error.args[0][:40]!r} was not encoded: embed the tasks first") from error


def embed_distinct(encode: Encode, sentences: Iterable[str]) -> Embedded:
    """Encodes the distinct sentences, shortest first, with one call of `encode`.

    Raises:
        EncoderError: not one finite row for each sentence.
    """
    distinct = sorted(set(sentences), key=lambda sentence: (sentence.count(" "), len(sentence), sentence))
    if not distinct:
        return Embedded([], np.empty((0, 0), dtype=np.float32))
    embeddings = as_array(encode(distinct), "encode")
    check_rows(embeddings, len(distinct), "encode")
    return Embedded(distinct, embeddings)


def as_array(embeddings: Any, who: str) -> np.ndarray:
    """Arrays, lists of rows, and tensors on any device, with or without gradient.

    Raises:
        EncoderError: rows of different lengths, or no numbers.
    """
    try:
        if isinstance(embeddings, list | tuple):
            embeddings = [_plain_row(row) for row in embeddings]
        return np.asarray(_plain_row(embeddings))
    except (ValueError, TypeError, RuntimeError) as error:  # torch raises the last of sparse tensors, say
        raise EncoderError(f"{who} returned no array of numbers ({str(error).partition(chr(10))[0]})") from error


def _plain_row(row: Any) -> Any:
    return row.detach().cpu().float().numpy() if hasattr(row, "detach") else row


def check_rows(embeddings: np.ndarray, expected: int, who: str) -> None:
    """Raises EncoderError unless `embeddings` is a finite (expected, d) array."""
    if embeddings.dtype.kind not in "fiu":
        raise EncoderError(f"{who} returned values of type {embeddings.dtype}, expected real numbers")
    if embeddings.ndim != 2 or len(embeddings) != expected or (expected and not embeddings.shape[1]):
        raise EncoderError(
            f"{who} returned shape {embeddings.shape} for {expected} sentences, expected ({expected}, d)"
        )
    largest = LARGEST if embeddings.dtype.itemsize > 2 else np.inf  # halves end at 65,504: casting it would warn
    usable = ((-largest < embeddings) & (embeddings < largest)).all(axis=1)  # of NaN, neither holds
    if not usable.all():
        row = int(np.argmin(usable))
        found = "a number beyond 1e17" if np.isfinite(embeddings[row]).all() else "NaN or infinity"
        raise EncoderError(f"{who} returned a row with {found} (row {row} of {expected})")
