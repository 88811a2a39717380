"""What makes a run the same run: its configuration, the code, the data."""

import hashlib
import json
from functools import cache
from pathlib import Path

from mixcse.eval_data import find_senteval_data
from mixcse.fetch import ROOT
from mixcse.files import sha256
from mixcse.parsing import parse_training_arguments
from mixcse.reproduce.plan import Run

# What can change a number; how it is shown or stored cannot.
SOURCES = (
    "mixcse/arguments.py", "mixcse/batching.py", "mixcse/data.py", "mixcse/dev.py", "mixcse/encoder.py",
    "mixcse/eval_data.py", "mixcse/metrics.py", "mixcse/modeling.py", "mixcse/objective.py", "mixcse/pooling.py",
    "mixcse/rng.py", "mixcse/scores.py", "mixcse/signals.py", "mixcse/trainer.py", "SentEval/senteval/*.py",
)  # fmt: skip
# Options that say where something is, not what; files among them count by their content.
FILES = ("train_file", "eval_path")
PLACES = (*FILES, "senteval_data", "cache_dir", "preprocessing_num_workers", "overwrite_cache", "disable_tqdm")


def configuration_key(run: Run) -> str:
    """Of what is not a default, however it is spelt, the seed and the pooler; a local model counts by its weights."""
    resolved, defaults = _resolved(run.train_arguments(Path("unused"))), _resolved(["--output_dir", "unused"])
    options = {
        name: str(resolved[name])
        for name in run.options
        if name not in PLACES and name != "model_name_or_path" and resolved[name] != defaults[name]
    }
    model = Path(run.options["model_name_or_path"])
    identity = _file_key(model / "model.safetensors") if model.is_dir() else str(model)
    # Where nothing is trained the recipe does not matter.
    return _hash([identity, run.pooler, None if run.pooler else [options, run.seed]])


def _resolved(argv: list[str]) -> dict[str, object]:
    return {name: value for group in parse_training_arguments(argv) for name, value in vars(group).items()}


def data_key(run: Run) -> str:
    """Of the training file, the pairs and all of SentEval's files for the STS tasks."""
    files = [run.options.get(name) for name in FILES if run.pooler is None] + [run.test_pairs]
    senteval = find_senteval_data(run.options.get("senteval_data")) if run.tasks else None
    return _hash([*(None if file is None else _file_key(Path(file)) for file in files), _folder_key(senteval)])


@cache
def code_key() -> str:
    """Of the source files in `SOURCES`."""
    files = sorted(file for pattern in SOURCES for file in ROOT.glob(pattern))
    return _hash([[str(file.relative_to(ROOT)), sha256(file)] for file in files])


@cache
def _file_key(path: Path) -> str | None:
    return sha256(path) if path.is_file() else None


@cache
def _folder_key(senteval_data: Path | None) -> str | None:
    if senteval_data is None:
        return None
    folder = senteval_data / "downstream"
    files = sorted(file for part in ("STS", "SICK") for file in (folder / part).rglob("*") if file.is_file())
    return _hash([[str(file.relative_to(folder)), sha256(file)] for file in files])


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
