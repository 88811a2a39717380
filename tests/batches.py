"""Batches, and models in float64, for the tests of the ways to encode them."""

import torch
from transformers import AutoConfig, AutoModel

from mixcse.model.chunking import Chunking
from mixcse.model.masked_lm import IGNORED
from mixcse.model.sentence_model import SentenceModel
from mixcse.objective import contrastive_loss

DIRECT = Chunking()
SHORTENED = ("bert", "roberta", "xlm-roberta", "camembert", "electra")  # the kinds whose layers are BERT's


def set_dropout(model, probability):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = probability


def random_rows(shape, width=20, longest=20):
    """Ids and mask, (*shape, width): rows of 3 to `longest` tokens."""
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, longest + 1, (*shape, 1), generator=draw)
    mask = (torch.arange(width) < lengths).long()
    return torch.randint(5, 40, (*shape, width), generator=draw) * mask, mask


def random_batch(batch, num_sent, *, width=20, mlm=False):
    ids, mask = random_rows((batch, num_sent), width)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if mlm:
        views = ids.repeat(1, 2 if num_sent == 1 else 1, 1)
        masked = (torch.rand(views.shape, generator=torch.Generator().manual_seed(1)) < 0.3) & (views > 0)
        inputs |= {"mlm_input_ids": views.masked_fill(masked, 4), "mlm_labels": views.masked_fill(~masked, IGNORED)}
    return inputs


def loss_and_gradients(model, batch, chunking=DIRECT, seed=0):
    model.chunking = chunking
    model.zero_grad()
    torch.manual_seed(seed)
    outputs = model(**batch)
    loss = contrastive_loss(outputs["embeddings"]) + outputs.get("mlm_loss", 0)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert len(gradients) > 40  # three layers
    return {"loss": loss.detach()} | gradients


def calls_of(module):
    """Rows and tokens of each call to come."""
    calls = []

    def note(module, args, kwargs):
        calls.append(tuple((*args, *kwargs.values())[0].shape))

    module.register_forward_pre_hook(note, with_kwargs=True)
    return calls


def checkpoint_activations(encoder):
    newer = getattr(encoder, "activation_checkpointing_enable", None)  # transformers renamed it
    (newer or encoder.gradient_checkpointing_enable)()


def assert_equal(one, other):
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def differ(one, other):
    return any(not torch.allclose(one[name], other[name], rtol=1e-6, atol=1e-6) for name in one)


def model_of(kind, sizes, tokenizer):
    if kind in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        sizes = sizes | {"max_position_embeddings": 66, "pad_token_id": 1}  # they count from there on
    if kind == "distilbert":
        sizes = {"vocab_size": sizes["vocab_size"], "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32}
    torch.manual_seed(0)
    model = SentenceModel(AutoModel.from_config(AutoConfig.for_model(kind, **sizes)), tokenizer)
    model.prepare_training("cls")
    set_dropout(model, 0)
    return model.double().train()
