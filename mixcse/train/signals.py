"""What a training step says about itself, read off what it has computed anyway.

The paper's claim is that hard negatives keep the gradient strong where random ones do
not.  So beside the mean cosines of a batch: how much of the softmax falls on which kind
of negative, and how large a gradient reaches the embeddings.
"""

import math
from collections import defaultdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mixcse.base.group import sum_over_processes, world_size
from mixcse.objective import ALL


class Signals:
    """Collects scalars over the steps between two log lines, without synchronising a device.

    Every process notes what its own rows of the batch say; `means` is of all of them.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = defaultdict(list)

    def observe(self, blocks: dict[str, Tensor], rows: slice = ALL, **objective: Any) -> None:
        """Notes what one batch's `logit_blocks` of these rows say, which were made with these keywords."""
        first_row = rows.start or 0
        cosines = similarities(blocks, first_row, **objective)
        weights = softmax_weights(blocks, first_row, stop_gradient=objective.get("stop_gradient", True))
        for name, value in (cosines | weights).items():
            self._values[name].append(value)

    def watch_gradient(self, z: Tensor, loss: Tensor) -> None:
        """Notes |d loss / d z| once the backward pass has reached z, as `embedding_gradient_norm`.

        What the Trainer multiplies the loss by (accumulation, fp16) is divided out again.
        """
        if not loss.requires_grad:
            return
        upstream = []
        loss.register_hook(lambda gradient: upstream.append(gradient.detach()))
        z.register_hook(
            lambda gradient: self._values["embedding_gradient_norm"].append(
                gradient.detach().float().norm() / upstream[0].float()
            )
        )

    def means(self) -> dict[str, float]:
        """The means since the last call, over all processes: each has to call it."""
        means = {}
        for name, values in self._values.items():
            steps = torch.stack(values)
            if name == "embedding_gradient_norm":
                # A process has the gradient of the sum of all processes' mean losses.
                means[name] = (sum_over_processes(steps.square()).sqrt() / world_size()).mean().item()
            else:
                means[name] = sum_over_processes(steps).mean().item() / world_size()
        self._values.clear()
        return means


def similarities(
    blocks: dict[str, Tensor],
    first_row: int = 0,
    *,
    temperature: float,
    hard_negative_weight: float = 0.0,
    negative_weight: float = 1.0,
    **_: Any,
) -> dict[str, Tensor]:
    """Mean cosines of a batch: `positive_similarity`, and where there are any,
    `negative_similarity` (other sentences' second views) and `mixed_similarity` (mixes that do
    not hold the row's own positive with weight 1 - lambda).

    Args:
        blocks: of `logit_blocks`, called with the keywords; those that change no similarity are not looked at.
        first_row: the row of the batch that the blocks' first row is.

    Returns:
        Scalar tensors on the blocks' device.
    """
    n, columns = blocks["in_batch"].shape
    others = n * (columns - 1)
    cosines = {name: block.detach() * temperature for name, block in blocks.items()}
    in_batch = cosines["in_batch"]
    own = in_batch.diagonal(first_row)
    means = {"positive_similarity": own.mean()}
    if others:
        counted = math.log(negative_weight) * temperature
        means["negative_similarity"] = (in_batch.sum() - own.sum()) / others - counted
    if "mixed" in cosines:
        means["mixed_similarity"] = cosines["mixed"].mean()
    elif others and (square := [block for name, block in cosines.items() if name.startswith("mixed_")]):
        # In each block one entry a row carries the weight, and as many are set to 0: over all processes, not in each.
        weight = n * hard_negative_weight * temperature
        means["mixed_similarity"] = sum(block.sum() - weight for block in square) / (len(square) * others)
    return means


def softmax_weights(blocks: dict[str, Tensor], first_row: int = 0, *, stop_gradient: bool = True) -> dict[str, Tensor]:
    """A row's softmax, by what it falls on; means over the rows.

    `in_batch_weight`: other sentences; `own_mix_weight`: mixes at j = i, which hold the
    row's own positive with weight lambda; `other_mix_weight`: every other mixed column (the
    ones that are set to 0 included: exp(0) is in the denominator); `detached_weight`: copies
    without gradient.  The rest of 1 is the positive's and the given hard negatives'.  A
    negative's weight is N times the gradient of the loss with respect to its logit.

    `pull`: what the positive lacks of 1, which is the gradient that draws the two views together.
    `push`: the negatives' weight as far as it reaches embeddings: a mix that is a constant counts
    half, for the one side of its cosine that has a gradient; what is set to 0 and copies count nothing.
    `first_row` as for `similarities`.
    """
    logits = torch.cat(list(blocks.values()), dim=1).detach().float()
    parts = F.softmax(logits, dim=1).split([block.size(1) for block in blocks.values()], dim=1)
    weights = dict(zip(blocks, parts, strict=True))
    n, in_batch = len(logits), weights["in_batch"]
    means = {"in_batch_weight": (in_batch.sum() - in_batch.diagonal(first_row).sum()) / n}
    if "mixed" in weights:
        means["own_mix_weight"] = weights["mixed"].mean()
    elif square := [block for name, block in weights.items() if name.startswith("mixed_")]:
        own = sum(block.diagonal(first_row).sum() for block in square)
        means["own_mix_weight"] = own / n
        means["other_mix_weight"] = (sum(block.sum() for block in square) - own) / n
    if "detached" in weights:
        means["detached_weight"] = weights["detached"].sum() / n
    means["pull"] = 1 - in_batch.diagonal(first_row).mean()
    means["push"] = means["in_batch_weight"] + (weights["given"].sum() / n if "given" in weights else 0)
    for name, block in weights.items():
        if name.startswith("mixed"):
            means["push"] += (0.5 if stop_gradient else 1.0) * block.where(blocks[name] != 0, 0).sum() / n
    return means
