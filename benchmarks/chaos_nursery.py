"""Starts the trainings that chaos.py kills: processes forked from this one, which has imported everything.

It reads a request a line from stdin, in JSON, and answers each with a line.  A forked process
is a whole one, with memory, files, locks and connections of its own; all that it does not do
is to wait for imports.  A request's plan says which `signal` is sent to which process (`rank`),
or to the `whole` group of them: by the process itself, at a moment (chaos_hooks.py), or by this
one, `after` [a phase, how often it has begun, seconds].
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

import datasets
import torch
import torch.distributed as dist
from chaos_hooks import PHASES, Board, Watched

from mixcse.base.program import run_cli
from mixcse.train import run as training

# Seconds: between looks at the processes; from SIGTERM to SIGKILL, for those that live on when one was killed.
POLL, GRACE = 0.0005, 10.0
Request = dict[str, Any]


def become(request: Request, rank: int, board: Board) -> NoReturn:
    """A forked process turns into a training, and ends with its exit code."""
    code = 1
    try:
        for stream, file in ((0, os.devnull), (1, request["log"]), (2, request["log"])):
            os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), stream)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        datasets.config.HF_DATASETS_CACHE = Path(request["cache"])
        plan, count = request["plan"] or {}, request["processes"]
        if count > 1:
            names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
            os.environ.update({name: str(value) for name, value in names.items()})
        Watched(board, plan if rank == plan.get("rank") else {}, Path(request["folder"]))

        def main(argv: list[str]) -> None:
            board.enter(0)
            if count > 1:  # a file to meet at, where torchrun has a port
                dist.init_process_group("gloo", f"file://{request['meeting']}", rank=rank, world_size=count)
            training.main(argv)

        code = run_cli(main, request["argv"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Family:
    """The processes of one attempt."""

    def __init__(self, request: Request) -> None:
        self.boards = [Board() for _ in range(request["processes"])]
        self.seconds = [dict.fromkeys(PHASES, 0.0) for _ in self.boards]  # in each phase
        self.codes: dict[int, int] = {}  # by rank, of those that have ended
        self._pids: list[int] = []
        for rank, board in enumerate(self.boards):
            pid = os.fork()
            if not pid:
                os.setpgid(0, self._pids[0] if self._pids else 0)
                become(request, rank, board)
            self._pids.append(pid)
            os.setpgid(pid, self._pids[0])  # whoever comes first

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


def attempt(request: Request) -> dict[str, Any]:
    """Runs `request["argv"]` until it ends or is ended."""
    plan = request["plan"] or {}
    family = Family(request)
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
    codes = [family.codes[rank] for rank in range(len(ranks))]
    at_moment = any(board.sent_in is not None for board in family.boards)
    return {"codes": codes, "phase": phase, "at_moment": at_moment, "ranks": ranks}


def watch(family: Family, plan: dict[str, Any], rank: int) -> str:
    """Waits until all have ended, and sends what the plan says; the phase that it came in."""
    board, now = family.boards[rank], time.monotonic()
    after, began, came_in, first_killed = plan.get("after"), None, None, None
    while family.alive():
        now, before = time.monotonic(), now
        for one, seconds in zip(family.boards, family.seconds, strict=True):
            seconds[PHASES[one.phase]] += now - before
        if after and began is None and board.entered[PHASES.index(after[0])] >= after[1]:
            began = now
        if began is not None and came_in is None and board.sent_in is None and now >= began + after[2]:
            came_in = board.phase
            family.send(plan["signal"], None if plan["whole"] else rank)
        if first_killed is None and -signal.SIGKILL in family.codes.values():
            first_killed = now
            family.send(signal.SIGTERM)  # as torchrun does
        if first_killed is not None and now > first_killed + GRACE:
            family.send(signal.SIGKILL)
        time.sleep(POLL)
    found = board.sent_in if came_in is None else came_in
    return PHASES[board.phase if found is None else found]


def main() -> None:
    """Answers requests until there are no more."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(attempt(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
