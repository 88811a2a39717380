"""A batch encoded in chunks, for less padding or less memory; rows come back in their order.

Sorted by length and cut into chunks, each padded to its own longest row, a batch of real
sentences has about a third fewer token slots.  The rows are computed as they would be in
one piece; dropout draws other masks, of the same distribution.

With `replay`, a chunk keeps nothing for the backward pass but what it was called with and
the state of the random generators, and is computed a second time there, with the same
dropout (Gao, Zhang, Han, Callan: Scaling Deep Contrastive Learning Batch Size under Memory
Limited Setup.  RepL4NLP 2021).  Memory then depends on the chunk, not on the batch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

LENGTH_CHUNKS = 8  # on a CPU; between 4 and 16 it hardly matters
SMALLEST_CHUNK = 16  # rows; smaller ones save less padding than they cost in calls


@dataclass(frozen=True)
class Chunking:
    """How a batch is cut.

    Attributes:
        count: chunks a batch, unless they would be smaller than `SMALLEST_CHUNK` rows.
        rows: if given, chunks of at most this many rows instead, replayed.
        tokens: if given, chunks of rows that have at most this many tokens together, or of one row; replayed.
        trim: pad a chunk to its own longest row, not to the batch's.
    """

    count: int = 1
    rows: int | None = None
    trim: bool = True
    tokens: int | None = None

    def bounds(self, rows: int) -> list[int]:
        """Where chunks begin and end: count + 1 numbers from 0 to `rows`, evenly apart."""
        count = -(-rows // self.rows) if self.rows else max(1, min(self.count, rows // SMALLEST_CHUNK))
        return [rows * i // count for i in range(count + 1)]

    def cut(self, lengths: Tensor) -> list[int]:
        """As `bounds`, of rows that have so many tokens, (rows,)."""
        if self.tokens is None:
            return self.bounds(len(lengths))
        ends, total = [0], 0
        for row, length in enumerate(lengths.tolist()):
            if row > ends[-1] and total + length > self.tokens:
                ends.append(row)
                total = 0
            total += length
        return [*ends, len(lengths)]


def in_chunks(function: Callable[..., Tensor], chunking: Chunking, attention_mask: Tensor, *others: Tensor) -> Tensor:
    """`function(attention_mask, *others)`, a chunk at a time.

    Args:
        function: computes each row by itself, (rows, length) tensors to (rows, ...).
        attention_mask: (rows, length); padding is at the end of rows.
        others: of the same shape.
    """
    replayed = bool(chunking.rows or chunking.tokens)
    if not replayed and len(chunking.bounds(len(attention_mask))) == 2:
        return function(attention_mask, *others)
    lengths = attention_mask.sum(dim=1)
    order = lengths.argsort(descending=True, stable=True)  # the longest first: if memory runs out, then at once
    bounds = chunking.cut(lengths[order])
    outputs = [
        checkpoint(function, *chunk, use_reentrant=False) if replayed else function(*chunk)
        for chunk in _cut([attention_mask, *others], order, lengths, bounds, trim=chunking.trim)
    ]
    return torch.cat(outputs)[order.argsort()]


def _cut(
    tensors: list[Tensor], order: Tensor, lengths: Tensor, bounds: list[int], *, trim: bool
) -> Iterator[list[Tensor]]:
    longest = lengths[order[bounds[:-1]]].tolist() if trim else [tensors[0].size(1)] * (len(bounds) - 1)
    for start, end, length in zip(bounds, bounds[1:], longest, strict=False):
        yield [tensor[order[start:end], :length] for tensor in tensors]
