"""Of chaos.py: attempts that are programs of their own, `python train.py` or `torchrun train.py`."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import psutil
from chaos_plans import ALONE, PROGRAM
from chaos_runs import ENVIRONMENT, Run

from mixcse.base.files import ROOT

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def cold_attempt(run: Run, draw: random.Random | None = None, seconds: float = 0) -> dict[str, Any]:
    """Makes one, and kills its processes at a drawn time within `seconds`, of two at times one alone.

    Args:
        draw: without it none is killed.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    log = run.folder / f"{len(run.events)}.log"
    plan = None
    if draw is not None:
        whole = run.processes == 1 or draw.random() >= ALONE
        plan = {"signal": int(signal.SIGKILL), "whole": whole, "seconds": draw.uniform(0, seconds)}
    start = time.monotonic()
    with open(log, "wb") as file:
        program = subprocess.Popen(
            [sys.executable, *(TORCHRUN if run.processes > 1 else ()), str(ROOT / "train.py"), *run.argv],
            env=os.environ | ENVIRONMENT | {"HF_DATASETS_CACHE": str(run.cache)},
            stdout=file,
            stderr=file,
        )
        try:
            code = program.wait(plan and plan["seconds"])
        except subprocess.TimeoutExpired:
            _kill(program.pid, whole=plan["whole"])
            program.wait()  # torchrun ends by itself if one of its processes was killed
            code = -signal.SIGKILL
        finally:
            if program.poll() is None:
                _kill(program.pid, whole=True)
    answer = {"codes": [int(code)], "phase": PROGRAM, "at_moment": False, "seconds": time.monotonic() - start}
    return answer | run.note(plan, answer, log.read_text(errors="replace"))


def _kill(pid: int, *, whole: bool) -> None:
    """A program with all that it has started; or one of those that train, if there are any."""
    program = psutil.Process(pid)
    started = program.children(recursive=True)
    training = [process for process in started if str(ROOT / "train.py") in process.cmdline()]
    for process in [program, *started] if whole or not training else training[-1:]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
