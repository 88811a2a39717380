"""The last layer for the first token alone, where a pooler reads nothing else.

A layer's output at a token needs the keys and values of all tokens, but the projection and
the feed-forward block, nine twelfths of the layer's weights, see each token by itself: what
they would make of the other tokens is never used.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn

POOLERS_OF_FIRST_TOKEN = ("cls", "cls_before_pooler")
LAYERS_OF_BERTS_KIND = ("BertLayer", "RobertaLayer", "XLMRobertaLayer", "CamembertLayer", "ElectraLayer")
TRANSFORMERS = "transformers.models."


@contextmanager
def first_token_only(encoder: nn.Module, pooler: str) -> Iterator[None]:
    """While it lasts, the encoder's last hidden state is (rows, 1, d), if nothing else is read.

    Only for encoders in `LAYERS_OF_BERTS_KIND`: others compute all tokens, as ever.
    """
    module = _after_attention(encoder) if pooler in POOLERS_OF_FIRST_TOKEN else None
    hook = module.register_forward_pre_hook(_keep_first_token) if module is not None else nullcontext()
    with hook:
        yield


def layers_of_berts_kind(encoder: nn.Module) -> nn.ModuleList | None:
    """The encoder's layers, if they are known to be BERT's or copies of them."""
    layers = getattr(getattr(encoder, "encoder", None), "layer", None)
    kind = type(layers[-1]) if layers else None
    # A model that brings its own code may call anything by these names.
    known = kind is not None and kind.__name__ in LAYERS_OF_BERTS_KIND and kind.__module__.startswith(TRANSFORMERS)
    return layers if known else None


def is_checkpointing(encoder: nn.Module) -> bool:
    """Whether layers are computed again in the backward pass, when what is set for a forward pass is gone."""
    renamed = hasattr(type(encoder), "is_activation_checkpointing")  # newer transformers
    return getattr(encoder, "is_activation_checkpointing" if renamed else "is_gradient_checkpointing", False)


def _after_attention(encoder: nn.Module) -> nn.Module | None:
    """What follows the last layer's attention: takes its output and the layer's input."""
    layers = layers_of_berts_kind(encoder)
    return None if layers is None or is_checkpointing(encoder) else layers[-1].attention.output


def _keep_first_token(module: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    return tuple(tensor[:, :1] for tensor in inputs)
