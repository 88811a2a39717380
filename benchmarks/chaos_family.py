"""An attempt of chaos.py: one or several processes, forked from this one.

Each has memory, files, locks and connections of its own.  A plan says which `signal` is sent to which process
(`rank`), or to the `whole` group of them: by the process itself, at a moment (chaos_hooks.py),
or by this one, `after` [a phase, how often it has begun, seconds].
"""

import os
import signal
import time
from functools import partial
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any

import datasets
import torch.distributed as dist
from chaos_hooks import PHASES, Board, Plan, Watched
from forked import fork

from mixcse.base.program import run_cli
from mixcse.train import run as training

# Seconds: between looks at the processes; from SIGTERM to SIGKILL, for those that live on when one was killed.
POLL, GRACE = 0.0005, 10.0


class Family:
    """The processes of one attempt in a folder, whose `cache` they use."""

    def __init__(self, argv: list[str], count: int, folder: Path, log: Path, plan: Plan) -> None:
        self.boards = [RawValue(Board) for _ in range(count)]
        self.seconds = [dict.fromkeys(PHASES, 0.0) for _ in self.boards]  # in each phase
        self.codes: dict[int, int] = {}  # by rank, of those that have ended
        self._pids: list[int] = []
        for rank in range(count):
            call = partial(self._train, rank, argv, folder, log.with_suffix(".meeting"), plan)
            self._pids.append(fork(call, log, self._pids[0] if self._pids else None))

    def _train(self, rank: int, argv: list[str], folder: Path, meeting: Path, plan: Plan) -> int:
        """What a forked process does."""
        datasets.config.HF_DATASETS_CACHE = folder / "cache"
        count = len(self.boards)
        if count > 1:
            names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
            os.environ.update({name: str(value) for name, value in names.items()})
        Watched(self.boards[rank], plan if rank == plan.get("rank") else {}, folder)

        def main(argv: list[str]) -> None:
            self.boards[rank].entered[0] += 1
            if count > 1:  # a file to meet at, where torchrun has a port
                dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=count)
            training.main(argv)

        return run_cli(main, argv)

    def alive(self) -> list[int]:
        """The ranks of those that run."""
        for rank, pid in enumerate(self._pids):
            if rank not in self.codes:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    self.codes[rank] = os.waitstatus_to_exitcode(status)
        return [rank for rank in range(len(self._pids)) if rank not in self.codes]

    def send(self, number: int, rank: int | None = None) -> None:
        """A signal to one of them, or to all."""
        for one in self.alive():
            if rank in (None, one):
                os.kill(self._pids[one], number)


def attempt(argv: list[str], processes: int, folder: Path, log: Path, plan: Plan | None = None) -> dict[str, Any]:
    """Trains until it ends or is ended; exit codes by rank, the phase it was in, and what was seen of each process."""
    plan = plan or {}
    family = Family(argv, processes, folder, log, plan)
    try:
        phase = watch(family, plan, plan.get("rank", 0))
    finally:
        family.send(signal.SIGKILL)
    ranks = [
        {
            name: {"moments": board.moments[i], "entered": board.entered[i], "seconds": seconds[name]}
            for i, name in enumerate(PHASES)
        }
        for board, seconds in zip(family.boards, family.seconds, strict=True)
    ]
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
