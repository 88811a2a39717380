"""What is done with embeddings once they are there: cut, normalised, compared."""

import numpy as np
import torch

SMALLEST_NORM = 1e-12  # an embedding of zeros stays one


def normalized(embeddings: np.ndarray) -> np.ndarray:
    """Rows of length 1: (n, d) -> (n, d), float32."""
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return (embeddings / np.maximum(norms, SMALLEST_NORM)).astype(np.float32, copy=False)


def finished(embeddings: np.ndarray, *, truncate_dim: int | None, normalize: bool) -> np.ndarray:
    """The first `truncate_dim` components, then normalised if asked: float32, (n, truncate_dim or d)."""
    if truncate_dim is not None:
        embeddings = np.ascontiguousarray(embeddings[:, :truncate_dim])
    return normalized(embeddings) if normalize else embeddings


def as_matrix(embeddings: np.ndarray | torch.Tensor) -> np.ndarray:
    """Embeddings of any float kind and device as float32, (n, d).

    Raises:
        ValueError: they are no matrix of finite real numbers.
    """
    if isinstance(embeddings, torch.Tensor):
        embeddings = embeddings.detach().float().cpu().numpy()
    matrix = np.asarray(embeddings)
    if matrix.dtype.kind not in "fiu":
        raise ValueError(f"embeddings are a matrix of real numbers; this holds {matrix.dtype}")
    if matrix.ndim != 2:
        raise ValueError(f"embeddings are a matrix, one row a sentence; this has shape {matrix.shape}")
    matrix = matrix.astype(np.float32, copy=False)
    if not (finite := np.isfinite(matrix).all(axis=1)).all():
        raise ValueError(f"embedding {int(finite.argmin())} holds NaN or infinity")
    return matrix


def check_count(name: str, value: int, most: int | None = None) -> None:
    """Raise ValueError unless a number is from 1 to `most`."""
    if not 1 <= value <= (most or value):
        raise ValueError(f"{name} must be {f'from 1 to {most}' if most else 'at least 1'}, not {value}")
