"""`mixcse encode --engine ray`: several processes on one machine, its GPUs, or a cluster, through Ray Data.

Every input file becomes one part, a large file one part per range of rows.  Files are read by mixcse: Ray's text reader
holds a whole file in memory, and its writer names files anew in every run, so that no run could be resumed.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import ray
from fsspec.core import url_to_fs
from tqdm import tqdm

from mixcse.base.console import once, quietly, say
from mixcse.base.errors import UserError, first_line
from mixcse.data.reading import iter_sentences
from mixcse.encoder.command_options import load_encoder

COMMAND = "_command.json"  # in the output folder; readers of a folder of parts skip names with an underscore
PLACEMENT = ("output", "processes", "batch_size", "device")  # options that embeddings do not depend on
SPLIT = (".txt", ".jsonl", ".csv", ".tsv", ".parquet")  # kinds of files that are split
SPLIT_BYTES, SPLIT_ROWS = 16 << 20, 100_000  # a larger file is split into ranges of so many rows


class Part(NamedTuple):
    """Rows `start` to `stop` of an input file (stop 0: the whole file), and the output file for their embeddings."""

    path: str
    place: str
    start: int = 0
    stop: int = 0


def encode(options: argparse.Namespace) -> None:
    """Encode the files of `options.input` (one, a glob, a folder) into `options.output`; raise UserError."""
    (source, pattern), (target, folder) = url_to_fs(options.input), url_to_fs(options.output)
    pattern += "/*" * source.isdir(pattern)
    found = [pattern] if source.exists(pattern) else sorted(source.glob(pattern))  # a name may hold brackets
    files = [name for name in found if source.isfile(name)]
    if len({Path(name).name for name in files}) < len(files) or not files:
        raise UserError(f"{options.input}: {'two of its files have one name' if files else 'no file matches'}")
    target.makedirs(folder, exist_ok=True)
    _check_command(target, folder, options, [source.ukey(name) for name in files])
    parts = list(_parts(source, files, folder, options))
    todo = [part for part in parts if not target.exists(part.place)]
    count = sum(_counts(todo, options)) if todo else 0
    say(f"{count:,} embeddings in {options.output}: {len(todo)} parts, and {len(parts) - len(todo)} that were there")


def _check_command(target: Any, folder: str, options: argparse.Namespace, files: list[str]) -> None:
    """Record what the parts depend on; raise UserError if the folder holds parts of anything else.

    Args:
        files: a key of each input file, which changes with its content.
    """
    model = [f"{file.name} {file.stat().st_mtime_ns}" for file in sorted(Path(options.model).glob("*"))]
    command = json.dumps([vars(options) | dict.fromkeys(PLACEMENT), model, files]).encode()
    place = f"{folder}/{COMMAND}"
    known = target.cat_file(place) if target.exists(place) else None
    if known != command and (known or target.glob(f"{folder}/*.parquet")):
        raise UserError(f"--output {options.output} holds parts of another command, model or corpus; name another")
    target.pipe_file(place, command)


def _parts(source: Any, files: list[str], folder: str, options: argparse.Namespace) -> Iterator[Part]:
    """Yield the parts of all files, in the order of files and rows."""
    large = [name for name in files if Path(name).suffix.lower() in SPLIT and source.size(name) > SPLIT_BYTES]
    if large:
        _start_ray()
    counting = ray.remote(_count_rows)
    counts = dict(zip(large, ray.get([counting.remote(name, options) for name in large]), strict=True))
    for name in files:
        place = f"{folder}/{Path(name).name}"
        if name not in counts:
            yield Part(name, f"{place}.parquet")
            continue
        if isinstance(counts[name], str):
            raise UserError(counts[name])
        starts = range(0, counts[name], SPLIT_ROWS)
        for number, start in enumerate(starts):
            yield Part(name, f"{place}-{number:05}-of-{len(starts):05}.parquet", start, start + SPLIT_ROWS)


def _count_rows(path: str, options: argparse.Namespace) -> int | str:
    """Return the number of sentences in a file, or what is wrong with the file."""
    try:
        with TemporaryDirectory() as temporary:
            return sum(1 for _ in iter_sentences(_local(path, options, temporary), options.text_column))
    except Exception as error:  # Ray would wrap it in a traceback
        return first_line(error)


def _local(path: str, options: argparse.Namespace, temporary: str) -> str:
    """Return a path on this machine: the file's own, or that of a copy in the temporary folder."""
    source = url_to_fs(options.input)[0]
    if "file" not in source.protocol:
        source.get_file(path, path := f"{temporary}/{Path(path).name}")
    return path


def _start_ray() -> None:
    quietly(ray.init, ignore_reinit_error=True, include_dashboard=False, log_to_driver=False, logging_level="ERROR")


def _counts(parts: list[Part], options: argparse.Namespace) -> Iterator[int]:
    """Yield the number of embeddings in each part that is finished."""
    _start_ray()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars, context.execution_no_progress_timeout_s = False, -1  # a part may take its time
    kind = "GPU" if ray.cluster_resources().get("GPU") and options.device != "cpu" else "CPU"
    # min_size=1: do not wait for more workers than the cluster has.  A worker that is killed is started again.
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=options.processes or int(ray.cluster_resources()[kind]))
    rows = [part._asdict() | {"options": options} for part in parts]
    data = ray.data.from_items(rows, override_num_blocks=len(rows))
    data = data.map_batches(Worker, batch_size=1, compute=pool, **{f"num_{kind.lower()}s": 1})
    for row in tqdm(data.iter_rows(), total=len(rows), unit=" parts", disable=None):
        if row["fault"]:
            raise UserError(row["fault"])
        once(say, f"{options.model}: pooler {row['pooler']}")
        yield row["count"]


class Worker:
    """An encoder in a process of Ray's; errors are returned, because Ray wraps exceptions in tracebacks."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, list]:
        path, place, start, stop, options = (batch[name][0] for name in (*Part._fields, "options"))
        target = url_to_fs(options.output)[0]
        how = {name: getattr(options, name) for name in ("text_column", "normalize", "truncate_dim", "batch_size")}
        try:
            self.encoder = getattr(self, "encoder", None) or load_encoder(options)
            with TemporaryDirectory() as temporary:
                rows = _local(path, options, temporary)
                if stop:
                    rows = islice(iter_sentences(rows, how.pop("text_column")), int(start), int(stop))
                count = self.encoder.encode_file(rows, f"{temporary}/_.parquet", **how)
                target.put_file(f"{temporary}/_.parquet", aside := f"{Path(place).parent}/_{Path(temporary).name}")
                target.mv(aside, place)
        except Exception as error:  # torch and file systems have many kinds
            return {"count": [0], "fault": [first_line(error)], "pooler": [""]}
        return {"count": [count], "fault": [""], "pooler": [self.encoder.pooler]}
