"""Embeddings of a file into a file, a chunk of sentences at a time."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from mixcse.base.errors import UserError
from mixcse.base.files import moved_when_written
from mixcse.data.reading import iter_sentences
from mixcse.encoder.vectors import check_count

CHUNK = 20_000  # sentences in memory with their embeddings; within a chunk they are sorted by length
STDIO = "-"
NOT_FINITE = "its training diverged, or a dtype of half precision is too small for it (float32 is not)"

Encode = Callable[..., np.ndarray]  # `SentenceEncoder.encode`
Write = Callable[[list[str], np.ndarray], None]


def encode_file(
    encode: Encode, dim: int, path_in: str | Path | Iterable[str], path_out: str | Path, **options: Any
) -> int:
    """See `SentenceEncoder.encode_file`; `encode` and `dim` are an encoder's."""
    suffix = ".jsonl" if str(path_out) == STDIO else Path(path_out).suffix.lower()
    if suffix not in WRITERS:
        raise UserError(f"{path_out}: embeddings are written to {', '.join(WRITERS)}, or to - as .jsonl")
    if (fewer := options.get("truncate_dim")) is not None:
        check_count("truncate_dim", fewer, most=dim)
    chunks = encode_stream(encode, path_in, **options)
    source = _name_of(path_in)
    if os.path.realpath(source) == os.path.realpath(path_out):
        raise UserError(f"{path_out} is the file that is read; name another one")
    count = 0
    opened = nullcontext(sys.stdout.buffer) if str(path_out) == STDIO else moved_when_written(path_out)
    with opened as file, WRITERS[suffix](file, fewer or dim) as write:
        for sentences, embeddings in chunks:
            write(sentences, embeddings)
            count += len(sentences)
        if not count:
            raise UserError(f"{source}: no sentences in it")
    return count


def encode_stream(
    encode: Encode,
    sentences: Iterable[str] | str | Path,
    *,
    text_column: str | None = None,
    show_progress: bool = False,
    **options: Any,
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Chunks of sentences with their embeddings, in their order.

    Args:
        sentences: any iterable, or the name of a file.
        text_column: of the file.
        show_progress: show a progress bar on stderr, if that is a terminal; a file is counted first.
        options: of `SentenceEncoder.encode`.

    Raises:
        UserError: the file is not there or malformed, at once if at its start; an embedding is not finite.
        TypeError: embeddings are asked for as tensors.
    """
    if "convert_to_tensor" in options:
        raise TypeError("convert_to_tensor is for encode alone; embeddings that come in chunks are arrays")
    total = len(sentences) if isinstance(sentences, list) else None
    if isinstance(sentences, str | Path):
        path = str(sentences)
        if show_progress and sys.stderr.isatty() and path != STDIO:
            total = sum(1 for _ in iter_sentences(path, text_column))
        sentences = iter_sentences(path, text_column)
    return _encoded(encode, iter(sentences), total, show_progress, options)


def _encoded(
    encode: Encode, sentences: Iterator[str], total: int | None, show_progress: bool, options: dict
) -> Iterator[tuple[list[str], np.ndarray]]:
    with tqdm(desc="encoding", total=total, unit=" sentences", disable=None if show_progress else True) as bar:
        while chunk := list(islice(sentences, CHUNK)):
            embeddings = encode(chunk, show_progress=bar, **options)
            if not np.isfinite(embeddings).all():
                raise UserError(f"the model gives NaN or infinity for sentences; {NOT_FINITE}")
            yield chunk, embeddings


def _name_of(source: str | Path | Iterable[str]) -> str:
    if not isinstance(source, str | Path):
        return "the iterable"
    return "standard input" if str(source) == STDIO else str(source)


@contextmanager
def _npy(file: BinaryIO, dim: int) -> Iterator[Write]:
    """NumPy leaves room in a header for any number of rows, so that it can be written again at the end."""
    count = 0

    def header() -> None:
        described = {"descr": "<f4", "fortran_order": False, "shape": (count, dim)}
        np.lib.format.write_array_header_1_0(file, described)

    def write(_: list[str], embeddings: np.ndarray) -> None:
        nonlocal count
        file.write(np.ascontiguousarray(embeddings, dtype="<f4").data)
        count += len(embeddings)

    header()
    yield write
    file.seek(0)
    header()


@contextmanager
def _parquet(file: BinaryIO, dim: int) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    kind = pa.list_(pa.float32(), dim)
    schema = pa.schema({"sentence": pa.string(), "embedding": kind})
    with ParquetWriter(file, schema, compression="zstd") as writer:

        def write(sentences: list[str], embeddings: np.ndarray) -> None:
            rows = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.reshape(-1), pa.float32()), type=kind)
            writer.write_table(pa.table([pa.array(sentences, pa.string()), rows], schema=schema))

        yield write


@contextmanager
def _jsonl(file: BinaryIO, dim: int) -> Iterator[Write]:
    def write(sentences: list[str], embeddings: np.ndarray) -> None:
        for sentence, embedding in zip(sentences, embeddings.tolist(), strict=True):
            # Nine digits are a float32, and half as long as the float64 that json would write.
            numbers = ", ".join([f"{number:.9g}" for number in embedding])
            text = json.dumps(sentence, ensure_ascii=False)
            file.write(f'{{"sentence": {text}, "embedding": [{numbers}]}}\n'.encode())
        file.flush()

    yield write


WRITERS = {".npy": _npy, ".parquet": _parquet, ".jsonl": _jsonl}
