"""The text that a model is trained on, as a table in the `datasets` cache: from files or from a data set."""

import hashlib
import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import datasets
import pyarrow as pa
from datasets import Dataset, Features, Value
from datasets.table import MemoryMappedTable

from mixcse.base.console import say
from mixcse.base.errors import UserError, first_line
from mixcse.base.files import sha256, written_aside
from mixcse.data.columns import choose_among, roles_of
from mixcse.data.reading import check_file, choose_columns, column_names, kind_of, text_rows

READER_VERSION = 4  # raise it when a reader changes, or old caches are taken for new ones
TABLE = "text.arrow"
ROWS = 10_000  # in memory at a time


def read_text_columns(files: Sequence[Path], wanted: Sequence[str] = (), *, overwrite_cache: bool = False) -> Dataset:
    """The sentences of training files, a column for each place in a pair or triplet: `sentence1` to `sentence3`.

    Memory does not grow with the files: the table lies on disk, named by their content, whatever their times.

    Args:
        files: of one kind, in this order.
        wanted: the columns that hold the sentences; default: see `choose_among`.

    Raises:
        UserError: a file is malformed, not UTF-8 or without text, or their columns are not the same or not clear.
    """
    for path in files:
        check_file(path)
    columns = _common_columns(files, wanted)
    if kind_of(files[0]) != ".txt":
        say(f"{files[0]}: {roles_of(columns, column_names(files[0])[0])}")
    before = states_of(files)
    recipe = (READER_VERSION, kind_of(files[0]), columns, [sha256(path) for path in files])
    key = hashlib.sha256(repr(recipe).encode()).hexdigest()
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "mixcse" / key
    if overwrite_cache or not (folder / TABLE).is_file():
        with written_aside(folder) as aside:
            _write(aside / TABLE, files, columns)
    for path, then, now in zip(files, before, states_of(files), strict=True):
        if then != now:
            shutil.rmtree(folder, ignore_errors=True)  # it is not what the file holds
            raise UserError(f"{path}: it changed while it was read; once it is whole, run the same command again")
    return Dataset(MemoryMappedTable.from_file(str(folder / TABLE)), fingerprint=key[:32])


def _common_columns(files: Sequence[Path], wanted: Sequence[str]) -> list[str]:
    columns, (there, _) = choose_columns(files[0], wanted), column_names(files[0])
    in_order = kind_of(files[0]) in (".csv", ".tsv")
    for path in files[1:]:
        others = choose_columns(path, wanted)
        if (column_names(path)[0] != there) if in_order else (others != columns):
            raise UserError(f"{path}: its columns are not those of {files[0]}; train on files of the same columns")
    return columns


def _write(table: Path, files: Sequence[Path], columns: Sequence[str]) -> None:
    schema = pa.schema([(f"sentence{place}", pa.string()) for place in range(1, 1 + len(columns))])
    written = 0
    with open(table, "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for path in files:
            rows = text_rows(path, columns)
            while batch := list(islice(rows, ROWS)):
                writer.write_batch(pa.record_batch(list(map(list, zip(*batch, strict=True))), schema=schema))
                written += len(batch)
    if not written:
        raise UserError(f"{files[0]}: no rows in it")


def states_of(files: Sequence[Path]) -> list[tuple[int, int] | None]:
    """Size and time of change of each file, to be compared with themselves; None of one that has gone."""
    return [(path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else None for path in files]


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
        while error.__cause__ is not None:
            error = error.__cause__
        hint = "" if Path(name).exists() else "; without a network, name the folder of a data set"
        raise UserError(f"{name}: {first_line(error)}{hint}") from error
    text = [
        column for column, kind in data.features.items() if getattr(kind, "dtype", "") in ("string", "large_string")
    ]
    columns = choose_among(data.column_names, text, wanted, f"{name}, split {split}")
    say(f"{name}: {roles_of(columns, data.column_names)}")
    features = Features({f"sentence{place}": Value("string") for place in range(1, 1 + len(columns))})
    data = data.select_columns(columns).rename_columns(dict(zip(columns, features, strict=True)))
    return data if data.features == features else data.cast(features)
