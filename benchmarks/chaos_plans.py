"""Of chaos.py: where the next attempt is killed, stopped or left alone: drawn at random, spread over all phases.

Or in a program of its own, `python train.py` or `torchrun train.py`, at any time.
"""

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import psutil
from chaos_hooks import Plan
from chaos_runs import STEPS, Run

from mixcse.base.files import ROOT
from mixcse.train.folder import FINISHED_FILE

EARLY, LATE = ("start", "training", "evaluation", "save", "seal", "rotation"), ("export", "report")
REPEATED = ("evaluation", "save", "seal", "rotation")  # every few steps
PROGRAM = "whole program"  # python train.py or torchrun: its phase is not seen
LATE_KILLS = 4  # in a run, which can do nothing else once it has made its last step
STOPPED, DAMAGED, ALONE = 0.12, 0.15, 0.3  # shares: of SIGINT and SIGTERM; of kills; of those of two processes
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
TIMED, AIMED = 0.15, 0.65  # shares: at any time; of the others, at a moment

Seen = list[dict[str, dict[str, Any]]]  # of each process: of each phase, how often it came, its moments and seconds


def next_plan(draw: random.Random, run: Run, seen: Seen, kills: Counter[str]) -> Plan | None:
    """The next attempt's plan (chaos_family.py); None lets it go on to its end.

    Args:
        seen: of an undisturbed run.
        kills: those so far, by phase; phases that had few are likelier.
    """
    if sum(event["phase"] in LATE for event in run.events) >= LATE_KILLS:
        return None
    stops = draw.random() < STOPPED
    rank = draw.randrange(run.processes)
    whole = stops or run.processes == 1 or draw.random() >= ALONE
    plan: Plan = {
        "signal": int(draw.choice((signal.SIGINT, signal.SIGTERM)) if stops else signal.SIGKILL),
        "rank": rank, "whole": whole, "written": draw.random(), "moments": _late_moment(draw, run, seen[rank]),
    }  # fmt: skip
    if draw.random() < TIMED:
        whole_run = sum(phase["seconds"] for phase in seen[rank].values())
        plan["after"] = ("start", 1, draw.uniform(0, whole_run / 2))
        return plan
    phases = EARLY if run.step < STEPS else ("start", *LATE)
    there = [name for name in phases if seen[rank][name]["entered"]]
    phase = draw.choices(there, [1 / (1 + kills[name]) for name in there])[0]
    times, moments, seconds = (seen[rank][phase][name] for name in ("entered", "moments", "seconds"))
    if moments and draw.random() < AIMED:
        most = 2 * moments / times if phase in REPEATED else moments / 4 if phase == "training" else moments
        plan["moments"] |= {phase: draw.randint(1, math.ceil(most))}
    else:
        plan["after"] = (phase, draw.randint(1, 2) if phase in REPEATED else 1, draw.uniform(0, seconds / times))
    return plan


def _late_moment(draw: random.Random, run: Run, seen: dict[str, dict[str, Any]]) -> dict[str, int]:
    """For an attempt that gets to its end; it is not to get through it at once."""
    phase = "report" if (run.out / FINISHED_FILE).exists() else draw.choice(LATE)
    moments = seen[phase]["moments"]
    return {phase: draw.randint(1, moments)} if moments else {}


def cold_attempt(run: Run, draw: random.Random | None = None, seconds: float = 0) -> dict[str, Any]:
    """Makes one, and kills its processes at a drawn time within `seconds`, of two at times one alone.

    Args:
        draw: without it none is killed.
    """
    plan = None
    if draw is not None:
        whole = run.processes == 1 or draw.random() >= ALONE
        plan = {"signal": int(signal.SIGKILL), "whole": whole, "seconds": draw.uniform(0, seconds)}
    start = time.monotonic()
    with open(run.log, "wb") as log:
        program = subprocess.Popen(
            [sys.executable, *(TORCHRUN if run.processes > 1 else ()), str(ROOT / "train.py"), *run.argv],
            env=os.environ | {"HF_DATASETS_CACHE": str(run.folder / "cache"), "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
        )
        try:
            code = program.wait(plan and plan["seconds"])
        except subprocess.TimeoutExpired:
            for process in _to_kill(program.pid, whole=plan["whole"]):
                process.kill()
            program.wait()  # torchrun ends by itself if one of its processes was killed
            code = -signal.SIGKILL
    answer = {"codes": [int(code)], "phase": PROGRAM, "at_moment": False, "seconds": time.monotonic() - start}
    return answer | run.note(plan, answer)


def _to_kill(pid: int, *, whole: bool) -> list[psutil.Process]:
    """A program with all that it has started; or one of those that train, if there are any."""
    program = psutil.Process(pid)
    started = program.children(recursive=True)
    training = [process for process in started if str(ROOT / "train.py") in process.cmdline()]
    return [program, *started] if whole or not training else training[-1:]
