"""`README.md` of a trained folder: the model card that the Hugging Face Hub shows.

It says what is known: the base model's licence is taken over if that model's card states one, the
language is left out, and no path of this machine appears.
"""

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData, hf_hub_download
from huggingface_hub.utils import HFValidationError, validate_repo_id

import mixcse
from mixcse.base.files import write_text
from mixcse.model.sentence_model import SentenceModel
from mixcse.names import CITATION, DEV_SETS, TRANSFER_TASKS
from mixcse.train.folder import CURVES_FILE, NOT_COMPARED, default_options

MODEL_CARD_FILE = "README.md"
TEMPLATE = Path(mixcse.__file__).with_name("report") / "templates" / "model_card.md"
TAGS = ("sentence-transformers", "sentence-similarity", "feature-extraction", "contrastive-learning")
UNKNOWN = {"license": "other", "license_name": "unknown"}
SIMILARITY = {
    "task_type": "semantic-similarity", "task_name": "Semantic Similarity",
    "metric_type": "spearman_cosine", "metric_name": "Spearman of cosines",
}  # fmt: skip
CLASSIFICATION = {
    "task_type": "text-classification", "task_name": "Classification",
    "metric_type": "accuracy", "metric_name": "Accuracy of a linear classifier",
}  # fmt: skip
# How the names of options begin that say where a run goes, how it is watched, or what the card tells elsewhere.
UNTOLD = (
    "do_train", "do_eval", "eval_", "validation_file", "metric_for_", "greater_is_", "load_best_", "save_", "logging_",
    "report_to", "run_name", "project", "train_file", "dataset_name", "model_name_or_path", "trust_remote_code",
    "label_names", "use_cpu", "ddp_", *NOT_COMPARED,
)  # fmt: skip


def write_model_card(
    folder: str | Path,
    model: SentenceModel,
    options: dict[str, Any],
    *,
    examples: int,
    scores: dict[str, Any],
    name: str | None = None,
) -> None:
    """Writes the model card of a training run.

    Args:
        folder: where the model is saved.
        model: the trained one.
        options: of the run, resolved, by name: what `arguments.json` holds.
        examples: how many it was trained on.
        scores: dev scores of the step that is saved, `eval_*` by name, and `step`; empty without any.
        name: the model's Hub id, if it has one; else snippets name the folder.
    """
    folder = Path(folder)
    name = name or folder.absolute().name
    base, data, files = options["model_name_or_path"], options.get("dataset_name"), options["train_file"]
    files = [files] if isinstance(files, str) else files
    pooler, licence = options["pooler_type"], _licence(options)
    dev_pooler = "cls_before_pooler" if pooler == "cls" and options["mlp_only_train"] else pooler
    results = _results(scores, dev_pooler)
    front = ModelCardData(
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=[*TAGS, "simcse" if options["variant"] == "simcse" else "mixcse"],
        base_model=base if _on_hub(base) else None,
        datasets=[data] if _on_hub(data) else None,
        eval_results=results or None,
        model_name=name if results else None,
        **licence,
    )
    card = ModelCard.from_template(
        front,
        template_path=str(TEMPLATE),
        name=name,
        base=_name_of(base),
        licence=None if licence == UNKNOWN else licence["license"],
        model=model,
        options=options,
        changed=_changed(options),
        scores=scores,
        dev_pooler=dev_pooler,
        curves=(folder / CURVES_FILE).is_file(),
        files=[_name_of(data)] if data else [Path(file).name for file in files],
        examples=examples,
        versions={package: version(package) for package in ("torch", "transformers")} | {"mixcse": mixcse.__version__},
        citation=CITATION.rstrip(),
        plain=_plain,
        code=_code,
        repr=repr,
    )
    write_text(folder / MODEL_CARD_FILE, f"{card}\n")


def _on_hub(name: str | None) -> bool:
    """Whether it is a Hub id: what is there is not looked for on the Hub."""
    if not name or Path(name).exists():
        return False
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _name_of(name_or_path: str) -> str:
    """What to call a model or data: of a path, its last part."""
    return name_or_path if _on_hub(name_or_path) else Path(name_or_path).absolute().name


def _licence(options: dict[str, Any]) -> dict[str, str]:
    """The base model's, for weights derived from it, in the Hub's terms; `UNKNOWN` if no card states it."""
    name = options["model_name_or_path"]
    at = {"revision": options["model_revision"], "cache_dir": options["cache_dir"]}
    try:
        file = hf_hub_download(name, MODEL_CARD_FILE, **at) if _on_hub(name) else Path(name) / MODEL_CARD_FILE
        stated = ModelCard(Path(file).read_text(encoding="utf-8"), ignore_metadata_errors=True).data.to_dict()
    except Exception:  # no card, no network, front matter that is no YAML: nothing is known
        return UNKNOWN
    known = ("license", "license_name", "license_link")
    found = {key: stated[key] for key in known if isinstance(stated.get(key), str)}
    return found if "license" in found and found.get("license_name") != "unknown" else UNKNOWN


def _results(scores: dict[str, Any], pooler: str) -> list[EvalResult]:
    """The Hub's `model-index`: correlations and accuracies; other numbers are in the text alone."""
    sets = {f"eval_{metric}": (data, 1, SIMILARITY) for metric, data in DEV_SETS.items()}
    sets |= {f"eval_{task}": (task, 100, CLASSIFICATION) for task in TRANSFER_TASKS}
    return [
        EvalResult(
            dataset_type=data.lower().replace(" ", "-"),
            dataset_name=data,
            dataset_split="dev",
            metric_value=round(scores[metric] / most, 6),
            metric_args={"step": scores["step"], "pooler": pooler},
            **kind,
        )
        for metric, (data, most, kind) in sets.items()
        if isinstance(scores.get(metric), int | float)
    ]


def _changed(options: dict[str, Any]) -> dict[str, Any]:
    """The options that are not as they are by default, without folders."""
    changed = {}
    for name, default in default_options().items():
        value = options.get(name, default)
        # What transformers made of "not given" is no change, but a dropout of 0.0 is.
        given = bool(value or default or isinstance(value, float)) and not isinstance(value, dict)
        if given and value != default and not name.startswith(UNTOLD):
            is_path = isinstance(value, str) and Path(value).is_absolute()
            changed[name] = Path(value).name if is_path else value
    return changed


def _plain(value: Any) -> str:
    """Markdown that shows a value letter for letter."""
    return re.sub(r"([\\`*_{}\[\]()<>#|~&!$])", r"\\\1", " ".join(str(value).split()))


def _code(value: Any) -> str:
    """A code span with a value in it, in a table as well: a backtick would end the one, a bar the other."""
    text = " ".join(str(value).split()).replace("`", "'").replace("|", r"\|")
    return f"`{text}`"
