"""A batch without padding: all tokens of all rows in one sequence, attention within each row.

Layers see a token at a time, so the rows can stand one after the other; only attention has to
know where a row ends, and rows of similar length are attended to together.  Of the last layer,
poolers of the first token read one token a row.  With q that token's query, the score of
token x is q . (W_k x + b_k) = (W_k' q) . x + q . b_k, and what the values add up to is
W_v (sum of a x) + b_v (sum of a): one product a row where keys and values take one a token.

The numbers are those of the padded batch, up to rounding.  For a CPU; a GPU would rather have
few and large kernels.
"""

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from mixcse.model.fast_dropout import fast_dropout
from mixcse.model.first_token import POOLERS_OF_FIRST_TOKEN, is_checkpointing, layers_of_berts_kind
from mixcse.model.pooling import NEEDS_HIDDEN_STATES

NAME = "mixcse_packed"
# Attention pads within a bucket, which is cheap there, so that there are few of them.
BUCKETS, SMALLEST_WIDTH = 8, 4  # at most; lengths in one, at least


@dataclass(frozen=True)
class Bucket:
    """Rows of similar length, attended to together.

    Attributes:
        rows: which, of those in the sequence.
        inside: (rows, length), False behind a row's end.
        starts: where in the sequence each row begins.
    """

    rows: slice
    inside: Tensor
    starts: Tensor

    def mask(self) -> Tensor | None:
        """What to add to scores, (rows, 1, 1, length); None if all rows are as long."""
        if self.inside.all():
            return None
        return torch.zeros(self.inside.shape).masked_fill(~self.inside, -math.inf)[:, None, None]

    def tokens(self) -> Tensor:
        """Which token is in each place, (rows, length): behind a row's end, its last one."""
        places = self.inside.cumsum(dim=1) - 1
        return self.starts[:, None] + places


class Packing:
    """Where the rows are in the sequence, longest first.

    Attributes:
        order: of the batch's rows.
        starts: where each row begins.
        positions: of each token in its row.
        buckets: the rows, cut where lengths differ by more than a few tokens.
    """

    def __init__(self, attention_mask: Tensor) -> None:
        lengths, self.order = attention_mask.sum(dim=1).sort(descending=True, stable=True)
        self.starts = lengths.cumsum(0) - lengths
        places = torch.arange(attention_mask.size(1))
        inside = places < lengths.unsqueeze(1)
        self.positions = places.expand_as(inside)[inside]
        width = max(SMALLEST_WIDTH, -(-attention_mask.size(1) // BUCKETS))
        _, counts = ((lengths - 1) // width).unique_consecutive(return_counts=True)
        ends = counts.cumsum(0).tolist()
        self.buckets = [
            Bucket(slice(start, end), inside[start:end, : int(lengths[start])], self.starts[start:end])
            for start, end in zip([0, *ends], ends, strict=False)
        ]
        self.masks = [bucket.mask() for bucket in self.buckets]
        self._moves: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def in_buckets(self, values: Tensor) -> list[Tensor]:
        """(tokens, heads, size) -> contiguous (rows, heads, length, size) for each bucket."""
        heads = values.size(1)
        there, back, _ = self._move(heads)
        flat = _Moved.apply(values.flatten(0, 1), there, back, None)
        shapes = [(len(bucket.inside), heads, bucket.inside.size(1), values.size(2)) for bucket in self.buckets]
        parts = flat.split([math.prod(shape[:3]) for shape in shapes])
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def in_sequence(self, buckets: list[Tensor]) -> Tensor:
        """The way back; what stands behind a row's end is dropped."""
        heads = buckets[0].size(1)
        there, back, hidden = self._move(heads)
        flat = torch.cat([bucket.flatten(0, 2) for bucket in buckets])
        return _Moved.apply(flat, back, there, hidden).unflatten(0, (-1, heads))

    def _move(self, heads: int) -> tuple[Tensor, Tensor, Tensor]:
        """Which (token, head) is in each place of the buckets (row, head, place); where each is; which are hidden."""
        if heads not in self._moves:
            head = torch.arange(heads)[:, None]
            there = [(bucket.tokens()[:, None] * heads + head).flatten() for bucket in self.buckets]
            inside = [bucket.inside[:, None].expand(-1, heads, -1).flatten() for bucket in self.buckets]
            there, inside = torch.cat(there), torch.cat(inside)
            shown = inside.nonzero().squeeze(1)
            back = torch.empty_like(shown)
            back[there[shown]] = shown
            self._moves[heads] = there, back, (~inside).nonzero().squeeze(1)
        return self._moves[heads]


class _Moved(torch.autograd.Function):
    """`values[there]`; gradients go `back`, without a sum, for what is hidden has none."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, there: Tensor, back: Tensor, hidden: Tensor | None) -> Tensor:
        ctx.save_for_backward(back, *(() if hidden is None else (hidden,)))
        return values.index_select(0, there)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        back, *hidden = ctx.saved_tensors
        moved = gradient.index_select(0, back)
        if hidden:
            moved.index_fill_(0, hidden[0], 0)
        return moved, None, None, None


def can_pack(encoder: PreTrainedModel) -> bool:
    """Whether it is built of layers that `encode_packed` knows, with positions counted from a row's start."""
    layers = layers_of_berts_kind(encoder)
    attention = layers[-1].attention.self if layers is not None else None
    return (
        attention is not None
        # `_last_layer` takes these weights for all that the layers do; with adapters, they do more.
        and type(attention.key) is type(attention.value) is nn.Linear
        and encoder.config._attn_implementation == "sdpa"
        and not is_checkpointing(encoder)
        and getattr(encoder.config, "position_embedding_type", "absolute") == "absolute"
        and not getattr(encoder.config, "is_decoder", False)
    )


def encode_packed(encoder: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, pooler: str) -> Any:
    """What the encoder returns for rows: (rows, length) twice.

    Returns:
        `last_hidden_state`, of the first token alone where the pooler reads nothing else,
        `pooler_output`, and else, for the poolers that read them, `hidden_states`.
    """
    packing = Packing(attention_mask)
    hidden = _embedded(encoder, input_ids[packing.order], attention_mask[packing.order], packing)
    first_token = pooler in POOLERS_OF_FIRST_TOKEN
    layers, states = layers_of_berts_kind(encoder), [hidden]
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
    read = states if pooler in NEEDS_HIDDEN_STATES else states[-1:]
    padded = [_padded(state[0], attention_mask[packing.order])[back] for state in read]
    return SimpleNamespace(last_hidden_state=padded[-1], hidden_states=padded)


def _embedded(encoder: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, packing: Packing) -> Tensor:
    ids = input_ids[attention_mask.bool()][None]
    positions, padding = packing.positions, encoder.embeddings.position_embeddings.padding_idx
    if padding is not None:  # RoBERTa's kind counts from there on, and counts no padding token, wherever it stands
        counted = input_ids != padding
        positions = (counted.cumsum(dim=1) * counted + padding)[attention_mask.bool()]
    hidden = encoder.embeddings(input_ids=ids, position_ids=positions[None], token_type_ids=torch.zeros_like(ids))
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
    q, k, v = (packing.in_buckets(tensor[0].transpose(0, 1)) for tensor in (query * scaling, key, value))
    outputs = []
    for q_rows, k_rows, v_rows, mask in zip(q, k, v, packing.masks, strict=True):  # (rows, heads, length, size)
        scores = q_rows @ k_rows.transpose(2, 3)
        weights = (scores if mask is None else scores + mask).softmax(dim=-1)
        outputs.append(fast_dropout(weights, dropout) @ v_rows)
    return packing.in_sequence(outputs)[None], None


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
    for x, mask, bucket in zip(packing.in_buckets(hidden.unsqueeze(1)), packing.masks, packing.buckets, strict=True):
        x = x.squeeze(1)  # (rows, length, d)
        scores = towards[bucket.rows] @ x.transpose(1, 2) + constant[bucket.rows]  # (rows, heads, length)
        weights = fast_dropout((scores if mask is None else scores + mask.squeeze(1)).softmax(dim=-1), p)
        summed.append(weights @ x)
        weight.append(weights.sum(dim=-1, keepdim=True))
    attended = torch.einsum("rhd,hsd->rhs", torch.cat(summed), w_v) + torch.cat(weight) * b_v
    return layer.feed_forward_chunk(layer.attention.output(attended.flatten(1), first))
