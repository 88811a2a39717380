"""`SentenceEncoder`: sentences in, embeddings out; trainer, evaluation and users share it."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from tqdm import tqdm

from mixcse.base.console import once, warn
from mixcse.base.errors import UserError
from mixcse.data.formats import half_character
from mixcse.data.identity import tokenizer_identity
from mixcse.encoder.batches import embeddings_of
from mixcse.encoder.choices import choose_length, choose_pooler, default_pooler, move, warn_of_similarity
from mixcse.encoder.index import SearchMixin
from mixcse.encoder.stream import encode_file
from mixcse.encoder.vectors import check_count, finished
from mixcse.model.modules import Settings
from mixcse.model.pooling import check_pooler
from mixcse.model.prompts import left_out_of_pooling
from mixcse.model.sentence_model import SentenceModel
from mixcse.names import DTYPES, POOLERS

# One lock per model: encoding changes the model's mode and attention, whichever encoder does it.
LOCKS: WeakKeyDictionary[SentenceModel, threading.RLock] = WeakKeyDictionary()
TOLERATED_CUT = 0.01  # share of truncated sentences without a warning
# Prefixes of configuration keys that embeddings do not depend on: its origin, and our own records.
NOT_COUNTED = ("_", "transformers_version", "sentence_")


class SentenceEncoder(SearchMixin):
    """Embeds sentences with a trained folder, a Hub model or a live `SentenceModel`.

    It may be called from several threads, also several encoders of one model: they take turns.

    Example:
        encoder = SentenceEncoder("result/mixcse-bert-base-uncased")
        embeddings = encoder.encode(["A cat sits.", "Two dogs run."])  # float32, (2, 768)
        encoder.build_index(["A cat sits.", "Two dogs run."])
        encoder.search("An animal rests.", top_k=1)  # [Hit(sentence="A cat sits.", score=..., position=0)]

    Args:
        model: a folder, a Hub id, or a model in memory.
        pooler: one of `mixcse.model.pooling.POOLERS`.  Default: the one that the folder records
            to test it with, or that its `modules.json` says, else `cls_before_pooler`.  What is used is
            said on stderr.  Of a sentence-transformers folder all else is as it says, too: what follows
            the pooling, the length limit, a default prompt.
        device: default: the GPU if there is one.  For a model that is loaded, as are `dtype`,
            `revision` and `trust_remote_code`; one in memory stays where and as it is.
        max_seq_length: in tokens, special ones included and at least one more; longer
            sentences are cut.  Default: the model's own limit.
        dtype: `float32`, `float16` or `bfloat16`, of weights and computation; embeddings are
            float32 all the same.  For GPUs; a CPU takes all three, the halves more slowly.
            Default: float32.
        revision, trust_remote_code: of a Hub model, as for `AutoModel`.
        prompt: text before each sentence.  Default: what the folder says, as sentence-transformers has it.

    Attributes:
        index: what `search` looks through; see `build_index` and `load_index`.

    Raises:
        UserError: the model cannot be loaded, or an argument does not fit it.
        TypeError: `model` is neither a name nor a `SentenceModel`, or a length no whole number.
    """

    def __init__(
        self,
        model: str | Path | SentenceModel,
        *,
        pooler: str | None = None,
        device: str | torch.device | None = None,
        max_seq_length: int | None = None,
        dtype: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        prompt: str | None = None,
    ) -> None:
        if pooler is not None and pooler not in POOLERS:
            raise UserError(f"pooler {pooler!r} is not one of {', '.join(POOLERS)}")
        if dtype is not None and dtype not in DTYPES:
            raise UserError(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")
        if isinstance(model, SentenceModel):
            given = {"device": device, "dtype": dtype, "revision": revision, "trust_remote_code": trust_remote_code}
            if name := next((name for name, value in given.items() if value not in (None, False)), None):
                raise UserError(f"{name} is for a model that is loaded; this one is in memory, and stays as it is")
            self.model = model
            self.pooler = pooler or model.recorded_pooler or default_pooler(model)
        elif not isinstance(model, str | Path):
            raise TypeError(f"model is a folder, a Hub id or a SentenceModel, not {type(model).__name__}")
        else:
            hub = {"revision": revision} if revision else {}
            hub |= {"trust_remote_code": True} if trust_remote_code else {}
            precision = getattr(torch, dtype or DTYPES[0])
            self.model = SentenceModel.from_pretrained(model, dtype=precision, **hub).to(precision)
            move(self.model, device)
            self.pooler = choose_pooler(str(model), pooler, self._said_by_folder(), default_pooler(self.model))
            warn_of_similarity(str(model), self.model.settings)
        check_pooler(self.pooler, self.model.encoder, is_causal=self.model.is_causal)
        if self.pooler == "cls" and not self.model.has_cls_head:
            raise UserError("pooler 'cls': this model has no trained head for it; use cls_before_pooler")
        self.max_seq_length = choose_length(self.model, max_seq_length)
        self.prompt = self.model.prompt if prompt is None else prompt
        self._has_warned = False  # of truncated sentences
        self._lock = LOCKS.setdefault(self.model, threading.RLock())

    def _said_by_folder(self) -> tuple[str | None, str]:
        """The pooler that a folder says to use, and where; what else it says is taken over."""
        recorded, settings = self.model.recorded_pooler, self.model.settings
        if settings is None or (recorded and settings.are_those_of(self.model, recorded)):
            return recorded, "recorded in the model"
        self.follow(settings)
        return settings.pooler, "as its modules.json says"

    def follow(self, settings: Settings) -> None:
        """Take over what follows the pooling in a sentence-transformers folder."""
        self.model.following = settings.following.to(self.device, self.model.encoder.dtype)

    @classmethod
    def from_pretrained(cls, path_or_hub_id: str | Path, **options: Any) -> "SentenceEncoder":
        """The constructor, by the name that other libraries have for it."""
        return cls(path_or_hub_id, **options)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.encoder.parameters()).device

    @property
    def dim(self) -> int:
        """The length of an embedding."""
        return self.model.dim

    def fingerprint(self) -> str:
        """Return a hash of all that embeddings depend on: weights, configuration, tokenizer, and how they are used.

        It is of content: a copied or renamed folder keeps it.
        """
        model = self.model
        config = {k: v for k, v in model.encoder.config.to_dict().items() if not k.startswith(NOT_COUNTED)}
        how = (self.pooler, self.max_seq_length, self.prompt, model.include_prompt, model.lower_case)
        used = [how, repr(model.following), tokenizer_identity(model.tokenizer), config]
        digest = hashlib.sha256(json.dumps(used, sort_keys=True, default=str).encode())
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(
                name.encode() + tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            )
        return digest.hexdigest()

    def encode(
        self,
        sentences: list[str],
        batch_size: int = 64,
        show_progress: bool | tqdm = False,
        *,
        normalize: bool = False,
        convert_to_tensor: bool = False,
        truncate_dim: int | None = None,
        prompt: str | None = None,
    ) -> np.ndarray | torch.Tensor:
        """Embeddings of sentences, in their order: float32, (n, d).

        Works through batches of similar length and of a like number of tokens, the longest
        first (if memory runs out, it does so at once).  Equal sentences are encoded once; an
        empty one is encoded as a single space, as in training.

        Args:
            sentences: any number of them, none included.
            batch_size: sentences of 64 tokens in a forward pass; longer ones are fewer,
                shorter ones more.  A CPU takes 2,048 tokens at most.
            show_progress: show a progress bar on stderr, if that is a terminal; or a bar of sentences to update.
            normalize: scale embeddings to length 1.
            convert_to_tensor: give a tensor, on the model's device, instead of an array.
            truncate_dim: give the first components only; normalising comes after it.
            prompt: text before each of these sentences, instead of the encoder's own.

        Raises:
            TypeError: `sentences` is one string or has no order, or holds something that is no
                string; or a number is no whole one.
            ValueError: a number is out of its range, or a sentence has a lone surrogate.
            UserError: the prompt leaves no room for a sentence.
        """
        prompt = self.prompt if prompt is None else prompt
        if not isinstance(prompt, str):
            raise TypeError(f"prompt is text before each sentence, not {type(prompt).__name__}")
        sentences = [prompt + sentence for sentence in _checked(sentences)]
        if self.model.lower_case:
            prompt, sentences = prompt.lower(), [sentence.lower() for sentence in sentences]
        check_count("batch_size", batch_size)
        if truncate_dim is not None:
            check_count("truncate_dim", truncate_dim, most=self.dim)
        counts = Counter(sentences)
        unique, times = {sentence: position for position, sentence in enumerate(counts)}, list(counts.values())
        embeddings = np.empty((len(unique), self.dim), dtype=np.float32)
        own = not isinstance(show_progress, tqdm)
        hidden = None if show_progress is True else True
        bar = tqdm(desc="encoding", total=len(sentences), unit=" sentences", disable=hidden) if own else show_progress
        with self._lock, _evaluating(self.model), bar if own else nullcontext():
            how = {"pooler": self.pooler, "max_length": self.max_seq_length}
            how["unpooled"] = left_out_of_pooling(
                prompt, self.model.tokenizer, include_prompt=self.model.include_prompt, **how
            )
            cut = 0
            for positions, part, truncated in embeddings_of(self.model, list(unique), batch_size=batch_size, **how):
                embeddings[positions] = part
                cut += truncated
                bar.update(sum(times[position] for position in positions))
        if cut > TOLERATED_CUT * len(unique) and not self._has_warned:
            self._warn_of_truncation(cut / len(unique), max(unique, key=len))
        if len(unique) < len(sentences):
            embeddings = embeddings[[unique[sentence] for sentence in sentences]]
        embeddings = finished(embeddings, truncate_dim=truncate_dim, normalize=normalize)
        return torch.from_numpy(embeddings).to(self.device) if convert_to_tensor else embeddings

    def _warn_of_truncation(self, share: float, longest: str) -> None:
        self._has_warned = True
        length, limit = len(self.model.tokenizer(longest, verbose=False)["input_ids"]), self.model.max_length
        hint = f"max_seq_length can be {limit}" if self.max_seq_length < limit else "the model's limit"
        more = f"{100 * share:.1f} % of the sentences have more than {self.max_seq_length} tokens and are truncated"
        once(warn, f"{more} (the longest has {length:,}; {hint})")

    def encode_file(self, path_in: str | Path | Iterable[str], path_out: str | Path, **options: Any) -> int:
        """Embeddings of a file's sentences into a file, in memory that does not grow with it.

        Args:
            path_in: what `mixcse.data.reading.iter_sentences` reads (`-` is stdin, a sentence a line), or an
                iterable of sentences.
            path_out: `.npy` (float32, (n, d)), `.parquet` (columns `sentence` and `embedding`)
                or `.jsonl` (the same, an object a line); `-` is stdout, as `.jsonl`.
            options: `text_column`, and those of `encode` but `convert_to_tensor`.

        Returns:
            How many sentences there were.

        Raises:
            UserError: a file cannot be read or written, or has no sentences.
            TypeError, ValueError: an option is wrong, as for `encode`.
        """
        return encode_file(self.encode, self.dim, path_in, path_out, **options)


def _checked(sentences: list[str]) -> list[str]:
    if isinstance(sentences, str | bytes | Mapping | Set):  # iterable, but not sentences in an order
        raise TypeError(f"encode takes a list of sentences, not one {type(sentences).__name__}")
    sentences = list(sentences)
    for position, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            raise TypeError(f"sentence {position} is no string but {type(sentence).__name__}")
    if fault := half_character(sentences):
        raise ValueError(f"a sentence is no Unicode text: {fault}")
    return sentences


@contextmanager
def _evaluating(model: SentenceModel) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
