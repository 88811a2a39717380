"""Records: one JSON file for each run, with what makes it the same run, its scores, and the series of its figures."""

import hashlib
import json
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mixcse import __version__
from mixcse.base.console import warn
from mixcse.base.errors import UserError
from mixcse.base.fields import current_names
from mixcse.base.files import ROOT, plain, read_json, sha256, write_text
from mixcse.names import STS_TASKS
from mixcse.options import GROUPS
from mixcse.report.traces import log_of, log_of_tables, tables_of
from mixcse.reproduce.experiment import load_scale
from mixcse.reproduce.plan import FILES, Run, effective, name_on_disk, slug_of

SCORES_FILE = "senteval_results.json"
SAMPLE_PAIRS = "sample pairs"  # the name of the score where there is no SentEval data
LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy", "scipy", "scikit-learn")
INPUTS = ("model", *FILES, "test_pairs", "STS")  # of every run; the data of a transfer task counts for that task alone
TRANSFER_FOLDERS = {"SST2": "SST", "SST5": "SST"}  # of downstream/, where the name is not the task's
Record = dict[str, Any]


class Records:
    """The records of a results folder (`<folder>/runs/*.json`), and why runs failed."""

    def __init__(self, folder: str | Path) -> None:
        self.runs, self.failed = Path(folder) / "runs", Path(folder) / "failed"

    def read(self) -> dict[str, Record]:
        """Return all records by the name of their run, which follows from their options; warn of other files."""
        records: dict[str, Record] = {}
        for file in sorted(self.runs.glob("*.json")):
            try:
                record = _read(file)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                warn(f"{file}: not a record of a run, left out")
                continue
            records[record["run"]] = record
        return records

    def failures(self) -> dict[str, str]:
        """Return the reasons why runs failed, by name of the run."""
        return {file.stem: file.read_text(encoding="utf-8").strip() for file in sorted(self.failed.glob("*.txt"))}

    def write(self, run: Run, record: Record) -> None:
        """Put the record of a finished run in place, a line for each of its entries."""
        compact = (json.dumps(plain(value), ensure_ascii=False, separators=(",", ":")) for value in record.values())
        lines = (f"{json.dumps(name)}: {value}" for name, value in zip(record, compact, strict=True))
        write_text(self.runs / f"{run.slug}.json", "{" + ",\n".join(lines) + "}\n")
        (self.failed / f"{run.slug}.txt").unlink(missing_ok=True)

    def note_failure(self, run: Run, reason: str) -> None:
        """Write down why a run failed, for the report."""
        write_text(self.failed / f"{run.slug}.txt", f"{reason}\n")


def _read(file: Path) -> Record:
    record = read_json(file)
    if name_on_disk(record["model"]) != record["model"]:  # figures are named after models
        raise ValueError(f"{record['model']!r} is not a name of a model")
    options, overrides = (current_names(record[name], *GROUPS) for name in ("options", "overrides"))
    own = {name: value for name, value in options.items() if name not in overrides}
    slug = slug_of(record["model"], own, load_scale(record["scale"]), record["seed"], record["pooler"])
    log = log_of_tables(record.get("series", ()))
    return record | {"run": slug, "options": options, "overrides": overrides, "log": log}


def changes(record: Record, run: Run) -> list[str]:
    """Return what a run has that its record has not: other options, other data, tasks; empty if it is finished."""
    try:  # an untrained encoder is scored whatever the recipe is
        same = run.pooler is not None or effective(record["options"]) == effective(run.options)
    except UserError:  # an option that train.py no longer has
        same = False
    changed = [] if same else ["options"]
    known = record["data"]
    if any(known.get(name) != key for name, key in data_of(run).items() if name in INPUTS or name in known):
        changed.append("data")
    return changed + [task for task in run.tasks if task not in record["scores"]]


def data_of(run: Run) -> dict[str, Any]:
    """Return checksums of what a run is computed from, by name; None for what it does not need."""
    downstream, model = run.senteval_data / "downstream", Path(str(run.options["model_name_or_path"]))
    files = {name: run.options.get(name) if run.pooler is None else None for name in FILES}
    files["test_pairs"] = run.test_pairs
    keys = {name: None if file is None else _file_key(Path(file)) for name, file in files.items()}
    on_hub = f"{model}@{run.options.get('model_revision', 'main')}"
    keys["model"] = _files_key(model, "*.safetensors", "*.bin") if model.is_dir() else on_hub
    keys["STS"] = _files_key(downstream, "STS/**/*", "SICK/**/*") if run.tasks else None
    transfer = [task for task in run.tasks if task not in STS_TASKS]
    return keys | {task: _files_key(downstream, f"{TRANSFER_FOLDERS.get(task, task)}/**/*") for task in transfer}


@cache
def _file_key(path: Path) -> str | None:
    return sha256(path) if path.is_file() else None


@cache
def _files_key(root: Path, *patterns: str) -> str:
    """Return a checksum of the names and contents of files below a folder."""
    files = {file for pattern in patterns for file in root.glob(pattern) if file.is_file()}
    return hash_of([[str(file.relative_to(root)), sha256(file)] for file in sorted(files)])


def hash_of(value: object) -> str:
    """Return the SHA-256 of what can be written as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def make_record(run: Run, model: Path, results: dict[str, Any]) -> Record:
    """Return the record of a run that is complete.

    Args:
        model: the folder that train.py left.
        results: what evaluation.py wrote.
    """
    scores = dict(results["headline"])
    if run.test_pairs is not None:
        scores[SAMPLE_PAIRS] = 100 * results["own_pairs"]["spearman"]
    record = {
        "scale": run.scale,
        "model": run.model,
        "seed": run.seed,
        "pooler": run.pooler,
        "options": {name: _portable(value) for name, value in run.options.items()},
        "overrides": run.overrides,
        "data": {name: key for name, key in data_of(run).items() if key is not None},
        **place(),
        "scores": scores,
    }
    if run.pooler is None:
        record["series"] = tables_of(log_of(read_json(model / "trainer_state.json")["log_history"]))
    return record


def place() -> dict[str, Any]:
    """Return hardware, versions and the state of the code, here and now."""
    import torch  # for the GPU's name; a report does without

    machine = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "mixcse": __version__,
        **{library: version(library) for library in LIBRARIES},
    }
    return {**git_state(), "machine": machine}


def git_state() -> dict[str, Any]:
    """Return the commit, and whether tracked files differ from it; None for both outside a repository."""
    try:
        commit, status = (
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": bool(status)}


def _processor() -> str:
    file = Path("/proc/cpuinfo")  # of Linux
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def _portable(value: Any) -> Any:
    """Return a path from the project's root where it lies in it or beside it; the last two names of one elsewhere."""
    if not isinstance(value, str) or not value.startswith("/"):
        return value
    path = Path(value)
    if path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT))
    return os.path.relpath(path, ROOT) if path.is_relative_to(ROOT.parent) else "…/" + "/".join(path.parts[-2:])
