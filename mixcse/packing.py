"""A batch without padding: all tokens of all rows in one sequence, attention within each row.

Layers see a token at a time, so the rows can stand one after the other; only attention has to
know where a row ends, and rows of one length are attended to together.  Of the last layer,
poolers of the first token read one token a row.  With q that token's query, the score of
token x is q . (W_k x + b_k) = (W_k' q) . x + q . b_k, and what the values add up to is
W_v (sum of a x) + b_v (sum of a): one product a row where keys and values take one a token.

The numbers are those of the padded batch, up to rounding.  For a CPU; a GPU would rather have
few and large kernels.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from mixcse.fast_dropout import fast_dropout
from mixcse.first_token import POOLERS_OF_FIRST_TOKEN, is_checkpointing, layers_of_berts_kind

NAME = "mixcse_packed"


@dataclass(frozen=True)
class Packing:
    """Where the rows are in the sequence, longest first.

    Attributes:
        order: of the batch's rows.
        groups: (rows, length) of the rows of one length, in the sequence's order.
        starts: where each row begins.
        positions: of each token in its row.
    """

    order: Tensor
    groups: list[tuple[int, int]]
    starts: Tensor
    positions: Tensor

    @classmethod
    def of(cls, attention_mask: Tensor) -> "Packing":
        """Of rows whose padding is at their end."""
        lengths = attention_mask.sum(dim=1)
        order = lengths.argsort(descending=True, stable=True)
        values, counts = lengths[order].unique_consecutive(return_counts=True)
        starts = lengths[order].cumsum(0) - lengths[order]
        kept = attention_mask[order].bool()
        positions = torch.arange(attention_mask.size(1), device=attention_mask.device).expand_as(attention_mask)[kept]
        return cls(order, list(zip(counts.tolist(), values.tolist(), strict=True)), starts, positions)

    def rows(self, tokens: Tensor) -> list[Tensor]:
        """The rows of each length: (tokens, ...) -> (rows, length, ...)."""
        parts = tokens.split([rows * length for rows, length in self.groups])
        return [part.unflatten(0, group) for part, group in zip(parts, self.groups, strict=True)]


def can_pack(encoder: PreTrainedModel) -> bool:
    """Whether it is built of layers that `embed_packed` knows, with positions counted from a row's start."""
    return (
        layers_of_berts_kind(encoder) is not None
        and encoder.config._attn_implementation == "sdpa"
        and not is_checkpointing(encoder)
        and getattr(encoder.config, "position_embedding_type", "absolute") == "absolute"
        and not getattr(encoder.config, "is_decoder", False)
    )


def encode_packed(encoder: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, pooler: str) -> Any:
    """What the encoder returns for rows: (rows, length) twice.

    Returns:
        `last_hidden_state`, of the first token alone where the pooler reads nothing else,
        `pooler_output`, and else `hidden_states` without the embeddings' (None).
    """
    packing = Packing.of(attention_mask)
    hidden = _embedded(encoder, input_ids[packing.order], attention_mask[packing.order], packing)
    first_token = pooler in POOLERS_OF_FIRST_TOKEN
    layers, states = layers_of_berts_kind(encoder), []
    before = encoder.config._attn_implementation
    encoder.config._attn_implementation = NAME
    try:
        for layer in layers[:-1] if first_token else layers:
            hidden = layer(hidden, None, packing=packing)
            states.append(hidden)
    finally:
        encoder.config._attn_implementation = before
    back = packing.order.argsort()
    if first_token:
        last = _last_layer(layers[-1], hidden[0], packing)[back].unsqueeze(1)
        pooled = encoder.pooler(last) if getattr(encoder, "pooler", None) is not None else None
        return SimpleNamespace(last_hidden_state=last, pooler_output=pooled)
    padded = [_padded(state[0], attention_mask[packing.order])[back] for state in states]
    return SimpleNamespace(last_hidden_state=padded[-1], hidden_states=(None, *padded))


def _embedded(encoder: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, packing: Packing) -> Tensor:
    ids = input_ids[attention_mask.bool()][None]
    table = encoder.embeddings.position_embeddings
    first = 0 if table.padding_idx is None else table.padding_idx + 1  # RoBERTa's kind
    hidden = encoder.embeddings(
        input_ids=ids, position_ids=packing.positions[None] + first, token_type_ids=torch.zeros_like(ids)
    )
    project = getattr(encoder, "embeddings_project", None)  # ELECTRA's, where its embeddings are smaller
    return hidden if project is None else project(hidden)


def _padded(tokens: Tensor, attention_mask: Tensor) -> Tensor:
    rows = tokens.new_zeros(*attention_mask.shape, tokens.size(-1))
    return rows.index_put(attention_mask.bool().nonzero(as_tuple=True), tokens)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packing: Packing,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Each row's attention to itself: (1, heads, tokens, size) three times -> (1, tokens, heads, size)."""
    q, k, v = (packing.rows(tensor[0].transpose(0, 1)) for tensor in (query, key, value))
    outputs = []
    for one in zip(q, k, v, strict=True):  # (rows, length, heads, size)
        q_rows, k_rows, v_rows = (tensor.transpose(1, 2) for tensor in one)
        weights = (q_rows * scaling @ k_rows.transpose(2, 3)).softmax(dim=-1)
        outputs.append((fast_dropout(weights, dropout) @ v_rows).transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)[None], None


AttentionInterface.register(NAME, _attention)


def _last_layer(layer: nn.Module, hidden: Tensor, packing: Packing) -> Tensor:
    """The layer's output at each row's first token: (tokens, d) -> (rows, d)."""
    attention = layer.attention.self
    heads, size = attention.num_attention_heads, attention.attention_head_size
    first = hidden[packing.starts]
    q = attention.query(first).unflatten(1, (heads, size)) * attention.scaling  # (rows, heads, size)
    w_k, w_v = (linear.weight.unflatten(0, (heads, size)) for linear in (attention.key, attention.value))
    b_k, b_v = (linear.bias.unflatten(0, (heads, size)) for linear in (attention.key, attention.value))
    towards = torch.einsum("rhs,hsd->rhd", q, w_k)
    constant = torch.einsum("rhs,hs->rh", q, b_k).unsqueeze(-1)
    p = attention.dropout.p if layer.training else 0.0
    summed, weight = [], []
    counts = [rows for rows, _ in packing.groups]
    for x, w, c in zip(packing.rows(hidden), towards.split(counts), constant.split(counts), strict=True):
        weights = fast_dropout((w @ x.transpose(1, 2) + c).softmax(dim=-1), p)  # (rows, heads, length)
        summed.append(weights @ x)
        weight.append(weights.sum(dim=-1, keepdim=True))
    attended = torch.einsum("rhd,hsd->rhs", torch.cat(summed), w_v) + torch.cat(weight) * b_v
    return layer.feed_forward_chunk(layer.attention.output(attended.flatten(1), first))
