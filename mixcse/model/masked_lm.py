"""The masked-LM head and its loss, which `--do_mlm` adds."""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForMaskedLM, PreTrainedModel

from mixcse.base.console import warn
from mixcse.base.errors import UserError
from mixcse.base.group import sum_over_processes, world_size
from mixcse.model.loading import for_weights, options_for

IGNORED = -100  # as a label: not masked; transformers' number


def masked_lm_over(encoder: PreTrainedModel, name: str, **hub: Any) -> PreTrainedModel:
    """The masked-LM head of a folder or Hub model, over this encoder; a fresh one, with a warning, where there is none.

    Raises:
        UserError: transformers has no such head for it.
    """
    options = for_weights(options_for(name, hub))
    try:
        masked_lm, info = AutoModelForMaskedLM.from_pretrained(
            name, dtype=encoder.dtype, output_loading_info=True, **options
        )
    except ValueError as error:
        raise UserError(f"--do_mlm: {name} has no masked-LM head in transformers; drop the flag") from error
    inside = f"{masked_lm.base_model_prefix}."
    if any(not key.startswith(inside) for key in info["missing_keys"]):
        warn(f"--do_mlm: {name} brings no masked-LM head; a fresh one is trained")
    setattr(masked_lm, masked_lm.base_model_prefix, encoder)
    masked_lm.tie_weights()
    return masked_lm


def losses_of_rows(
    masked_lm: PreTrainedModel,
    mask: Callable[[Tensor], Tensor],
    attention_mask: Tensor,
    input_ids: Tensor,
    labels: Tensor,
) -> Tensor:
    """The summed masked-LM loss of each row: (rows, length) -> (rows,); `mask` makes what the encoder takes."""
    logits = masked_lm(input_ids=input_ids, attention_mask=mask(attention_mask)).logits
    losses = F.cross_entropy(logits.float().transpose(1, 2), labels, reduction="none", ignore_index=IGNORED)
    return losses.sum(dim=1)


def mean_over_masked(losses: Tensor, labels: Tensor) -> Tensor:
    """The mean over masked tokens of all processes, whose gradients will be averaged; a scalar."""
    masked = sum_over_processes((labels != IGNORED).sum()).clamp(min=1)
    return losses.sum() * world_size() / masked
