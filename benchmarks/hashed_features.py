"""Embeddings without a model, of any size: for benchmarks of what comes after encoding."""

from hashlib import blake2b

import numpy as np


def features(sentences: list[str], dim: int) -> np.ndarray:
    """The mean of a fixed random vector for each token: float32, (n, dim)."""
    vectors: dict[str, np.ndarray] = {}

    def vector(token: str) -> np.ndarray:
        if token not in vectors:
            seed = int.from_bytes(blake2b(token.lower().encode(), digest_size=4).digest())
            vectors[token] = np.random.default_rng(seed).uniform(-1, 1, dim)
        return vectors[token]

    rows = np.zeros((len(sentences), dim), dtype=np.float32)
    for row, sentence in enumerate(sentences):
        if tokens := sentence.split():
            rows[row] = np.mean([vector(token) for token in tokens], axis=0)
    return rows
