"""The STS protocol: correlation of cosine similarities with gold scores."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import ConstantInputWarning, pearsonr, spearmanr

from senteval.encoding import Embedded
from senteval.readers import Pairs

Similarity = Callable[[np.ndarray, np.ndarray], float]


def cosine_rows(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each row of `a` with the same row of `b`: (n, d) twice -> (n,), float32.

    A zero vector has similarity 0 with everything, as in SentEval.  Float32 matters: the
    cosine of two equal sentences is 1 up to rounding, STS12's SMT datasets are full of
    them, and how rounding ranks them moves those Spearman correlations by up to 0.0006.
    `einsum` sums in the same order on every x86-64 processor, which a BLAS does not.
    """
    a, b = np.asarray(a, dtype=np.float32), np.asarray(b, dtype=np.float32)
    dot, norm_a, norm_b = (np.einsum("nd,nd->n", x, y) for x, y in ((a, b), (a, a), (b, b)))
    norms = np.sqrt(norm_a) * np.sqrt(norm_b)
    return np.divide(dot, norms, out=np.zeros_like(dot), where=norms > 0)


def score_sts(
    datasets: dict[str, Pairs], embedded: Embedded, similarity: Similarity | None = None
) -> dict[str, dict[str, Any]]:
    """Scores one task.

    Args:
        similarity: of two vectors, (d,) and (d,), a finite number; the cosine by default.

    Returns:
        `{dataset: {pearson, spearman, nsamples}, …, "all": {pearson, spearman}}`.  Those of
        a dataset are scipy's result objects (`[0]`, `.correlation`); those of `all` are
        dictionaries: `all`, the correlation over the concatenated pairs, which papers
        report; `mean` and `wmean`, the datasets' mean, plain and by number of pairs.
    """
    results: dict[str, dict[str, Any]] = {}
    similarities, golds = [], []
    for name, pairs in datasets.items():
        first, second = embedded(pairs.first), embedded(pairs.second)
        if similarity is None:
            given = cosine_rows(first, second)
        else:
            given = np.array([float(similarity(u, v)) for u, v in zip(first, second, strict=True)])
            if not np.isfinite(given).all():
                raise ValueError(f"similarity returned NaN or infinity (pair {np.isfinite(given).argmin()} of {name})")
        similarities.append(given)
        golds.append(pairs.scores)
        pearson, spearman = _correlations(given, pairs.scores)
        results[name] = {"pearson": pearson, "spearman": spearman, "nsamples": len(pairs)}

    sizes = [len(pairs) for pairs in datasets.values()]
    whole = _correlations(np.concatenate(similarities), np.concatenate(golds))
    summary = {}
    for kind, correlation in zip(("pearson", "spearman"), whole, strict=True):
        each = [results[name][kind][0] for name in datasets]
        summary[kind] = {
            "all": correlation[0],
            "mean": np.mean(each),
            "wmean": np.average(each, weights=sizes),
        }
    results["all"] = summary
    return results


def _correlations(similarities: np.ndarray, gold: np.ndarray) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        # Embeddings that are all alike have no correlation: the result is NaN, which says it.
        warnings.simplefilter("ignore", ConstantInputWarning)
        return pearsonr(similarities, gold), spearmanr(similarities, gold)
