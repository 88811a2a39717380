"""A batch without padding, and the cheaper dropout: the same numbers, and the same distribution."""

from itertools import product
from types import SimpleNamespace

import pytest
import torch
from batches import SHORTENED, assert_equal, calls_of, differ, loss_and_gradients, model_of, random_batch, set_dropout
from run_folder import logged

from mixcse.base.errors import UserError
from mixcse.model.chunking import Chunking
from mixcse.model.fast_dropout import FastDropout, fast_dropout, use_fast_dropout
from mixcse.model.packing import BUCKETS, Packing, can_pack
from mixcse.model.pooling import POOLERS
from mixcse.train import prepare as preparation
from mixcse.train import run as training

pytestmark = pytest.mark.usefixtures("bare_runs")


@pytest.mark.parametrize("num_sent", [1, 3])
@pytest.mark.parametrize(
    ("kind", "pooler"),
    [*product(["bert"], POOLERS), *product(SHORTENED[1:], ["cls", "avg_first_last"])],
)
def test_loss_and_gradients_are_those_of_the_padded_batch(kind, pooler, num_sent, tiny_sizes, tokenizer):
    model = model_of(kind, tiny_sizes, tokenizer)
    model.prepare_training(pooler)
    model.double()
    batch = random_batch(24, num_sent)
    padded = loss_and_gradients(model, batch)
    calls = calls_of(model.encoder)
    model.packed = True
    assert_equal(loss_and_gradients(model, batch), padded)
    assert_equal(loss_and_gradients(model, batch, Chunking(rows=7)), padded)
    assert not calls  # of the encoder as a whole


def test_smaller_embeddings_are_projected(tiny_sizes, tokenizer):
    model = model_of("electra", tiny_sizes | {"embedding_size": 8}, tokenizer)
    batch = random_batch(24, 1)
    padded = loss_and_gradients(model, batch)
    model.packed = True
    assert_equal(loss_and_gradients(model, batch), padded)


def test_more_tokens_than_positions(tiny_sizes, tokenizer):
    """The sequence of all rows is longer than any the encoder takes."""
    model = model_of("bert", tiny_sizes, tokenizer)
    batch = random_batch(64, 1)
    assert batch["attention_mask"].sum() > 2 * tiny_sizes["max_position_embeddings"]
    padded = loss_and_gradients(model, batch)
    model.packed = True
    assert_equal(loss_and_gradients(model, batch), padded)


def test_a_decoder_other_attention_and_checkpointing_are_padded(tiny_sizes, tokenizer):
    model = model_of("bert", tiny_sizes, tokenizer)
    assert can_pack(model.encoder)
    model.activation_checkpointing_enable()
    assert not can_pack(model.encoder)
    model.packed = True
    loss_and_gradients(model, random_batch(8, 1))
    for change in ({"is_decoder": True}, {"_attn_implementation": "eager"}):
        model = model_of("bert", tiny_sizes, tokenizer)
        for name, value in change.items():
            setattr(model.encoder.config, name, value)
        assert not can_pack(model.encoder)


def test_the_encoder_attends_as_before_afterwards(tiny_sizes, tokenizer):
    model = model_of("bert", tiny_sizes, tokenizer)
    model.packed = True
    with pytest.raises(IndexError):
        model(torch.full((4, 1, 5), 10_000), torch.ones(4, 1, 5, dtype=torch.long))
    model(**random_batch(4, 1))
    assert model.encoder.config._attn_implementation == "sdpa"


def test_where_the_rows_are():
    mask = torch.tensor([[1, 1] + [0] * 8, [1] * 10, [1, 1, 1] + [0] * 7, [1] + [0] * 9])
    packing = Packing(mask)
    assert packing.order.tolist() == [1, 2, 0, 3]
    assert packing.starts.tolist() == [0, 10, 13, 15]
    assert packing.positions.tolist() == [*range(10), 0, 1, 2, 0, 1, 0]
    tokens = torch.arange(16.0)[:, None, None] + torch.tensor([0.0, 0.5])[:, None]  # two heads
    buckets = packing.in_buckets(tokens)
    assert [bucket.shape for bucket in buckets] == [(1, 2, 10, 1), (3, 2, 3, 1)]
    assert buckets[1][:, 1, :, 0].tolist() == [[10.5, 11.5, 12.5], [13.5, 14.5, 14.5], [15.5, 15.5, 15.5]]
    assert packing.masks[0] is None
    assert packing.masks[1].isinf().squeeze().tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 1]]
    assert torch.equal(packing.in_sequence(buckets), tokens)


@pytest.mark.parametrize("longest", [3, 4, 32, 200])
def test_there_are_few_buckets(longest):
    lengths = torch.randint(1, longest + 1, (300, 1), generator=torch.Generator().manual_seed(0))
    packing = Packing((torch.arange(longest) < lengths).long())
    assert len(packing.buckets) <= BUCKETS
    assert sum(len(bucket.inside) for bucket in packing.buckets) == 300


def test_dropout_is_drawn_for_every_view_and_layer(tiny_sizes, tokenizer):
    """Views differ by it; a replay draws the same; attention, hidden states and the last layer have it."""
    model = model_of("bert", tiny_sizes, tokenizer)
    model.packed = True
    use_fast_dropout(model)
    batch = random_batch(24, 1)
    set_dropout(model, 0.3)
    once = loss_and_gradients(model, batch, Chunking(rows=7))
    assert_equal(loss_and_gradients(model, batch, Chunking(rows=7)), once)
    assert differ(loss_and_gradients(model, batch, Chunking(rows=7), seed=1), once)
    for module in model.modules():
        if isinstance(module, FastDropout):
            set_dropout(model, 0)
            still = loss_and_gradients(model, batch)
            module.p = 0.3
            assert differ(loss_and_gradients(model, batch), still)
    views = model(**batch)["embeddings"]
    assert (views[:, 0] - views[:, 1]).norm(dim=1).min() > 0
    model.eval()
    views = model(**batch)["embeddings"]
    assert_equal(views[:, 0], views[:, 1])


def test_packed_dropout_has_the_padded_ones_distribution(tiny_sizes, tokenizer):
    """Mean and spread of an embedding over many draws."""
    model = model_of("bert", tiny_sizes, tokenizer)
    set_dropout(model, 0.1)
    ids = torch.tensor([[[2, 5, 6, 7, 8, 3]]]).expand(2000, 1, -1)
    torch.manual_seed(0)
    drawn = []
    for packed in (False, True):
        model.packed = packed
        if packed:
            use_fast_dropout(model)
        with torch.no_grad():
            drawn.append(model(ids, torch.ones_like(ids))["embeddings"].flatten(0, 1))
    padded, packed = drawn
    error = padded.std(dim=0) * (2 / len(padded)) ** 0.5
    assert ((packed.mean(dim=0) - padded.mean(dim=0)).abs() < 5 * error).all()
    torch.testing.assert_close(packed.std(dim=0), padded.std(dim=0), rtol=0.1, atol=0)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("shape", [(1,), (3, 7), (1000, 333)])
def test_fast_dropout(p, shape):
    torch.manual_seed(0)
    x = torch.randn(shape).add_(5).requires_grad_()
    y = fast_dropout(x, p)
    kept = y != 0
    dropped = round(p * 65536) / 65536
    torch.testing.assert_close(y, torch.where(kept, x / (1 - dropped) if p < 1 else x, 0))
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(kept, 1 / (1 - dropped) if p < 1 else 1.0, 0.0))
    if x.numel() > 1000:
        deviation = (p * (1 - p) / x.numel()) ** 0.5
        assert kept.float().mean().item() == pytest.approx(1 - p, abs=5 * deviation + 1e-5)
        columns = kept.float().mean(dim=0)  # no place is favoured: sixteen bits of each word are as good as others
        assert (columns - (1 - p)).abs().max() <= 6 * (p * (1 - p) / len(kept)) ** 0.5 + 1e-5


def test_draws_come_from_torchs_generator():
    x = torch.ones(100)
    torch.manual_seed(1)
    one = fast_dropout(x, 0.5)
    assert not torch.equal(fast_dropout(x, 0.5), one)
    torch.manual_seed(1)
    assert torch.equal(fast_dropout(x, 0.5), one)


def test_which_layout_is_chosen(tiny_sizes, tokenizer):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")

    def chosen(kind, device, padding="auto", fixed=False):
        args = SimpleNamespace(padding=padding, device=device)
        data_args = SimpleNamespace(pad_to_max_length=fixed)
        return preparation._padding(model_of(kind, tiny_sizes, tokenizer), data_args, args)

    assert chosen("bert", cpu) == "none"
    assert chosen("mpnet", cpu) == "chunks"
    assert chosen("bert", cpu, fixed=True) == "batch"
    assert chosen("bert", gpu) == "batch"
    assert chosen("bert", cpu, padding="batch") == "batch"
    with pytest.raises(UserError, match="--padding none is for encoders of BERT's kind, not MPNetModel"):
        chosen("mpnet", cpu, padding="none")
    with pytest.raises(UserError, match="--padding none is for a CPU"):
        chosen("bert", gpu, padding="none")
    with pytest.raises(UserError, match="--padding chunks and --pad_to_max_length contradict"):
        chosen("bert", cpu, padding="chunks", fixed=True)


@pytest.mark.parametrize(("padding", "fast"), [("none", True), ("chunks", True), ("batch", False)])
def test_padded_to_the_longest_all_is_torchs_own(command, monkeypatch, padding, fast):
    models = []
    monkeypatch.setattr(preparation, "MixCSETrainer", lambda model, *_, **__: models.append(model) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        training.main([*command, "--padding", padding])
    assert any(isinstance(module, FastDropout) for module in models[0].modules()) == fast


def test_runs_of_every_layout(command, tmp_path, monkeypatch):
    """Without dropout they are one run."""
    prepare = preparation.SentenceModel.prepare_training

    def without_dropout(model, *args, **hub):
        prepare(model, *args, **hub)
        set_dropout(model, 0)

    monkeypatch.setattr(preparation.SentenceModel, "prepare_training", without_dropout)
    scores = {}
    for padding in ("none", "chunks", "batch"):
        out = tmp_path / padding
        training.main([*command, "--padding", padding, "--output_dir", str(out)])
        scores[padding] = list(logged(out, "loss").values())
    assert scores["none"] == pytest.approx(scores["batch"], rel=1e-4)
    assert scores["chunks"] == pytest.approx(scores["batch"], rel=1e-4)


def test_a_padding_token_within_a_text_counts_no_position(tiny_sizes, tokenizer):
    """RoBERTa's `<pad>`, where a user wrote it: as transformers numbers positions."""
    model = model_of("roberta", tiny_sizes, tokenizer)
    batch = random_batch(8, 1)
    batch["input_ids"][2, 0, 2] = model.encoder.config.pad_token_id
    padded = loss_and_gradients(model, batch)
    model.packed = True
    assert_equal(loss_and_gradients(model, batch), padded)
