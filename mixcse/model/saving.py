"""What makes a trained folder a sentence-transformers one: `modules.json` and the modules that it lists.

That library takes a folder without them for mean pooling, in silence.  All names and keys are those of
its first versions, which today's still read.  An empty sentence is nothing there and a single space
here: the same tokens, unless the tokenizer has one for a space (RoBERTa's).
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mixcse.base.files import write_json

if TYPE_CHECKING:
    from mixcse.model.sentence_model import SentenceModel

MODULES_FILE = "modules.json"
TRANSFORMER_FILE = "sentence_bert_config.json"  # whatever the encoder is
MODULE_FOLDERS = ("1_Pooling", "1_WeightedLayerPooling", "2_Pooling", "2_Dense")
MODULE_FILES = ("config.json", "model.safetensors")
POOLING_MODES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")


@dataclass
class _Module:
    """One entry of `modules.json` after the encoder: class, its arguments, its parameters."""

    kind: str
    config: dict[str, Any]
    parameters: dict[str, Tensor] | None = None


def write_sentence_transformers_files(folder: str | Path, model: "SentenceModel", pooler: str) -> None:
    """Has `SentenceTransformer(folder)` embed as `SentenceEncoder(folder)` does; removes what another pooler left.

    Where that library has no modules for the pooler (`cls` with a head of a kind that it does not
    know), they are such that it refuses the folder, and says what loads it.

    Args:
        folder: where the encoder and its tokenizer are saved.
        pooler: one of `mixcse.names.POOLERS`: the one to test the model with.
    """
    folder = Path(folder)
    for name in MODULE_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    layered = pooler in ("avg_top2", "avg_first_last")
    write_json(
        folder / TRANSFORMER_FILE,
        {"max_seq_length": model.max_length, "do_lower_case": False}
        | ({"config_args": {"output_hidden_states": True}} if layered else {}),
    )
    listed = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for number, module in enumerate(_modules(model, pooler), 1):
        path = f"{number}_{module.kind}"
        write_json(folder / path / "config.json", module.config)
        if module.parameters is not None:
            save_file(module.parameters, folder / path / "model.safetensors")
        kind = f"sentence_transformers.models.{module.kind}"
        listed.append({"idx": number, "name": str(number), "path": path, "type": kind})
    write_json(folder / MODULES_FILE, listed)


def _modules(model: "SentenceModel", pooler: str) -> list[_Module]:
    dim = model.encoder.config.hidden_size
    if pooler == "cls_before_pooler":
        return [_pooling(dim, "cls_token")]
    if pooler == "avg":
        return [_pooling(dim, "mean_tokens")]
    if pooler == "avg_top2":
        return [_weighted_layers(model, [1, 1]), _pooling(dim, "mean_tokens")]
    if pooler == "avg_first_last":
        layers = model.encoder.config.num_hidden_layers
        weights = [1, *[0] * (layers - 2), 1] if layers > 1 else [1]
        return [_weighted_layers(model, weights), _pooling(dim, "mean_tokens")]
    dense = _head(model)
    if dense is None:
        why = f"pooler {pooler} of {type(model.encoder).__name__} has no module here; load it with SentenceEncoder"
        return [_Module("Pooling", {"word_embedding_dimension": dim, "pooling_mode": f"{why} (package mixcse)"})]
    return [_pooling(dim, "cls_token"), _dense(dense)]


def _pooling(dim: int, mode: str) -> _Module:
    # All modes are named: the mean is on where it is not switched off.
    modes = {f"pooling_mode_{name}": name == mode for name in POOLING_MODES}
    return _Module("Pooling", {"word_embedding_dimension": dim, **modes})


def _weighted_layers(model: "SentenceModel", weights: Sequence[float]) -> _Module:
    """The weighted mean of as many of the last hidden states; the first of all, number 0, is the embedding layer's."""
    layers = model.encoder.config.num_hidden_layers
    config = {
        "word_embedding_dimension": model.encoder.config.hidden_size, "num_hidden_layers": layers,
        "layer_start": layers + 1 - len(weights),
    }  # fmt: skip
    return _Module("WeightedLayerPooling", config, {"layer_weights": torch.tensor(weights, dtype=torch.float32)})


def _dense(linear: nn.Linear) -> _Module:
    config = {
        "in_features": linear.in_features, "out_features": linear.out_features, "bias": linear.bias is not None,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }  # fmt: skip
    parameters = {f"linear.{name}": tensor.detach().cpu().contiguous() for name, tensor in linear.named_parameters()}
    return _Module("Dense", config, parameters)


def _head(model: "SentenceModel") -> nn.Linear | None:
    """The linear layer of a trained `cls` head that is followed by tanh; None if there is no such head."""
    if not model.has_cls_head:
        return None
    if model.head is not None:
        return model.head[0]
    dense, activation = (getattr(model.encoder.pooler, name, None) for name in ("dense", "activation"))
    return dense if isinstance(dense, nn.Linear) and isinstance(activation, nn.Tanh) else None
