"""Training data: the text's tokens in a memory-mapped Arrow table, without its duplicates if asked."""

import sys

import datasets
import numpy as np
import pyarrow.compute as compute
from datasets import Dataset, Features, Value
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from mixcse.base.console import warn
from mixcse.base.errors import UserError
from mixcse.data.corpus import Corpus
from mixcse.data.identity import tokenizer_identity
from mixcse.data.rows import Found, find_duplicates
from mixcse.options import DataArguments

LOOKED_AT = 10_000  # rows, for their lengths
TOKENISER_VERSION = 2  # raise it when `_tokenize` changes, or old caches are taken for new ones


def load_training_data(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    prompt: str = "",
    lower_case: bool = False,
    overwrite_cache: bool = False,
) -> tuple[Dataset, Found]:
    """Return rows of `input_ids` (one, two or three token lists, cut to `max_seq_length`), and the duplicates.

    The prompt is prepended to each sentence; both are lower-cased if asked.  An empty sentence is a single
    space, as released.  Both the text and the tokens live in the `datasets` cache on disk: memory does not
    grow with the corpus, and a second run with the same data and tokenizer reads them back.  With `dedupe`
    the duplicates are left out, the other rows keep their order.

    Raises:
        UserError: the text cannot be read (see `Corpus.text`) or is too short.
        OSError: the cache cannot be written ($HF_DATASETS_CACHE names another folder).
    """
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # every error is raised as well
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    text, options = corpus.text(overwrite_cache=overwrite_cache), corpus.options
    _check_text(text, options.source)
    if corpus.is_plain_text:
        _warn_of_tabs(text, options.source)
    found = find_duplicates(text)
    data = tokenise(
        text,
        tokenizer,
        options.max_seq_length,
        prompt=prompt,
        lower_case=lower_case,
        num_workers=options.preprocessing_num_workers,
        overwrite_cache=overwrite_cache,
    )
    _warn_of_truncation(text, tokenizer, options, prompt=prompt, lower_case=lower_case)
    if options.dedupe and len(kept := found.kept()) < len(data):
        data = data.select(kept)
    if len(data) < 2:
        raise UserError(f"{options.source}: {len(data)} sentences; contrastive training needs at least 2")
    return data, found


def _warn_of_tabs(text: Dataset, source: str) -> None:
    if count := compute.sum(compute.match_substring(text.data.column("sentence1"), "\t")).as_py():
        warn(
            f"{source}: {count:,} lines hold tabs; each line is taken as one sentence, and pairs belong in a "
            ".tsv file with a header"
        )


def _warn_of_truncation(
    text: Dataset, tokenizer: PreTrainedTokenizerBase, options: DataArguments, *, prompt: str, lower_case: bool
) -> None:
    """Warn of the share of sentences that are truncated, by `LOOKED_AT` rows at equal distances."""
    chosen = text.select(np.linspace(0, len(text) - 1, min(LOOKED_AT, len(text))).astype(int))
    sentences = [_prepared(sentence, prompt, lower_case) for column in chosen[:].values() for sentence in column]
    lengths = np.array([len(ids) for ids in tokenizer(sentences, verbose=False)["input_ids"]])
    if share := (lengths > options.max_seq_length).mean():
        about = "about " * (len(chosen) < len(text))
        warn(
            f"{options.source}: {about}{100 * share:.1f} % of the sentences have more than {options.max_seq_length} "
            f"tokens and are truncated (the longest: {lengths.max():,}); --max_seq_length raises the limit"
        )


def _check_text(text: Dataset, source: str) -> None:
    """Raise UserError unless two rows, and each column, have something in them."""
    for name in text.column_names:
        lengths = compute.utf8_length(compute.utf8_trim_whitespace(text.data.column(name)))
        filled, needed = compute.sum(compute.greater(lengths, 0)).as_py() or 0, 2 if name == "sentence1" else 1
        if filled < needed:
            where = f" in {name}" * (name != "sentence1")
            blank = f" and {len(text) - filled:,} blank rows" * (len(text) > filled)
            raise UserError(f"{source}: {filled} sentences{where}{blank}; contrastive training needs at least {needed}")


def tokenise(
    text: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    max_seq_length: int,
    *,
    prompt: str = "",
    lower_case: bool = False,
    num_workers: int | None = None,
    overwrite_cache: bool = False,
) -> Dataset:
    """`input_ids` of every row: a token list for each of the text's columns; cached by all that they depend on."""
    recipe = (text._fingerprint, tokenizer_identity(tokenizer), max_seq_length, prompt, lower_case, TOKENISER_VERSION)
    return text.map(
        _tokenize,
        fn_kwargs={"tokenizer": tokenizer, "max_length": max_seq_length, "prompt": prompt, "lower_case": lower_case},
        batched=True,
        remove_columns=text.column_names,
        features=Features({"input_ids": datasets.List(datasets.List(Value("int32")))}),
        num_proc=num_workers,
        load_from_cache_file=not overwrite_cache,
        new_fingerprint=Hasher.hash(recipe),
        desc="tokenising",
    )


def _tokenize(
    batch: dict[str, list[str | None]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    prompt: str,
    lower_case: bool,
) -> dict[str, list[list[list[int]]]]:
    columns = [
        tokenizer(
            [_prepared(sentence, prompt, lower_case) for sentence in sentences],
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        for sentences in batch.values()
    ]
    return {"input_ids": [list(group) for group in zip(*columns, strict=True)]}


def _prepared(sentence: str | None, prompt: str, lower_case: bool) -> str:
    """Return what is tokenised; of nothing, a single space."""
    text = prompt + (sentence or "") or " "
    return text.lower() if lower_case else text
