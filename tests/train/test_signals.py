"""What a step says about itself, against the same thing computed the long way."""

import pytest
import torch

from mixcse.objective import contrastive_loss, logit_blocks, loss_of_logits
from mixcse.train.signals import Signals, similarities, softmax_weights

VARIANTS = ("released", "adaptive", "paper", "simcse")


def random_z(n, num_sent=2):
    return torch.randn(n, num_sent, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("num_sent", [2, 3])
@pytest.mark.parametrize("mixed_views", ["both", "second"])
@pytest.mark.parametrize("mix_with", ["next", "hardest"])
def test_similarities_of_a_batch(variant, num_sent, mixed_views, mix_with):
    z = random_z(4, num_sent)
    keywords = {"temperature": 0.1, "variant": variant, "mixing_lambda": 0.3}
    keywords |= {"mixed_views": mixed_views, "mix_with": mix_with}
    weighted = keywords | {"hard_negative_weight": 0.7, "negative_weight": 3.0, "detached_negatives": 2.0}
    means = similarities(logit_blocks(z, **weighted), **weighted)

    cosine = torch.nn.functional.cosine_similarity(z[:, None, 0], z[None, :, 1], dim=-1)
    assert means["positive_similarity"] == pytest.approx(cosine.diagonal().mean().item(), abs=1e-6)
    off = cosine[~torch.eye(4, dtype=torch.bool)]
    assert means["negative_similarity"] == pytest.approx(off.mean().item(), abs=1e-6)
    if variant == "simcse":
        assert "mixed_similarity" not in means
        return
    unweighted = logit_blocks(z, **keywords)
    mixed = torch.cat([block for name, block in unweighted.items() if name.startswith("mixed")], dim=1)
    assert means["mixed_similarity"] == pytest.approx(0.1 * mixed[mixed != 0].mean().item(), abs=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("num_sent", [2, 3])
@pytest.mark.parametrize("mix_with", ["next", "hardest"])
def test_softmax_weights_are_the_gradient_of_the_logits(variant, num_sent, mix_with):
    """d loss / d logit of a negative is its softmax weight / N: autograd says what falls where."""
    n = 5
    z = random_z(n, num_sent)
    blocks = logit_blocks(z, variant=variant, mix_with=mix_with, temperature=0.3, detached_negatives=0.5)
    leaves = {name: block.detach().requires_grad_() for name, block in blocks.items()}
    loss_of_logits(torch.cat(list(leaves.values()), dim=1)).backward()
    gradients = {name: leaf.grad for name, leaf in leaves.items()}
    weights = softmax_weights(blocks)

    positive = gradients["in_batch"].diagonal().sum()
    assert weights["in_batch_weight"] == pytest.approx((gradients["in_batch"].sum() - positive).item(), abs=1e-6)
    assert weights["detached_weight"] == pytest.approx(gradients["detached"].sum().item(), abs=1e-6)
    assert weights["pull"] == pytest.approx(-positive.item(), abs=1e-6)
    if variant == "simcse":
        assert not {"own_mix_weight", "other_mix_weight"} & weights.keys()
    elif variant == "paper":
        assert weights["own_mix_weight"] == pytest.approx(gradients["mixed"].sum().item(), abs=1e-6)
    else:
        square = [gradients["mixed_second"], gradients["mixed_first"]]
        own = sum(block.diagonal().sum().item() for block in square)
        assert weights["own_mix_weight"] == pytest.approx(own, abs=1e-6)
        rest = sum(block.sum().item() for block in square) - own
        assert weights["other_mix_weight"] == pytest.approx(rest, abs=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("stop_gradient", [True, False])
def test_push_is_what_reaches_the_embeddings(variant, stop_gradient):
    """A column counts for the sides of its cosines, two at most, that autograd gives a gradient."""
    z = random_z(5, 3).requires_grad_()
    keywords = {"variant": variant, "temperature": 0.3, "stop_gradient": stop_gradient, "detached_negatives": 2.0}
    blocks = logit_blocks(z, **keywords)
    weights = torch.cat(list(blocks.values()), dim=1).softmax(1).split([b.size(1) for b in blocks.values()], dim=1)
    push = 0.0
    for (name, block), weight in zip(blocks.items(), weights, strict=True):
        gradient = torch.autograd.grad(block.sum(), z, retain_graph=True)[0] if block.requires_grad else z * 0
        share = gradient.abs().sum(dim=(0, 2)).gt(0).sum().item() / 2
        for i, j in torch.cartesian_prod(torch.arange(5), torch.arange(block.size(1))).tolist():
            if (name != "in_batch" or i != j) and block[i, j] != 0:
                push += share * weight[i, j].item() / 5
    assert softmax_weights(blocks, stop_gradient=stop_gradient)["push"] == pytest.approx(push, abs=1e-6)


@pytest.mark.parametrize("scale", [1.0, 0.25, 1024.0])
def test_gradient_norm_is_the_losses_own(scale):
    """Whatever the Trainer multiplies the loss by, and whatever is added to it."""
    z = random_z(6).requires_grad_()
    (expected,) = torch.autograd.grad(contrastive_loss(z), z)
    signals = Signals()
    hidden = z * 1.0
    loss = contrastive_loss(hidden)
    signals.watch_gradient(hidden, loss)
    ((loss + 3 * z.detach().sum()) * scale).backward()
    assert signals.means() == {"embedding_gradient_norm": pytest.approx(expected.norm().item(), rel=1e-5)}
    assert signals.means() == {}


def test_means_are_over_the_steps_since_the_last():
    signals = Signals()
    z = random_z(4)
    one, two = logit_blocks(z, temperature=0.1), logit_blocks(z.flip(0) * 2, temperature=0.1)
    for blocks in (one, two):
        signals.observe(blocks, temperature=0.1)
    means = signals.means()
    expected = [similarities(blocks, temperature=0.1)["mixed_similarity"].item() for blocks in (one, two)]
    assert means["mixed_similarity"] == pytest.approx(sum(expected) / 2)
