"""The MixCSE objective: embeddings in, a scalar out.

Zhang, Zhang, Mensah, Liu, Mao: Unsupervised Sentence Representation via
Contrastive Learning with Mixing Negatives. AAAI 2022, pp. 11730-11738.

    paper              here
    h_i, h'_i          z1[i], z2[i]: two views of sentence i, apart by dropout alone
    tau, lambda        temperature, mixing_lambda
    j of mix m_i       second[i]: i + 1 modulo N (next), or the j != i of largest cos(h_i, h'_j) (hardest)
                       first[i], of mixed first views: the same, or of largest cos(h'_i, h_j)
    cos(a, b) / tau    sim(a, b), a matrix: every row of a against every row of b
    sg(.)              .detach(): no gradient flows into a mix

The logits have a row for each of the N sentences, whose positive is in column i of row i, and these columns:

    block             entry (i, j)
    1 in_batch        sim(z1_i, z2_j)
    2 given           sim(z1_i, z3_j), and so on: hard negatives, where num_sent is above 2
    3 mixed_second    sim(z1_i, sg(lambda z2_j + (1 - lambda) z2_{second[j]}))
    4 mixed_first     sim(sg(lambda z1_i + (1 - lambda) z1_{first[i]}), z2_j)
    5 detached        sim(sg(z1_i), sg(z2_j)) + log n, j != i: where detached_negatives n is above 0

Variants:
    released   blocks 1 to 4, as the authors' released code computes them
    adaptive   its forerunner: where k is mixed with j, lambda_k = lambda * (1 - sg(cos(z1_k, z2_j))) / 2
    paper      blocks 1 and 2, and one column: row i's mix of its own positive
    simcse     blocks 1 and 2 alone (Gao, Yao, Chen: SimCSE. EMNLP 2021)

Block 5, negative_weight and alignment_loss are this project's own controls: docs/findings.md.
"""

import inspect
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mixcse.names import check_names

ALL = slice(None)


def contrastive_loss(z: Tensor, *, rows: slice = ALL, **objective: Any) -> Tensor:
    """Mean cross-entropy of the contrastive logits; a scalar.  Keywords: those of `logit_blocks`."""
    return loss_of_logits(contrastive_logits(z, rows=rows, **objective), rows)


def loss_of_logits(logits: Tensor, rows: slice = ALL) -> Tensor:
    """Mean over rows i of -log softmax(logits[i])[i]; logits: (rows, columns), as `logit_blocks` has them."""
    labels = torch.arange(len(logits), device=logits.device) + (rows.start or 0)
    return F.cross_entropy(logits, labels)


def alignment_loss(z: Tensor, rows: slice = ALL) -> Tensor:
    """Mean of |h_i - h'_i|^2 over rows i, both at unit length; a scalar (Wang & Isola, ICML 2020)."""
    h, h_prime = F.normalize(_full(z)[rows, :2], dim=-1).unbind(dim=1)
    return (h - h_prime).square().sum(-1).mean()


def contrastive_logits(z: Tensor, **objective: Any) -> Tensor:
    """The blocks side by side: (rows, columns).  Keywords, errors: those of `logit_blocks`."""
    return torch.cat(list(logit_blocks(z, **objective).values()), dim=1)


def logit_blocks(
    z: Tensor,
    *,
    rows: slice = ALL,
    temperature: float = 0.05,
    mixing_lambda: float = 0.2,
    variant: str = "released",
    hard_negative_weight: float = 0.0,
    mixed_views: str = "both",
    mix_with: str = "next",
    stop_gradient: bool = True,
    negative_weight: float = 1.0,
    detached_negatives: float = 0.0,
) -> dict[str, Tensor]:
    """Scaled cosines of each sentence with its positive and all its negatives.

    Args:
        z: embeddings, (N, num_sent, d): two views of each sentence, or a pair, and from
            third place on any number of hard negatives.  Half precision is computed in float32.
        rows: which rows to compute, against all columns.  Where several processes share a
            batch, z holds the whole of it in each, and each computes the rows it encoded.
        temperature: tau, above 0.  0.05 in the released script.
        mixing_lambda: the share of the mix's first part, 0 to 1.  0.2: paper, section 4.
        variant: one of those above.
        hard_negative_weight: w, added to the logits of row i's own hard negatives: j = i in blocks 2 to 4.
        mixed_views: which of blocks 3 (`second`) and 4 (`first`) the released variants have.
        mix_with: j of the mixes: the `next` row, or `hardest`, the negative closest to the anchor.
        stop_gradient: False lets gradients flow into the mixes, for ablation alone.
        negative_weight: how often block 1's negatives count, above 0: its log is added to their logits.
        detached_negatives: n, 0 or more: so many further copies of block 1's negatives, without gradient.

    Returns:
        The variant's blocks by name, in order: (rows, N) each, `given` that for each hard
        negative, the paper's `mixed` (rows, 1).

    Raises:
        ValueError: z has another shape or no floats, a name is unknown or a number out of range.
            What z holds is not looked at: NaN gives a loss of NaN.
        TypeError: z is no tensor.
    """
    check_names(variant=variant, mixed_views=mixed_views, mix_with=mix_with)
    _check(z, rows, temperature, mixing_lambda, hard_negative_weight, negative_weight, detached_negatives)
    z1, z2, *given_negatives = (z := _full(z)).unbind(dim=1)  # each (N, d)
    j = torch.arange(len(z), device=z.device)  # (N,)
    i = j[rows, None]  # (rows, 1)
    own = (i == j).to(z.dtype)  # (rows, N)
    w = hard_negative_weight * own

    def sim(a: Tensor, b: Tensor) -> Tensor:  # (n, d), (m, d) -> (n, m)
        with torch.autocast(z.device.type, enabled=False):  # full precision whoever calls
            return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature

    second = first = j.roll(-1)  # (N,): batches are shuffled, so the next row is any other one
    if mix_with == "hardest":  # of all rows: the processes that share a batch agree
        closeness = sim(z1, z2).detach().fill_diagonal_(-math.inf)  # (N, N)
        second, first = closeness.argmax(1), closeness.argmax(0)

    def mix(z: Tensor, other: Tensor) -> Tensor:  # (N, d), (N,) -> (N, d)
        lam = mixing_lambda
        if variant == "adaptive":
            lam = lam * (1 - F.cosine_similarity(z1, z2[other]).detach()[:, None]) / 2  # (N, 1)
        mixed = lam * z + (1 - lam) * z[other]
        return mixed.detach() if stop_gradient else mixed

    in_batch = sim(z1[rows], z2)
    blocks = {"in_batch": in_batch + math.log(negative_weight) * (1 - own)}
    if given_negatives:
        blocks["given"] = torch.cat([sim(z1[rows], z3) + w for z3 in given_negatives], dim=1)

    if variant in ("released", "adaptive"):
        # Where 1 - lambda of a mix is the sentence that it is compared with, it is no negative: the
        # released code sets the logit to 0 (not -inf), and exp(0) = 1 stays in the denominator.
        if mixed_views in ("both", "second"):
            blocks["mixed_second"] = sim(z1[rows], mix(z2, second)).masked_fill(second == i, 0.0) + w
        if mixed_views in ("both", "first"):
            blocks["mixed_first"] = sim(mix(z1, first)[rows], z2).masked_fill(first[i] == j, 0.0) + w
    elif variant == "paper":
        h, h_prime = F.normalize(z1, dim=-1), F.normalize(z2, dim=-1)
        m = F.normalize(mix(h_prime, second), dim=-1)
        blocks["mixed"] = (h * m).sum(-1, keepdim=True)[rows] / temperature  # (rows, 1)
    if detached_negatives:
        blocks["detached"] = (in_batch.detach() + math.log(detached_negatives)).masked_fill(i == j, -math.inf)
    return blocks


# The options of the objective: keywords here, and names of train.py's options.
OPTIONS = tuple(name for name in inspect.signature(logit_blocks).parameters if name not in ("z", "rows"))


def _full(z: Tensor) -> Tensor:  # half precision is too coarse for cosines over temperatures
    return z.to(torch.promote_types(z.dtype, torch.float32))


def _check(
    z: Tensor, rows: slice, temperature: float, mixing_lambda: float, weight: float, count: float, copies: float
) -> None:
    if not isinstance(z, Tensor):
        raise TypeError(f"z must be a tensor, not {type(z).__name__}")
    if z.dim() != 3 or z.size(1) < 2 or not z.numel():
        raise ValueError(f"z must be (batch, 2 or more sentences, dim), not {tuple(z.shape)}")
    if not z.is_floating_point():
        raise ValueError(f"z must hold floating-point numbers, not {z.dtype}")
    if rows.step not in (None, 1) or (rows.start or 0) < 0 or not range(len(z))[rows]:
        raise ValueError(f"rows must be some of the {len(z)} in a row, counted from the front, not {rows}")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be above 0 and finite, not {temperature}")
    if not 0 <= mixing_lambda <= 1:
        raise ValueError(f"mixing_lambda must lie in 0 to 1, not {mixing_lambda}")
    if not math.isfinite(weight):
        raise ValueError(f"hard_negative_weight must be finite, not {weight}")
    if not 0 < count < math.inf:
        raise ValueError(f"negative_weight must be above 0 and finite, not {count}")
    if not 0 <= copies < math.inf:
        raise ValueError(f"detached_negatives must be 0 or more and finite, not {copies}")
