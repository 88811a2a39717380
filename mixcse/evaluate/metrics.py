"""Alignment and uniformity, of embeddings and of sets of pairs."""

import numpy as np
import torch
import torch.nn.functional as F

import senteval
from senteval.encoding import Embedded


def alignment(first: np.ndarray, second: np.ndarray, scores: np.ndarray, above: float = 4.0) -> float:
    """Mean squared distance of unit embeddings over pairs with a score above 4; lower is better.

    Wang & Isola (ICML 2020), with SimCSE's choice of positive pairs.

    Args:
        first, second: embeddings of the two sides, (n, d) each.
        scores: gold similarity (0 to 5), (n,).

    Returns:
        NaN when no pair scores above 4.
    """
    positive = np.asarray(scores) > above
    if not positive.any():
        return float("nan")
    x, y = (F.normalize(torch.as_tensor(side[positive], dtype=torch.float64), dim=-1) for side in (first, second))
    return (x - y).square().sum(dim=-1).mean().item()


def uniformity(embeddings: np.ndarray) -> float:
    """log mean exp(-2 |f(x) - f(y)|^2) over all pairs of rows, unit length; lower is better.

    Wang & Isola (ICML 2020), t = 2.  embeddings: (n, d), n at least 2.
    """
    rows = F.normalize(torch.as_tensor(embeddings, dtype=torch.float64), dim=-1)
    n, total = len(rows), 0.0
    for chunk, start in zip(rows.split(1024), range(0, n, 1024), strict=True):
        squared = (2 - 2 * chunk @ rows.T).clamp(min=0)
        pairs = torch.exp(-2 * squared).triu(diagonal=start + 1)
        total += pairs.sum().item()
    return float(np.log(total / (n * (n - 1) / 2)))


def spread(pairs: senteval.Pairs, embedded: Embedded) -> dict[str, float]:
    """Alignment and uniformity of one set of pairs."""
    return {
        "alignment": alignment(embedded(pairs.first), embedded(pairs.second), pairs.scores),
        "uniformity": uniformity(embedded(pairs.sentences())),
    }
