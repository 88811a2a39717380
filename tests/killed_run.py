"""A training run in processes of its own that kill themselves at a point of the code."""

import os
import signal
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import datasets
import torch
import torch.distributed as dist

from mixcse.base.program import run_cli
from mixcse.train import run as training


class Point(NamedTuple):
    """The `call`-th call of a function (module:qualified name) in the process of a rank; `after` it or before it."""

    function: str
    call: int = 1
    after: bool = False
    rank: int = 0


def work(rank: int, processes: int, argv: list[str], folder: Path, point: Point | None) -> None:
    """Train in one of the processes; `folder` holds the cache, the log and the file where processes meet."""
    os.dup2(os.open(folder / f"log-{rank}.txt", os.O_RDWR | os.O_CREAT | os.O_APPEND), 2)
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # as torchrun sets it
    datasets.config.HF_DATASETS_CACHE = folder / "cache"
    if processes > 1:
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        os.environ.update({name: str(value) for name, value in names.items()})
        dist.init_process_group("gloo", f"file://{folder / 'meeting'}", rank=rank, world_size=processes)
    if point is not None and point.rank == rank:
        _kill_at(point)
    os._exit(run_cli(training.main, argv))


def _kill_at(point: Point) -> None:
    module, _, name = point.function.partition(":")
    owner = import_module(module)
    *parents, name = name.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    function, calls = getattr(owner, name), []

    def wrapped(*arguments, **keywords):
        calls.append(1)
        if len(calls) == point.call and not point.after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **keywords)
        if len(calls) == point.call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, wrapped)
