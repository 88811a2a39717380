"""What makes a trained folder a sentence-transformers one: `modules.json` and the modules that it lists.

That library takes a folder without them for mean pooling, in silence.  All names and keys are those of
its first versions, which today's still read.  An empty sentence is nothing there and a single space
here: the same tokens, unless the tokenizer has one for a space (RoBERTa's).
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedConfig

from mixcse.base.files import write_json

MODULES_FILE = "modules.json"
TRANSFORMER_FILE = "sentence_bert_config.json"  # whatever the encoder is
PROMPTS_FILE = "config_sentence_transformers.json"
MODULE_FOLDERS = ("1_Pooling", "1_WeightedLayerPooling", "2_Pooling", "2_Dense")
HEADS_FILE = "mixcse_heads.safetensors"  # weights that an encoder of this kind has no place for
TOKENIZER_FILES = (  # whatever the tokenizer is
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model",
    "spm_char.model", "spm.model", "sentencepiece.model", "prophetnet.tokenizer", "entity_vocab.json", "emoji.json",
    "dict.txt", "byte_maps.json",
)  # fmt: skip
# All that `SentenceModel.save_pretrained` may write, but adapters.
MODEL_FILES = (
    "config.json", "model.safetensors", HEADS_FILE, *TOKENIZER_FILES, MODULES_FILE, TRANSFORMER_FILE, PROMPTS_FILE,
    *(f"{folder}/{file}" for folder in MODULE_FOLDERS for file in ("config.json", "model.safetensors")),
)  # fmt: skip
POOLING_MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
MODES = {"cls_before_pooler": "cls_token", "avg": "mean_tokens", "max": "max_tokens", "last": "lasttoken"}
NO_MODULE = "pooler cls of "  # how the mode begins that it refuses, where it has none
LIBRARY = "sentence_transformers.models"

Module = tuple[str, dict[str, Any], dict[str, Tensor]]  # class, its arguments, its parameters


def write_sentence_transformers_files(
    folder: str | Path,
    config: PreTrainedConfig,
    *,
    max_length: int,
    pooler: str,
    head: nn.Linear | None,
    prompt: str = "",
    include_prompt: bool = True,
    lower_case: bool = False,
) -> None:
    """Has `SentenceTransformer(folder)` embed as `SentenceEncoder(folder)` does; removes what another pooler left.

    Where that library has no modules for the pooler (`cls` with a head of a kind that it does not
    know), they are such that it refuses the folder, and says what loads it.

    Args:
        folder: where the encoder and its tokenizer are saved.
        config: the encoder's.
        max_length: in tokens.
        pooler: one of `mixcse.names.POOLERS`: the one to test the model with.
        head: the linear layer of a trained `cls` head that is followed by tanh, if there is one.
        prompt: before each text.
        include_prompt: whether its tokens are pooled too.
        lower_case: whether texts are lower-cased.
    """
    folder = Path(folder)
    (folder / PROMPTS_FILE).unlink(missing_ok=True)
    if prompt:
        write_json(folder / PROMPTS_FILE, {"prompts": {"default": prompt}, "default_prompt_name": "default"})
    for name in MODULE_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    layered = {"config_args": {"output_hidden_states": True}} if pooler in ("avg_top2", "avg_first_last") else {}
    write_json(folder / TRANSFORMER_FILE, {"max_seq_length": max_length, "do_lower_case": lower_case} | layered)
    listed = [{"idx": 0, "name": "0", "path": "", "type": f"{LIBRARY}.Transformer"}]
    for number, (kind, arguments, parameters) in enumerate(_modules(config, pooler, head), 1):
        path = f"{number}_{kind}"
        if kind == "Pooling" and not include_prompt:
            arguments["include_prompt"] = False
        write_json(folder / path / "config.json", arguments)
        if parameters:
            save_file(parameters, folder / path / "model.safetensors")
        listed.append({"idx": number, "name": str(number), "path": path, "type": f"{LIBRARY}.{kind}"})
    write_json(folder / MODULES_FILE, listed)


def _modules(config: PreTrainedConfig, pooler: str, head: nn.Linear | None) -> list[Module]:
    dim, layers = config.hidden_size, config.num_hidden_layers
    if pooler in MODES:
        return [_pooling(dim, MODES[pooler])]
    if pooler == "cls" and head is not None:
        return [_pooling(dim, "cls_token"), _dense(head)]
    if pooler == "cls":
        why = f"{NO_MODULE}{config.model_type} has no module here; load it with SentenceEncoder (package mixcse)"
        return [("Pooling", {"word_embedding_dimension": dim, "pooling_mode": why}, {})]
    return [_weighted_layers(config, layer_weights(pooler, layers)), _pooling(dim, MODES["avg"])]


def layer_weights(pooler: str, layers: int) -> list[int]:
    """Of as many of the last hidden states, for `avg_top2` and `avg_first_last`."""
    if pooler == "avg_top2":
        return [1, 1]
    return [1, *[0] * (layers - 2), 1] if layers > 1 else [1]


def _pooling(dim: int, mode: str) -> Module:
    # All modes are named: the mean is on where it is not switched off.
    modes = {f"pooling_mode_{name}": name == mode for name in dict.fromkeys([*POOLING_MODES, mode])}
    return "Pooling", {"word_embedding_dimension": dim, **modes}, {}


def _weighted_layers(config: PreTrainedConfig, weights: Sequence[float]) -> Module:
    """The weighted mean of as many of the last hidden states; the first of all, number 0, is the embedding layer's."""
    layers = config.num_hidden_layers
    arguments = {
        "word_embedding_dimension": config.hidden_size, "num_hidden_layers": layers,
        "layer_start": layers + 1 - len(weights),
    }  # fmt: skip
    return "WeightedLayerPooling", arguments, {"layer_weights": torch.tensor(weights, dtype=torch.float32)}


def _dense(linear: nn.Linear) -> Module:
    arguments = {
        "in_features": linear.in_features, "out_features": linear.out_features, "bias": linear.bias is not None,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }  # fmt: skip
    parameters = {f"linear.{name}": tensor.detach().cpu().contiguous() for name, tensor in linear.named_parameters()}
    return "Dense", arguments, parameters
