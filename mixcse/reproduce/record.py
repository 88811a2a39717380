"""One JSON for each run: everything there is to know of it, and nothing that was not measured."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mixcse import __version__
from mixcse.base.files import ROOT, read_json, write_json, write_text
from mixcse.reproduce.keys import code_key, configuration_key, data_key, transfer_keys
from mixcse.reproduce.plan import Run, as_command

LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy", "scipy", "scikit-learn")
SCORES_FILE = "senteval_results.json"


class Records:
    """The records below a results folder: `<folder>/runs/<slug>.json`, and why runs failed."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.runs = self.folder / "runs"
        self.failed = self.folder / "failed"

    def read(self) -> dict[str, dict[str, Any]]:
        """All records, by slug; a file that is none is left out, and so is one of another run's name.

        (Figures are named after what is in a record, and files are linked to.)
        """
        records = {}
        for file in sorted(self.runs.glob("*.json")):
            try:
                record = read_json(file)
                if record["run"] == file.stem:
                    records[file.stem] = record
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return records

    def failures(self) -> dict[str, str]:
        """Why runs failed, by slug."""
        return {file.stem: file.read_text(encoding="utf-8").strip() for file in sorted(self.failed.glob("*.txt"))}

    def outdated(self, run: Run) -> list[str] | None:
        """What has changed since the run was recorded ([] if it is finished); None if there is no record."""
        now, transfer = keys(run), transfer_keys(run)
        try:
            record = read_json(self.runs / f"{run.slug}.json")
            changed = [name for name, key in now.items() if record["keys"].get(name) != key]
            missing = [task for task in run.tasks if task not in record["scores"]["headline"]]
            recorded = record.get("transfer_keys", {})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        other = [task for task, key in transfer.items() if task not in missing and recorded.get(task) != key]
        return [*changed, *(f"{task} is new" for task in missing), *(f"data of {task}" for task in other)]

    def strangers(self, run: Run) -> list[str]:
        """Records that do not belong with this run: other options were given on the command line."""
        return [slug for slug, record in self.read().items() if record.get("overrides", {}) != run.overrides]

    def known_tasks(self, run: Run) -> list[str]:
        """What the run's record, if it counts, has scores of."""
        if self.outdated(run) is None or {*self.outdated(run)} & {*keys(run)}:
            return []
        return list(read_json(self.runs / f"{run.slug}.json")["scores"]["headline"])

    def write(self, run: Run, record: dict[str, Any]) -> None:
        """Puts a finished run's record in place; an earlier one of other code is kept aside."""
        if {*(self.outdated(run) or ())} & {*keys(run)}:  # not where tasks were added alone
            self.set_aside(run)
        write_json(self.runs / f"{run.slug}.json", record)
        (self.failed / f"{run.slug}.txt").unlink(missing_ok=True)

    def note_failure(self, run: Run, reason: str) -> None:
        """Why the run came to nothing, for the report."""
        write_text(self.failed / f"{run.slug}.txt", f"{reason}\n")

    def set_aside(self, run: Run) -> None:
        """Moves a run's record to `superseded`."""
        file = self.runs / f"{run.slug}.json"
        aside = self.folder / "superseded"
        aside.mkdir(parents=True, exist_ok=True)
        file.replace(next(name for i in range(1, 10**6) if not (name := aside / f"{run.slug}.{i}.json").exists()))


def keys(run: Run) -> dict[str, str]:
    """The three that must agree for a record to count as this run's."""
    return {"configuration": configuration_key(run), "code": code_key(), "data": data_key(run)}


def make_record(run: Run, model: Path, results: Path, places: list[dict[str, Any]]) -> dict[str, Any]:
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
        "commands": _commands(run),
        "options": {name: _portable(value) for name, value in run.options.items()},
        "overrides": run.overrides,
        "transfer_keys": transfer_keys(run),
        **places[-1],
        "earlier_places": places[:-1],
        "seconds": {"evaluation": scores["seconds"]},
        "scores": {
            "headline": scores["headline"],
            "own_pairs": scores["own_pairs"],
            "alignment_uniformity": {name: _portable(one) for name, one in scores["alignment_uniformity"].items()},
            "tasks": {task: entry["results"] for task, entry in scores["tasks"].items()},
            "not_scored": scores["missing"],
        },
    }
    if run.pooler is None:
        state = read_json(model / "trainer_state.json")
        results = read_json(model / "train_results.json")
        kept = read_json(model / "eval_results.json") if (model / "eval_results.json").is_file() else {}
        record |= {
            "arguments": {name: _portable(value) for name, value in read_json(model / "arguments.json").items()},
            "kept_step": kept.get("step", state["global_step"]),
            "steps": state["global_step"],
            "train_results": results,
            "history": state["log_history"],
            "cosines": read_json(model / "cosines.json"),
        }
        record["seconds"]["training"] = results.get("seconds")
    return json.loads(json.dumps(record, default=str))


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
    """What to paste to have this run without the runner."""
    folder = Path("out") / run.slug
    evaluated = folder if run.pooler is None else run.options["model_name_or_path"]
    commands = [] if run.pooler is not None else [as_command("train.py", map(_portable, run.train_arguments(folder)))]
    results = folder / SCORES_FILE
    return [*commands, as_command("evaluation.py", map(_portable, run.evaluation_arguments(evaluated, results)))]


def _portable(value: Any) -> Any:
    """A path from the project's root where it lies in it or beside it; the last two names of one elsewhere."""
    if not isinstance(value, str) or not value.startswith("/"):
        return value
    path = Path(value)
    if path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT))
    return os.path.relpath(path, ROOT) if path.is_relative_to(ROOT.parent) else "…/" + "/".join(path.parts[-2:])
