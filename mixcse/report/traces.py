"""What figures are drawn from: the logs of runs, gathered by label."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

DEV_METRICS = ("eval_dev_spearman", "eval_stsb_spearman", "eval_sickr_spearman")
DEV_NAMES = {
    "eval_stsb_spearman": "STS-B dev",
    "eval_sickr_spearman": "SICK-R dev",
    "eval_dev_spearman": "own dev pairs",
}


@dataclass(frozen=True)
class Curve:
    """Values by step: the mean over runs, the least and the largest of them."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass
class Trace:
    """One label's runs, which differ in their seed alone.

    Attributes:
        histories: the Trainer's `log_history` of each run.
    """

    label: str
    histories: list[Sequence[dict[str, Any]]] = field(default_factory=list)

    def curve(self, name: str, scale: float = 1.0) -> Curve | None:
        """A logged number, over the steps where every run has it; None if there is none."""
        runs = []
        for history in self.histories:
            logged = (entry for entry in history if isinstance(entry.get(name), int | float))
            runs.append({entry["step"]: scale * entry[name] for entry in logged})
        steps = sorted(set.intersection(*map(set, runs))) if runs else []
        if not steps:
            return None
        table = np.array([[run[step] for step in steps] for run in runs], dtype=float)
        return Curve(np.array(steps), table.mean(0), table.min(0), table.max(0))

    def late_means(self, name: str) -> list[float]:
        """Each run's mean of a logged number over the last third of the steps that have it."""
        means = []
        for history in self.histories:
            values = [entry[name] for entry in history if isinstance(entry.get(name), int | float)]
            if values:
                means.append(float(np.mean(values[-max(1, len(values) // 3) :])))
        return means

    @property
    def dev_metric(self) -> str | None:
        """The dev score to show: own pairs before STS-B before SICK-R."""
        logged = {name for history in self.histories for entry in history for name in entry}
        return next((name for name in DEV_METRICS if name in logged), None)
