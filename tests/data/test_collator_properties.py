"""Properties of the collator: what goes in is found in the tensors, and nothing else is."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from mixcse.data.batch import ContrastiveCollator
from mixcse.model.masked_lm import IGNORED

CLS, SEP, MASK = 2, 3, 4  # of the tokenizer in conftest.py
WORDS = st.integers(5, 40)


@st.composite
def batches(draw, num_sent=(1, 2, 3)):
    """Groups of token lists, each from [CLS] to [SEP]."""
    rows = st.lists(WORDS, max_size=9).map(lambda words: [CLS, *words, SEP])
    count = draw(st.sampled_from(num_sent))
    return draw(st.lists(st.lists(rows, min_size=count, max_size=count), min_size=1, max_size=6))


def examples_of(groups):
    return [{"input_ids": group} for group in groups]


@given(batches(), st.none() | st.integers(11, 20))
@examples(max_examples=150)
def test_rows_are_padded_to_the_right_and_masked(tokenizer, groups, pad_to):
    batch = ContrastiveCollator(tokenizer, pad_to)(examples_of(groups))
    longest = max(len(row) for group in groups for row in group)
    shape = (len(groups), len(groups[0]), pad_to or longest)
    assert {name: tensor.shape for name, tensor in batch.items()} == {"input_ids": shape, "attention_mask": shape}
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
    for group, ids, mask in zip(groups, batch["input_ids"].tolist(), batch["attention_mask"].tolist(), strict=True):
        for row, row_ids, row_mask in zip(group, ids, mask, strict=True):
            padding = shape[2] - len(row)
            assert row_ids == row + [tokenizer.pad_token_id] * padding
            assert row_mask == [1] * len(row) + [0] * padding


@given(batches(), st.sampled_from([0.05, 0.15, 0.5, 1.0]), st.none() | st.just(16))
@examples(max_examples=150)
def test_masking_for_mlm(tokenizer, groups, probability, pad_to):
    collator = ContrastiveCollator(tokenizer, pad_to, mlm_probability=probability)
    batch = collator(examples_of(groups))
    plain = ContrastiveCollator(tokenizer, pad_to)(examples_of(groups))
    for name, tensor in plain.items():
        torch.testing.assert_close(batch[name], tensor)  # the contrastive batch is as it was

    views = plain["input_ids"].repeat(1, 2, 1) if len(groups[0]) == 1 else plain["input_ids"]
    ids, labels = batch["mlm_input_ids"], batch["mlm_labels"]
    assert ids.shape == labels.shape == views.shape
    chosen = labels != IGNORED
    assert torch.equal(labels[chosen], views[chosen])  # to be guessed: what stood there
    assert torch.equal(ids[~chosen], views[~chosen])  # the rest stands there still
    special = torch.isin(views, torch.tensor(tokenizer.all_special_ids))
    assert not (chosen & special).any()  # padding among it
    if probability == 1:
        assert torch.equal(chosen, ~special)
    assert ((ids >= 0) & (ids < len(tokenizer))).all()


@given(batches(), st.integers(0, 99))
@examples(max_examples=60)
def test_masking_depends_on_the_tokens_alone(tokenizer, groups, seed):
    collator = ContrastiveCollator(tokenizer, mlm_probability=0.5)
    torch.manual_seed(seed)
    state = torch.get_rng_state()
    first = collator(examples_of(groups))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(seed + 1)
    second = ContrastiveCollator(tokenizer, mlm_probability=0.5)(examples_of(groups))
    assert all(torch.equal(first[name], second[name]) for name in first)
