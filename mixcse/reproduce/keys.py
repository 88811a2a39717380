"""What makes a run the same run: its configuration and the data.  The code is known by its `probe`."""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from mixcse.base.files import sha256
from mixcse.names import STS_TASKS
from mixcse.reproduce.plan import FILES, PLACES, Run, resolve

TRANSFER_FOLDERS = {"SST2": "SST", "SST5": "SST"}  # of downstream/, where the name is not the task's


def keys(run: Run) -> dict[str, str]:
    """The two that must agree for a record to count as this run's, beside the probe of the code."""
    return {"configuration": configuration_key(run), "data": data_key(run)}


def configuration_key(run: Run) -> str:
    """Of what is not a default, however it is spelt, the seed and the pooler; a local model counts by its weights."""
    resolved, defaults = resolve(run.train_arguments(Path("unused"))), _defaults()
    options = {
        name: str(resolved[name])
        for name in run.options
        if name not in PLACES and name != "model_name_or_path" and resolved[name] != defaults[name]
    }
    model = Path(str(run.options["model_name_or_path"]))
    weights = sorted(file for kind in ("*.safetensors", "*.bin") for file in model.glob(kind))
    hashes = [_file_key(file) for file in weights] or [str(model), resolved["model_revision"]]
    identity = hashes[0] if len(hashes) == 1 else hashes
    # Where nothing is trained the recipe does not matter.
    return hash_of([identity, run.pooler, None if run.pooler else [options, run.seed]])


def data_key(run: Run) -> str:
    """Of the training file, of pairs of one's own, and of SentEval's STS data if there are tasks to score."""
    files = [run.options.get(name) for name in FILES if run.pooler is None] + [run.test_pairs]
    sts = _folders_key(run.senteval_data / "downstream", "STS", "SICK") if run.tasks else None
    return hash_of([*(None if file is None else _file_key(Path(file)) for file in files), sts])


def transfer_keys(run: Run) -> dict[str, str]:
    """Of the data of each transfer task among the run's tasks: training does not depend on it."""
    downstream, tasks = run.senteval_data / "downstream", [task for task in run.tasks if task not in STS_TASKS]
    return {task: _folders_key(downstream, TRANSFER_FOLDERS.get(task, task)) for task in tasks}


@cache
def _defaults() -> dict[str, object]:
    return resolve(["--output_dir", "unused"])


@cache
def _folders_key(downstream: Path, *names: str) -> str:
    return files_key(downstream, [file for name in names for file in (downstream / name).rglob("*") if file.is_file()])


def files_key(root: Path, files: Iterable[Path]) -> str:
    """Of the names and contents of files below a folder."""
    return hash_of([[str(file.relative_to(root)), sha256(file)] for file in sorted(files)])


@cache
def _file_key(path: Path) -> str | None:
    return sha256(path) if path.is_file() else None


def hash_of(value: object) -> str:
    """SHA-256 of what can be written as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
