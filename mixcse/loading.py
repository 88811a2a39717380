"""An encoder and its tokenizer from a folder or the Hub; for the user, whatever fails there is one kind of error."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.utils import logging

from mixcse.console import UserError, first_line

# Where nothing is said, transformers asks on standard input, and takes a line of data for the answer.
NO_REMOTE_CODE = {"trust_remote_code": False}
# Probabilities in a config.json that act within the encoder, not in a classifier on top of it.
DROPOUT = re.compile(r"(?!.*(classif|qa_|summary|pooler)).*(dropout(_prob)?|_pdrop)")


def load_encoder(
    name: str, *, dropout: float | None = None, **hub: Any
) -> tuple[PreTrainedModel, Tokenizer, list[str]]:
    """The encoder in float32, its tokenizer, and the names of its pooler's weights if they are not there.

    Args:
        dropout: the probability of all its dropout; None leaves it as it is.
        hub: `revision`, `cache_dir`, `trust_remote_code`, as for `AutoModel`; code that the model brings along
            is not run unless this says so.

    Raises:
        UserError: nothing loadable is there, weights are missing that are not the pooler's, or
            it is no encoder whose tokens see each other, or one that needs code of its own.
    """
    hub = NO_REMOTE_CODE | hub
    try:
        config = AutoConfig.from_pretrained(name, **hub)
        tokenizer = AutoTokenizer.from_pretrained(name, **hub)
    except Exception as error:  # damaged files raise nearly anything
        raise UserError(_why_not_loaded(name, error)) from error
    if config.is_encoder_decoder:
        raise UserError(f"{name}: an encoder and a decoder ({config.model_type}); only models that encode can be used")
    if dropout is not None:
        _set_dropout(name, config, dropout)
    try:
        with _without_loading_bar():
            encoder, info = AutoModel.from_pretrained(
                name, config=config, dtype=torch.float32, output_loading_info=True, **hub
            )
    except Exception as error:
        raise UserError(_why_not_loaded(name, error)) from error
    if Path(name).is_dir() and not any((Path(name) / file).is_file() for file in _tokenizer_files(tokenizer)):
        raise UserError(f"{name}: no tokenizer in it ({' or '.join(_tokenizer_files(tokenizer))})")
    missing = sorted(info["missing_keys"])
    if lost := [key for key in missing if not key.startswith("pooler.")]:
        raise UserError(f"{name}: {len(lost)} of the encoder's weights are not in it, such as {lost[0]}")
    if _is_causal(name, encoder):
        raise UserError(
            f"{name}: a decoder ({config.model_type}), whose tokens see only what is before them; choose an encoder, "
            "such as bert-base-uncased"
        )
    if tokenizer.pad_token is None:
        raise UserError(f"{name}: its tokenizer has no padding token; set tokenizer.pad_token and save it there")
    return encoder, tokenizer, missing


def hub_commit(name: str, revision: str | None = None, cache_dir: str | None = None) -> str | None:
    """The commit that a Hub model was loaded from, whatever its revision is called; None of a folder."""
    if Path(name).exists():
        return None
    file = try_to_load_from_cache(name, "config.json", cache_dir=cache_dir, revision=revision)
    return Path(file).parent.name if isinstance(file, str) else None


@contextmanager
def _without_loading_bar() -> Iterator[None]:
    """Transformers shows one for weights that are read in a moment, in a file as well; the Hub's are left alone."""
    before = logging.set_tqdm_hook(lambda bar, args, options: bar(*args, **options | {"disable": True}))
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


def _set_dropout(name: str, config: PreTrainedConfig, probability: float) -> None:
    fields = [field for field in config.to_dict() if DROPOUT.fullmatch(field)]
    if not fields:
        raise UserError(f"--dropout: the config.json of {name} has no dropout probability; leave it out")
    for field in fields:
        setattr(config, field, probability)


def _is_causal(name: str, encoder: PreTrainedModel) -> bool:
    """Whether a first token is the same whatever follows it: poolers would read nothing from it."""
    pad = getattr(encoder.config, "pad_token_id", None)
    one, other, *_ = (token for token in range(4) if token != pad)
    ids = torch.tensor([[one, one, one], [one, one, other]])
    try:
        with torch.no_grad():
            first = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
    except Exception as error:  # of whatever takes no tokens
        raise UserError(f"{name}: {type(encoder).__name__} is no encoder of text ({first_line(error)})") from error
    return torch.allclose(first[0], first[1], rtol=1e-6, atol=1e-6)


def _tokenizer_files(tokenizer: Tokenizer) -> list[str]:
    # Without them transformers makes up a vocabulary of special tokens, in silence.
    return sorted({"tokenizer.json", *tokenizer.vocab_files_names.values()})


def _why_not_loaded(name: str, error: Exception) -> str:
    if "trust_remote_code" in str(error):
        return (
            f"{name}: it needs program code that it brings along, which is not run; read it, and if you trust it "
            "give --trust_remote_code (trust_remote_code=True)"
        )
    reason = first_line(error)
    if Path(name).is_dir():
        return f"{name}: not a usable model folder ({reason})"
    return (
        f"{name}: no such folder, and the Hugging Face Hub did not give it ({reason}); "
        "check the name and the network, or pass a local folder with config.json, tokenizer and weights"
    )
