"""How a loaded and embedded task is scored: one function a protocol."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from senteval.classification import Protocol, score_folds, score_nested, score_splits
from senteval.encoding import Embedded
from senteval.relatedness import score_relatedness
from senteval.settings import Settings
from senteval.sts import Similarity, score_sts
from senteval.tasks import Dataset, Task

PROTOCOLS: dict[str, str] = {
    "sts": "correlation of cosine similarities with gold scores; nothing is trained",
    "nested": "cross-validation in cross-validation",
    "folds": "cross-validation on the training set, then the test set",
    "splits": "the dev set chooses, the test set is scored",
    "relatedness": "a regression trained on train, stopped by Spearman's correlation on dev",
    "fair": "the same, stopped by Pearson's, as in FAIR's SentEval",
}

_CLASSIFICATION: dict[str, Callable[..., dict[str, Any]]] = {
    "nested": score_nested,
    "folds": score_folds,
    "splits": score_splits,
}


@dataclass(frozen=True)
class Scoring:
    """Everything that scoring depends on besides data and embeddings."""

    classification: Protocol = Protocol()
    similarity: Similarity | None = None

    def __post_init__(self) -> None:
        """Raises TypeError if the similarity is no function."""
        if self.similarity is not None and not callable(self.similarity):
            raise TypeError(f"similarity must be a function of two vectors, not {self.similarity!r}")

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> "Scoring":
        """From SentEval's `params`: kfold, usepytorch, seed, classifier, device, similarity.

        Raises:
            ValueError: a key of `classifier` is unknown, or a value cannot be used.
            TypeError: `classifier` is no dictionary, or `similarity` no function.
        """
        given = params.get("classifier") or {}
        if not isinstance(given, dict):
            raise TypeError(f"params['classifier'] must be a dictionary, not {given!r}")
        known = {field.name for field in dataclasses.fields(Settings)}
        if unknown := sorted(set(given) - known):
            raise ValueError(f"params['classifier'] has unknown keys {unknown}; known: {sorted(known)}")
        device = params.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
        settings = Settings(**{"seed": params.get("seed", 1111), "device": device} | given)
        chosen = {name: params[name] for name in ("kfold", "usepytorch") if name in params}
        return cls(Protocol(**chosen, settings=settings), params.get("similarity"))


def score_task(task: Task, datasets: dict[str, Dataset], embedded: Embedded, scoring: Scoring) -> dict[str, Any]:
    """The results of one task, in SentEval's keys; see the protocol's function."""
    protocol = scoring.classification
    if task.protocol == "sts":
        return score_sts(datasets, embedded, scoring.similarity)
    if task.protocol in ("relatedness", "fair"):
        settings, stopped_by = protocol.settings, "pearson" if task.protocol == "fair" else "spearman"
        return score_relatedness(datasets, embedded, seed=settings.seed, device=settings.device, stopped_by=stopped_by)
    if task.linear_only:
        protocol = dataclasses.replace(protocol, settings=dataclasses.replace(protocol.settings, nhid=0))
    return _CLASSIFICATION[task.protocol](datasets, embedded, protocol)
