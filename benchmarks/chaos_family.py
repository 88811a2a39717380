"""An attempt of chaos.py: one or several processes, forked from this one, which has imported everything.

A forked process is a whole one, with memory, files, locks and connections of its own; all that
it does not do is to wait for imports.  A plan says which `signal` is sent to which process
(`rank`), or to the `whole` group of them: by the process itself, at a moment (chaos_hooks.py),
or by this one, `after` [a phase, how often it has begun, seconds].
"""

import os
import signal
import sys
import time
import traceback
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any, NoReturn

import datasets
import torch.distributed as dist
from chaos_hooks import PHASES, Board, Plan, Watched

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
        self._argv, self._folder, self._log, self._plan = argv, folder, log, plan
        for rank in range(count):
            pid = os.fork()
            if not pid:
                os.setpgid(0, self._pids[0] if self._pids else 0)
                self._train(rank)
            self._pids.append(pid)
            os.setpgid(pid, self._pids[0])  # whoever comes first

    def _train(self, rank: int) -> NoReturn:
        """A forked process turns into a training, and ends with its exit code."""
        code, count = 1, len(self.boards)
        try:
            for stream, file in (("stdin", os.devnull), ("stdout", self._log), ("stderr", self._log)):
                number = ("stdin", "stdout", "stderr").index(stream)
                os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), number)
                setattr(sys, stream, open(number, "w" if number else "r"))
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
            datasets.config.HF_DATASETS_CACHE = self._folder / "cache"
            if count > 1:
                names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
                os.environ.update({name: str(value) for name, value in names.items()})
            Watched(self.boards[rank], self._plan if rank == self._plan.get("rank") else {}, self._folder)

            def main(argv: list[str]) -> None:
                self.boards[rank].entered[0] += 1
                if count > 1:  # a file to meet at, where torchrun has a port
                    meeting = self._log.with_suffix(".meeting")
                    dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=count)
                training.main(argv)

            code = run_cli(main, self._argv)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

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
