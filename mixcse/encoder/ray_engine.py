"""`mixcse encode --engine ray`: a corpus that one machine cannot take, by Ray Data; local paths, s3:// and the like.

Files are read as ever: Ray's reader of text holds a whole one in memory, its writer names files anew in every run.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from fsspec.core import url_to_fs
from tqdm import tqdm

from mixcse.base.console import once, quietly, say
from mixcse.base.errors import UserError, first_line
from mixcse.encoder.command_options import load_encoder

COMMAND = "_command.json"  # in the folder of the parts; who reads these passes over it
HOW = ("output", "processes", "batch_size", "device")  # options that embeddings do not depend on


def encode(options: argparse.Namespace) -> None:
    """Encodes the files of `options.input` (one, a glob, a folder) into `options.output`; raises UserError."""
    (source, pattern), (target, folder) = url_to_fs(options.input), url_to_fs(options.output)
    pattern += "/*" * source.isdir(pattern)
    found = [pattern] if source.exists(pattern) else sorted(source.glob(pattern))  # a name may hold brackets
    places = {name: f"{folder}/{Path(name).name}.parquet" for name in found if source.isfile(name)}
    if len(set(places.values())) < len(places) or not places:
        raise UserError(f"{options.input}: {'two of its files have one name' if places else 'no file matches'}")
    target.makedirs(folder, exist_ok=True)
    model = [f"{file.name} {file.stat().st_mtime_ns}" for file in sorted(Path(options.model).glob("*"))]
    files = [source.ukey(name) for name in places]  # each changes with its file
    command = json.dumps([vars(options) | dict.fromkeys(HOW), model, files]).encode()
    todo = [name for name, place in places.items() if not target.exists(place)]
    known = target.cat_file(f"{folder}/{COMMAND}") if target.exists(f"{folder}/{COMMAND}") else None
    if known != command and (known or len(todo) < len(places)):
        raise UserError(f"--output {options.output} holds parts of another command, model or corpus; name another")
    target.pipe_file(f"{folder}/{COMMAND}", command)
    parts = [{"path": name, "place": places[name], "options": options} for name in todo]
    count = sum(_counts(parts, options)) if parts else 0
    say(f"{count:,} embeddings in {options.output}: {len(todo)} files, and {len(places) - len(todo)} that were there")


def _counts(parts: list[dict[str, Any]], options: argparse.Namespace) -> Iterator[int]:
    quietly(ray.init, ignore_reinit_error=True, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars, context.execution_no_progress_timeout_s = False, -1  # a part may take its time
    kind = "GPU" if ray.cluster_resources().get("GPU") and options.device != "cpu" else "CPU"
    # From one on, lest it waits for more than the cluster has; a worker that is killed is started again.
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=options.processes or int(ray.cluster_resources()[kind]))
    data = ray.data.from_items(parts, override_num_blocks=len(parts))
    data = data.map_batches(Worker, batch_size=1, compute=pool, **{f"num_{kind.lower()}s": 1})
    for row in tqdm(data.iter_rows(), total=len(parts), unit=" files", disable=None):
        if row["fault"]:
            raise UserError(row["fault"])
        once(say, f"{options.model}: pooler {row['pooler']}")
        yield row["count"]


class Worker:
    """An encoder in a process of Ray's; what the user can put right is returned, since Ray wraps exceptions."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, list]:
        path, place, options = (batch[name][0] for name in ("path", "place", "options"))
        source, target = url_to_fs(options.input)[0], url_to_fs(options.output)[0]
        how = {name: getattr(options, name) for name in ("text_column", "normalize", "truncate_dim", "batch_size")}
        try:
            self.encoder = getattr(self, "encoder", None) or load_encoder(options)
            with TemporaryDirectory() as temporary:
                if "file" not in source.protocol:
                    source.get_file(path, path := f"{temporary}/{Path(path).name}")
                count = self.encoder.encode_file(path, f"{temporary}/_.parquet", **how)
                target.put_file(f"{temporary}/_.parquet", aside := f"{Path(place).parent}/_{Path(temporary).name}")
                target.mv(aside, place)
        except Exception as error:  # torch and file systems have many kinds; raised, Ray makes a traceback of each
            return {"count": [0], "fault": [first_line(error)], "pooler": [""]}
        return {"count": [count], "fault": [""], "pooler": [self.encoder.pooler]}
