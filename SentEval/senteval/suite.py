"""Several tasks loaded, embedded and scored together."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from senteval.encoding import Embedded, Encode, embed_distinct
from senteval.errors import DataError
from senteval.protocols import Scoring, score_task
from senteval.tasks import TASKS, Dataset, get_task


@dataclass
class Suite:
    """Loaded tasks, and why the missing ones are missing.

    Example:
        suite = Suite.load(["STS12", "STSBenchmark"], "SentEval/data", splits=["test"])
        results = suite.score(suite.embed(encode))
        results["STSBenchmark"]["test"]["spearman"].correlation
    """

    tasks: dict[str, dict[str, Dataset]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, names: Iterable[str], data_dir: str | Path, splits: Iterable[str] | None = None) -> "Suite":
        """Reads the named tasks; one without usable data goes to `missing` with the reason.

        Args:
            names: see `senteval.list_tasks()`.
            data_dir: the folder that holds `downstream/`.
            splits: of tasks that are not trained on: the splits wanted (default: all).

        Raises:
            ValueError: a name is unknown, or no split is asked for.
            TypeError: `names` or `splits` is a string, not a list of them.
        """
        for argument, value in (("names", names), ("splits", splits)):
            if isinstance(value, str):
                raise TypeError(f"{argument} must be a list, such as [{value!r}], not the string {value!r}")
        suite = cls()
        splits = None if splits is None else tuple(splits)
        if splits == ():
            raise ValueError("splits is empty; name some, or leave it out to have all")
        for task in [get_task(name) for name in names]:
            try:
                suite.tasks[task.name] = task.load(Path(data_dir), splits)
            except DataError as error:
                suite.missing[task.name] = str(error)
        return suite

    def sentences(self) -> list[str]:
        """All sentences of every task, repetitions included."""
        return [
            sentence
            for datasets in self.tasks.values()
            for dataset in datasets.values()
            for sentence in dataset.sentences()
        ]

    def embed(self, encode: Encode) -> Embedded:
        """Encodes every distinct sentence of all tasks with one call of `encode(list[str])`."""
        return embed_distinct(encode, self.sentences())

    def score(self, embedded: Embedded, scoring: Scoring | None = None) -> dict[str, dict[str, Any]]:
        """`{task: results}`; results are SentEval's, see the protocols' functions."""
        return {name: self.score_one(name, embedded, scoring) for name in self.tasks}

    def score_one(self, name: str, embedded: Embedded, scoring: Scoring | None = None) -> dict[str, Any]:
        """The results of one of the loaded tasks; raises ValueError if it is none of them."""
        if name not in self.tasks:
            raise ValueError(f"the task {name!r} is not loaded ({self.missing.get(name, 'it was not asked for')})")
        return score_task(TASKS[name], self.tasks[name], embedded, scoring or Scoring.from_params({}))
