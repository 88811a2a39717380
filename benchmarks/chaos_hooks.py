"""What a training that chaos.py kills is at: seen by wrapping functions from outside of mixcse.

Its *phases*, and within them *moments*: before whatever changes files (Python's audit events),
once a file is written, before and after a batch and other long calls.  At a moment that the
plan names, the process sends itself a signal.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from transformers import TrainerState

from mixcse.encoder.sentence_encoder import SentenceEncoder
from mixcse.train import ending, trainer
from mixcse.train import run as training
from mixcse.train.folder import RunFolder

PHASES = ("start", "training", "evaluation", "save", "seal", "rotation", "export", "report")
# While such a function runs, it is that phase.
WITHIN = (
    (RunFolder, "begin", "start"),
    (trainer.MixCSETrainer, "train", "training"),
    (trainer.MixCSETrainer, "evaluate", "evaluation"),
    (trainer.MixCSETrainer, "_save_checkpoint", "save"),
    (trainer, "put_in_place", "seal"),
    (trainer, "prune", "rotation"),
    (ending, "draw", "report"),
)
LAST_BEFORE_EXPORT = (ending, "train_or_take_over")
LONG = (
    (trainer.MixCSETrainer, "compute_loss"), (trainer.MixCSETrainer, "training_step"),
    (SentenceEncoder, "encode"), (training, "load_model"),
    (training, "load_training_data"), (training, "make_trainer"),
)  # fmt: skip
# Their arguments' places of the file that they write.
WRITING = ((torch, "save", 1), (safetensors.torch, "serialize_file", 1), (TrainerState, "save_to_json", 1),
           (Path, "write_text", 0))  # fmt: skip
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}
TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT
Plan = dict[str, Any]
_COUNTS = ctypes.c_uint * len(PHASES)


class Board(ctypes.Structure):
    """What a process is at, for memory that it shares with those that watch.

    `phase` is a place in `PHASES`, `sent` one more than that in which it has sent itself the
    signal; of each phase `entered` says how often it has begun, `moments` how many it had.
    """

    _fields_ = [("phase", ctypes.c_uint), ("sent", ctypes.c_uint), ("entered", _COUNTS), ("moments", _COUNTS)]


class Watched:
    """Installs itself in a process that is to train; notes on a board, and carries out what a plan says of moments.

    Args:
        plan: `moments` are those for the signal by phase, each the how-manieth in it; the first
            to come counts.  `written` is the share of a file that is there, if it is one of writing.
    """

    def __init__(self, board: Board, plan: Plan, folder: Path) -> None:
        self._board, self._plan, self._folder = board, plan, str(folder)
        self._moments = plan.get("moments", {})
        self._watching = True
        for owner, name, phase in WITHIN:
            self._wrap(owner, name, before=lambda phase=phase: self._enter(phase))
        for owner, name in LONG:
            self._wrap(owner, name, before=self._moment, after=lambda _: self._moment())
        for owner, name, place in WRITING:
            self._wrap(owner, name, after=lambda given, place=place: self._moment(given[place]))
        self._wrap(*LAST_BEFORE_EXPORT, after=lambda _: self._enter("export"))
        sys.addaudithook(self._audit)

    def _wrap(
        self,
        owner: Any,
        name: str,
        before: Callable[[], None] = lambda: None,
        after: Callable[[list[Any]], None] = lambda given: None,
    ) -> None:
        wrapped = getattr(owner, name)

        def wrapper(*given: Any, **named: Any) -> Any:
            phase = self._board.phase
            before()
            try:
                found = wrapped(*given, **named)
            finally:
                self._board.phase = phase
            after([*given, *named.values()])
            return found

        setattr(owner, name, wrapper)

    def _enter(self, phase: str) -> None:
        self._board.phase = PHASES.index(phase)
        self._board.entered[self._board.phase] += 1

    def _moment(self, file: Any = None) -> None:
        phase = self._board.phase
        self._board.moments[phase] += 1
        if self._moments.get(PHASES[phase]) != self._board.moments[phase]:
            return
        self._moments = {}
        self._board.sent = phase + 1
        if (
            isinstance(file, str | Path) and self._plan["signal"] == signal.SIGKILL
        ):  # as if it had come while the file was written
            os.truncate(file, int(os.path.getsize(file) * self._plan["written"]))
        if self._plan["whole"]:
            os.killpg(os.getpgrp(), self._plan["signal"])
        else:
            os.kill(os.getpid(), self._plan["signal"])

    def _audit(self, event: str, given: tuple[Any, ...]) -> None:
        opens = event == "open" and given[2] & TO_WRITE
        if not self._watching or not (opens or event in CHANGES):
            return
        self._watching = False  # what is done about it is no moment
        try:
            if str(given[0]).startswith(self._folder) or (not opens and given[-1] != -1):  # -1: not in an open folder
                self._moment()
        finally:
            self._watching = True
