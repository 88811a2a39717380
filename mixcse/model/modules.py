"""What a sentence-transformers folder says of itself in `modules.json` and beside it: how it is to be used.

Pooling, length limit, what follows the pooling, and the prompt before each text.  What has no counterpart here is
refused by its name: a model that is used otherwise gives numbers that look fine.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.utils import LocalEntryNotFoundError
from safetensors.torch import load_file
from torch import Tensor, nn

from mixcse.base.console import warn
from mixcse.base.errors import UserError, first_line
from mixcse.base.files import read_json
from mixcse.model.saving import MODES, MODULES_FILE, NO_MODULE, PROMPTS_FILE, layer_weights

LENGTH_FILES = tuple(f"sentence_{kind}_config.json" for kind in ("bert", "roberta", "distilbert", "xlm-roberta"))
# That library's names of pooling -> ours.  Before its version 5.1 each was a flag, `pooling_mode_*`, of a longer name.
POOLING = {mode.removesuffix("_token").removesuffix("_tokens"): pooler for pooler, mode in MODES.items()}
FLAG = "pooling_mode_"
ACTIVATIONS = {"Tanh": nn.Tanh, "Identity": nn.Identity, "GELU": nn.GELU, "ReLU": nn.ReLU, "Sigmoid": nn.Sigmoid}


class Normalize(nn.Module):
    """Embeddings of length 1."""

    def forward(self, z: Tensor) -> Tensor:
        return F.normalize(z, dim=-1)


class Settings(NamedTuple):
    """How a folder is to be used.

    Attributes:
        encoder: the subfolder of encoder and tokenizer; "" if it is the folder itself.
        pooler: one of `POOLERS`.
        following: what pooled embeddings go through.
        max_length: in tokens; None if it does not say.
        prompt: before each text.
        include_prompt: whether its tokens are pooled too.
        lower_case: whether texts are.
        similarity: that it was trained for, if that orders sentences otherwise than the cosine does.
    """

    encoder: str
    pooler: str
    following: nn.Sequential
    max_length: int | None = None
    prompt: str = ""
    include_prompt: bool = True
    lower_case: bool = False
    similarity: str | None = None

    @property
    def has_dense(self) -> bool:
        """Whether a Dense module follows the pooling."""
        return any(isinstance(module, nn.Linear) for module in self.following.modules())

    def are_those_of(self, model: Any, recorded: str | None) -> bool:
        """Whether they are what `SentenceModel.save_pretrained` wrote for this pooler, and nobody has changed since."""
        if recorded != "cls":
            return self.pooler == recorded and not len(self.following)
        dense = [module for module in self.following.modules() if isinstance(module, nn.Linear)]
        head = model.tanh_head()
        return len(dense) == 1 and head is not None and torch.equal(dense[0].weight, head.weight)


def read_settings(name: str, **hub: Any) -> Settings | None:
    """Of a folder or a Hub model; None if it has no `modules.json`, or one of ours for what has no module there.

    Args:
        hub: `revision`, `cache_dir`, `local_files_only`.

    Raises:
        UserError: a file is damaged, or a module has no counterpart here.
    """

    def read(file: str) -> Any:
        path = _file(name, file, hub)
        return None if path is None else read_json(path)

    try:
        modules = read(MODULES_FILE)
        if modules is None:
            return None
        kinds = [module["type"].rpartition(".")[2] for module in modules]
        if kinds[:1] != ["Transformer"] or "Pooling" not in kinds[1:3]:
            raise UserError(f"{name}: {MODULES_FILE} lists {', '.join(kinds)}; only Transformer with Pooling is known")
        encoder, at = modules[0]["path"], kinds.index("Pooling")
        pooling = read(f"{modules[at]['path']}/config.json")
        if pooling is None:
            raise UserError(f"{name}: {modules[at]['path']}/config.json, which {MODULES_FILE} names, is not there")
        if str(pooling.get("pooling_mode", "")).startswith(NO_MODULE):
            return None
        pooler = _pooler(name, modules[at]["path"], pooling)
        if kinds[1] == "WeightedLayerPooling":
            pooler = _weighted(name, modules[1]["path"], read, pooler, hub)
        elif at != 1:
            raise UserError(f"{name}: the module {kinds[1]} before its Pooling is not known here")
        after = zip(kinds[at + 1 :], modules[at + 1 :], strict=True)
        following = [_following(name, kind, module["path"], read, hub) for kind, module in after]
        beside = f"{encoder}/" if encoder else ""
        limits = next((found for file in LENGTH_FILES if (found := read(beside + file))), {})
        said = read(PROMPTS_FILE) or {}
        prompts, named = said.get("prompts") or {}, said.get("default_prompt_name")
        if named and named not in prompts:
            raise UserError(f"{name}: {PROMPTS_FILE} has no prompt named {named}, its default one")
        prompt = prompts.get(named, "")
        similarity = said.get("similarity_fn_name")
        return Settings(
            encoder, pooler, nn.Sequential(*following), limits.get("max_seq_length"), prompt,
            pooling.get("include_prompt", True), bool(limits.get("do_lower_case")),
            None if similarity == "cosine" or "Normalize" in kinds else similarity,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise UserError(f"{name}: {MODULES_FILE}, or a file that it names, is damaged ({first_line(error)})") from error


def within(name: str, folder: str, hub: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What loads from a subfolder: of a folder, its path; of a Hub model, an option."""
    return (str(Path(name) / folder), hub) if Path(name).is_dir() else (name, hub | {"subfolder": folder})


def _file(name: str, file: str, hub: dict[str, Any]) -> Path | None:
    """A file of a folder or of a Hub model; None if there is none."""
    if Path(name).is_dir():
        return path if (path := Path(name) / file).is_file() else None
    where = {key: hub[key] for key in ("revision", "cache_dir") if hub.get(key)}
    try:
        known = try_to_load_from_cache(name, file, **where)
        if known is not None:
            return Path(known) if isinstance(known, str) else None
        return Path(hf_hub_download(name, file, **where, local_files_only=hub.get("local_files_only", False)))
    except LocalEntryNotFoundError:
        if file == MODULES_FILE and isinstance(try_to_load_from_cache(name, "config.json", **where), str):
            warn(f"{name}: its {MODULES_FILE}, if it has one, is not in the cache, and the Hub is not asked")
        return None
    except Exception:  # no such file; or of the network, or no such model: what loads the encoder says so
        return None


def _pooler(name: str, path: str, pooling: dict[str, Any]) -> str:
    flags = [flag.removeprefix(FLAG) for flag, is_set in pooling.items() if flag.startswith(FLAG) and is_set is True]
    modes = pooling.get("pooling_mode") or [flag.removesuffix("_token").removesuffix("_tokens") for flag in flags]
    modes = [modes] if isinstance(modes, str) else modes or ["mean"]
    if len(modes) > 1 or modes[0] not in POOLING:
        raise UserError(f"{name}: {path} pools by {' and '.join(map(str, modes))}, which is not known here")
    return POOLING[modes[0]]


def _weighted(name: str, path: str, read: Any, pooler: str, hub: dict[str, Any]) -> str:
    described = read(f"{path}/config.json")
    first, layers = described["layer_start"], described["num_hidden_layers"]
    weights = _weights(name, path, hub)["layer_weights"].tolist()
    for ours in ("avg_top2", "avg_first_last"):
        expected = layer_weights(ours, layers)
        if pooler == "avg" and weights == expected and first == layers + 1 - len(expected):
            return ours
    raise UserError(f"{name}: {path} weights layers from {first} on by {weights}, which is not known here")


def _following(name: str, kind: str, path: str, read: Any, hub: dict[str, Any]) -> nn.Module:
    if kind == "Normalize":
        return Normalize()
    if kind == "Dropout":
        return nn.Identity()  # it is for training
    if kind != "Dense":
        raise UserError(f"{name}: the module {kind} ({path}) is not known here; load it with sentence-transformers")
    described = read(f"{path}/config.json")
    activation = described.get("activation_function", "Tanh").rpartition(".")[2]
    if activation not in ACTIVATIONS:
        raise UserError(f"{name}: the activation {activation} of {path} is not known here")
    linear = nn.Linear(described["in_features"], described["out_features"], described.get("bias", True))
    saved = {key.removeprefix("linear."): tensor for key, tensor in _weights(name, path, hub).items()}
    linear.load_state_dict(saved)
    return nn.Sequential(linear, ACTIVATIONS[activation]())


def _weights(name: str, path: str, hub: dict[str, Any]) -> dict[str, Tensor]:
    try:
        if safe := _file(name, f"{path}/model.safetensors", hub):
            return load_file(safe)
        return torch.load(_file(name, f"{path}/pytorch_model.bin", hub), map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors and torch have their own kinds
        raise UserError(f"{name}: the weights of {path} cannot be read ({first_line(error)})") from error
