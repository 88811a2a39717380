"""An encoder and its tokenizer from a folder or the Hub; for the user, whatever fails there is one kind of error."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from mixcse.console import UserError, first_line


def load_encoder(name: str, **hub: Any) -> tuple[PreTrainedModel, Tokenizer, list[str]]:
    """The encoder in float32, its tokenizer, and the names of its pooler's weights if they are not there.

    Args:
        hub: `revision`, `cache_dir`, `trust_remote_code`, as for `AutoModel`.

    Raises:
        UserError: nothing loadable is there, or weights are missing that are not the pooler's.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **hub)
        encoder, info = AutoModel.from_pretrained(name, dtype=torch.float32, output_loading_info=True, **hub)
    except Exception as error:  # damaged files raise nearly anything
        raise UserError(_why_not_loaded(name, error)) from error
    if Path(name).is_dir() and not any((Path(name) / file).is_file() for file in _tokenizer_files(tokenizer)):
        raise UserError(f"{name}: no tokenizer in it ({' or '.join(_tokenizer_files(tokenizer))})")
    missing = sorted(info["missing_keys"])
    if lost := [key for key in missing if not key.startswith("pooler.")]:
        raise UserError(f"{name}: {len(lost)} of the encoder's weights are not in it, such as {lost[0]}")
    return encoder, tokenizer, missing


def _tokenizer_files(tokenizer: Tokenizer) -> list[str]:
    # Without them transformers makes up a vocabulary of special tokens, in silence.
    return sorted({"tokenizer.json", *tokenizer.vocab_files_names.values()})


def _why_not_loaded(name: str, error: Exception) -> str:
    reason = first_line(error)
    if Path(name).is_dir():
        return f"{name}: not a usable model folder ({reason})"
    return (
        f"{name}: no such folder, and the Hugging Face Hub did not give it ({reason}); "
        "check the name and the network, or pass a local folder with config.json, tokenizer and weights"
    )
