"""The poolers: from an encoder's output to one vector a row."""

from typing import Any

import torch
from torch import Tensor, nn

from mixcse.base.errors import UserError
from mixcse.model.first_token import POOLERS_OF_FIRST_TOKEN
from mixcse.names import POOLERS

NEEDS_HIDDEN_STATES = ("avg_top2", "avg_first_last")


def pool(
    pooler: str, outputs: Any, attention_mask: Tensor, head: nn.Module | None = None, *, unpooled: int = 0
) -> Tensor:
    """Return one vector per row: (rows, d).

    Args:
        pooler: one of `POOLERS`, which says what each does.  The first layer of `avg_first_last` is
            `hidden_states[1]`: `[0]` is the embedding layer, which the released code took and
            SimCSE has since corrected.
        outputs: what a Hugging Face encoder returns, with `hidden_states` for the poolers
            in `NEEDS_HIDDEN_STATES`.
        attention_mask: (rows, length), 1 for tokens and 0 for padding.
        head: for `cls` when the encoder has no pooler of its own.
        unpooled: tokens at the start of each row that the poolers of several tokens leave out.
    """
    if unpooled:
        attention_mask = attention_mask.clone()
        attention_mask[:, :unpooled] = 0
    last = outputs.last_hidden_state  # (rows, length, d)
    if pooler == "cls":
        return head(last[:, 0]) if head is not None else outputs.pooler_output
    if pooler == "cls_before_pooler":
        return last[:, 0]
    if pooler == "avg":
        return masked_mean(last, attention_mask)
    if pooler == "avg_top2":
        return masked_mean((outputs.hidden_states[-2] + last) / 2, attention_mask)
    if pooler == "avg_first_last":
        return masked_mean((outputs.hidden_states[1] + last) / 2, attention_mask)
    if pooler == "max":
        return last.masked_fill(attention_mask.unsqueeze(-1) == 0, -torch.inf).amax(dim=1)
    if pooler == "last":
        places = attention_mask * torch.arange(attention_mask.size(1), device=last.device)
        return last[torch.arange(len(last), device=last.device), places.argmax(dim=1)]
    raise ValueError(f"pooler must be one of {', '.join(POOLERS)}, not {pooler!r}")


def check_pooler(pooler: str, encoder: Any, *, is_causal: bool) -> None:
    """Raises UserError for a pooler that would read nothing of a sentence: the first token of a decoder."""
    if is_causal and pooler in POOLERS_OF_FIRST_TOKEN:
        raise UserError(
            f"{encoder.name_or_path}: a decoder ({encoder.config.model_type}), whose first token sees nothing of a "
            f"sentence: pooler {pooler} has nothing to read; choose last (--pooler_type last in training) or avg"
        )


def masked_mean(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean over the tokens that are not padding: (rows, length, d) -> (rows, d)."""
    weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


class MLPHead(nn.Sequential):
    """`Linear(d, d)` and tanh: the head of pooler `cls` where the encoder has no pooler."""

    def __init__(self, dim: int) -> None:
        super().__init__(nn.Linear(dim, dim), nn.Tanh())


def initialise_head(head: nn.Module, std: float) -> None:
    """Fresh weights in BERT's way: normal with that deviation, biases 0."""
    for module in head.modules():
        if isinstance(module, nn.Linear):
            with torch.no_grad():
                module.weight.normal_(0.0, std)
                module.bias.zero_()
