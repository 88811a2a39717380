"""Ctrl-C and SIGTERM: a run saves a checkpoint at the end of the step, and says how it goes on."""

import os
import signal
import threading
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from mixcse.base.console import say
from mixcse.base.errors import Terminated
from mixcse.base.group import sum_over_processes, world_size
from mixcse.train.arguments import TrainArguments

STEPS_UNHEARD = 10  # GPUs that work together ask each other this often; asking waits for them

GO_ON = "the same command goes on from there"


class StopOnSignal(TrainerCallback):
    """While a model is trained, the first signal asks for a checkpoint and an end, and a second one ends at once.

    Raises:
        KeyboardInterrupt: (`Terminated` after SIGTERM) in `train`, once the checkpoint is written.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._stopping = False
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # signals are none of its business
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not None:  # else it is one of C's, which Python cannot put back
                self._before[number] = signal.signal(number, self._ask)

    def on_step_end(
        self, args: TrainArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._stopping = self._stopping or self._heard_by_any(args, state)
        control.should_save = control.should_save or self._stopping
        return control

    def on_save(self, args: TrainArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        if self._stopping:
            kind = Terminated if self._asked == signal.SIGTERM else KeyboardInterrupt
            raise kind(f"stopped; step {state.global_step} is saved in {args.output_dir}: {GO_ON}")

    def restore(self) -> None:
        """Signals do again what they did before the training."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _ask(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker that loads data, and does until it is told to end
            return
        if self._asked is not None:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        self._asked = number
        say("\nstopping at the end of this step, with a checkpoint (once more: at once)")

    def _heard_by_any(self, args: TrainArguments, state: TrainerState) -> bool:
        """All processes have to save at the same step."""
        if world_size() == 1:
            return self._asked is not None
        if args.device.type != "cpu" and state.global_step % STEPS_UNHEARD:
            return False
        asked = torch.tensor([float(self._asked or 0)], device=args.device)
        number = int(sum_over_processes(asked).item())
        if number and self._asked is None:
            self._asked = signal.SIGTERM
        return bool(number)
