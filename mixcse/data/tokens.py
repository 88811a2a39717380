"""Training data: text, what is left out of it, and its tokens in a memory-mapped Arrow table."""

import json
import sys

import datasets
import pyarrow.compute as compute
from datasets import Dataset, Features, Value
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from mixcse.base.console import warn
from mixcse.base.errors import UserError
from mixcse.data.reading import expand_files, kind_of
from mixcse.data.rows import Found, find_duplicates
from mixcse.data.table import read_data_set, read_text_columns, states_of
from mixcse.options import DataArguments

TOKENISER_VERSION = 1  # raise it when `_tokenize` changes, or old caches are taken for new ones


def load_training_data(
    data_args: DataArguments, tokenizer: PreTrainedTokenizerBase, *, prompt: str = "", overwrite_cache: bool = False
) -> tuple[Dataset, Found]:
    """Rows of `input_ids`: one, two or three token lists, cut to `max_seq_length`; and the corpus's duplicates.

    The prompt stands before each sentence.  An empty sentence is a single space, as released.  Both the
    text and the tokens live in the `datasets` cache on disk: memory does not grow with the corpus, and a
    second run with the same data and tokenizer reads them back.  With `dedupe` the rows found are left out, the others
    keep their order.

    Raises:
        UserError: a file is missing, of another kind, not UTF-8, malformed or too short; or a data set
            cannot be loaded.
        OSError: the cache cannot be written ($HF_DATASETS_CACHE names another folder).
    """
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # every error is raised as well
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    text = load_text(data_args, overwrite_cache=overwrite_cache)
    _check_text(text, data_args)
    _warn_of_tabs(text, data_args)
    found = find_duplicates(text, overwrite_cache=overwrite_cache)
    data = tokenise(
        text,
        tokenizer,
        data_args.max_seq_length,
        prompt=prompt,
        num_workers=data_args.preprocessing_num_workers,
        overwrite_cache=overwrite_cache,
    )
    if data_args.dedupe and len(kept := found.kept()) < len(data):
        data = data.select(kept)
    if len(data) < 2:
        raise UserError(f"{data_args.source}: {len(data)} sentences; contrastive training needs at least 2")
    return data, found


def _warn_of_tabs(text: Dataset, data_args: DataArguments) -> None:
    if not data_args.train_file or kind_of(expand_files(data_args.train_file)[0]) != ".txt":
        return
    if count := compute.sum(compute.match_substring(text.data.column("sentence1"), "\t")).as_py():
        warn(
            f"{data_args.source}: {count:,} lines hold tabs; each line is taken as one sentence, and pairs belong in a "
            ".tsv file with a header"
        )


def _check_text(text: Dataset, data_args: DataArguments) -> None:
    """Raises UserError unless two rows, and each column, have something in them."""
    for name in text.column_names:
        filled, needed = 0, 2 if name == "sentence1" else 1
        for chunk in text.data.column(name).chunks:
            lengths = compute.utf8_length(compute.utf8_trim_whitespace(chunk))
            filled += compute.sum(compute.greater(lengths, 0)).as_py() or 0
            if filled >= needed:
                break
        if filled < needed:
            where = f" in {name}" * (name != "sentence1")
            blank = f" and {len(text) - filled:,} blank rows" * (len(text) > filled)
            raise UserError(
                f"{data_args.source}: {filled} sentences{where}{blank}; contrastive training needs at least {needed}"
            )


def load_text(data_args: DataArguments, *, overwrite_cache: bool = False) -> Dataset:
    """The corpus as a table of text: `sentence1`, or `sentence1` to `sentence2` or `sentence3`; raises UserError."""
    try:
        if data_args.dataset_name:
            return read_data_set(
                data_args.dataset_name,
                data_args.dataset_config_name,
                data_args.dataset_split,
                data_args.columns,
                data_args.dataset_revision,
            )
        files = expand_files(data_args.train_file or ())
        return read_text_columns(files, data_args.columns, overwrite_cache=overwrite_cache)
    except UserError as error:
        raise UserError(f"{'--dataset_name' if data_args.dataset_name else '--train_file'} {error}") from error


def corpus_states(data_args: DataArguments) -> list[tuple[int, int] | None]:
    """As `states_of`, of the training files."""
    return states_of(expand_files(data_args.train_file or ()))


def tokenise(
    text: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    max_seq_length: int,
    *,
    prompt: str = "",
    num_workers: int | None = None,
    overwrite_cache: bool = False,
) -> Dataset:
    """`input_ids` of every row: a token list for each of the text's columns; cached by all that they depend on."""
    recipe = (text._fingerprint, _identity(tokenizer), max_seq_length, prompt, TOKENISER_VERSION)
    return text.map(
        _tokenize,
        fn_kwargs={"tokenizer": tokenizer, "max_seq_length": max_seq_length, "prompt": prompt},
        batched=True,
        remove_columns=text.column_names,
        features=Features({"input_ids": datasets.List(datasets.List(Value("int32")))}),
        num_proc=num_workers,
        load_from_cache_file=not overwrite_cache,
        new_fingerprint=Hasher.hash(recipe),
        desc="tokenising",
    )


def _tokenize(
    batch: dict[str, list[str | None]], tokenizer: PreTrainedTokenizerBase, max_seq_length: int, prompt: str
) -> dict[str, list[list[list[int]]]]:
    columns = [
        tokenizer(
            [prompt + (sentence or "") or " " for sentence in sentences],
            truncation=True,
            max_length=max_seq_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        for sentences in batch.values()
    ]
    return {"input_ids": [list(group) for group in zip(*columns, strict=True)]}


def _identity(tokenizer: PreTrainedTokenizerBase) -> str:
    """What the tokens depend on, without what calls leave behind (truncation, padding)."""
    if not tokenizer.is_fast:
        return Hasher.hash((type(tokenizer).__name__, tokenizer.get_vocab(), tokenizer.init_kwargs))
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    return Hasher.hash({key: value for key, value in backend.items() if key not in ("truncation", "padding")})
