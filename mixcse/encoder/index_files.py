"""The files of an index's folder, read with distrust."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from mixcse.base.files import read_json

VERSION = 1  # of the folder's format


def read_description(file: Path) -> dict[str, Any]:
    """What `index.json` says; raises ValueError if it is not an index of this version."""
    described = read_json(file)
    if not isinstance(described, dict):
        raise ValueError(f"{file.name} holds no object")
    missing = [name for name in ("version", "count", "dim", "fingerprint", "faiss") if name not in described]
    if missing:
        raise ValueError(f"{file.name} has no {missing[0]!r}")
    if described["version"] != VERSION:
        raise ValueError(f"version {described['version']!r}, where this program knows {VERSION}")
    if not isinstance(described["fingerprint"], str) or not isinstance(described["faiss"], str | None):
        raise ValueError(f"the fingerprint or kind in {file.name} is no string")
    return described


def read_sentences(file: Path) -> pa.Array:
    """The sentences, in one block; raises ValueError if the file holds something else."""
    # Not `read_table`, which reads columns out of folders' names as well; nor by its name, which may be no UTF-8.
    with file.open("rb") as stream, parquet.ParquetFile(stream) as opened:
        table = opened.read()
    if "sentence" not in table.column_names:
        raise ValueError(f"{file.name} has no column 'sentence'")
    column = table.column("sentence")
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        raise ValueError(f"{file.name} holds {column.type}, not sentences")
    sentences = column.cast(pa.large_string()).combine_chunks()
    return pa.concat_arrays(sentences.chunks) if isinstance(sentences, pa.ChunkedArray) else sentences
