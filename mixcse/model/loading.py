"""An encoder and its tokenizer from a folder or the Hub; for the user, whatever fails there is one kind of error."""

import os
import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.utils import get_session
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from mixcse.base.console import once, say
from mixcse.base.errors import UserError, first_line

# Where nothing is said, transformers asks on standard input, and takes a line of data for the answer.
NO_REMOTE_CODE = {"trust_remote_code": False}
# Probabilities in a config.json that act within the encoder, not in a classifier on top of it.
DROPOUT = re.compile(r"(?!.*(classif|qa_|summary|pooler)).*(dropout(_prob)?|_pdrop)")
PADDING_TOKEN = "<pad>"
UNLIMITED, LARGEST = 512, 10**6  # tokens taken where no limit is named; a tokenizer's larger number is none
# In checkpoints of SimCSE's and MixCSE's own code (BertForCL, RobertaForCL) the `cls` head lies beside the encoder.
SIMCSES_HEAD = {r"^mlp\.dense\.": "pooler.dense."}
HUB_TIMEOUT = 5  # seconds


def load_encoder(
    name: str,
    *,
    dropout: float | None = None,
    usual_dropout: float | None = None,
    dtype: torch.dtype = torch.float32,
    **hub: Any,
) -> tuple[PreTrainedModel, Tokenizer, list[str]]:
    """The encoder, its tokenizer, and the names of its pooler's weights if they are not there.

    A decoder without a padding token pads with the one that ends a text, or with a new one; that is said.

    Args:
        dropout: the probability of all its dropout; None leaves it as it is.
        dtype: of the weights.
        usual_dropout: the same where none is asked for and the encoder has none switched on; that is said.
        hub: `revision`, `cache_dir`, `trust_remote_code`, as for `AutoModel`; code that the model brings along
            is not run unless this says so.

    Raises:
        UserError: nothing loadable is there, weights are missing that are not the pooler's or are not finite, the
            tokenizer is another model's, or it is no encoder of text, or needs code of its own.
    """
    if not name.strip():
        raise UserError("the name of the model is empty; give a folder or the name of a Hub model")
    if os.path.isfile(name):
        raise UserError(f"{name} is a file; name the folder that holds config.json, tokenizer and weights")
    if os.path.isdir(name) and not os.path.isfile(os.path.join(name, "config.json")):
        if os.path.isfile(os.path.join(name, "adapter_config.json")):
            raise UserError(
                f"{name} is an adapter (adapter_config.json), not a model: merge it into its base model with peft "
                "(merge_and_unload, save_pretrained) and name that folder"
            )
        raise UserError(f"{name}: no config.json in it; a model's folder holds config.json, tokenizer and weights")
    hub = options_for(name, hub)
    what = ""
    try:
        config = AutoConfig.from_pretrained(name, **hub)
        what = "its tokenizer cannot be read: "
        tokenizer = AutoTokenizer.from_pretrained(name, **hub)
        what = ""
        if config.is_encoder_decoder:
            raise UserError(
                f"{name}: an encoder and a decoder ({config.model_type}); a model that is one of them can be used"
            )
        _set_dropout(name, config, dropout, usual_dropout)
        renamed = SIMCSES_HEAD if any(kind.endswith("ForCL") for kind in config.architectures or ()) else None
        encoder, info = AutoModel.from_pretrained(
            name, config=config, dtype=dtype, key_mapping=renamed, output_loading_info=True, **for_weights(hub)
        )
    except UserError:
        raise
    except Exception as error:  # damaged files raise nearly anything
        raise UserError(_why_not_loaded(name, error, what)) from error
    if os.path.isdir(name) and not any((Path(name) / file).is_file() for file in _tokenizer_files(tokenizer)):
        raise UserError(f"{name}: no tokenizer in it ({' or '.join(_tokenizer_files(tokenizer))})")
    missing = sorted(info["missing_keys"])
    if lost := [key for key in missing if not key.startswith("pooler.")]:
        raise UserError(
            f"{name}: {len(lost)} of the encoder's weights are not in it, such as {lost[0]}; does its config.json "
            f"({config.model_type}) belong to these weights?"
        )
    if tokenizer.pad_token is None and is_causal(encoder):
        _add_padding(name, tokenizer, encoder)
    _check_tokenizer(name, tokenizer, encoder)
    if bad := next((key for key, tensor in encoder.named_parameters() if not tensor.isfinite().all()), None):
        raise UserError(
            f"{name}: its weights hold NaN or infinity, first in {bad}; the file is damaged, or its training "
            "diverged: take another checkpoint"
        )
    return encoder, tokenizer, missing


def longest_input(encoder: PreTrainedModel, tokenizer: Tokenizer) -> int:
    """Return how many tokens encoder and tokenizer take, special ones included; `UNLIMITED` if neither has a limit."""
    named = getattr(encoder.config, "max_position_embeddings", None) or 0
    limit = named if named > 0 else UNLIMITED if tokenizer.model_max_length > LARGEST else tokenizer.model_max_length
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa's kind counts positions from padding_idx + 1.
            limit = module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return min(limit, tokenizer.model_max_length)


def load_heads(file: Path) -> dict[str, Tensor]:
    """The tensors of heads that lie beside an encoder; none where there is no such file."""
    try:
        return load_file(file) if file.is_file() else {}
    except Exception as error:  # safetensors has its own kinds
        raise UserError(f"{file} is damaged ({error})") from error


def options_for(name: str, hub: dict[str, Any]) -> dict[str, Any]:
    """What to load a model with, besides what `hub` says: without its code, and without the Hub if it is not there.

    Whether the Hub is there is asked once: not if `hub` has `local_files_only`.
    """
    if "local_files_only" not in hub:
        is_path = os.path.isdir(name) or name.startswith((".", "/", "~")) or name.count("/") > 1
        hub = hub | {"local_files_only": not os.path.isdir(name) and (is_path or not hub_answers())}
    return NO_REMOTE_CODE | hub


def for_weights(options: dict[str, Any]) -> dict[str, Any]:
    """The same for `AutoModel`, which looks for adapters with options of their own."""
    if not options.get("local_files_only"):
        return options
    return options | {
        "adapter_kwargs": {key: options[key] for key in ("local_files_only", "cache_dir") if key in options}
    }


def hub_answers() -> bool:
    """Whether the Hub can be reached, by a single request."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT)
    except Exception:  # of the network; there are many kinds
        return False
    return True


def _check_tokenizer(name: str, tokenizer: Tokenizer, encoder: PreTrainedModel) -> None:
    """Raises UserError if it cannot pad or gives tokens that the encoder does not know."""
    if tokenizer.pad_token is None:
        raise UserError(f"{name}: its tokenizer has no padding token; set tokenizer.pad_token and save it there")
    if any(tokenizer("a b", verbose=False).get("token_type_ids", [])):
        raise UserError(
            f"{name}: its tokenizer gives tokens of several types ({encoder.config.model_type}), "
            "which are not known here"
        )
    rows = getattr(encoder.get_input_embeddings(), "num_embeddings", None)
    if rows is not None and (last := max(tokenizer.get_vocab().values())) >= rows:
        raise UserError(
            f"{name}: its tokenizer has tokens up to number {last}, its encoder embeds {rows} of them; "
            "they are not of one model"
        )


def hub_commit(name: str, revision: str | None = None, cache_dir: str | None = None) -> str | None:
    """The commit that a Hub model was loaded from, whatever its revision is called; None of a folder."""
    if Path(name).exists():
        return None
    file = try_to_load_from_cache(name, "config.json", cache_dir=cache_dir, revision=revision)
    return Path(file).parent.name if isinstance(file, str) else None


def dropout_fields(config: PreTrainedConfig) -> list[str]:
    """The names of the probabilities of dropout within the encoder."""
    return [field for field in config.to_dict() if DROPOUT.fullmatch(field)]


def _set_dropout(name: str, config: PreTrainedConfig, asked: float | None, usual: float | None) -> None:
    fields = dropout_fields(config)
    if asked is not None and not fields:
        raise UserError(f"--dropout: the config.json of {name} has no dropout probability; leave it out")
    if asked is None and usual and fields and not any(getattr(config, field) for field in fields):
        say(f"{name} has no dropout switched on; it is trained with --dropout {usual}, so that two views differ")
        asked = usual
    if asked is not None:
        for field in fields:
            setattr(config, field, asked)


def is_causal(encoder: PreTrainedModel) -> bool:
    """Whether it is a decoder, whose first token is the same whatever follows it.

    Raises:
        UserError: it takes no tokens.
    """
    pad = getattr(encoder.config, "pad_token_id", None)
    one, other, *_ = (token for token in range(4) if token != pad)
    ids = torch.tensor([[one, one, one], [one, one, other]], device=encoder.device)
    in_training = [module for module in encoder.modules() if module.training]
    try:
        with torch.no_grad():
            first = encoder.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, 0]
    except Exception as error:  # of whatever takes no tokens
        what = f"{encoder.name_or_path}: {type(encoder).__name__} is no encoder of text, or takes none this short"
        raise UserError(f"{what} ({first_line(error)})") from error
    finally:
        for module in in_training:
            module.training = True
    return torch.allclose(first[0], first[1], rtol=1e-6, atol=1e-6)


def _add_padding(name: str, tokenizer: Tokenizer, encoder: PreTrainedModel) -> None:
    if tokenizer.eos_token is None:
        tokenizer.add_special_tokens({"pad_token": PADDING_TOKEN})
        if len(tokenizer) > encoder.get_input_embeddings().num_embeddings:
            encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        once(say, f"{name}: its tokenizer has no padding token; {PADDING_TOKEN} is added")
    else:
        tokenizer.pad_token = tokenizer.eos_token
        once(say, f"{name}: its tokenizer has no padding token; {tokenizer.eos_token}, which ends a text, is taken")


def _tokenizer_files(tokenizer: Tokenizer) -> list[str]:
    # Without them transformers makes up a vocabulary of special tokens, in silence.
    return sorted({"tokenizer.json", *tokenizer.vocab_files_names.values()})


def _why_not_loaded(name: str, error: Exception, what: str = "") -> str:
    if "trust_remote_code" in str(error):
        return (
            f"{name}: it needs program code that it brings along, which is not run; read it, and if you trust it "
            "give --trust_remote_code (trust_remote_code=True)"
        )
    reason = " ".join(str(error).split())
    if isinstance(error, KeyError) or not reason:
        reason = f"{type(error).__name__}: {reason}"
    if type(error).__name__ == "UnpicklingError":  # torch's message names a way to run what is in it
        reason = "a pickle that is damaged or holds more than tensors, which is not loaded; take one of safetensors"
    if os.path.isdir(name):
        return f"{name}: not a usable model folder ({what}{reason})"
    return (
        f"{name[:100]}: no such folder, and the Hugging Face Hub did not give it ({what}{reason}); "
        "check the name and the network, or pass a local folder with config.json, tokenizer and weights"
    )
