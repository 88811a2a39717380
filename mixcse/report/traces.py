"""Logged values of runs, gathered by label: what the figures draw."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mixcse.names import DEV_SETS

DEV_METRICS = tuple(f"eval_{metric}" for metric in DEV_SETS)
LINES = {  # of figures with steps on one axis: log name, line style, label
    "loss": (("loss", "-", "training"), ("eval_held_out_loss", "--", "held out")),
    "similarities": (
        ("positive_similarity", "-", "positive"),
        ("negative_similarity", "--", "negative"),
        ("mixed_similarity", ":", "mixed"),
    ),
    "gradient_norm": (("embedding_gradient_norm", "-", "gradient norm"),),
    "softmax_weights": (
        ("in_batch_weight", "-", "in-batch"),
        ("own_mix_weight", "--", "own mix"),
        ("other_mix_weight", ":", "other mixes"),
    ),
}
# The logged values that figures and tables show.
SHOWN = (
    *DEV_METRICS, "eval_alignment", "eval_uniformity", *(name for lines in LINES.values() for name, _, _ in lines),
    "pull", "push",
)  # fmt: skip
Log = dict[str, dict[int, float]]  # name -> step -> value
Table = dict[str, list[Any]]  # a column of steps, and a column for each name logged at these steps


def log_of(history: Iterable[Mapping[str, Any]]) -> Log:
    """Return the values of a Trainer's `log_history` that are `SHOWN`."""
    log: Log = {}
    for entry in history:
        for name in SHOWN:
            if isinstance(entry.get(name), int | float):
                log.setdefault(name, {})[entry["step"]] = entry[name]
    return log


def tables_of(log: Log) -> list[Table]:
    """Return a log for a JSON file: names that are logged at the same steps share a table; six digits a value."""
    tables: dict[tuple[int, ...], Table] = {}
    for name, values in log.items():
        table = tables.setdefault(tuple(values), {"step": list(values)})
        table[name] = [float(f"{value:.6g}") for value in values.values()]
    return list(tables.values())


def log_of_tables(tables: Iterable[Table]) -> Log:
    """Return the log that `tables_of` wrote."""
    columns = [(name, table["step"], values) for table in tables for name, values in table.items() if name != "step"]
    return {name: dict(zip(steps, values, strict=True)) for name, steps, values in columns}


@dataclass(frozen=True)
class Curve:
    """Values by step: mean, minimum and maximum over runs."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass
class Trace:
    """The logs of runs that differ in their seed alone, under one label."""

    label: str
    logs: list[Log] = field(default_factory=list)

    def curve(self, name: str, scale: float = 1.0) -> Curve | None:
        """Return a logged value over the steps that all runs share; None without any."""
        runs = [log.get(name, {}) for log in self.logs]
        steps = sorted(set.intersection(*map(set, runs))) if runs else []
        if not steps:
            return None
        table = scale * np.array([[run[step] for step in steps] for run in runs], dtype=float)
        return Curve(np.array(steps), table.mean(0), table.min(0), table.max(0))

    def late_means(self, name: str) -> list[float]:
        """Return the mean of a logged value over the last third of its steps, for each run that has it."""
        runs = [list(log[name].values()) for log in self.logs if name in log]
        return [float(np.mean(values[-max(1, len(values) // 3) :])) for values in runs]

    @property
    def dev_metric(self) -> str | None:
        """Return the dev score to show: own pairs before STS-B before SICK-R."""
        return next((name for name in DEV_METRICS if any(name in log for log in self.logs)), None)
