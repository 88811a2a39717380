"""An attempt of chaos.py: one or several processes, forked from a server that has imported everything.

Each has memory, files, locks and connections of its own.  (The server has no threads: forked from a process that has
some, an attempt could wait for ever for a lock that one of them held.)  A plan says which `signal` is sent to which
process (`rank`), or to the `whole` group of them: by the process itself, at a moment (chaos_hooks.py), or by this one,
`after` [a phase, how often it has begun, seconds].
"""

import os
import signal
import sys
import time
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

import datasets
import torch
import torch.distributed as dist
from chaos_hooks import PHASES, Board, Plan, Watched

from mixcse.base.program import run_cli
from mixcse.train import run as training

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["chaos_family"])
# The server's path is not this one's; and what was killed has left its semaphores to be cleaned up.
SERVER = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore:resource_tracker"}
# Seconds: between looks at the processes; from SIGTERM to SIGKILL, for those that live on when one was killed.
POLL, GRACE = 0.0005, 10.0


class Family:
    """The processes of one attempt in a folder, whose `cache` they use."""

    def __init__(self, argv: list[str], count: int, folder: Path, log: Path, plan: Plan) -> None:
        self.boards = [CONTEXT.RawValue(Board) for _ in range(count)]
        self.seconds = [dict.fromkeys(PHASES, 0.0) for _ in self.boards]  # in each phase
        self.codes: dict[int, int] = {}  # by rank, of those that have ended
        self._processes: list[Any] = []
        for rank, board in enumerate(self.boards):
            group = self._processes[0].pid if self._processes else 0
            process = CONTEXT.Process(target=_train, args=(board, argv, rank, count, folder, log, plan, group))
            with patch.dict(os.environ, SERVER):
                process.start()
            self._processes.append(process)
            while process.is_alive() and os.getpgid(process.pid) != (group or process.pid):
                time.sleep(POLL)

    def alive(self) -> list[int]:
        """The ranks of those that run."""
        codes = {rank: process.exitcode for rank, process in enumerate(self._processes)}
        self.codes |= {rank: code for rank, code in codes.items() if code is not None}
        return [rank for rank in codes if rank not in self.codes]

    def send(self, number: int, rank: int | None = None) -> None:
        """A signal to one of them, or to all."""
        for one in self.alive():
            if rank in (None, one):
                with suppress(ProcessLookupError):  # it has ended, and the server has not yet said how
                    os.kill(self._processes[one].pid, number)


def _train(
    board: Board, argv: list[str], rank: int, count: int, folder: Path, log: Path, plan: Plan, group: int
) -> NoReturn:
    """What a process does."""
    os.setpgid(0, group)
    for number, (stream, file) in enumerate((("stdin", os.devnull), ("stdout", log), ("stderr", log))):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), number)
        setattr(sys, stream, open(number, "w" if number else "r"))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a server ignores it
    torch.set_num_threads(1)
    datasets.config.HF_DATASETS_CACHE = folder / "cache"
    if count > 1:
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        os.environ.update({name: str(value) for name, value in names.items()})
    Watched(board, plan if rank == plan.get("rank") else {}, folder)

    def main(argv: list[str]) -> None:
        board.entered[0] += 1
        if count > 1:  # a file to meet at, where torchrun has a port
            dist.init_process_group("gloo", f"file://{log.with_suffix('.meeting')}", rank=rank, world_size=count)
        training.main(argv)

    code = run_cli(main, argv)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def attempt(argv: list[str], processes: int, folder: Path, log: Path, plan: Plan | None = None) -> dict[str, Any]:
    """Trains until it ends or is ended; exit codes by rank, the phase it was in, and what was seen of each process."""
    plan = plan or {}
    family = Family(argv, processes, folder, log, plan)
    try:
        phase = watch(family, plan, plan.get("rank", 0))
    finally:
        family.send(signal.SIGKILL)
    ranks = []
    for board, seconds in zip(family.boards, family.seconds, strict=True):
        counted = zip(PHASES, board.moments, board.entered, strict=True)
        ranks.append({name: {"moments": m, "entered": e, "seconds": seconds[name]} for name, m, e in counted})
    codes = [family.codes[rank] for rank in range(processes)]
    return {"codes": codes, "phase": phase, "at_moment": any(board.sent for board in family.boards), "ranks": ranks}


def watch(family: Family, plan: Plan, rank: int) -> str:
    """Waits until all have ended, and sends what the plan says; the phase that it came in."""
    board, now = family.boards[rank], time.monotonic()
    after, began, came_in, first_killed = plan.get("after"), None, None, None
    while family.alive():
        now, before = time.monotonic(), now
        for one, seconds in zip(family.boards, family.seconds, strict=True):
            seconds[PHASES[one.phase]] += now - before
        if after and began is None and board.entered[PHASES.index(after[0])] >= after[1]:
            began = now
        if began is not None and came_in is None and not board.sent and now >= began + after[2]:
            came_in = board.phase
            family.send(plan["signal"], None if plan["whole"] else rank)
        if first_killed is None and -signal.SIGKILL in family.codes.values():
            first_killed = now
            family.send(signal.SIGTERM)  # as torchrun does
        if first_killed is not None and now > first_killed + GRACE:
            family.send(signal.SIGKILL)
        time.sleep(POLL)
    if came_in is None:
        came_in = board.sent - 1 if board.sent else board.phase
    return PHASES[came_in]
