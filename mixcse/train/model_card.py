"""`README.md` of a trained folder: the model card that the Hugging Face Hub shows, without any path of this machine."""

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.utils import HFValidationError, validate_repo_id

import mixcse
from mixcse.base.files import write_text
from mixcse.model.sentence_model import SentenceModel
from mixcse.names import CITATION, POOLERS
from mixcse.options import ModelArguments
from mixcse.train.folder import CARD_FILE, CURVES_FILE, changed_options

TEMPLATE = Path(mixcse.__file__).with_name("report") / "templates" / "model_card.md"
TAGS = ["sentence-transformers", "sentence-similarity", "feature-extraction", "contrastive-learning"]


def write_model_card(
    folder: Path,
    model: SentenceModel,
    model_args: ModelArguments,
    options: dict[str, Any],
    *,
    examples: int,
    scores: dict[str, Any],
    name: str | None,
) -> None:
    """Write the model card of a training run.

    Args:
        folder: where the model is saved.
        options: all options of the run by name, as in `arguments.json`.
        examples: the number of training examples.
        scores: dev scores of the saved step (`eval_*`) and its `step`; empty without any.
        name: the model's Hub id, if it has one; else the snippets name the folder.
    """
    base, data, files = model_args.model_name_or_path, options["dataset_name"], options["train_file"]
    licence = _licence(base)
    front = ModelCardData(
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=[*TAGS, "simcse" if model_args.variant == "simcse" else "mixcse"],
        base_model=_hub_id(base),
        datasets=[data] if _hub_id(data) else None,
        license=licence or "other",
    )
    card = ModelCard.from_template(
        front,
        template_path=str(TEMPLATE),
        name=name or folder.absolute().name,
        base=_hub_id(base) or Path(base).absolute().name,
        licence=licence,
        model=model,
        poolers=POOLERS,
        options=options,
        changed=changed_options(options),
        scores=scores,
        dev_pooler=model_args.dev_pooler,
        curves=(folder / CURVES_FILE).is_file(),
        data=_hub_id(data) or data and Path(data).absolute().name,
        files=[Path(file).name for file in ([files] if isinstance(files, str) else files or ())],
        examples=examples,
        versions={package: version(package) for package in ("torch", "transformers")} | {"mixcse": mixcse.__version__},
        citation=CITATION.rstrip(),
        plain=_plain,
        code=_code,
        repr=repr,
    )
    write_text(folder / CARD_FILE, f"{card}\n")


def _hub_id(name: str | None) -> str | None:
    """Return the name if it can be a Hub id and is no path here, else None."""
    try:
        validate_repo_id(name or "")
    except HFValidationError:
        return None
    return None if Path(name).exists() else name


def _licence(base: str) -> str | None:
    """Return the base model's licence by the Hub's names; None if its card is not at hand or states none of them."""
    try:
        card = ModelCard.load(Path(base) / CARD_FILE if Path(base).is_dir() else base, ignore_metadata_errors=True)
    except Exception:  # no card, no network, front matter that is not YAML
        return None
    stated = card.data.get("license")
    return stated if isinstance(stated, str) and stated != "other" else None


def _plain(value: Any) -> str:
    """Return Markdown that shows a value letter for letter."""
    return re.sub(r"([\\`*_{}\[\]()<>#|~&!$])", r"\\\1", " ".join(str(value).split()))


def _code(value: Any) -> str:
    """Return a code span with a value, also for a table: a backtick would end the span, a bar the column."""
    text = " ".join(str(value).split()).replace("`", "'").replace("|", r"\|")
    return f"`{text}`"
