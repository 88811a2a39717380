"""One JSON for each run: everything there is to know of it, and nothing that was not measured."""

import os
import platform
import shlex
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import torch

from mixcse import __version__
from mixcse.base.files import ROOT, read_json, write_json, write_text
from mixcse.reproduce.keys import keys, transfer_keys
from mixcse.reproduce.plan import Run
from mixcse.reproduce.probe import LIBRARIES, agree, probe

SCORES_FILE = "senteval_results.json"
Record = dict[str, Any]


class Records:
    """The records below a results folder: `<folder>/runs/<slug>.json`, and why runs failed."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.runs = self.folder / "runs"
        self.failed = self.folder / "failed"

    def get(self, slug: str) -> Record | None:
        """A run's record, if there is one; what is damaged, or of another run's name, is none.

        (Figures are named after what is in a record, and files are linked to.)
        """
        try:
            record = read_json(self.runs / f"{slug}.json")
            usable = record["run"] == slug and "data" in record["keys"] and "headline" in record["scores"]
            return record if usable else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def read(self) -> dict[str, Record]:
        """All records, by slug."""
        slugs = sorted(file.stem for file in self.runs.glob("*.json"))
        return {slug: record for slug in slugs if (record := self.get(slug)) is not None}

    def failures(self) -> dict[str, str]:
        """Why runs failed, by slug."""
        return {file.stem: file.read_text(encoding="utf-8").strip() for file in sorted(self.failed.glob("*.txt"))}

    def outdated(self, run: Run) -> list[str] | None:
        """What has changed since the run was recorded ([] if it is finished); None if there is no record."""
        record, now = self.get(run.slug), keys(run)
        if record is None:
            return None
        scored, recorded = record["scores"]["headline"], record.get("transfer_keys", {})
        changed = [name for name, key in now.items() if record["keys"].get(name) != key]
        missing = [f"{task} is new" for task in run.tasks if task not in scored]
        other = [task for task, key in transfer_keys(run).items() if task in scored and recorded.get(task) != key]
        if not agree(record.get("probe"), probe()):
            changed.append("code")
        return [*changed, *missing, *(f"data of {task}" for task in other)]

    def strangers(self, run: Run) -> list[str]:
        """Records that do not belong with this run: other options were given on the command line."""
        return [slug for slug, record in self.read().items() if record.get("overrides", {}) != run.overrides]

    def known_tasks(self, run: Run) -> list[str]:
        """What the run's record, if it counts, has scores of."""
        record = self.get(run.slug)
        counts = record and _same(record, {"keys": keys(run), "probe": probe()})
        return list(record["scores"]["headline"]) if counts else []

    def write(self, run: Run, record: Record) -> None:
        """Puts a finished run's record in place; an earlier one of other code, options or data is kept aside."""
        file, earlier = self.runs / f"{run.slug}.json", self.get(run.slug)
        if earlier and not _same(earlier, record):  # as they are where tasks were added alone
            aside = self.folder / "superseded"
            aside.mkdir(parents=True, exist_ok=True)
            names = (aside / f"{run.slug}.{number}.json" for number in count(1))
            file.replace(next(name for name in names if not name.exists()))
        write_json(file, record)
        (self.failed / f"{run.slug}.txt").unlink(missing_ok=True)

    def note_failure(self, run: Run, reason: str) -> None:
        """Why the run came to nothing, for the report."""
        write_text(self.failed / f"{run.slug}.txt", f"{reason}\n")


def _same(one: Record, other: Record) -> bool:
    """Whether configuration, data and code are."""
    return one["keys"] == other["keys"] and agree(one.get("probe"), other["probe"])


def make_record(run: Run, model: Path, results: Path, places: list[dict[str, Any]]) -> Record:
    """Everything about a run that is complete.

    Args:
        model: what train.py left.
        results: what evaluation.py wrote.
        places: where and with what the run was worked on, in order: `machine` and `git` of each.
    """
    scores = read_json(results)
    record = {
        "run": run.slug,
        "scale": run.scale,
        "model": run.model,
        "seed": run.seed,
        "untrained_pooler": run.pooler,
        "keys": keys(run),
        "probe": probe(),
        "commands": _commands(run),
        "options": _portable(run.options),
        "overrides": run.overrides,
        "transfer_keys": transfer_keys(run),
        **places[-1],
        "earlier_places": places[:-1],
        "seconds": {"evaluation": scores["seconds"]},
        "scores": {
            "headline": scores["headline"],
            "own_pairs": scores["own_pairs"],
            "alignment_uniformity": _portable(scores["alignment_uniformity"]),
            "tasks": {task: entry["results"] for task, entry in scores["tasks"].items()},
            "not_scored": scores["missing"],
        },
    }
    if run.pooler is not None:
        return record
    state = read_json(model / "trainer_state.json")
    results = read_json(model / "train_results.json")
    kept = read_json(model / "eval_results.json") if (model / "eval_results.json").is_file() else {}
    record["seconds"]["training"] = results.get("seconds")
    return record | {
        "arguments": _portable(read_json(model / "arguments.json")),
        "kept_step": kept.get("step", state["global_step"]),
        "steps": state["global_step"],
        "train_results": results,
        "history": state["log_history"],
    }


def number_versions(records: Iterable[Record]) -> None:
    """Notes in each record, as `version`, which code made it: 0 is today's, and equal numbers are equal code."""
    known: list[Any] = [probe()]
    for record in records:
        numbers = record.get("probe")
        record["version"] = next((number for number, one in enumerate(known) if agree(numbers, one)), len(known))
        if record["version"] == len(known):
            known.append(numbers)


def place() -> dict[str, Any]:
    """Hardware, versions and the state of the code, here and now."""
    machine = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "mixcse": __version__,
        **{library: version(library) for library in LIBRARIES},
    }
    return {"machine": machine, "git": git_state()}


def git_state() -> dict[str, Any]:
    """The commit, and whether files differ from it; empty outside a repository."""
    try:
        commit, status = (
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.rstrip("\n")
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": commit, "changed_files": sorted(line[3:] for line in status.splitlines())}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _commands(run: Run) -> list[str]:
    """What to paste into a shell to have this run without the runner."""
    folder = Path("out") / run.slug
    train = ["train.py", *run.train_arguments(folder)]
    evaluated = folder if run.pooler is None else run.options["model_name_or_path"]
    evaluate = ["evaluation.py", *run.evaluation_arguments(evaluated, folder / SCORES_FILE)]
    scripts = [train, evaluate] if run.pooler is None else [evaluate]
    return [shlex.join(["python", *map(_portable, words)]) for words in scripts]


def _portable(value: Any) -> Any:
    """A path from the project's root where it lies in it or beside it; the last two names of one elsewhere."""
    if isinstance(value, dict):
        return {name: _portable(one) for name, one in value.items()}
    if not isinstance(value, str) or not value.startswith("/"):
        return value
    path = Path(value)
    if path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT))
    return os.path.relpath(path, ROOT) if path.is_relative_to(ROOT.parent) else "…/" + "/".join(path.parts[-2:])
