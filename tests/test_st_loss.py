"""The losses for sentence-transformers: our objective, in one forward pass or in mini-batches, under its Trainer."""

import importlib
import importlib.util
import sys

import numpy as np
import pytest
import sentence_transformers
import torch
from batches import assert_equal, calls_of, differ, set_dropout
from datasets import Dataset
from torch import nn

from mixcse.model import chunking
from mixcse.model.sentence_model import SentenceModel
from mixcse.names import MIX_WITH, VARIANTS
from mixcse.objective import contrastive_loss
from mixcse.sentence_transformers import CachedMixedNegativesLoss, MixedNegativesLoss, merge_columns


@pytest.fixture(scope="module")
def folder(tiny_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("st")
    SentenceModel.from_pretrained(tiny_bert).save_pretrained(folder, recorded_pooler="avg")
    return folder


@pytest.fixture()
def model(folder):
    """With dropout, in float64."""
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu").double().train()


@pytest.fixture()
def still(model):
    """The same without dropout."""
    set_dropout(model, 0)
    return model


@pytest.fixture()
def columns(toy_sentences):
    """Three of 11 sentences each, of different lengths."""
    many = [f"{sentence} {'the cat ran ' * (i % 4)}" for i, sentence in enumerate(toy_sentences[::7])]
    return [many[start : start + 11] for start in (0, 11, 22)]


def features(model, columns):
    return [model.preprocess(column) for column in columns]


def found(model, loss, batch, seed=0, factor=1):
    """Loss and gradients."""
    model.zero_grad()
    torch.manual_seed(seed)
    value = loss(batch, None)
    (factor * value).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert len(gradients) > 40
    return {"loss": value.detach()} | gradients


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("mix_with", MIX_WITH)
def test_it_is_the_objective_of_our_trainer(mix_with, count, variant, model, folder, columns):
    """Dropout included: rows lie in the same order in the one forward pass."""
    ours = SentenceModel.from_pretrained(folder).double().train()
    ours.pooler = "avg"  # where the first token alone is read, the last layer draws less dropout
    sentences = [sentence for row in zip(*columns[:count], strict=True) for sentence in row]
    tokenized = ours.tokenizer(sentences, padding=True, return_tensors="pt")
    torch.manual_seed(0)
    z = ours(*(tokenized[name].view(11, count, -1) for name in ("input_ids", "attention_mask")))["embeddings"]
    keywords = {"mixing_lambda": 0.3, "variant": variant, "mix_with": mix_with, "detached_negatives": count == 2}
    expected = contrastive_loss(z, temperature=0.1, **keywords)
    torch.manual_seed(0)
    assert_equal(MixedNegativesLoss(model, scale=10.0, **keywords)(features(model, columns[:count]), None), expected)


@pytest.mark.parametrize(("count", "rows"), [(1, 22), (2, 22), (3, 33)])
def test_one_forward_pass(count, rows, model, columns):
    calls = calls_of(model[0].model.embeddings)
    MixedNegativesLoss(model)(features(model, columns[:count]), None)
    assert [shape[0] for shape in calls] == [rows]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("mix_with", MIX_WITH)
def test_the_cached_loss_is_the_plain_one(mix_with, count, still, columns):
    batch, keywords = features(still, columns[:count]), {"mix_with": mix_with, "detached_negatives": 0.5}
    plain = found(still, MixedNegativesLoss(still, **keywords), batch)
    calls = calls_of(still[0].model.embeddings)
    cached = CachedMixedNegativesLoss(still, mini_batch_size=5, **keywords)
    assert keywords.items() <= cached.get_config_dict().items()
    assert_equal(found(still, cached, batch), plain)
    assert len(calls) == 2 * -(-max(2, count) * 11 // 5)
    assert max(shape[0] for shape in calls) <= 5
    assert len({shape[1] for shape in calls}) > 1  # each is as long as its longest row
    assert differ(found(still, MixedNegativesLoss(still, mixing_lambda=0.9), batch), plain)


def test_the_second_pass_has_the_first_ones_dropout(model, columns, monkeypatch):
    batch = features(model, columns[:1])
    cached = CachedMixedNegativesLoss(model, mini_batch_size=5)
    replayed = found(model, cached, batch)
    assert differ(found(model, cached, batch, seed=1), replayed)
    monkeypatch.setattr(chunking, "checkpoint", lambda function, *args, use_reentrant: function(*args))
    assert_equal(found(model, cached, batch), replayed)


def test_gradients_scale_with_the_loss(still, columns):
    """As for accumulation, and for the scaler of float16."""
    batch = features(still, columns[:2])
    cached = CachedMixedNegativesLoss(still, mini_batch_size=5)
    once, thrice = found(still, cached, batch), found(still, cached, batch, factor=3)
    assert_equal({k: v for k, v in thrice.items() if k != "loss"}, {k: 3 * v for k, v in once.items() if k != "loss"})


@pytest.mark.parametrize("kind", [MixedNegativesLoss, CachedMixedNegativesLoss])
def test_evaluation(kind, model, columns):
    loss = kind(model)
    model.eval()
    batch = features(model, columns[:1])
    with torch.no_grad():
        value = loss(batch, None)
        assert_equal(loss(batch, None), value)
    z = torch.tensor(model.encode(columns[0]), dtype=torch.float64)
    assert not value.requires_grad
    torch.testing.assert_close(value, contrastive_loss(torch.stack([z, z], dim=1)), rtol=1e-5, atol=1e-5)


def test_under_matryoshka_loss(still, columns):
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

    batch = features(still, columns[:2])
    plain, cached = (
        MatryoshkaLoss(still, loss, matryoshka_dims=[16, 4])
        for loss in (MixedNegativesLoss(still), CachedMixedNegativesLoss(still, mini_batch_size=5))
    )
    expected = found(still, plain, batch)
    assert_equal(found(still, cached, batch), expected)
    assert differ(found(still, MixedNegativesLoss(still), batch), expected)


class OneByOne(nn.Module):
    """What the losses come to: every column by itself, a single one twice."""

    def __init__(self, model):
        super().__init__()
        self.model, self.second = model, {}

    def forward(self, columns, labels):
        columns = list(columns)
        if len(columns) == 1:
            columns.append(self.second.setdefault(id(columns[0]), dict(columns[0])))
        z = [self.model(column)["sentence_embedding"] for column in columns]
        return contrastive_loss(torch.stack(z, dim=1))


@pytest.mark.parametrize("wrapper", ["AdaptiveLayerLoss", "Matryoshka2dLoss"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_under_losses_that_take_layers_apart(wrapper, count, still, columns):
    """They keep the layers in the columns, which therefore must not be joined."""
    from sentence_transformers.sentence_transformer import losses

    options = {"n_layers_per_step": -1} | ({"matryoshka_dims": [16, 4]} if wrapper == "Matryoshka2dLoss" else {})
    options |= {"n_dims_per_step": -1} if wrapper == "Matryoshka2dLoss" else {}
    ours, expected = (
        found(still, getattr(losses, wrapper)(still, kind(still), **options), features(still, columns[:count]))
        for kind in (MixedNegativesLoss, OneByOne)
    )
    assert_equal(ours, expected)


@pytest.mark.parametrize("kind", [MixedNegativesLoss, CachedMixedNegativesLoss])
def test_any_number_of_hard_negatives(kind, still, columns):
    batch = features(still, [*columns, columns[1][::-1], columns[0][::-1]])
    z = torch.stack([still(dict(column))["sentence_embedding"] for column in batch], dim=1)
    assert z.shape[:2] == (11, 5)
    assert_equal(kind(still)(batch, None), contrastive_loss(z))


def test_a_budget_of_tokens(still, columns):
    batch = features(still, columns[:2])
    plain = found(still, MixedNegativesLoss(still), batch)
    calls = calls_of(still[0].model.embeddings)
    cached = CachedMixedNegativesLoss(still, mini_batch_num_tokens=60)
    assert_equal(found(still, cached, batch), plain)
    assert len({shape[0] for shape in calls}) > 1  # of longer rows fewer
    assert max(rows * length for rows, length in calls) <= 2 * 60
    assert cached.get_config_dict()["mini_batch_num_tokens"] == 60


def test_under_autocast_embeddings_stay_as_they_are_and_the_loss_is_float32(folder, columns, monkeypatch):
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu").train()
    dtypes = []

    def spy(z, **objective):
        dtypes.append(z.dtype)
        return contrastive_loss(z, **objective)

    losses = [MixedNegativesLoss(model), CachedMixedNegativesLoss(model, mini_batch_size=5)]
    monkeypatch.setattr("mixcse.sentence_transformers.contrastive_loss", spy)
    for loss in losses:
        set_dropout(model, 0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(features(model, columns[:2]), None)
        value.backward()
        assert value.dtype == torch.float32
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert len(set(dtypes)) == 1  # whatever the model gives


def test_columns_that_pad_to_the_left(still, columns):
    still.tokenizer.padding_side = "left"
    batch = features(still, columns[:2])
    merged = merge_columns(batch)
    assert not merged["attention_mask"][:, 0].all()
    assert merged["attention_mask"][:, -1].all()
    plain = found(still, MixedNegativesLoss(still), batch)
    assert_equal(found(still, CachedMixedNegativesLoss(still, mini_batch_size=5), batch), plain)


def test_columns_that_cannot_be_merged(still, columns):
    batch = features(still, columns[:2])
    expected = MixedNegativesLoss(still)(batch, None)
    batch[1]["prompt_length"] = 3
    assert merge_columns(batch) is None
    calls = calls_of(still[0].model.embeddings)
    assert_equal(MixedNegativesLoss(still)(batch, None), expected)
    assert [shape[0] for shape in calls] == [11, 11]
    for cached in ({"mini_batch_size": 4}, {"mini_batch_num_tokens": 40}):  # with prompts of their own, say
        assert_equal(CachedMixedNegativesLoss(still, **cached)(batch, None), expected)
    batch[0]["prompt_length"] = 3
    assert merge_columns(batch)["prompt_length"] == 3
    batch[0]["prompt_length"] = torch.tensor([3])
    assert merge_columns(batch) is None
    assert merge_columns([{"input_ids": torch.ones(3), "offsets": torch.ones(2)}] * 2) is None


@pytest.mark.filterwarnings("ignore:.*pin_memory.*")
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", [MixedNegativesLoss, CachedMixedNegativesLoss])
def test_under_their_trainer(kind, count, folder, columns, tmp_path, monkeypatch):
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    set_dropout(model, 0)
    names = ("anchor", "positive", "negative")[:count]
    data = Dataset.from_dict(dict(zip(names, (column[:8] for column in columns), strict=False)))
    embedded = [torch.tensor(model.encode(data[name])) for name in names]
    seen = []

    def spy(z, **objective):
        seen.append(contrastive_loss(z, **objective))
        if len(seen) == 1:  # rows come in an order that is drawn
            for expected, column in zip(embedded * 2 if count == 1 else embedded, z.unbind(1), strict=True):
                one, other = (rows[rows[:, 0].argsort()] for rows in (column.detach(), expected))
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        return seen[-1]

    options = {"mini_batch_size": 3} if kind is CachedMixedNegativesLoss else {}
    arguments = sentence_transformers.SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path / "run"), max_steps=2, per_device_train_batch_size=8, learning_rate=1e-2,
        lr_scheduler_type="constant", logging_steps=1, eval_strategy="steps", eval_steps=2, save_strategy="no",
        use_cpu=True, disable_tqdm=True, report_to="none",
    )  # fmt: skip
    trainer = sentence_transformers.SentenceTransformerTrainer(
        model, arguments, train_dataset=data, eval_dataset=data, loss=kind(model, **options)
    )
    monkeypatch.setattr("mixcse.sentence_transformers.contrastive_loss", spy)
    trainer.train()
    logged = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    assert logged == pytest.approx([value.item() for value in seen[:2]], rel=1e-3)  # rounded to 4 digits
    assert logged[1] < logged[0]
    assert any("eval_loss" in log for log in trainer.state.log_history)

    model.save_pretrained(str(tmp_path / "saved"))
    again = sentence_transformers.SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(again.encode(columns[0]), model.encode(columns[0]), atol=1e-6)
    card = (tmp_path / "saved" / "README.md").read_text()
    assert all(said in card for said in (kind.__name__, '"mixing_lambda": 0.2', "zhang-etal-2022-mixcse"))


def test_without_sentence_transformers(monkeypatch):
    monkeypatch.delitem(sys.modules, "mixcse.sentence_transformers")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "mixcse\[sentence-transformers\]"'):
        importlib.import_module("mixcse.sentence_transformers")
