"""`SentenceEncoder`: sentences in, embeddings out; trainer, evaluation and users share it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mixcse.batching import pad_rows
from mixcse.console import UserError, first_line, say, warn
from mixcse.modeling import SentenceModel
from mixcse.pooling import POOLERS

BUDGET_LENGTH = 64  # tokens
CPU_BUDGET = 2048  # tokens in a forward pass; caches hold no more, and larger ones are slower
DEFAULT_POOLER = "cls_before_pooler"  # released script: evaluation.py --pooler cls_before_pooler


class SentenceEncoder:
    """Embeds sentences with a trained folder, a Hub model or a live `SentenceModel`.

    Example:
        encoder = SentenceEncoder("result/mixcse-bert-base-uncased")
        embeddings = encoder.encode(["A cat sits.", "Two dogs run."])  # float32, (2, 768)

    Args:
        model: a folder, a Hub id, or a model in memory.
        pooler: one of `mixcse.pooling.POOLERS`.  Default: the one that the folder records
            to test it with, else `cls_before_pooler`.  What is used is said on stderr.
        device: default: the GPU if there is one.  A model in memory stays where it is.
        max_seq_length: in tokens, special ones included; longer sentences are cut.
            Default: the model's own limit.

    Raises:
        UserError: the model cannot be loaded, or an argument does not fit it.
    """

    def __init__(
        self,
        model: str | Path | SentenceModel,
        *,
        pooler: str | None = None,
        device: str | torch.device | None = None,
        max_seq_length: int | None = None,
    ) -> None:
        if pooler is not None and pooler not in POOLERS:
            raise UserError(f"pooler {pooler!r} is not one of {', '.join(POOLERS)}")
        if isinstance(model, SentenceModel):
            self.model = model
            self.pooler = pooler or model.recorded_pooler or DEFAULT_POOLER
        else:
            self.model = SentenceModel.from_pretrained(model)
            _move(self.model, device)
            self.pooler = _choose_pooler(str(model), pooler, self.model.recorded_pooler)
        if self.pooler == "cls" and not self.model.has_cls_head:
            raise UserError("pooler 'cls': this model has no trained head for it; use cls_before_pooler")
        limit = self.model.max_length
        if max_seq_length is not None and not 0 < max_seq_length <= limit:
            raise UserError(f"max_seq_length {max_seq_length} is outside 1 to {limit}, this model's limit")
        self.max_seq_length = max_seq_length or limit

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.encoder.parameters()).device

    @property
    def dim(self) -> int:
        """The length of an embedding."""
        return self.model.encoder.config.hidden_size

    def fingerprint(self) -> str:
        """A hash of what embeddings depend on: weights, tokenizer, pooler, length limit."""
        digest = hashlib.sha256(repr((self.pooler, self.max_seq_length)).encode())
        digest.update(self.model.tokenizer.backend_tokenizer.to_str().encode() if self.model.tokenizer.is_fast else b"")
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(
                name.encode() + tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            )
        return digest.hexdigest()

    @torch.inference_mode()
    def encode(self, sentences: list[str], batch_size: int = 64, show_progress: bool = False) -> np.ndarray:
        """Embeddings of sentences, in their order: float32, (n, d).

        Works through batches of similar length and of a like number of tokens, the longest
        first (if memory runs out, it does so at once).  An empty sentence is encoded as a
        single space, as in training.

        Args:
            sentences: any number of them, none included.
            batch_size: sentences of `BUDGET_LENGTH` tokens in a forward pass; longer ones are
                fewer, shorter ones more.  A CPU takes `CPU_BUDGET` tokens at most.
            show_progress: show a progress bar on stderr, if that is a terminal.

        Raises:
            TypeError: `sentences` is one string, or holds something that is none.
            ValueError: `batch_size` is below 1.
        """
        if isinstance(sentences, str):
            raise TypeError("encode takes a list of sentences, not one string; put it in a list")
        sentences = list(sentences)
        for position, sentence in enumerate(sentences):
            if not isinstance(sentence, str):
                raise TypeError(f"sentence {position} is no string but {type(sentence).__name__}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        embeddings = np.zeros((len(sentences), self.dim), dtype=np.float32)
        rows = self._tokenize(sentences)
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        was_training = self.model.training
        self.model.eval()
        try:
            with self._progress(rows, show_progress) as bar:
                for batch in _batches(order, [len(row) for row in rows], self._budget(batch_size)):
                    inputs = pad_rows(self.model.tokenizer, [rows[i] for i in batch])
                    inputs = {name: tensor.to(self.device) for name, tensor in inputs.items()}
                    embeddings[batch] = self.model.embed(**inputs, pooler=self.pooler).float().cpu().numpy()
                    bar.update(sum(len(rows[i]) for i in batch))
        finally:
            self.model.train(was_training)
        return embeddings

    def _budget(self, batch_size: int) -> int:
        tokens = batch_size * BUDGET_LENGTH
        return min(tokens, CPU_BUDGET) if self.device.type == "cpu" else tokens

    @staticmethod
    def _progress(rows: list[list[int]], show: bool) -> tqdm:
        # In tokens, not sentences: sorted by length, only tokens pass at an even pace.
        total = sum(map(len, rows))
        return tqdm(total=total, desc="encoding", unit=" tokens", unit_scale=True, disable=None if show else True)

    def _tokenize(self, sentences: list[str]) -> list[list[int]]:
        if not sentences:
            return []
        return self.model.tokenizer(
            [sentence or " " for sentence in sentences],
            truncation=True,
            max_length=self.max_seq_length,
            return_attention_mask=False,
        )["input_ids"]


def _batches(order: list[int], lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Cuts an order, longest first, into batches of at most `budget` tokens, padding counted."""
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def _move(model: SentenceModel, device: str | torch.device | None) -> None:
    try:
        model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except Exception as error:  # torch has many kinds for a device that is not there
        raise UserError(f"device {device!r} cannot be used: {first_line(error)}") from error


def _choose_pooler(name: str, asked: str | None, recorded: str | None) -> str:
    if asked and recorded and asked != recorded:
        warn(f"{name} records that it is to be tested with pooler {recorded}; using {asked}, as asked")
        return asked
    source = "as asked" if asked else "recorded in the model" if recorded else "the default"
    pooler = asked or recorded or DEFAULT_POOLER
    say(f"pooler: {pooler} ({source})")
    return pooler
