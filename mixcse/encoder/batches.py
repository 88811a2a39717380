"""Sentences to embeddings: batches of similar length, tokenised while the model is at work."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from mixcse.data.batch import pad_rows
from mixcse.model.fast_linear import fast_linear
from mixcse.model.packing import can_pack, encode_packed
from mixcse.model.pooling import pool
from mixcse.model.sentence_model import SentenceModel

BUDGET_LENGTH = 64  # tokens
CPU_BUDGET = 2048  # tokens in a forward pass; caches hold no more, and larger ones are slower
TOKENISED_AT_ONCE = 1024  # sentences


class Row(NamedTuple):
    """The tokens of a sentence, its position among the sentences, and whether it was truncated."""

    position: int
    ids: list[int]
    is_cut: bool = False


@torch.inference_mode()
def embeddings_of(
    model: SentenceModel, sentences: list[str], *, pooler: str, max_length: int, batch_size: int, unpooled: int = 0
) -> Iterator[tuple[list[int], np.ndarray, int]]:
    """Yield positions of sentences, their embeddings, float32 (positions, d), and how many of them were truncated.

    The longest sentences come first.

    Args:
        model: in evaluation mode.
        max_length: in tokens.
        batch_size: sentences of `BUDGET_LENGTH` tokens in a forward pass; a CPU takes `CPU_BUDGET` tokens at most.
        unpooled: as for `pool`.
    """
    device = next(model.encoder.parameters()).device
    budget = batch_size * BUDGET_LENGTH
    budget = min(budget, CPU_BUDGET) if device.type == "cpu" else budget
    for batch in batches(tokenised(model.tokenizer, sentences, max_length), budget):
        inputs = pad_rows(model.tokenizer, [row.ids for row in batch])
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        with fast_linear():  # not over the yield: it is the whole thread's
            z = model.following(_embed(model, pooler=pooler, unpooled=unpooled, **inputs))
        yield [row.position for row in batch], z.float().cpu().numpy(), sum(row.is_cut for row in batch)


def tokenised(tokenizer: PreTrainedTokenizerBase, sentences: list[str], max_length: int) -> Iterator[Row]:
    """The tokens of sentences, longest first or nearly so; a thread is a chunk ahead of who takes them.

    An empty sentence is a single space, as in training.
    """
    order = sorted(range(len(sentences)), key=lambda position: -len(sentences[position]))

    def tokenise(start: int) -> list[Row]:
        positions = order[start : start + TOKENISED_AT_ONCE]
        tokens = tokenizer(
            [sentences[position] or " " for position in positions],
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        ids, encodings = tokens["input_ids"], tokens.encodings  # slow tokenizers have no encodings
        full = [len(row) >= max_length for row in ids]
        cut = [is_full and (not encodings or bool(encodings[i].overflowing)) for i, is_full in enumerate(full)]
        return sorted(map(Row, positions, ids, cut), key=lambda row: -len(row.ids))

    with ThreadPoolExecutor(max_workers=1) as thread:  # one: a tokenizer is not for several
        starts = range(0, len(order), TOKENISED_AT_ONCE)
        following = thread.submit(tokenise, 0) if order else None
        for start in starts:
            rows = following.result()
            if start + TOKENISED_AT_ONCE < len(order):
                following = thread.submit(tokenise, start + TOKENISED_AT_ONCE)
            yield from rows


def batches(rows: Iterable[Row], budget: int) -> Iterator[list[Row]]:
    """Cuts rows, in their order, into batches of at most `budget` tokens, padding counted, or of one row."""
    batch: list[Row] = []
    longest = 0
    for row in rows:
        longest = max(longest, len(row.ids))
        if batch and longest * (len(batch) + 1) > budget:
            yield batch
            batch, longest = [], len(row.ids)
        batch.append(row)
    if batch:
        yield batch


def _embed(model: SentenceModel, input_ids: Tensor, attention_mask: Tensor, pooler: str, unpooled: int) -> Tensor:
    """As `SentenceModel.embed`, without padding where that is faster: in float32 on a CPU."""
    plain = model.encoder.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if input_ids.device.type != "cpu" or not plain or not can_pack(model.encoder):
        return model.embed(input_ids, attention_mask, pooler, unpooled)
    outputs = encode_packed(model.encoder, input_ids, attention_mask, pooler)
    return pool(pooler, outputs, attention_mask, model.head, unpooled=unpooled)
