"""Scoring a model on a set of tasks: one encoding pass, finished tasks remembered."""

import dataclasses
import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import senteval
from mixcse.base.console import say
from mixcse.base.errors import UserError
from mixcse.base.files import plain, read_json, write_json
from mixcse.data.pairs import read_own_pairs
from mixcse.evaluate.metrics import spread
from mixcse.names import MODES
from senteval.classification import Protocol
from senteval.encoding import Encode, embed_distinct
from senteval.settings import Settings
from senteval.sts import score_sts
from senteval.tasks import TASKS, Dataset

FULL = Protocol(kfold=10, settings=Settings(optim="adam", batch_size=64, tenacity=5, epoch_size=4))
FAST = Protocol(kfold=5, settings=Settings(optim="rmsprop", batch_size=128, tenacity=3, epoch_size=2))
PROTOCOLS = dict(zip(MODES, (FULL, FAST, FAST), strict=True))  # as SimCSE and MixCSE evaluate


@dataclass
class Report:
    """The outcome of one evaluation, in plain numbers.

    Attributes:
        mode: `test`, `fasttest` or `dev`.
        tasks: task -> `results`, SentEval's (correlations in -1 to 1, accuracies in 0 to 100), the `seconds` to
            score it without encoding, and the `key` of all it depends on.
        headline: task -> what tables show: Spearman x 100 of STS, accuracy, or Pearson x 100.
        missing: task -> why it has no score.
        own: {pearson, spearman, nsamples} of the pairs of `eval_path`.
        spread: `alignment`, `uniformity`, and what they were measured `on`.
    """

    mode: str
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    headline: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    spread: dict[str, Any] = field(default_factory=dict)


class Finished:
    """Tasks scored by an earlier evaluation, in a JSON file; each under a key of all it depends on.

    Args:
        path: the file; without one, nothing is remembered.

    Raises:
        UserError: there is a file that is none of these.

    Attributes:
        model_key: stands for weights, pooler and lengths (`SentenceEncoder.fingerprint`).
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.model_key = ""
        self.tasks: dict[str, Any] = {}
        if self.path is not None and self.path.is_file() and self.path.stat().st_size:
            try:
                self.tasks = dict(read_json(self.path)["tasks"])
            except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
                raise UserError(
                    f"--output_json {path}: there is a file that holds no scores; name another, or delete it"
                ) from error

    def key(self, name: str, datasets: dict[str, Dataset], protocol: Protocol) -> str:
        """A hash of model, data and settings."""
        settings = dataclasses.asdict(protocol.settings) | {"device": "any"}
        digest = hashlib.sha256(repr((self.model_key, name, protocol.kfold, settings)).encode())
        for dataset, samples in datasets.items():
            labels = samples.scores if isinstance(samples, senteval.Pairs) else samples.labels
            digest.update(repr((dataset, len(samples))).encode() + labels.tobytes())
            for sentence in samples.sentences():
                digest.update(sentence.encode("utf-8", "surrogatepass") + b"\n")
        return digest.hexdigest()

    def get(self, name: str, key: str) -> dict[str, Any] | None:
        """The task's entry, if it was scored under the same key."""
        entry = self.tasks.get(name)
        return entry if isinstance(entry, dict) and entry.get("key") == key else None

    def put(self, name: str, entry: dict[str, Any]) -> None:
        """Remembers a task; the file is written anew, aside and renamed."""
        self.tasks[name] = entry
        if self.path is not None:
            write_json(self.path, {"unfinished": True, "tasks": self.tasks})


def evaluate(
    encode: Encode,
    tasks: Sequence[str],
    data_dir: Path,
    *,
    mode: str = "test",
    eval_path: str | Path | None = None,
    finished: Finished | None = None,
    transfer_metric: str = "acc",
    device: str | torch.device = "cpu",
) -> Report:
    """Scores the named tasks, with one call of `encode` for all their distinct sentences.

    A task without usable data is named in the report and counts nowhere.

    Args:
        encode: `list[str] -> array (n, d)`.
        tasks: names in `senteval.list_tasks()`.
        data_dir: the folder that holds `downstream/`.
        mode: `dev` reports dev scores (every task must have one), else test scores.
        eval_path: a file of scored pairs (`read_own_pairs`), scored too; then alignment and uniformity are
            measured on them, else on STS-B dev.
        finished: takes over tasks scored before and remembers those scored now.
        transfer_metric: `acc` or `devacc`.
        device: where classifiers are trained.

    Raises:
        UserError: `eval_path` is unreadable.
    """
    finished, split = finished or Finished(), "dev" if mode == "dev" else "test"
    suite = senteval.Suite.load(tasks, data_dir, splits=[split])
    report = Report(mode, missing=suite.missing)
    protocol = PROTOCOLS[mode]
    protocol = dataclasses.replace(protocol, settings=dataclasses.replace(protocol.settings, device=str(device)))
    keys = {task: finished.key(task, datasets, protocol) for task, datasets in suite.tasks.items()}
    report.tasks = {task: entry for task, key in keys.items() if (entry := finished.get(task, key)) is not None}
    if report.tasks:
        say(f"already scored with this model, data and settings: {', '.join(report.tasks)}")

    own = None if eval_path is None else read_own_pairs(eval_path)
    monitor = own or _sts_benchmark_dev(suite, data_dir)
    remaining = [task for task in suite.tasks if task not in report.tasks]
    sentences = [s for task in remaining for dataset in suite.tasks[task].values() for s in dataset.sentences()]
    embedded = embed_distinct(encode, sentences + (monitor.sentences() if monitor else []))
    for task in tqdm(remaining, desc="scoring", unit=" tasks", disable=None if remaining else True):
        start = time.perf_counter()
        results = plain(suite.score_one(task, embedded, senteval.Scoring(protocol)))
        seconds = float(f"{time.perf_counter() - start:.3g}")  # a quick task has not taken 0.0
        if TASKS[task].protocol != "sts" and not sys.stderr.isatty():
            say(f"scored {task} in {seconds:.0f} s")
        report.tasks[task] = {"key": keys[task], "results": results, "seconds": seconds}
        finished.put(task, report.tasks[task])

    report.tasks = {task: report.tasks[task] for task in suite.tasks}  # in the order of the tables
    report.headline = {
        task: headline(task, entry["results"], split, transfer_metric) for task, entry in report.tasks.items()
    }
    if own is not None:
        report.own = plain(score_sts({"own": own}, embedded)["own"])
    if monitor is not None:
        report.spread = spread(monitor, embedded) | {"on": "STS-B dev" if own is None else str(eval_path)}
    return report


def headline(task: str, results: dict[str, Any], split: str, transfer_metric: str = "acc") -> float:
    """The one number of a task that tables show, times 100 where it is a correlation."""
    protocol = TASKS[task].protocol
    if protocol == "sts":
        value = results[split]["spearman"] if TASKS[task].splits else results["all"]["spearman"]["all"]
    elif protocol == "relatedness":
        value = results["devspearman" if split == "dev" else "pearson"]
    else:
        return float(results[transfer_metric])
    return float("nan") if value is None else 100 * float(value)


def average(numbers: Sequence[float]) -> float:
    """The mean; NaN if one of them is."""
    return float(np.mean(numbers))


def _sts_benchmark_dev(suite: senteval.Suite, data_dir: Path) -> senteval.Pairs | None:
    """What alignment and uniformity are measured on where STS tasks are scored."""
    if all(TASKS[task].protocol != "sts" for task in suite.tasks):
        return None
    return senteval.Suite.load(["STSBenchmark"], data_dir, splits=["dev"]).tasks.get("STSBenchmark", {}).get("dev")
