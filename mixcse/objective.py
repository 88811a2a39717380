"""The MixCSE objective: embeddings in, a scalar out.

Zhang, Zhang, Mensah, Liu, Mao: Unsupervised Sentence Representation via
Contrastive Learning with Mixing Negatives. AAAI 2022, pp. 11730-11738.

    paper              here
    h_i, h'_i          z1[i], z2[i]: two views of sentence i, apart by dropout alone
    tau, lambda        temperature, mixing_lambda
    cos(a, b) / tau    sim(a, b), a matrix: every row of a against every row of b
    sg(.)              .detach(): no gradient flows into a mix

The logits have a row for each of the N sentences; the positive of row i is column
i.  Their columns come in blocks, where k' is the sentence that k is mixed with:

    block                       entry (i, j)
    1  in-batch                 sim(z1_i, z2_j)
    2  given hard negatives     sim(z1_i, z3_j), and so on, for each beyond num_sent 2
    3  mixed second views       sim(z1_i, sg(lambda z2_j + (1 - lambda) z2_j'))
    4  mixed first views        sim(sg(lambda z1_i + (1 - lambda) z1_i'), z2_j)

    next       k' = k + 1, modulo N: another sentence at random, since batches are shuffled
    hardest    k' is the in-batch negative closest to k: of z2 the one closest to z1_k, of z1 to z2_k

Variants:
    released   blocks 1 to 4, as the authors' released code computes them
    adaptive   released, but in mix k lambda_k = lambda * (1 - cos(z1_k, z2_k')) / 2
    paper      blocks 1 and 2, and one column: row i's mix of its own positive
    simcse     blocks 1 and 2 alone (Gao, Yao, Chen: SimCSE. EMNLP 2021)
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mixcse.names import OF_OBJECTIVE

ALL = slice(None)


def contrastive_loss(z: Tensor, *, rows: slice = ALL, **objective: Any) -> Tensor:
    """Mean cross-entropy of the contrastive logits; a scalar.  Keywords: those of `logit_blocks`."""
    return loss_of_logits(contrastive_logits(z, rows=rows, **objective), rows)


def loss_of_logits(logits: Tensor, rows: slice = ALL) -> Tensor:
    """Mean over rows i of -log softmax(logits[i])[i]; logits: (rows, columns), as `logit_blocks` has them."""
    labels = torch.arange(len(logits), device=logits.device) + (rows.start or 0)
    return F.cross_entropy(logits, labels)


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
) -> dict[str, Tensor]:
    """Scaled cosines of each sentence with its positive and all its negatives.

    Args:
        z: embeddings, (N, num_sent, d): two views of each sentence, or a pair, and from
            third place on any number of hard negatives.  Half precision is computed in float32.
        rows: which rows to compute, against all columns.  Where several processes share a
            batch, z holds the whole of it in each, and each computes the rows it encoded.
        temperature: tau, above 0.  0.05 in the released script.
        mixing_lambda: the share of the mix's first part, 0 to 1.  0.2: paper, section 4.
        variant: one of `VARIANTS`.
        hard_negative_weight: w, added to the logit of row i's own hard negatives (the
            given one, and in the released variants the two mixes at j = i).
        mixed_views: which of blocks 3 (`second`) and 4 (`first`) the released variants have.
        mix_with: `next` or `hardest`, as above.
        stop_gradient: False lets gradients flow into the mixes, for ablation alone.

    Returns:
        The blocks that the variant has, in order: `in_batch`, `given`, `mixed_second` and
        `mixed_first`, (rows, N) each (`given` for each hard negative), or the paper's `mixed`, (rows, 1).

    Raises:
        ValueError: z has another shape or no floats, a name is unknown or a number out of range.
            What z holds is not looked at: NaN gives a loss of NaN.
        TypeError: z is no tensor.
    """
    names = {"variant": variant, "mixed_views": mixed_views, "mix_with": mix_with}
    _check(z, rows, temperature, mixing_lambda, hard_negative_weight, names)
    if z.dtype in (torch.float16, torch.bfloat16):
        z = z.float()
    z1, z2, *given_negatives = z.unbind(dim=1)  # each (N, d)
    index = torch.arange(len(z), device=z.device)  # (N,)
    own = index[rows, None] == index  # (rows, N), true at j = i
    w = hard_negative_weight * own.to(z.dtype)

    def sim(a: Tensor, b: Tensor) -> Tensor:  # (n, d), (m, d) -> (n, m)
        with torch.autocast(z.device.type, enabled=False):  # full precision whoever calls
            return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature

    def partners(anchors: Tensor, negatives: Tensor) -> Tensor:  # (N, d), (N, d) -> (N,), k' of each k
        if mix_with == "next":
            return index.roll(-1)
        return sim(anchors.detach(), negatives.detach()).fill_diagonal_(-math.inf).argmax(dim=1)

    def mix(z: Tensor, lam: float | Tensor, partner: Tensor) -> Tensor:  # (N, d) -> (N, d)
        mixed = lam * z + (1 - lam) * z[partner]
        return mixed.detach() if stop_gradient else mixed

    blocks = {"in_batch": sim(z1[rows], z2)}
    if given_negatives:
        blocks["given"] = torch.cat([sim(z1[rows], z3) + w for z3 in given_negatives], dim=1)

    if variant in ("released", "adaptive"):
        first, second, lam = partners(z2, z1), partners(z1, z2), mixing_lambda
        if variant == "adaptive":
            # Released code's forerunner; detached there, whatever becomes of the mixes.
            lam = lam * (1 - F.cosine_similarity(z1, z2[second]).detach()[:, None]) / 2  # (N, 1)
        # A mix and a view of the sentence that is 1 - lambda of it are no negatives.  The released
        # code sets their logits to 0 (not -inf): exp(0) = 1 of each stays in the denominator.
        if mixed_views in ("both", "second"):
            holds_own = second == index[rows, None]  # true at j' = i
            blocks["mixed_second"] = sim(z1[rows], mix(z2, lam, second)).masked_fill(holds_own, 0.0) + w
        if mixed_views in ("both", "first"):
            holds_own = index == first[rows, None]  # true at j = i'
            blocks["mixed_first"] = sim(mix(z1, lam, first)[rows], z2).masked_fill(holds_own, 0.0) + w
    elif variant == "paper":
        h, h_prime = F.normalize(z1, dim=-1), F.normalize(z2, dim=-1)
        m = F.normalize(mix(h_prime, mixing_lambda, partners(h, h_prime)), dim=-1)
        blocks["mixed"] = (h * m).sum(-1, keepdim=True)[rows] / temperature  # (rows, 1)

    return blocks


def _check(
    z: Tensor, rows: slice, temperature: float, mixing_lambda: float, weight: float, names: dict[str, str]
) -> None:
    if not isinstance(z, Tensor):
        raise TypeError(f"z must be a tensor, not {type(z).__name__}")
    if z.dim() != 3 or z.size(1) < 2 or not z.numel():
        raise ValueError(f"z must be (batch, 2 or more sentences, dim), not {tuple(z.shape)}")
    if not z.is_floating_point():
        raise ValueError(f"z must hold floating-point numbers, not {z.dtype}")
    if rows.step not in (None, 1) or (rows.start or 0) < 0 or not range(len(z))[rows]:
        raise ValueError(f"rows must be some of the {len(z)} in a row, counted from the front, not {rows}")
    for name, value in names.items():
        if value not in OF_OBJECTIVE[name]:
            raise ValueError(f"{name} must be one of {', '.join(OF_OBJECTIVE[name])}, not {value!r}")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be above 0 and finite, not {temperature}")
    if not 0 <= mixing_lambda <= 1:
        raise ValueError(f"mixing_lambda must lie in 0 to 1, not {mixing_lambda}")
    if not math.isfinite(weight):
        raise ValueError(f"hard_negative_weight must be finite, not {weight}")
