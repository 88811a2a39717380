"""The tasks as data: a row a task.  Adding a task is adding a row."""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from senteval import labelled
from senteval.errors import DataError
from senteval.labelled import Labelled
from senteval.readers import Pairs, read_sick_relatedness, read_sts_benchmark, read_sts_year

Dataset = Pairs | Labelled

STS_DATASETS = {
    "12": ("MSRpar", "MSRvid", "SMTeuroparl", "surprise.OnWN", "surprise.SMTnews"),
    "13": ("FNWN", "headlines", "OnWN"),  # the SMT dataset of 2013 is not freely available
    "14": ("deft-forum", "deft-news", "headlines", "images", "OnWN", "tweet-news"),
    "15": ("answers-forums", "answers-students", "belief", "headlines", "images"),
    "16": ("answer-answer", "headlines", "plagiarism", "postediting", "question-question"),
}
PROBING_FILES = {
    "Length": "sentence_length",
    "WordContent": "word_content",
    "Depth": "tree_depth",
    "TopConstituents": "top_constituents",
    "BigramShift": "bigram_shift",
    "Tense": "past_present",
    "SubjNumber": "subj_number",
    "ObjNumber": "obj_number",
    "OddManOut": "odd_man_out",
    "CoordinationInversion": "coordination_inversion",
}


@dataclass(frozen=True)
class Task:
    """One row of the table.

    Attributes:
        name: what `SE.eval` and `--tasks` call it.
        protocol: a key of `senteval.protocols.PROTOCOLS`.
        metric: what is reported, as a path into the task's results.
        read: reads the task's datasets from the folder that holds `downstream/`.
        counts: samples by dataset, or in `all`; what a complete copy holds.
        splits: the datasets that can be left unread (`Task.load`).
        linear_only: whether a hidden layer asked for in `params` is left out.
    """

    name: str
    protocol: str
    metric: str
    read: Callable[..., dict[str, Dataset]]
    counts: dict[str, int] = field(default_factory=dict)
    splits: tuple[str, ...] = ()
    linear_only: bool = False

    def load(self, data_dir: Path, splits: Iterable[str] | None = None) -> dict[str, Dataset]:
        """Reads the task, or only the named ones of its `splits`.

        Raises:
            DataError: a file is missing or malformed, or holds another number of samples.
        """
        if self.splits:
            if unknown := set(splits or ()) - set(SPLITS):
                raise ValueError(f"unknown split {sorted(unknown)[0]!r}; known: {', '.join(SPLITS)}")
            wanted = [split for split in self.splits if splits is None or split in splits]
            datasets = self.read(data_dir / "downstream", wanted)
        else:
            datasets = self.read(data_dir / "downstream")
        sizes = {name: len(dataset) for name, dataset in datasets.items()}
        sizes["all"] = sum(sizes.values())
        for name, expected in self.counts.items():
            if name in sizes and sizes[name] != expected:
                raise DataError(f"{self.name} in {data_dir}: {sizes[name]} samples in {name!r}, expected {expected}")
        return datasets


SPLITS = ("train", "dev", "test")


def _sizes(*sizes: int) -> dict[str, int]:
    """train, dev and test; or train and test."""
    return dict(zip(SPLITS if len(sizes) == 3 else ("train", "test"), sizes, strict=True))


def _sts_year(year: str, count: int) -> Task:
    read = partial(read_sts_year, year=year, names=STS_DATASETS[year])
    return Task(f"STS{year}", "sts", "all.spearman.all", read, {"all": count})


def _polarity(name: str, positive: str, negative: str, count: int) -> Task:
    read = partial(labelled.read_polarity, positive=f"{name}/{positive}", negative=f"{name}/{negative}")
    return Task(name, "nested", "acc", read, {"all": count})


def _probing(name: str, file: str) -> Task:
    def read(downstream: Path) -> dict[str, Labelled]:
        return labelled.read_probing(downstream.parent, file)

    return Task(name, "splits", "acc", read, linear_only=name == "WordContent")


FIXED = partial(read_sts_benchmark, name="STSBenchmark-fix")
STSB, SICK = _sizes(5749, 1500, 1379), _sizes(4500, 500, 4927)

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _sts_year("12", 3108),
        _sts_year("13", 1500),
        _sts_year("14", 3750),
        _sts_year("15", 3000),
        _sts_year("16", 1186),
        Task("STSBenchmark", "sts", "test.spearman", read_sts_benchmark, STSB, SPLITS),
        Task("STSBenchmark-fix", "sts", "test.spearman", FIXED, splits=SPLITS),
        Task("SICKRelatedness", "sts", "test.spearman", read_sick_relatedness, SICK, SPLITS),
        _polarity("MR", "rt-polarity.pos", "rt-polarity.neg", 10662),
        _polarity("CR", "custrev.pos", "custrev.neg", 3775),
        _polarity("SUBJ", "subj.objective", "subj.subjective", 10000),
        _polarity("MPQA", "mpqa.pos", "mpqa.neg", 10606),
        Task("SST2", "splits", "acc", labelled.read_sst2, _sizes(67349, 872, 1821)),
        Task("SST5", "splits", "acc", labelled.read_sst5, _sizes(8544, 1101, 2210)),
        Task("TREC", "folds", "acc", labelled.read_trec, _sizes(5452, 500)),
        Task("MRPC", "folds", "acc", labelled.read_mrpc, _sizes(4076, 1725)),
        Task("SICKEntailment", "splits", "acc", labelled.read_sick_entailment, SICK),
        Task("SICKRelatedness-finetune", "relatedness", "pearson", read_sick_relatedness, SICK),
        Task("STSBenchmark-finetune", "relatedness", "pearson", read_sts_benchmark, STSB),
        *(_probing(name, file) for name, file in PROBING_FILES.items()),
    )
}


def list_tasks() -> dict[str, dict[str, Any]]:
    """What there is: name -> {protocol, metric, sizes}; sizes are empty where none is prescribed."""
    return {
        task.name: {"protocol": task.protocol, "metric": task.metric, "sizes": dict(task.counts)}
        for task in TASKS.values()
    }


LEFT_OUT = {
    "SNLI": "its 570,000 pairs are no part of downstream/, and none of the papers reports it",
    "ImageCaptionRetrieval": "it needs features of images, which come as pickles",
}


def trained_as_fair(task: Task) -> Task:
    """FAIR's version of a task: where SimCSE's has the cosine of STSBenchmark or SICKRelatedness, a regression."""
    is_trained = f"{task.name}-finetune" in TASKS
    return dataclasses.replace(task, protocol="fair", metric="pearson") if is_trained else task


def get_task(name: str) -> Task:
    """Raises ValueError with the known names when there is no such task, or with the reason why there is none."""
    if isinstance(name, str) and name in LEFT_OUT:
        raise ValueError(f"the task {name!r} is left out: {LEFT_OUT[name]}")
    if not isinstance(name, str) or name not in TASKS:
        raise ValueError(f"unknown task {name!r:.40}; known: {', '.join(TASKS)}")
    return TASKS[name]
