"""The training file: read, checked and tokenised once, into memory-mapped Arrow tables."""

import csv
import glob
import json
from pathlib import Path

import datasets
from datasets import Dataset, Features, Value
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from mixcse.console import UserError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
TOKENISER_VERSION = 1  # raise it when `_tokenize` changes, or old caches are taken for new ones


def load_training_data(
    train_file: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    max_seq_length: int,
    *,
    num_workers: int | None = None,
    overwrite_cache: bool = False,
) -> Dataset:
    """Rows of `input_ids`: one, two or three token lists, cut to `max_seq_length`.

    An empty sentence is a single space, as released.  Both the text and the tokens live in
    the `datasets` cache on disk: memory does not grow with the file, and a second run with
    the same file and tokenizer reads them back.

    Args:
        train_file: `.txt`: a sentence a line.  `.csv`, `.tsv`: a header line, then one
            column (sentence), two (pair) or three (pair and hard negative).

    Raises:
        UserError: the file is missing, of another kind, not UTF-8, too short, or has a row with too many fields.
    """
    path = Path(train_file)
    text = read_text_columns(path, overwrite_cache=overwrite_cache)
    if len(text) < 2:
        raise UserError(f"--train_file {path}: {len(text)} sentences; contrastive training needs at least 2")
    recipe = (text._fingerprint, _identity(tokenizer), max_seq_length, TOKENISER_VERSION)
    return text.map(
        _tokenize,
        fn_kwargs={"tokenizer": tokenizer, "max_seq_length": max_seq_length},
        batched=True,
        remove_columns=text.column_names,
        features=Features({"input_ids": datasets.List(datasets.List(Value("int32")))}),
        num_proc=num_workers,
        load_from_cache_file=not overwrite_cache,
        new_fingerprint=Hasher.hash(recipe),
        desc="tokenising",
    )


def check_train_file(path: Path) -> None:
    """Raises UserError unless it is a file with something in it, of a known kind."""
    try:
        found = path.is_file()
    except OSError as error:
        raise UserError(f"--train_file {str(path)[:80]}: {error.strerror}") from error
    if not found:
        raise UserError(f"--train_file {path}: {'not a file' if path.exists() else 'no such file'}")
    if path.stat().st_size == 0:
        raise UserError(f"--train_file {path}: the file is empty")
    if path.suffix.lower() not in (".txt", *DELIMITERS):
        raise UserError(f"--train_file {path}: expected .txt, .csv or .tsv")


def read_text_columns(path: Path, *, overwrite_cache: bool = False) -> Dataset:
    """The sentences of a training file, a column for each place in a pair or triplet.

    A row with fields missing at its end has empty sentences there.
    """
    check_train_file(path)
    suffix = path.suffix.lower()
    if suffix == ".txt":
        builder, options = "text", {"features": Features({"sentence1": Value("string")})}
    else:
        names = [f"sentence{place}" for place in range(1, 1 + _count_columns(path, DELIMITERS[suffix]))]
        features = Features({name: Value("string") for name in names})
        builder = "csv"
        options = {"delimiter": DELIMITERS[suffix], "column_names": names, "header": 0, "na_filter": False}
        options["features"] = features
    mode = "force_redownload" if overwrite_cache else "reuse_dataset_if_exists"
    try:
        return datasets.load_dataset(
            builder,
            data_files=glob.escape(str(path)),
            split="train",
            download_mode=mode,
            encoding="utf-8-sig",
            **options,
        )
    except (datasets.exceptions.DatasetGenerationError, ValueError, OSError) as error:
        raise UserError(f"--train_file {path}: {_what_is_wrong(path, error)}") from error


def _count_columns(path: Path, delimiter: str) -> int:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter=delimiter)
            header, first = next(rows, []), next(rows, [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--train_file {path}: {_what_is_wrong(path, error)}") from error
    if not 1 <= len(header) <= 3:
        raise UserError(
            f"--train_file {path}, line 1: {len(header)} columns; expected 1 (sentence), 2 (pair) "
            "or 3 (pair, hard negative)"
        )
    if len(first) != len(header):
        raise UserError(f"--train_file {path}, line 2: {len(first)} columns under a header of {len(header)}")
    return len(header)


def _tokenize(
    batch: dict[str, list[str | None]], tokenizer: PreTrainedTokenizerBase, max_seq_length: int
) -> dict[str, list[list[list[int]]]]:
    columns = [
        tokenizer(
            [sentence or " " for sentence in sentences],
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


def _what_is_wrong(path: Path, error: BaseException) -> str:
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, UnicodeDecodeError):
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as fault:
                    return f"line {number} is not UTF-8 ({fault.reason}); convert the file, for instance with iconv"
    return str(cause).strip().split("\n")[0].removeprefix("Error tokenizing data. C error: ")
