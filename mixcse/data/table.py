"""The text that a model is trained on, as a table in the `datasets` cache: from files or from a data set."""

import glob
import hashlib
import shutil
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow.compute as compute
from datasets import Dataset, Features, Value
from datasets.exceptions import DatasetGenerationError

from mixcse.base.errors import UserError, first_line
from mixcse.base.faults import fault_of
from mixcse.base.files import sha256
from mixcse.data.plain_text import LONGEST
from mixcse.data.reading import (
    DELIMITERS,
    check_file,
    choose_among,
    choose_columns,
    column_names,
    encoding_fault,
    is_compressed,
    kind_of,
    open_bytes,
    read_rows,
    text_rows,
)

READER_VERSION = 2  # raise it when `_generate` or what it calls changes, or old caches are taken for new ones


def read_text_columns(files: Sequence[Path], wanted: Sequence[str] = (), *, overwrite_cache: bool = False) -> Dataset:
    """The sentences of training files, a column for each place in a pair or triplet: `sentence1` to `sentence3`.

    Memory does not grow with the files: the table lies on disk.

    Args:
        files: of one kind, in this order.
        wanted: the columns that hold the sentences; by default all, if they are one to three of text.

    Raises:
        UserError: a file is malformed, not UTF-8 or without text, or their columns are not the same or not clear.
    """
    for path in files:
        check_file(path)
    columns = _common_columns(files, wanted)
    if all(next(read_rows(path, columns), None) is None for path in files):
        raise UserError(f"{files[0]}: no rows in it")
    before = states_of(files)
    try:
        data = _load(files, columns, overwrite_cache)
        if _looks_wrong(data, delimited=kind_of(files[0]) in DELIMITERS):
            _read_all(files, columns)  # names the line
    except (DatasetGenerationError, ValueError, OSError) as error:
        if cache_fault(error):
            raise
        for path in files if len(files) > 1 else ():  # which of them it is
            read_text_columns([path], wanted)
        path, cause = files[0], _cause(error)
        if isinstance(cause, UserError):
            raise cause from error
        _read_all([path], columns)  # our readers say where it is
        reason = encoding_fault(path) if isinstance(cause, UnicodeDecodeError) else None
        reason = reason or first_line(cause).removeprefix("Error tokenizing data. C error: ")
        raise UserError(f"{path}: {reason}") from error
    for path, then, now in zip(files, before, states_of(files), strict=True):
        if then != now:
            forget(data)
            raise UserError(f"{path}: it changed while it was read; once it is whole, run the same command again")
    return data


def states_of(files: Sequence[Path]) -> list[tuple[int, int] | None]:
    """Size and time of change of each file, to be compared with themselves; None of one that has gone."""
    return [(path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else None for path in files]


def forget(data: Dataset) -> None:
    """Removes a table, and what was made from it, from the cache: it is not what its files hold."""
    for file in data.cache_files:
        shutil.rmtree(Path(file["filename"]).parent, ignore_errors=True)


def cache_fault(error: BaseException) -> str | None:
    """What is wrong with the disk that the cache is on, and what to do; None if the error is another one."""
    fault, folder = fault_of(error), Path(datasets.config.HF_DATASETS_CACHE)
    if fault is None or not (fault.writing or (fault.path and Path(fault.path).is_relative_to(folder))):
        return None
    return (
        f"the cache of training data, {folder}, cannot be written ({fault.what}); {fault.advice}, or set "
        "HF_DATASETS_CACHE to another folder"
    )


def read_data_set(
    name: str, config: str | None, split: str, wanted: Sequence[str] = (), revision: str | None = None
) -> Dataset:
    """As `read_text_columns`, of a data set of the Hub or in a local folder, as `datasets.load_dataset` takes it.

    Raises:
        UserError: it cannot be had, or its columns are not clear.
    """
    try:
        data = datasets.load_dataset(name, config, split=split, revision=revision)
    except Exception as error:  # of many kinds: names, network, files
        if cache_fault(error):
            raise
        hint = "" if Path(name).exists() else "; without a network, name the folder of a data set"
        raise UserError(f"{name}: {first_line(_cause(error))}{hint}") from error
    text = [
        column for column, kind in data.features.items() if getattr(kind, "dtype", "") in ("string", "large_string")
    ]
    columns = choose_among(data.column_names, text, wanted, f"{name}, split {split}")
    return _named(data, columns)


def _common_columns(files: Sequence[Path], wanted: Sequence[str]) -> list[str]:
    columns = choose_columns(files[0], wanted)
    delimited = kind_of(files[0]) in DELIMITERS
    for path in files:
        others = choose_columns(path, wanted)
        same = column_names(path)[0] == column_names(files[0])[0] if delimited else others == columns
        if not same:
            raise UserError(f"{path}: its columns are not those of {files[0]}; train on files of the same columns")
        if delimited:
            next(read_rows(path, columns), None)  # the first row has to be as long as the header
    return columns


def _read_all(files: Sequence[Path], columns: Sequence[str]) -> None:
    """Reads everything once more, for what our readers find wrong in it."""
    for path in files:
        for _ in text_rows(path, columns):
            pass


def _looks_wrong(data: Dataset, *, delimited: bool) -> bool:
    """Whether a sentence is no text; or is empty in a table, whose row may then be shorter than the header."""
    for chunk in (chunk for column in data.data.columns for chunk in column.chunks):
        shortest, longest = compute.min_max(compute.utf8_length(chunk)).as_py().values()
        if (longest or 0) > LONGEST or (delimited and shortest == 0):
            return True
        if compute.any(compute.match_substring(chunk, "\0")).as_py():
            return True
    return False


def _load(files: Sequence[Path], columns: Sequence[str], overwrite_cache: bool) -> Dataset:
    kind = kind_of(files[0])
    content = hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()  # times of change may be set back
    options: dict[str, Any] = {
        "name": content,
        # The whole path: before a relative one comes the working folder's, whose name may hold a [ as well.
        "data_files": [glob.escape(str(path.absolute())) for path in files],
        "split": "train",
        "download_mode": "force_redownload" if overwrite_cache else "reuse_dataset_if_exists",
    }
    if kind == ".txt" and not any(map(_has_packed_mark, files)):
        return datasets.load_dataset("text", features=_text_features(1), encoding="utf-8-sig", **options)
    if kind in DELIMITERS:
        # All columns are read, so that a row with a comma too many is noticed.
        there = column_names(files[0])[0]
        places = [f"column{place}" for place in range(len(there))]
        options |= {"delimiter": DELIMITERS[kind], "column_names": places, "header": 0, "na_filter": False}
        features = Features({place: Value("string") for place in places})
        data = datasets.load_dataset("csv", features=features, encoding="utf-8-sig", **options)
        return _named(data, [places[there.index(name)] for name in columns])
    if kind == ".parquet" and not any(map(is_compressed, files)):
        return _named(datasets.load_dataset("parquet", columns=list(columns), **options), columns)
    arguments = {"files": tuple(map(str, files)), "columns": tuple(columns), "version": (READER_VERSION, content)}
    return Dataset.from_generator(_generate, features=_text_features(len(columns)), gen_kwargs=arguments)


def _has_packed_mark(path: Path) -> bool:
    """Whether it begins with a byte order mark once it is unpacked, which `datasets` then takes for text."""
    if not is_compressed(path):
        return False
    with open_bytes(path) as file:
        return file.read(len(BOM_UTF8)) == BOM_UTF8


def _generate(files: Sequence[str], columns: Sequence[str], version: Any) -> Iterator[dict[str, str]]:
    """Rows of files that `datasets` has no reader for that would name the wrong line.  `version` is for the cache."""
    names = list(_text_features(len(columns)))
    for file in files:
        for values in text_rows(Path(file), columns):
            yield dict(zip(names, values, strict=True))


def _cause(error: BaseException) -> BaseException:
    """What is at the bottom of an error, or the UserError on the way there."""
    while error.__cause__ is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error


def _named(data: Dataset, columns: Sequence[str]) -> Dataset:
    features = _text_features(len(columns))
    data = data.select_columns(list(columns)).rename_columns(dict(zip(columns, features, strict=True)))
    return data if data.features == features else data.cast(features)


def _text_features(columns: int) -> Features:
    return Features({f"sentence{place}": Value("string") for place in range(1, 1 + columns)})
