"""Adapters: small trained matrices beside frozen layers (LoRA: Hu et al., ICLR 2022), by way of peft.

A trained folder is a plain one, its adapters merged into the layers, so that everything can
load it; the adapters themselves are in its subfolder `adapter/`, in peft's format.  (At the
top, transformers would apply them a second time.)
"""

import copy
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from mixcse.base.errors import UserError, first_line

if TYPE_CHECKING:
    from peft import PeftModel

ADAPTER_FOLDER = "adapter"
ADAPTER_WEIGHTS = f"{ADAPTER_FOLDER}/adapter_model.safetensors"
ADAPTER_CONFIG = f"{ADAPTER_FOLDER}/adapter_config.json"
ADAPTER_FILES = (ADAPTER_WEIGHTS, ADAPTER_CONFIG, f"{ADAPTER_FOLDER}/README.md")
# sentence-transformers' guide to peft: rank 64, alpha 128, dropout 0.1.
ALPHA_PER_RANK, DROPOUT = 2, 0.1
# All of them are needed (QLoRA: Dettmers et al., NeurIPS 2023, section 4).  By their names: peft's "all-linear" takes
# experts that are one tensor, too, and has no dropout for these.
LINEAR = (nn.Linear, Conv1D)
POOLER = r"pooler\..*"  # has fresh weights, which are trained in full


def with_adapters(
    encoder: PreTrainedModel,
    *,
    rank: int,
    alpha: float | None = None,
    dropout: float | None = None,
    targets: list[str] | None = None,
) -> "PeftModel":
    """Freezes the encoder's weights and puts fresh adapters beside its linear layers.

    Args:
        alpha: adapters are scaled by alpha / rank; default: twice the rank.
        dropout: of what the adapters read; default: 0.1.
        targets: the names of the layers; default: all linear ones, without the pooler.

    Raises:
        UserError: peft is not installed, or no layer has one of these names.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise UserError("adapters need peft: pip install peft, or train all weights with --lora_rank 0") from error
    names = [name for name, _ in encoder.named_modules()]
    linear = sorted({name.rpartition(".")[2] for name, module in encoder.named_modules() if type(module) in LINEAR})
    for target in targets or ():
        if not any(name == target or name.endswith(f".{target}") for name in names):
            raise UserError(f"--lora_target_modules: no layer is named {target}; there are {', '.join(linear)}")
    config = LoraConfig(
        task_type="FEATURE_EXTRACTION",
        r=rank,
        lora_alpha=ALPHA_PER_RANK * rank if alpha is None else alpha,
        lora_dropout=DROPOUT if dropout is None else dropout,
        target_modules=targets or linear,
        exclude_modules=POOLER,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no pooler to leave out, say
            return get_peft_model(encoder, config)
    except ValueError as error:
        named = f"--lora_target_modules: {' '.join(targets or linear)}"
        raise UserError(f"{named}; peft has adapters for linear layers, not for these ({first_line(error)})") from error


def as_peft_model(encoder: Any) -> "PeftModel | None":
    """The encoder, if it is one of peft's; its layers, with adapters in them, are in `get_base_model()`.

    Raises:
        ValueError: its adapters are not in layers and cannot be merged into them, or it has several.
    """
    if not isinstance(getattr(encoder, "peft_config", None), dict):
        return None
    if list(encoder.peft_config) != ["default"]:
        raise ValueError(f"one adapter, named default, can be trained, not {', '.join(encoder.peft_config)}")
    if encoder.peft_config["default"].is_prompt_learning:
        raise ValueError("prompts are no adapters of layers, which could be merged into them")
    return encoder


def merged(adapters: "PeftModel") -> PreTrainedModel:
    """A plain copy of the encoder, the adapters added to its layers' weights."""
    # A copy: taken out again, they would leave other weights behind in the last digits.
    return copy.deepcopy(adapters).merge_and_unload()


def save_adapters(adapters: "PeftModel", folder: str | Path) -> None:
    """Writes them into the folder's subfolder, for `PeftModel.from_pretrained`.

    A base model that lies on this machine is named without its folder.
    """
    config = adapters.peft_config["default"]
    if config.base_model_name_or_path and Path(config.base_model_name_or_path).exists():
        config.base_model_name_or_path = Path(config.base_model_name_or_path).absolute().name
    adapters.save_pretrained(str(Path(folder) / ADAPTER_FOLDER), save_embedding_layers=False)  # else it asks the Hub


def load_adapters(adapters: "PeftModel", folder: str | Path) -> None:
    """Takes over what `save_adapters` wrote."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(adapters, load_file(Path(folder) / ADAPTER_WEIGHTS))


def adapted_layers(adapters: "PeftModel") -> list[str]:
    """The names of the layers that have adapters."""
    return sorted({name.rpartition(".")[2] for name, layer in adapters.named_modules() if hasattr(layer, "lora_A")})


def trained_share(model: nn.Module) -> str:
    """How many of the model's parameters are trained, in words."""
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    total = sum(parameter.numel() for parameter in model.parameters())
    return f"{trained:,} of {total:,} parameters ({trained / total:.2%})"
