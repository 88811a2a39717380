"""Model folders, as `mixcse train` reads them; the other commands load them the same way."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    GPT2Config,
    GPT2Model,
    PreTrainedConfig,
    PreTrainedModel,
    T5Config,
    T5Model,
    ViTConfig,
    ViTModel,
)

from bad_input.case import TRAIN, Case, Place

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
WORDS, QUERY = "embeddings.word_embeddings.weight", "encoder.layer.0.attention.self.query.weight"


def _broken(name: str, breaks: Callable[[Path], Any], *says: str) -> Case:
    words = (*TRAIN, "--model_name_or_path", "{folder}/model")
    return Case(name, words, ("{folder}/model", *says), make=lambda place: breaks(place.copied_model()))


def _named(name: str, model: str, *says: str, make: Callable[[Place], Any] | None = None) -> Case:
    return Case(name, (*TRAIN, "--model_name_or_path", model), says, make=make)


def _without(*names: str) -> Callable[[Path], Any]:
    def breaks(model: Path) -> None:
        for path in [path for path in model.iterdir() if path.name in names]:
            path.unlink()

    return breaks


def _written(name: str, content: str | bytes) -> Callable[[Path], Any]:
    return lambda model: (model / name).write_bytes(content.encode() if isinstance(content, str) else content)


def _cut(length: int) -> Callable[[Path], Any]:
    return lambda model: (model / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes()[:length])


def _set(file: str = CONFIG, **values: Any) -> Callable[[Path], Any]:
    def breaks(model: Path) -> None:
        path = model / file
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return breaks


def _weights(change: Callable[[dict[str, torch.Tensor]], Any], **config: Any) -> Callable[[Path], Any]:
    """Weights that `change` has worked on, in place."""

    def breaks(model: Path) -> None:
        weights = {name: tensor.clone() for name, tensor in load_file(model / WEIGHTS).items()}
        change(weights)
        save_file(weights, model / WEIGHTS, metadata={"format": "pt"})
        _set(**config)(model)

    return breaks


def _architecture(kind: type[PreTrainedModel], config: PreTrainedConfig) -> Callable[[Path], Any]:
    """Another kind of model beside the tokenizer."""

    def breaks(model: Path) -> None:
        _without(WEIGHTS, CONFIG)(model)
        kind(config).save_pretrained(model)

    return breaks


class _Calls:
    """What a pickle of it would do on loading."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("from-the-pickle",)


def _pickle(model: Path) -> None:
    (model / WEIGHTS).unlink()
    torch.save({"x": _Calls()}, model / "pytorch_model.bin")


def _half_of_the_shards(model: Path) -> None:
    (model / WEIGHTS).unlink()
    index = {"metadata": {}, "weight_map": {WORDS: "model-00001-of-00002.safetensors"}}
    (model / f"{WEIGHTS}.index.json").write_text(json.dumps(index))


def _remote_code(model: Path) -> None:
    _set(model_type="mystery", auto_map={"AutoConfig": "theirs.Config", "AutoModel": "theirs.Model"})(model)
    (model / "theirs.py").write_text("import os\nos.mkdir('from-the-code')\n")


def _folder_for(name: str) -> Callable[[Path], Any]:
    def breaks(model: Path) -> None:
        (model / name).unlink()
        (model / name).mkdir()

    return breaks


SMALL = {"vocab_size": 100, "d_model": 16}
NAMES = [
    _named("a name there is not", "nobody-has-this-model", "no such folder, and the Hugging Face Hub did not give it"),
    _named("a path there is not", "{folder}/none/model", "no such folder", "check the name and the network"),
    _named("a name too long for the Hub", "x" * 97, "no such folder", "the maximum length is 96"),
    _named("a file", "{model}/config.json", "is a file; name the folder that holds config.json"),
    _named("an empty folder", "{folder}/new", "no config.json in it", make=lambda place: (place / "new").mkdir()),
]
CONFIGS = [
    _broken("config.json: not there", _without(CONFIG), "no config.json in it"),
    _broken("config.json: empty", _written(CONFIG, ""), "is not a valid JSON file"),
    _broken("config.json: an empty object", _written(CONFIG, "{}"), "not a usable model folder"),
    _broken("config.json: an unknown architecture", _set(model_type="mystery"), "mystery"),
    _broken(
        "config.json: code of their own",
        _remote_code,
        "it needs program code that it brings along",
        "--trust_remote_code",
    ),
    _broken("config.json: DistilBERT's, of BERT's weights", _set(model_type="distilbert"), "does its config.json"),
    _broken(
        "config.json: more layers than there are", _set(num_hidden_layers=5), "32 of the encoder's weights are not"
    ),
    _broken("config.json: another width", _set(hidden_size=32), "not a usable model folder"),
    _broken("config.json: a negative width", _set(hidden_size=-16), "not a usable model folder"),
    _broken("config.json: a dropout of 2", _set(hidden_dropout_prob=2.0), "dropout probability has to be between 0"),
    _broken("config.json: an unknown pooler", _set(sentence_pooler="none"), "records the unknown pooler 'none'"),
    _broken("config.json: BERT as a decoder", _set(is_decoder=True), "a decoder (bert)"),
]
WEIGHT_FILES = [
    _broken("weights: not there", _without(WEIGHTS), "no file named model.safetensors"),
    _broken("weights: empty", _written(WEIGHTS, ""), "header too small"),
    _broken("weights: cut in the middle", _cut(20_000), "not a usable model folder"),
    _broken(
        "weights: a pointer of git-lfs", _written(WEIGHTS, "version https://git-lfs.github.com"), "header too large"
    ),
    _broken("weights: half of the shards", _half_of_the_shards, "model-00001-of-00002.safetensors"),
    _broken(
        "weights: one missing",
        _weights(lambda w: w.pop(QUERY)),
        f"1 of the encoder's weights are not in it, such as {QUERY}",
    ),
    _broken("weights: NaN", _weights(lambda w: w[QUERY].fill_(torch.nan)), f"NaN or infinity, first in {QUERY}"),
    _broken(
        "weights: of another vocabulary",
        _weights(lambda w: w.update({WORDS: w[WORDS][:20].clone()})),
        "not a usable model folder",
    ),
    _broken("weights: a pickle that runs something", _pickle, "a pickle that is damaged or holds more than tensors"),
    _broken("heads: damaged", _written("mixcse_heads.safetensors", "xx"), "mixcse_heads.safetensors is damaged"),
    _broken(
        "heads: of another width",
        lambda model: save_file({"head.0.weight": torch.ones(2, 2)}, model / "mixcse_heads.safetensors"),
        "mixcse_heads.safetensors does not fit the encoder",
    ),
]
TOKENIZERS = [
    _broken("tokenizer: not there", _without(TOKENIZER, "tokenizer_config.json", "vocab.txt"), "no tokenizer in it"),
    _broken("tokenizer: empty", _written(TOKENIZER, ""), "its tokenizer cannot be read"),
    _broken(
        "tokenizer: options that are broken", _written("tokenizer_config.json", "{"), "its tokenizer cannot be read"
    ),
    _broken("tokenizer: no padding", _set("tokenizer_config.json", pad_token=None), "has no padding token; set"),
    _broken(
        "tokenizer: more words than embeddings",
        _weights(lambda w: w.update({WORDS: w[WORDS][:20].clone()}), vocab_size=20),
        "its encoder embeds 20 of them; they are not of one model",
    ),
]
KINDS = [
    _broken(
        "a decoder",
        _architecture(GPT2Model, GPT2Config(vocab_size=100, n_embd=16, n_layer=1, n_head=2, n_positions=64)),
        "a decoder (gpt2), whose first token sees nothing of a sentence: pooler cls has nothing to read; choose last",
    ),
    _broken(
        "an encoder and a decoder: T5",
        _architecture(T5Model, T5Config(**SMALL, d_kv=8, d_ff=32, num_layers=1, num_heads=2)),
        "an encoder and a decoder (t5)",
    ),
    _broken(
        "a model of images",
        _architecture(
            ViTModel,
            ViTConfig(
                hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32
            ),
        ),
        "ViTModel is no encoder of text",
    ),
]  # fmt: skip
CASES = [*NAMES, *CONFIGS, *WEIGHT_FILES, *TOKENIZERS, *KINDS]
