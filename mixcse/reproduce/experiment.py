"""The experiments, as the files in `mixcse/reproduce/experiments/` declare them."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from mixcse.names import TASK_SETS

FOLDER = Path(__file__).parent / "experiments"
SCALES = ("paper", "demo")
T = TypeVar("T")


@dataclass(frozen=True)
class Arm:
    """One row of an experiment: what is trained, or an encoder as it comes.

    Attributes:
        options: options of train.py that differ from the scale's.
        pooler: for an untrained arm, the pooler to score it with; None for a trained one.
        scales: where the arm is run.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    pooler: str | None = None
    scales: Sequence[str] = SCALES


@dataclass(frozen=True)
class Quoted:
    """Somebody else's numbers for one arm at paper scale.

    Attributes:
        scores: of the experiment's tasks and, last, their average; or
        average: that alone.
        spread: standard deviations of `scores`, where published.
        comparable: False where it measures something else, as the label then says.
    """

    model: str
    arm: str
    label: str
    source: str
    scores: Sequence[float] = ()
    average: float | None = None
    spread: Sequence[float] = ()
    comparable: bool = True


@dataclass(frozen=True)
class Experiment:
    """One file of `mixcse/reproduce/experiments/`.

    Attributes:
        command: what runs it at paper scale.
        tasks: `sts` or `transfer`.
        models: which of the paper scale's models it is run on; other scales have one.
        baseline: the arm that the others are compared with, seed by seed.
        compared: further pairs of arms to compare, the second one taken from the first.
        expected: at paper scale, the `score` and its `source`, the `time` and the `hardware`.
        figures: names of figures in `mixcse.report.figures` to draw of its trained arms.
        order: its place in lists and reports; those of one place come by name.
    """

    name: str
    title: str
    question: str
    command: str
    tasks: str
    models: Sequence[str]
    baseline: str
    expected: dict[str, str]
    arms: Sequence[Arm]
    figures: Sequence[str] = ()
    quoted: Sequence[Quoted] = ()
    compared: Sequence[tuple[str, str]] = ()
    order: int = 100

    @property
    def columns(self) -> tuple[str, ...]:
        """The tasks of its table."""
        return TASK_SETS[self.tasks]

    def arms_at(self, scale: str) -> list[Arm]:
        """The arms that are run at this scale."""
        return [arm for arm in self.arms if scale in arm.scales]


@dataclass(frozen=True)
class Scale:
    """What all experiments have in common: the recipe, and the models with theirs."""

    name: str
    title: str
    about: str
    source: str
    options: dict[str, Any]
    models: dict[str, dict[str, Any]]

    def recipe(self, model: str | None = None) -> dict[str, Any]:
        """Return the options of train.py for a model; those of the scale's first model for any other one."""
        return {**self.options, **self.models.get(model or "", next(iter(self.models.values())))}


def load_experiments() -> dict[str, Experiment]:
    """Every experiment, by name, in reading order."""
    every = [_read(Experiment, file) for file in FOLDER.glob("*.toml")]
    return {one.name: one for one in sorted(every, key=lambda one: (one.order, one.name))}


@cache
def load_scale(name: str) -> Scale:
    """Load `paper` or `demo`."""
    return _read(Scale, FOLDER / "scales" / f"{name}.toml")


def _read(kind: type[T], file: Path) -> T:
    """What a TOML file describes, named after it; ValueError, with the file, for a key too many or too few."""
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    try:
        for name, row in (("arms", Arm), ("quoted", Quoted)):
            if name in values:
                values[name] = [row(**one) for one in values[name]]
        return kind(name=file.stem, **values)
    except TypeError as error:
        raise ValueError(f"{file}: {error}") from error
