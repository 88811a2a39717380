"""The model class over several architectures: poolers, heads, folders."""

import json

import pytest
import torch
from families import make_folder
from safetensors.torch import load_file, save_file
from transformers import (
    BertModel,
)

from mixcse import SentenceEncoder
from mixcse.data.batch import ContrastiveCollator, pad_rows
from mixcse.model.pooling import masked_mean, pool
from mixcse.model.sentence_model import HEADS_FILE, SentenceModel

KINDS = ["bert", "roberta", "mpnet", "electra", "distilbert"]


@pytest.fixture(params=KINDS)
def folder(request, tmp_path, tokenizer, tiny_sizes):
    return make_folder(tmp_path / request.param, tokenizer, tiny_sizes, request.param)


def batch_of(model, sentences, **keywords):
    ids = [[ids] for ids in model.tokenizer(sentences)["input_ids"]]
    return ContrastiveCollator(model.tokenizer, **keywords)([{"input_ids": group} for group in ids])


def test_the_head_is_the_encoders_pooler_where_it_has_one(folder, tmp_path):
    model = SentenceModel.from_pretrained(folder)
    model.prepare_training("cls")
    has_pooler = getattr(model.encoder, "pooler", None) is not None
    assert (model.head is None) == has_pooler
    model.save_pretrained(tmp_path / "saved", recorded_pooler="cls_before_pooler")
    assert (tmp_path / "saved" / HEADS_FILE).exists() != has_pooler


def test_all_rows_go_through_the_encoder_once(tiny_bert):
    model = SentenceModel.from_pretrained(tiny_bert)
    model.prepare_training("cls")
    calls = []
    model.encoder.register_forward_hook(lambda module, args, kwargs, out: calls.append(kwargs), with_kwargs=True)
    model(**batch_of(model, ["the cat", "a dog", "the mat"]))
    assert len(calls) == 1
    assert calls[0]["input_ids"].shape[0] == 6


def test_dropout_makes_two_views(tiny_bert):
    model = SentenceModel.from_pretrained(tiny_bert).train()
    z = model(**batch_of(model, ["the cat sat on the mat"]))["embeddings"]
    assert not torch.equal(z[:, 0], z[:, 1])
    z = model.eval()(**batch_of(model, ["the cat sat on the mat"]))["embeddings"]
    torch.testing.assert_close(z[:, 0], z[:, 1])


def test_the_head_starts_fresh_and_an_unused_pooler_is_frozen(tiny_bert):
    model = SentenceModel.from_pretrained(tiny_bert)
    before = model.encoder.pooler.dense.weight.clone()
    model.prepare_training("cls")
    assert not torch.equal(model.encoder.pooler.dense.weight, before)
    assert model.encoder.pooler.dense.bias.abs().sum() == 0
    model.prepare_training("avg")
    assert not any(p.requires_grad for p in model.encoder.pooler.parameters())


def test_poolers_by_hand(tiny_bert):
    encoder = BertModel.from_pretrained(tiny_bert).eval()
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    outputs = encoder(torch.tensor([[2, 5, 3, 0], [2, 6, 7, 3]]), mask, output_hidden_states=True)
    states = outputs.hidden_states
    assert len(states) == 4  # embeddings and three layers

    def mean(hidden):
        return torch.stack([hidden[0, :3].mean(0), hidden[1].mean(0)])

    torch.testing.assert_close(pool("cls", outputs, mask), outputs.pooler_output)
    torch.testing.assert_close(pool("cls_before_pooler", outputs, mask), states[-1][:, 0])
    torch.testing.assert_close(pool("avg", outputs, mask), mean(states[-1]))
    torch.testing.assert_close(pool("avg_top2", outputs, mask), mean((states[-1] + states[-2]) / 2))
    torch.testing.assert_close(pool("avg_first_last", outputs, mask), mean((states[1] + states[-1]) / 2))
    largest = torch.stack([states[-1][0, :3].max(0).values, states[-1][1].max(0).values])
    torch.testing.assert_close(pool("max", outputs, mask), largest)
    torch.testing.assert_close(pool("last", outputs, mask), torch.stack([states[-1][0, 2], states[-1][1, 3]]))
    left = pool("last", outputs, mask.flip(1))  # wherever the padding is
    torch.testing.assert_close(left, torch.stack([states[-1][0, 3], states[-1][1, 3]]))
    torch.testing.assert_close(masked_mean(states[-1], mask), mean(states[-1]))
    with pytest.raises(ValueError, match="pooler"):
        pool("median", outputs, mask)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra"])
def test_masked_lm_shares_the_encoder_and_leaves_the_contrastive_batch_alone(kind, tmp_path, tokenizer, tiny_sizes):
    folder = make_folder(tmp_path / kind, tokenizer, tiny_sizes, kind)
    model = SentenceModel.from_pretrained(folder)
    model.prepare_training("cls", mlm_from=str(folder))
    sentences = ["the cat sat on the mat", "a dog ran"]
    plain, masked = batch_of(model, sentences), batch_of(model, sentences, mlm_probability=0.5)
    for name in plain:
        assert torch.equal(plain[name], masked[name])
    changed = masked["mlm_labels"] != -100
    assert changed.any()
    assert masked["mlm_labels"].shape == (2, 2, masked["input_ids"].size(-1))
    assert not torch.equal(changed[:, 0], changed[:, 1])  # each view has its own mask
    original = masked["input_ids"].expand(-1, 2, -1)
    assert torch.equal(original[changed], masked["mlm_labels"][changed])
    assert not (masked["mlm_labels"] == tokenizer.pad_token_id).any()

    outputs = model(**masked)
    table = model.encoder.get_input_embeddings().weight
    (grad,) = torch.autograd.grad(outputs["mlm_loss"], table)
    assert grad.abs().sum() > 0
    base = getattr(model.masked_lm, model.masked_lm.base_model_prefix)
    assert base is model.encoder

    model.save_pretrained(tmp_path / "saved", recorded_pooler="cls_before_pooler")
    fresh = SentenceModel.from_pretrained(folder)
    fresh.prepare_training("cls", mlm_from=str(folder))
    fresh.load_weights(tmp_path / "saved")
    torch.testing.assert_close(
        fresh.eval()(**masked)["mlm_loss"], model.eval()(**masked)["mlm_loss"], rtol=1e-6, atol=1e-6
    )


def test_views_and_sentences_come_back_in_their_places(tiny_bert):
    model = SentenceModel.from_pretrained(tiny_bert).eval()
    sentences = ["the cat sat", "a dog", "the mat"]
    alone = torch.cat([model.embed(**model.tokenizer(s, return_tensors="pt", return_token_type_ids=False),
                                   pooler=model.pooler) for s in sentences])  # fmt: skip
    z = model(**batch_of(model, sentences))["embeddings"]
    torch.testing.assert_close(z, torch.stack([alone, alone], dim=1))
    triplet = [{"input_ids": model.tokenizer(sentences)["input_ids"]}]
    torch.testing.assert_close(model(**ContrastiveCollator(model.tokenizer)(triplet))["embeddings"], alone[None])


def test_padding_is_dynamic_or_fixed_and_always_right(tokenizer):
    tokenizer.padding_side = "left"
    try:
        padded = pad_rows(tokenizer, [[2, 3], [2, 5, 3]])
        assert padded["input_ids"].tolist() == [[2, 3, 0], [2, 5, 3]]
        assert pad_rows(tokenizer, [[2, 3]], length=5)["attention_mask"].tolist() == [[1, 1, 0, 0, 0]]
    finally:
        tokenizer.padding_side = "right"


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.safetensors"])
def test_the_head_of_simcses_own_checkpoints(kind, file, tmp_path, tokenizer, tiny_sizes):
    """BertForCL and RobertaForCL: `bert.*` and `mlp.dense.*`."""
    folder = make_folder(tmp_path / kind, tokenizer, tiny_sizes, kind)
    weights = {f"{kind}.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    weights = {name: value for name, value in weights.items() if ".pooler." not in name}
    torch.manual_seed(1)
    mlp = torch.nn.Linear(16, 16)
    weights |= {"mlp.dense.weight": mlp.weight.detach(), "mlp.dense.bias": mlp.bias.detach()}
    (folder / "model.safetensors").unlink()
    if file.endswith(".bin"):
        torch.save(weights, folder / file)
    else:
        save_file(weights, folder / file, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": [f"{kind.title()}ForCL"]}))
    first = torch.tensor(SentenceEncoder(folder, pooler="cls_before_pooler").encode(["the cat sat"]))
    head = SentenceEncoder(folder, pooler="cls").encode(["the cat sat"])
    torch.testing.assert_close(torch.tensor(head), torch.tanh(mlp(first)).detach(), rtol=0, atol=1e-6)
