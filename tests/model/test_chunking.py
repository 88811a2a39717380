"""A batch in chunks, replayed or not, and a last layer for one token: the same numbers for less."""

import json
import shutil

import pytest
import torch
from batches import (
    DIRECT,
    SHORTENED,
    assert_equal,
    calls_of,
    differ,
    loss_and_gradients,
    model_of,
    random_batch,
    random_rows,
    set_dropout,
)
from run_folder import logged, same_weights
from torch.utils.checkpoint import checkpoint

from mixcse.model.chunking import LENGTH_CHUNKS, SMALLEST_CHUNK, Chunking, in_chunks
from mixcse.model.first_token import POOLERS_OF_FIRST_TOKEN, first_token_only
from mixcse.model.pooling import POOLERS
from mixcse.model.sentence_model import SentenceModel
from mixcse.train import run as training

pytestmark = pytest.mark.usefixtures("bare_runs")


@pytest.fixture()
def model(tiny_bert):
    """In float64, so that what is left of a difference is no rounding."""
    model = SentenceModel.from_pretrained(tiny_bert)
    model.prepare_training("cls", mlm_from=str(tiny_bert))
    return model.double().train()


@pytest.mark.parametrize("num_sent", [1, 3])
@pytest.mark.parametrize("pooler", POOLERS)
def test_loss_and_gradients_are_those_of_one_piece(model, pooler, num_sent):
    set_dropout(model, 0)
    model.pooler = pooler
    batch = random_batch(32, num_sent)
    whole = loss_and_gradients(model, batch)
    calls = calls_of(model.encoder)
    assert_equal(loss_and_gradients(model, batch, Chunking(count=4)), whole)
    assert len(calls) == 4
    assert calls[0][1] > calls[-1][1]  # padded to its own longest row
    assert_equal(loss_and_gradients(model, batch, Chunking(rows=13)), whole)


@pytest.mark.parametrize("num_sent", [1, 2, 3])
def test_so_is_the_masked_lm_loss(model, num_sent):
    set_dropout(model, 0)
    batch = random_batch(32, num_sent, mlm=True)
    whole = loss_and_gradients(model, batch)
    for chunking in (Chunking(count=4), Chunking(rows=13)):
        assert_equal(loss_and_gradients(model, batch, chunking), whole)


def test_rows_of_a_fixed_length_stay_as_long(model):
    set_dropout(model, 0)
    batch = random_batch(32, 1, width=30, mlm=True)
    whole = loss_and_gradients(model, batch)
    calls = calls_of(model.encoder)
    for chunking in (Chunking(count=4, trim=False), Chunking(rows=13, trim=False)):
        assert_equal(loss_and_gradients(model, batch, chunking), whole)
    assert {length for _, length in calls} == {30}
    assert len(calls) == 2 * (4 + 2 * 5)  # for embeddings and masked words; chunks of 13 rows are computed twice


def test_a_replay_draws_the_same_dropout(model, monkeypatch):
    """The replayed chunks against the same chunks kept; without the generator's state it is another loss."""
    set_dropout(model, 0.1)
    batch, replayed = random_batch(32, 1, mlm=True), Chunking(rows=13)
    once = loss_and_gradients(model, batch, replayed)
    assert_equal(loss_and_gradients(model, batch, replayed), once)
    assert differ(loss_and_gradients(model, batch, replayed, seed=1), once)
    with monkeypatch.context() as patch:
        patch.setattr("mixcse.model.chunking.checkpoint", lambda function, *chunk, **_: function(*chunk))
        assert_equal(loss_and_gradients(model, batch, replayed), once)
    forgetful = lambda *args, **options: checkpoint(*args, **options, preserve_rng_state=False)  # noqa: E731
    monkeypatch.setattr("mixcse.model.chunking.checkpoint", forgetful)
    wrong = loss_and_gradients(model, batch, replayed)
    assert_equal(wrong.pop("loss"), once["loss"])  # the forward pass is the same
    assert differ(wrong, once)


def test_a_replay_keeps_little_and_computes_a_chunk_at_a_time(model):
    """What autograd holds between forward and backward grows with the batch, or with the embeddings alone."""

    def kept(sentences, chunking):
        model.chunking = chunking
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: sizes.append(tensor.numel()), lambda _: None):
            model(**random_batch(sentences, 2))
        return sum(sizes)

    assert kept(256, DIRECT) == pytest.approx(4 * kept(64, DIRECT), rel=0.1)
    for sentences in (64, 256):
        rows, dim = 2 * sentences, 16
        assert kept(sentences, Chunking(rows=16)) <= 2 * rows * dim
        assert kept(sentences, Chunking(count=4)) > 100 * rows * dim  # which `count` does not save

    calls = calls_of(model.encoder)
    loss_and_gradients(model, random_batch(64, 2), Chunking(rows=16))
    assert [rows for rows, _ in calls] == [16] * 16  # 8 chunks, twice


@pytest.mark.parametrize("chunking", [Chunking(count=4), Chunking(rows=7), Chunking(rows=7, trim=False)])
@pytest.mark.parametrize("rows", [1, 2, 7, 15, 17, 31, 32, 33, 61, 64, 101])
def test_rows_come_back_in_their_places(rows, chunking):
    bounds = chunking.bounds(rows)
    sizes = [end - start for start, end in zip(bounds, bounds[1:], strict=False)]
    assert (bounds[0], bounds[-1]) == (0, rows)
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 7 if chunking.rows else len(sizes) == 1 or min(sizes) >= SMALLEST_CHUNK

    seen = []

    def name_and_length(mask, names):
        seen.append(mask.shape)
        return torch.stack([names[:, 0], mask.sum(dim=1)], dim=1)

    for lengths in (
        random_rows((rows,))[1],
        torch.ones(rows, 20, dtype=torch.long),
        random_rows((rows,))[1].sort(0)[0],
    ):
        names = torch.arange(rows)[:, None].expand(-1, 20)
        seen.clear()
        found = in_chunks(name_and_length, chunking, lengths, names)
        assert found.tolist() == [[row, length] for row, length in enumerate(lengths.sum(dim=1).tolist())]
        assert [shape[0] for shape in seen] == sizes


def hooked(model):
    return any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("kind", [*SHORTENED, "mpnet", "distilbert"])
def test_the_last_layer_for_one_token(kind, tiny_sizes, tokenizer):
    model = model_of(kind, tiny_sizes, tokenizer)
    encoder = model.encoder
    ids, mask = random_rows((9,))
    for pooler in POOLERS:
        keywords = {"input_ids": ids, "attention_mask": mask, "output_hidden_states": True}
        with first_token_only(encoder, pooler):
            outputs = encoder(**keywords)
        one_token = kind in SHORTENED and pooler in POOLERS_OF_FIRST_TOKEN
        assert outputs.last_hidden_state.size(1) == (1 if one_token else 20)
        assert all(states.size(1) == 20 for states in outputs.hidden_states[:-1])
        assert not hooked(model)

    for pooler in POOLERS_OF_FIRST_TOKEN:
        full = encoder(input_ids=ids, attention_mask=mask)
        first = full.last_hidden_state[:, 0]
        if pooler == "cls":
            first = model.head(first) if model.head is not None else full.pooler_output
        embedded = model.embed(ids, mask, pooler)
        assert_equal(embedded, first)
        weights = torch.arange(1.0, 17, dtype=torch.float64)
        parameters = list(model.parameters())
        whole, short = (
            torch.autograd.grad((z * weights).square().sum(), parameters, allow_unused=True) for z in (first, embedded)
        )
        assert sum(gradient is not None for gradient in short) > 40
        for one, other in zip(whole, short, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                assert_equal(one, other)


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_layers_computed_again_give_the_same_gradients(kind, tiny_sizes, tokenizer):
    model = model_of(kind, tiny_sizes, tokenizer)
    batch = random_batch(32, 1)
    whole = loss_and_gradients(model, batch)
    model.activation_checkpointing_enable()
    calls = []
    model.encoder.encoder.layer[-1].intermediate.register_forward_hook(lambda *args: calls.append(1))
    assert_equal(loss_and_gradients(model, batch), whole)
    assert len(calls) == 2
    assert_equal(loss_and_gradients(model, batch, Chunking(rows=13)), whole)


@pytest.mark.parametrize(
    ("extra", "chunking"),
    [
        (["--padding", "chunks"], Chunking(count=LENGTH_CHUNKS)),
        (["--embedding_chunk_size", "4", "--pad_to_max_length"], Chunking(rows=4, trim=False)),
    ],
)
def test_runs_in_chunks_resume(command, tmp_path, monkeypatch, extra, chunking):
    used = set()
    monkeypatch.setattr("mixcse.model.sentence_model.in_chunks", lambda *args: used.add(args[1]) or in_chunks(*args))
    command += ["--per_device_train_batch_size", "16", "--max_steps", "4", *extra]  # 32 rows
    out, whole = tmp_path / "out", tmp_path / "whole"
    training.main(command)
    assert used == {chunking}
    shutil.copytree(out, whole)
    for name in ("train_results.json", "model.safetensors"):
        (out / name).unlink()
    shutil.rmtree(out / "checkpoint-4")
    training.main(command)
    assert json.loads((out / "train_results.json").read_text())["resumed_from_step"] == 2
    assert same_weights(out, whole)
    assert logged(out, "loss") == logged(whole, "loss")
