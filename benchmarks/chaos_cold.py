"""Of chaos.py: attempts that are programs of their own, `python train.py` or `torchrun train.py`."""

import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

import psutil
from chaos_plans import ALONE, PROGRAM
from chaos_runs import Run

from mixcse.base.files import ROOT

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


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
