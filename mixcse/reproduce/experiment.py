"""The experiments, as the files in `mixcse/reproduce/experiments/` declare them."""

import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from mixcse.names import TASK_SETS

FOLDER = Path(__file__).parent / "experiments"
SCALES = ("paper", "demo")
# Reading order of lists and reports.
NAMES = (
    "main", "transfer", "lambda", "variant", "stop_gradient", "mixed_views", "temperature", "batch_size", "pooler",
    "selection", "gradient", "spread",
)  # fmt: skip
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
    scales: tuple[str, ...] = SCALES


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
    scores: tuple[float, ...] = ()
    average: float | None = None
    spread: tuple[float, ...] = ()
    comparable: bool = True


@dataclass(frozen=True)
class Expected:
    """What to expect of an experiment at paper scale, and who says so."""

    score: str
    source: str
    time: str
    hardware: str


@dataclass(frozen=True)
class Experiment:
    """One file of `mixcse/reproduce/experiments/`.

    Attributes:
        command: what runs it at paper scale.
        tasks: `sts` or `transfer`.
        models: which of the paper scale's models it is run on; other scales have one.
        baseline: the arm that the others are compared with, seed by seed.
        figures: names of figures in `mixcse.report.figures` to draw of its trained arms.
    """

    name: str
    title: str
    question: str
    command: str
    tasks: str
    models: tuple[str, ...]
    baseline: str
    expected: Expected
    arms: tuple[Arm, ...]
    figures: tuple[str, ...] = ()
    quoted: tuple[Quoted, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The tasks of its table."""
        return TASK_SETS[self.tasks]

    def arms_at(self, scale: str) -> Iterator[Arm]:
        """The arms that are run at this scale."""
        return (arm for arm in self.arms if scale in arm.scales)


@dataclass(frozen=True)
class Scale:
    """What all experiments have in common: the recipe, and the models with theirs."""

    name: str
    title: str
    about: str
    source: str
    options: dict[str, Any]
    models: dict[str, dict[str, Any]]


def load_experiments() -> dict[str, Experiment]:
    """Every experiment, by name, in reading order."""
    return {name: _experiment(name) for name in NAMES}


def load_scale(name: str) -> Scale:
    """`paper` or `demo`."""
    return _checked(Scale, {"name": name} | _read(FOLDER / "scales" / f"{name}.toml"), f"scales/{name}.toml")


def _experiment(name: str) -> Experiment:
    file = f"{name}.toml"
    values = {"name": name} | _read(FOLDER / file)
    values["expected"] = _checked(Expected, values["expected"], file)
    values["arms"] = tuple(_checked(Arm, arm, file) for arm in values["arms"])
    values["quoted"] = tuple(_checked(Quoted, row, file) for row in values.get("quoted", ()))
    return _checked(Experiment, values, file)


def _read(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return tomllib.load(file)


def _checked(kind: type[T], values: dict[str, Any], file: str) -> T:
    """The dataclass of a TOML table; ValueError for a key too many or too few."""
    known = {one.name for one in fields(kind)}
    needed = {one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}
    if wrong := sorted((set(values) - known) | (needed - set(values))):
        raise ValueError(f"experiments/{file}: {kind.__name__.lower()} has a key too many or too few: {wrong}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
