"""`README.md` of a trained folder: the model card that the Hugging Face Hub shows.

It says what is known: the base model's licence is taken over if that model's card states one, the
language is left out, and no path of this machine appears.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData, hf_hub_download
from huggingface_hub.utils import HFValidationError, validate_repo_id
from jinja2 import Environment, PackageLoader, StrictUndefined

import mixcse
from mixcse.base.files import write_text
from mixcse.model.sentence_model import SentenceModel
from mixcse.names import CITATION, TRANSFER_TASKS
from mixcse.options import DataArguments, ModelArguments
from mixcse.train.arguments import TrainArguments
from mixcse.train.parsing import CHECKSUM, PROCESSES

MODEL_CARD_FILE = "README.md"
TAGS = ("sentence-transformers", "sentence-similarity", "feature-extraction", "contrastive-learning")
SPEARMAN = {
    "stsb_spearman": ("STS-B", "dev"), "sickr_spearman": ("SICK-R", "dev"), "dev_spearman": ("own pairs", "dev"),
}  # fmt: skip
# Options that say where a run goes, how it is watched, or what the card tells elsewhere.
UNTOLD = {
    "do_train", "do_eval", "eval_transfer", "eval_strategy", "eval_steps", "eval_on_start",
    "validation_file", "metric_for_best_model", "greater_is_better", "load_best_model_at_end", "save_strategy",
    "save_steps", "save_total_limit", "logging_steps", "logging_strategy", "logging_first_step", "report_to",
    "run_name", "project", "push_to_hub", "output_dir", "overwrite_output_dir", "overwrite_cache", "disable_tqdm",
    "preprocessing_num_workers", "dataloader_num_workers", "dataloader_pin_memory", "senteval_data", "cache_dir",
    "local_rank", "log_level", "ddp_timeout", "train_file", "dataset_name", "model_name_or_path", "seed",
    "trust_remote_code", "label_names", "use_cpu", "ddp_find_unused_parameters", "logging_nan_inf_filter",
}  # fmt: skip
RECIPE = (
    "per_device_train_batch_size", "learning_rate", "num_train_epochs", "max_steps", "max_seq_length", "pooler_type",
)  # fmt: skip
OBJECTIVE = ("variant", "mixing_lambda", "temperature")


@dataclasses.dataclass(frozen=True)
class _Licence:
    """What the base model's card states, in the Hub's terms."""

    fields: dict[str, str]
    stated: bool


def write_model_card(
    folder: str | Path,
    model: SentenceModel,
    options: dict[str, Any],
    *,
    examples: int,
    scores: dict[str, Any] | None = None,
    name: str | None = None,
    **metadata: Any,
) -> None:
    """Writes the model card of a training run.

    Args:
        folder: where the model is saved.
        model: the trained one.
        options: of the run, resolved, by name: what `arguments.json` holds.
        examples: how many it was trained on.
        scores: dev scores of the step that is saved, `eval_*` by name, and `step`.
        name: the model's Hub id, if it has one; else snippets name the folder.
        metadata: entries of the front matter that the caller knows better, such as `license` or `language`.
    """
    folder = Path(folder)
    name = name or folder.absolute().name
    options = {**_defaults(), **options}
    base, is_hub_id = name_of(options["model_name_or_path"])
    licence = _licence(options, is_hub_id=is_hub_id)
    results = list(_results(scores or {}, options))
    front = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": [*TAGS, "simcse" if options["variant"] == "simcse" else "mixcse"],
        **({"base_model": base} if is_hub_id else {}),
        **({"datasets": [options["dataset_name"]]} if _is_hub_id(options.get("dataset_name")) else {}),
        **licence.fields,
        **({"eval_results": results, "model_name": name} if results else {}),
        **metadata,
    }
    text = _environment().get_template("model_card.md").render(
        name=name,
        base=base,
        is_hub_id=is_hub_id,
        licence=metadata.get("license") or (licence.fields["license"] if licence.stated else None),
        dim=model.encoder.config.hidden_size,
        limit=model.max_length,
        pooler=model.recorded_pooler,
        scores={key.removeprefix("eval_"): value for key, value in (scores or {}).items() if _is_score(key, value)},
        step=(scores or {}).get("step"),
        options=options,
        dev_pooler=_dev_pooler(options),
        examples=examples,
        files=_files(options),
        checksum=options.get(CHECKSUM),
        batch=_batch(options),
        told=_told(options),
        versions={package: version(package) for package in ("torch", "transformers")} | {"mixcse": mixcse.__version__},
        citation=CITATION,
    )  # fmt: skip
    card = ModelCard(f"---\n{ModelCardData(**front)}\n---\n\n{text}")
    write_text(folder / MODEL_CARD_FILE, f"{card}\n")


def name_of(name_or_path: str) -> tuple[str, bool]:
    """What to call a model or data set, and whether that is a Hub id: of a path, its last part."""
    if _is_hub_id(name_or_path):
        return name_or_path, True
    return Path(name_or_path).absolute().name, False


def _is_hub_id(name: str | None) -> bool:
    if not name or Path(name).exists():  # what is there is not looked for on the Hub
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _licence(options: dict[str, Any], *, is_hub_id: bool) -> _Licence:
    """The base model's, for weights derived from it; `other` where its card is not to be had, or states none."""
    name = options["model_name_or_path"]
    try:
        file = (
            hf_hub_download(name, MODEL_CARD_FILE, revision=options["model_revision"], cache_dir=options["cache_dir"])
            if is_hub_id
            else Path(name) / MODEL_CARD_FILE
        )
        stated = ModelCard(Path(file).read_text(encoding="utf-8"), ignore_metadata_errors=True).data.to_dict()
    except Exception:  # no card, no network, front matter that is no YAML: nothing is known
        stated = {}
    known = ("license", "license_name", "license_link")
    if isinstance(stated.get("license"), str) and stated.get("license_name") != "unknown":
        return _Licence({key: stated[key] for key in known if isinstance(stated.get(key), str)}, stated=True)
    return _Licence({"license": "other", "license_name": "unknown"}, stated=False)


def _results(scores: dict[str, Any], options: dict[str, Any]) -> Iterable[EvalResult]:
    """The Hub's `model-index`: correlations and accuracies; other numbers are in the text alone."""
    arguments = {"step": scores.get("step"), "pooler": _dev_pooler(options)}
    for key, value in scores.items():
        name = key.removeprefix("eval_")
        if not _is_score(key, value):
            continue
        if name in SPEARMAN:
            data, split = SPEARMAN[name]
            task, metric = ("semantic-similarity", "Semantic Similarity"), ("spearman_cosine", "Spearman of cosines")
        elif name in TRANSFER_TASKS:
            (data, split), value = (name, "dev"), value / 100
            task, metric = ("text-classification", "Classification"), ("accuracy", "Accuracy of a linear classifier")
        else:
            continue
        yield EvalResult(
            task_type=task[0], task_name=task[1],
            dataset_type=data.lower().replace(" ", "-"), dataset_name=data, dataset_split=split,
            metric_type=metric[0], metric_name=metric[1], metric_value=round(value, 6), metric_args=arguments,
        )  # fmt: skip


def _is_score(key: str, value: Any) -> bool:
    return key.startswith("eval_") and isinstance(value, int | float)


def _dev_pooler(options: dict[str, Any]) -> str:
    """As `ModelArguments.dev_pooler`."""
    pooler = options["pooler_type"]
    return "cls_before_pooler" if pooler == "cls" and options["mlp_only_train"] else pooler


def _files(options: dict[str, Any]) -> Sequence[str]:
    """The names of the training files, or of the data set, without folders."""
    if options.get("dataset_name"):
        return [name_of(options["dataset_name"])[0]]
    files = options["train_file"]
    return [Path(file).name for file in ([files] if isinstance(files, str) else files)]


def _batch(options: dict[str, Any]) -> int:
    """Sentences that are each other's negatives."""
    return options["per_device_train_batch_size"] * options.get(PROCESSES, 1)


def _told(options: dict[str, Any]) -> dict[str, Any]:
    """The objective and the recipe, the seed, and whatever else is not as it is by default."""
    defaults = _defaults()
    always = [name for name in (*OBJECTIVE, *RECIPE) if name in options]
    changed = [
        name
        for name, value in options.items()
        if name in defaults and name not in UNTOLD and not name.startswith("hub_") and _differs(value, defaults[name])
    ]
    return {name: _without_folder(options[name]) for name in dict.fromkeys([*always, "seed", *changed])}


def _differs(value: Any, default: Any) -> bool:
    """Whether it is worth a line: what transformers made of "not given" is not, but a dropout of 0.0 is."""
    return value != default and not isinstance(value, dict) and bool(value or default or isinstance(value, float))


def _without_folder(value: Any) -> Any:
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


@cache
def _defaults() -> dict[str, Any]:
    """Of the options that have one, in JSON's types, as `arguments.json` has them."""
    found = {}
    for group in (ModelArguments, DataArguments, TrainArguments):
        for field in dataclasses.fields(group):
            if field.default is None or isinstance(field.default, str | int | float | bool):
                found[field.name] = json.loads(json.dumps(field.default))
    return found


def _plain_text(value: Any) -> str:
    """Markdown that shows a value letter for letter."""
    return re.sub(r"([\\`*_{}\[\]()<>#|~&!$])", r"\\\1", " ".join(str(value).split()))


def _code(value: Any) -> str:
    """A code span with a value in it, for running text."""
    text = " ".join(str(value).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if text.startswith("`") or text.endswith("`") else f"{fence}{text}{fence}"


def _cell(value: Any) -> str:
    """The same for a table, where a bar ends the cell even within code."""
    return _code(value).replace("|", r"\|")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mixcse.report"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"plain": _plain_text, "code": _code, "cell": _cell, "python": repr}
    return environment
