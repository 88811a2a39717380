"""The classification protocols: which folds and strengths are fitted, and what is reported.

All accuracies are in percent, rounded to two decimals where SentEval rounds.  L2 strengths
are tried in the order of `STRENGTHS`; ties go to the first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from senteval.classifier import Fit, fit_many
from senteval.encoding import Embedded
from senteval.labelled import Labelled
from senteval.settings import Settings, whole_number

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)
NESTED_SEED = 1111  # whatever the seed: SentEval fixes it for the nested folds


@dataclass(frozen=True)
class Protocol:
    """What `params` say of classification."""

    kfold: int = 5  # as in the original's engine
    usepytorch: bool = True
    settings: Settings = Settings()
    fit: Callable[..., list[Any]] = fit_many

    def __post_init__(self) -> None:
        """Raises ValueError if a value cannot be used."""
        whole_number("kfold", self.kfold, 2)
        if not isinstance(self.usepytorch, bool):
            raise ValueError(f"usepytorch must be True or False, not {self.usepytorch!r}")

    def split(self, labels: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """(rows to train on, rows held out) of stratified folds; raises ValueError if there are too few rows."""
        if (most := np.bincount(labels).max()) < self.kfold:
            raise ValueError(f"kfold {self.kfold} is too many: the largest class has {most} samples to divide")
        folds = StratifiedKFold(self.kfold, shuffle=True, random_state=seed)
        return list(folds.split(labels, labels))


def features_of(samples: Labelled, embedded: Embedded) -> np.ndarray:
    """Sentences: their embeddings, (n, d).  Pairs (u, v): [|u - v|, u * v], (n, 2 d).  Float32."""
    u = embedded(samples.first).astype(np.float32)
    return u if samples.second is None else pair_features(u, embedded(samples.second).astype(np.float32))


def pair_features(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """[|u - v|, u * v], (n, 2 d)."""
    return np.concatenate([np.abs(u - v), u * v], axis=1)


def score_nested(datasets: dict[str, Labelled], embedded: Embedded, protocol: Protocol) -> dict[str, Any]:
    """MR, CR, MPQA, SUBJ: inner folds choose the strength for each outer fold.

    Returns:
        `devacc`: mean over outer folds of the chosen strength's inner accuracy; `acc`: mean
        accuracy on the outer held-out parts; `ndev`, `ntest`; `folds`: {devacc, acc, l2} each.
    """
    samples = datasets["all"]
    problem = _Problem([samples], embedded, protocol)
    y = samples.labels
    outer = protocol.split(y, NESTED_SEED)
    inner = []
    for train, _ in outer:
        inner += [(train[fit], train[held_out]) for fit, held_out in protocol.split(y[train], NESTED_SEED)]
    strengths = problem.strengths()
    means = problem.held_out_means(inner, strengths, per=protocol.kfold)  # (outer folds, strengths)
    chosen = [strengths[column] for column in means.argmax(axis=1)]
    models = problem.fit([(train, None, strength) for (train, _), strength in zip(outer, chosen, strict=True)])
    results = []
    for (_, test), model, strength, row in zip(outer, models, chosen, means, strict=True):
        hits = problem.predict(model, test) == y[test]
        results.append({"devacc": float(row.max()), "acc": _percent(hits), "l2": strength})
    return {
        "devacc": round(float(np.mean([fold["devacc"] for fold in results])), 2),
        "acc": round(float(np.mean([fold["acc"] for fold in results])), 2),
        "ndev": len(samples),
        "ntest": len(samples),
        "folds": results,
    }


def score_folds(datasets: dict[str, Labelled], embedded: Embedded, protocol: Protocol) -> dict[str, Any]:
    """TREC, MRPC: folds of the training set choose the strength, all of it is refitted, the test set scored.

    Returns:
        `devacc`, `acc`, `ndev`, `ntest`, `l2`; with two classes `f1`, of class 1, in percent.
    """
    train, test = datasets["train"], datasets["test"]
    problem = _Problem([train, test], embedded, protocol)
    rows = np.arange(len(train))
    folds = protocol.split(train.labels, protocol.settings.seed)
    strengths = problem.strengths(folds=True)
    (means,) = problem.held_out_means(folds, strengths, per=protocol.kfold)
    strength = strengths[int(means.argmax())]
    (model,) = problem.fit([(rows, None, strength)])
    predicted = problem.predict(model, np.arange(len(train), len(train) + len(test)))
    results = {
        "devacc": float(means.max()),
        "acc": _percent(predicted == test.labels),
        "ndev": len(train),
        "ntest": len(test),
        "l2": strength,
    }
    if problem.classes == 2:
        results["f1"] = round(100 * float(f1_score(test.labels, predicted)), 2)
    return results


def score_splits(datasets: dict[str, Labelled], embedded: Embedded, protocol: Protocol) -> dict[str, Any]:
    """SST2, SST5, SICKEntailment, probing: dev accuracy chooses the strength.

    The refit with dev as held-out data that the protocol asks for is the fit that was
    chosen: same start, same shuffles.

    Returns:
        `devacc`, `acc`, `ndev`, `ntest`, `l2`.
    """
    train, dev, test = (datasets[split] for split in ("train", "dev", "test"))
    problem = _Problem([train, dev, test], embedded, protocol)
    rows = np.split(np.arange(len(train) + len(dev) + len(test)), [len(train), len(train) + len(dev)])
    strengths = problem.strengths()
    models = problem.fit([(rows[0], rows[1], strength) for strength in strengths])
    accuracies = [_percent(problem.predict(model, rows[1]) == dev.labels) for model in models]
    best = int(np.argmax(accuracies))
    return {
        "devacc": accuracies[best],
        "acc": _percent(problem.predict(models[best], rows[2]) == test.labels),
        "ndev": len(dev),
        "ntest": len(test),
        "l2": strengths[best],
    }


def _percent(hits: np.ndarray) -> float:
    return round(100 * float(hits.mean()), 2)


class _Problem:
    """Features and labels of all datasets of a task, one after the other, and how to fit them."""

    def __init__(self, datasets: list[Labelled], embedded: Embedded, protocol: Protocol) -> None:
        self.protocol = protocol
        self.x = np.concatenate([features_of(samples, embedded) for samples in datasets])
        self.y = np.concatenate([samples.labels for samples in datasets])
        self.classes = int(self.y.max()) + 1
        device = protocol.settings.device
        self.features, self.labels = torch.from_numpy(self.x).to(device), torch.from_numpy(self.y).to(device)

    def strengths(self, *, folds: bool = False) -> tuple[float, ...]:
        """The values tried: L2 strengths, or scikit-learn's C."""
        if self.protocol.usepytorch:
            return STRENGTHS
        return tuple(2.0**power for power in (range(-1, 6) if folds else range(-2, 4)))

    def fit(self, fits: list[tuple[np.ndarray, np.ndarray | None, float]]) -> list[Any]:
        """Fitted models; each fit is (rows to train on, rows to hold out or None, strength)."""
        if self.protocol.usepytorch:
            problems = [Fit(train, held_out, strength) for train, held_out, strength in fits]
            return self.protocol.fit(self.features, self.labels, problems, self.classes, self.protocol.settings)
        return [
            LogisticRegression(C=strength, random_state=self.protocol.settings.seed, max_iter=1000).fit(
                self.x[train], self.y[train]
            )
            for train, _, strength in fits
        ]

    def predict(self, model: Any, rows: np.ndarray) -> np.ndarray:
        """Predicted classes of some rows."""
        return model.predict(self.features[rows] if self.protocol.usepytorch else self.x[rows])

    def held_out_means(
        self, folds: list[tuple[np.ndarray, np.ndarray]], strengths: tuple[float, ...], per: int
    ) -> np.ndarray:
        """Mean held-out accuracy, rounded, over every `per` folds: (len(folds) / per, strengths)."""
        fits = [(train, held_out, strength) for train, held_out in folds for strength in strengths]
        models = self.fit(fits)
        accuracies = [
            model.accuracy if self.protocol.usepytorch else (self.predict(model, held_out) == self.y[held_out]).mean()
            for model, (_, held_out, _) in zip(models, fits, strict=True)
        ]
        table = np.array(accuracies).reshape(len(folds) // per, per, len(strengths))
        return np.round(100 * table.mean(axis=1), 2)
