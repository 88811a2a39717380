"""The tasks as data: a row a task.  Adding a task is adding a row."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from senteval.errors import DataError
from senteval.readers import Pairs, read_sick_relatedness, read_sts_benchmark, read_sts_year

STS_DATASETS = {
    "12": ("MSRpar", "MSRvid", "SMTeuroparl", "surprise.OnWN", "surprise.SMTnews"),
    "13": ("FNWN", "headlines", "OnWN"),  # the SMT dataset of 2013 is not freely available
    "14": ("deft-forum", "deft-news", "headlines", "images", "OnWN", "tweet-news"),
    "15": ("answers-forums", "answers-students", "belief", "headlines", "images"),
    "16": ("answer-answer", "headlines", "plagiarism", "postediting", "question-question"),
}


@dataclass(frozen=True)
class Task:
    """One row of the table.

    Attributes:
        name: what `SE.eval` and `--tasks` call it.
        read: reads the task's datasets from the `downstream/` folder.
        splits: the names of its splits where it has any; they are also its datasets.
        headline: the dataset whose Spearman correlation is the task's reported score:
            a split, or `all` for the concatenation of all datasets.
        counts: pairs with a gold score, in all or by split: what a complete copy holds.
    """

    name: str
    read: Callable[..., dict[str, Pairs]]
    headline: str
    counts: dict[str, int]
    splits: tuple[str, ...] = ()

    def load(self, data_dir: Path, splits: Iterable[str] | None = None) -> dict[str, Pairs]:
        """Reads the task, or only the named ones of its splits.

        Args:
            data_dir: the folder that holds `downstream/`.
            splits: the splits wanted; a task without splits is always read whole.

        Raises:
            DataError: a file is missing or malformed, or holds another number of samples.
        """
        wanted = [split for split in self.splits if splits is None or split in splits]
        datasets = self.read(data_dir / "downstream", wanted) if self.splits else self.read(data_dir / "downstream")
        sizes = {split: len(datasets[split]) for split in wanted} or {"all": sum(map(len, datasets.values()))}
        for split, size in sizes.items():
            if size != self.counts[split]:
                raise DataError(f"{self.name} in {data_dir}: {size} pairs in {split!r}, expected {self.counts[split]}")
        return datasets


def _sts_year(year: str, count: int) -> Task:
    read = partial(read_sts_year, year=year, names=STS_DATASETS[year])
    return Task(f"STS{year}", read, headline="all", counts={"all": count})


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _sts_year("12", 3108),
        _sts_year("13", 1500),
        _sts_year("14", 3750),
        _sts_year("15", 3000),
        _sts_year("16", 1186),
        Task(
            "STSBenchmark",
            read_sts_benchmark,
            headline="test",
            counts={"train": 5749, "dev": 1500, "test": 1379},
            splits=("train", "dev", "test"),
        ),
        Task(
            "SICKRelatedness",
            read_sick_relatedness,
            headline="test",
            counts={"train": 4500, "dev": 500, "test": 4927},
            splits=("train", "dev", "test"),
        ),
    )
}


def list_tasks() -> list[str]:
    """The names that `SE.eval` and `Suite.load` know."""
    return list(TASKS)


def get_task(name: str) -> Task:
    """Raises ValueError with the known names when there is no such task."""
    try:
        return TASKS[name]
    except KeyError:
        raise ValueError(f"unknown task {name!r}; known: {', '.join(TASKS)}") from None
