"""The training text: files of one kind or a data set, opened and hashed once; a table of it in the `datasets` cache."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import datasets
import pyarrow as pa
from datasets import Dataset, Features, Value
from datasets.table import MemoryMappedTable

from mixcse.base.console import say
from mixcse.base.errors import UserError, first_line
from mixcse.base.files import sha256, written_aside
from mixcse.base.group import from_main_process, rank
from mixcse.data.columns import choose_among, roles_of
from mixcse.data.reading import choose_columns, expand_files, kind_of, text_rows
from mixcse.options import DataArguments

READER_VERSION = 4  # raise it when a reader changes, or old caches are taken for new ones
TABLE = "text.arrow"
ROWS = 10_000  # in memory at a time

State = tuple[int, int] | None  # size and modification time of a file; None if it was deleted


@dataclass(frozen=True)
class Corpus:
    """What a model is trained on.

    Attributes:
        options: where the text is, and how it is read.
        files: of one kind, in the order of training; of a data set in a local folder all its files.
        columns: the columns of the files that hold the sentences; of a data set, see `text`.
        checksums: SHA-256 of each file.
        states: of each file when it was opened.
    """

    options: DataArguments
    files: list[Path]
    columns: list[str]
    checksums: list[str]
    states: list[State]

    @classmethod
    def open(cls, options: DataArguments) -> "Corpus":
        """Find and hash the files and choose their columns; several processes hash them once.

        Raises:
            UserError: a file is missing, empty or of another kind, or it is not clear which columns hold sentences.
        """
        if options.dataset_name:
            files, columns = sorted(path for path in Path(options.dataset_name).rglob("*") if path.is_file()), []
        else:
            try:
                files = expand_files(options.train_file or ())
                columns = _common_columns(files, options.columns)
            except UserError as error:
                raise UserError(f"--train_file {error}") from error
        states = _states_of(files)
        checksums = from_main_process([sha256(path) for path in files] if rank() == 0 else None)
        return cls(options, files, columns, checksums, states)

    @property
    def sha256(self) -> str | None:
        """The checksum of the file, or of the checksums of several; None of a data set on the Hub."""
        if len(self.checksums) < 2:
            return self.checksums[0] if self.checksums else None
        return hashlib.sha256("\n".join(self.checksums).encode()).hexdigest()

    @property
    def is_plain_text(self) -> bool:
        """Whether it is .txt files, a sentence a line."""
        return not self.options.dataset_name and kind_of(self.files[0]) == ".txt"

    def text(self, *, overwrite_cache: bool = False) -> Dataset:
        """Return the sentences, a column for each place in a pair or triplet: `sentence1` to `sentence3`.

        Memory does not grow with the files: the table lies on disk, named by their content.

        Raises:
            UserError: a file is malformed, not UTF-8, without text, or has changed since it was opened; or a data set
                cannot be loaded, or its columns are not clear.
        """
        if self.options.dataset_name:
            return _read_data_set(self.options)
        recipe = (READER_VERSION, kind_of(self.files[0]), self.columns, self.checksums)
        key = hashlib.sha256(repr(recipe).encode()).hexdigest()
        folder = Path(datasets.config.HF_DATASETS_CACHE) / "mixcse" / key
        try:
            if overwrite_cache or not (folder / TABLE).is_file():
                with written_aside(folder) as temporary:
                    self._write(temporary / TABLE)
            for path, then, now in zip(self.files, self.states, _states_of(self.files), strict=True):
                if then != now:
                    shutil.rmtree(folder, ignore_errors=True)  # it is not what the file holds
                    raise UserError(f"{path}: it changed while it was read; run the same command again")
        except UserError as error:
            raise UserError(f"--train_file {error}") from error
        return Dataset(MemoryMappedTable.from_file(str(folder / TABLE)), fingerprint=key[:32])

    def _write(self, table: Path) -> None:
        schema = pa.schema([(f"sentence{place}", pa.string()) for place in range(1, 1 + len(self.columns))])
        written = 0
        with open(table, "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for path in self.files:
                rows = text_rows(path, self.columns)
                while batch := list(islice(rows, ROWS)):
                    writer.write_batch(pa.record_batch(list(map(list, zip(*batch, strict=True))), schema=schema))
                    written += len(batch)
        if not written:
            raise UserError(f"{self.files[0]}: no rows in it")


def _common_columns(files: Sequence[Path], wanted: Sequence[str]) -> list[str]:
    """Return the columns with the sentences; log their roles."""
    columns, there = choose_columns(files[0], wanted)
    for path in files[1:]:
        others = choose_columns(path, wanted)
        if others != (columns, there) if kind_of(path) in (".csv", ".tsv") else others[0] != columns:
            raise UserError(f"{path}: its columns are not those of {files[0]}; train on files of the same columns")
    if kind_of(files[0]) != ".txt":
        say(f"{files[0]}: {roles_of(columns, there)}")
    return columns


def _states_of(files: Sequence[Path]) -> list[State]:
    return [(path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else None for path in files]


def _read_data_set(options: DataArguments) -> Dataset:
    """Return the text of a data set of the Hub or in a local folder, as `datasets.load_dataset` takes it."""
    name, split = options.dataset_name, options.dataset_split
    try:
        data = datasets.load_dataset(name, options.dataset_config_name, split=split, revision=options.dataset_revision)
    except Exception as error:  # of many kinds: names, network, files
        while error.__cause__ is not None:
            error = error.__cause__
        hint = "" if Path(name).exists() else "; without a network, name the folder of a data set"
        raise UserError(f"--dataset_name {name}: {first_line(error)}{hint}") from error
    text = [
        column for column, kind in data.features.items() if getattr(kind, "dtype", "") in ("string", "large_string")
    ]
    columns = choose_among(data.column_names, text, options.columns, f"--dataset_name {name}, split {split}")
    say(f"{name}: {roles_of(columns, data.column_names)}")
    features = Features({f"sentence{place}": Value("string") for place in range(1, 1 + len(columns))})
    data = data.select_columns(columns).rename_columns(dict(zip(columns, features, strict=True)))
    return data if data.features == features else data.cast(features)
