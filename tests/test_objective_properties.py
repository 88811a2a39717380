"""Properties of the objective, for embeddings of any shape and size, against a computation of single numbers."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import examples

from mixcse.names import MIX_WITH, MIXED_VIEWS, VARIANTS
from mixcse.objective import contrastive_logits, contrastive_loss, logit_blocks

VARIANT = st.sampled_from(VARIANTS)
WITH = st.sampled_from(MIX_WITH)
LAMBDA = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
TEMPERATURE = st.floats(0.01, 10)
COMPONENT = st.integers(-8, 8).map(lambda eighths: eighths / 8)  # zeros, equal rows and opposite ones are common


@st.composite
def embeddings(draw, least=1, num_sent=(2, 3), zeros=True):
    """z in float64, (N, 2 or 3, d)."""
    n, views, dim = draw(st.integers(least, 6)), draw(st.sampled_from(num_sent)), draw(st.integers(1, 4))
    flat = draw(st.lists(COMPONENT, min_size=n * views * dim, max_size=n * views * dim))
    z = torch.tensor(flat, dtype=torch.float64).view(n, views, dim)
    assume(zeros or bool(z.norm(dim=-1).all()))
    return z


def cancels(z, variant, lam):
    """Whether a mix is nothing but rounding: opposite vectors in equal parts, whose cosine means nothing."""

    def smallest(rows, shares):
        mixes = shares * rows + (1 - shares) * rows.roll(-1, 0)
        norms = mixes.norm(dim=-1)
        return bool(((norms > 0) & (norms < 1e-9)).any())

    z1, z2 = z[:, 0], z[:, 1]
    shares = torch.full((len(z), 1), lam, dtype=z.dtype)
    if variant == "adaptive":
        shares = shares * (1 - torch.nn.functional.cosine_similarity(z1, z2.roll(-1, 0))[:, None]) / 2
    if variant == "paper":
        z1, z2 = torch.nn.functional.normalize(z1, dim=-1), torch.nn.functional.normalize(z2, dim=-1)
    return smallest(z1, shares) or smallest(z2, shares)


@given(embeddings(), VARIANT, st.sampled_from(MIXED_VIEWS), WITH, st.data())
@examples(max_examples=100)
def test_blocks_have_a_column_a_sentence_and_rows_can_be_computed_apart(z, variant, views, mix_with, data):
    n, keywords = len(z), {"variant": variant, "mix_with": mix_with}
    blocks = logit_blocks(z, mixed_views=views, **keywords)
    mixed = {"both": ["mixed_second", "mixed_first"], "second": ["mixed_second"], "first": ["mixed_first"]}[views]
    last = {"simcse": [], "paper": ["mixed"]}.get(variant, mixed)
    assert list(blocks) == ["in_batch", *["given"][: z.size(1) - 2], *last]
    assert {name: block.shape for name, block in blocks.items()} == {
        name: (n, 1 if name == "mixed" else n) for name in blocks
    }
    start = data.draw(st.integers(0, n - 1))
    rows = slice(start, data.draw(st.integers(start + 1, n)))
    for name, block in logit_blocks(z, mixed_views=views, rows=rows, **keywords).items():
        torch.testing.assert_close(block, blocks[name][rows], rtol=0, atol=1e-10)
    cuts = sorted({0, start, n})
    parts = [
        contrastive_loss(z, rows=slice(low, high), **keywords) * (high - low)
        for low, high in zip(cuts, cuts[1:], strict=False)
    ]
    torch.testing.assert_close(sum(parts) / n, contrastive_loss(z, **keywords), rtol=0, atol=1e-9)


@given(embeddings(), VARIANT, LAMBDA, st.integers(-20, 20))
@examples(max_examples=100)
def test_the_length_of_all_embeddings_together_does_not_count(z, variant, lam, power):
    assume(not cancels(z, variant, lam))
    keywords = {"variant": variant, "mixing_lambda": lam}
    logits = contrastive_logits(z * 2.0**power, **keywords)
    torch.testing.assert_close(logits, contrastive_logits(z, **keywords), rtol=0, atol=1e-9)


@given(embeddings(), VARIANT, LAMBDA, st.data())
@examples(max_examples=150)
def test_the_order_of_a_batch(z, variant, lam, data):
    """SimCSE's loss is of a set; mixes are of neighbours, so that of the others is of a ring."""
    assume(not cancels(z, variant, lam))
    turned = st.integers(0, len(z) - 1).map(lambda turn: [(i + turn) % len(z) for i in range(len(z))])
    order = data.draw(st.permutations(range(len(z))) if variant == "simcse" else turned)
    keywords = {"variant": variant, "mixing_lambda": lam}
    torch.testing.assert_close(
        contrastive_loss(z[order], **keywords), contrastive_loss(z, **keywords), rtol=0, atol=1e-9
    )
    blocks, moved = logit_blocks(z, **keywords), logit_blocks(z[order], **keywords)
    for name, block in blocks.items():
        expected = block[order] if name == "mixed" else block[order][:, order]
        torch.testing.assert_close(moved[name], expected, rtol=0, atol=1e-9)


@given(embeddings(least=2), st.sampled_from([0.0, 1.0]))
@examples(max_examples=80)
def test_lambda_at_its_limits_mixes_nothing(z, lam):
    """With 1 a mix is its first part, with 0 the next row: the logits are those of the sentences themselves."""
    n = len(z)
    blocks = logit_blocks(z, mixing_lambda=lam)
    zeroed = torch.eye(n, dtype=torch.bool)
    shift = 0 if lam else -1
    second = blocks["in_batch"].roll(shift, 1).masked_fill(zeroed.roll(-1, 1), 0)
    first = blocks["in_batch"].roll(shift, 0) if lam else logit_blocks(z.roll(-1, 0))["in_batch"].roll(1, 1)
    torch.testing.assert_close(blocks["mixed_second"], second, rtol=0, atol=1e-12)
    torch.testing.assert_close(blocks["mixed_first"], first.masked_fill(zeroed.roll(1, 1), 0), rtol=0, atol=1e-12)
    paper = logit_blocks(z, mixing_lambda=lam, variant="paper")
    torch.testing.assert_close(paper["mixed"][:, 0], paper["in_batch"].roll(shift, 1).diagonal(), rtol=0, atol=1e-12)


@given(embeddings(least=2, zeros=False), st.sampled_from(["released", "adaptive", "paper"]), LAMBDA)
@examples(max_examples=80)
def test_no_gradient_flows_into_mixes(z, variant, lam):
    assume(not cancels(z, variant, lam))
    z.requires_grad_()
    blocks = logit_blocks(z, variant=variant, mixing_lambda=lam)
    for name, mixed_view in (("mixed_second", 1), ("mixed_first", 0), ("mixed", 1)):
        if name in blocks:
            (gradient,) = torch.autograd.grad(blocks[name].sum(), z, retain_graph=True)
            assert not gradient[:, mixed_view].any()
            assert torch.isfinite(gradient).all()


@given(
    st.integers(1, 5), st.sampled_from([2, 3]), st.integers(1, 8), VARIANT, WITH, LAMBDA,
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    st.sampled_from([0, 1e-45, 1e-30, 1e-8, 1, 6e4, 1e18, 3e38]), st.floats(1e-3, 1e3), st.integers(0, 99),
)  # fmt: skip
@examples(max_examples=200)
def test_loss_and_gradient_are_finite_whatever_the_size(
    n, views, dim, variant, mix_with, lam, dtype, size, temperature, seed
):
    drawn = torch.rand(n, views, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    z = (drawn * min(size, torch.finfo(dtype).max)).to(dtype).requires_grad_()
    loss = contrastive_loss(z, variant=variant, mix_with=mix_with, mixing_lambda=lam, temperature=temperature)
    loss.backward()
    assert loss.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
    assert torch.isfinite(loss)
    assert loss > -1e-5
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@given(embeddings(least=2), VARIANT, WITH, st.data())
@examples(max_examples=30)
def test_what_is_not_finite_is_not_hidden(value, z, variant, mix_with, data):
    place = tuple(data.draw(st.integers(0, size - 1)) for size in (len(z), 2, z.size(2)))
    z[place] = value
    assert not torch.isfinite(contrastive_loss(z, variant=variant, mix_with=mix_with))
