"""What a `SentenceEncoder` takes where nothing is asked for, and whether what is asked for can be."""

import torch

from mixcse.base.console import once, say, warn
from mixcse.base.errors import UserError, first_line
from mixcse.model.modules import Settings
from mixcse.model.saving import PROMPTS_FILE
from mixcse.model.sentence_model import SentenceModel
from mixcse.names import SHORTEST_INPUT


def move(model: SentenceModel, device: str | torch.device | None) -> None:
    """Move a model; without a device, to the GPU if there is one.

    Raises:
        UserError: the device cannot be used.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model.to(device)
        float(next(model.parameters()).detach().sum())  # the device "meta" computes no numbers
    except Exception as error:  # torch has many kinds for a device that is not there
        raise UserError(f"device {str(device)!r} cannot be used: {first_line(error)}") from error


def choose_length(model: SentenceModel, asked: int | None) -> int:
    limit = model.max_length
    if asked is None:
        return limit
    if not SHORTEST_INPUT <= asked <= limit:
        raise UserError(f"max_seq_length {asked} is outside {SHORTEST_INPUT} to {limit}, this model's limit")
    return asked


def default_pooler(model: SentenceModel) -> str:
    """What a model is pooled by that says nothing of it: the last token of a decoder, the first one of others."""
    return "last" if model.is_causal else "cls_before_pooler"  # released script: --pooler cls_before_pooler


def choose_pooler(name: str, asked: str | None, said: tuple[str | None, str], default: str) -> str:
    recorded, where = said
    if asked and recorded and asked != recorded:
        once(warn, f"{name} is to be used with pooler {recorded}, {where}; using {asked}, as asked")
        return asked
    source = "as asked" if asked else where if recorded else "the default"
    pooler = asked or recorded or default
    once(say, f"{name}: pooler {pooler} ({source})")
    return pooler


def warn_of_similarity(name: str, settings: Settings | None) -> None:
    """Says it of a model whose sentences are to be compared otherwise than by what scores are here."""
    if settings and settings.similarity:
        what = f"{name} was trained for another similarity, {settings.similarity}, as its {PROMPTS_FILE} says"
        once(warn, f"{what}; scores here are cosines")
