"""The objective against the authors' numbers and against loops written from its equations."""

import json
import math
from pathlib import Path

import pytest
import torch

from mixcse.names import MIX_WITH, MIXED_VIEWS, VARIANTS
from mixcse.objective import alignment_loss, contrastive_logits, contrastive_loss, logit_blocks

GOLDEN = json.loads((Path(__file__).parent / "golden" / "mixing_loss.json").read_text())
SHARED_GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "mixing_loss.json"
ALL_GOLDEN = json.loads(SHARED_GOLDEN.read_text()) if SHARED_GOLDEN.is_file() else GOLDEN


def random_z(n, num_sent=2, dim=6, seed=0):
    return torch.randn(n, num_sent, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cos(a, b):
    return (a @ b) / (a.norm() * b.norm())


def unit(v):
    return v / v.norm()


def closest(anchors, others, k):
    """Of the other rows, the one whose `others` is most like anchor k; k itself if it is alone."""
    best, place = -math.inf, k
    for j in range(len(others)):
        if j != k and cos(anchors[k], others[j]) > best:
            best, place = cos(anchors[k], others[j]).item(), j
    return place


def slow_losses(
    z, temperature=0.05, mixing_lambda=0.2, variant="released", hard_negative_weight=0.0,
    mixed_views="both", mix_with="next", stop_gradient=True, negative_weight=1.0, detached_negatives=0.0,
):  # fmt: skip
    """Of each row: METHOD's table, entry by entry, with nothing vectorised."""
    n, tau, w = len(z), temperature, hard_negative_weight
    z1, z2 = z[:, 0], z[:, 1]

    def second(k):
        return (k + 1) % n if mix_with == "next" else closest(z1, z2, k)

    def first(k):
        return (k + 1) % n if mix_with == "next" else closest(z2, z1, k)

    def mix(views, k, other):
        lam = mixing_lambda
        if variant == "adaptive":
            lam = (lam * (1 - cos(z1[k], z2[other])) / 2).detach()
        mixed = lam * views[k] + (1 - lam) * views[other]
        return mixed.detach() if stop_gradient else mixed

    losses = []
    for i in range(n):
        row = [cos(z1[i], z2[j]) / tau + (math.log(negative_weight) if i != j else 0) for j in range(n)]
        for given in range(2, z.size(1)):
            row += [cos(z1[i], z[j, given]) / tau + (w if i == j else 0) for j in range(n)]
        for view in ("second", "first") if variant in ("released", "adaptive") else ():
            for j in range(n) if mixed_views in ("both", view) else ():
                if view == "second":
                    holds_own, entry = second(j) == i, cos(z1[i], mix(z2, j, second(j)))
                else:
                    holds_own, entry = first(i) == j, cos(mix(z1, i, first(i)), z2[j])
                row.append((torch.zeros_like(entry) if holds_own else entry / tau) + (w if i == j else 0))
        if variant == "paper":
            m = mix([unit(v) for v in z2], i, second(i))
            row.append(unit(z1[i]) @ unit(m) / tau)
        for j in range(n) if detached_negatives else ():
            if j != i:
                row.append((cos(z1[i], z2[j]) / tau).detach() + math.log(detached_negatives))
        row = torch.stack(row)
        losses.append(-(row[i] - torch.logsumexp(row, 0)))
    return torch.stack(losses)


@pytest.mark.parametrize("case", ALL_GOLDEN, ids=lambda case: case["name"])
def test_equals_the_authors_function(case):
    z = torch.tensor(case["z"], dtype=torch.float64, requires_grad=True)
    keywords = {
        "temperature": case["temp"],
        "mixing_lambda": case["lam"],
        "hard_negative_weight": case["hard_negative_weight"],
    }
    logits, loss = contrastive_logits(z, **keywords), contrastive_loss(z, **keywords)
    loss.backward()
    exact = {"rtol": 0, "atol": 1e-9}
    torch.testing.assert_close(logits, torch.tensor(case["logits"], dtype=torch.float64), **exact)
    torch.testing.assert_close(loss, torch.tensor(case["loss"], dtype=torch.float64), **exact)
    torch.testing.assert_close(z.grad, torch.tensor(case["grad"], dtype=torch.float64), **exact)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("num_sent", [2, 4])
@pytest.mark.parametrize("mixing_lambda", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("weight", [0.0, 1.5])
def test_equals_the_slow_loop(variant, n, num_sent, mixing_lambda, weight):
    z = random_z(n, num_sent).requires_grad_()
    keywords = {"variant": variant, "mixing_lambda": mixing_lambda, "hard_negative_weight": weight, "temperature": 0.1}
    assert_equal_with_gradient(contrastive_loss(z, **keywords), slow_losses(z, **keywords).mean(), z)


@pytest.mark.parametrize("variant", ["released", "adaptive", "paper"])
@pytest.mark.parametrize("mixed_views", MIXED_VIEWS)
@pytest.mark.parametrize("num_sent", [2, 3])
@pytest.mark.parametrize("stop_gradient", [True, False])
@pytest.mark.parametrize("rows", [slice(None), slice(2, 4), slice(4, 5)])
@pytest.mark.parametrize("mix_with", MIX_WITH)
def test_every_choice_equals_the_slow_loop(variant, mixed_views, num_sent, stop_gradient, rows, mix_with):
    z = random_z(5, num_sent, seed=3).requires_grad_()
    keywords = {"variant": variant, "mixed_views": mixed_views, "stop_gradient": stop_gradient, "mix_with": mix_with}
    keywords |= {"mixing_lambda": 0.3, "hard_negative_weight": 0.7, "temperature": 0.1}
    fast, slow = contrastive_loss(z, rows=rows, **keywords), slow_losses(z, **keywords)[rows].mean()
    assert_equal_with_gradient(fast, slow, z)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("num_sent", [2, 3])
@pytest.mark.parametrize(("negative_weight", "detached_negatives"), [(3.0, 0.0), (1.0, 0.5), (0.5, 2.0)])
@pytest.mark.parametrize("rows", [slice(None), slice(0, 1)])
def test_controls_equal_the_slow_loop(variant, n, num_sent, negative_weight, detached_negatives, rows):
    z = random_z(n, num_sent, seed=5).requires_grad_()
    keywords = {"negative_weight": negative_weight, "detached_negatives": detached_negatives}
    keywords |= {"variant": variant, "temperature": 0.1}
    fast, slow = contrastive_loss(z, rows=rows, **keywords), slow_losses(z, **keywords)[rows].mean()
    assert_equal_with_gradient(fast, slow, z)


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_whole_numbers_of_copies_are_copies(copies):
    """The loss is that of counting negatives more often; the gradient lacks what would push through the copies."""
    z = random_z(6).requires_grad_()
    loss = contrastive_loss(z, variant="simcse", detached_negatives=copies)
    counted = contrastive_loss(z, variant="simcse", negative_weight=1 + copies)
    torch.testing.assert_close(loss, counted, rtol=0, atol=1e-9)
    logits = logit_blocks(z, variant="simcse")["in_batch"]
    others = ~torch.eye(6, dtype=torch.bool)
    row = torch.cat([logits, *[logits.detach()[others].view(6, 5)] * copies], dim=1)
    assert_equal_with_gradient(loss, (row.logsumexp(1) - logits.diagonal()).mean(), z)


def test_nothing_mixed_pulls_more_than_it_pushes():
    """The gradients that docs/findings.md gives for the released blocks at lambda = 0."""
    n, tau = 6, 0.3
    z = random_z(n).requires_grad_()
    (found,) = torch.autograd.grad(contrastive_loss(z, mixing_lambda=0.0, temperature=tau), z)
    h, h_prime = (z.detach() / z.detach().norm(dim=-1, keepdim=True)).unbind(dim=1)
    e = (h @ h_prime.T / tau).exp()  # of row i and column j
    others = e.sum(1) - e.diagonal()
    total = e.diagonal() + 2 * others + others.roll(-1) + 2  # the sum Z_i of row i
    for i in range(n):
        lacks = 1 - e[i, i] / total[i]
        anchor, positive = -lacks * h_prime[i], -lacks * h[i]
        for k in range(n):
            if k != i:
                anchor = anchor + 2 * e[i, k] / total[i] * h_prime[k]
                positive = positive + (e[k, i] / total[k] + e[k, i] / total[k - 1]) * h[k]
        for view, unit_view, gradient in ((0, h[i], anchor), (1, h_prime[i], positive)):
            along = gradient - (gradient @ unit_view) * unit_view  # the length of z has no say
            torch.testing.assert_close(
                found[i, view], along / (n * tau * z[i, view].norm()).detach(), rtol=0, atol=1e-9
            )


@pytest.mark.parametrize("rows", [slice(None), slice(2, 5)])
def test_alignment_is_the_squared_distance_of_the_two_views(rows):
    z = random_z(7, 3).requires_grad_()
    slow = torch.stack([(unit(one) - unit(other)).square().sum() for one, other, _ in z[rows]]).mean()
    assert_equal_with_gradient(alignment_loss(z, rows), slow, z)


def assert_equal_with_gradient(fast, slow, z):
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-9)
    torch.testing.assert_close(*(torch.autograd.grad(loss, z)[0] for loss in (fast, slow)), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("variant", "num_sent", "columns"),
    [
        ("released", 2, 15),
        ("released", 3, 20),
        ("adaptive", 2, 15),
        ("paper", 2, 6),
        ("paper", 3, 11),
        ("simcse", 3, 10),
    ],
)
def test_columns(variant, num_sent, columns):
    assert contrastive_logits(random_z(5, num_sent), variant=variant).shape == (5, columns)


def test_mixes_that_hold_the_own_positive_have_logit_zero():
    logits = contrastive_logits(random_z(5))
    from_second, from_first = logits[:, 5:10], logits[:, 10:15]
    for i in range(5):
        for j in range(5):
            assert (from_second[i, j] == 0) == (j == (i - 1) % 5)
            assert (from_first[i, j] == 0) == (j == (i + 1) % 5)


def test_who_is_hardest():
    """On a circle, by angles: logits are 0 where the sentence compared with is whom the mix's is mixed with."""
    angles = torch.tensor([[0.0, 0.1], [3.0, 0.9], [2.0, -0.5], [-2.0, 2.8]], dtype=torch.float64)
    blocks = logit_blocks(torch.stack([angles.cos(), angles.sin()], dim=-1), mix_with="hardest")
    for k, (second, first) in enumerate(zip([2, 3, 3, 2], [2, 0, 0, 1], strict=True)):
        assert (blocks["mixed_second"][:, k] == 0).nonzero().tolist() == [[second]]
        assert (blocks["mixed_first"][k] == 0).nonzero().tolist() == [[first]]


@pytest.mark.parametrize("variant", ["released", "adaptive", "paper"])
@pytest.mark.parametrize("mix_with", MIX_WITH)
def test_without_stop_gradient_the_mixes_learn(variant, mix_with):
    """Central differences are the judge: they know of no detach, so the gradient must be the whole one."""
    z = random_z(4).requires_grad_()
    keywords = {"variant": variant, "mix_with": mix_with, "stop_gradient": False, "temperature": 0.5}
    if variant == "adaptive":  # its lambdas stay constants: they are not mixes
        (grad,) = torch.autograd.grad(logit_blocks(z, **keywords)["mixed_second"].sum(), z)
        assert grad[:, 1].abs().sum() > 0
        return
    for stop_gradient in (False, True):
        keywords["stop_gradient"] = stop_gradient
        agrees = torch.autograd.gradcheck(lambda z: contrastive_loss(z, **keywords), (z,), raise_exception=False)
        assert agrees is not stop_gradient


@pytest.mark.parametrize("mix_with", MIX_WITH)
def test_one_sentence_alone(mix_with):
    """Its only mix is its own positive, whose logit is set to 0."""
    z = random_z(1)
    positive = contrastive_logits(z)[0, 0].item()
    assert contrastive_logits(z, mix_with=mix_with).tolist() == [[positive, 0.0, 0.0]]
    loss = contrastive_loss(z, mix_with=mix_with).item()
    assert loss == pytest.approx(math.log(math.exp(positive) + 2) - positive)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(variant, dtype):
    z = random_z(6).to(dtype)
    logits = contrastive_logits(z, variant=variant)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, contrastive_logits(z.float(), variant=variant), rtol=0, atol=0)


def test_stays_float32_under_autocast():
    z = random_z(6).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = contrastive_logits(z)
    torch.testing.assert_close(logits, contrastive_logits(z), rtol=0, atol=0)
